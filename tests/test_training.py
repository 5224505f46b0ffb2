"""The promises of training: repeatable, resumable, the same with workers and processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import delineo
from delineo import Predictor, Run, evaluate, startup
from delineo.data import dataset
from delineo.data.dataset import read_pair
from delineo.data.samples import DataFolder, Sample
from delineo.errors import ConfigError, DataError, NoRunError, RunError, TrainingError
from delineo.files import write_atomically
from delineo.pace import Pace

MakeShapes = Callable[..., Path]
TINY = (
    "model.name=unet", "model.width=4", "model.depth=2", "data.image_size=[32,32]",
    "epochs=3", "batch_size=4", "precision=fp32", "optimizer.lr=0.01", "checkpoint_every=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(make_shapes: MakeShapes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("data") / "discs", 20)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "whole"
    delineo.train(data, TINY, out=out)
    return out


def weights(run: Path) -> dict[str, Tensor]:
    """The last weights, not the best: they depend on every step."""
    return torch.load(run / "last.pt", weights_only=True)["network"]


def assert_same(first: Path, second: Path) -> None:
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    best = [load_file(run / "best.safetensors") for run in (first, second)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def command(data: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "delineo", "train", str(data), *TINY, *more, "--out", str(out)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}


def test_a_run_holds_what_the_contract_says(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names >= {
        "recipe.yaml", "dataset.json", "environment.json", "metrics.jsonl", "train.log",
        "best.safetensors", "decision.json", "last.pt",
    }  # fmt: skip
    epochs = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert epochs[-1]["loss"] < epochs[0]["loss"]


def test_a_training_finds_the_discs(data: Path, tmp_path: Path) -> None:
    run = delineo.train(data, [*TINY, "epochs=12", "ema=0.8"], out=tmp_path / "run")
    assert max(epoch["score"] for epoch in run.epochs()) > 0.5


def test_a_resumed_training_takes_no_other_settings(whole: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="leave them out"):
        delineo.train(data, ["epochs=9"], out=whole, resume=True)


def test_a_resumed_training_takes_no_other_data(whole: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{data.resolve()}, and not with {tmp_path}"):
        delineo.train(tmp_path, TINY, out=whole, resume=True)


def test_the_same_command_resumes(whole: Path, data: Path) -> None:
    run = delineo.train(data, TINY, out=whole, resume=True)
    assert run.path == whole


def test_the_resolved_recipe_trains_the_same_weights(whole: Path, tmp_path: Path) -> None:
    delineo.train(whole / "recipe.yaml", out=tmp_path / "again")
    assert_same(whole, tmp_path / "again")


def test_another_seed_gives_other_weights(whole: Path, data: Path, tmp_path: Path) -> None:
    delineo.train(data, [*TINY, "seed=1"], out=tmp_path / "other")
    ours, theirs = weights(whole), weights(tmp_path / "other")
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_count_changes_nothing(
    whole: Path, data: Path, tmp_path: Path, workers: int
) -> None:
    delineo.train(data, [*TINY, f"data.workers={workers}"], out=tmp_path / "run")
    assert_same(whole, tmp_path / "run")


def test_a_worker_reads_no_file_twice(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over three epochs; on a GPU reading the same files again is what a training waits for."""
    log, here = tmp_path / "read.txt", os.getpid()

    def noted(folder: DataFolder, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        if os.getpid() != here:
            with log.open("a") as file:
                file.write(f"{sample.id}\n")
        return read_pair(folder, sample)

    monkeypatch.setattr(dataset, "read_pair", noted)
    delineo.train(data, [*TINY, "data.workers=1"], out=tmp_path / "run")
    names = log.read_text().split()
    assert len(names) == len(set(names)) == 14


def test_killed_and_resumed_is_the_same_bit_for_bit(
    whole: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(command(data, out), env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    # the first checkpoint that is not at the end of an epoch: 14 images in batches of 4
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "last.pt").exists():
            process.kill()
            break
        time.sleep(0.001)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "the training was over before it was killed"
    delineo.train(data, out=out, resume=True)
    assert_same(whole, out)
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_saves_and_says_how_to_go_on(
    whole: Path, data: Path, tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    """Loader processes are told, too, as by a terminal or by Slurm."""
    out = tmp_path / "stopped"
    process = subprocess.Popen(
        command(data, out, f"data.workers={workers}"),
        env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not (out / "last.pt").exists() and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    delineo.train(data, out=out, resume=True)
    assert_same(whole, out)


def test_resuming_a_finished_run_changes_nothing(whole: Path, data: Path) -> None:
    before = (whole / "best.safetensors").read_bytes()
    delineo.train(data, out=whole, resume=True)
    assert (whole / "best.safetensors").read_bytes() == before


def test_two_processes_train_and_score_every_image_once(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "two"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    no_gpu = {**environment(), "CUDA_VISIBLE_DEVICES": ""}  # there may be one, and not two
    done = subprocess.run(
        [*torchrun, *command(data, out)[1:]], env=no_gpu, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "environment.json").read_text())["processes"] == 2
    run = Run.open(out)
    best = [epoch for epoch in run.epochs() if epoch["best"]][-1]["val"]
    alone = evaluate(Predictor.load(run), run.folder(), "val")
    assert best["num_images"] == len(alone.ids)
    for average in ("dataset", "per_image"):
        for name in ("mean_iou", "mean_dice", "pixel_accuracy"):
            assert best[average][name] == pytest.approx(alone.scores[average][name], abs=1e-12)


def test_more_processes_than_gpus_are_refused_in_a_sentence(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="2 processes want a GPU each, and this machine has 1"):
        delineo.train(data, TINY, out=tmp_path / "run")


def test_an_existing_run_is_never_overwritten(whole: Path, data: Path) -> None:
    with pytest.raises(RunError, match="--resume"):
        delineo.train(data, TINY, out=whole)


def test_a_run_that_was_killed_while_it_was_made_is_none(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes | str) -> None:
        if path.name == "decision.json":
            raise KeyboardInterrupt
        write_atomically(path, content)

    monkeypatch.setattr(startup, "write_atomically", write)
    with pytest.raises(KeyboardInterrupt):
        delineo.train(data, TINY, out=tmp_path / "run")
    with pytest.raises(NoRunError, match=r"is not a run: it has no recipe\.yaml"):
        delineo.train(data, out=tmp_path / "run", resume=True)


def test_unknown_keys_name_the_nearest(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        delineo.train(data, ["optimizer.lrr=1"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_with_errors_trains_nothing(make_shapes: MakeShapes, tmp_path: Path) -> None:
    data = make_shapes(tmp_path / "broken", 6)
    (data / "images" / "disc00.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="error"):
        delineo.train(data, TINY, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("later", [False, True])
def test_a_loss_that_is_not_finite_names_the_files(data: Path, tmp_path: Path, later: bool) -> None:
    validated = [not later]

    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, images: Tensor) -> Tensor:
            validated.append(not self.training)
            value = float("nan") if self.training and any(validated) else 1.0
            return images.mean(1, keepdim=True) * self.scale * value

    with pytest.raises(TrainingError, match=r"disc\d+\.png") as raised:
        delineo.train(data, TINY, out=tmp_path / "run", model=lambda _, __: Broken())
    assert ("best weights so far are kept in" in str(raised.value)) == later

    assert (tmp_path / "run" / "best.safetensors").exists() == later


@pytest.mark.parametrize(
    ("where", "said", "more"),
    [
        ("training", "at step 1", ()),
        ("validation", "while validating after step 4", ()),
        ("training", "while timing steps", ("epochs=null", "budget=20s")),
    ],
)
def test_memory_that_runs_out_names_what_to_lower(
    data: Path, tmp_path: Path, where: str, said: str, more: tuple[str, ...]
) -> None:
    class Huge(nn.Conv2d):
        def forward(self, images: Tensor) -> Tensor:
            if self.training == (where == "training"):
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 TB")
            return super().forward(images)

    remedy = r"lower batch_size \(now 4\) or data.image_size \(now \[32, 32\]\)"
    settings, out = (*TINY, *more), tmp_path / "run"
    with pytest.raises(TrainingError, match=f"memory ran out {said}; {remedy}"):
        delineo.train(data, settings, out=out, model=lambda i, o: Huge(i, o, 1))


def test_a_network_of_your_own_is_trained_and_used(data: Path, tmp_path: Path) -> None:
    def factory(in_channels: int, num_classes: int) -> nn.Module:
        return nn.Conv2d(in_channels, num_classes, 3, padding=1)

    run = delineo.train(data, TINY, out=tmp_path / "own", model=factory)
    predictor = delineo.Predictor.load(run, model=factory)
    image = torch.zeros(20, 30, 3, dtype=torch.uint8).numpy()
    assert predictor(image).shape == (20, 30)


@pytest.mark.parametrize("length", ["epochs=1", "budget=20s"])
def test_one_value_per_channel_is_explained(data: Path, tmp_path: Path, length: str) -> None:
    settings = (*TINY, "batch_size=1", "data.image_size=[4,4]", "epochs=null", length)
    with pytest.raises(
        ConfigError, match=r"batch_size=1 with windows of 4 x 4 .* raise batch_size"
    ):
        delineo.train(data, settings, out=tmp_path / "run")


def test_a_hurry_that_is_over_gives_the_steps_back(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def slow_at_first(
        _pace: Pace, _budget: float, _spent: float, steps_left: int, _per_epoch: int
    ) -> int:
        asked.append(steps_left)
        return steps_left // 2 if len(asked) == 1 else steps_left

    monkeypatch.setattr(Pace, "steps_within", slow_at_first)
    settings = (*TINY, "epochs=8", "epoch_size=16", "budget=10m")
    run = delineo.train(data, settings, out=tmp_path / "run")
    assert asked == [22, 12, 2]
    last = json.loads(run.metrics_file.read_text().splitlines()[-1])
    assert (last["epoch"], last["step"]) == (8, 32)
    log = (run.path / "train.log").read_text()
    assert "slower than planned: 9 more steps instead of 20" in log
    assert "quicker again: 12 more steps instead of 1" in log
