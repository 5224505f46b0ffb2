"""Writes docs/settings.md from the settings themselves: python docs/write_settings.py"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from delineo import Recipe
from delineo.explain import choices

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

Every setting there is, written by `docs/write_settings.py` from the code. On the command line they
are `section.key=value` (`optimizer.lr=1e-4`), in a recipe they stand below each other:

```yaml
# recipe.yaml
data:
  path: photos
model:
  name: unet
  width: 16
optimizer:
  lr: 1e-4
epochs: 30
```

`null` means that nobody has decided yet; what happens then is said in the last column. Sizes are
height before width. Changing `model.name` starts that section from the defaults of the new model.
"""


def page() -> str:
    """The whole page as Markdown."""
    sections = {key: field for key, field in Recipe.model_fields.items() if choices(field)}
    plain = [key for key in Recipe.model_fields if key not in sections]
    blocks = [HEAD, _block("recipe", Recipe, plain, "")]
    for key, field in sections.items():
        for name, section in choices(field).items():
            title = f"{key}, with `name: {name}`" if field.discriminator else key
            blocks.append(_block(title, section, list(section.model_fields), f"{key}."))
    return "\n".join(blocks)


def _block(title: str, section: type[BaseModel], keys: list[str], prefix: str) -> str:
    given = section.model_json_schema()["properties"]
    saved = section.model_json_schema(mode="serialization")["properties"]
    defaults = section().model_dump(mode="json")
    rows = [
        f"| `{prefix}{key}` | {_takes(given[key], saved[key])} | `{_shown(defaults[key])}` "
        f"| {_meaning(given[key])} |"
        for key in keys
    ]
    head = ["| setting | takes | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {title}", "", *head, *rows, ""])


def _shown(value: Any) -> str:
    """The default as YAML writes it on one line."""
    return value if isinstance(value, str) else json.dumps(value)


def _meaning(schema: dict[str, Any]) -> str:
    text = " ".join(schema.get("description", "").split())
    return text.replace("|", "\\|").replace("None:", "`null`:")


def _takes(given: dict[str, Any], saved: dict[str, Any]) -> str:
    """What may stand there, in words."""
    kinds, saved_kinds = given.get("anyOf", [given]), saved.get("anyOf", [saved])
    pairs = zip(kinds, saved_kinds, strict=True)
    words = [_kind(kind, other) for kind, other in pairs if kind.get("type") != "null"]
    return " or ".join(words)


def _kind(given: dict[str, Any], saved: dict[str, Any]) -> str:
    options = given.get("enum", [given["const"]] if "const" in given else [])
    if options:
        return ", ".join(f"`{option}`" for option in options)
    match given.get("type"):
        case "array":
            return _list(given)
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "a path" if given.get("format") == "path" else "text"
        case "number" if saved.get("type") == "string":
            return "a time such as `5m`"
    return ("whole number" if given["type"] == "integer" else "number") + _range(given)


def _list(given: dict[str, Any]) -> str:
    items = given.get("prefixItems") or [given["items"]]
    count = f" of {len(items)}" if "prefixItems" in given else ""
    return f"list{count}: {_kind(items[0], items[0])}"


def _range(given: dict[str, Any]) -> str:
    low, high = given.get("minimum"), given.get("maximum")
    above, below = given.get("exclusiveMinimum"), given.get("exclusiveMaximum")
    bounds = f" above {above:g}" if above is not None else ""
    bounds += f" from {low:g}" if low is not None else ""
    bounds += f" to {high:g}" if high is not None else ""
    return bounds + (f", below {below:g}" if below is not None else "")


if __name__ == "__main__":
    PAGE.write_text(page())
