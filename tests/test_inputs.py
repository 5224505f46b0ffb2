"""Which images are meant by what stands on a command line."""

from pathlib import Path

import pytest

from delineo.errors import ConfigError
from delineo.inputs import find_images

FILES = ("a.png", "b.JPG", "day/a.png", "day/night/c.tif", "notes.txt", ".hidden.png")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def found(*arguments: Path | str, out: str = "out") -> dict[str, str]:
    """Path -> name."""
    return {s.path.as_posix(): s.name.as_posix() for s in find_images(arguments, Path(out))}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*.png", {"photos/a.png": "a.png"}),
        ("photos/**/*.png", {"photos/a.png": "a.png", "photos/day/a.png": "day/a.png"}),
        ("photos/*/a.*", {"photos/day/a.png": "day/a.png"}),
        ("photos/day/**", {"photos/day/a.png": "a.png", "photos/day/night/c.tif": "night/c.tif"}),
        ("photos/[ab].*", {"photos/a.png": "a.png", "photos/b.JPG": "b.JPG"}),
    ],
)
@pytest.mark.usefixtures("photos")
def test_a_pattern_is_what_a_shell_makes_of_it(pattern: str, expected: dict[str, str]) -> None:
    assert found(pattern) == expected


def test_a_file_that_looks_like_a_pattern_is_itself(photos: Path) -> None:
    (photos / "[ab].png").touch()
    assert found("photos/[ab].png") == {"photos/[ab].png": "[ab].png"}
    with pytest.raises(ConfigError, match=r"a\*\.png does not exist"):
        found(photos / "a*.png")


def test_a_list_is_relative_to_its_folder(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.png"
    other.touch()
    text = f"\ufeffday/a.png\r\n\r\n  b.JPG \n{other}\n../photos/a.png\ngone.png\nday/night\n"
    (photos / "some.txt").write_bytes(text.encode())
    assert found("@photos/some.txt") == {
        "photos/day/a.png": "day/a.png",
        "photos/b.JPG": "b.JPG",
        other.as_posix(): "elsewhere.png",
        "photos/../photos/a.png": "a.png",
        "photos/gone.png": "gone.png",  # named when it is read
        "photos/day/night/c.tif": "day/night/c.tif",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such list"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"x.png\ny.png\n", "none of the 2 paths in photos/list.txt exists, such as photos/x.png"),
        (b"\n\n", "no images in @photos/list.txt"),
    ],
)
def test_a_list_that_says_nothing(photos: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (photos / "list.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        found("@photos/list.txt")


@pytest.mark.usefixtures("photos")
def test_what_matches_nothing_is_said() -> None:
    with pytest.raises(ConfigError, match="no image matches photos/"):
        found("photos/*.gif")
    with pytest.raises(ConfigError, match=r"a\.gif does not exist; give image files"):
        found("photos/a.gif")


def test_what_was_written_into_a_folder_of_images_is_no_image(photos: Path) -> None:
    (photos / "masks").mkdir()
    (photos / "masks" / "a.png").touch()
    assert "photos/masks/a.png" not in found("photos", out="photos/masks")
    assert "photos/masks/a.png" not in found("photos/**", out="photos/masks")
    assert "photos/masks/a.png" in found("photos")
    assert "photos/masks/a.png" in found("photos/masks", out="photos/masks")


@pytest.mark.usefixtures("photos")
def test_ten_thousand_lines(tmp_path: Path) -> None:
    lines = ["photos/a.png", *(f"photos/{index}.png" for index in range(9_999))]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert len(find_images(["@list.txt"], Path("out"))) == 10_000


def test_what_is_named_twice_is_one_image(photos: Path) -> None:
    (photos / "list.txt").write_text("a.png\n../photos/day/a.png\na.png\n")
    (photos / "link.png").symlink_to("a.png")
    sources = find_images(["photos/day/a.png", "@photos/list.txt", photos / "a.png"], Path("out"))
    assert [s.path.as_posix() for s in sources] == ["photos/day/a.png", "photos/a.png"]
    assert [s.name.as_posix() for s in sources] == ["a.png", "a.png"]
    assert len(find_images(["photos/link.png", "photos/a.png"], Path("out"))) == 2


def test_links_to_folders_are_followed_and_hidden_folders_are_not(photos: Path) -> None:
    disk, thumbnails = photos.parent / "disk", photos / ".thumbnails"
    for folder in (disk, thumbnails):
        folder.mkdir()
        (folder / "d.png").touch()
    (photos / "linked").symlink_to(disk)
    (photos / "day" / "loop").symlink_to(photos)
    images = {"a.png", "b.JPG", "day/a.png", "day/night/c.tif", "linked/d.png"}
    assert set(found("photos").values()) == images
    (photos.parent / "list.txt").write_text("photos\n")
    assert set(found("@list.txt").values()) == {f"photos/{name}" for name in images}


@pytest.mark.usefixtures("photos")
def test_lists_that_windows_wrote(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"photos\\day\\a.png\r\nphotos\\day\\night\r\n")
    paths = ["photos/day/a.png", "photos/day/night/c.tif"]
    assert found("@list.txt") == {path: path for path in paths}
    (tmp_path / "photos\\day\\a.png").touch()
    assert next(iter(found("@list.txt"))) == "photos\\day\\a.png"
