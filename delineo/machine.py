"""What this machine is and which arithmetic it gains from."""

import ctypes
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil
import torch

from .memory import free_bytes

Precision = Literal["fp32", "bf16", "fp16"]
FABRIC_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`wanted`, or for "auto" bf16 where the hardware multiplies in it, else fp32."""
    if wanted == "fp32" or wanted == "bf16" or wanted == "fp16":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _cpu_multiplies_bf16() else "fp32"


def _cpu_multiplies_bf16() -> bool:
    flags = cpu_flags()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def cpu_flags() -> frozenset[str]:
    """Instruction sets of the processor as Linux names them; empty where it cannot be read."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()


PACKAGES = (
    "delineo",
    "torch",
    "lightning-fabric",
    "kornia",
    "numpy",
    "scipy",
    "pillow",
    "tifffile",
    "safetensors",
    "pydantic",
)
"""What a training's result may depend on, as the packages are called where they come from."""


def package_versions() -> dict[str, str | None]:
    """The installed version of each of PACKAGES; None where it is not installed as one."""
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in GB and GPU, for environment.json and benchmarks."""
    return {
        "platform": platform.platform(),
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "bf16": _cpu_multiplies_bf16(),
    }


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def keep_memory() -> None:
    """Let glibc keep what is freed for the next step; without glibc nothing changes.

    Each step allocates the same large arrays again. By default they go back to the system in
    between and come again as pages that have to be zeroed, one by one.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    libc.mallopt(M_MMAP_THRESHOLD, 2**31 - 1)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def cache_bytes(share: float) -> int:
    """`share` of the memory that is free now, in bytes."""
    return int(free_bytes() * share)


def default_workers() -> int:
    """Loader processes: none where they would take cores from the training itself."""
    cores = os.cpu_count() or 1
    return 0 if cores <= 4 and not torch.cuda.is_available() else min(8, cores // 2)
