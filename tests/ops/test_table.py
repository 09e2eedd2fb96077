"""The table of ops as a value, and the rules of the house that a reader of one file cannot see broken."""

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import numpy as np
import pytest

import nnxp
from nnxp.ops import ELEMENTWISE, NOT_OPS, VIEWS, Ops, reference

TABLE = reference.table(np)
NAMES = {field.name for field in fields(Ops)} - NOT_OPS


def doubling(x, *, out=None, scratch=None):
    """A kernel for tests: 2·x, whatever the op that it stands for."""
    buffer = np.empty_like(x) if out is None else out
    return lambda: np.multiply(x, 2, out=buffer)


def tripling(x, *, out=None, scratch=None):
    """Another one: 3·x."""
    buffer = np.empty_like(x) if out is None else out
    return lambda: np.multiply(x, 3, out=buffer)


class TestOps:
    def test_is_frozen(self):
        with pytest.raises(FrozenInstanceError):
            TABLE.relu = None

    def test_names_in_the_lists_exist(self):
        assert ELEMENTWISE <= NAMES
        assert VIEWS <= NAMES
        assert not ELEMENTWISE & VIEWS

    def test_replace_adds_to_what_is_honoured(self):
        first = TABLE.replace(relu=doubling)
        second = first.replace(tanh=tripling)
        assert (TABLE.honours, TABLE.kernels) == (frozenset(), {})
        assert (first.honours, first.kernels) == ({"relu"}, {"relu": doubling})
        assert (second.honours, second.kernels) == ({"relu", "tanh"}, {"relu": doubling, "tanh": tripling})
        x = np.array([[-1.0, 0.5]])
        np.testing.assert_array_equal(second.relu(x), 2 * x)
        np.testing.assert_array_equal(second.tanh(x), 3 * x)
        np.testing.assert_array_equal(first.tanh(x), np.tanh(x))
        np.testing.assert_array_equal(TABLE.relu(x), [[0, 0.5]])
        assert (first.relu, second.softmax) == (second.relu, TABLE.softmax)

    def test_the_last_kernel_counts(self):
        x = np.array([1.0])
        table = TABLE.replace(relu=doubling).replace(relu=tripling)
        assert (table.honours, table.kernels) == ({"relu"}, {"relu": tripling})
        np.testing.assert_array_equal(table.relu(x), [3.0])

    def test_an_entry_binds_its_kernel_anew_at_each_call(self):
        """Nothing of a call is kept: neither its arrays nor its buffer."""
        calls = []

        def kernel(x, *, out=None, scratch=None):
            calls.append((x, out))
            return doubling(x, out=out)

        table, buffer = TABLE.replace(relu=kernel), np.empty(1)
        first, second = np.array([1.0]), np.array([2.0])
        np.testing.assert_array_equal(table.relu(first), [2.0])
        assert table.relu(second, out=buffer) is buffer
        assert calls[0] == (first, None)
        assert calls[1][0] is second
        assert calls[1][1] is buffer
        np.testing.assert_array_equal(buffer, [4.0])

    def test_an_entry_says_what_its_op_says(self):
        table = TABLE.replace(relu=doubling)
        assert (table.relu.__name__, table.relu.__doc__) == ("relu", TABLE.relu.__doc__)

    def test_what_is_no_op(self):
        assert {field.name for field in fields(Ops)} >= NOT_OPS
        assert reference.FUNCTIONS.keys() == NAMES
        assert TABLE.scratch() is None

    def test_replace_refuses_names_it_does_not_have(self):
        with pytest.raises(TypeError, match="rellu"):
            TABLE.replace(rellu=doubling)

    @pytest.mark.parametrize("name", sorted(NOT_OPS))
    def test_replace_refuses_what_is_no_op(self, name):
        with pytest.raises(TypeError, match=name):
            TABLE.replace(**{name: doubling})

    @pytest.mark.parametrize("name", sorted(NAMES))
    def test_bound_ops_say_what_they_are(self, name):
        """With the reference's name and docstring, and with ``out=``: callers need not know which table they have."""
        op = getattr(TABLE, name)
        assert (op.__name__, op.__doc__) == (name, reference.FUNCTIONS[name].__doc__)
        assert op.__doc__
        assert inspect.signature(op).parameters["out"].default is None

    def test_reference_result_with_a_buffer(self):
        x, buffer = np.array([[-1.0, 2.0]]), np.full((1, 2), 7.0)
        np.testing.assert_array_equal(TABLE.relu(x, out=buffer), [[0, 2]])
        np.testing.assert_array_equal(buffer, [[7, 7]])


