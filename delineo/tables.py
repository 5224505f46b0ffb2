"""Comparisons, tunings and networks as tables that people read in a terminal."""

from rich.table import Table
from rich.text import Text

from .comparison import Comparison
from .data.findings import counted
from .models.catalogue import Network
from .models.summary import LayerTable, Level
from .score_tables import BLOCKS, plain_table, score_cell
from .tuning import Tuning

_LEGEND = (
    "multiply-adds: of the convolutions, for one image. receptive field: side, in pixels of the "
    "image, of the square that one value depends on, where it is largest"
)


def tuning_table(tuning: Tuning) -> Table:
    """Each step and class with what was chosen, and what it gains on images that did not choose."""
    title = f"val: {tuning.num_images} images, {tuning.score}"
    table = plain_table(title, "step", "class", "value", "before", "gain [95 %]", "")
    calibration = tuning.calibration
    loss = calibration.gain.to_json()
    gain = _gain(loss["gain"], loss["interval95"])
    table.add_row(
        "temperature",
        "all",
        f"{calibration.temperature:.3g}",
        f"loss {calibration.loss[0]:.4f}",
        gain,
        "kept" if calibration.kept else "not kept",
    )
    for step in tuning.steps:
        gain = _gain(step.gain, step.interval)
        kept = "kept" if step.kept else "nothing better" if step.gain is None else "not kept"
        value = f"{step.value:.3g}" if isinstance(step.value, float) else str(step.value)
        name = step.step.replace("_", " ").removesuffix("s")
        table.add_row(name, Text(step.of or "all"), value, score_cell(step.score), gain, kept)
    return table


def comparison_table(comparison: Comparison) -> Table:
    """Runs, the best first, each with its paired difference to the reference."""
    first = comparison.evaluations[comparison.reference]
    title = f"{first.part}: mean IoU, {BLOCKS[comparison.block]}, {len(first.ids)} images"
    table = plain_table(title, "run", "mean IoU [95 %]", "difference [95 %]", "")
    for row in comparison.rows():
        value = score_cell(row.value, row.interval95)
        difference = score_cell(row.difference, row.difference_interval95, "+")
        table.add_row(Text(row.name), value, difference, row.verdict)
    return table


def network_table(networks: list[Network], in_channels: int, num_classes: int) -> Table:
    """Each network's name, size, source and a line of what it is."""
    title = (
        f"networks, {counted(in_channels, 'channel')} in and "
        f"{counted(num_classes, 'class', 'classes')} out"
    )
    table = plain_table(title, "model.name", "parameters", "paper", "")
    table.columns[1].justify = "right"
    for network in networks:
        table.add_row(network.name, f"{network.parameters:,}", network.paper, network.about)
    return table


def level_table(layers: LayerTable) -> Table:
    """One row per level, the totals below."""
    columns = ("level", "layers", "channels", "height x width", "parameters")
    table = plain_table(_of_network(layers), *columns, "multiply-adds, millions", "receptive field")
    for column in table.columns[2:]:
        column.justify = "right"
    for level in layers.levels:
        table.add_row(level.name, level.layers, *_of_level(level))
    table.add_section()
    table.add_row("sum", "", "", "", f"{layers.parameters:,}", _millions(layers.multiply_adds), "")
    table.caption = _LEGEND
    table.caption_justify = "left"
    return table


def _of_network(layers: LayerTable) -> str:
    """The title: what was chosen, other settings than the defaults included."""
    chosen = layers.model.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    settings = "".join(f" model.{key}={value}" for key, value in chosen.items())
    size = f"{layers.levels[0].height}x{layers.levels[0].width}"
    return f"{layers.model.name}{settings}, image of {size} pixels (height x width)"


def _of_level(level: Level) -> list[str]:
    """The cells of numbers; empty where there is nothing to count."""
    return [
        f"{level.channels}",
        f"{level.height}x{level.width}",
        f"{level.parameters:,}" if level.parameters else "",
        _millions(level.multiply_adds) if level.multiply_adds else "",
        "all" if level.receptive_field is None else f"{level.receptive_field}",
    ]


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f}"


def _gain(value: float | None, bounds: list[float] | None) -> str:
    """+0.0021 [+0.0004, +0.0040]: small ones count, so they have a digit more."""
    if value is None:
        return "-"
    return f"{value:+.4f}" + (f" \\[{bounds[0]:+.4f}, {bounds[1]:+.4f}]" if bounds else "")
