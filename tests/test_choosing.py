"""Which way to decide is best is judged by images that did not choose it."""

import numpy as np
import pytest

from delineo.choosing import Scoring, choose, deal, pick
from delineo.metrics import CountTable


def test_what_is_chosen_by_noise_gains_nothing_on_unseen_images():
    """Many candidates that are all equally good: the best on all images always looks better."""
    kept, seen = 0, []
    for seed in range(40):
        random = np.random.default_rng(seed)
        tables = [table_of(random.integers(0, 101, (60, 1))) for _ in range(30)]
        choice = choose(tables, Scoring("per_image.mean_iou", "binary"))
        kept += int(choice.kept[0])
        once = np.ones((1, 60))
        scoring = Scoring("per_image.mean_iou", "binary")
        seen.append(
            scoring.overall(tables[choice.best[0]], once) - scoring.overall(tables[0], once)
        )
    assert np.mean(seen) > 0.05
    assert kept <= 5


def table_of(tp: np.ndarray) -> CountTable:
    """Images of 100 true pixels, of which so many are found, and 1000 in all."""
    found = tp.astype(float)
    valid = np.full(len(found), 1000.0)
    return CountTable(found, 0 * found, 100 - found, valid, valid - (100 - found).sum(1))


def test_a_choice_is_judged_by_images_that_did_not_make_it():
    """By hand: two images, each best under a way of its own, which is wrong for the other."""
    now = table_of(np.array([[50], [50]]))
    first, second = table_of(np.array([[90], [20]])), table_of(np.array([[20], [80]]))
    choice = choose([now, first, second], Scoring("dataset.mean_iou", "binary"))
    assert choice.best.tolist() == [1]
    assert float(choice.gain.value[0]) == pytest.approx((20 + 20) / 200 - 100 / 200)
    assert not choice.kept[0]


def test_groups_are_dealt_whole():
    groups = [None if i % 7 == 0 else f"car{i // 4}" for i in range(60)]
    folds = deal(60, groups)
    for name in set(groups) - {None}:
        assert len({folds[i] for i in range(60) if groups[i] == name}) == 1
    assert set(folds) == {0, 1, 2, 3, 4}
    assert set(deal(3, None)) == {0, 1, 2}
    assert deal(4, ["one"] * 4).tolist() == [0] * 4


def test_classes_choose_for_themselves():
    now = table_of(np.array([[50, 50]] * 20))
    other = table_of(np.array([[60, 40]] * 20))
    choice = choose([now, other], Scoring("dataset.mean_dice", "multilabel"))
    assert choice.best.tolist() == [1, 0]
    assert choice.kept.tolist() == [True, False]
    picked = pick([now, other], np.broadcast_to(choice.best, (20, 2)))
    assert picked.tp[0].tolist() == [60, 50]
    together = choose([now, other], Scoring("dataset.mean_dice", "multiclass"))
    assert together.best.tolist() == [0]
