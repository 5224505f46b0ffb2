"""The base of every settings section: load, override, save, clear errors."""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen settings section. Unknown keys are refused; attribute docstrings are the help."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )

    @classmethod
    def load(cls, path: Path, overrides: list[str] | None = None) -> Self:
        """Read YAML, apply `key=value` overrides (dotted keys, YAML values)."""
        raise NotImplementedError

    @classmethod
    def parse(cls, values: dict[str, Any], source: str = "settings") -> Self:
        """Validate plain values. Raises ConfigError that names the key and the nearest valid one."""
        raise NotImplementedError

    def to_yaml(self) -> str:
        """All values, defaults included, in declaration order."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
