"""Nothing mixes a GPU's tensors with the processor's, as far as can be told without a GPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from pretended_gpu import GPU, pretended_gpu

import delineo
from delineo import Predictor, evaluate, training
from delineo.data.images import read_image
from delineo.losses import LossConfig, build_loss
from delineo.models import (
    LiteUNetConfig,
    ModelConfig,
    ResNetUNetConfig,
    ResUNetConfig,
    SegNetConfig,
    UNetConfig,
    build_model,
)

LOSSES = ("dice", "focal", "tversky", "focal_tversky", "tanimoto", "lovasz")
TINY = (
    "model={name: unet, width: 4, depth: 1, dropout: 0.1}", "data.image_size=[32,32]", "epochs=1",
    "epoch_size=8", "batch_size=4", "precision=fp32", "data.workers=0", "augmentation.hue=0.1",
)  # fmt: skip


def launch(_: object) -> Fabric:
    """As `startup.launch` on a machine with a GPU."""
    fabric = Fabric(accelerator="cpu", strategy=SingleDeviceStrategy(GPU), precision="32-true")
    fabric.launch()
    return fabric


def test_the_pretended_gpu_refuses_what_a_gpu_refuses() -> None:
    with pretended_gpu():
        there, here = torch.ones(2, 3).to("cuda"), torch.ones(2, 3)
        assert there[0].mul(2).device.type == "cuda"
        assert there.cpu().device.type == here.device.type == "cpu"
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()


def test_training_resuming_scoring_and_predicting_keep_to_the_gpu(
    make_shapes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = make_shapes(tmp_path / "discs", 10), tmp_path / "run"
    monkeypatch.setattr(CPUAccelerator, "setup_device", lambda *_: None)
    monkeypatch.setattr(training, "launch", launch)
    image = read_image(next((data / "images").iterdir()))
    with pretended_gpu():
        run = delineo.train(data, TINY, out=out)
        delineo.train(data, out=out, resume=True)
        predictor = Predictor.load(run, device="cuda")
        assert predictor.device.type == "cuda"
        evaluate(predictor, run.folder(), "test")
        mask = predictor(image)
    np.testing.assert_array_equal(mask, Predictor.load(run, device="cpu")(image))


@pytest.mark.parametrize(
    "config",
    [
        LiteUNetConfig(pretrained=False),
        UNetConfig(width=2, depth=1, down="stride", up="bilinear"),
        SegNetConfig(width=2, form="basic"),
        ResUNetConfig(width=4, dilations=((1,), (1,)), pyramid_pooling=True),
        ResNetUNetConfig(depth=18),
    ],
    ids=lambda config: config.name,
)
def test_networks_keep_to_the_gpu(config: ModelConfig) -> None:
    with pretended_gpu():
        network = build_model(config, 3, 2).to("cuda")
        logits = network(torch.rand(2, 3, 33, 40).to("cuda"))
        assert logits.device.type == "cuda"
        logits.sum().backward()


@pytest.mark.parametrize(
    ("task", "channels", "planes"),
    [("binary", 1, ()), ("multiclass", 3, ()), ("multilabel", 3, (3,))],
)
def test_losses_keep_to_the_gpu(task: str, channels: int, planes: tuple[int, ...]) -> None:
    entropy = "cross_entropy" if task == "multiclass" else "bce"
    weights = dict.fromkeys([*LOSSES, entropy], 1.0)
    config = LossConfig.model_validate({**weights, "class_weights": [1.0] * channels})
    with pretended_gpu():
        logits = torch.randn(2, channels, 8, 8).to("cuda").requires_grad_()
        target = torch.randint(2, (2, *planes, 8, 8), dtype=torch.uint8).to("cuda")
        loss = build_loss(config, task)(logits, target)  # pyright: ignore[reportArgumentType]
        assert loss.device.type == "cuda"
        loss.backward()
