# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2024.10"]
# ///
"""Every check, as a session: ``nox`` runs the usual ones, ``nox --list`` names them all."""

from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "virtualenv"

PYPROJECT = nox.project.load_toml("pyproject.toml")
# One BLAS thread per test worker: more would fight over the same cores.
QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}

SMOKE = """
import importlib.util
import sys

import nnxp

for name in ("cupy", "matplotlib", "numba", "torch", "jax", "sklearn", "pooch", "requests", "PIL"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed: this environment is not minimal"
    assert name not in sys.modules
print("nnxp", nnxp.__version__, "needs no extra:", nnxp.available_backends())
"""

SANITIZERS = {
    "thread": ("libtsan.so", {"TSAN_OPTIONS": "exitcode=66"}),
    "address": ("libasan.so", {"ASAN_OPTIONS": "detect_leaks=0"}),
}


def group(*names: str) -> list[str]:
    """The requirements of dependency groups of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, *names))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, and the direction of imports."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports", env={"PYTHONPATH": "src"})


@nox.session
def tests(session: nox.Session) -> None:
    """The suite on NumPy, with its own and with compiled kernels, and on the strict namespace."""
    session.install(".[plot,fast]", *group("test"))
    session.run("pytest", "-q", "-n", "auto", "tests", "--ignore=tests/oracle", *session.posargs, env=QUIET)


@nox.session
def doctests(session: nox.Session) -> None:
    """The examples in docstrings and pages."""
    session.install("-e", ".[plot,fast]", *group("test"))
    pages = [path for path in ("README.md", "docs") if Path(path).exists()]
    # The benchmark's peers import libraries that are not here, and so does what runs kernels on a GPU.
    absent = [f"--ignore-glob=src/nnxp/{files}" for files in ("bench/_*.py", "ops/cuda/device.py")]
    doctest = ("--doctest-modules", "--doctest-glob=*.md", *absent)
    session.run("pytest", "-q", *doctest, "src/nnxp", *pages, env=QUIET)


@nox.session
def minimal(session: nox.Session) -> None:
    """The bare package, without extras: it imports, trains and stays small."""
    session.install(".")
    session.chdir(session.create_tmp())
    session.run("python", "-W", "error", "-c", SMOKE)
    session.run("nnxp", "train", "digits", "--epochs", "2")


@nox.session(default=False)
def oracle(session: nox.Session) -> None:
    """The suite on PyTorch and JAX arrays, then against PyTorch and scikit-learn as peers."""
    session.install(".[plot]", *group("oracle"))
    env = QUIET | {"JAX_PLATFORMS": "cpu"}
    pytest = ("pytest", "-q", "-n", "auto", *session.posargs)
    session.run(*pytest, "tests", "--ignore=tests/oracle", "--backend", "torch,jax", env=env)
    # JAX has 64-bit types only where it is asked for them before it is imported.
    session.run(*pytest, "tests/ops", "tests/test_losses.py", "--backend", "jax", env=env | {"JAX_ENABLE_X64": "1"})
    session.run(*pytest, "tests/oracle", env=env)


@nox.session(default=False)
def cuda(session: nox.Session) -> None:
    """The CUDA kernels without a GPU: by NVIDIA's compiler, and on the host (by g++), where sanitizers watch them."""
    session.install(".[plot]", *group("cuda"))
    pytest = ("pytest", "-q")
    session.run(*pytest, "-n", "auto", "tests/cuda", *session.posargs, env=QUIET)
    # Long trainings are left to faster kernels; short ones of the same networks are in tests/examples.
    others = [f"--ignore=tests/{name}" for name in ("oracle", "cuda", "golden/test_moons.py")]
    session.run(*pytest, "-n", "auto", "tests", *others, "--backend", "numpy/cuda", *session.posargs, env=QUIET)
    in_short = ("--capture=sys", "-p", "no:xdist", "tests/cuda/test_kernels.py", "-k", "in_short or published")
    for name, (library, options) in SANITIZERS.items():
        path = session.run("g++", f"-print-file-name={library}", external=True, silent=True).strip()
        flags = {"NNXP_CUDA_HOST_FLAGS": f"-fsanitize={name}", "LD_PRELOAD": path, "PYTHONMALLOC": "malloc"}
        session.run(*pytest, *in_short, env=QUIET | flags | options)


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """The suite on CuPy, for CUDA 13; ``nox -s gpu -- --cuda12`` for CUDA 12."""
    posargs = [argument for argument in session.posargs if argument != "--cuda12"]
    cuda = "cuda12" if "--cuda12" in session.posargs else "cuda13"
    session.install(f".[{cuda},plot]", *group("test"))
    session.run("pytest", "-q", "tests", "--ignore=tests/oracle", "--backend", "cupy", *posargs, env=QUIET)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """The benchmark beside every peer; ``nox -s bench -- --workloads W1 --output FILE`` does a part of it."""
    session.install(".[bench,fast]", *group("bench"))
    # What is set for tests or for another processor would hold back some contenders and not others.
    session.run("nnxp", "bench", *session.posargs, env={"OPENBLAS_CORETYPE": None})


@nox.session(default=False)
def gallery(session: nox.Session) -> None:
    """Run the examples and draw their pictures anew; ``nox -s gallery -- moons_network`` does one."""
    session.install(".[examples]")
    env = QUIET | {"OPENBLAS_CORETYPE": None}
    session.run("python", "tools/make_gallery.py", *session.posargs, env=env)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """The reference, as pages in build/docs."""
    session.install(".[plot]", *group("docs"))
    session.run("pdoc", "--math", "--output-directory", "build/docs", "nnxp", env={"MPLBACKEND": "agg"})
