"""The keys of [tool.relenv] as options of the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from relenv.bundle.keys import FLAG, KEYS, Key, option_of
from relenv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHORT = {"output": "-o"}


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Declare an option for each key."""
    group = parser.add_argument_group("keys of [tool.relenv]", "each wins over the key of its name in pyproject.toml")
    for path, key in _keys(KEYS):
        options = [SHORT[path[-1]]] if path[-1] in SHORT else []
        options.append(option_of(path, key))
        again = "; may be repeated" if key.shape.many else ""
        dest, text = _dest(path), f"{key.summary}{again}".replace("%", "%%")
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
    found: dict[str, Any] = {}
    for path, key in _keys(KEYS):
        value = getattr(args, _dest(path))
        if value is not None:
            table = found
            for name in path[:-1]:
                table = table.setdefault(name, {})
            table[path[-1]] = _read(path, key, value)
    return found


def flags() -> frozenset[str]:
    """Return the options that take no value, without their dashes."""
    return frozenset(option_of(path, key).removeprefix("--") for path, key in _keys(KEYS) if key.shape is FLAG)


def _keys(keys: Mapping[str, Key], *above: str) -> Iterator[tuple[tuple[str, ...], Key]]:
    """Yield each key that is an option, and its path: those of a table that has keys of its own, one by one."""
    for name, key in keys.items():
        if key.shape.keys:
            yield from _keys(key.shape.keys, *above, name)
        else:
            yield (*above, name), key


def _dest(path: tuple[str, ...]) -> str:
    return "key_" + "_".join(path).replace("-", "_")


def _read(path: tuple[str, ...], key: Key, value: Any) -> Any:
    try:
        return key.shape.read(value)
    except ValueError as error:
        raise UsageError(f"{option_of(path, key)}: {error}") from error
