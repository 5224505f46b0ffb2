"""Write the tables of docs/reproduction.md from benchmarks/results/*.json.

python benchmarks/reproduction.py
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from pages import write_between

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results"
PAGE = BENCHMARKS.parent / "docs" / "reproduction.md"
START, END = "<!-- tables: written by benchmarks/reproduction.py -->", "<!-- end of tables -->"


class Line(NamedTuple):
    """One row of the page: where its figures are and what was published."""

    data: str
    result: str
    system: str
    score: str
    """Where the score stands among the figures, `block.name`."""
    published: str


SEVERSTAL = "competition.severstal_mean_dice"
DEFAULTS, NONE = "Delineo's defaults", "no score"
LINES = (
    Line("Carvana", "reproduce-carvana-unet", "U-Net", "per_image.mean_dice", "0.9919"),
    Line("Carvana", "folder-carvana", DEFAULTS, "per_image.mean_dice", ""),
    Line("Carvana", "folder-carvana-15m", DEFAULTS, "per_image.mean_dice", ""),
    Line("Carvana", "folder-carvana-whole", DEFAULTS, "per_image.mean_dice", ""),
    Line("Carvana", "folder-carvana-larger", DEFAULTS, "per_image.mean_dice", ""),
    Line("TGS Salt", "reproduce-tgs-unet", "U-Net, 16 to 256", "per_image.mean_iou", NONE),
    Line("TGS Salt", "folder-tgs_salt", DEFAULTS, "per_image.mean_iou", ""),
    Line("TGS Salt", "folder-tgs_salt-15m", DEFAULTS, "per_image.mean_iou", ""),
    Line("TGS Salt", "folder-tgs_salt-open", DEFAULTS, "per_image.mean_iou", ""),
    Line("PASCAL VOC", "reproduce-voc-unet", "U-Net of three levels", "dataset.mean_iou", NONE),
    Line(
        "PASCAL VOC",
        "reproduce-voc-resnet_unet",
        "U-Net on ResNet, from scratch",
        "dataset.mean_iou",
        NONE,
    ),
    Line(
        "PASCAL VOC",
        "folder-voc2012",
        f"{DEFAULTS} (packaged ImageNet weights)",
        "dataset.mean_iou",
        "",
    ),
    Line("PH2", "ph2-unhurried", DEFAULTS, "per_image.mean_iou", ""),
    Line("PH2", "folder-ph2-open", DEFAULTS, "per_image.mean_iou", ""),
    Line(
        "CamVid",
        "reproduce-camvid-segnet",
        "SegNet-Basic",
        "dataset.mean_iou",
        "0.477; 0.463 without class weights; the full network 0.601",
    ),
    Line("CamVid", "camvid", DEFAULTS, "dataset.mean_iou", ""),
    Line("magnetic tiles", "reproduce-tiles-resunet", "ResUNet", SEVERSTAL, NONE),
    Line("magnetic tiles", "reproduce-tiles-unet", "U-Net by the same recipe", SEVERSTAL, ""),
    Line("magnetic tiles", "folder-magnetic_tile_severstal_format", DEFAULTS, SEVERSTAL, ""),
)
NAMES = {
    "per_image.mean_dice": "Dice, mean of images",
    "per_image.mean_iou": "IoU, mean of images",
    "dataset.mean_iou": "mean IoU, all pixels together",
    SEVERSTAL: "Dice by Severstal's rule",
}
PUBLISHED_PH2 = {
    "segnet-bce": 0.877,
    "segnet-dice": 0.851,
    "segnet-focal": 0.867,
    "unet-bce": 0.866,
    "unet-dice": 0.827,
    "unet2-bce": 0.853,
    "unet2-dice": 0.874,
    "unet2-focal": 0.786,
}
"""Test IoU, as published; U-Net with focal loss was not."""


def tables() -> str:
    """Markdown: all rows, PH2's grid, what belongs to single systems, and the machines."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    lines = [
        "| data | system | score | published | here [95 %] | run as | epochs | time | machine |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            _row(line, results[line.result]) if line.result in results else _missing_row(line)
            for line in LINES
        ),
    ]
    lines += _grid_lines(results.get("reproduce-ph2_comparison"))
    lines += _tgs_lines(results)
    lines += _tiles_lines(results)
    lines += _class_lines(results)
    lines += ["", "### Commands", "", "`delineo evaluate RUN` scores what `train` has made."]
    lines += ["", "```text", *_commands(results), "```"]
    return "\n".join(lines)


