"""`delineo serve`: what it answers is what `predict` writes, and what goes wrong is a sentence."""

import asyncio
import errno
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
import pytest
import rasterio
import tifffile
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer
from command import cli
from geotiffs import PLACE, Channels, expected, picture
from geotiffs import save as save_scan
from PIL import Image
from test_outputs import predictor_of, save, stripes

import delineo
from delineo import certificate, serving
from delineo.data.samples import Task
from delineo.outputs import predict_files
from delineo.serving import answers, application, predict_bytes
from delineo.targets import Wanted

TINY = (
    "model.name=unet", "model.width=2", "model.depth=2", "data.image_size=[32,32]",
    "epochs=1", "epoch_size=8", "batch_size=4", "precision=fp32",
)  # fmt: skip
TestServer.__test__ = TestClient.__test__ = False  # pyright: ignore[reportAttributeAccessIssue]


def ask(
    predictor: Any, path: str, data: Any = None, method: str = "POST", **more: Any
) -> tuple[int, str, bytes]:
    """(status, content type, body) of one request."""

    async def asked() -> tuple[int, str, bytes]:
        async with TestClient(TestServer(application(predictor, ["run"]))) as client:
            response = await client.request(method, path, data=data, **more)
            return response.status, response.content_type, await response.read()

    return asyncio.run(asked())


def refused(
    predictor: Any, path: str, data: Any = None, method: str = "POST", **more: Any
) -> tuple[int, str]:
    status, content_type, body = ask(predictor, path, data, method, **more)
    assert content_type == "application/json"
    return status, json.loads(body)["error"]


@pytest.fixture
def photo(tmp_path: Path) -> bytes:
    return save(tmp_path / "photo.png").read_bytes()


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_each_answer_is_the_file_that_predict_writes(
    task: Task, photo: bytes, tmp_path: Path
) -> None:
    predictor, image, out = predictor_of(task), tmp_path / "image.png", tmp_path / "out"
    image.write_bytes(photo)
    everything = Wanted(
        overlay=True, class_masks=True, probabilities=True, table=out / "areas.csv",
        formats=("geojson", "coco", "coco-polygons", "yolo"),
    )  # fmt: skip
    assert not predict_files(predictor, [image], out, everything).failed
    known = answers(predictor)
    assert ("mask" in known) == (task != "multilabel")
    for path, answer in known.items():
        status, content_type, body = ask(predictor, f"/{quote(path)}", photo)
        assert (status, content_type) == (200, serving.CONTENT_TYPES[Path(answer.file).suffix])
        assert body == (out / answer.file).read_bytes(), path
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written - {answer.file for answer in known.values()} <= {"data.yaml"}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_usual_formats_are_taken(kind: str, mode: str) -> None:
    file = BytesIO()
    Image.fromarray(stripes()).convert(mode).save(file, kind)
    status, _, body = ask(predictor_of("binary"), "/mask", file.getvalue())
    assert status == 200
    assert Image.open(BytesIO(body)).size == (9, 7)


def test_what_pillow_would_run_a_program_for_is_not_taken() -> None:
    file = BytesIO()
    Image.fromarray(stripes()).save(file, "EPS")
    status, text = refused(predictor_of("binary"), "/mask", file.getvalue())
    assert status == 400
    assert text.startswith("the file that was sent is no image of a known format; send one of")


def test_a_form_is_taken_too(photo: bytes) -> None:
    form = FormData()
    form.add_field("note", "of no matter")
    form.add_field("image", photo, filename="photo.png")
    predictor = predictor_of("multiclass")
    assert ask(predictor, "/mask", form) == ask(predictor, "/mask", photo)


def test_the_description_says_what_the_model_finds() -> None:
    predictor = predictor_of("multilabel")
    found = json.loads(ask(predictor, "/", method="GET")[2])
    assert found["models"] == ["run"]
    assert (found["task"], found["classes"]) == ("multilabel", ["hole", "a/b c"])
    assert found["decision"] == predictor.decision.model_dump(mode="json")
    assert found["answers"] == [f"/{quote(each)}" for each in answers(predictor)]
    assert "/mask/a/b%20c" in found["answers"]


def test_masks_of_a_geotiff_keep_its_place(tmp_path: Path) -> None:
    image = picture(40, 50)
    scan = save_scan(tmp_path / "scan.tif", image).read_bytes()
    status, content_type, body = ask(Channels(), "/mask", scan)
    assert (status, content_type) == (200, "image/tiff")
    (tmp_path / "mask.tif").write_bytes(body)
    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.crs == PLACE["crs"]
        assert mask.transform == PLACE["transform"]
        assert np.array_equal(mask.read(1), expected(image))


