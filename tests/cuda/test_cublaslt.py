"""The real cublasLt without a GPU: what it was told is read back, and means what was asked for.

Skipped where there is no libcublasLt; it comes with the wheel ``nvidia-cublas``, and needs no driver for this.
"""

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest

from nnxp.errors import BackendError
from nnxp.ops.cuda import cublaslt, gemm, model
from nnxp.ops.cuda.gemm import Addresses, Epilogue, Product

LIBRARY = cublaslt.find()
pytestmark = pytest.mark.skipif(isinstance(LIBRARY, str), reason=str(LIBRARY))

BATCH, INPUTS, OUTPUTS = 31, 33, 127
PRECISIONS = [("float32", "float32"), ("float32", "tf32"), ("float32", "bf16"), ("float64", "float32")]
KINDS = {
    "forward": (gemm.forward, [e for e in Epilogue if e.adds_bias or e in (1, 2, 130)]),
    "input gradient": (gemm.input_gradient, [Epilogue.DEFAULT, Epilogue.DRELU, Epilogue.DRELU_BGRAD]),
    "weight gradient": (gemm.weight_gradient, [Epilogue.DEFAULT, Epilogue.BGRADA, Epilogue.BGRADB]),
}
CASES = [(kind, epilogue) for kind, (_, epilogues) in KINDS.items() for epilogue in epilogues]
GAPS = {"none": {}, "some": {"ldx": INPUTS + 3, "ldw": OUTPUTS + 2, "ldy": OUTPUTS + 5}}


def understood(found, precision, beta=0):
    """The product that cublasLt's own memory of it describes; D's rows and columns are m and n."""
    transposed = found["TRANSA"] == 1
    return Product(
        m=found["D.ROWS"],
        n=found["D.COLS"],
        k=found["A.ROWS"] if transposed else found["A.COLS"],
        transpose_a=transposed,
        transpose_b=found["TRANSB"] == 1,
        lda=found["A.LD"],
        ldb=found["B.LD"],
        ldd=found["D.LD"],
        dtype={0: "float32", 1: "float64"}[found["D.TYPE"]],
        precision={68: "float32", 77: "tf32", 75: "bf16", 70: "float32"}[found["COMPUTE_TYPE"]],
        epilogue=Epilogue(found["EPILOGUE"]),
        beta=beta,
        mask_ld=found["EPILOGUE_AUX_LD"],
    )


def read_back(product, **addresses):
    with cublaslt.Descriptors(LIBRARY, product, **addresses) as descriptors:
        return descriptors.read_back()


def made(kind, epilogue, **options):
    return KINDS[kind][0](BATCH, INPUTS, OUTPUTS, epilogue=epilogue, **options)


def wanted(product):
    """Any addresses that the epilogue needs."""
    return {"bias": 0x7F0000001234 * product.epilogue.has_bias, "mask": 0x7F0000005670 * product.epilogue.has_mask}


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize(("dtype", "precision"), PRECISIONS)
@pytest.mark.parametrize(("kind", "epilogue"), CASES)
def test_what_was_told_is_remembered(kind, epilogue, dtype, precision, gaps):
    product = made(kind, epilogue, dtype=dtype, precision=precision, **GAPS[gaps])
    addresses = wanted(product)

    found = read_back(product, **addresses)

    assert understood(found, precision) == product
    assert (found["BIAS_POINTER"], found["EPILOGUE_AUX_POINTER"]) == (addresses["bias"], addresses["mask"])
    assert found["SCALE_TYPE"] == found["D.TYPE"]
    assert {found[f"{letter}.TYPE"] for letter in "ABCD"} == {found["D.TYPE"]}
    assert {found[f"{letter}.ORDER"] for letter in "ABCD"} == {cublaslt.Order.COL}
    for name in ("ROWS", "COLS", "LD"):
        assert found[f"C.{name}"] == found[f"D.{name}"]
    # op(A)[m,k] · op(B)[k,n] fits together, as the layouts say
    k = found["B.COLS"] if found["TRANSB"] else found["B.ROWS"]
    n = found["B.ROWS"] if found["TRANSB"] else found["B.COLS"]
    m = found["A.COLS"] if found["TRANSA"] else found["A.ROWS"]
    assert (m, n, k) == (product.m, product.n, product.k)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize(("kind", "epilogue"), CASES)
