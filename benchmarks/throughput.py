"""Training throughput of U-Net (64 wide, 128x128, batch 8): as Delineo trains it, against the same
network in a plain fp32 contiguous loop, in turn in one process.

    python benchmarks/throughput.py

Mark: at least 4 times.
"""

import time
from statistics import median

import torch
from common import record
from torch import nn

from delineo.losses import LossConfig, build_loss
from delineo.machine import choose_precision
from delineo.models import UNetConfig, build_model
from delineo.optim import OptimizerConfig, build_optimizer

ROUNDS, BATCH, SIDE = 4, 8, 128


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


def main() -> None:
    plain = build_model(UNetConfig(width=64), 3, 1)
    ours = build_model(UNetConfig(width=64), 3, 1).to(memory_format=torch.channels_last)
    plain_optimizer = torch.optim.Adam(plain.parameters())
    our_optimizer = build_optimizer(ours, OptimizerConfig())
    bf16 = choose_precision("auto", torch.device("cpu")) == "bf16"
    pairs = [
        (plain_step(plain, plain_optimizer), delineo_step(ours, our_optimizer, bf16))
        for _ in range(ROUNDS + 1)
    ][1:]
    ratios = [slow / fast for slow, fast in pairs]
    record(
        "throughput",
        {
            "plain_images_per_second": round(BATCH / median(slow for slow, _ in pairs), 2),
            "delineo_images_per_second": round(BATCH / median(fast for _, fast in pairs), 2),
            "ratio_median": round(median(ratios), 2),
            "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        },
    )


if __name__ == "__main__":
    main()
