"""write_report(): everything a run has to show, gathered and rendered."""

import json
import shlex
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from ..data.samples import PARTS
from ..decision import Decision
from ..errors import DelineoError
from ..files import write_atomically
from ..prediction import Predictor
from ..progress import spell_seconds
from ..run import Run
from ..yamlfile import read_yaml
from . import charts, facts
from .cautions import cautions
from .examples import Predict, examples
from .pictures import CORRECT, EXTRA, MISSED, Color, class_colors, css, error_legend

_TEMPLATES = Path(__file__).parent.parent / "templates"


def write_report(run: Path | str, predict: Predict | None = None) -> Path:
    """Write RUN/report.html, one file that needs nothing else, and return its path.

    `predict` (the run's own Predictor if None) gives the masks of the example images. What a run
    does not have yet is left out, and the page says so. Raises RunError where `run` is no run.
    """
    opened = Run.open(Path(run))
    opened.description()  # says so where dataset.json is not what train wrote
    dataset, epochs, recipe = opened.dataset(), opened.epochs(), read_yaml(opened.recipe_file)
    evaluation = _evaluation(opened)
    trained = facts.trained(epochs, recipe, dataset["task"]) if epochs else None
    headline = facts.headline(evaluation, recipe) if evaluation else None
    colors = class_colors(dataset["task"], dataset["classes"], dataset["encoding"]["colors"])
    page = template("report.html").render(
        name=opened.path.resolve().name,
        written=date.today(),
        dataset=dataset,
        parts=[part for part in PARTS if dataset["splits"].get(part)],
        num_images=sum(len(ids) for ids in dataset["splits"].values()),
        at_a_glance=facts.at_a_glance(dataset),
        class_rows=facts.class_rows(dataset),
        colors=[css(color) for color in colors],
        evaluation=evaluation,
        headline=headline,
        trained=trained,
        cautions=cautions(dataset, headline, evaluation, trained, _decision(opened)),
        tuning=_tuning(opened),
        curves=_curves(epochs),
        errors=_errors(evaluation) if evaluation else None,
        examples=_examples(opened, evaluation, predict, colors) if evaluation else None,
        recipe=opened.recipe_file.read_text(),
        environment=_environment(opened),
    )
    write_atomically(opened.report_file, page)
    return opened.report_file


def template(name: str) -> Template:
    """A page's template, with what all pages know how to spell."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": _score,
        "signed": lambda value: f"{value:+.3f}".replace("-", "\N{MINUS SIGN}"),
        "percent": facts.spell_percent,
        "compact": _compact,
        "duration": spell_seconds,
        "quote": shlex.quote,
        "words": lambda key: str(key).replace("_", " "),
        "css": css,
    }
    environment.globals |= {
        "outcome_colors": [css(color) for color in (CORRECT, EXTRA, MISSED)],
        "score_names": facts.SCORES,
    }
    return environment.get_template(name)


def _evaluation(run: Run) -> facts.Record | None:
    """The scores of the test or, where there are none, of validation."""
    for part in ("test", "val"):
        path = run.evaluation_file(part)
        if path.exists():
            return json.loads(path.read_text())
    return None


def _curves(epochs: list[dict[str, Any]]) -> list[tuple[str, str, Markup]]:
    """(title, what it shows, SVG)."""
    if not epochs:
        return []
    return [
        (
            "Loss",
            "Lower is better. Validation rising while training falls: overfitting.",
            Markup(charts.loss_chart(epochs)),
        ),
        (
            "Validation score",
            "Mean IoU. The dotted line marks the epoch whose weights were kept.",
            Markup(charts.score_chart(epochs)),
        ),
        ("Learning rate", "How large the steps were.", Markup(charts.rate_chart(epochs))),
    ]


def _errors(evaluation: facts.Record) -> dict[str, Any]:
    """Score tables, the spread over images, and what is taken for what."""
    scores = [score for score in evaluation["images"]["mean_iou"] if score is not None]
    per_image = evaluation["per_image"]
    interval = per_image["interval95"]["mean_iou"]
    return {
        "tables": facts.score_tables(evaluation),
        "competition": facts.competition_rows(evaluation),
        "confusion": facts.confusion(evaluation),
        "distribution": Markup(charts.distribution_chart(scores, per_image["mean_iou"], interval)),
        "num_scores": len(scores),
    }


def _decision(run: Run) -> Decision | None:
    return run.decision() if run.decision_file.exists() else None


def _tuning(run: Run) -> dict[str, Any] | None:
    """tuning.json with its charts; None where the run was not tuned."""
    if not run.tuning_file.exists():
        return None
    record = json.loads(run.tuning_file.read_text())
    calibration, decision = record["calibration"], record["decision"]
    best = {step["class"]: step for step in record["steps"] if step["step"] == "thresholds"}
    curves = [
        (name, Markup(charts.threshold_chart(
            curve["threshold"], curve["score"], decision["thresholds"][name], best[name]["value"]
        )))
        for name, curve in record["curves"].items()
    ]  # fmt: skip
    reliability = calibration["reliability"]
    chart = Markup(charts.reliability_chart(reliability["before"], reliability["after"]))
    return {"record": record, "steps": facts.step_rows(record), "curves": curves, "chart": chart}


def _examples(
    run: Run, evaluation: facts.Record, predict: Predict | None, colors: list[Color]
) -> dict[str, Any]:
    """{"groups", "legend"}, or {"missing": why} where data or weights are gone."""
    try:
        folder = run.folder()
        groups = examples(folder, evaluation, predict or Predictor.load(run), colors)
    except (DelineoError, OSError) as error:
        return {"missing": str(error)}
    ignored = any(image["ignored"] for group in groups for image in group["images"])
    return {"groups": groups, "legend": error_legend(folder.task, folder.classes, ignored)}


def _environment(run: Run) -> dict[str, str]:
    """environment.json as lines of text; nested records as `key subkey`."""
    if not run.environment_file.exists():
        return {}
    record = json.loads(run.environment_file.read_text())
    return dict(_flat(record))


def _flat(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        elif key == "command":
            yield prefix + key, shlex.join(value)
        elif value is not None:
            yield prefix + key, str(value)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _compact(number: float) -> str:
    """1234567 -> 1.23 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{number:.0f}"
