"""Every pixel format goes in as documented; what is written is read back."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from delineo.data.images import (
    read_image,
    read_orientation,
    write_image,
    write_mask,
    write_probabilities,
)
from delineo.data.mask_pixels import read_mask_pixels
from delineo.data.palette import class_color, class_palette
from delineo.errors import DataError, ShapeError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (9, 14), np.uint8)
RGB = RNG.integers(0, 256, (9, 14, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (9, 14), np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".gif", ".ppm"])
def test_lossless_rgb_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    few = RGB // 64 * 64
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(few).save(path, **options)
    np.testing.assert_array_equal(read_image(path), few)


def test_jpeg_is_close(tmp_path: Path) -> None:
    smooth = np.repeat(np.linspace(0, 255, 32, dtype=np.uint8)[None], 24, 0)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == (24, 32, 1)
    assert np.abs(image[:, :, 0].astype(int) - smooth).max() < 8


def _save(path: Path, mode: str) -> np.ndarray:
    """Write one picture in a Pillow mode; the array that reading it should give."""
    picture = Image.fromarray(RGB)
    match mode:
        case "L" | "1":
            image = Image.fromarray(GREY).convert(mode, dither=Image.Dither.NONE)
            expected = np.array(image.convert("L"))[:, :, None]
        case "LA":
            image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY)])
            expected = GREY[:, :, None]
        case "RGBA":
            image = Image.merge("RGBA", [*picture.split(), Image.fromarray(GREY)])
            expected = RGB
        case _:
            image = picture.convert(mode)
            expected = np.array(image.convert("RGB"))
    image.save(path)
    return expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_modes(tmp_path: Path, mode: str) -> None:
    expected = _save(tmp_path / "a.png", mode)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    expected = _save(tmp_path / "a.tif", "CMYK")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(DEEP).save(tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image[:, :, 0], DEEP)


@pytest.mark.parametrize(
    ("shape", "dtype", "options"),
    [
        ((9, 14, 3), np.uint16, {"photometric": "rgb"}),
        ((9, 14, 5), np.uint8, {"planarconfig": "contig", "photometric": "minisblack"}),
        ((5, 9, 14), np.uint8, {"planarconfig": "separate", "photometric": "minisblack"}),
        ((9, 14, 4), np.uint8, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
        ((9, 14), np.float32, {}),
        ((9, 14), np.int16, {}),
    ],
)
def test_tiff_beyond_pillow(tmp_path: Path, shape: tuple, dtype: type, options: dict) -> None:
    data = (RNG.random(shape) * 200).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, **options)
    image = read_image(tmp_path / "a.tif")
    expected = data if data.ndim == 3 else data[:, :, None]
    expected = np.moveaxis(expected, 0, -1) if shape == (5, 9, 14) else expected
    np.testing.assert_array_equal(image, expected)
    assert image.dtype == (dtype if dtype in (np.uint8, np.uint16) else image.dtype)


def deep_png(pixels: np.ndarray, interlaced: bool = False) -> bytes:
    """A 16-bit PNG of (height, width, 1 to 4), written after the PNG specification, 3rd edition.

    Its rows go through the five kinds of filter in turn.
    """
    height, width, channels = pixels.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:  # section 8.1: first row, first column, and the steps of both
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
                  (0, 1, 2, 2), (1, 0, 2, 1)]  # fmt: skip
    raw = b"".join(_filtered(pixels[y::down, x::right]) for y, x, down, right in passes)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, interlaced)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _filtered(pixels: np.ndarray) -> bytes:
    """Section 9.2: each byte less what is predicted from those left of it and above it."""
    if 0 in pixels.shape:
        return b""
    step = 2 * pixels.shape[2]
    rows = pixels.astype(">u2").reshape(len(pixels), -1).view(np.uint8).astype(int)
    above = np.vstack([rows[:1] * 0, rows[:-1]])
    lines = b""
    for number, (x, b) in enumerate(zip(rows, above, strict=True)):
        a, c = (np.concatenate([[0] * step, line])[: len(x)] for line in (x, b))
        nearest = np.abs([b - c, a - c, a + b - 2 * c]).argmin(0)
        predicted = [0, a, b, (a + b) // 2, np.choose(nearest, [a, b, c])][number % 5]
        lines += bytes([number % 5]) + ((x - predicted) % 256).astype(np.uint8).tobytes()
    return lines


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_of_colour_png_are_kept(
    tmp_path: Path, channels: int, interlaced: bool
) -> None:
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(1).integers(0, 65536, (11, 13, channels), np.uint16)
    path.write_bytes(deep_png(pixels, interlaced))
    image = read_image(path)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, pixels[:, :, : 1 if channels < 3 else 3])
    path.write_bytes(deep_png(pixels)[:-150])
    with pytest.raises(DataError, match="damaged"):
        read_image(path)


@pytest.mark.parametrize("scale", [1, 256, 257])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_masks_of_sixteen_bits(tmp_path: Path, suffix: str, scale: int) -> None:
    path = tmp_path / f"a{suffix}"
    pixels = RGB.astype(np.uint16) * scale

    def save(pixels: np.ndarray) -> None:
        if suffix == ".png":
            path.write_bytes(deep_png(pixels))
        else:
            tifffile.imwrite(path, pixels, photometric="rgb")

    save(pixels)
    mask = read_mask_pixels(path)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, RGB)
    save(np.repeat(DEEP[:, :, None], 3, 2))
    np.testing.assert_array_equal(read_mask_pixels(path), DEEP)
    save(np.minimum(pixels, 60000) + np.uint16([300, 0, 0]))
    with pytest.raises(DataError, match=r"8 bits per channel cannot tell apart"):
        read_mask_pixels(path)


def test_sixteen_bit_masks_with_transparency(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 3]], np.uint16)
    alpha = np.array([[0, 65535], [65535, 65535]], np.uint16)
    (tmp_path / "a.png").write_bytes(deep_png(np.dstack([values + 5, alpha])))
    np.testing.assert_array_equal(read_mask_pixels(tmp_path / "a.png"), [[0, 6], [7, 8]])
    (tmp_path / "a.png").write_bytes(deep_png(np.dstack([values * 0, alpha])))
    np.testing.assert_array_equal(read_mask_pixels(tmp_path / "a.png"), alpha)


def test_marked_alpha_of_tiff_is_dropped(tmp_path: Path) -> None:
    data = RNG.integers(0, 256, (9, 14, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), data[:, :, :3])


def test_stack_of_pages_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((6, 9, 14), np.uint16))
    with pytest.raises(DataError, match="stack of 6 x 9 x 14"):
        read_image(tmp_path / "a.tif")


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", list(UPRIGHT))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(path, exif=exif)
    expected = UPRIGHT[orientation](RGB)
    np.testing.assert_array_equal(read_image(path), expected)
    assert read_orientation(path) == orientation


@pytest.mark.parametrize("orientation", list(UPRIGHT))
def test_orientation_of_deep_tiff(tmp_path: Path, orientation: int) -> None:
    tags = [(274, "H", 1, orientation, False)]
    tifffile.imwrite(tmp_path / "a.tif", DEEP, extratags=tags)
    expected = UPRIGHT[orientation](DEEP[:, :, None])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize("bands", [3, 5])
def test_compressed_tiffs_with_a_wrong_byte_are_named(tmp_path: Path, bands: int) -> None:
    path, pixels = tmp_path / "a.tif", RNG.integers(0, 65536, (64, 64, bands), np.uint16)
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(path, pixels, compression="zlib", **options)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    for read in (read_image, read_mask_pixels):
        with pytest.raises(DataError, match=r"a\.tif is damaged"):
            read(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".gif", ".tif", ".webp"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"broken{suffix}"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    for read in (read_image, read_mask_pixels):
        with pytest.raises(DataError, match=f"broken{suffix}"):
            read(path)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"page.png is not an image"):
        read_image(tmp_path / "page.png")
    with pytest.raises(DataError, match=r"none.png does not exist"):
        read_image(tmp_path / "none.png")


def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(GREY).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"bomb.png is too large.*tiles"):
        read_image(tmp_path / "bomb.png")


def test_palette_masks_give_the_index(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 2], [3, 255, 0]], np.uint8)
    image = Image.fromarray(mask)
    image.putpalette(class_palette())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask_pixels(tmp_path / "a.png"), mask)


@pytest.mark.parametrize("palette", [[255] * 3 + [0] * 3, [0] * 3 + [255] * 3])
def test_grey_palettes_give_the_grey_value(tmp_path: Path, palette: list[int]) -> None:
    indices = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(palette)
    for name in ("a.png", "a.gif"):
        image.save(tmp_path / name)
        expected = np.array(palette[::3])[indices]
        np.testing.assert_array_equal(read_mask_pixels(tmp_path / name), expected)


def test_mask_formats(tmp_path: Path) -> None:
    truth = GREY > 128
    Image.fromarray(truth).save(tmp_path / "one.bmp")
    Image.fromarray(truth.astype(np.uint16) * 65535).save(tmp_path / "deep.png")
    grey = np.repeat(truth[:, :, None].astype(np.uint8) * 255, 3, 2)
    Image.fromarray(grey).save(tmp_path / "grey-rgb.png")
    tifffile.imwrite(tmp_path / "float.tif", truth.astype(np.float32))
    for name, high in {
        "one.bmp": 1,
        "deep.png": 65535,
        "grey-rgb.png": 255,
        "float.tif": 1,
    }.items():
        pixels = read_mask_pixels(tmp_path / name)
        assert pixels.shape == truth.shape
        np.testing.assert_array_equal(pixels, truth * high)


def test_mask_in_the_transparency(tmp_path: Path) -> None:
    alpha = np.where(GREY > 128, np.uint8(255), np.uint8(0))
    black = np.zeros((9, 14, 3), np.uint8)
    Image.fromarray(np.dstack([black, alpha])).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_mask_pixels(tmp_path / "alpha.png"), alpha)
    Image.fromarray(np.dstack([RGB, alpha])).save(tmp_path / "cut.png")
    expected = np.where(alpha[:, :, None] == 0, 0, RGB)
    np.testing.assert_array_equal(read_mask_pixels(tmp_path / "cut.png"), expected)


def test_fractions_are_no_mask(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "soft.tif", np.full((4, 4), 0.5, np.float32))
    with pytest.raises(DataError, match=r"soft.tif holds fractions"):
        read_mask_pixels(tmp_path / "soft.tif")


def test_written_masks_are_read_back_and_coloured(tmp_path: Path) -> None:
    mask = RNG.integers(0, 256, (9, 14), np.uint8)
    write_mask(tmp_path / "mask.png", mask)
    np.testing.assert_array_equal(read_mask_pixels(tmp_path / "mask.png"), mask)
    shown = read_image(tmp_path / "mask.png")
    np.testing.assert_array_equal(shown[3, 4], class_color(int(mask[3, 4])))
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


def test_written_images_and_probabilities(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", RGB)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)
    values = RNG.random((9, 14)).astype(np.float32)
    write_probabilities(tmp_path / "p.png", values)
    restored = read_image(tmp_path / "p.png")[:, :, 0] / 65535
    np.testing.assert_allclose(restored, values, atol=0.5 / 65535 + 1e-7)


def test_wrong_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="one file per class"):
        write_mask(tmp_path / "a.png", np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(ShapeError):
        write_image(tmp_path / "a.png", DEEP[:, :, None])
    with pytest.raises(DataError, match="no image format"):
        write_image(tmp_path / "a.xyz", RGB)
    assert not list(tmp_path.iterdir())


def test_class_colors_differ() -> None:
    assert len({class_color(index) for index in range(256)}) == 256
    assert class_color(0) == (0, 0, 0)
    first = np.array([class_color(index) for index in range(22)], float)
    apart = np.abs(first[:, None] - first[None]).sum(-1) + np.eye(22) * 999
    assert apart.min() > 40
