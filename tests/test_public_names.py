"""The public names, and that naming them costs nothing."""

import subprocess
import sys

import pytest

import delineo
from delineo import _HOMES


def test_all_is_sorted_and_complete():
    assert delineo.__all__ == sorted(delineo.__all__)
    assert set(delineo.__all__) == set(_HOMES)
    assert set(delineo.__all__) <= set(dir(delineo))


@pytest.mark.parametrize("name", delineo.__all__)
def test_every_public_name_is_there_and_documented(name: str):
    assert getattr(delineo, name).__doc__


def test_an_unknown_name_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="no attribute 'predictor'"):
        _ = delineo.predictor


SLOW = ["torch", "numpy", "scipy", "PIL", "matplotlib", "lightning_fabric", "kornia"]
SHOW_HELP = """
from typer.testing import CliRunner
from delineo.cli import app
assert CliRunner().invoke(app, ["train", "--help"]).exit_code == 0
"""


@pytest.mark.parametrize("statements", ["import delineo", SHOW_HELP])
def test_nothing_slow_is_imported_before_it_is_used(statements: str):
    code = f"{statements}\nimport sys\nprint([name for name in {SLOW} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
