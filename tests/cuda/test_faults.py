"""What the kernels' tests would see: faults planted in copies of the source, each found by a check of theirs.

Missing barriers, and accesses outside of arrays, are the sanitizers' (``test_sanitizers.py``).
"""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nnxp.backend import Rng
from nnxp.errors import BackendError
from nnxp.ops.cuda.host import HostMachine, compiler
from nnxp.ops.cuda.launch import SOURCE

try:
    compiler()
except BackendError as error:
    pytest.skip(str(error), allow_module_level=True)

# The tests are no package: the file is loaded by its path, as a module of another name.
_spec = importlib.util.spec_from_file_location("kernel_checks", Path(__file__).with_name("test_kernels.py"))
assert _spec is not None
assert _spec.loader is not None
kernels = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = kernels
_spec.loader.exec_module(kernels)

QUICK = ("-O0", "-g0")


def case(name: str, shape: tuple[int, ...], threads: int = 64) -> Callable[[str], None]:
    """A case of the kernels' tests, on a source."""

    def check(source: str) -> None:
        kernels.check(
            kernels.CASES[name], HostMachine(threads=threads, source=source, flags=QUICK), "float32", shape, 2048
        )

    return check


def with_machine(check: Callable[..., None], *arguments: object) -> Callable[[str], None]:
    return lambda source: check(HostMachine(source=source, flags=QUICK), *arguments)


@dataclass(frozen=True)
class Fault:
    """What stands in the source, once, what is planted there, and the check that finds it."""

    right: str
    wrong: str
    check: Callable[[str], None]


STREAM = Rng(3, layer=2).stream(3, step=5, item=1)

FAULTS = {
    "the last element is left out": Fault(
        "i < size; i += STRIDE) sum[i] = a[i] + b[i]",
        "i < size - 1; i += STRIDE) sum[i] = a[i] + b[i]",
        case("add", (31,)),
    ),
    "a grid that does not go round": Fault(
        "i < size; i += STRIDE) dx[i] = derive",
        "i < size; i += size) dx[i] = derive",
        lambda source: kernels.check(
            kernels.CASES["tanh_backward"], HostMachine(source=source, flags=QUICK), "float32", (1009,), 1
        ),
    ),
    "no bias": Fault("bias ? x[i] + bias[i % columns] : x[i]", "x[i]", case("relu of x + b, without z", (7, 1))),
    "the bias of a row": Fault(
        "bias[i % columns]", "bias[i / columns % columns]", case("identity of x + b, with z", (31, 33))
    ),
    "the level for the scale": Fault(
        "case SELU: return y > 0 ? SELU_SCALE * dy",
        "case SELU: return y > 0 ? SELU_LEVEL * dy",
        case("selu_backward", (31,)),
    ),
    "a slope of another sign": Fault(
        "y > 0 ? dy : dy * (y + a)", "y > 0 ? dy : dy * (y - a)", case("elu_backward", (31,))
    ),
    "a sum over half a warp": Fault(
        "for (int lanes = 16; lanes > 0; lanes /= 2) value += ",
        "for (int lanes = 8; lanes > 0; lanes /= 2) value += ",
        case("softmax", (3, 1000)),
    ),
    "a warp's sum left out": Fault(
        "for (int w = 0; w < warps; ++w) total",
        "for (int w = 1; w < warps; ++w) total",
        case("linear_bias_gradient", (33, 31)),
    ),
    "the arrivals of the launch before": Fault("if (last) *arrived = 0;", "", case("l2", (1000,))),
    "targets that are taken to sum to 1": Fault(
        "(chance * whole - target)", "(chance - target)", case("softmax_crossentropy of shares: dz", (31, 33))
    ),
    "a loss of the sum": Fault(
        "if (loss) *loss = (real)(total / divisor);",
        "if (loss) *loss = (real)total;",
        case("binary_crossentropy_from_logits", (31, 33)),
    ),
    "the other side of the threshold": Fault(
        "(real)threshold) == (y[i] > (real)0.5)",
        "(real)threshold) == (y[i] < (real)0.5)",
        case("sigmoid_crossentropy: p, matches, 0.5", (31, 33)),
    ),
    "a distance that is none": Fault("fabs(p[i] - y[i])", "(p[i] - y[i])", case("tolerance_matches at 0.05", (31, 33))),
    "the last of equal columns": Fault(
        "(equal && there < place)", "(equal && there > place)", case("categorical_matches of shares", (97, 100))
    ),
    "a column that is no number is overlooked": Fault(
        "!(p[k] <= best)", "p[k] > best", case("categorical_matches of shares", (97, 100))
    ),
    "no factor 2 in a square's slope": Fault(
        "2 * error / (real)divisor", "error / (real)divisor", case("squared_error: dp", (7, 1))
    ),
    "no factor 2 in a penalty's slope": Fault("(real)(2 * rate)", "(real)rate", case("l2_backward", (31,))),
    "a norm that is not rooted": Fault("larger(sqrt(*square)", "larger((*square)", case("clip_norm at 0.5", (31,))),
    "swapped keys": Fault(
        "c0 = high1 ^ c1 ^ key0, c1 = low1, c2 = high0 ^ c3 ^ key1",
        "c0 = high1 ^ c1 ^ key1, c1 = low1, c2 = high0 ^ c3 ^ key0",
        with_machine(kernels.check_mask, STREAM, 31),
    ),
    "a round too few": Fault("round < 10", "round < 9", with_machine(kernels.check_mask, STREAM, 31)),
    "the block before": Fault(
        "begin / 4 + (word)block + 1", "begin / 4 + (word)block", with_machine(kernels.check_mask, STREAM, 31)
    ),
    "words that are not skipped": Fault(
        "skipped = begin % 4", "skipped = begin % 1", with_machine(kernels.check_mask, STREAM.skip(6), 31)
    ),
    "the second array's rows at the place of the first": Fault(
        "b[from * b_units + unit - a_units]",
        "b[from * b_units + unit % b_units]",
        with_machine(kernels.check_rows, ("f4", "i8"), 31, 0),
    ),
    "the order from its beginning": Fault(
        "order[first + row]", "order[row]", with_machine(kernels.check_rows, ("f4",), 31, 1)
    ),
    "one element too much is left over": Fault(
        "i = 4 * fours + FIRST", "i = 4 * fours + 1 + FIRST", case("sgd", (33,))
    ),
    "a look ahead that is none": Fault("w = w + (mu * v - rate * g)", "w = w + v", case("nesterov", (31,))),
    "the other correction": Fault(
        "(real)number(agenda, correction_2)", "(real)number(agenda, correction_1)", case("adam", (31,))
    ),
    "always the first row of the agenda": Fault(
        "HEADER + agenda[0] * agenda[1] + column", "HEADER + column", with_machine(kernels.check_corrections, "float32")
    ),
    "a decay without the rate": Fault(
        "(real)(number(agenda, learning_rate) * decay)", "(real)decay", case("decay_weights", (31,))
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_a_planted_fault_is_found(fault):
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count(fault.right) == 1
    fault.check(source)
    with pytest.raises(AssertionError):
        fault.check(source.replace(fault.right, fault.wrong))
