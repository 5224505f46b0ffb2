"""Which images are meant: files, folders, patterns and lists become one list of images."""

import glob
import os
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from .data.images import IMAGE_SUFFIXES
from .errors import ConfigError


class Source(NamedTuple):
    """One image, and where it lies in the folder that was asked for."""

    path: Path
    name: Path
    """Path within that folder, the file's own name at its end."""


def find_images(arguments: Iterable[Path | str], out: Path) -> list[Source]:
    """The images that are meant, in the order of the arguments, each folder and pattern sorted.

    A text may be a pattern (`photos/**/*.jpg`) or a list (`@list.txt`, a path per line, relative to
    the list's folder); a Path means itself. What lies in `out` below a folder is no image, and what
    is meant several times is one, where it was meant first.
    Raises ConfigError where an argument means nothing; single paths of a list may be missing.
    """
    arguments = list(arguments)
    found = _once(source for argument in arguments for source in _expand(argument, out))
    if not found:
        wanted = ", ".join(map(str, arguments))
        raise ConfigError(f"no images in {wanted}; give images or their folder")
    return found


def _once(sources: Iterable[Source]) -> list[Source]:
    """Each file once; links to it have a name of their own."""
    first: dict[str, Source] = {}
    for source in sources:
        first.setdefault(os.path.normpath(source.path.absolute()), source)
    return list(first.values())


def _expand(argument: Path | str, out: Path) -> Iterator[Source]:
    path = Path(argument)
    if isinstance(argument, str) and argument.startswith("@"):
        yield from _listed(Path(argument[1:]), out)
    elif path.is_dir():
        yield from _images(_files_below(path), path, out)
    elif path.exists():
        yield Source(path, Path(path.name))
    elif isinstance(argument, str) and _is_pattern(argument):
        yield from _matching(argument, out)
    else:
        raise ConfigError(
            f"{path} does not exist; give image files, folders of images, patterns in quotes, or "
            "@FILE with a path per line"
        )


def _files_below(folder: Path) -> Iterator[Path]:
    """But for hidden folders. Links to folders are followed, to each of them once."""
    seen: set[str] = set()
    for name, below, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(name)
        below[:] = [] if real in seen else sorted(each for each in below if each[0] != ".")
        yield from () if real in seen else (Path(name, file) for file in files)
        seen.add(real)


def _images(paths: Iterable[Path], folder: Path, out: Path) -> list[Source]:
    """Those that are images, sorted."""
    written = out.resolve()
    below = folder.resolve() in written.parents
    return [
        Source(path, path.relative_to(folder))
        for path in sorted(paths)
        if _is_image(path) and not (below and written in path.resolve().parents)
    ]


def _is_image(path: Path) -> bool:
    # files that begin with a dot are what file managers leave behind
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _is_pattern(text: str) -> bool:
    return any(letter in "*?[" for letter in text)


def _matching(pattern: str, out: Path) -> list[Source]:
    """The images that a pattern matches, named from its last folder without a wildcard on."""
    fixed = takewhile(lambda part: not _is_pattern(part), Path(pattern).parts)
    # unlike Path.glob: ** at the end stands for files too, and hidden folders are left out
    paths = map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207
    found = _images((path for path in paths if path.is_file()), Path(*fixed), out)
    if not found:
        raise ConfigError(f"no image matches {pattern}; ** stands for any number of folders")
    return found


def _listed(file: Path, out: Path) -> Iterator[Source]:
    """The images, and all in the folders, that a list names."""
    entries = [_entry(file.parent, line) for line in _lines(file)]
    if entries and not any(entry.exists() for entry in entries):
        raise ConfigError(
            f"none of the {len(entries)} paths in {file} exists, such as {entries[0]}; they are "
            "relative to the folder of the list"
        )
    for entry in entries:
        name = _name_below(entry, file.parent)
        if entry.is_dir():
            inside = _images(_files_below(entry), entry, out)
            yield from (Source(path, name / below) for path, below in inside)
        else:
            yield Source(entry, name)


def _lines(file: Path) -> list[str]:
    """What is not blank. Raises ConfigError where `file` is no text."""
    try:
        text = file.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"@{file}: there is no such list; @ takes a text file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"@{file} is no text in UTF-8; @ takes one path per line") from None
    return [line.strip() for line in text.split("\n") if line.strip()]


def _entry(folder: Path, line: str) -> Path:
    """Lists that Windows wrote have backslashes between folders."""
    entry = folder / line
    return entry if entry.exists() else folder / line.replace("\\", "/")


def _name_below(entry: Path, folder: Path) -> Path:
    """Its path in the folder of the list; of what lies elsewhere, the last part."""
    if entry.is_relative_to(folder) and ".." not in entry.relative_to(folder).parts:
        return entry.relative_to(folder)
    return Path(entry.name)