def test_what_is_no_image_is_a_sentence(photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = predictor_of("binary")
    status, text = refused(predictor, "/mask", b"no image")
    assert status == 400
    assert text == (
        "the file that was sent is no image of a known format; "
        "send one of png, jpg, tif, webp, bmp, gif, pnm"
    )
    status, text = refused(predictor, "/mask", photo[:50])
    assert status == 400
    assert text.startswith("the file that was sent is damaged")
    form = FormData()
    form.add_field("image", "a name", content_type="text/plain")
    for nothing in (b"", form):
        status, text = refused(predictor, "/mask", nothing)
        assert status == 400
        assert text.startswith("there is no image in the request; send the image file as its body")
    monkeypatch.setattr(serving, "MOST_BYTES", 2**20)
    status, text = refused(predictor, "/mask", BytesIO(bytes(2**20 + 1)))
    assert (status, text[:37]) == (413, "the image has more than 1 MB; predict")


def test_an_image_of_other_bands_is_refused(tmp_path: Path) -> None:
    scan = save_scan(tmp_path / "scan.tif", picture(40, 50, bands=5)).read_bytes()
    status, text = refused(Channels(), "/mask", scan)
    assert status == 400
    assert text.startswith("the file that was sent has 5 bands")


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({"Content-Type": "multipart/form-data"}, b"x"),
        ({"Content-Type": "multipart/form-data; boundary=a"}, b"--b\r\n\r\nx"),
        (
            {"Content-Type": "multipart/form-data; boundary=a"},
            b'--a\r\nContent-Disposition: form-data; name="n"\r\n\r\n\xff\xfe\r\n--a--\r\n',
        ),
        (
            {"Content-Type": "multipart/form-data; boundary=a"},
            b"--a\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a--\r\n",
        ),
    ],
)
def test_a_request_that_is_none_is_a_sentence(headers: dict[str, str], data: bytes) -> None:
    status, text = refused(predictor_of("binary"), "/mask", data, headers=headers)
    assert status == 400
    assert text.startswith("the request cannot be read (")


