"""tune(): how probabilities become masks, fitted step by step on the validation part.

Never on another part: what chose a threshold cannot judge it. A step is kept where the interval of
what it gains lies above 0 (see `choosing`), the temperature where it makes probabilities truer.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .calibration import Calibration, calibrate, fit_temperature
from .choosing import BY_CLASS, FOLDS, Scoring, absent, choose, pick
from .data.declared import BACKGROUND_NAMES
from .data.samples import DataFolder, Task
from .decision import CleanUp, Decision
from .errors import ConfigError, DataError
from .evaluation import image_groups
from .files import write_atomically
from .intervals import Groups, Interval
from .machine import cache_bytes
from .metrics import CountTable
from .prediction import Predictor
from .progress import NoProgress, Progress
from .run import Run
from .trials import (
    BINS,
    THRESHOLDS,
    ValidationImages,
    claims,
    count_tables,
    draw_pixels,
    threshold_tables,
)

CONFIDENCES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
LARGEST_SHARE = 0.04
"""Of the median mask's pixels: the largest size of region, hole or area that is tried."""


@dataclass(frozen=True)
class Step:
    """One thing that was tried, for one class or, where classes exclude each other, for all."""

    step: str
    """The field of Decision."""
    of: str | None
    """The class; None for all together."""
    before: float | int | bool
    value: float | int | bool
    """What scored best; `before` where nothing scored better."""
    score: float | None
    """Of the class before the step."""
    gain: float | None
    """On images that took no part in choosing."""
    interval: list[float] | None
    kept: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "class": self.of,
            "before": self.before,
            "value": self.value,
            "score": self.score,
            "gain": self.gain,
            "interval95": self.interval,
            "kept": self.kept,
        }


@dataclass(frozen=True)
class Tuning:
    """What was tried, what it gained, and the decision that came of it."""

    decision: Decision
    score: str
    num_images: int
    groups: Groups
    before: float | None
    """The score on validation with default thresholds and nothing cleaned."""
    after: float | None
    gain: Interval
    """On the images that everything was chosen on, so too kind."""
    calibration: Calibration
    steps: tuple[Step, ...]
    curves: Mapping[str, Mapping[str, list[Any]]]
    """{class: {"threshold": [...], "score": [...]}}; none for multi-class masks."""
    absent: tuple[str, ...]
    """Classes that no validation mask holds; they keep what they had."""

    def to_json(self) -> dict[str, Any]:
        """What tuning.json holds."""
        return {
            "split": "val",
            "num_images": self.num_images,
            "score": self.score,
            "resampled": "images" if self.groups is None else "groups",
            "folds": FOLDS,
            "before": self.before,
            "after": self.after,
            **self.gain.to_json(),
            "decision": self.decision.model_dump(mode="json"),
            "steps": [step.to_json() for step in self.steps],
            "curves": {name: dict(curve) for name, curve in self.curves.items()},
            "calibration": self.calibration.to_json(),
            "absent": list(self.absent),
        }

    def lines(self) -> list[str]:
        """What came of it, in words."""
        gain = self.gain.to_json()
        low, high = gain["interval95"] or (None, None)
        spread = f" [{low:+.4f}, {high:+.4f}]" if gain["interval95"] else ""
        scores = f"{_spelled(self.before)} before, {_spelled(self.after)} now"
        judged = "measured on the images that chose it"
        lines = [
            f"{self.score} on validation: {scores}, gain {_spelled(gain['gain'])}{spread}, {judged}"
        ]
        kept = self.calibration.kept or any(step.kept for step in self.steps)
        if not kept:
            lines.append("nothing gains more than chance: masks are decided by the defaults")
        for name in self.absent:
            lines.append(f"{name} is in no validation mask: its threshold could not be fitted")
        return lines


def tune(
    run: Run | Path | str,
    score: str | None = None,
    *,
    predictor: Predictor | None = None,
    progress: Progress | None = None,
) -> Tuning:
    """Fit the decision of a run on its validation part; write decision.json and tuning.json.

    `score` is one of BY_CLASS, by default what the run's training was watched by. `predictor` is
    the run's own if None. Raises ConfigError for a score that cannot be, DataError where there are
    no validation images.
    """
    run = run if isinstance(run, Run) else Run.open(Path(run))
    task, progress = run.description().task, progress or NoProgress()
    name = score_name(score, run.recipe().monitor, task)
    folder = validation_folder(run)
    images = ValidationImages(predictor or Predictor.load(run), folder, cache_bytes(0.3))
    scoring = Scoring(name, task, image_groups(folder, folder.splits["val"]))
    tuning = fit(images, scoring, progress)
    write_atomically(run.tuning_file, json.dumps(tuning.to_json(), allow_nan=False, indent=1))
    write_atomically(run.decision_file, tuning.decision.model_dump_json(indent=1))
    return tuning


def score_name(wanted: str | None, monitor: str, task: Task) -> str:
    """The score to tune by. Raises ConfigError where masks of this task have no such score."""
    usual = "per_image.mean_iou" if task == "binary" else "dataset.mean_iou"
    name = wanted or (monitor if monitor in BY_CLASS else usual)
    known = [name for name in BY_CLASS if _has(name, task)]
    if name not in known:
        raise ConfigError(
            f"{task} masks cannot be tuned by {name!r}; choose one of {', '.join(known)}"
        )
    return name


def _has(name: str, task: Task) -> bool:
    tasks = {
        "competition.tgs_precision": ("binary",),
        "competition.severstal_mean_dice": ("binary", "multilabel"),
    }
    return task in tasks.get(name, (task,))


