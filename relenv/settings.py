"""The user's own configuration: config.toml in their configuration directory, and the variables that win over it."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "config.toml"
KEYS = {
    "build": {"toolchain": "RELENV_TOOLCHAIN"},
    "fetch": {"from": "RELENV_FETCH_FROM", "key": "RELENV_FETCH_KEY"},
}
"""Table, key, and the variable that wins over it. Every value is a text."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user has configured; empty where nothing is."""

    build_toolchain: str = ""
    """The toolchain that Pythons are to be built with."""
    fetch_from: str = ""
    """A release location: a URL or a directory."""
    fetch_key: str = ""
    """The minisign public key with which its list of checksums must be signed."""


def load(file: Path, environ: Mapping[str, str]) -> Settings:
    """Read the configuration.

    Args:
        file: need not exist.
        environ: a variable that is set, and not empty, wins over the file.

    Raises:
        ConfigError: the file cannot be read, or has in it what is not known.
    """
    tables = _checked(_parse(file), file)
    values = {
        f"{table}_{key}": environ.get(variable) or tables.get(table, {}).get(key, "")
        for table, keys in KEYS.items()
        for key, variable in keys.items()
    }
    return Settings(**values)


def _parse(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error


def _checked(data: Mapping[str, object], file: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table, values in data.items():
        _known(table, KEYS, f"{file} has an unknown table [{table}]")
        if not isinstance(values, dict):
            raise ConfigError(f"{file}: {table} must be a table, [{table}]")
        for key, value in values.items():
            _known(key, KEYS[table], f"{file} has an unknown key `{key}` in [{table}]")
            if not isinstance(value, str):
                raise ConfigError(f"{file}: `{key}` in [{table}] must be a text, not {value!r}")
        found[table] = values
    if (place := found.get("fetch", {}).get("from")) and "://" not in place:
        # beside the file: where the user stands is another place each time
        found["fetch"] = {**found["fetch"], "from": str(file.parent / _expanded(place, file))}
    return found


def _expanded(place: str, file: Path) -> Path:
    try:
        return Path(place).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{file}: `from` in [fetch] is in the home directory of nobody known: {place}") from error


def _known(name: str, names: Mapping[str, object], message: str) -> None:
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(names)}"
        raise ConfigError(message, hint=hint)
