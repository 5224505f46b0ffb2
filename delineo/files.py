"""Files that are whole or not there: what is written replaces the old file in one step."""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) so that a crash leaves either the old file or the new one.

    The folder of `path` must exist. Names of files that are no UTF-8 are written byte by byte.
    """
    with open_atomically(path) as file:
        file.write(data.encode(errors="surrogateescape") if isinstance(data, str) else data)


@contextmanager
def open_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to piece by piece, which is at `path` once the block ends without error."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # the name that people know
        raise


def disk_is_full(error: BaseException | None) -> bool:
    """Whether that is what the system says: no room is left, or a quota is used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def sha256_of(path: Path) -> str | None:
    """Of the file's contents, in hexadecimal; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
