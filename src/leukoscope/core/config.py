"""Closed configuration: frozen, typed, and an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from leukoscope.errors import ConfigError


class Config(BaseModel):
    """Base of every configuration: immutable, no unknown keys, no silent conversion of text to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


C = TypeVar("C", bound=Config)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like ``word``, or an empty string when none is close.

    >>> nearest("epoch", ["epochs", "seed"])
    'epochs'
    """
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)), "")


def parse(kind: type[C], data: Mapping[str, Any], *, where: str) -> C:
    """Build ``kind`` from a mapping.

    Args:
        kind: the configuration class.
        data: its values, nested mappings for nested configurations.
        where: the file or option the values come from, for the message.

    Raises:
        ConfigError: on an unknown key, a missing one or a value of the wrong type; only the first is named.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        key = ".".join(path)
        if first["type"] == "extra_forbidden":
            known = _known_keys(kind, path[:-1])
            guess = nearest(path[-1], known)
            hint = f"did you mean '{guess}'?" if guess else f"known keys: {', '.join(sorted(known))}"
            raise ConfigError(f"{where}: unknown key '{key}'", hint=hint) from None
        if first["type"] == "missing":
            raise ConfigError(f"{where}: '{key}' is missing", hint=f"add '{key}: ...'") from None
        message = f"{where}: '{key}' {first['msg'].lower()}. Received: {first['input']!r}"
        raise ConfigError(message, hint=f"correct the value of '{key}'") from None


def _known_keys(kind: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = kind.model_fields.get(part)
        if field is None:
            return []
        options = [field.annotation, *get_args(field.annotation)]
        nested = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        if not nested:
            return []
        kind = nested[0]
    return list(kind.model_fields)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: if the file is no YAML or holds no mapping.
    """
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path}: cannot be read as YAML: {reason}", hint="check the file") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values, found {type(data).__name__}")
    return data


def write_yaml(data: Mapping[str, Any]) -> str:
    """``data`` as YAML text, keys in their order."""
    import yaml

    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True)


def override(data: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """A copy of nested ``data`` with ``key.sub=value`` settings applied; values are read as YAML.

    Raises:
        ConfigError: for a setting without ``=`` or one that descends into a plain value.

    >>> override({"train": {"epochs": 5}}, ["train.epochs=8", "seed=1"])
    {'train': {'epochs': 8}, 'seed': 1}
    """
    import yaml

    result = _copied(data)
    for setting in settings:
        key, found, text = setting.partition("=")
        if not found or not key.strip():
            raise ConfigError(
                f"--set {setting}: expected KEY=VALUE", hint="for example --set training.epochs=5"
            )
        *path, last = key.strip().split(".")
        target = result
        for part in path:
            inner = target.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"--set {setting}: '{part}' is a value, not a group of settings")
            target = inner
        target[last] = yaml.safe_load(text)
    return result


def _copied(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in data.items()}
