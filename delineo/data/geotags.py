"""Where an image lies on the map: what the tags of a GeoTIFF say."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

_USER_DEFINED = 32767  # in place of an EPSG code
_PIXEL_IS_POINT = 2
_ORIENTATION = 274


@dataclass(frozen=True)
class Placement:
    """From pixels, counted from the outer corner of the first one, to map coordinates."""

    across: tuple[float, float] = (1.0, 0.0)
    """What one pixel to the right adds to x and y on the map."""
    down: tuple[float, float] = (0.0, 1.0)
    """What one pixel down adds."""
    corner: tuple[float, float] = (0.0, 0.0)
    """x and y of the first pixel's outer corner."""
    crs: str | None = None
    """The coordinate system as urn:ogc:def:crs:EPSG::CODE; None where it has no code."""

    def on_map(self, points: Float[ndarray, "points 2"]) -> Float[ndarray, "points 2"]:
        return points @ np.array([self.across, self.down]) + self.corner


def read_placement(path: Path) -> Placement | None:
    """None for images that are no GeoTIFF. The file must be an image that can be read."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    import tifffile  # slow to import

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        tags: Mapping[str, Any] = page.geotiff_tags or {}
        upright = page.tags.valueof(_ORIENTATION, default=1) == 1
    return _placement(tags) if upright else None


def _placement(tags: Mapping[str, Any]) -> Placement | None:
    if "ModelTransformation" in tags:
        (a, b, _, x), (d, e, _, y) = np.array(tags["ModelTransformation"], float).reshape(4, 4)[:2]
        across, down, corner = (a, d), (b, e), (x, y)
    elif "ModelPixelScale" in tags and "ModelTiepoint" in tags:
        wide, high, *_ = tags["ModelPixelScale"]
        column, row, _, x, y, *_ = tags["ModelTiepoint"]
        across, down = (wide, 0.0), (0.0, -high)
        corner = (x - column * wide, y + row * high)
    else:
        return None
    if tags.get("GTRasterTypeGeoKey") == _PIXEL_IS_POINT:  # the place is that of a pixel's middle
        corner = tuple(at - (a + b) / 2 for at, a, b in zip(corner, across, down, strict=True))
    return Placement(_pair(across), _pair(down), _pair(corner), _crs(tags))


def _pair(values: Any) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _crs(tags: Mapping[str, Any]) -> str | None:
    code = int(tags.get("ProjectedCSTypeGeoKey", tags.get("GeographicTypeGeoKey", _USER_DEFINED)))
    return None if code in (0, _USER_DEFINED) else f"urn:ogc:def:crs:EPSG::{code}"
