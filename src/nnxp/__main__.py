"""``python -m nnxp``: the same as the ``nnxp`` command."""

from nnxp.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
