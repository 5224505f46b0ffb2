"""serve(): predictions over HTTP, by the code that `predict` runs."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from aiohttp import web

from .errors import ConfigError, DataError
from .outputs import predict_files
from .runtime import MaskPredictor
from .targets import Wanted, file_names

MOST_BYTES = 2**28
"""Bytes of an image file that are taken."""
BEGINNINGS = {
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".tif": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    ".webp": (b"RIFF",),
    ".bmp": (b"BM",),
    ".gif": (b"GIF8",),
    ".pnm": (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
}
"""How the files begin that are taken: strangers must not reach every reader there is."""
CONTENT_TYPES = {
    ".png": "image/png",
    ".tif": "image/tiff",
    ".geojson": "application/geo+json",
    ".json": "application/json",
    ".txt": "text/plain",
    ".csv": "text/csv",
}
_STEM = "image"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Answer(NamedTuple):
    """One of the files that `predict` writes of an image."""

    wanted: Wanted
    file: str
    """Its path in the output folder. Masks of GeoTIFF are GeoTIFF there, called alike."""


def serve(
    predictor: MaskPredictor,
    models: Sequence[str],
    host: str,
    port: int,
    announce: Callable[[str], None],
) -> None:
    """Answer requests until a signal ends it; those that have begun are answered.

    `announce` is called with the address once it is open; port 0 takes any that is free.
    `models` are what the description calls the predictor. Raises ConfigError where the address is
    not to be had.
    """
    listener = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    announce(f"http://{name}:{listener.getsockname()[1]}")
    log = '%a "%r" %s, %Tf s'
    web.run_app(application(predictor, models), sock=listener, print=None, access_log_format=log)


def application(predictor: MaskPredictor, models: Sequence[str]) -> web.Application:
    """GET / describes the model; POST /mask and the like answer an image file.

    Images are predicted in one thread, one after the other, since each prediction uses all cores.
    """
    known, thread = answers(predictor), ThreadPoolExecutor(max_workers=1)

    async def describe(_: web.Request) -> web.Response:
        return web.json_response(_description(predictor, models, known))

    async def answer(request: web.Request) -> web.Response:
        what = request.match_info["what"]
        if what not in known:
            there = ", ".join(f"/{each}" for each in known)
            raise web.HTTPNotFound(text=f"there is no /{what} to POST to; there are {there}")
        image = await _image_in(request)
        work = partial(predict_bytes, predictor, image, known[what])
        body, kind = await asyncio.get_running_loop().run_in_executor(thread, work)
        return web.Response(body=body, content_type=kind)

    app = web.Application(middlewares=[_in_json], client_max_size=MOST_BYTES)
    app.add_routes([web.get("/", describe), web.post("/{what:.+}", answer)])
    return app


def answers(predictor: MaskPredictor) -> dict[str, Answer]:
    """What an image can be answered with, by its path."""
    found = {
        "overlay": Answer(Wanted(overlay=True), f"{_STEM}_overlay.png"),
        "geojson": Answer(Wanted(formats=("geojson",)), f"{_STEM}.geojson"),
        "coco": Answer(Wanted(formats=("coco",)), "coco.json"),
        "coco-polygons": Answer(Wanted(formats=("coco-polygons",)), "coco-polygons.json"),
        "yolo": Answer(Wanted(formats=("yolo",)), f"labels/{_STEM}.txt"),
        "areas": Answer(Wanted(), "areas.csv"),
    }
    if predictor.task != "multilabel":
        found = {"mask": Answer(Wanted(), f"{_STEM}.png"), **found}
    masks, maps = Wanted(class_masks=True), Wanted(probabilities=True)
    for name, ending in zip(predictor.classes, file_names(predictor.classes), strict=True):
        found[f"mask/{name}"] = Answer(masks, f"{_STEM}_{ending}.png")
        found[f"probability/{name}"] = Answer(maps, f"{_STEM}_probability_{ending}.png")
    return found


def predict_bytes(predictor: MaskPredictor, image: bytes, answer: Answer) -> tuple[bytes, str]:
    """The file that `predict` writes of an image file, and its content type.

    Raises DataError where the image cannot be predicted.
    """
    with TemporaryDirectory() as folder:
        source, out = Path(folder, f"{_STEM}{_suffix(image)}"), Path(folder, "out")
        source.write_bytes(image)
        file, wanted = out / answer.file, answer.wanted
        if file.suffix == ".csv":
            wanted = replace(wanted, table=file)
        failed = predict_files(predictor, [source], out, wanted).failed
        if failed:
            raise DataError(failed[source].replace(str(source), "the file that was sent"))
        file = file if file.exists() else file.with_suffix(".tif")
        return file.read_bytes(), CONTENT_TYPES[file.suffix]


def _suffix(image: bytes) -> str:
    """The ending that a file of that content has. Raises DataError for other files."""
    for suffix, beginnings in BEGINNINGS.items():
        if image.startswith(beginnings):
            return suffix
    kinds = ", ".join(suffix[1:] for suffix in BEGINNINGS)
    raise DataError(f"the file that was sent is no image of a known format; send one of {kinds}")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at port {port} of {host} ({error}); choose another with --host and "
            "--port; port 0 takes any that is free"
        ) from error


def _description(
    predictor: MaskPredictor, models: Sequence[str], known: dict[str, Answer]
) -> dict[str, Any]:
    return {
        "models": list(models),
        "task": predictor.task,
        "classes": list(predictor.classes),
        "channels": predictor.channels,
        "decision": predictor.decision.model_dump(mode="json"),
        "answers": [f"/{each}" for each in known],
    }


async def _image_in(request: web.Request) -> bytes:
    """The request's body, or the first file of a form."""
    try:
        if request.content_type == "multipart/form-data":
            fields = (await request.post()).values()
            files = [each for each in fields if isinstance(each, web.FileField)]
            image = files[0].file.read() if files else b""
        else:
            image = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise DataError(
            f"the image has more than {MOST_BYTES // 2**20} MB; predict it from disk, "
            "with delineo predict"
        ) from None
    if not image:
        raise DataError(
            "there is no image in the request; send the image file as its body, "
            f"like curl --data-binary @photo.jpg {request.url}"
        )
    return image


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What goes wrong as {"error": sentence}."""
    try:
        return await handler(request)
    except DataError as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPMethodNotAllowed as error:
        text = "GET / describes the model; images are sent with POST, to /mask for example"
        allowed = {"Allow": error.headers["Allow"]}
        return web.json_response({"error": text}, status=error.status, headers=allowed)
    except web.HTTPException as error:
        return web.json_response({"error": error.text}, status=error.status)
