"""Weights of ResNets from files and addresses: read, checked, or refused with a sentence."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from delineo.errors import ConfigError
from delineo.models import ResNetUNet, ResNetUNetConfig, build_model, check_start
from delineo.models.resnet_unet import ResNetEncoder


@pytest.fixture
def resnet18() -> dict[str, Tensor]:
    """A state as torchvision saves it, classifier included."""
    torch.manual_seed(0)
    state = ResNetEncoder(18, 3).state_dict()
    return {**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def load(path: Path | str, in_channels: int = 3, **settings: str) -> ResNetUNet:
    config = ResNetUNetConfig(depth=18, pretrained=str(path), **settings)
    model = build_model(config, in_channels, 2)
    assert isinstance(model, ResNetUNet)
    return model


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_resnet_weights_from_a_file(
    resnet18: dict[str, Tensor], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        del resnet18["bn1.num_batches_tracked"]
        torch.save(resnet18, path)
    else:
        save_file(resnet18, path)
    model = load(path)
    for key, value in model.encoder.state_dict().items():
        assert value.equal(resnet18.get(key, torch.tensor(0))), key
    assert len(model.pretrained_parameters()) == len(list(model.encoder.parameters()))


def test_resnet_weights_for_grey_images(resnet18: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(resnet18, tmp_path / "weights.pth")
    model = load(tmp_path / "weights.pth", in_channels=1)
    assert model.encoder.conv1.weight.equal(resnet18["conv1.weight"].sum(1, keepdim=True))


def test_weights_of_another_network_are_refused(
    resnet18: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(resnet18, tmp_path / "weights.pth")
    config = ResNetUNetConfig(depth=34, pretrained=str(tmp_path / "weights.pth"))
    with pytest.raises(ConfigError, match=r"weights\.pth .*a ResNet-18, .*set model\.depth=18"):
        check_start(config)
    resnet18["layer1.0.conv1.weight"] = torch.zeros(64, 64, 1, 1)
    torch.save(resnet18, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"than a ResNet-18: layer1\.0\.conv1\.weight and 0 more"):
        load(tmp_path / "weights.pth")


def test_hash_is_checked(resnet18: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(resnet18, tmp_path / "weights.pth")
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    load(tmp_path / "weights.pth", sha256=digest[:16])
    with pytest.raises(ConfigError, match="SHA-256"):
        load(tmp_path / "weights.pth", sha256="0" * 16)
    named = (tmp_path / "weights.pth").rename(tmp_path / "resnet18-00000000.pth")
    with pytest.raises(ConfigError, match="begin with 00000000"):
        load(named)


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "ran"),))

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    (tmp_path / "prose.pth").write_text("hello, these are no weights")
    (tmp_path / "empty.pth").touch()
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({1: torch.zeros(2)}, tmp_path / "numbered.pth")
    files = [path.name for path in tmp_path.iterdir()]
    assert len(files) == 7
    for name in (*files, "missing.pth"):
        with pytest.raises(ConfigError, match=name) as caught:
            load(tmp_path / name)
        assert "weights_only" not in str(caught.value)  # PyTorch's way to run what is in them
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_no_numbers_are_refused(
    resnet18: dict[str, Tensor], tmp_path: Path
) -> None:
    resnet18["layer1.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    torch.save(resnet18, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"layer1\.0\.conv1\.weight in .* no numbers"):
        load(tmp_path / "weights.pth")


def test_weights_from_an_address(
    resnet18: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched once, and only if the hash is right."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    (tmp_path / "served").mkdir()
    torch.save(resnet18, tmp_path / "served/weights.pth")
    digest = hashlib.sha256((tmp_path / "served/weights.pth").read_bytes()).hexdigest()
    with serve(tmp_path / "served") as address:
        with pytest.raises(ConfigError, match="invalid hash"):
            load(f"{address}/weights.pth", sha256="0" * 64)
        assert not list((tmp_path / "cache").rglob("*.pth"))
        with pytest.raises(ConfigError, match="404"):
            load(f"{address}/other.pth", sha256=digest)
        model = load(f"{address}/weights.pth", sha256=digest)
    assert model.encoder.conv1.weight.equal(resnet18["conv1.weight"])
    assert load(f"{address}/weights.pth", sha256=digest).pretrained


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The files of a folder under an address of this machine, for a while."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_needs_a_hash() -> None:
    with pytest.raises(ConfigError, match=r"model\.sha256"):
        build_model(ResNetUNetConfig(pretrained="https://example.invalid/resnet18.pth"), 3, 2)


def test_an_address_that_cannot_be_reached_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for host in ("127.0.0.1:9", "127.0.0.1:x", "[1"):
        with pytest.raises(ConfigError, match=r"could not fetch .* path of the file"):
            load(f"https://{host}/resnet18-f37072fd.pth")
    assert not list(tmp_path.rglob("*.pth*"))
