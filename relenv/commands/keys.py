"""The keys of [tool.relenv] as options of the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from relenv.bundle.keys import FLAG, KEYS
from relenv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORT = {"output": "-o"}


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Declare an option for each key."""
    group = parser.add_argument_group("keys of [tool.relenv]", "each wins over the key of its name in pyproject.toml")
    for name, key in KEYS.items():
        options = [SHORT[name]] if name in SHORT else []
        options.append(f"--{key.option or name}")
        again = "; may be repeated" if key.shape.many else ""
        dest, text = _dest(name), f"{key.summary}{again}".replace("%", "%%")
        if key.shape is FLAG:
            group.add_argument(*options, dest=dest, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            action = "append" if key.shape.many else "store"
            group.add_argument(*options, dest=dest, action=action, metavar=key.metavar, default=None, help=text)


def overrides(args: argparse.Namespace) -> Mapping[str, Any]:
    """Return the keys that were given as options.

    Raises:
        UsageError: one cannot be read.
    """
    found = {name: getattr(args, _dest(name)) for name in KEYS}
    return {name: _read(name, value) for name, value in found.items() if value is not None}


def _dest(name: str) -> str:
    return f"key_{name.replace('-', '_')}"


def _read(name: str, value: Any) -> Any:
    try:
        return KEYS[name].shape.read(value)
    except ValueError as error:
        raise UsageError(f"--{KEYS[name].option or name}: {error}") from error
