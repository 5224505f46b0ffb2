"""Training throughput of U-Net (64 wide, 128x128, batch 8): as Delineo trains it, against the same
network in a plain fp32 contiguous loop, in turn in one process.

    python benchmarks/throughput.py

Mark: at least 4 times. How much is possible at all shows in the multiplications: those of a large
matrix product are the most that the processor does per second, in fp32 and in bf16.
"""

import ctypes
import time
from collections.abc import Callable
from statistics import median

import torch
from common import record
from torch import nn

from delineo.losses import LossConfig, build_loss
from delineo.machine import (
    M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD,
    choose_precision,
    keep_memory,
)
from delineo.models import UNetConfig, build_model
from delineo.models.summary import layer_table
from delineo.optim import OptimizerConfig, build_optimizer

ROUNDS, BATCH, SIDE = 5, 8, 128
MATRIX = 4096
GLIBC_THRESHOLDS = {M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 64 << 20}
"""The largest values that glibc comes to by itself."""


def plain_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """What most scripts do: fp32, contiguous, Adam. Returns seconds."""
    images = torch.rand(BATCH, 3, SIDE, SIDE)
    target = (torch.rand(BATCH, 1, SIDE, SIDE) > 0.5).float()
    started = time.perf_counter()
    loss = nn.functional.binary_cross_entropy_with_logits(model(images), target)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - started


def delineo_step(model: nn.Module, optimizer: torch.optim.Optimizer, bf16: bool) -> float:
    """The arithmetic that Delineo chooses on this machine, with its loss. Returns seconds."""
    images = torch.rand(BATCH, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    target = (torch.rand(BATCH, SIDE, SIDE) > 0.5).byte()
    loss_function = build_loss(LossConfig(), "binary")
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(images)
    loss_function(logits, target).backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - started


def matrix_seconds(dtype: torch.dtype) -> float:
    """What one product of two large matrices takes."""
    left, right = torch.rand(MATRIX, MATRIX).to(dtype), torch.rand(MATRIX, MATRIX).to(dtype)
    started = time.perf_counter()
    left @ right
    return time.perf_counter() - started


def glibc_as_it_comes() -> None:
    """Undo keep_memory, which a plain loop does not have."""
    libc = ctypes.CDLL("libc.so.6")
    for threshold, value in GLIBC_THRESHOLDS.items():
        libc.mallopt(threshold, value)
    libc.malloc_trim(0)


def second_of_two(setting: Callable[[], None], step: Callable[[], float]) -> float:
    """The first step after a change of settings fetches its memory anew."""
    setting()
    step()
    return step()


def main() -> None:
    plain = build_model(UNetConfig(width=64), 3, 1)
    ours = build_model(UNetConfig(width=64), 3, 1).to(memory_format=torch.channels_last)
    plain_optimizer = torch.optim.Adam(plain.parameters())
    our_optimizer = build_optimizer(ours, OptimizerConfig())
    bf16 = choose_precision("auto", torch.device("cpu")) == "bf16"
    rounds = [
        (
            second_of_two(glibc_as_it_comes, lambda: plain_step(plain, plain_optimizer)),
            second_of_two(keep_memory, lambda: delineo_step(ours, our_optimizer, bf16)),
            matrix_seconds(torch.float32),
            matrix_seconds(torch.bfloat16 if bf16 else torch.float32),
        )
        for _ in range(ROUNDS + 1)
    ][1:]
    ratios = [slow / fast for slow, fast, *_ in rounds]
    plain_seconds, our_seconds, fp32_seconds, best_seconds = map(median, zip(*rounds, strict=True))
    # forward, and twice that for the gradients of inputs and of weights
    table = layer_table(UNetConfig(width=64), 3, 1, (SIDE, SIDE))
    step_multiplications = 3 * BATCH * table.multiply_adds
    least = step_multiplications / MATRIX**3 * best_seconds
    record(
        "throughput",
        {
            "plain_images_per_second": round(BATCH / plain_seconds, 2),
            "delineo_images_per_second": round(BATCH / our_seconds, 2),
            "ratio_median": round(median(ratios), 2),
            "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
            "matrix_fp32_gigaflops": round(2e-9 * MATRIX**3 / fp32_seconds),
            "matrix_chosen_gigaflops": round(2e-9 * MATRIX**3 / best_seconds),
            "plain_gigaflops": round(2e-9 * step_multiplications / plain_seconds),
            "delineo_gigaflops": round(2e-9 * step_multiplications / our_seconds),
            "ratio_possible": round(plain_seconds / least, 2),
        },
    )


if __name__ == "__main__":
    main()
