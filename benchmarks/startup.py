"""How long people wait before anything happens: `import delineo`, `delineo --help`, and the mask of
one photograph by the default network as OpenVINO.

    python benchmarks/startup.py

Marks: 0.2 s, 0.3 s and 2 s. Each figure is the median of whole processes, less nothing.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import record
from parity import colours, pictures, predictor_of
from PIL import Image

from delineo.export import write_export
from delineo.models.catalogue import choose_network

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import delineo": [sys.executable, "-c", "import delineo"],
    "delineo --help": [sys.executable, "-m", "delineo", "--help"],
}


PHOTO = (573, 765)
"""Height and width of the photograph that is predicted, all of whose pixels the network sees."""


def predict_one(root: Path) -> list[str]:
    """The command that predicts one image with an export, which is written first."""
    (root / "export").mkdir()
    folder, network = pictures(root), choose_network("lite_unet", ["model.pretrained=false"])
    write_export(root / "export", "openvino", predictor_of(network), folder)
    photo = root / "photo.jpg"
    Image.fromarray(colours(PHOTO, seed=0)).save(photo)
    own = [sys.executable, "-m", "delineo", "predict", str(root / "export"), str(photo)]
    return [*own, "--out", str(root / "masks")]


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as root:
        commands = {**COMMANDS, "delineo predict, OpenVINO": predict_one(Path(root))}
        rounds = [{name: seconds(each) for name, each in commands.items()} for _ in range(10)]
    record("startup", {name: round(median(r[name] for r in rounds), 3) for name in commands})
