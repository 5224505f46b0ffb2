"""The rows of a scan's windows that are finished, on disk until all are there.

What was killed goes on from them, by the same windows, if scan, model and decision are the same.
"""

import hashlib
import json
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from .data.rasters import Raster
from .decision import top_number
from .errors import DataError
from .files import write_atomically
from .regions import highest
from .runtime import MaskPredictor
from .tiles import Plan, plan_windows

STRIP = 512
"""Rows of a mask that are in memory while it is put together."""
ENLARGED_SIDE = 1024
"""Height and width, in the file, of the windows in which a whole answer is enlarged."""


class Row(NamedTuple):
    """What is kept of a row of windows."""

    mask: UInt8[np.ndarray, "layers _ width"]
    """By thresholds alone; where regions of exclusive classes are cleaned, as `ranked`."""
    top: Float[np.ndarray, "classes _"]
    """Its highest probabilities."""
    sums: Float[np.ndarray, "classes 2"]
    """As `sum_probabilities` of that mask."""


@dataclass(frozen=True)
class Parts:
    """The rows of windows that are finished, in a folder, with what they were made of."""

    folder: Path
    plan: Plan
    layers: int
    width: int
    confident: int
    """How many probabilities of a class its confidence is the mean of; 0: no gate asks for it."""

    @classmethod
    def open(cls, target: Path, predictor: MaskPredictor, raster: Raster, layers: int) -> "Parts":
        """Those of a call that was stopped; anew where scan, model or decision have changed."""
        folder = target.with_name(f".{target.name}.parts")
        journal, made_of = folder / "journal.json", _fingerprint(predictor, raster)
        plan = _planned(journal, made_of)
        if plan is None:
            plan = _plan(predictor)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            record = {"made_of": made_of, "plan": plan.model_dump()}
            write_atomically(journal, json.dumps(record, indent=1))
        gated = any(clean_up.least_confidence for clean_up in predictor.decision.clean_ups())
        confident = top_number(raster.size[0] * raster.size[1]) if gated else 0
        return cls(folder, plan, layers, raster.size[1], confident)

    def file(self, row: int) -> Path:
        return self.folder / f"{row:06d}.z"

    def write(self, number: int, row: Row) -> None:
        """A row is finished once its mask is there."""
        file = self.file(number)
        if self.confident:
            write_atomically(file.with_suffix(".f4"), row.top.astype("<f4").tobytes())
        write_atomically(file.with_suffix(".sums"), row.sums.astype("<f8").tobytes())
        write_atomically(file, zlib.compress(row.mask.data, 1))

    def strips(self) -> Iterator[UInt8[np.ndarray, "layers _ width"]]:
        """All rows from top to bottom, in strips of up to STRIP rows."""
        for file in sorted(self.folder.glob("*.z")):
            values = np.frombuffer(zlib.decompress(file.read_bytes()), np.uint8)
            rows = values.reshape(self.layers, -1, self.width)
            yield from (rows[:, top : top + STRIP] for top in range(0, rows.shape[1], STRIP))

    def confidences(self) -> list[float]:
        """In each class, over all pixels, as `decision.confidence`; empty where none were kept."""
        kept = np.zeros((self.layers, 0), np.float32)
        for file in sorted(self.folder.glob("*.f4")):
            values = np.frombuffer(file.read_bytes(), "<f4").reshape(self.layers, -1)
            kept = highest(np.concatenate([kept, values], axis=1), self.confident)
        return kept.mean(axis=1).tolist() if kept.size else []

    def sums(self) -> Float[np.ndarray, "classes 2"]:
        """As `sum_probabilities`, over all rows."""
        files = sorted(self.folder.glob("*.sums"))
        rows = [np.frombuffer(file.read_bytes(), "<f8") for file in files]
        return np.sum(rows, axis=0).reshape(-1, 2)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _planned(journal: Path, made_of: str) -> Plan | None:
    """By what windows the same was begun; None where it was not."""
    try:
        record = json.loads(journal.read_text())
        return Plan.model_validate(record["plan"]) if record["made_of"] == made_of else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plan(predictor: MaskPredictor) -> Plan:
    if predictor.scale == "mixed":
        raise DataError(
            "some of these runs look at whole images (data.scale=fit) and others do not, which "
            "no window suits; predict scans with each kind alone"
        )
    if predictor.scale == "fit":
        return Plan(side=ENLARGED_SIDE, halo=0, step=ENLARGED_SIDE, scale=1.0)
    return plan_windows(predictor.footprint(), float(predictor.scale), len(predictor.classes))


def _fingerprint(predictor: MaskPredictor, raster: Raster) -> str:
    """Of the scan's file, of the decision, and of what the network answers to noise of its type."""
    pixel, _ = raster.read(slice(0, 1), slice(0, 1))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, predictor.channels))
    file = raster.path.stat()
    facts: list[Any] = [str(raster.path.resolve()), file.st_size, file.st_mtime_ns]
    facts += [predictor.scale, predictor.image_size, predictor.decision.model_dump(mode="json")]
    digest = hashlib.sha256(predictor.probabilities(noise.astype(pixel.dtype)).tobytes())
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()
