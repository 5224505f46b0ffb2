"""How much memory this process may still take, of the machine's and of a GPU's."""

import sys
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


def bytes_for_networks() -> int:
    """Where networks work: on a GPU that is in use, into which what they are given comes from the
    machine's memory, else there.
    """
    torch = sys.modules.get("torch")  # slow to import, and without it no GPU is in use
    if torch is None or not torch.cuda.is_initialized():
        return free_bytes()
    kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return min(free_bytes(), torch.cuda.mem_get_info()[0] + kept)


def _left(limit: str, statistics: str, taken: str) -> int | None:
    """Bytes up to the limit; None where there is none."""
    try:
        most = (CGROUPS / limit).read_text().strip()
        lines = (CGROUPS / statistics).read_text().splitlines()
    except OSError:
        return None
    values = dict(line.split(" ", 1) for line in lines)
    return int(most) - int(values.get(taken, 0)) if most.isdigit() else None
