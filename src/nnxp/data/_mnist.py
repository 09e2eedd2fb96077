"""70,000 images in ten classes, twice: handwritten digits, and articles of clothing in the same format."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnxp._check import choice
from nnxp.data._collection import Collection
from nnxp.data._idx import Samples, read_samples
from nnxp.data._splits import Split, Splits
from nnxp.errors import FileFormatError, FileNotFound

__all__ = ["FASHION_CLASSES", "FASHION_MNIST", "MNIST", "fashion_mnist", "load_collection", "mnist"]

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""The names of the labels 0 to 9 of Fashion-MNIST."""

MNIST = Collection(
    "mnist",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
FASHION_MNIST = Collection(
    "fashion-mnist",
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # has no https; the SHA-256 makes it safe
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)

_IMAGES, _LABELS, _CLASSES = Samples("images", (28, 28)), Samples("labels", ()), 10


def mnist(folder: str | PathLike[str] | None = None, *, progress: str = "auto") -> Splits:
    """The digits 0 to 9 as images, in three fixed parts. x[N, 28, 28, 1] float32 in [0, 1], y[N] int64.

    Training has the first 50,000 of the 60,000 training images, validation the last 10,000, test the 10,000 test
    images. Each call returns fresh arrays.

    Without a ``folder``, the four files (11.6 MB) are downloaded once, which needs the extra ``nnxp[data]``, and stay
    in the user's cache folder, or in the one that the environment variable ``NNXP_DATA`` names; their SHA-256 is
    checked at each call. ``progress`` is "auto", "bar", "lines" or "off", as for ``fit``.

    With a ``folder``, the files there are read, and nothing is downloaded: ``train-images-idx3-ubyte``,
    ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte``, each also with ``.idx`` for
    ``-idx`` and with ``.gz`` at its end. They may be a user's own, with 10 classes of images of 28 by 28: the last
    sixth of the training images is for validation, and no hash is checked.

    Raises ``FileNotFound`` for files that are not in the folder, ``FileFormatError`` for files that are not what they
    should be, ``DownloadError`` when no mirror gives a file.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998), https://doi.org/10.1109/5.726791.
    """
    return load_collection(MNIST, folder, progress)


def fashion_mnist(folder: str | PathLike[str] | None = None, *, progress: str = "auto") -> Splits:
    """Articles of clothing as images, in three fixed parts. x[N, 28, 28, 1] float32 in [0, 1], y[N] int64.

    `FASHION_CLASSES` names the labels 0 to 9. Parts, ``folder``, ``progress`` and errors are those of `mnist`; the
    files are 30.9 MB.

    Source: H. Xiao, K. Rasul and R. Vollgraf (2017), https://arxiv.org/abs/1708.07747.
    """
    return load_collection(FASHION_MNIST, folder, progress)


def load_collection(collection: Collection, folder: str | PathLike[str] | None, progress: str) -> Splits:
    """The parts of a collection, from a user's folder or from the cache."""
    choice(collection.name, "progress", progress, ("auto", "bar", "lines", "off"))
    if folder is None:
        from nnxp.data._cache import cached  # few ever download: importing nnxp should not wait for the means to

        paths = cached(collection, progress)
    else:
        paths = _in_folder(Path(folder), collection)
    (x, y), test = _read(*paths[:2]), _read(*paths[2:])
    if len(x) < 2:
        raise FileFormatError(f"{paths[0]} holds 1 image; training and validation need 2 at least.")
    rows = len(x) - max(len(x) // 6, 1)
    return Splits(*(_as_split(*part) for part in ((x[:rows], y[:rows]), (x[rows:], y[rows:]), test)))


def _in_folder(folder: Path, collection: Collection) -> list[Path]:
    names = [name.removesuffix(".gz") for name in collection.sha256]
    paths = [next((path for path in _candidates(folder, name) if path.is_file()), None) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing:
        state = f"lacks {', '.join(missing)}" if folder.is_dir() else "is not a folder"
        raise FileNotFound(
            f"{folder} {state}; expected {', '.join(names)}, each also with .idx for -idx and with .gz at its end. "
            f"Without a folder, {collection.name} is downloaded."
        )
    return [path for path in paths if path is not None]


def _candidates(folder: Path, name: str) -> list[Path]:
    return [folder / f"{stem}{suffix}" for suffix in ("", ".gz") for stem in (name, name.replace("-idx", ".idx"))]


def _read(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    x, y = read_samples(images, _IMAGES), read_samples(labels, _LABELS)
    if len(x) != len(y):
        raise FileFormatError(
            f"{images} holds {len(x):,} images and {labels} {len(y):,} labels, expected as many of both; check that "
            "both files are of one set."
        )
    if (wrong := np.flatnonzero(y >= _CLASSES)).size:
        raise FileFormatError(
            f"{labels}: label {wrong[0]} is {y[wrong[0]]}, expected 0 to {_CLASSES - 1}; number the classes from 0 "
            "(nnxp.data.load_idx reads labels of any kind)."
        )
    return x, y


def _as_split(pixels: NDArray[Any], labels: NDArray[Any]) -> Split:
    return Split(np.divide(pixels[..., None], np.float32(255), dtype=np.float32), labels.astype(np.int64))