def validation_folder(run: Run) -> DataFolder:
    """The run's own data. Raises DataError where it or its validation part is gone."""
    described = run.description()
    if not described.splits.get("val"):
        raise DataError(
            f"{run.path} has no validation images, and thresholds that are chosen on others cannot "
            "be judged; name some as val in splits.json and train again"
        )
    if not described.root.exists():
        raise DataError(
            f"the data of {run.path} is no longer at {described.root}; tuning looks at its "
            "validation images: put the folder back"
        )
    return run.folder()


def fit(images: ValidationImages, scoring: Scoring, progress: Progress) -> Tuning:
    """All steps, each on top of what the earlier ones kept."""
    folder = images.folder
    default = Decision.default(folder.task, folder.classes)
    decision, calibration = take_temperature(images, default, scoring.groups, progress)
    before = count_tables(images, [default], "default", progress)[0]
    steps, curves, table = [], {}, before
    median_pixels = float(np.median(list(images.mask_pixels.values())))
    for name, values in candidates(folder.task, median_pixels).items():
        if name == "thresholds":
            tables = threshold_tables(images, decision, progress)
            curves = threshold_curves(tables, scoring, folder.classes)
        else:
            ways = [with_step(decision, name, value, folder) for value in values]
            tables = count_tables(images, ways, name.replace("_", " "), progress)
        decision, table, tried = take_step(name, values, tables, decision, scoring, folder)
        steps += tried
    once = np.ones((1, len(images)))
    missing = absent(before)
    return Tuning(
        decision=decision,
        score=scoring.name,
        num_images=len(images),
        groups=scoring.groups,
        before=_number(scoring.overall(before, once)[0]),
        after=_number(scoring.overall(table, once)[0]),
        gain=scoring.gain(table, before),
        calibration=calibration,
        steps=tuple(steps),
        curves=curves,
        absent=tuple(c for c, gone in zip(folder.classes, missing, strict=True) if gone),
    )


def take_temperature(
    images: ValidationImages, default: Decision, groups: Groups, progress: Progress
) -> tuple[Decision, Calibration]:
    """The default decision, with the fitted temperature where probabilities become truer."""
    pixels = draw_pixels(images, progress)
    temperature = fit_temperature(pixels)
    fitted = default.model_copy(update={"temperature": temperature})
    found = claims(images, [default, fitted], progress)
    calibration = calibrate(pixels, temperature, found, groups)
    return fitted if calibration.kept else default, calibration


def candidates(task: Task, median_pixels: float) -> dict[str, Sequence[Any]]:
    """What is tried in each step, in order; the first value of each is what stands before it."""
    largest = max(LARGEST_SHARE * median_pixels, 8)
    sizes = [0, *(2**power for power in range(3, 40) if 2**power <= largest)]
    tried: dict[str, Sequence[Any]] = {
        "thresholds": [step / BINS for step in THRESHOLDS],
        "smallest_region": sizes,
        "largest_hole": sizes,
        "only_largest": [False, True],
        "smallest_area": sizes,
        "least_confidence": [0.0, *CONFIDENCES],
    }
    if task == "multiclass":
        del tried["thresholds"], tried["largest_hole"]
    return tried


def with_step(decision: Decision, name: str, value: Any, folder: DataFolder) -> Decision:
    """With one step at one value for every class.

    What leaves a class out of an image, or all but one region of it, is not for a background.
    """
    values = dict.fromkeys(folder.classes, value)
    if folder.task == "multiclass" and name != "smallest_region":
        off = CleanUp()._asdict()[name]
        values |= {c: off for c in folder.classes if c.lower() in BACKGROUND_NAMES}
    return decision.model_copy(update={name: values})


def take_step(
    name: str,
    values: Sequence[Any],
    tables: Sequence[CountTable],
    decision: Decision,
    scoring: Scoring,
    folder: DataFolder,
) -> tuple[Decision, CountTable, list[Step]]:
    """The decision with what gained, its counts, and what was tried for each class."""
    images, together = len(tables[0].valid), folder.task == "multiclass"
    choice = choose(tables, scoring)
    chosen = np.where(choice.kept, choice.best, 0)
    table = pick(tables, np.broadcast_to(chosen, (images, len(chosen))))
    scores = scoring.by_column(tables[0], np.ones((1, images)))[0]
    steps = [
        Step(
            step=name,
            of=None if together else folder.classes[column],
            before=values[0],
            value=values[best],
            score=_number(scores[column]),
            **_column_gain(choice.gain, column, tried=best > 0),
            kept=bool(choice.kept[column]),
        )
        for column, best in enumerate(choice.best.tolist())
    ]
    if together:
        decision = with_step(decision, name, values[chosen[0]], folder)
    else:
        fitted = [values[best] for best in chosen]
        update = {name: dict(zip(folder.classes, fitted, strict=True))}
        decision = decision.model_copy(update=update)
    return decision, table, steps


def _column_gain(gain: Interval, column: int, tried: bool) -> dict[str, Any]:
    """Gain and interval of one column; None where nothing scored better than what there was."""
    if not tried:
        return {"gain": None, "interval": None}
    found = Interval(gain.value[column], gain.low[column], gain.high[column]).to_json()
    return {"gain": found["gain"], "interval": found["interval95"]}


def threshold_curves(
    tables: Sequence[CountTable], scoring: Scoring, classes: Sequence[str]
) -> dict[str, dict[str, list[Any]]]:
    """The score of each class at every threshold, from low to high."""
    once = np.ones((1, len(tables[0].valid)))
    order = np.argsort(THRESHOLDS)
    scores = np.array([scoring.by_column(tables[index], once)[0] for index in order])
    thresholds = [THRESHOLDS[index] / BINS for index in order]
    return {
        name: {"threshold": thresholds, "score": [_number(value) for value in scores[:, column]]}
        for column, name in enumerate(classes)
    }


def _spelled(score: float | None) -> str:
    return "no score" if score is None else f"{score:.4f}"


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