def test_images_that_would_keep_others_waiting_are_refused(
    photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse = tmp_path / "sparse.tif"
    tifffile.memmap(sparse, shape=(6000, 6000), dtype=np.uint8)
    file = BytesIO()
    with sparse.open("rb") as whole:
        file.write(whole.read(1000))  # its pixels need not come
    status, text = refused(predictor_of("binary"), "/mask", file.getvalue())
    assert status == 400
    assert text.startswith("the file that was sent has 36 million pixels, and 33 million are ")
    monkeypatch.setattr(serving, "MOST_PIXELS", 62)
    status, text = refused(predictor_of("binary"), "/mask", photo)
    assert (status, text[:31]) == (400, "the file that was sent has 0 mi")


def test_a_full_disk_is_told_without_a_path(photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret")

    monkeypatch.setattr(serving, "predict_files", full)
    said = "the server has no room or memory for that now; try again later"
    assert refused(predictor_of("binary"), "/mask", photo) == (503, said)


def test_masks_of_classes_that_overlap_keep_the_place_of_a_geotiff(tmp_path: Path) -> None:
    image = picture(40, 50)
    scan = save_scan(tmp_path / "scan.tif", image).read_bytes()
    for place, name in enumerate(("hole", "crack")):
        status, content_type, body = ask(Channels("multilabel"), f"/mask/{name}", scan)
        assert (status, content_type) == (200, "image/tiff")
        (tmp_path / "mask.tif").write_bytes(body)
        with rasterio.open(tmp_path / "mask.tif") as mask:
            assert mask.transform == PLACE["transform"]
            assert np.array_equal(mask.read(1) > 0, expected(image, "multilabel")[place] == 1)


def test_what_is_not_there_is_a_sentence(photo: bytes) -> None:
    predictor = predictor_of("binary")
    for path in ("/masks", "/mask/", "/mask/square"):
        status, text = refused(predictor, path, photo)
        assert status == 404
        assert text.endswith("/areas, /mask/disc, /probability/disc")
    status, text = refused(predictor, "/mask", method="GET")
    assert status == 405
    assert text == "GET / describes the model; images are sent with POST, to /mask for example"


def test_images_are_predicted_one_after_the_other(
    photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = 0, 0

    def slow(*_: object) -> tuple[bytes, str]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        running -= 1
        return b"", "image/png"

    async def several(number: int) -> list[int]:
        server = TestServer(application(predictor_of("binary"), ["run"]))
        async with TestClient(server) as client:
            responses = await asyncio.gather(
                *(client.post("/mask", data=photo) for _ in range(number))
            )
            return [response.status for response in responses]

    monkeypatch.setattr(serving, "predict_bytes", slow)
    assert asyncio.run(several(4)) == [200] * 4
    assert most == 1
    monkeypatch.setattr(serving, "MOST_WAITING", 2)
    assert sorted(asyncio.run(several(4))) == [200, 200, 503, 503]


def test_nothing_stays_on_disk(
    photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    predictor = predictor_of("binary")
    predict_bytes(predictor, photo, answers(predictor)["mask"])
    assert set(tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def trained(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("serving")
    return delineo.train(make_shapes(root / "data", 12), TINY, out=root / "run").path


def test_an_address_that_is_taken_is_told(trained: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, errors = cli("serve", trained, "--runtime", "torch", "--port", port)
    assert code == 2
    assert errors.startswith(f"error: cannot listen at port {port} of 127.0.0.1 (")
    for elsewhere in ("203.0.113.1", "no.such.host.invalid", 70 * "ü"):
        code, _, errors = cli("serve", trained, "--runtime", "torch", "--host", elsewhere)
        assert code == 2
        assert errors.startswith("error: cannot listen at port ")


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    code, said, errors = cli("serve", tmp_path)
    assert code == 2
    assert said == ""
    assert errors.startswith(f"error: {tmp_path} is not a run: it has no recipe.yaml; give")


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from delineo.cli import main
sys.argv = ["delineo", "serve", *sys.argv[1:]]
main()
"""


def test_an_export_is_served_without_pytorch_until_a_signal(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = {"seconds_per_image": 0.1, "peak_memory_mb": 100.0, "precision": "fp32"}
    monkeypatch.setattr(certificate, "measure", lambda path, images: cost)
    assert cli("export", trained, "--format", "openvino")[0] == 0
    image, opened = trained.parent / "data/images/disc00.png", tmp_path / "opened.json"
    options = ["--port", "0", "--json", opened]
    command = [sys.executable, "-c", WITHOUT_TORCH, trained / "exports/openvino", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        try:
            while not opened.exists() and server.poll() is None:
                time.sleep(0.05)
            url = json.loads(opened.read_text())["url"]
            with urlopen(f"{url}/mask", image.read_bytes(), timeout=60) as response:
                body = response.read()
        finally:
            server.send_signal(signal.SIGTERM)
            said, log = server.communicate(timeout=60)
    assert server.returncode == 0, log
    assert f"serving {trained / 'exports/openvino'} at {url}" in said.decode()
    assert '"POST /mask HTTP/1.1" 200' in log.decode()
    code, _, errors = cli(
        "predict", trained / "exports/openvino", image, "--out", tmp_path / "masks"
    )
    assert code == 0, errors
    assert body == (tmp_path / "masks/disc00.png").read_bytes()


SLOW = """
import time
from types import SimpleNamespace
from delineo import serving

def slow(*_):
    print("begun", flush=True)
    time.sleep(1)
    return b"mask", "image/png"

serving.predict_bytes = slow
disc = SimpleNamespace(task="binary", classes=("disc",))
listener, url = serving.listen("127.0.0.1", 0)
print(url, flush=True)
serving.serve(disc, ["run"], listener)
"""


def test_what_has_begun_is_answered_before_the_end(photo: bytes) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE) as server,
        ThreadPoolExecutor() as threads,
    ):
        assert server.stdout
        url = server.stdout.readline().decode().strip()
        asked = threads.submit(lambda: urlopen(f"{url}/mask", photo, timeout=60).read())
        assert server.stdout.readline() == b"begun\n"
        server.send_signal(signal.SIGTERM)
        assert asked.result() == b"mask"
        assert server.wait(60) == 0


def test_a_run_is_exported_before_it_is_served(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def opened(path: Path, *_: object, often: bool) -> Any:
        seen[str(path)] = often
        return predictor_of("binary")

    monkeypatch.setattr("delineo.forms.open_predictor", opened)
    monkeypatch.setattr(serving, "serve", lambda *_: None)
    assert cli("serve", trained, trained)[0] == 0
    assert seen == {str(trained): True}


def test_the_stripes_are_found(photo: bytes) -> None:
    body, _ = predict_bytes(
        predictor_of("multiclass"), photo, answers(predictor_of("multiclass"))["areas"]
    )
    shares = [float(line.split(",")[3]) for line in body.decode().splitlines()[1:]]
    assert shares == pytest.approx([1 / 3] * 3)
