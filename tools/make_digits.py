"""Write ``src/nnxp/data/digits.npz`` from the copy of the UCI digits that scikit-learn carries.

Run it in an environment with scikit-learn: ``python tools/make_digits.py``. It prints the SHA-256 that
``src/nnxp/data/_digits.py`` and ``DIGITS.md`` must name. Another version of zlib may pack the same arrays into other
bytes, so a new file is a new SHA-256 even where the digits are the same.
"""

import hashlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parents[1] / "src" / "nnxp" / "data" / "digits.npz"


def main() -> None:
    """Store values 0..16 and labels 0..9 as bytes, in the order of the source."""
    source = load_digits()
    x, y = source.images.astype(np.uint8), source.target.astype(np.uint8)
    if not (np.array_equal(x, source.images) and np.array_equal(y, source.target)):
        raise SystemExit("the source holds values that do not fit a byte")
    np.savez_compressed(TARGET, x=x, y=y)
    data = TARGET.read_bytes()
    print(f"{TARGET}: {len(data)} bytes, x{x.shape}, y{y.shape}\nSHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
