"""`delineo tune`: what it writes, which images it reads, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import cli

import delineo
from delineo.evaluation import Evaluation


@pytest.fixture(scope="module")
def trained(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tuning")
    settings = ["model.name=unet", "model.width=2", "model.depth=1", "data.image_size=[32,32]"]
    run = delineo.train(
        make_shapes(root / "discs", 24),
        [*settings, "epochs=1", "epoch_size=16", "batch_size=4"],
        out=root / "run",
    )
    return run.path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def test_tune_writes_what_evaluate_then_applies(run: Path, tmp_path: Path):
    assert cli("evaluate", run)[0] == 0
    code, output, _ = cli("tune", run, "--json", tmp_path / "tuning.json")
    assert code == 0
    record = json.loads((run / "tuning.json").read_text())
    assert json.loads((tmp_path / "tuning.json").read_text()) == record
    decision = json.loads((run / "decision.json").read_text())
    assert record["decision"] == decision
    assert (record["split"], record["score"]) == ("val", "per_image.mean_iou")
    assert set(record["curves"]["foreground"]) == {"threshold", "score"}
    assert len(record["curves"]["foreground"]["score"]) == 255
    for word in ("temperature", "threshold", "smallest region", "gain", "next: delineo evaluate"):
        assert word in output
    assert cli("evaluate", run)[0] == 0
    assert Evaluation.load(run / "evaluation-test.json").decision == decision


def test_a_network_that_is_off_is_tuned_and_old_scores_are_named(run: Path, tmp_path: Path):
    """The head's bias is lowered by hand, so that 0.5 is the wrong threshold."""
    from safetensors.torch import load_file, save_file

    assert cli("evaluate", run)[0] == 0
    weights = load_file(run / "best.safetensors")
    name = [key for key in weights if key.endswith("bias")][-1]
    weights[name] = weights[name] - 1.0
    save_file(weights, run / "best.safetensors")
    code, output, _ = cli("tune", run, "--score", "dataset.mean_dice")
    assert code == 0
    assert "evaluation-test.json is of masks that were decided in another way" in output
    assert cli("report", run)[0] == 0
    page = (run / "report.html").read_text()
    assert "decided in another way" in page
    assert cli("evaluate", run)[0] == 0
    code, output, _ = cli("tune", run, "--score", "dataset.mean_dice")
    assert "decided in another way" not in output
    assert cli("report", run)[0] == 0
    page = (run / "report.html").read_text()
    assert "decided in another way" not in page
    assert "Score over threshold" in page
    assert "Reliability" in page


@pytest.mark.parametrize("split", ["test", "train", "tset"])
def test_there_is_no_way_to_tune_on_another_part(run: Path, split: str):
    before = (run / "decision.json").read_text()
    code, _, errors = cli("tune", run, "--split", split)
    assert code == 2
    assert f"got --split {split}" in errors
    assert "cannot judge" in errors
    assert (run / "decision.json").read_text() == before
    assert not (run / "tuning.json").exists()


def test_no_image_but_those_of_validation_is_read(run: Path):
    """Other parts' files may be gone."""
    record = json.loads((run / "dataset.json").read_text())
    data = shutil.copytree(record["path"], run.parent / "data")
    record["path"] = str(data)
    (run / "dataset.json").write_text(json.dumps(record))
    for part in ("train", "test"):
        for name in record["splits"][part]:
            (data / "images" / f"{name}.png").write_bytes(b"")
            (data / "masks" / f"{name}.png").write_bytes(b"")
    assert cli("tune", run)[0] == 0


def test_without_a_validation_part_a_sentence(run: Path):
    record = json.loads((run / "dataset.json").read_text())
    record["splits"]["val"] = []
    (run / "dataset.json").write_text(json.dumps(record))
    code, _, errors = cli("tune", run)
    assert code == 1
    assert "has no validation images" in errors
    assert "splits.json" in errors


def test_without_the_data_a_sentence_that_helps(run: Path):
    record = json.loads((run / "dataset.json").read_text())
    (run / "dataset.json").write_text(json.dumps(record | {"path": str(run / "gone")}))
    code, _, errors = cli("tune", run)
    assert code == 1
    assert "put the folder back" in errors
    assert "--data" not in errors


def test_a_score_that_is_none_is_2(run: Path):
    code, _, errors = cli("tune", run, "--score", "accuracy")
    assert code == 2
    assert "competition.tgs_precision" in errors


def test_one_validation_image_keeps_the_defaults(run: Path):
    record = json.loads((run / "dataset.json").read_text())
    record["splits"]["val"] = record["splits"]["val"][:1]
    (run / "dataset.json").write_text(json.dumps(record))
    before = json.loads((run / "decision.json").read_text())
    code, output, _ = cli("tune", run)
    assert code == 0
    assert "decided by the defaults" in output
    assert json.loads((run / "decision.json").read_text()) == before
