"""Progress as lines and as bars."""

from contextlib import suppress

import pytest

from delineo import progress
from delineo.progress import (
    LogProgress,
    NoProgress,
    Progress,
    TerminalProgress,
    show_progress,
    spell_seconds,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_says_little_and_then_the_end(clock: list[float], capsys: pytest.CaptureFixture[str]):
    log = LogProgress()
    log.start("train", 100)
    for _ in range(12):
        clock[0] += 1
        log.advance(5, loss=0.4123)
    log.message("saved")
    log.expect(60)
    log.finish()
    assert capsys.readouterr().err.splitlines() == [
        "train  50/100  loss 0.412  5 images/s  10s left",
        "saved",
        "train  60/60  loss 0.412  5 images/s",
    ]


def test_what_was_done_before_is_no_speed(clock: list[float], capsys: pytest.CaptureFixture[str]):
    log = LogProgress()
    log.start("train", 100, done=40)
    clock[0] += 12
    log.advance(6)
    log.finish()
    assert capsys.readouterr().err.splitlines() == [
        "train  46/100  0.5 images/s  1m48s left",
        "train  46/100  0.5 images/s  1m48s left",
    ]


def test_tasks_nest(clock: list[float], capsys: pytest.CaptureFixture[str]):
    log = LogProgress()
    log.start("train", 10, unit="steps")
    log.start("validate")
    clock[0] = 2.0
    log.advance(4)
    log.finish()
    log.advance(10)
    log.finish()
    assert capsys.readouterr().err.splitlines() == [
        "validate  4  2 images/s",
        "train  10/10  5 steps/s",
    ]


@pytest.mark.parametrize("kind", [NoProgress, TerminalProgress, LogProgress])
def test_all_kinds_take_the_same_calls(kind: type, capsys: pytest.CaptureFixture[str]):
    reporter = kind()
    assert isinstance(reporter, Progress)
    reporter.start("outer", 3)
    reporter.start("inner")
    reporter.advance(loss=1.0, stage="[bold]warm-up[/bold]")
    reporter.message("[red]as it is[/red]")
    reporter.finish()
    reporter.expect(4)
    reporter.advance(3)
    reporter.finish()
    output = capsys.readouterr()
    assert output.out == ""
    assert kind is NoProgress or "[red]as it is[/red]\n" in output.err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0s"), (45.4, "45s"), (200, "3m20s"), (5400, "1h30m"), (3599.9, "1h00m")],
)
def test_spelled_seconds(seconds: float, text: str):
    assert spell_seconds(seconds) == text


def test_an_error_leaves_no_bar_behind(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("delineo.progress.sys.stderr.isatty", lambda: True, raising=False)
    with suppress(ZeroDivisionError), show_progress() as reporter:
        assert isinstance(reporter, TerminalProgress)
        reporter.start("train", 3)
        assert reporter._bars.live.is_started
        raise ZeroDivisionError
    assert not reporter._bars.live.is_started


def test_lines_where_there_is_no_terminal():
    with show_progress() as reporter:
        assert isinstance(reporter, LogProgress)
