"""What a prediction costs: measured without a GPU, or why it was not."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from delineo import measuring
from delineo.errors import RunError


def test_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"could not be measured: .*does not exist"):
        measuring.measure(tmp_path / "nothing", [])


def test_costs_are_measured_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export knows none, and PyTorch on one would be no comparison."""
    seen: dict[str, str] = {}

    def fake_run(command: list[str], env: dict[str, str], **_: object) -> SimpleNamespace:
        seen.update(env)
        return SimpleNamespace(returncode=0, stdout='{"seconds_per_image": 1}')

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(measuring.subprocess, "run", fake_run)
    measuring.measure(tmp_path, [])
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    assert seen["PATH"]
