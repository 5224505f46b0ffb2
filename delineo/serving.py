"""serve(): predictions over HTTP, by the code that `predict` runs."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import quote

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from .data.rasters import LARGEST_IMAGE, count_pixels
from .errors import ConfigError, DataError, DelineoError
from .outputs import predict_files
from .runtime import MaskPredictor
from .targets import MAP, Wanted, file_names

MOST_BYTES = 2**28
"""Of an image file that is taken."""
MOST_PIXELS = LARGEST_IMAGE
"""Of an image that is taken; scans would keep all others waiting."""
MOST_WAITING = 8
"""Images that are held in memory at a time."""
SHUTDOWN_SECONDS = 60.0
"""For which requests that have begun are still answered."""
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


def serve(predictor: MaskPredictor, models: Sequence[str], listener: socket.socket) -> None:
    """Answer requests until a signal ends it; those that have begun are answered for a minute.

    `models` are what the description calls the predictor.
    """
    web.run_app(
        application(predictor, models),
        sock=listener,
        print=None,
        access_log_format='%a "%r" %s, %Tf s',
        shutdown_timeout=SHUTDOWN_SECONDS,
    )


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """An open socket and its address; port 0 takes any that is free.

    Raises ConfigError where the address is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        host.encode("idna")  # create_server leaves a socket open where it cannot
        listener = socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"cannot listen at port {port} of {host} ({error}); choose another with --host and "
            "--port; port 0 takes any that is free"
        ) from error
    name = f"[{host}]" if ":" in host else host
    return listener, f"http://{name}:{listener.getsockname()[1]}"


def application(predictor: MaskPredictor, models: Sequence[str]) -> web.Application:
    """GET / describes the model; POST /mask and the like answer an image file."""
    known, queue = answers(predictor), _Queue()

    async def describe(_: web.Request) -> web.Response:
        return web.json_response(_description(predictor, models, known))

    async def answer(request: web.Request) -> web.Response:
        what = request.match_info["what"]
        if what not in known:
            there = ", ".join(_paths(known))
            raise web.HTTPNotFound(text=f"there is no /{what} to POST to; there are {there}")
        with queue.place():
            image = await _image_in(request)
            work = partial(predict_bytes, predictor, image, known[what])
            body, kind = await queue.run(work, request)
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(body=body, content_type=kind, charset=charset)

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
    # masks of classes that overlap are one for each class anyway
    masks = Wanted(class_masks=predictor.task != "multilabel")
    maps = Wanted(probabilities=True)
    for name, ending in zip(predictor.classes, file_names(predictor.classes), strict=True):
        found[f"mask/{name}"] = Answer(masks, f"{_STEM}_{ending}.png")
        found[f"probability/{name}"] = Answer(maps, f"{_STEM}_{MAP}{ending}.png")
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
        try:
            _refuse_large(source)
            failed = predict_files(predictor, [source], out, wanted).failed
            if failed:
                raise DataError(failed[source])
        except DataError as error:
            raise DataError(str(error).replace(str(source), "the file that was sent")) from error
        file = file if file.exists() else file.with_suffix(".tif")
        return file.read_bytes(), CONTENT_TYPES[file.suffix]


class _Queue:
    """One thread predicts, since each prediction uses all cores; a few images may wait for it."""

    def __init__(self) -> None:
        self._places = MOST_WAITING
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises HTTPServiceUnavailable where no place is left."""
        if not self._places:
            text = f"{MOST_WAITING} images are waiting already; try again later"
            raise web.HTTPServiceUnavailable(text=text)
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    async def run(
        self, work: Callable[[], tuple[bytes, str]], request: web.Request
    ) -> tuple[bytes, str]:
        """The work's result, unless who asked for it has left before its turn came."""
        async with self._turn:
            if request.transport is None:
                raise web.HTTPRequestTimeout(text="nobody waits for the answer")
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _suffix(image: bytes) -> str:
    """The ending that a file of that content has. Raises DataError for other files."""
    for suffix, beginnings in BEGINNINGS.items():
        if image.startswith(beginnings):
            return suffix
    kinds = ", ".join(suffix[1:] for suffix in BEGINNINGS)
    raise DataError(f"the file that was sent is no image of a known format; send one of {kinds}")


def _refuse_large(image: Path) -> None:
    pixels = count_pixels(image)
    if pixels > MOST_PIXELS:
        raise DataError(
            f"{image} has {pixels / 1e6:.0f} million pixels, and {MOST_PIXELS // 10**6} million "
            "are served; predict it from disk, with delineo predict"
        )


def _description(
    predictor: MaskPredictor, models: Sequence[str], known: dict[str, Answer]
) -> dict[str, Any]:
    return {
        "models": list(models),
        "task": predictor.task,
        "classes": list(predictor.classes),
        "channels": predictor.channels,
        "decision": predictor.decision.model_dump(mode="json"),
        "answers": _paths(known),
    }


def _paths(known: dict[str, Answer]) -> list[str]:
    """As they are written in an address."""
    return [f"/{quote(each)}" for each in known]


async def _image_in(request: web.Request) -> bytes:
    """The request's body, or the first file of a form."""
    try:
        if request.content_type == "multipart/form-data":
            fields = (await request.post()).values()
            files = [each for each in fields if isinstance(each, web.FileField)]
            image = files[0].file.read() if files else b""
        else:
            image = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        error.text = (
            f"the image has more than {MOST_BYTES // 2**20} MB; predict it from disk, "
            "with delineo predict"
        )
        raise
    except (ValueError, AssertionError, ClientError, HttpProcessingError) as error:
        raise DataError(
            f"the request cannot be read ({error}); send the image file as its body"
        ) from error
    if not image:
        raise DataError(
            "there is no image in the request; send the image file as its body, "
            f"like curl --data-binary @photo.jpg {request.url}"
        )
    return image


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What goes wrong as {"error": sentence}."""
    headers = {}
    try:
        return await handler(request)
    except DataError as error:
        status, text = 400, str(error)
    except web.HTTPMethodNotAllowed as error:
        status, headers = error.status, {"Allow": error.headers["Allow"]}
        text = "GET / describes the model; images are sent with POST, to /mask for example"
    except web.HTTPException as error:
        status, text = error.status, error.text or error.reason
    except (DelineoError, OSError, MemoryError) as error:
        logging.getLogger(__name__).warning("%s", error)
        status, text = 503, "the server has no room or memory for that now; try again later"
    return web.json_response({"error": text}, status=status, headers=headers)
