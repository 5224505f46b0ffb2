"""The figures of docs/concepts.md show what the layers compute, and are those that are drawn."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

DOCS = Path(__file__).parents[1] / "docs"
SCRIPT: dict[str, Any] = runpy.run_path(str(DOCS / "draw_concepts.py"))


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Figure]]:
    with mpl.rc_context(SCRIPT["STYLE"]):
        yield SCRIPT["figures"]()


def texts(figure: Figure) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text) if found.get_text()]


def numbers(figure: Figure) -> list[int]:
    """Texts that are a whole number, in the order in which they were drawn."""
    found = [text.replace("−", "-") for text in texts(figure)]
    return [int(text) for text in found if re.fullmatch(r"-?\d+", text)]


def test_every_figure_is_there_and_shown(figures: dict[str, Figure]) -> None:
    page = (DOCS / "concepts.md").read_text()
    shown = re.findall(r"!\[.+?\]\(concepts/(\w+)\.svg\)", page)
    assert shown == list(figures)
    assert {path.stem for path in (DOCS / "concepts").iterdir()} == set(shown)


def test_the_files_say_what_is_drawn_now(figures: dict[str, Figure]) -> None:
    """SVG keeps each text as a comment beside its outlines."""
    for name, figure in figures.items():
        kept = re.findall(r"<!-- (.+?) -->", (DOCS / "concepts" / f"{name}.svg").read_text())
        assert sorted(kept) == sorted(texts(figure)), "run python docs/draw_concepts.py"


def test_the_script_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one figure, the quickest."""
    main = SCRIPT["main"]
    monkeypatch.setitem(
        main.__globals__, "figures", lambda: {"pooling": main.__globals__["pooling"]()}
    )
    main(tmp_path / "new")
    assert (tmp_path / "new" / "pooling.svg").read_text().startswith("<?xml")


def test_nothing_is_cut_off(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        for patch in figure.axes[0].patches:
            box = patch.get_window_extent()
            inside = figure.bbox.x0 <= box.x0, box.x1 <= figure.bbox.x1
            assert all(inside) and figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, name


def test_convolution(figures: dict[str, Figure]) -> None:
    image, kernel, answer = SCRIPT["convolve"]()
    expected = [
        [(image[row : row + 3, column : column + 3] * kernel).sum() for column in range(4)]
        for row in range(4)
    ]
    np.testing.assert_array_equal(answer, expected)
    shown = [*image.ravel(), *kernel.ravel(), *answer.ravel()]
    assert numbers(figures["convolution"]) == shown
    (worked,) = [text for text in texts(figures["convolution"]) if "= " in text]
    total, result = worked.replace("−", "-").replace(" ", "").split("=")
    assert sum(int(term) for term in re.findall(r"[+-]\d+", total)) == int(result) == answer[2, 1]


def test_output_size(figures: dict[str, Figure]) -> None:
    sizes = [(6 + 2 * padding - 3) // stride + 1 for stride, padding in SCRIPT["SIZES"].values()]
    assert [text for text in texts(figures["output_size"]) if "→" in text] == [
        f"6 × 6  →  {size} × {size}" for size in sizes
    ]


def test_pooling(figures: dict[str, Figure]) -> None:
    values, pooled, restored = SCRIPT["pool"]()
    np.testing.assert_array_equal(pooled, values.reshape(2, 2, 2, 2).max((1, 3)))
    largest = values == np.kron(pooled, np.ones((2, 2)))
    np.testing.assert_array_equal(restored, values * largest)
    assert numbers(figures["pooling"]) == [*values.ravel(), *pooled.ravel(), *restored.ravel()]


def test_receptive_field(figures: dict[str, Figure]) -> None:
    seen = [text for text in texts(figures["receptive_field"]) if "pixel" in text]
    assert seen == [
        "1 pixel", "3 pixels", "5 pixels", "6 pixels", "10 pixels", "14 pixels",
    ]  # fmt: skip


def test_transposed_convolution(figures: dict[str, Figure]) -> None:
    values, kernel, larger = SCRIPT["spread"]()
    np.testing.assert_array_equal(larger, np.kron(values, kernel))
    shown = [*values.ravel(), *kernel.ravel(), *larger.ravel()]
    assert numbers(figures["transposed_convolution"]) == shown


def test_skip_connections(figures: dict[str, Figure]) -> None:
    shown = texts(figures["skip_connections"])
    assert sorted(text for text in shown if "channels" in text) == sorted(
        f"{width} channels" for width in (16, 32, 64, 128, 256, 128, 64, 32, 16)
    )
    for side, count in ((128, 2), (64, 2), (32, 2), (16, 2), (8, 1)):
        assert shown.count(f"{side} × {side}") == count
    fields = [int(text.removeprefix("sees ")) for text in shown if text.startswith("sees ")]
    assert sorted(fields) == [5, 14, 32, 68, 140, 172, 188, 204, 204]


def test_dilation(figures: dict[str, Figure]) -> None:
    spans = [text for text in texts(figures["dilation"]) if "pixels" in text]
    assert spans == ["3 × 3 pixels", "7 × 7 pixels", "31 × 31 pixels"]
    colored = [
        patch for patch in figures["dilation"].axes[0].patches
        if patch.get_facecolor()[:3] == to_rgb(SCRIPT["ORANGE"])
    ]  # fmt: skip
    assert len(colored) == 3 * 9