def _commands(results: dict[str, Any]) -> list[str]:
    """What repeats each row that is recorded, the grid last."""
    names = [*(line.result for line in LINES), "reproduce-ph2_comparison"]
    return [_command(name, results[name]["figures"]) for name in names if name in results]


def _command(name: str, figures: dict[str, Any]) -> str:
    """Of a recipe as it was recorded; of the defaults from data and settings."""
    data, settings = f"../shared/data/{figures.get('data')}", " ".join(figures["settings"])
    return figures.get("command") or f"delineo train {data} {settings} --out runs/{name}"


def _row(line: Line, result: dict[str, Any]) -> str:
    figures = result["figures"]
    value, interval = _score(figures, line.score)
    minutes = f"{figures['train_seconds'] / 60:.0f} min"
    run_as = _run_as(figures["settings"])
    return (
        f"| {line.data} | {line.system} | {NAMES[line.score]} | {line.published} "
        f"| {_with_interval(value, interval)} | {run_as} | {figures['epochs']} | {minutes} "
        f"| {_machine(result)} |"
    )


def _run_as(settings: list[str]) -> str:
    """What was set beyond the recipe; a network narrower than the recipe's is named as such."""
    narrow = any("width" in each and each.rstrip("}").endswith("16") for each in settings)
    prefix = "not at full width: " if narrow else ""
    return f"{prefix}`{' '.join(settings)}`" if settings else "as in the recipe"


def _missing_row(line: Line) -> str:
    name = NAMES[line.score]
    return (
        f"| {line.data} | {line.system} | {name} | {line.published} | not yet run: "
        f"`python benchmarks/reproduce.py {line.result.removeprefix('reproduce-')}` | | | | |"
    )


def _score(figures: dict[str, Any], place: str) -> tuple[float, list[float] | None]:
    block, name = place.split(".")
    if block == "competition":
        scores = figures["competition"]
        return scores[name], scores["interval95"][name]
    return figures[block][name]["value"], figures[block][name]["interval95"]


def _with_interval(value: float, interval: list[float] | None) -> str:
    bounds = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"**{value:.3f}**{bounds}"


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    bf16 = "" if machine["bf16"] else ", no bf16"
    threads = machine.get("threads", machine["cores"])
    cores = f"{threads} core{'s' if threads > 1 else ''}"
    return machine["gpu"] or f"{cores}, {machine['processor']}{bf16}"


def _grid_lines(result: dict[str, Any] | None) -> list[str]:
    lines = ["", "### PH2: models x losses", ""]
    if result is None:
        return [*lines, "Not yet run."]
    scores = result["figures"]["comparison"]["scores"]
    lines += [
        "| cell | published test IoU | here, mean of images [95 %] | reached |",
        "| --- | --- | --- | --- |",
    ]
    lines += [_cell_line(name, each["per_image"]) for name, each in scores.items()]
    missing = sorted(name for name in (*PUBLISHED_PH2, "unet-focal") if name not in scores)
    figures = result["figures"]
    note = (
        f"{' '.join(figures['settings']) or 'As in the recipe'}; all cells together "
        f"{figures['train_seconds'] / 60:.0f} min, {_machine(result)}."
        f"{' Not yet run: ' + ', '.join(missing) + '.' if missing else ''}"
    )
    return [*lines, "", note]


def _cell_line(name: str, scores: dict[str, Any]) -> str:
    value, published = scores["mean_iou"], PUBLISHED_PH2.get(name)
    shown = _with_interval(value, scores["interval95"]["mean_iou"])
    reached = "" if published is None else ("yes" if value >= published else "no")
    return f"| {name} | {published or 'none'} | {shown} | {reached} |"


