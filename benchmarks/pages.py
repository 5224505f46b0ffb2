"""Tables in README and docs, between two marks."""

from pathlib import Path


def write_between(page: Path, start: str, end: str, table: str) -> None:
    """Put `table` in the place of what stands between the marks `start` and `end`."""
    before, rest = page.read_text().split(start)
    _, after = rest.split(end)
    page.write_text(f"{before}{start}\n\n{table}\n\n{end}{after}")
