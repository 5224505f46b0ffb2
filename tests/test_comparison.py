"""Which evaluation is better: pairing, order, and what cannot be compared."""

import json

import numpy as np
import pytest

from delineo.comparison import compare
from delineo.errors import DataError
from delineo.evaluation import Evaluation
from delineo.metrics import Counts, CountTable, tabulate

PIXELS = 1000


def make_evaluation(found: np.ndarray, ids: list[str] | None = None) -> Evaluation:
    """Binary, each image half foreground, of which the share `found` is found."""
    counts = []
    for share in found:
        tp = np.array([round(share * PIXELS / 2)])
        fn = PIXELS // 2 - tp
        counts.append(Counts(tp, np.zeros(1, int), fn, PIXELS, PIXELS - int(fn[0])))
    ids = ids or [str(number) for number in range(len(found))]
    return Evaluation("test", "binary", ("disc",), tuple(ids), tabulate(counts, 1), None)


HARD = np.random.default_rng(0).uniform(0.3, 0.8, 40)


def test_differences_are_to_the_best_and_the_best_comes_first():
    comparison = compare({"low": make_evaluation(HARD), "high": make_evaluation(HARD + 0.05)})
    assert comparison.reference == "high"
    first, second = comparison.rows()
    assert (first.name, first.verdict, first.difference) == ("high", "reference", None)
    assert (second.name, second.verdict) == ("low", "worse")
    assert second.difference == pytest.approx(-0.05, abs=1e-3)
    assert second.difference == pytest.approx(second.value - first.value)


def test_pairing_tells_apart_what_separate_intervals_do_not():
    better, worse = compare(
        {"a": make_evaluation(HARD), "b": make_evaluation(HARD + 0.02)}, reference="a"
    ).rows()
    assert better.name == "b"
    assert better.verdict == "better"
    assert better.interval95[0] < worse.interval95[1]


def test_noise_could_be_chance():
    noise = np.random.default_rng(1).normal(0, 0.1, 40)
    rows = compare({"a": make_evaluation(HARD), "b": make_evaluation(HARD + noise)}).rows()
    assert rows[1].verdict == "could be chance"


def test_images_are_matched_by_id_not_by_place():
    ids = [str(number) for number in range(40)]
    turned = make_evaluation(HARD[::-1], ids[::-1])
    row = compare({"a": make_evaluation(HARD, ids), "b": turned}).rows()[1]
    assert row.difference == 0
    assert row.difference_interval95 == [0, 0]


def test_the_mean_of_the_difference_over_classes_and_blocks_is_json():
    comparison = compare({"a": make_evaluation(HARD), "b": make_evaluation(HARD + 0.1)})
    record = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert record["reference"] == "b"
    assert record["scores"]["a"]["per_image"]["mean_iou"] == pytest.approx(HARD.mean(), abs=1e-3)
    pooled = record["differences"]["a"]["dataset"]
    assert pooled["iou"]["disc"] == pytest.approx(-0.1, abs=1e-3)
    assert pooled["interval95"]["iou"]["disc"][1] < 0
    assert "b" not in record["differences"]


def test_other_images_are_refused_by_name():
    with pytest.raises(DataError, match=r"b and a .*2 are in one only, such as 1"):
        compare({"a": make_evaluation(HARD[:2]), "b": make_evaluation(HARD[:2], ["0", "x"])}, "a")


def test_other_classes_are_refused():
    ours = make_evaluation(HARD)
    other = Evaluation("test", "binary", ("salt",), ours.ids, ours.table, None)
    with pytest.raises(DataError, match="different classes"):
        compare({"a": ours, "b": other})


def test_masks_that_changed_are_refused():
    ours = make_evaluation(HARD)
    changed = CountTable(ours.table.tp, ours.table.fp, ours.table.fn + 1, *ours.table[3:])
    other = Evaluation("test", "binary", ("disc",), ours.ids, changed, None)
    with pytest.raises(DataError, match="masks changed between"):
        compare({"a": ours, "b": other})


def test_nothing_to_compare():
    with pytest.raises(DataError, match="two evaluations or more"):
        compare({})
