"""delineo models"""

import re
from dataclasses import asdict
from typing import Annotated

import typer

from ..errors import ConfigError
from .console import print_table, write_json
from .options import JsonFile

EPILOG = "Example: delineo models unet model.width=16 --size 128x128. Weights are not needed."


def models(
    network: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this one level by level.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="model.KEY=VALUE", help="Settings to change.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="HEIGHTxWIDTH", help="Of the image, in pixels. [default: 256x256]"),
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels of the image.")] = 3,
    classes: Annotated[int, typer.Option(min=1, help="Classes; 1 for binary.")] = 1,
    json_file: JsonFile = None,
) -> None:
    """List the networks, or print the layers of one: shapes, parameters, multiply-adds."""
    from .. import tables
    from ..models.catalogue import choose_network, list_networks
    from ..models.summary import layer_table

    if network:
        config = choose_network(network, settings or [])
        layers = layer_table(config, channels, classes, _parse_size(size or "256x256"))
        write_json(json_file, layers.to_json())
        print_table(tables.level_table(layers))
    elif size:
        raise ConfigError(f"--size needs a network: delineo models unet --size {size}")
    else:
        networks = list_networks(channels, classes)
        write_json(json_file, {"networks": [asdict(network) for network in networks]})
        print_table(tables.network_table(networks, channels, classes))


def _parse_size(text: str) -> tuple[int, int]:
    """`128x256` -> (128, 256)."""
    sides = re.fullmatch(r"0*([1-9]\d{0,4})x0*([1-9]\d{0,4})", text.lower())
    if not sides:
        raise ConfigError(
            "--size is height x width in pixels, each from 1 to 99999, such as 128x256, "
            f"got {text!r}"
        )
    return int(sides[1]), int(sides[2])
