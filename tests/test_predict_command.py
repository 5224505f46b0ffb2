"""`delineo predict` on whatever people give it: nothing is half-written, and the rest is done."""

import errno
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from test_outputs import INDICES, pixels, predictor_of, save, stripes, written
from typer.testing import CliRunner

from delineo import outputs
from delineo.cli import app
from delineo.data.samples import Task
from delineo.errors import ConfigError
from delineo.origins import NOTE, Model, Origin, begin, begun
from delineo.prediction import Predictor

Predict = Callable[..., tuple[int, str]]


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """predict("photos", "--resume") -> (exit code, what it says), with masks in `out`."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, task: Task = "multiclass") -> tuple[int, str]:
        monkeypatch.setattr("delineo.forms.open_predictor", lambda *_, **__: predictor_of(task))
        words = ["predict", "run", *map(str, arguments), "--out", "out"]
        result = CliRunner().invoke(app, words)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return call


def photos(*names: str) -> Path:
    for name in names:
        save(Path("photos", name))
    return Path("photos")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in written(folder)}


class Counting:
    """Counts the images that a network sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen, probabilities = 0, Predictor.probabilities

        def counted(predictor: Predictor, image: np.ndarray) -> np.ndarray:
            self.seen += 1
            return probabilities(predictor, image)

        monkeypatch.setattr(Predictor, "probabilities", counted)


# Folders, patterns and lists


def test_patterns_and_lists(predict: Predict) -> None:
    photos("a.png", "day/a.png", "day/b.png")
    Path("list.txt").write_text("photos/a.png\nphotos/day/b.png\n")
    assert predict("@list.txt")[0] == 0
    assert written(Path("out")) == {"photos/a.png", "photos/day/b.png"}
    code, said = predict("photos/**/*.png")
    assert (code, said.splitlines()[-1]) == (0, "3 masks in out")
    assert {"a.png", "day/a.png", "day/b.png"} < written(Path("out"))


def test_what_a_list_names_wrongly_is_said_at_the_end(predict: Predict) -> None:
    photos("a.png")
    Path("list.txt").write_text("photos/gone.png\nphotos/a.png\n")
    code, said = predict("@list.txt")
    assert code == 1
    assert said.splitlines()[-2:] == [
        "1 mask in out",
        "error: photos/gone.png does not exist",
    ]
    assert predict("@nothing.txt")[0] == 2


# Going on


EVERYTHING = (
    "--overlay", "--class-overlays", "--class-masks", "--probabilities",
    "--rle", "severstal-joined", "--format", "coco", "--format", "coco-polygons",
    "--format", "yolo", "--format", "geojson", "--table", "out/areas.csv",
)  # fmt: skip


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_an_interrupted_prediction_goes_on_to_the_same_files(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, task: Task
) -> None:
    """All files, tables too, byte by byte."""
    folder = photos("a.png", "b.png", "c.png", "inner/d.png")
    save(folder / "e.png", stripes()[:, ::-1])
    assert predict(folder, *EVERYTHING, task=task)[0] == 0
    expected = contents(Path("out"))
    for name in written(Path("out")):
        if not Path(name).name.startswith(("a", "b")) or name.endswith((".csv", "json", "yaml")):
            Path("out", name).unlink()
    (Path("out") / "a_overlay.png").unlink()
    counting = Counting(monkeypatch)
    code, said = predict(folder, *EVERYTHING, "--resume", task=task)
    assert code == 0
    assert contents(Path("out")) == expected
    assert counting.seen == 5  # the GeoJSON of each is gone
    for name in ("b.geojson", "c_overlay.png", "coco.json", "submission.csv", "areas.csv"):
        Path("out", name).unlink()
    code, said = predict(folder, *EVERYTHING, "--resume", task=task)
    assert "5 masks in out, 3 of them from before" in said
    assert counting.seen == 7
    assert contents(Path("out")) == expected


