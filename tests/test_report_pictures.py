"""The pictures of the report: colours of errors and classes, thin lines."""

import base64
import io

import numpy as np
from PIL import Image

from delineo.report.pictures import (
    CONFUSED,
    CORRECT,
    EXTRA,
    MISSED,
    class_colors,
    data_uri,
    painted_errors,
)


def test_errors_have_the_colour_of_their_kind() -> None:
    picture = np.zeros((1, 6, 3), np.uint8)
    truth = np.array([[[0, 0, 1, 0, 0, 0]], [[1, 0, 0, 1, 0, 1]], [[0, 1, 0, 0, 0, 0]]], bool)
    found = np.array([[[0, 1, 0, 0, 0, 0]], [[1, 0, 1, 0, 0, 0]], [[0, 0, 0, 1, 0, 0]]], bool)
    ignored = np.array([[0, 0, 0, 0, 0, 1]], bool)
    result = painted_errors(picture, truth, found, 0, ignored)[0].astype(float)

    def looks_like(pixel: int, color: tuple[int, int, int]) -> bool:
        shade = result[pixel] / max(result[pixel].max(), 1)
        return bool(np.allclose(shade, np.array(color) / max(color), atol=0.02))

    assert looks_like(0, CORRECT)
    assert looks_like(1, MISSED)
    assert looks_like(2, EXTRA)
    assert looks_like(3, CONFUSED)
    assert not result[4].any()
    assert not looks_like(5, MISSED)


def test_thin_lines_survive_the_downscaling() -> None:
    picture = np.zeros((2400, 2400, 3), np.uint8)
    picture[:, 1201] = 255
    small = Image.open(io.BytesIO(base64.b64decode(data_uri(picture).partition(",")[2])))
    assert small.size == (480, 480)
    assert np.asarray(small.convert("L"))[:, 235:246].max(axis=1).min() > 25


def test_classes_have_colours_of_their_own_and_background_is_grey() -> None:
    names = ["background", *(f"class {index}" for index in range(1, 40))]
    colors = class_colors("multiclass", names)
    assert len(set(colors)) == 40
    assert len(set(colors[0])) <= 2
    assert len(set(class_colors("multilabel", names))) == 40
    own = class_colors("multiclass", ["sky", "road"], [[1, 2, 3, 1], [9, 9, 9, 1]])
    assert own[1] == (1, 2, 3)
