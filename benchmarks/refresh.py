"""Put a report of ``nnxp bench`` into README.md, as tables and as pictures.

    nnxp bench --sweep all --workloads W1 W2 W3 W4 --output benchmarks/cpu.json
    python benchmarks/refresh.py

Pictures are reduced to 128 colours, which keeps the repository small.
"""

import argparse
import json
from pathlib import Path

from PIL import Image

from nnxp import bench, plotting

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("report", nargs="?", type=Path, default=FOLDER / "cpu.json", help="default: %(default)s")
    report = json.loads(parser.parse_args().report.read_text(encoding="utf-8"))
    for name, part in (("workloads", report | {"sweeps": {}}), ("sweeps", report | {"workloads": {}})):
        if report[name]:
            draw(part, FOLDER / f"{name}.png")
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n{bench.markdown(report)}\n\n{END}{after}", encoding="utf-8")


def draw(report: dict, path: Path) -> None:
    """The picture of a report, in few colours."""
    plotting.save(plotting.benchmark(report), path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(128)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