def _tgs_lines(results: dict[str, Any]) -> list[str]:
    lines = ["", "### TGS Salt: the competition's score, and the threshold", ""]
    rows = {
        "U-Net": "reproduce-tgs-unet",
        "Delineo's defaults, 5 minutes": "folder-tgs_salt",
        "Delineo's defaults, 15 minutes": "folder-tgs_salt-15m",
        "Delineo's defaults, without a budget": "folder-tgs_salt-open",
    }
    found = {name: results[file]["figures"] for name, file in rows.items() if file in results}
    if not found:
        return [*lines, "Not yet run."]
    lines += [
        "| | IoU, mean of images | competition's precision |",
        "| --- | --- | --- |",
    ]
    for name, figures in found.items():
        iou = _with_interval(*_score(figures, "per_image.mean_iou"))
        precision = _with_interval(*_score(figures, "competition.tgs_precision"))
        lines.append(f"| {name} | {iou} | {precision} |")
        if "tuned" in figures:
            tuned = figures["tuned"]
            scores, rules = tuned["per_image"], tuned["competition"]
            iou = _with_interval(scores["mean_iou"], scores["interval95"]["mean_iou"])
            precision = _with_interval(rules["tgs_precision"], rules["interval95"]["tgs_precision"])
            lines.append(f"| {name}, after `delineo tune` | {iou} | {precision} |")
    for pair in ("pair-tgs-15m-untuned", "pair-tgs-15m", "pair-tgs-untuned", "pair-tgs"):
        lines += _pair_lines(results.get(pair), "per_image", "mean_iou")
    return lines


def _pair_lines(result: dict[str, Any] | None, block: str, score: str) -> list[str]:
    """The paired difference of the two runs of a comparison, in words."""
    if result is None:
        return []
    comparison = result["figures"]
    lines = [""]
    untuned = comparison["reference"].endswith("-untuned")
    how = "at a threshold of 0.5" if untuned else "runs as `delineo tune` left them"
    for name, difference in comparison["differences"].items():
        low, high = difference[block]["interval95"][score]
        lines.append(
            f"`{name}` minus `{comparison['reference']}`, paired on the same "
            f"test images: {difference[block][score]:+.3f} [{low:+.3f}, {high:+.3f}] "
            f"({NAMES[f'{block}.{score}']}; {how})."
        )
    return lines


def _tiles_lines(results: dict[str, Any]) -> list[str]:
    rows = {
        "ResUNet": "reproduce-tiles-resunet",
        "U-Net": "reproduce-tiles-unet",
        "Delineo's defaults": "folder-magnetic_tile_severstal_format",
    }
    found = {name: results[file]["figures"] for name, file in rows.items() if file in results}
    found = {name: figures for name, figures in found.items() if figures.get("competition")}
    lines = ["", "### Magnetic tiles: Dice by Severstal's rule, per defect", ""]
    if not found:
        return [*lines, "Not yet run."]
    first = next(iter(found.values()))["competition"]
    classes = list(first["severstal_dice"])
    lines += [
        f"| | {' | '.join(classes)} | mean |",
        f"| --- |{' --- |' * (len(classes) + 1)}",
    ]
    nothing = next((f["nothing"] for f in found.values() if f.get("nothing")), None)
    rows_of_scores = {}
    for name, figures in found.items():
        rows_of_scores[name] = figures["competition"]
        if "tuned" in figures:
            rows_of_scores[f"{name}, after `delineo tune`"] = figures["tuned"]["competition"]
    rows_of_scores |= {"predicting nothing": nothing} if nothing else {}
    for name, scores in rows_of_scores.items():
        each = " | ".join(f"{scores['severstal_dice'][c]:.3f}" for c in classes)
        lines.append(f"| {name} | {each} | {scores['severstal_mean_dice']:.3f} |")
    return [*lines, *_pair_lines(results.get("pair-tiles"), "competition", "severstal_mean_dice")]


def _class_lines(results: dict[str, Any]) -> list[str]:
    rows = {
        "U-Net": "reproduce-voc-unet",
        "U-Net on ResNet": "reproduce-voc-resnet_unet",
        "defaults": "folder-voc2012",
    }
    found = {name: results[file]["figures"] for name, file in rows.items() if file in results}
    lines = ["", "### PASCAL VOC: IoU of each class", ""]
    if not found:
        return [*lines, "Not yet run."]
    lines += [f"| class | {' | '.join(found)} |", f"| --- |{' --- |' * len(found)}"]
    classes = next(iter(found.values()))["iou_by_class"]
    for name in classes:
        values = " | ".join(_iou(figures["iou_by_class"][name]) for figures in found.values())
        lines.append(f"| {name} | {values} |")
    return lines


def _iou(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    write_between(PAGE, START, END, tables())
