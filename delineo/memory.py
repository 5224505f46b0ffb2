"""free_bytes(): how much memory this process may still take."""

from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux says what a container may take; in it, the container's own group is the root."""
_GROUPS = (
    ("memory.max", "memory.stat", "anon"),
    ("memory/memory.limit_in_bytes", "memory/memory.stat", "rss"),
)
"""The limit of cgroups of version 2 and 1, and what counts against it and cannot be given back."""


def free_bytes() -> int:
    """Of the machine, or of the container that this runs in where that allows less."""
    containers = [left for group in _GROUPS if (left := _left(*group)) is not None]
    return max(0, min([psutil.virtual_memory().available, *containers]))


def _left(limit: str, statistics: str, taken: str) -> int | None:
    """Bytes up to the limit; None where there is none."""
    try:
        most = (CGROUPS / limit).read_text().strip()
        lines = (CGROUPS / statistics).read_text().splitlines()
    except OSError:
        return None
    values = dict(line.split(" ", 1) for line in lines)
    return int(most) - int(values.get(taken, 0)) if most.isdigit() else None
