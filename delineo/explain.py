"""What is wrong with settings, in words: the key, what it got, what it takes, the nearest name."""

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Values = Mapping[Any, Any]


def explain(error: ValidationError, model: type[BaseModel], values: Values) -> list[str]:
    """One line per wrong key of `values`, each of the form `key: what is wrong`."""
    found: dict[str, list[Any]] = {}
    for detail in error.errors(include_url=False):
        key = dotted(model, detail["loc"])
        name = ".name" if detail["type"] == "union_tag_invalid" else ""
        found.setdefault(key + name, []).append(detail)
    problems = {key: _problem(key, details, model, values) for key, details in found.items()}
    return [f"{key}: {problem}" if key else problem for key, problem in problems.items()]


def choices(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """The sections a key may hold, by their `name`; one that is no choice stands under ""."""
    found: dict[str, type[BaseModel]] = {}
    for kind in _members(field.annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            tags = get_args(kind.model_fields["name"].annotation) if field.discriminator else ("",)
            found |= dict.fromkeys(tags, kind)
    return found


def dotted(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Pydantic's location as people write the key: union labels out, positions in brackets."""
    key, section, field = "", model, None
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        elif section is not None:
            key += f".{part}" if key else part
            field = section.model_fields.get(part)
            options = choices(field) if field else {}
            section = options.get("")
        elif field is not None and part in choices(field):
            section = choices(field)[part]
        elif field is not None and _is_mapping(field.annotation) and part != "[key]":
            key += f".{part}"
    return key


def setting_names(
    model: type[BaseModel], values: Values, prefix: str = "", when: str = ""
) -> Iterator[tuple[str, str]]:
    """Dotted names of all sections and settings; each with the choice it needs, "" if made."""
    for key, field in model.model_fields.items():
        yield prefix + key, when
        inner = values.get(key)
        chosen = chosen_section(field, inner)
        for name, section in choices(field).items():
            made = when if section is chosen else f"{prefix}{key}.name={name}"
            below = inner if isinstance(inner, Mapping) else {}
            yield from setting_names(section, below, f"{prefix}{key}.", made)


def chosen_section(field: FieldInfo, value: Any) -> type[BaseModel] | None:
    """The section that `value` asks for at a key; None for a plain value or an unknown name."""
    options = choices(field)
    if "" in options:
        return options[""]
    named = value.get("name") if isinstance(value, Mapping) else None
    return options.get(named or default_name(field) or "")


def default_name(field: FieldInfo) -> str | None:
    """The choice that stands where a key is not given; None for what has no name."""
    default = field.get_default(call_default_factory=True, validated_data={})
    return getattr(default, "name", None) if isinstance(default, BaseModel) else None


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, through Annotated; one type is a union of one."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(kind for part in get_args(annotation) for kind in _members(part))
    if hasattr(annotation, "__metadata__"):
        return _members(get_args(annotation)[0])
    return (annotation,)


def _is_mapping(annotation: Any) -> bool:
    return any(
        isinstance(get_origin(kind) or kind, type) and issubclass(get_origin(kind) or kind, Mapping)
        for kind in _members(annotation)
    )


def _problem(key: str, details: list[Any], model: type[BaseModel], values: Values) -> str:
    """All that pydantic says of one key, as one sentence without the key."""
    first = details[0]
    match first["type"]:
        case "extra_forbidden":
            return f"no such setting{_hint(key, model, values)}"
        case "missing":
            return "must be given"
        case "union_tag_invalid":
            tags = [tag.strip("' ") for tag in first["ctx"]["expected_tags"].split(",")]
            return _not_one_of(first["ctx"]["tag"], tags)
        case "union_tag_not_found":
            return "must have a `name`"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"is a section, got {_shown(first['input'])}" + _way_into(
                key, first["input"], dict(setting_names(model, values))
            )
        case "too_long" | "too_short":
            length = first["ctx"].get("max_length", first["ctx"].get("min_length"))
            bound = "most" if first["type"] == "too_long" else "least"
            return f"must have at {bound} {length} items, got {_shown(first['input'])}"
        case "value_error":
            return str(first["ctx"]["error"])
        case "literal_error" if len(details) == 1:
            options = [option.strip("' ") for option in _literal_options(first)]
            return _not_one_of(first["input"], options)
    allowed = " or ".join(dict.fromkeys(_allowed(detail) for detail in details))
    allowed = allowed.replace("a integer", "an integer")
    return f"must be {allowed}, got {_shown(first['input'])}"


def _way_into(section: str, value: Any, names: Mapping[str, str]) -> str:
    """How to write what `loss=dice` or `model=unet` was meant to say."""
    if f"{section}.name" in names:
        return f"; write {section}.name={value}"
    if f"{section}.{value}" in names:
        return f"; write {section}.{value}=1"
    return f"; write {section}.KEY=VALUE"


def _literal_options(detail: Any) -> list[str]:
    return detail["ctx"]["expected"].replace(" or ", ", ").split(",")


def _allowed(detail: Any) -> str:
    """`Input should be a valid integer, unable to parse ...` -> `a valid integer`."""
    text = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return (
        text.split(", unable")[0]
        .split(", got a number")[0]
        .replace("valid tuple", "list")
        .replace("valid ", "")
    )


def _not_one_of(value: Any, options: list[str]) -> str:
    near = difflib.get_close_matches(str(value).lower(), options, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"must be one of {', '.join(options)}, got {_shown(value)}{hint}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _hint(key: str, model: type[BaseModel], values: Values) -> str:
    """The nearest settings there are, with the choice they need; else what the section has."""
    owners: dict[str, list[str]] = {}
    for name, when in setting_names(model, values):
        owners.setdefault(name, []).append(when)
    if key in owners:
        return f"; it belongs to {' or '.join(owners[key])}"
    needs = {name: min(whens, key=bool) for name, whens in owners.items()}
    near = _nearest(key, [name for name in needs if not needs[name]]) or _nearest(key, list(needs))
    if near:
        named = [f"{name} (of {needs[name]})" if needs[name] else name for name in near]
        return f"; did you mean {' or '.join(named)}?"
    siblings = [name for name in needs if not needs[name] and _section(name) == _section(key)]
    return f"; there are {', '.join(siblings)}" if siblings else ""


def _nearest(key: str, names: list[str]) -> list[str]:
    """A slip within the section, else the same name elsewhere, else what is less alike."""
    by_leaf: dict[str, list[str]] = {}
    for name in names:
        if _leaf(name) != "name":
            by_leaf.setdefault(_leaf(name), []).append(name)
    siblings = {_leaf(name): name for name in names if _section(name) == _section(key)}
    leaf = _leaf(key)
    initials = "".join(word[:1] for word in leaf.split("_"))
    return (
        [siblings[near] for near in difflib.get_close_matches(leaf, siblings, n=1, cutoff=0.8)]
        or by_leaf.get(leaf, [])
        or (by_leaf.get(initials, []) if len(initials) > 1 else [])
        or [siblings[near] for near in difflib.get_close_matches(leaf, siblings, n=1)]
        or [
            name
            for near in difflib.get_close_matches(leaf, by_leaf, n=1, cutoff=0.75)
            for name in by_leaf[near]
        ]
    )


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _section(key: str) -> str:
    return key.rpartition(".")[0]