class TestWithoutDonation:
    def test_every_op_is_offered_buffers(self, backend):
        assert backend.ops.without_donation().honours == NAMES

    def test_no_kernel_is_left(self):
        """A kernel writes into its buffers, always: what should not be written must not be bound to it."""
        kernels = nnxp.get_backend("numpy").ops
        assert kernels.kernels
        assert kernels.without_donation().kernels == {}

    @pytest.mark.parametrize("poison", [True, False])
    def test_one_result(self, poison, backend, array):
        if not backend.writable:
            pytest.skip("nothing is donated where arrays are immutable")
        buffer = backend.asarray(np.full((1, 2), 7.0))
        result = backend.ops.without_donation(poison=poison).relu(array([[-1.0, 2.0]]), out=buffer)
        np.testing.assert_array_equal(backend.to_numpy(result), [[0, 2]])
        np.testing.assert_array_equal(backend.to_numpy(buffer), [[np.nan] * 2 if poison else [7] * 2])

    @pytest.mark.parametrize("poison", [True, False])
    def test_several_results(self, poison, backend, array):
        """Each buffer by itself; None stands for no buffer."""
        if not backend.writable:
            pytest.skip("nothing is donated where arrays are immutable")
        p, dz = (backend.asarray(np.full((1, 2), 7.0)) for _ in range(2))
        ops, z, y = backend.ops.without_donation(poison=poison), array([[0.0, 0.0]]), array([1])
        results = ops.softmax_categorical_crossentropy(z, y, 1.0, out=(p, None, dz))
        expected = [[[0.5, 0.5]], np.log(2), [[0.5, -0.5]]]
        for result, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(backend.to_numpy(result), wanted, rtol=1e-6)  # a few roundings in float32
        for buffer in (p, dz):
            np.testing.assert_array_equal(backend.to_numpy(buffer), [[np.nan] * 2 if poison else [7] * 2])

    def test_no_buffer(self, backend, array):
        result = backend.ops.without_donation(poison=True).relu(array([[-1.0, 2.0]]))
        np.testing.assert_array_equal(backend.to_numpy(result), [[0, 2]])

    def test_the_table_itself_stays(self):
        kernels = nnxp.get_backend("numpy").ops
        kernels.without_donation(poison=True)
        x, buffer = np.array([[1.0]]), np.empty((1, 1))
        assert kernels.relu(x, out=buffer) is buffer
        assert buffer[0, 0] == 1


# -- rules: each takes a file's tree and yields what breaks it, as "line: what"

SOURCE = Path(nnxp.__file__).parent
TESTS = Path(__file__).parents[1]
LIBRARIES = {"cupy", "torch", "jax"}


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def names_a_library(tree: ast.AST) -> Iterator[str]:
    """An import of an array library, or its bare name as a string: what a comparison would need."""
    for line, module in imported(tree):
        if LIBRARIES.intersection(module.split(".")):
            yield f"{line}: import of {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.split(".")[0] in LIBRARIES:
            yield f"{node.lineno}: {node.value!r}"


def imports_numpy(tree: ast.AST) -> Iterator[str]:
    for line, module in imported(tree):
        if module.split(".")[0] == "numpy":
            yield f"{line}: import of {module}"


def prints(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{node.lineno}: print"


def is_kernel(node: ast.AST) -> bool:
    """Whether this takes ``*, out, scratch``: then it is an op again, which the reference explains."""
    return isinstance(node, ast.FunctionDef) and [a.arg for a in node.args.kwonlyargs] == ["out", "scratch"]


def lacks_a_docstring(tree: ast.Module) -> Iterator[str]:
    """Functions and classes that ``__all__`` promises, but for kernels, and the module itself."""
    if not ast.get_docstring(tree):
        yield "1: the module"
    public = {
        constant.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        for constant in ast.walk(node.value)
        if isinstance(constant, ast.Constant)
    }
    for node in tree.body:
        if is_kernel(node) or not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        if node.name in public and not ast.get_docstring(node):
            yield f"{node.lineno}: {node.name}"


def is_defined_twice(tree: ast.AST) -> Iterator[str]:
    """Two tests of one name in a module or a class: the first never runs."""
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.Module | ast.ClassDef):
            continue
        seen: set[str] = set()
        for node in scope.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.lower().startswith("test"):
                if node.name in seen:
                    yield f"{node.lineno}: {node.name}"
                seen.add(node.name)


Rule = Callable[[ast.Module], Iterator[str]]

