"""What people should be careful about before they rely on a run."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..decision import Decision, decided_otherwise
from .facts import Record, class_shares

FEW_IMAGES = 30
WIDE_INTERVAL = 0.08
LOW_IOU = 0.5
FEW_WITH_CLASS = 5
GAP_TO_VALIDATION = 0.05
GAP_BETWEEN_AVERAGES = 0.1
LATE_GAIN = 0.01


class Caution(NamedTuple):
    """One thing to keep in mind."""

    title: str
    text: str


def cautions(
    dataset: Record,
    headline: dict[str, Any] | None,
    evaluation: Record | None,
    trained: dict[str, Any] | None,
    decision: Decision | None = None,
) -> list[Caution]:
    """Everything that weakens the page's numbers, most important first.

    `decision` is what the run's masks are made by now.
    """
    found: list[Caution] = []
    if evaluation is not None and decision and decided_otherwise(evaluation, decision):
        found.append(
            Caution(
                "Scores of other masks",
                "The scored masks were decided in another way than decision.json says now. "
                "Run delineo evaluate again.",
            )
        )
    if evaluation is None or headline is None:
        found.append(
            Caution(
                "Not judged yet",
                "There is no score on images that were kept apart. Validation scores chose the "
                "weights and are too kind.",
            )
        )
    else:
        found += _of_the_test(headline, evaluation)
        found += _of_the_classes(evaluation)
        found += _of_the_validation(headline, evaluation, trained)
    found += _of_the_training(trained)
    found += _of_the_data(dataset, evaluation is not None)
    return found


def _of_the_test(headline: dict[str, Any], evaluation: Record) -> Iterator[Caution]:
    number, low, high = evaluation["num_images"], headline["low"], headline["high"]
    if evaluation["split"] != "test":
        yield Caution(
            f"Scored on {evaluation['split']} images",
            "These images took part in the making of the model, so the score is too kind. "
            "Keep a test part apart for a fair one.",
        )
    wide = low is not None and high - low > WIDE_INTERVAL
    if number < FEW_IMAGES or wide:
        spread = "Small"
        if low is not None:
            spread = f"The interval spans {100 * (high - low):.1f} points: smaller"
        yield Caution(
            f"Only {number} images were scored" if number < FEW_IMAGES else "A wide interval",
            f"{spread} differences between two models may be chance. More test images tell more.",
        )


def _of_the_classes(evaluation: Record) -> Iterator[Caution]:
    ious = evaluation["dataset"]["iou"]
    weak = {n: v for n, v in ious.items() if v is not None and v < LOW_IOU}
    if weak:
        listed = ", ".join(f"{name} ({value:.3f})" for name, value in _lowest(weak))
        yield Caution("Classes found poorly", f"IoU below {LOW_IOU} over all pixels: {listed}.")
    if evaluation["num_images"] <= FEW_WITH_CLASS:
        return
    shares = class_shares(evaluation)
    rare = [f"{row['name']} ({row['images']})" for row in shares if row["images"] < FEW_WITH_CLASS]
    if rare:
        yield Caution(
            "Classes seldom seen in the test",
            f"Few scored images hold them, so their scores are little more than anecdotes: "
            f"{', '.join(rare)}.",
        )


def _lowest(scores: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda item: item[1])


def _of_the_validation(
    headline: dict[str, Any], evaluation: Record, trained: dict[str, Any] | None
) -> Iterator[Caution]:
    image, dataset = (evaluation[group]["mean_iou"] for group in ("per_image", "dataset"))
    if image is not None and dataset is not None and abs(image - dataset) > GAP_BETWEEN_AVERAGES:
        yield Caution(
            "The two averages differ",
            f"{image:.3f} as an average of images, {dataset:.3f} over all pixels: "
            f"{_why_averages_differ(image < dataset, evaluation['task'])}. "
            "Say which one you quote.",
        )
    validation = trained["best_score"] if trained else None
    if not validation or evaluation["split"] != "test" or headline["score"] is None:
        return
    if validation - headline["score"] > GAP_TO_VALIDATION:
        yield Caution(
            "Test is below validation",
            f"{headline['score']:.3f} against {validation:.3f}: the weights were chosen on "
            "validation, or the parts hold different kinds of images.",
        )


def _why_averages_differ(image_is_lower: bool, task: str) -> str:
    if image_is_lower:
        return "small objects are found worse than large ones"
    if task == "multiclass":
        return "a few images with large objects go wrong"
    return "images without an object, none predicted, score 1"


def _of_the_training(trained: dict[str, Any] | None) -> Iterator[Caution]:
    if trained and (trained["late_gain"] or 0) > LATE_GAIN:
        yield Caution(
            "It was still learning",
            f"The validation score rose by {trained['late_gain']:.3f} over the last fifth of the "
            "epochs; a longer training may reach more.",
        )


def _of_the_data(dataset: Record, judged: bool) -> Iterator[Caution]:
    warnings = [f for f in dataset.get("findings", []) if f["severity"] == "warning"]
    if warnings:
        count = f"{len(warnings)} warnings" if len(warnings) > 1 else "a warning"
        yield Caution(f"The data check left {count}", warnings[0]["message"])
    if judged:
        yield Caution(
            "Other images, other scores",
            "These scores hold for images like the scored ones: same device, place and season. "
            "Score anew when one changes.",
        )
