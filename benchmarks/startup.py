"""How long people wait before anything happens: `import delineo` and `delineo --help`.

    python benchmarks/startup.py

Marks: 0.2 s and 0.3 s. Each figure is the median of whole processes, less nothing.
"""

import subprocess
import sys
import time
from statistics import median

from common import record

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import delineo": [sys.executable, "-c", "import delineo"],
    "delineo --help": [sys.executable, "-m", "delineo", "--help"],
}


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    rounds = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(10)]
    record("startup", {name: round(median(r[name] for r in rounds), 3) for name in COMMANDS})
