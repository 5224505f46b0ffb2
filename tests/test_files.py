"""Files are whole or not there."""

import os
from pathlib import Path

import pytest

from delineo.files import write_atomically


def test_replaces_text_and_bytes(tmp_path: Path):
    path = tmp_path / "a.json"
    write_atomically(path, "é")
    assert path.read_text(encoding="utf-8") == "é"
    write_atomically(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_is_missing_is_named_and_not_the_temporary_file(tmp_path: Path):
    path = tmp_path / "nowhere" / "a.json"
    with pytest.raises(OSError, match="No such file") as raised:
        write_atomically(path, "new")
    assert raised.value.filename == str(path)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("delineo.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_of_files_from_before_unicode_are_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"M\xfcller.jpg")
    write_atomically(tmp_path / "table.csv", f"{name},1\n")
    assert (tmp_path / "table.csv").read_bytes() == b"M\xfcller.jpg,1\n"