RULES: dict[str, tuple[Rule, Path, str, set[str]]] = {
    # name: rule, where it holds, which files, which of them are excepted (a name that ends in / is a folder)
    "libraries are named in the registry": (
        names_a_library,
        SOURCE,
        "**/*.py",
        # The benchmark's peers are contenders with a name, not backends. CUDA is reached through CuPy, by the kernels
        # and by the doctor that looks for it. Of memory, each library speaks in its own way.
        {"backend/_registry.py", "backend/_memory.py", "cli/_cuda.py", "ops/cuda/device.py", "ops/cuda/probe.py"}
        | {"bench/_jax.py", "bench/_torch.py", "bench/contenders.py", "bench/machine.py"},
    ),
    "the mathematics knows no NumPy": (imports_numpy, SOURCE / "ops", "**/*.py", {"numpy/", "numba/", "cuda/"}),
    "printing is for progress and the command line": (
        prints,
        SOURCE,
        "**/*.py",
        {"training/progress.py", "compat/nnfs/_model.py"}
        | {f"cli/{name}.py" for name in ("_bench", "_cuda", "_doctor", "_main", "_parity")},
    ),
    "what is public is explained": (lacks_a_docstring, SOURCE, "**/*.py", set()),
    "no test hides another": (is_defined_twice, TESTS, "**/test_*.py", set()),
}


def covers(exception: str, name: str) -> bool:
    """Whether an exception is that file, or a folder above it."""
    return name.startswith(exception) if exception.endswith("/") else name == exception


def files_of(root: Path, pattern: str) -> dict[str, Path]:
    return {path.relative_to(root).as_posix(): path for path in sorted(root.glob(pattern))}


@pytest.mark.parametrize("name", RULES)
def test_rule(name):
    rule, root, pattern, excepted = RULES[name]
    files = files_of(root, pattern)
    assert len(files) > 5
    for exception in excepted:
        assert any(covers(exception, file) for file in files), f"an exception for {exception}, which is not there"
    broken = [
        f"{name}:{place}"
        for name, path in files.items()
        if not any(covers(exception, name) for exception in excepted)
        for place in rule(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not broken


@pytest.mark.parametrize("name", [name for name, (_, _, _, excepted) in RULES.items() if excepted])
def test_exceptions_are_needed(name):
    """A file that breaks no rule any more needs no exception, nor does a folder of such files."""
    rule, root, pattern, excepted = RULES[name]
    for exception in excepted:
        files = [path for file, path in files_of(root, pattern).items() if covers(exception, file)]
        assert any(list(rule(ast.parse(path.read_text(encoding="utf-8")))) for path in files), exception


@pytest.mark.parametrize(
    ("exception", "file", "covered"),
    [
        ("numpy/", "numpy/losses.py", True),
        ("numpy/", "numpy/deep/losses.py", True),
        ("numpy/", "numpy.py", False),
        ("numpy/", "reference/numpy/x.py", False),
        ("numpy.py", "numpy.py", True),
        ("numpy.py", "deep/numpy.py", False),
    ],
)
def test_exceptions_cover(exception, file, covered):
    assert covers(exception, file) is covered


@pytest.mark.parametrize(
    ("rule", "source", "found"),
    [
        (names_a_library, "if name == 'cupy': pass", ["1: 'cupy'"]),
        (names_a_library, "import numpy\nimport jax.numpy as xp", ["2: import of jax.numpy"]),
        (names_a_library, "def f():\n    from torch import nn", ["2: import of torch", "2: import of torch.nn"]),
        (names_a_library, "from array_api_compat import cupy", ["1: import of array_api_compat.cupy"]),
        (names_a_library, '"""Runs on cupy or torch."""\nhint = "pip install jax"', []),
        (
            imports_numpy,
            "from numpy.linalg import norm",
            ["1: import of numpy.linalg", "1: import of numpy.linalg.norm"],
        ),
        (imports_numpy, "from nnxp.ops import numpy", []),
        (prints, "def f():\n    print('x')", ["2: print"]),
        (prints, "show = print\nlog.print(1)", []),
        (lacks_a_docstring, "'''M.'''\n__all__ = ['f', 'C']\ndef f(): pass\nclass C:\n    '''C.'''", ["3: f"]),
        (lacks_a_docstring, "'''M.'''\n__all__ = ['f']\ndef g(): pass\ndef f():\n    '''F.'''", []),
        (lacks_a_docstring, "x = 1", ["1: the module"]),
        (lacks_a_docstring, "'''M.'''\n__all__ = ['f']\ndef f(x, *, out=None, scratch=None): pass", []),
        (lacks_a_docstring, "'''M.'''\n__all__ = ['f']\ndef f(x, *, out=None): pass", ["3: f"]),
        (is_defined_twice, "def test_a(): pass\ndef test_a(): pass", ["2: test_a"]),
        (is_defined_twice, "class TestA:\n    def test_a(self): 1\n    def test_a(self): 2", ["3: test_a"]),
        (is_defined_twice, "class TestA: pass\nclass TestA: pass", ["2: TestA"]),
        (is_defined_twice, "def test_a(): pass\nclass TestA:\n    def test_a(self): pass", []),
    ],
)
def test_rules_see(rule, source, found):
    assert list(rule(ast.parse(source))) == found
