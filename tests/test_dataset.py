"""Training windows and their order: a pure function of seed, pass and sample."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from PIL import Image

from delineo.data.augmentation import AugmentationConfig
from delineo.data.dataset import (
    Batch,
    BatchOrder,
    Cache,
    DataConfig,
    TrainingWindows,
    class_presence,
    class_weights,
    sample_order,
)
from delineo.data.loading import training_batches
from delineo.data.samples import (
    IGNORE_INDEX,
    DataFolder,
    Encoding,
    MaskFile,
    MaskLayers,
    MaskRuns,
    Sample,
)

OFF = AugmentationConfig(
    horizontal_flip=0, rotation=0, zoom=1, shift=0, brightness=0, contrast=0, saturation=0
)


@pytest.fixture(scope="module")
def shapes(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory):
    """Ten discs, all of them for training."""
    root = make_shapes(tmp_path_factory.mktemp("data") / "shapes", 10)
    samples = [
        Sample(path.stem, path, MaskFile(root / "masks" / path.name))
        for path in sorted((root / "images").iterdir())
    ]
    return folder_of(root, samples)


def folder_of(root: Path, samples: list[Sample], **changes: object) -> DataFolder:
    folder = DataFolder(
        root=root,
        layout="test",
        task="binary",
        classes=("disc",),
        channels=3,
        encoding=Encoding(values={0: 0, 255: 1}),
        samples=tuple(samples),
        splits={"train": tuple(sample.id for sample in samples)},
    )
    return replace(folder, **changes)  # pyright: ignore[reportArgumentType]


def windows_of(
    folder: DataFolder,
    size: tuple[int, int] = (32, 32),
    scale: float | str = "fit",
    cache: int = 0,
    augmentation: AugmentationConfig | None = None,
    **settings: object,
) -> TrainingWindows:
    data = DataConfig.parse({"image_size": size, "scale": scale, **settings})
    samples = folder.part("train")
    return TrainingWindows(folder, samples, data, augmentation or AugmentationConfig(), 0, cache)


def assert_same(first: Batch, second: Batch) -> None:
    for name, ours, theirs in zip(Batch._fields, first, second, strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("scale", ["fit", 0.8])
def test_items_do_not_depend_on_order_or_cache(shapes: DataFolder, scale: float | str) -> None:
    items = [(number, index) for number in (0, 1) for index in (0, 3, 7)]
    fresh = {item: windows_of(shapes, scale=scale)[item] for item in items}
    cached = windows_of(shapes, scale=scale, cache=2**30)
    tight = windows_of(shapes, scale=scale, cache=20_000)  # room for some
    for item in [*reversed(items), *items]:
        assert_same(cached[item], fresh[item])
        assert_same(tight[item], fresh[item])
    assert not torch.equal(fresh[0, 3].images, fresh[1, 3].images)
    assert fresh[0, 3].indices == 3


def test_a_seed_of_its_own_gives_windows_of_its_own(shapes: DataFolder) -> None:
    ours = windows_of(shapes)
    theirs = windows_of(shapes)
    theirs.seed = 1
    assert not torch.equal(ours[0, 0].images, theirs[0, 0].images)


def test_batches_are_the_same_with_any_number_of_workers(shapes: DataFolder) -> None:
    def first(workers: int) -> list[Batch]:
        loader = training_batches(windows_of(shapes), BatchOrder(10, 4, 0, 1), workers)
        return list(islice(loader, 4))

    alone, helped = first(0), first(2)
    for ours, theirs in zip(alone, helped, strict=True):
        assert_same(ours, theirs)
    assert alone[0].images.shape == (4, 3, 32, 32)
    assert alone[0].target.shape == (4, 32, 32)


def test_the_cache_keeps_what_fits_and_no_more() -> None:
    cache = Cache(100)
    pair = torch.zeros(40, dtype=torch.uint8), torch.zeros(20, dtype=torch.uint8)
    cache.put(0, pair)
    cache.put(1, pair)
    assert cache.get(0) is pair
    assert cache.get(1) is None
    assert cache.free == 40


# Order


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 5))
def test_every_index_comes_once_per_pass(count: int, batch_size: int, seed: int) -> None:
    order = BatchOrder(count, batch_size, seed, 0)
    batches = list(islice(order, 4 * count))
    assert all(len(batch) == batch_size for batch in batches)
    stream = [item for batch in batches for item in batch]
    for number in range(4 * batch_size):
        one_pass = stream[number * count : (number + 1) * count]
        assert {item[0] for item in one_pass} == {number}
        assert sorted(item[1] for item in one_pass) == list(range(count))


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 30), st.booleans())
def test_resumed_order_is_the_rest_of_the_whole(
    count: int, batch_size: int, step: int, weighted: bool
) -> None:
    weights = torch.arange(1.0, count + 1) if weighted else None
    whole = islice(BatchOrder(count, batch_size, 3, 0, weights), step, step + 5)
    resumed = islice(BatchOrder(count, batch_size, 3, step, weights), 5)
    assert list(resumed) == list(whole)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 4))
def test_the_shares_of_all_processes_make_the_batch(
    count: int, batch_size: int, world: int
) -> None:
    whole = list(islice(BatchOrder(count, batch_size, 0, 2), 5))
    shares = [
        list(islice(BatchOrder(count, batch_size, 0, 2, None, rank, world), 5))
        for rank in range(world)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(item for part in parts for item in part) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_passes_and_seeds_differ_in_order() -> None:
    orders = {tuple(sample_order(20, seed, number, None)) for seed in (0, 1) for number in (0, 1)}
    assert len(orders) == 4


def test_weights_say_how_often_a_sample_comes() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0])
    drawn = [i for number in range(1000) for i in sample_order(3, 0, number, weights)]
    assert drawn.count(0) == 0
    assert drawn.count(2) / drawn.count(1) == pytest.approx(3, rel=0.15)


# Windows


def spotted(root: Path) -> DataFolder:
    """One image of 200 x 300 with a spot of class 2 and a block of class 1."""
    mask = np.zeros((200, 300), np.uint8)
    mask[20:60, 30:90] = 1
    mask[150:154, 250:254] = 2
    Image.fromarray(mask).save(root / "mask.png")
    Image.fromarray(np.stack([mask * 100] * 3, 2)).save(root / "image.png")
    sample = Sample("one", root / "image.png", MaskFile(root / "mask.png"))
    encoding = Encoding(values={0: 0, 1: 1, 2: 2})
    return folder_of(
        root, [sample], task="multiclass", classes=("ground", "a", "b"), encoding=encoding
    )


def share_with(windows: TrainingWindows, value: int, passes: int = 90) -> float:
    return float(np.mean([bool((windows[n, 0].target == value).any()) for n in range(passes)]))


def test_class_windows_are_centred_on_classes_drawn_evenly(tmp_path: Path) -> None:
    folder = spotted(tmp_path)
    sometimes = windows_of(folder, scale=1.0, class_windows=0, cache=2**24)
    always = windows_of(folder, scale=1.0, class_windows=1, cache=2**24)
    assert share_with(sometimes, 2) < 0.1
    assert share_with(always, 2) == pytest.approx(1 / 3, abs=0.15)
    assert share_with(always, 1) > 0.3


def test_class_windows_of_binary_masks_are_on_the_foreground(tmp_path: Path) -> None:
    mask = np.zeros((150, 150), np.uint8)
    mask[140, 5] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.stack([mask] * 3, 2)).save(tmp_path / "image.png")
    folder = folder_of(
        tmp_path, [Sample("one", tmp_path / "image.png", MaskFile(tmp_path / "mask.png"))]
    )
    windows = windows_of(folder, scale=1.0, class_windows=1, augmentation=OFF)
    for number in range(5):
        target = windows[number, 0].target
        assert target[15:17, 15:17].eq(1).sum() == 1


def test_windows_lie_within_the_zoomed_image(tmp_path: Path) -> None:
    """A window of 32 on an image of 80 that is halved to doubled always fits."""
    edge = np.full((80, 80), 255, np.uint8)
    edge[2:-2, 2:-2] = 0
    Image.fromarray(np.stack([edge] * 3, 2)).save(tmp_path / "image.png")
    Image.fromarray(edge).save(tmp_path / "mask.png")
    folder = folder_of(
        tmp_path, [Sample("one", tmp_path / "image.png", MaskFile(tmp_path / "mask.png"))]
    )
    augmentation = OFF.model_copy(update={"zoom": 2.0})
    windows = windows_of(folder, scale=1.0, class_windows=0, augmentation=augmentation)
    targets = torch.stack([windows[number, 0].target for number in range(150)])
    outside = (targets == IGNORE_INDEX).float().mean((1, 2))
    assert outside.max() <= 2 / 32  # a row and a column, since windows lie on the pixel grid
    assert (targets == 1).any()


@pytest.mark.parametrize("size", [(32, 32), (33, 31)])
def test_windows_that_only_shift_copy_pixels(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = spotted(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "image.png")
    windows = windows_of(folder, size, scale=1.0, augmentation=OFF, class_windows=0.5)
    image, mask = windows.scaled(0)
    places = image.unfold(1, size[0], 1).unfold(2, size[1], 1)[0]
    for number in range(10):
        batch = windows[number, 0]
        inside = batch.target != IGNORE_INDEX
        if inside.all():
            (y, x), *_ = (places == batch.images[0]).all(-1).all(-1).nonzero().tolist()
            assert torch.equal(batch.target, mask[y : y + size[0], x : x + size[1]])


def test_class_windows_where_there_is_nothing(tmp_path: Path) -> None:
    """Empty masks, wholly ignored masks and empty layers get random windows."""
    pixels = np.zeros((40, 40), np.uint8)
    Image.fromarray(np.stack([pixels] * 3, 2)).save(tmp_path / "image.png")
    Image.fromarray(pixels).save(tmp_path / "empty.png")
    Image.fromarray(pixels + 9).save(tmp_path / "ignored.png")
    image, encoding = tmp_path / "image.png", Encoding(values={0: 0, 255: 1, 9: IGNORE_INDEX})
    for source, task in (
        (MaskFile(tmp_path / "empty.png"), "binary"),
        (MaskFile(tmp_path / "ignored.png"), "binary"),
        (MaskRuns(()), "multilabel"),
    ):
        folder = folder_of(
            tmp_path, [Sample("one", image, source)],
            task=task, encoding=encoding, classes=("a",),
        )  # fmt: skip
        target = windows_of(folder, (16, 16), scale=1.0, class_windows=1)[0, 0].target
        assert target.shape == ((1, 16, 16) if task == "multilabel" else (16, 16))


def test_the_whole_image_is_seen_where_nothing_moves(shapes: DataFolder) -> None:
    windows = windows_of(shapes, (48, 64), augmentation=OFF)
    for index in range(3):
        image, mask = windows.scaled(index)
        batch = windows[0, index]
        assert torch.equal(batch.images, image)
        assert torch.equal(batch.target, mask)
        assert (batch.brightness, batch.contrast, batch.saturation) == (0, 1, 1)


def test_16_bit_and_fractions_keep_their_values(tmp_path: Path) -> None:
    wide = (np.arange(32 * 32).reshape(32, 32) * 64).astype(np.uint16)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    tifffile.imwrite(tmp_path / "real.tif", wide.astype(np.float32) / 65535 - 0.5)
    Image.fromarray((wide > 30000).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    samples = [
        Sample(name, tmp_path / name, MaskFile(tmp_path / "mask.png"))
        for name in ("wide.png", "real.tif")
    ]
    folder = folder_of(tmp_path, samples, channels=1)
    windows = windows_of(folder, augmentation=OFF)
    first, second = windows[0, 0].images, windows[0, 1].images
    assert first.dtype == second.dtype == torch.float32
    torch.testing.assert_close(first[0], torch.from_numpy(wide.astype(np.float32)))
    torch.testing.assert_close(second, first / 65535 - 0.5, atol=1e-5, rtol=0)
    assert windows[0, 0].target.sum() == (wide > 30000).sum()


def test_layers_become_one_plane_per_class(tmp_path: Path) -> None:
    layer = np.zeros((24, 36), np.uint8)
    layer[4:10, 4:10] = 255
    Image.fromarray(layer).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((24, 36, 3), np.uint8)).save(tmp_path / "image.png")
    source = MaskLayers((tmp_path / "a.png", None, tmp_path / "a.png"))
    folder = folder_of(
        tmp_path, [Sample("one", tmp_path / "image.png", source)],
        task="multilabel", classes=("a", "b", "c"),
    )  # fmt: skip
    target = windows_of(folder, (24, 36), augmentation=OFF)[0, 0].target
    assert target.shape == (3, 24, 36)
    assert target.sum((1, 2)).tolist() == [36, 0, 36]
    assert class_presence(folder, folder.samples).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("scale", ["fit", 0.5])
def test_a_mask_of_another_size_lies_over_its_image(tmp_path: Path, scale: float | str) -> None:
    """The view follows the image, as in prediction; the mask is brought to it."""
    disc = np.zeros((80, 120), np.uint8)
    disc[20:60, 30:90] = 255
    Image.fromarray(np.stack([disc] * 3, 2)).save(tmp_path / "image.png")
    Image.fromarray(disc[::2, ::2]).save(tmp_path / "mask.png")
    folder = folder_of(
        tmp_path, [Sample("one", tmp_path / "image.png", MaskFile(tmp_path / "mask.png"))]
    )
    image, mask = windows_of(folder, (40, 60), scale).scaled(0)
    assert image.shape == (3, 40, 60)
    assert torch.equal(image[0] > 127, mask == 1)


# Rare classes


def test_presence_of_classes(shapes: DataFolder, tmp_path: Path) -> None:
    assert class_presence(shapes, shapes.samples).tolist() == [[1]] * 10
    folder = spotted(tmp_path)
    assert class_presence(folder, folder.samples).tolist() == [[1, 1, 1]]


def test_weights_meet_every_class_alike() -> None:
    presence = torch.tensor([[1.0, 0.0]] * 90 + [[0.0, 1.0]] * 10)
    weights = class_weights(presence, 1.0)
    assert weights is not None
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[90:].sum()) == pytest.approx(0.5)
    half = class_weights(presence, 0.5)
    assert half is not None
    assert float(half[90:].sum()) == pytest.approx(0.3)
    assert class_weights(presence, 0.0) is None


def test_weights_of_images_without_any_class() -> None:
    presence = torch.tensor([[0.0, 0.0]] * 6 + [[1.0, 0.0]] * 3 + [[1.0, 1.0]])
    weights = class_weights(presence, 1.0)
    assert weights is not None
    assert (weights > 0).all()
    assert weights[-1] == weights.max()
    assert weights[0] == weights.min()
    empty = class_weights(torch.zeros(4, 2), 1.0)
    assert empty is not None
    assert empty.tolist() == [0.25] * 4
