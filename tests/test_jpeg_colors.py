"""Colour masks saved as JPEG: each pixel takes the nearest colour, or the folder is refused."""

from pathlib import Path

import numpy as np
import pytest
from mask_folders import BLACK, RED, look, read_all, save
from PIL import Image
from scipy.ndimage import gaussian_filter

from delineo.data.contents import read_contents
from delineo.data.encoding import read_mask, unknown_values
from delineo.data.layouts import find_layout
from delineo.data.scan import scan
from delineo.errors import DataError


def patches(classes: int, seed: int) -> np.ndarray:
    """(96, 128) class indices in smooth patches; class 0 has most pixels."""
    noise = np.random.default_rng(seed).normal(size=(classes, 96, 128))
    smooth = np.stack([gaussian_filter(one, 9) for one in noise])
    smooth[0] += 0.02
    return smooth.argmax(0).astype(np.uint8)


def save_jpegs(root: Path, colors: np.ndarray, quality: int = 75) -> list[np.ndarray]:
    """Four masks in these colours, or grey values, as JPEG with halved colour; their classes."""
    drawn = [patches(len(colors), seed) for seed in range(4)]
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number, mask in enumerate(drawn):
        Image.fromarray(np.zeros((96, 128, 3), np.uint8)).save(root / f"images/{number}.png")
        Image.fromarray(colors[mask]).save(root / f"masks/{number}.jpg", quality=quality)
    return drawn


PALETTES = {
    "primary": [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)],
    "two": [(0, 0, 0), (200, 0, 0)],
    "houses": [(255, 255, 255), (0, 0, 255), (0, 255, 255), (255, 255, 0), (255, 0, 0)],
    "shades": [0, 128, 255],
}


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("palette", list(PALETTES))
def test_jpeg_colors_take_the_nearest(tmp_path: Path, palette: str, quality: int) -> None:
    colors = np.array(PALETTES[palette], np.uint8)
    drawn = save_jpegs(tmp_path, colors, quality)
    layout, facts, inferred, folder = look(tmp_path)
    assert inferred.encoding.nearest
    assert "every pixel takes the nearest" in inferred.assumptions[0]
    found = [color if colors.ndim == 2 else color[0] for color in inferred.encoding.colors]
    assert len(found) == len(colors)
    apart = np.abs(np.array(sorted(found)) - np.array(sorted(PALETTES[palette])))
    assert apart.max() <= 3
    order = np.array([np.argmin([np.abs(np.subtract(c, f)).sum() for f in found]) for c in colors])
    contents = read_contents(facts, inferred)
    for sample, mask in zip(layout.samples, drawn, strict=True):
        encoded = read_mask(sample, folder, mask.shape)
        assert encoded.dtype == np.uint8
        assert (encoded == order[mask]).mean() > 0.98
        assert not unknown_values(facts[sample.id].masks[0], inferred.encoding)
        if folder.task == "multiclass":
            counted = np.bincount(encoded.ravel(), minlength=len(colors))
            assert np.abs(contents[sample.id].pixels - counted).max() < 0.02 * mask.size
            assert sum(contents[sample.id].pixels) == mask.size


@pytest.mark.parametrize("kind", ["values", "colors"])
def test_declared_jpeg_masks_take_the_nearest(tmp_path: Path, kind: str) -> None:
    grey = kind == "values"
    colors = np.array([0, 100, 255] if grey else [BLACK, RED, (0, 200, 0)], np.uint8)
    drawn = save_jpegs(tmp_path, colors)
    said = (
        "{0: ground, 100: roof, 255: wall}"
        if grey
        else "{ground: [0, 0, 0], roof: [200, 0, 0], wall: [0, 200, 0]}"
    )
    (tmp_path / "dataset.yaml").write_text(f"classes: [ground, roof, wall]\n{kind}: {said}\n")
    *_, folder = look(tmp_path)
    assert folder.encoding.nearest
    for mask, found in zip(drawn, read_all(folder).values(), strict=True):
        assert (mask == found).mean() > 0.98


def test_colors_that_jpeg_mixes_up_are_refused(tmp_path: Path) -> None:
    save_jpegs(tmp_path, np.array([(0, 0, 0), (255, 0, 0), (230, 0, 0)], np.uint8))
    (tmp_path / "dataset.yaml").write_text(
        "colors: {a: [0, 0, 0], b: [255, 0, 0], c: [230, 0, 0]}\n"
    )
    with pytest.raises(DataError, match=r"#ff0000 and #e60000 are too much alike. Export .* PNG"):
        look(tmp_path)


def test_declared_colors_that_are_not_there_are_refused(tmp_path: Path) -> None:
    save_jpegs(tmp_path, np.array(PALETTES["primary"], np.uint8))
    (tmp_path / "dataset.yaml").write_text("colors: {a: [0, 0, 0], b: [0, 255, 0]}\n")
    with pytest.raises(DataError, match=r"only \d\d% of the pixels are near to #000000, #00ff00"):
        look(tmp_path)


def test_colour_photographs_are_no_masks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(3, 96, 128))
    smooth = np.stack([gaussian_filter(one, 4) for one in noise], 2)
    save(tmp_path, {"a": (128 + smooth / smooth.std() * 60).clip(0, 255).astype(np.uint8)}, ".jpg")
    with pytest.raises(DataError, match=r"masks are JPEG or lossy WebP, .*Export masks as PNG"):
        look(tmp_path)


def test_one_jpeg_of_other_colours_is_found(tmp_path: Path) -> None:
    save_jpegs(tmp_path, np.array(PALETTES["primary"], np.uint8))
    *_, inferred, _ = look(tmp_path)
    odd = np.full((96, 128, 3), (128, 0, 128), np.uint8)
    Image.fromarray(odd).save(tmp_path / "masks/0.jpg")
    facts = scan(find_layout(tmp_path))
    left = {id: unknown_values(known.masks[0], inferred.encoding) for id, known in facts.items()}
    assert [id for id, values in left.items() if values] == ["0"]
    assert left["0"] == ((128, 0, 128),)