def test_what_is_remembered_is_the_mathematics(kind, epilogue, gaps):
    """The model is run on what cublasLt remembers, addresses of the bias and the mask included."""
    rng = np.random.default_rng(5)
    strides = {"ldx": INPUTS, "ldw": OUTPUTS, "ldy": OUTPUTS} | GAPS[gaps]
    x, w, y = (rng.standard_normal((r, strides[s])) for r, s in ((BATCH, "ldx"), (INPUTS, "ldw"), (BATCH, "ldy")))
    a, b, d = {"forward": (w, x, y), "input gradient": (w, y, x), "weight gradient": (y, x, w)}[kind]
    product = made(kind, epilogue, dtype="float64", **GAPS[gaps])
    vector = rng.standard_normal(max(product.bias_size, 1))
    gate = rng.integers(0, 256, (product.n, max(product.mask_ld // 8, 1)), dtype=np.uint8)
    expected_d, expected_vector = mathematics(
        kind, epilogue, x[:, :INPUTS], w[:, :OUTPUTS], y[:, :OUTPUTS], vector, gate
    )
    wide = np.concatenate([np.zeros(16, dtype=np.uint8), gate.ravel()])  # a mask that is aligned
    start = -wide.ctypes.data % 16
    mask = wide[start : start + gate.size]
    mask[:] = gate.ravel()

    addresses = {"bias": vector.ctypes.data * epilogue.has_bias, "mask": mask.ctypes.data * epilogue.has_mask}
    found = read_back(product, **addresses)
    bias, aux = found["BIAS_POINTER"], found["EPILOGUE_AUX_POINTER"]
    again = understood(found, "float32")
    model.run(again, a.ctypes.data, b.ctypes.data, d.ctypes.data, bias=bias, mask=aux)

    np.testing.assert_allclose(d[:, : expected_d.shape[1]], expected_d, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(vector[: expected_vector.size], expected_vector, rtol=1e-10, atol=1e-12)
    if epilogue.relu and epilogue.has_mask:
        written = np.unpackbits(mask.reshape(gate.shape), axis=1, count=OUTPUTS, bitorder="little")
        np.testing.assert_array_equal(written, expected_d > 0)


def mathematics(kind, epilogue, x, w, y, vector, gate):
    """Our own words: (D, the vector) of forward, dx or dw."""
    if kind == "forward":
        z = x @ w + (vector if epilogue.adds_bias else 0)
        return (np.maximum(z, 0) if epilogue.relu else z), vector.copy()
    if kind == "weight gradient":
        sums = {Epilogue.BGRADA: y.sum(0), Epilogue.BGRADB: x.sum(0)}
        return x.T @ y, sums.get(epilogue, vector.copy())
    dx = y @ w.T
    if epilogue.masks:
        dx = np.where(np.unpackbits(gate, axis=1, count=INPUTS, bitorder="little"), dx, 0)
    return dx, (dx.sum(0) if epilogue.has_bias else vector.copy())


def test_a_swapped_transpose_would_be_seen(monkeypatch):
    real = cublaslt._set

    def faulty(library, kind, handle, attribute, value):
        if attribute is cublaslt.MatmulDesc.TRANSA:
            value.value = 1 - value.value
        real(library, kind, handle, attribute, value)

    monkeypatch.setattr(cublaslt, "_set", faulty)
    product = made("input gradient", Epilogue.DEFAULT)
    with pytest.raises(AssertionError):
        assert understood(read_back(product), "float32") == product


def test_addresses_that_are_missing_or_crooked():
    with pytest.raises(BackendError, match="RELU_AUX_BIAS needs addresses"):
        cublaslt.Descriptors(LIBRARY, made("forward", Epilogue.RELU_AUX_BIAS), bias=256)
    with pytest.raises(BackendError, match="multiple of 16 bytes, got 0x108"):
        cublaslt.Descriptors(LIBRARY, made("forward", Epilogue.RELU_AUX), mask=264)


def test_what_cublaslt_refuses_is_said_in_its_words():
    descriptors = cublaslt.Descriptors(LIBRARY, made("forward", Epilogue.DEFAULT))
    wrong = ctypes.c_uint64(0)  # an epilogue has 4 bytes
    with pytest.raises(cublaslt.StatusError, match=r"CUBLAS_STATUS_INVALID_VALUE \(7\): an unsupported value") as info:
        cublaslt._set(LIBRARY, "MatmulDesc", descriptors.description, cublaslt.MatmulDesc.EPILOGUE, wrong)
    assert info.value.status == cublaslt.Status.INVALID_VALUE
    assert isinstance(info.value, BackendError)
    descriptors.close()
    descriptors.close()


def test_without_a_gpu_there_is_no_handle():
    handle = ctypes.c_void_p()
    if LIBRARY.cublasLtCreate(ctypes.byref(handle)) == cublaslt.Status.SUCCESS:
        LIBRARY.cublasLtDestroy(handle)
        pytest.skip("there is a GPU")
    with pytest.raises(BackendError, match=r"cublasLtCreate failed with CUBLAS_STATUS_\w+ \(\d+\): .*needs a GPU"):
        cublaslt.CublasLt(LIBRARY, workspace=0, size=0)


def test_preferences_are_the_real_alignments():
    addresses = Addresses(a=0x1004, b=0x2000, d=0x3040)
    kinds = dict.fromkeys(cublaslt.MatmulPref, ctypes.c_uint32)
    kinds[cublaslt.MatmulPref.MAX_WORKSPACE_BYTES] = ctypes.c_uint64
    with cublaslt._Preference(LIBRARY, 32 << 20, addresses) as preference:
        found = [cublaslt._get(LIBRARY, "MatmulPreference", preference.made, k, kind) for k, kind in kinds.items()]
    assert found == [32 << 20, 4, 256, 64, 64]


def headers():
    """Every ``NAME = value`` of the enums in cuBLAS's headers, wherever they lie beside the library."""
    names: dict[str, int] = {}
    path = Path(LIBRARY._name).resolve()
    folders = [path.parents[i] / "include" for i in (1, 2, 3) if i < len(path.parents)]
    for folder in [*folders, Path("/usr/local/cuda/include"), *Path("/usr/local").glob("cuda-*/include")]:
        for name in ("library_types.h", "cublas_api.h", "cublasLt.h"):
            if (folder / name).is_file():
                text = re.sub(r"/\*.*?\*/|//[^\n]*", "", (folder / name).read_text(), flags=re.DOTALL)
                for key, value in re.findall(r"\b(CU\w+)\s*=\s*([^,}]+?)\s*(?=[,}])", text):
                    value = re.sub(r"\bCU\w+", lambda m: str(names.get(m[0], m[0])), value)
                    if re.fullmatch(r"[\s\d|()xa-fA-F]+", value):
                        names.setdefault(key, eval(value))
    return names


def test_numbers_are_those_of_the_headers():
    found = headers() if not isinstance(LIBRARY, str) else {}
    if "CUBLASLT_EPILOGUE_DEFAULT" not in found:
        pytest.skip("no header cublasLt.h beside the library")
    prefixes = {
        "CUBLAS_STATUS_": cublaslt.Status,
        "CUBLAS_": (*cublaslt.ComputeType, *cublaslt.Operation),
        "CUDA_": cublaslt.DataType,
        "CUBLASLT_ORDER_": cublaslt.Order,
        "CUBLASLT_MATMUL_DESC_": cublaslt.MatmulDesc,
        "CUBLASLT_MATRIX_LAYOUT_": cublaslt.MatrixLayout,
        "CUBLASLT_MATMUL_PREF_": cublaslt.MatmulPref,
        "CUBLASLT_EPILOGUE_": Epilogue,
    }
    ours = {prefix + member.name: int(member) for prefix, members in prefixes.items() for member in members}
    theirs = {name: found[name] for name in ours if name in found}
    missing = ours.keys() - theirs.keys()
    assert all(name.startswith("CUDA_") for name in missing)  # library_types.h comes with another wheel
    assert {name: ours[name] for name in theirs} == theirs


def test_structures_have_the_sizes_of_the_headers():
    assert ctypes.sizeof(cublaslt.MatmulAlgo) == 8 * 8
    assert ctypes.sizeof(cublaslt.HeuristicResult) == 64 + 8 + 4 + 4 + 4 * 4


@pytest.mark.parametrize(
    ("address", "expected"), [(256, 256), (512, 256), (768, 256), (128, 128), (4, 4), (0x1008, 8), (0x7F01, 1)]
)
def test_alignment(address, expected):
    assert cublaslt.alignment(address) == expected
