"""How long jobs tell people where they are: bars on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

LOG_EVERY_SECONDS = 10.0


@runtime_checkable
class Progress(Protocol):
    """A job calls `start`, then `advance` as it goes, then `finish`; tasks may nest."""

    def start(
        self, task: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> None:
        """A task of `total` units, of which an earlier sitting has `done` some already."""
        ...

    def advance(self, n: int = 1, **fields: float | int | str) -> None:
        """`n` more units of the innermost task are done; `fields` are shown: loss=0.41."""
        ...

    def expect(self, total: int) -> None:
        """The innermost task turns out to have another total."""
        ...

    def message(self, text: str) -> None:
        """A line that stays."""
        ...

    def finish(self) -> None:
        """The innermost task is over, whether or not it reached its total."""
        ...


class NoProgress:
    """Says nothing: the default of the Python API."""

    def start(
        self, task: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> None:
        pass

    def advance(self, n: int = 1, **fields: float | int | str) -> None:
        pass

    def expect(self, total: int) -> None:
        pass

    def message(self, text: str) -> None:
        pass

    def finish(self) -> None:
        pass


class _Task:
    """What is known of one running task; `seconds` is a clock reading."""

    def __init__(self, name: str, total: int | None, unit: str, done: int, seconds: float) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.started = self.reported = seconds
        self.done = self.before = done
        self.fields: dict[str, float | int | str] = {}

    def advance(self, n: int, fields: dict[str, float | int | str]) -> None:
        self.done += n
        self.fields |= fields

    def details(self, seconds: float) -> str:
        """Fields, rate and time left: `loss 0.412  12.3 images/s  3m10s left`."""
        now = self.done - self.before
        rate = now / max(seconds - self.started, 1e-9)
        parts = [f"{key} {_short(value)}" for key, value in self.fields.items()]
        if now:
            parts.append(f"{_short(rate)} {self.unit}/s")
        if now and self.total and self.done < self.total:
            parts.append(f"{spell_seconds((self.total - self.done) / rate)} left")
        return "  ".join(parts)


class LogProgress:
    """Plain lines, for a task at most one every ten seconds and one at its end."""

    def __init__(self) -> None:
        self._tasks: list[_Task] = []

    def start(
        self, task: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> None:
        self._tasks.append(_Task(task, total, unit, done, time.monotonic()))

    def advance(self, n: int = 1, **fields: float | int | str) -> None:
        task, now = self._tasks[-1], time.monotonic()
        task.advance(n, fields)
        if now - task.reported >= LOG_EVERY_SECONDS:
            self._report(task, now)

    def expect(self, total: int) -> None:
        self._tasks[-1].total = total

    def message(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def finish(self) -> None:
        self._report(self._tasks.pop(), time.monotonic())

    def _report(self, task: _Task, now: float) -> None:
        task.reported = now
        count = f"{task.done}/{task.total}" if task.total else str(task.done)
        self.message(f"{task.name}  {count}  {task.details(now)}".rstrip())


class TerminalProgress:
    """One Rich bar for each running task; finished bars vanish, messages stay."""

    def __init__(self) -> None:
        # Rich costs a tenth of a second to import, and only terminals need it.
        from rich import progress as bars
        from rich.console import Console

        columns = (
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=None),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[details]}", markup=False),
        )
        self._bars = bars.Progress(
            *columns, console=Console(stderr=True), transient=True, expand=True
        )
        self._tasks: list[tuple[_Task, bars.TaskID]] = []

    def start(
        self, task: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> None:
        self._bars.start()
        bar = self._bars.add_task(task, total=total, completed=done, details="")
        self._tasks.append((_Task(task, total, unit, done, time.monotonic()), bar))

    def advance(self, n: int = 1, **fields: float | int | str) -> None:
        task, bar = self._tasks[-1]
        task.advance(n, fields)
        self._bars.update(bar, advance=n, details=task.details(time.monotonic()))

    def expect(self, total: int) -> None:
        task, bar = self._tasks[-1]
        task.total = total
        self._bars.update(bar, total=total)

    def message(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        _, bar = self._tasks.pop()
        self._bars.remove_task(bar)
        if not self._tasks:
            self.close()

    def close(self) -> None:
        """Give the terminal back, whatever was running."""
        self._bars.stop()


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Bars where standard error is a terminal, else lines; no bar stays behind an error."""
    if not sys.stderr.isatty():
        yield LogProgress()
        return
    progress = TerminalProgress()
    try:
        yield progress
    finally:
        progress.close()


def spell_seconds(seconds: float | int) -> str:
    """45.2 -> 45s, 200 -> 3m20s, 5400 -> 1h30m."""
    whole = max(round(seconds), 0)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{whole % 60:02d}s" if minutes else f"{whole}s"


def _short(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"
