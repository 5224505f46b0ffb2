"""Settings: overrides, errors that name the key, and YAML that comes back as it went."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from delineo.config import Config, Duration, parse_duration, spell_duration
from delineo.errors import ConfigError
from delineo.yamlfile import dump_yaml, parse_yaml


class UNet(Config):
    name: Literal["unet"] = "unet"
    depth: int = Field(default=4, ge=1, le=6)
    width: int = 64


class Lite(Config):
    name: Literal["lite"] = "lite"
    pretrained: bool = True


class Adam(Config):
    name: Literal["adam", "adamw"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)


class Sgd(Config):
    name: Literal["sgd"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9


class Schedule(Config):
    name: Literal["constant", "cosine"] = "cosine"
    warmup: float = 0.1


class Data(Config):
    image_size: tuple[int, int] | None = None
    path: Path | None = None
    values: dict[str, int] | None = None
    workers: int | Literal["auto"] = "auto"


class Settings(Config):
    data: Data = Data()
    model: Annotated[UNet | Lite, Field(discriminator="name")] = Lite()
    optimizer: Annotated[Adam | Sgd, Field(discriminator="name")] = Adam()
    schedule: Schedule = Schedule()
    epochs: int = Field(default=30, ge=1)
    budget: Annotated[Duration, Field(gt=0)] | None = None


def settings(*overrides: str, **values: object) -> Settings:
    return Settings.parse(values, overrides=overrides)


def complaint(*overrides: str, **values: object) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(*overrides, **values)
    return str(caught.value).removeprefix("settings: ")


def test_overrides_are_yaml_values_at_dotted_keys():
    found = settings(
        "data.image_size=[256,128]", "optimizer.lr=1e-4", "data.path=some/folder", "budget=1h30m"
    )
    assert found.data.image_size == (256, 128)
    assert found.optimizer.lr == 1e-4
    assert found.data.path == Path("some/folder")
    assert found.budget == 5400


def test_the_last_of_two_equal_keys_wins():
    assert settings("epochs=3", "epochs=4", epochs=2).epochs == 4


def test_a_mapping_replaces_its_section():
    assert settings("model={name: unet, depth: 2}", model={"pretrained": False}).model == UNet(
        depth=2
    )


def test_a_section_without_a_name_is_the_default_choice():
    assert settings("optimizer.lr=1").optimizer == Adam(lr=1)
    assert settings(optimizer={"lr": 1}).optimizer == Adam(lr=1)


@pytest.mark.parametrize("order", [1, -1])
def test_choosing_another_name_starts_the_section_afresh(order: int):
    overrides = ["optimizer.momentum=0.5", "optimizer.name=sgd"][::order]
    found = settings(*overrides, optimizer={"name": "adam", "lr": 3})
    assert found.optimizer == Sgd(momentum=0.5)


def test_choosing_the_same_name_keeps_the_section():
    assert settings("optimizer.name=adamw", optimizer={"lr": 3}).optimizer == Adam(lr=3)
    cosine = settings("schedule.name=cosine", schedule={"warmup": 0.3}).schedule
    assert cosine == Schedule(warmup=0.3)
    constant = settings("schedule.name=constant", schedule={"warmup": 0.3}).schedule
    assert constant == Schedule(name="constant")


def test_override_of_a_whole_config():
    base = settings(epochs=3, model={"name": "unet", "width": 8})
    assert base.override(["model.depth=2"]) == settings(
        epochs=3, model={"name": "unet", "width": 8, "depth": 2}
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr=1", "lr: no such setting; did you mean optimizer.lr?"),
        ("epoch=1", "epoch: no such setting; did you mean epochs?"),
        ("data.lr=1", "data.lr: no such setting; did you mean optimizer.lr?"),
        ("optimzer.lr=1", "optimzer: no such setting; did you mean optimizer?"),
        ("data.imagesize=1", "data.imagesize: no such setting; did you mean data.image_size?"),
        ("model.pretraind=1", "model.pretraind: no such setting; did you mean model.pretrained?"),
        ("model.detph=3", "did you mean model.depth (of model.name=unet)?"),
        ("model.depth=3", "model.depth: no such setting; it belongs to model.name=unet"),
        ("qqq=3", "there are data, model, optimizer, schedule, epochs, budget"),
        ("epochs=0", "epochs: must be greater than or equal to 1, got 0"),
        ("epochs=many", "epochs: must be an integer, got 'many'"),
        ("epochs=", "epochs: must be an integer, got nothing"),
        ("epochs.x=1", "epochs: must be an integer, got {'x': 1}"),
        ("optimizer.lr=.inf", "optimizer.lr: must be a finite number, got inf"),
        ("data.workers=few", "data.workers: must be an integer or 'auto', got 'few'"),
        ("data.image_size=[1,b]", "data.image_size[1]: must be an integer, got 'b'"),
        ("data.image_size=[1,2,3]", "data.image_size: must have at most 2 items, got [1, 2, 3]"),
        ("data.image_size=3", "data.image_size: must be a list, got 3"),
        ("data.values={a: b}", "data.values.a: must be an integer, got 'b'"),
        ("model.name=unett", "model.name: must be one of unet, lite, got 'unett'; did you mean"),
        ("optimizer.name=adan", "must be one of adam, adamw, sgd, got 'adan'; did you mean adam?"),
        ("learning_rate=1", "learning_rate: no such setting; did you mean optimizer.lr?"),
        ("image_size=8", "image_size: no such setting; did you mean data.image_size?"),
        ("data.name=8", "data.name: no such setting; there are data.image_size, data.path, "),
        ("model=unet", "model: is a section, got 'unet'; write model.name=unet"),
        ("data=workers", "data: is a section, got 'workers'; write data.workers=1"),
        ("data=3", "data: is a section, got 3; write data.KEY=VALUE"),
        ("budget=5x", "budget: must be a time such as 5m, 90s or 1h30m, got '5x'"),
        ("budget=-1", "budget: must be greater than or equal to 0, got -1"),
    ],
)
def test_a_wrong_setting_is_named(override: str, message: str):
    assert message in complaint(override)


@pytest.mark.parametrize("override", ["epochs", "=3", "data..path=3", ".=1"])
def test_what_is_no_setting_is_refused(override: str):
    assert complaint(override).startswith("settings are written key=value, such as epochs=30, got")


def test_broken_yaml_in_an_override_shows_the_override():
    assert complaint("data.path=[a").startswith("data.path=[a: line 1, column 3: ")


def test_every_mistake_of_one_load_is_in_one_message():
    message = complaint("epochs=0", "lr=3", model={"name": "unet", "depth": 9})
    assert message.splitlines() == [
        "3 settings are wrong",
        "  model.depth: must be less than or equal to 6, got 9",
        "  epochs: must be greater than or equal to 1, got 0",
        "  lr: no such setting; did you mean optimizer.lr?",
    ]


def test_save_and_load(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    saved = settings(
        "data.image_size=[96,128]", "budget=90s", "optimizer.lr=1e-5", "model.name=unet"
    )
    saved.save(path)
    assert Settings.load(path) == saved
    assert "image_size: [96, 128]\n" in path.read_text()
    assert "budget: 1m30s\n" in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs: 3\nmodel: [", "recipe.yaml: line 2, column 9: "),
        (b"epochs: 3\nepochs: 4", "recipe.yaml: line 2, column 1: epochs stands twice"),
        (b"- epochs", "recipe.yaml must hold `key: value` lines, got list"),
        (b"a: !!python/name:os.system", "recipe.yaml: line 1, column 4: "),
        (b"\xff\xfe\x00", "recipe.yaml cannot be read as text"),
        (b"epochs: -1", "recipe.yaml: epochs: must be"),
    ],
)
def test_a_broken_file_is_named_with_the_line(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"recipe\.yaml") as caught:
        Settings.load(path)
    assert message in str(caught.value)


def test_a_missing_file_and_an_empty_one(tmp_path: Path):
    with pytest.raises(ConfigError, match="does not exist"):
        Settings.load(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").touch()
    assert Settings.load(tmp_path / "empty.yaml") == Settings()


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.dictionaries(st.text(), plain | st.lists(plain) | st.dictionaries(st.text(), plain)))
def test_yaml_gives_back_what_was_written(values: dict[str, object]):
    again = parse_yaml(dump_yaml(values)) or {}
    assert again == values
    assert repr(again) == repr(values)


def test_yaml_words_are_words():
    assert parse_yaml("[no, on, 1e-4, 12:30, 010, 2024-01-01]") == [
        "no", "on", 1e-4, "12:30", 10, "2024-01-01",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("2h 5s", 7205), ("45", 45)],
)
def test_durations(text: str, seconds: float):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5 days", "1m2h", "1..5s", "-5m"])
def test_what_is_no_duration(text: str):
    with pytest.raises(ValueError, match="must be a time such as 5m"):
        parse_duration(text)


@given(st.floats(min_value=0, max_value=1e9))
def test_a_duration_comes_back_exactly(seconds: float):
    assert parse_duration(spell_duration(seconds)) == seconds
