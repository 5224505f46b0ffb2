"""Areas and counts of each class in each image, as a table."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .data.samples import IGNORE_INDEX, Task
from .errors import ConfigError
from .files import write_atomically
from .maskfiles import Finished
from .runtime import require


class Area(NamedTuple):
    """One row: one class in one image."""

    file: str
    name: str
    pixels: int
    share: float
    """Of the image's pixels that hold data, 0 to 1."""
    regions: int
    """Connected ones; pixels touch with sides or corners."""
    mean_probability: float | None
    """Of the class over its pixels; None where it has none."""


_HEADER = ("file", "class", *Area._fields[2:])


def check_table_file(path: Path) -> None:
    """Raises ConfigError where no table can be written to such a file."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"--table takes a file that ends in .csv or .parquet, got {path}")
    if path.suffix.lower() == ".parquet":
        require("pyarrow.parquet", "parquet")


def write_areas(
    path: Path, finished: Iterable[Finished], task: Task, classes: Sequence[str]
) -> None:
    """A row for each image and class, as CSV or Parquet by the file's ending, in one step."""
    rows = [row for item in finished for row in measure(item, task, classes)]
    path.parent.mkdir(parents=True, exist_ok=True)
    is_csv = path.suffix.lower() == ".csv"
    write_atomically(path, _as_csv(rows) if is_csv else _as_parquet(rows))


def measure(item: Finished, task: Task, classes: Sequence[str]) -> Iterator[Area]:
    """One row for each class, the first of exclusive ones too."""
    from .regions import count_regions  # SciPy is slow to import

    known = sum(np.count_nonzero(strip != IGNORE_INDEX) for strip in item.strips())
    known //= len(classes) if task == "multilabel" else 1
    for index, (name, certainty) in enumerate(zip(classes, item.certainty, strict=True)):
        pixels, regions = count_regions(_layer(item, task, index))
        yield Area(item.name, name, pixels, pixels / max(known, 1), regions, certainty)


def _layer(item: Finished, task: Task, index: int) -> Callable[[], Iterator[np.ndarray]]:
    """Where a class is, in strips."""
    if task == "multilabel":
        return lambda: (strip[index] == 1 for strip in item.strips())
    value = 1 if task == "binary" else index
    return lambda: (strip == value for strip in item.strips())


def _as_csv(rows: Sequence[Area]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([_HEADER, *rows])
    return text.getvalue()


def _as_parquet(rows: Sequence[Area]) -> bytes:
    import pyarrow as arrow
    from pyarrow import parquet

    kinds = (
        arrow.string(), arrow.string(), arrow.int64(), arrow.float64(), arrow.int64(),
        arrow.float64(),
    )  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * len(_HEADER)
    arrays = [arrow.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    buffer = arrow.BufferOutputStream()
    parquet.write_table(arrow.table(arrays, names=list(_HEADER)), buffer)
    return buffer.getvalue().to_pybytes()