def test_without_resume_all_is_done_anew(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    photos("a.png", "b.png")
    counting = Counting(monkeypatch)
    predict("photos")
    predict("photos")
    assert counting.seen == 4
    assert "2 masks in out, 2 of them from before" in predict("photos", "--resume")[1]
    assert counting.seen == 4


@pytest.fixture
def decision(predict: Predict) -> Path:
    """A file of the run, changed as `tune` changes it; `a.png` and `b.png` are predicted."""
    file = Path("run", "decision.json")
    file.parent.mkdir()
    file.write_text("first")
    photos("a.png", "b.png")
    assert predict("photos")[0] == 0
    return file


def test_what_another_decision_left_is_refused(predict: Predict, decision: Path) -> None:
    before = contents(Path("out"))
    decision.write_text("second")
    code, said = predict("photos", "--resume")
    assert code == 2
    assert "out was predicted with run, of which decision.json changed since;" in said
    assert "without --resume, or choose another --out" in said
    assert contents(Path("out")) == before
    decision.write_text("first")
    assert "2 of them from before" in predict("photos", "--resume")[1]
    code, said = predict("photos", "--resume", "--tta", "mirror")
    assert code == 2
    assert "predicted with run, and this is run --tta mirror;" in said


def test_masks_from_before_a_change_are_not_kept_after_it(
    predict: Predict, decision: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the second prediction was stopped before it came to them."""
    decision.write_text("second")
    infer = outputs._infer

    def interrupted(predictor: Predictor, job: outputs._Job, *rest: Any) -> object:
        if job.target.image.name == "b.png":
            raise KeyboardInterrupt
        return infer(predictor, job, *rest)

    monkeypatch.setattr(outputs, "_infer", interrupted)
    assert predict("photos")[0] == 130
    monkeypatch.setattr(outputs, "_infer", infer)
    assert "2 masks in out, 1 of them from before" in predict("photos", "--resume")[1]


def test_masks_of_unknown_origin_are_not_kept(predict: Predict, decision: Path) -> None:
    Path("out", NOTE).write_text("{")
    assert "2 masks in out, 0 of them from before" in predict("photos", "--resume")[1]
    assert "2 masks in out, 2 of them from before" in predict("photos", "--resume")[1]


def test_drawn_masks_are_not_overwritten(predict: Predict) -> None:
    photos("a.png", "b.png")
    save(Path("out/b.png"))
    before = contents(Path("out"))
    code, said = predict("photos")
    assert code == 2
    assert "out/b.png is there already, and predict has not written it" in said.replace("\n", " ")
    assert "Choose another --out" in said
    assert contents(Path("out")) == before
    Path("out/b.png").unlink()
    assert [predict("photos")[0], predict("photos")[0]] == [0, 0]


def test_the_description_of_a_data_set_is_not_overwritten(predict: Predict) -> None:
    photos("a.png")
    Path("out").mkdir()
    Path("out/data.yaml").write_text("names: [crack]\n")
    Path("areas.csv").write_text("")
    wanted = ("photos", "--format", "yolo", "--table", "areas.csv")
    code, said = predict(*wanted)
    assert code == 2
    assert "out/data.yaml is there already, and predict has not written it" in said.replace(
        "\n", " "
    )
    assert written(Path("out")) == {"data.yaml"}
    Path("out/data.yaml").unlink()
    assert [predict(*wanted)[0], predict(*wanted)[0]] == [0, 0]


def test_a_run_and_its_exports_are_told_apart_and_paths_do_not_matter(tmp_path: Path) -> None:
    here = Origin(models=(Model(path="a", files={"best.safetensors": "1"}),))
    there = Origin(models=(Model(path="b", files={"best.safetensors": "1"}),))
    export = Origin(models=(Model(path="c", files={"best.safetensors": "1", "format": "onnx"}),))
    begin(tmp_path, here, [])
    assert begun(tmp_path, there) == (tmp_path / NOTE).stat().st_mtime_ns
    for other in (export, Origin(models=here.models * 2)):
        with pytest.raises(ConfigError, match=f"predicted with a, and this is {other};"):
            begun(tmp_path, other)


def test_a_kept_mask_of_another_model_is_not_put_into_a_table(predict: Predict) -> None:
    photos("a.png")
    predict("photos")
    code, said = predict("photos", "--resume", "--table", "t.csv", task="binary")
    assert code == 1
    assert "out/a.png holds 2, which this model does not predict" in said.replace("\n", " ")
    assert not Path("t.csv").exists()
    save(Path("out/a.png"))
    assert "out/a.png is not a mask that predict wrote" in predict(
        "photos", "--resume", "--table", "t.csv"
    )[1].replace("\n", " ")


def test_ctrl_c_leaves_whole_images_and_no_mask_without_its_companions(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(*(f"{number}.png" for number in range(9)))
    predict(folder, "--overlay", "--format", "yolo")
    expected = contents(Path("out"))
    for name in written(Path("out")):
        Path("out", name).unlink()
    infer, seen = outputs._infer, []

    def interrupted(*arguments: object) -> object:
        seen.append(1)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return infer(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(outputs, "_infer", interrupted)
    code, said = predict(folder, "--overlay", "--format", "yolo")
    assert code == 130
    assert "interrupted" in said
    found = contents(Path("out"))
    assert found.items() <= expected.items()
    masks = {name for name in found if name[1:] == ".png"}
    assert {f"{name[0]}_overlay.png" for name in masks} <= found.keys()
    assert {f"labels/{name[0]}.txt" for name in masks} <= found.keys()
    assert 3 <= len(masks) <= 4
    monkeypatch.setattr(outputs, "_infer", infer)
    assert predict(folder, "--overlay", "--format", "yolo", "--resume")[0] == 0
    assert contents(Path("out")) == expected


# Bad input


def big_png(path: Path, width: int, height: int) -> Path:
    """A PNG of one bit per pixel, all white, without ever being in memory."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes((1, 0, 0, 0, 0))
    packer, row = zlib.compressobj(), b"\0" + b"\xff" * (-(-width // 8))
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def test_each_bad_image_gets_a_sentence_and_the_rest_is_done(predict: Predict) -> None:
    folder = photos("a.png", "z.png")
    (folder / "text.png").write_text("no image")
    (folder / "empty.jpg").touch()
    whole = save(folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:-20])
    tifffile.imwrite(folder / "cut.tif", np.zeros((40, 40, 4), np.uint16))
    whole = (folder / "cut.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[:4000])
    five = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": (0,) * 4}
    tifffile.imwrite(folder / "five.tif", np.zeros((9, 9, 5), np.uint8), **five)
    big_png(folder / "bomb.png", 30_000, 30_000)
    save(folder / "dot.png", stripes()[:1, 3:4])
    save(folder / "line.png", np.repeat(stripes()[:1, 3:4], 100_000, axis=1))
    save(folder / "pole.png", np.repeat(stripes()[:1, 3:4], 100_000, axis=0))
    code, said = predict(folder, "--overlay", "--table", "t.csv", "--format", "coco")
    assert code == 1
    assert "Traceback" not in said
    sentences = [line for line in said.splitlines() if line.startswith("error: ")]
    reasons = {line.split()[1].removeprefix("photos/").rstrip(":"): line for line in sentences}
    assert dict.fromkeys(reasons, True) == {
        name: word in reasons.get(name, "")
        for name, word in {
            "text.png": "is not an image of a known format; replace or remove it",
            "empty.jpg": "is empty; replace or remove it",
            "cut.png": "is damaged",
            "cut.tif": "is damaged",
            "five.tif": "5 bands, the model takes 3",
            "bomb.png": "is too large",
        }.items()
    }
    good = {"a", "z", "dot", "line", "pole"}
    kinds = {f"{name}{end}" for name in good for end in (".png", "_overlay.png")}
    assert written(Path("out")) == {*kinds, "coco.json"}
    assert pixels(Path("out/dot.png")).tolist() == [[1]]
    assert np.array_equal(pixels(Path("out/line.png")), np.ones((1, 100_000)))
    assert np.array_equal(pixels(Path("out/pole.png")), np.ones((100_000, 1)))
    assert np.array_equal(pixels(Path("out/z.png")), INDICES)


def test_names_that_no_disk_takes(predict: Predict) -> None:
    folder = photos("a.png", f"{'n' * 244}.png", f"{'ü' * 120}.png")
    for more in ((), ("--resume",)):
        code, said = predict(folder, "--overlay", *more)
        assert code == 1
        assert "files' names would have 256 bytes and may have 248" in said.replace("\n", " ")
        assert "files' names would have 252 bytes and may have 248" in said.replace("\n", " ")
        assert written(Path("out")) == {"a.png", "a_overlay.png"}
    assert predict(folder)[0] == 0


def test_nothing_readable_leaves_no_table(predict: Predict) -> None:
    Path("photos").mkdir()
    (Path("photos") / "a.png").write_text("no image")
    code, said = predict("photos", "--table", "t.csv", "--rle", "severstal")
    assert code == 1
    assert "0 masks in out" in said
    assert not Path("t.csv").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_with_a_sentence(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The disk takes the note of what is predicted with, three files and a half."""
    folder = photos("a.png", "b.png", "c.png", "d.png")
    sync, synced = os.fsync, []

    def full(file: int) -> None:
        synced.append(1)
        if len(synced) > 4:
            raise OSError(number, os.strerror(number))
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    code, said = predict(folder, "--overlay")
    assert code == 1
    sentence = "error: out: the disk is full. What was written is whole; make room"
    assert sentence in said.replace("\n", " ")
    assert "--resume" in said
    assert written(Path("out")) == {"a.png", "a_overlay.png", "b_overlay.png"}
    monkeypatch.setattr(os, "fsync", sync)
    code, said = predict(folder, "--overlay", "--resume")
    assert (code, len(written(Path("out")))) == (0, 8)
    assert "4 masks in out, 1 of them from before" in said


def test_a_disk_that_fills_up_with_a_table_names_its_folder(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos("a.png")
    sync, synced = os.fsync, []

    def full(file: int) -> None:
        synced.append(1)
        if len(synced) > 2:
            raise OSError(errno.ENOSPC, "no space")
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    code, said = predict("photos", "--table", "elsewhere/t.csv")
    assert code == 1
    assert "error: elsewhere: the disk is full" in said
    assert written(Path("elsewhere")) == set()


def test_other_troubles_of_the_system_are_no_full_disk(predict: Predict) -> None:
    photos("a.png")
    Path("out").touch()
    code, said = predict("photos")
    assert code == 1
    assert "error: out" in said
    assert "full" not in said


def test_json_says_what_was_kept(predict: Predict) -> None:
    photos("a.png", "b.png")
    predict("photos/a.png")
    predict("photos", "--resume", "--json", "done.json")
    assert json.loads(Path("done.json").read_text()) == {
        "done": ["photos/a.png", "photos/b.png"],
        "kept": ["photos/a.png"],
        "failed": {},
    }


def test_one_mask_is_a_palette_image(predict: Predict) -> None:
    photos("a.png")
    predict("photos", task="binary")
    with Image.open("out/a.png") as mask:
        assert mask.mode == "P"
        assert json.loads(mask.info["mean_probability"]) == [1.0]
