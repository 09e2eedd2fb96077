"""Run every example and put its picture into examples/pictures/, where examples/README.md shows it.

Pictures are reduced to 128 colours, which keeps the repository small: ``python tools/make_gallery.py [NAME …]``.
"""

import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
PICTURES = EXAMPLES / "pictures"
MORE = {"network": ("--images", "network_images.png"), "sine": ("--animation", "sine.gif")}


def main(names: list[str]) -> None:
    """Run the examples with these names, or all of them."""
    PICTURES.mkdir(exist_ok=True)
    for script in sorted(EXAMPLES.glob("[!_]*.py")):
        if names and script.stem not in names:
            continue
        print(f"== {script.stem}", flush=True)
        made = [PICTURES / f"{script.stem}.png"]
        options = ["--picture", str(made[0])]
        if script.stem in MORE:
            option, name = MORE[script.stem]
            made.append(PICTURES / name)
            options += [option, str(made[1])]
        subprocess.run([sys.executable, str(script), *options], check=True)
        for path in made:
            if path.suffix == ".png":
                shrink(path)


def shrink(path: Path) -> None:
    """The picture in 128 colours."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(128)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
