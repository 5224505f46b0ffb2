"""Which arithmetic a machine gets."""

import platform
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from delineo import machine, memory
from delineo.machine import cache_bytes, choose_precision, default_workers, describe_machine
from delineo.memory import bytes_for_networks, free_bytes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("wanted", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_what_is_asked_for_is_used(wanted: str, device: torch.device) -> None:
    assert choose_precision(wanted, device) == wanted


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx2", "avx512_bf16"}, "bf16"),
        ({"amx_bf16", "amx_tile"}, "bf16"),
        ({"avx2", "avx512f"}, "fp32"),
        (set(), "fp32"),
    ],
)
def test_processors_get_what_they_multiply_in(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], expected: str
) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset(flags))
    assert choose_precision("auto", CPU) == expected
    assert describe_machine()["bf16"] == (expected == "bf16")


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp16")])
def test_gpus_get_what_they_multiply_in(
    monkeypatch: pytest.MonkeyPatch, supported: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert choose_precision("auto", CUDA) == expected


def test_other_devices_get_fp32() -> None:
    assert choose_precision("auto", torch.device("mps")) == "fp32"


@pytest.mark.parametrize(
    ("cores", "gpu", "workers"), [(1, False, 0), (4, False, 0), (8, False, 4), (64, False, 8),
                                  (4, True, 2), (None, False, 0)],
)  # fmt: skip
def test_workers_leave_the_cores_to_the_training(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, gpu: bool, workers: int
) -> None:
    monkeypatch.setattr(machine.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert default_workers() == workers


def test_the_cache_is_a_share_of_the_memory_that_is_free() -> None:
    assert 0 < cache_bytes(0.1) < cache_bytes(0.6) < 0.7 * describe_machine()["memory_gb"] * 1e9


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "900\n", "memory.stat": "anon 300\nfile 500\n"}, 600),
        ({"memory.max": "200\n", "memory.stat": "anon 300\n"}, 0),
        (
            {"memory/memory.limit_in_bytes": "900\n", "memory/memory.stat": "cache 5\nrss 100\n"},
            800,
        ),
    ],
)
def test_a_container_may_have_less_memory_than_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], left: int
) -> None:
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert free_bytes() == left


@pytest.mark.parametrize("files", [{}, {"memory.max": "max\n", "memory.stat": "anon 300\n"}])
def test_without_a_limit_the_machine_is_what_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str]
) -> None:
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: Namespace(available=7))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert free_bytes() == 7


@pytest.mark.parametrize(("in_use", "left"), [(False, 1000), (True, 70)])
def test_a_gpu_in_use_may_have_less_memory_than_the_machine(
    monkeypatch: pytest.MonkeyPatch, in_use: bool, left: int
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: in_use)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (50, 200))
    # what PyTorch keeps for its next tensors is as good as free
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 100)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 80)
    assert bytes_for_networks() == left


NEW_PAGES = """
import resource, torch
from delineo.machine import keep_memory
if {keeps}: keep_memory()
for _ in range(30): torch.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do as they like")
def test_kept_memory_comes_without_new_pages() -> None:
    pages = {}
    for keeps in (True, False):
        command = [sys.executable, "-c", NEW_PAGES.format(keeps=keeps)]
        pages[keeps] = int(subprocess.run(command, capture_output=True, check=True).stdout)
    assert pages[True] < 100 < pages[False]
