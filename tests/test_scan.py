"""One pass over all files: facts, copies."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from delineo.data.duplicates import exact_duplicates, near_duplicates
from delineo.data.facts import image_facts, mask_facts
from delineo.data.layouts import find_layout
from delineo.data.scan import scan
from delineo.progress import NoProgress


def textured(seed: int, height: int = 150, width: int = 200) -> np.ndarray:
    """A smooth random picture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(40, 200, (12, 16, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def changed(image: np.ndarray, how: str) -> np.ndarray:
    picture = Image.fromarray(image)
    match how:
        case "half":
            picture = picture.resize((picture.width // 2, picture.height // 2))
        case "larger":
            picture = picture.resize((picture.width * 3 // 2, picture.height * 3 // 2))
        case "brighter":
            picture = ImageEnhance.Brightness(picture).enhance(1.15)
        case "recompressed":
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=40)
            picture = Image.open(buffer)
        case "grey":
            picture = picture.convert("L").convert("RGB")
    return np.asarray(picture)


@pytest.mark.parametrize("how", ["half", "larger", "brighter", "recompressed", "grey"])
def test_changed_copies_are_found_and_nothing_else(how):
    images = {f"p{seed}": image_facts(textured(seed), 1) for seed in range(40)}
    images["copy"] = image_facts(changed(textured(7), how), 1)
    assert near_duplicates(images) == [("p7", "copy")]


def test_smooth_constant_and_shifted_pictures_are_no_copies():
    ramp = np.linspace(0, 255, 200).astype(np.uint8)
    smooth = np.broadcast_to(ramp[None, :, None], (150, 200, 3))
    flat = np.full((150, 200, 3), 90, np.uint8)
    pictures = [smooth, smooth // 2 + 20, smooth // 3, flat, flat + 1, textured(1)]
    pictures.append(np.roll(textured(1), 14, axis=1))
    images = {str(i): image_facts(picture, 1) for i, picture in enumerate(pictures)}
    assert near_duplicates(images) == []
    assert exact_duplicates(images) == []


def test_exact_copies_are_one_set_and_join_near_ones_once():
    images = {name: image_facts(textured(3), 1) for name in ("a", "b", "c")}
    images["near"] = image_facts(changed(textured(3), "half"), 1)
    images |= {f"flat{i}": image_facts(np.zeros((9, 9, 1), np.uint8), 1) for i in range(2)}
    assert exact_duplicates(images) == [("a", "b", "c")]
    assert near_duplicates(images) == [("a", "near")]


def test_copies_across_blocks_are_found(monkeypatch):
    monkeypatch.setattr("delineo.data.duplicates.BLOCK", 8)
    images = {f"p{seed:02}": image_facts(textured(seed), 1) for seed in range(30)}
    images["z"] = image_facts(changed(textured(2), "half"), 1)
    assert near_duplicates(images) == [("p02", "z")]


def test_pictures_all_alike_do_not_make_a_flood(monkeypatch):
    monkeypatch.setattr("delineo.data.duplicates.MOST_PER_BLOCK", 20)
    pictures = [textured(1) // 8 * 8 + shade for shade in range(8)]
    images = {str(i): image_facts(picture, 1) for i, picture in enumerate(pictures)}
    assert len(near_duplicates(images)) == 20


def test_image_facts_of_every_depth():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4000, (30, 20, 5)).astype(np.uint16)
    facts = image_facts(pixels, 6)
    assert (facts.height, facts.width, facts.channels, facts.dtype) == (30, 20, 5, "uint16")
    assert facts.mean == pytest.approx(pixels.reshape(-1, 5).mean(0))
    assert facts.std == pytest.approx(pixels.reshape(-1, 5).std(0))
    assert facts.orientation == 6
    assert not facts.constant
    broken = pixels.astype(np.float32)
    broken[3, 4, 1] = np.nan
    broken[3, 5, 1] = np.inf
    assert image_facts(pixels.astype(np.float32), 1).finite
    assert not image_facts(broken, 1).finite
    assert np.isfinite(image_facts(broken, 1).mean).all()


def test_a_large_image_is_constant_only_if_every_pixel_is():
    pixels = np.full((400, 401, 1), 7, np.uint8)
    assert image_facts(pixels, 1).constant
    pixels[399, 3] = 8
    assert not image_facts(pixels, 1).constant


def test_histograms_of_masks_count_every_pixel():
    grey = np.array([[0, 0, 255], [7, 7, 7]], np.uint8)
    assert mask_facts(grey, Path("m.png"), None).values == {0: 2, 7: 3, 255: 1}
    deep = grey.astype(np.uint16) * 257
    assert mask_facts(deep, Path("m.png"), None).values == {0: 2, 1799: 3, 65535: 1}
    color = np.stack([grey, grey * 0, grey], axis=2)
    facts = mask_facts(color, Path("m.png"), None)
    assert (facts.colors, facts.values) == ({(0, 0, 0): 2, (7, 0, 7): 3, (255, 0, 255): 1}, {})
    assert not facts.lossy
    assert not facts.flat_colors
    code = mask_facts(grey == 7, None, 2)
    assert (code.values, code.layer, code.lossy) == ({0: 3, 1: 3}, 2, False)


def test_colours_of_jpeg_masks_are_counted_in_steps_and_away_from_edges():
    color = np.zeros((4, 6, 3), np.uint8)
    color[:, 3:] = (203, 5, 0)
    color[0, 0] = (1, 3, 2)
    facts = mask_facts(color, Path("m.jpg"), None)
    assert facts.lossy
    assert facts.colors == {(0, 0, 0): 12, (200, 8, 0): 12}
    assert facts.flat_colors == {(0, 0, 0): 7, (1, 3, 2): 1, (203, 5, 0): 8}


class Counting(NoProgress):
    def __init__(self) -> None:
        self.done, self.total, self.running = 0, None, 0

    def start(self, task: str, total: int | None = None, unit: str = "images") -> None:
        self.total, self.running = total, self.running + 1

    def advance(self, n: int = 1, **fields: float | int | str) -> None:
        self.done += n

    def finish(self) -> None:
        self.running -= 1


def test_scan_reads_every_file_and_tells_broken_ones(tmp_path, make_shapes):
    root = make_shapes(tmp_path / "data", count=6)
    (root / "images" / "disc01.png").write_bytes(b"no image")
    (root / "masks" / "disc02.png").write_bytes((root / "masks" / "disc03.png").read_bytes()[:60])
    progress = Counting()
    facts = scan(find_layout(root), progress)
    assert (progress.done, progress.total, progress.running) == (6, 6, 0)
    assert list(facts) == [f"disc{i:02}" for i in range(6)]
    assert facts["disc01"].image is None
    assert [error.path.name for error in facts["disc01"].errors] == ["disc01.png"]
    assert facts["disc02"].masks == ()
    assert facts["disc02"].errors[0].path == root / "masks" / "disc02.png"
    assert facts["disc00"].errors == ()
    assert sum(facts["disc00"].masks[0].values.values()) == 48 * 64


def test_digest_is_of_pixels_and_not_of_the_file(tmp_path, make_shapes):
    root = make_shapes(tmp_path / "data", count=2)
    with Image.open(root / "images" / "disc00.png") as image:
        image.save(root / "images" / "disc01.png", compress_level=1)
    facts = scan(find_layout(root))
    assert facts["disc00"].image.digest == facts["disc01"].image.digest
