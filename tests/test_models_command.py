"""`delineo models`: the list, the table of layers, and what wrong usage gets."""

import importlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from command import cli
from pydantic import TypeAdapter

from delineo.models import ModelConfig, UNetConfig, build_model
from delineo.models.catalogue import list_networks

Models = Callable[..., tuple[int, str, str]]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    """models("unet", "--size", "8x8") -> (exit code, standard output, standard error)."""
    monkeypatch.delenv("COLUMNS", raising=False)
    return partial(cli, "models")


def cells(output: str, level: str) -> list[str]:
    """The row that begins with `level`."""
    rows = [line.strip("│ ").split("│") for line in output.splitlines() if line.startswith("│")]
    (row,) = [[cell.strip() for cell in row] for row in rows if row[0].strip() == level]
    return row


def test_every_network_is_listed() -> None:
    schema = TypeAdapter(ModelConfig).json_schema()
    names = {section["properties"]["name"]["const"] for section in schema["$defs"].values()}
    assert {network.name for network in list_networks(3, 1)} == names


@pytest.mark.parametrize("network", list_networks(3, 1), ids=lambda network: network.name)
def test_the_paper_is_the_one_that_the_network_names(network) -> None:
    text = importlib.import_module(f"delineo.models.{network.name}").__doc__
    author, identifier = network.paper.split()[0], network.paper.split()[-1]
    year = network.paper.split(",")[0].split()[-1]
    for word in (author, year, identifier):
        assert word in text


def test_the_list(models: Models, tmp_path: Path) -> None:
    code, output, _ = models("--json", tmp_path / "list.json")
    assert code == 0
    assert cells(output, "unet")[:3] == [
        "unet",
        "31,037,633",
        "Ronneberger et al. 2015, arXiv:1505.04597",
    ]
    record = json.loads((tmp_path / "list.json").read_text())["networks"]
    assert [set(network) for network in record] == [{"name", "paper", "about", "parameters"}] * 5
    assert record[0]["name"] == "lite_unet"
    assert record[1]["parameters"] == sum(
        parameter.numel() for parameter in build_model(UNetConfig(), 3, 1).parameters()
    )


def test_the_list_for_other_images(models: Models) -> None:
    _, output, _ = models("--channels", 4, "--classes", 21)
    assert "4 channels in and 21 classes out" in output
    # 64 more 3x3 kernels in the first convolution, 20 more 1x1x64 kernels with bias in the last
    assert cells(output, "unet")[1] == f"{31_037_633 + 64 * 9 + 20 * 65:,}"


def test_the_table_of_unet(models: Models, tmp_path: Path) -> None:
    """Width 16 at 128x128, down to 8x8x256; with biases instead of BatchNorm, 1,941,105."""
    code, output, _ = models(
        "unet", "model.width=16", "--size", "128x128", "--json", tmp_path / "new" / "unet.json"
    )
    assert code == 0
    assert output.startswith("unet model.width=16, image of 128x128 pixels (height x width)")
    assert cells(output, "input") == ["input", "", "3", "128x128", "", "", "1"]
    multiply_adds = f"{8 * 8 * 9 * (128 * 256 + 256 * 256) / 1e6:.1f}"
    assert cells(output, "encoder.3") == [
        "encoder.3",
        "2 conv 3x3",
        "256",
        "8x8",
        "885,760",
        multiply_adds,
        "140",
    ]
    assert cells(output, "output")[2:4] == ["1", "128x128"]
    record = json.loads((tmp_path / "new" / "unet.json").read_text())
    assert record["model"]["width"] == 16
    assert record["parameters"] == 1_941_105 + 1_472
    assert cells(output, "sum")[4:6] == ["1,942,577", f"{record['multiply_adds'] / 1e6:,.1f}"]


def test_height_comes_first(models: Models) -> None:
    _, output, _ = models("segnet", "model.width=2", "--size", "64x96", "--channels", 1)
    assert cells(output, "input")[2:4] == ["1", "64x96"]
    assert cells(output, "encoder.1")[3] == "32x48"


def test_any_size_is_shown(models: Models) -> None:
    _, output, _ = models("unet", "model.width=2", "--size", "101x101", "--classes", 3)
    assert cells(output, "encoder.3")[3] == "6x6"
    assert "resize" in cells(output, "decoder.1")[1]  # from 24 rows to 25
    assert cells(output, "output")[2:4] == ["3", "101x101"]


def test_all_that_pyramids_see(models: Models) -> None:
    _, output, _ = models("resunet", "model.width=4", "model.pyramid_pooling=true")
    assert cells(output, "bottom_pooling")[-1] == "all"
    assert cells(output, "input")[3] == "256x256"


def test_no_weights_are_read(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("torch.load", fail)
    assert models("lite_unet", "--size", "32x32")[0] == 0
    assert models("resnet_unet", "model.pretrained=missing.pth", "--size", "32x32")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("unett",), "did you mean unet?"),
        (("U-Net",), "did you mean unet?"),
        (("vgg",), "must be one of lite_unet, unet, segnet, resunet, resnet_unet, got 'vgg'"),
        (("unet", "width=16"), "width: not a setting of the network; did you mean model.width?"),
        (("unet", "epochs=3"), "epochs: not a setting of the network; there are model.name, "),
        (("unet", "model.widht=16"), "model.widht: no such setting; did you mean model.width?"),
        (("unet", "model.width=wide"), "model.width: must be an integer, got 'wide'"),
        (("unet", "model.form=basic"), "model.form: no such setting"),
        (("unet", "model.width=1000000000"), "more weights or values than PyTorch can count"),
        (("unet", f"model.width={10**30}"), "give smaller settings (such as model.width)"),
        (("unet", "model.name=segnet"), "two networks are named, unet and segnet"),
        (("unet", "--size", "128"), "--size is height x width in pixels"),
        (("unet", "--size", "0x128"), "such as 128x256, got '0x128'"),
        (("unet", "--size", "128x-1"), "got '128x-1'"),
        (("unet", "--size", "128x1000000"), "each from 1 to 99999"),
        (("--size", "128x128"), "--size needs a network: delineo models unet --size 128x128"),
    ],
)
def test_wrong_usage_gets_a_sentence(
    models: Models, arguments: tuple[str, ...], message: str
) -> None:
    code, output, errors = models(*arguments)
    assert code == 2
    assert output == ""
    assert errors.startswith("error: ")
    assert message in errors


@pytest.mark.parametrize("option", ["--channels", "--classes"])
def test_nothing_in_or_out_is_refused(models: Models, option: str) -> None:
    code, _, errors = models("unet", option, 0)
    assert code == 2
    assert option in errors
