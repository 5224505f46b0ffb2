"""What many decisions give, counted at once, is what each gives alone."""

from pathlib import Path

import numpy as np
import pytest
from tunable import CLASSES, make_folder, predictor_of

from delineo.data.samples import Task
from delineo.decision import Decision
from delineo.progress import NoProgress
from delineo.trials import BINS, THRESHOLDS, ValidationImages, count_tables, threshold_tables


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_the_curve_is_what_decide_gives(tmp_path: Path, task: Task):
    """Probabilities at thresholds, ignored pixels, a mask of twice the size."""
    random = np.random.default_rng(0)
    number = len(CLASSES[task])
    logits = [np.round(random.normal(0, 1, (number, 8, 12)) * 4) / 4 for _ in range(3)]
    shape = (8, 12) if task == "binary" else (2, 8, 12)
    masks = [
        random.choice([0, 1, 255], shape, p=[0.6, 0.3, 0.1]).astype(np.uint8) for _ in range(3)
    ]
    masks[1] = masks[1].repeat(2, -1).repeat(2, -2)
    folder = make_folder(tmp_path, task, logits, masks)
    images = ValidationImages(predictor_of(folder), folder, memory=0)
    default = Decision.default(task, folder.classes)
    tables = threshold_tables(images, default, NoProgress())
    for index in (0, 1, 60, 254):
        threshold = THRESHOLDS[index] / BINS
        decision = default.model_copy(
            update={"thresholds": dict.fromkeys(folder.classes, threshold)}
        )
        (expected,) = count_tables(images, [decision], "", NoProgress())
        for ours, theirs in zip(tables[index], expected, strict=True):
            assert np.array_equal(ours, theirs)
