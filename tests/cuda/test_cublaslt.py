"""The real cublasLt without a GPU: what it was told is read back, and means what was asked for.

Skipped where there is no libcublasLt; it comes with the wheel ``nvidia-cublas``, and needs no driver for this.
"""

import ctypes
import re
from dataclasses import replace
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


def understood(found, beta=0):
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

    assert understood(found) == product
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


class Problem:
    """Matrices of random numbers with what a product should make of them."""

    def __init__(self, kind, epilogue, gaps="none", dtype="float64", precision="float32"):
        rng = np.random.default_rng(5)
        strides = {"ldx": INPUTS, "ldw": OUTPUTS, "ldy": OUTPUTS} | GAPS[gaps]
        rows = {"ldx": BATCH, "ldw": INPUTS, "ldy": BATCH}
        x, w, y = (rng.standard_normal((rows[ld], strides[ld])).astype(dtype) for ld in rows)
        self.product = made(kind, epilogue, dtype=dtype, precision=precision, **GAPS[gaps])
        self.a, self.b, self.d = {
            "forward": (w, x, y),
            "input gradient": (w, y, x),
            "weight gradient": (y, x, w),
        }[kind]
        self.vector = rng.standard_normal(max(self.product.bias_size, 1)).astype(dtype)
        gate = rng.integers(0, 256, (self.product.n, max(self.product.mask_ld // 8, 1)), dtype=np.uint8)
        wide = np.empty(gate.size + 16, dtype=np.uint8)
        start = -wide.ctypes.data % 16
        self.mask = wide[start : start + gate.size].reshape(gate.shape)
        self.mask[...] = gate
        numbers = (array.astype("f8") for array in (x[:, :INPUTS], w[:, :OUTPUTS], y[:, :OUTPUTS], self.vector))
        self.expected, self.expected_vector = mathematics(kind, epilogue, *numbers, gate)

    def addresses(self):
        p, (a, b, d) = self.product.epilogue, (array.ctypes.data for array in (self.a, self.b, self.d))
        return Addresses(a, b, d, self.vector.ctypes.data * p.has_bias, self.mask.ctypes.data * p.has_mask)

    def verify(self, tolerance=1e-10):
        columns = self.expected.shape[1]
        np.testing.assert_allclose(self.d[:, :columns], self.expected, rtol=tolerance, atol=20 * tolerance)
        vector = self.vector[: self.expected_vector.size]
        np.testing.assert_allclose(vector, self.expected_vector, rtol=tolerance, atol=20 * tolerance)
        if self.product.epilogue.relu and self.product.epilogue.has_mask:
            written = np.unpackbits(self.mask, axis=1, count=OUTPUTS, bitorder="little")
            np.testing.assert_array_equal(written, self.d[:, :columns] > 0)


def mathematics(kind, epilogue, x, w, y, vector, gate):
    """Our own words: (D, the vector) of forward, dx or dw."""
    if kind == "forward":
        z = x @ w + (vector if epilogue.adds_bias else 0)
        return (np.maximum(z, 0) if epilogue.relu else z), vector
    if kind == "weight gradient":
        sums = {Epilogue.BGRADA: y.sum(0), Epilogue.BGRADB: x.sum(0)}
        return x.T @ y, sums.get(epilogue, vector)
    dx = y @ w.T
    if epilogue.masks:
        dx = np.where(np.unpackbits(gate, axis=1, count=INPUTS, bitorder="little"), dx, 0)
    return dx, (dx.sum(0) if epilogue.has_bias else vector)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize(("kind", "epilogue"), CASES)
def test_what_is_remembered_is_the_mathematics(kind, epilogue, gaps):
    """The model is run on what cublasLt remembers, addresses of the bias and the mask included."""
    problem = Problem(kind, epilogue, gaps)
    given = problem.addresses()
    found = read_back(problem.product, bias=given.bias, mask=given.mask)

    vectors = {"bias": found["BIAS_POINTER"], "mask": found["EPILOGUE_AUX_POINTER"]}
    model.run(understood(found), given.a, given.b, given.d, **vectors)

    problem.verify()


class Pretender:
    """The real library, but for the four functions that need a GPU: those are called through the same C types.

    A product is computed by the model, from what the library says of the descriptors that were handed over.
    """

    def __init__(self):
        self.preferences, self.ran, self.refused, self.answer = [], [], set(), cublaslt.Status.SUCCESS
        self.keep = {
            "cublasLt" + name: ctypes.CFUNCTYPE(ctypes.c_int, *cublaslt._PROTOTYPES[name])(getattr(self, name))
            for name in ("Create", "Destroy", "MatmulAlgoGetHeuristic", "Matmul")
        }

    def __getattr__(self, name):
        return self.keep.get(name) or getattr(LIBRARY, name)

    def Create(self, handle):  # noqa: N802 - named as the library names them
        handle[0] = 0xABC
        return 0

    def Destroy(self, handle):  # noqa: N802
        assert handle == 0xABC
        return 0

    def MatmulAlgoGetHeuristic(self, handle, description, a, b, c, d, preference, most, results, count):  # noqa: N802
        for key, kind in ((cublaslt.MatmulPref.MIN_ALIGNMENT_A_BYTES, ctypes.c_uint32),):
            self.preferences.append(cublaslt._get(LIBRARY, "MatmulPreference", preference, key, kind))
        for i in range(min(most, 4)):
            results[i].algo.data[0], results[i].workspaceSize = 100 + i, 64 * i
            results[i].state = cublaslt.Status.NOT_SUPPORTED if i == 3 else cublaslt.Status.SUCCESS
        count[0] = min(most, 4)
        return self.answer

    def Matmul(self, handle, description, alpha, *rest):  # noqa: N802
        a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algo, workspace, size, stream = rest
        number = ctypes.cast(algo, ctypes.POINTER(ctypes.c_uint64))[0]
        if number in self.refused:
            return int(cublaslt.Status.NOT_SUPPORTED)
        described = object.__new__(cublaslt.Descriptors)
        described._library, described._undo, described.description = LIBRARY, [], ctypes.c_void_p(description)
        described.a, described.b, described.c, described.d = map(
            ctypes.c_void_p, (a_layout, b_layout, c_layout, d_layout)
        )
        found = described.read_back()
        real = {0: ctypes.c_float, 1: ctypes.c_double}[found["SCALE_TYPE"]]
        assert (ctypes.cast(alpha, ctypes.POINTER(real))[0], c, handle) == (1, d, 0xABC)
        product = understood(found, beta=int(ctypes.cast(beta, ctypes.POINTER(real))[0]))
        model.run(product, a, b, d, bias=found["BIAS_POINTER"], mask=found["EPILOGUE_AUX_POINTER"])
        self.ran.append((number, workspace, size, stream))
        return 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "epilogue"), CASES)
def test_a_launch_hands_everything_over_in_its_place(kind, epilogue, dtype):
    library, problem = Pretender(), Problem(kind, epilogue, "some", dtype=dtype)
    with cublaslt.CublasLt(library, workspace=0x5500, size=1024) as lt:
        best = lt.algorithms(problem.product, problem.addresses())[2]
        lt.run(problem.product, best, problem.addresses(), 0x77)
    assert library.ran == [(102, 0x5500, 1024, 0x77)]
    problem.verify(1e-10 if dtype == "float64" else 1e-4)


def test_a_launch_may_add():
    library, problem = Pretender(), Problem("weight gradient", Epilogue.DEFAULT)
    before, product = problem.d.copy(), replace(problem.product, beta=1)
    with cublaslt.CublasLt(library, workspace=0x5500, size=1024) as lt:
        lt.run(product, lt.algorithms(product, problem.addresses())[0], problem.addresses(), 0)
    problem.expected += before
    problem.verify()


def test_the_fastest_that_runs_is_chosen():
    library, problem = Pretender(), Problem("forward", Epilogue.BIAS)
    library.refused, seconds = {101}, iter([3.0, 2.0, 9.0])

    def time(call):
        call()
        return next(seconds)

    with cublaslt.CublasLt(library, workspace=0x5500, size=1024) as lt:
        chosen = lt.choose(problem.product, problem.addresses(), time, stream=7)
        assert chosen.data[:8] == (102).to_bytes(8, "little")
        assert chosen.workspace == 128
        assert [number for number, *_ in library.ran] == [100, 102]
        library.refused = {100, 101, 102}
        assert lt.choose(problem.product, problem.addresses(), time, stream=7) is None
    assert library.preferences == [cublaslt.alignment(problem.addresses().a)] * 2


def test_what_no_algorithm_can_do_is_none_and_a_mistake_is_an_error():
    library, problem, plain = Pretender(), Problem("forward", Epilogue.BIAS), Problem("forward", Epilogue.DEFAULT)
    with cublaslt.CublasLt(library, workspace=0, size=0) as lt:
        for library.answer in (cublaslt.Status.NOT_SUPPORTED, cublaslt.Status.INVALID_VALUE):
            assert lt.choose(problem.product, problem.addresses(), lambda call: 1.0, stream=0) is None
        with pytest.raises(cublaslt.StatusError, match="cublasLtMatmulAlgoGetHeuristic failed with CUBLAS_STATUS_INV"):
            lt.algorithms(plain.product, plain.addresses())
        library.answer = 14
        with pytest.raises(cublaslt.StatusError, match="INTERNAL_ERROR"):
            lt.algorithms(problem.product, problem.addresses())


def test_sums_of_one_term_are_not_asked_of_some_epilogues():
    """A layer with one output after a ReLU: dx = dy · wᵀ has k = 1."""
    library = Pretender()
    with cublaslt.CublasLt(library, workspace=0, size=0) as lt:
        masked = gemm.input_gradient(5, 3, 1, epilogue=Epilogue.DRELU)
        assert lt.algorithms(masked, Addresses(256, 512, 1024, mask=2048)) == []
        assert lt.algorithms(replace(masked, epilogue=Epilogue.DEFAULT, mask_ld=0), Addresses(256, 512, 1024))
        one = gemm.weight_gradient(1, 3, 4)
        assert lt.algorithms(one, Addresses(256, 512, 1024, bias=2048))
        lt.version = 120303
        assert lt.algorithms(one, Addresses(256, 512, 1024, bias=2048)) == []


def test_a_bias_that_lies_askew_is_not_handed_over():
    """No preference speaks of its alignment, and a kernel that reads four numbers at a time would fault."""
    library, product = Pretender(), gemm.forward(5, 3, 7)
    with cublaslt.CublasLt(library, workspace=0, size=0) as lt:
        assert lt.algorithms(product, Addresses(256, 512, 1024, bias=2048))
        assert lt.algorithms(product, Addresses(256, 512, 1024, bias=2048 + 84)) == []
        assert lt.choose(gemm.weight_gradient(5, 3, 7), Addresses(256, 512, 1024, bias=2056), print, stream=0) is None
        assert lt.algorithms(replace(product, epilogue=Epilogue.DEFAULT), Addresses(260, 516, 1028))


def test_a_workspace_that_is_too_small():
    library, problem = Pretender(), Problem("forward", Epilogue.DEFAULT)
    with cublaslt.CublasLt(library, workspace=0, size=10) as lt:
        algorithm = cublaslt.Algorithm(bytes(64), workspace=64, waves=1.0)
        with pytest.raises(BackendError, match="needs 64 bytes of workspace, here are 10"):
            lt.bind(problem.product, algorithm, problem.addresses())


@pytest.fixture(scope="module")
def gpu():
    """CuPy with a GPU, and cublasLt on it."""
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    workspace = cupy.empty(32 << 20, dtype="uint8")
    with cublaslt.CublasLt(LIBRARY, workspace=workspace.data.ptr, size=workspace.size) as lt:
        yield cupy, lt


def on_gpu(gpu, problem):
    """Every algorithm that the GPU has for the problem gives what the mathematics says."""
    cupy, lt = gpu
    tolerance = {"float64": 1e-10, "float32": 1e-4}[problem.product.dtype]
    tolerance = {"float32": tolerance, "tf32": 1e-2, "bf16": 5e-2}[problem.product.precision]
    hosts = (problem.a, problem.b, problem.d, problem.vector, problem.mask)
    a, b, d, bias, mask = (cupy.asarray(host) for host in hosts)
    epilogue = problem.product.epilogue
    pointers = (
        a.data.ptr,
        b.data.ptr,
        d.data.ptr,
        bias.data.ptr * epilogue.has_bias,
        mask.data.ptr * epilogue.has_mask,
    )
    algorithms = lt.algorithms(problem.product, Addresses(*pointers))
    stream = cupy.cuda.get_current_stream()
    for algorithm in algorithms:
        lt.run(problem.product, algorithm, Addresses(*pointers), stream.ptr)
        stream.synchronize()
        problem.d[...], problem.vector[...] = cupy.asnumpy(d), cupy.asnumpy(bias)
        problem.mask[...] = cupy.asnumpy(mask)
        problem.verify(tolerance)
    return algorithms


@pytest.mark.parametrize(("dtype", "precision"), PRECISIONS)
@pytest.mark.parametrize(("kind", "epilogue"), CASES)
def test_a_gpu_agrees(gpu, kind, epilogue, dtype, precision):
    algorithms = on_gpu(gpu, Problem(kind, epilogue, dtype=dtype, precision=precision))
    assert algorithms or epilogue is not Epilogue.DEFAULT
    if not algorithms:
        pytest.skip(f"this GPU has no {epilogue.name} for {dtype}, {precision}")


def test_a_gpu_at_zero_and_at_nan(gpu):
    """What the documentation leaves open is as the model has it."""
    cupy, lt = gpu
    x = cupy.asarray([[0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 2.0]], dtype="float32")
    one, y, mask = cupy.ones((1, 1), "float32"), cupy.empty((1, 8), "float32"), cupy.zeros(16, "uint8")
    product = gemm.forward(1, 1, 8, epilogue=Epilogue.RELU_AUX)
    addresses = Addresses(x.data.ptr, one.data.ptr, y.data.ptr, mask=mask.data.ptr)
    algorithms = lt.algorithms(product, addresses, most=1)
    if not algorithms:
        pytest.skip("this GPU has no RELU_AUX for a matrix of one row")
    lt.run(product, algorithms[0], addresses, cupy.cuda.get_current_stream().ptr)
    np.testing.assert_array_equal(cupy.asnumpy(y), [[0, 0, 0, np.inf, 0, 1, 0, 2]])
    assert int(mask[0]) == 0b10101111


def test_a_swapped_transpose_would_be_seen(monkeypatch):
    real = cublaslt._set

    def faulty(library, kind, handle, attribute, value):
        if attribute is cublaslt.MatmulDesc.TRANSA:
            value.value = 1 - value.value
        real(library, kind, handle, attribute, value)

    monkeypatch.setattr(cublaslt, "_set", faulty)
    product = made("input gradient", Epilogue.DEFAULT)
    with pytest.raises(AssertionError):
        assert understood(read_back(product)) == product


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
