"""What commands print: text, tables, errors; and results as JSON for programs."""

import json
from pathlib import Path
from typing import Any


def print_text(text: str) -> None:
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(text, markup=False)


def print_table(table: Any) -> None:
    """A Rich table on standard output; in a file it is as wide as it needs to be."""
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def print_finding(severity: str, text: str, stderr: bool = False) -> None:
    """`warning: text`, its first word in colour."""
    from rich.console import Console
    from rich.text import Text

    style = {"error": "bold red", "warning": "bold yellow"}.get(severity, "bold")
    line = Text.assemble((f"{severity}:", style), " ", text)
    Console(stderr=stderr, soft_wrap=True, highlight=False).print(line)


def print_error(text: str) -> None:
    """`error: text` on standard error."""
    print_finding("error", text, stderr=True)


def write_json(path: Path | None, value: Any) -> None:
    """Write `value` whole or not at all; do nothing where no file is asked for."""
    if path:
        from ..files import write_atomically

        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(value, indent=1) + "\n")
