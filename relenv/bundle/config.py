"""[tool.relenv] and what else a bundle takes from pyproject.toml: read once, checked at the door."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from relenv.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

COMMAND_LINE = "the command line"
LEGACY = ("setup.py", "setup.cfg")
"""Files that describe a project without pyproject.toml (PEP 517 has them built with setuptools)."""
METADATA_TABLES = (("tool", "poetry"), ("tool", "flit", "metadata"))
"""Tables that stood for [project] before PEP 621 and are still built by their backends."""


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    """A project and how it is to be bundled."""

    root: Path
    """The project's directory."""
    project: str = ""
    """The project's own name, as far as its files tell without being built."""
    requires_python: SpecifierSet | None = None
    python: str = ""
    """The Python asked for: `3.13`, `3.13.15`, or empty for the default."""
    name: str = ""
    """The bundle's name; empty for the project's."""
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of [tool.relenv]."""

    what: str
    """The type in words, for messages."""
    accept: Callable[[Any], bool]


def _is_name(value: object) -> bool:
    return (
        isinstance(value, str)
        and value not in ("", ".", "..")
        and value.isprintable()
        and value == value.strip()
        and not set(value) & set("/\\")
        and len(value.encode()) <= LONGEST_NAME
    )


LONGEST_NAME = 200
"""Bytes: file systems take 255, and we add a suffix."""

KEYS: dict[str, Key] = {
    "python": Key(
        what='a version such as "3.13" or "3.13.15"',
        accept=lambda value: isinstance(value, str) and all(part.isdigit() for part in value.split(".")),
    ),
    "name": Key(what="a file name without slashes", accept=_is_name),
    "extras": Key(
        what="a list of names",
        accept=lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    ),
}
"""Every key of [tool.relenv]."""


def load_config(project: Path, overrides: Mapping[str, Any] | None = None) -> AppConfig:
    """Read and check the configuration of the project in a directory.

    Args:
        project: the directory.
        overrides: values that win over those of [tool.relenv], by the same names.

    Raises:
        ConfigError: there is no project, the file is no TOML, or a key is unknown or of the wrong type.
    """
    if not project.is_dir():
        raise ConfigError(f"{project} is not a directory", hint="name the directory that holds pyproject.toml")
    file = project / "pyproject.toml"
    legacy = any((project / name).is_file() for name in LEGACY)
    if not file.is_file():
        if legacy:
            return _configured(project, {}, _checked(overrides or {}, COMMAND_LINE), file)
        raise ConfigError(
            f"there is no pyproject.toml in {project}",
            hint="run relenv in a project's directory, or name it: relenv bundle PATH",
        )
    data = _parse(file)
    metadata = data.get("project")
    if metadata is None and not legacy and not any(_table(data, *path) for path in METADATA_TABLES):
        raise ConfigError(
            f"{file} has no [project] table",
            hint='a project needs at least a name and a version there: name = "example", version = "1.0"',
        )
    settings = {**_settings(data, file), **_checked(overrides or {}, COMMAND_LINE)}
    return _configured(project, data, settings, file)


def _configured(project: Path, data: Mapping[str, Any], settings: Mapping[str, Any], file: Path) -> AppConfig:
    metadata = _table(data, "project")
    name = metadata.get("name")
    if "project" in data and not (isinstance(name, str) and name):
        raise ConfigError(f"{file}: project.name is missing or no text", hint='name = "example" in [project]')
    return AppConfig(
        root=project,
        project=str(metadata.get("name", "")) or str(_table(data, "tool", "poetry").get("name", "")),
        requires_python=_requires_python(metadata, file),
        python=settings.get("python", ""),
        name=settings.get("name", ""),
        extras=_extras(settings, metadata, file),
    )


def _parse(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        if text.startswith("\ufeff"):
            # pip and the build backends refuse it too, and say less
            raise ConfigError(
                f"{file} is not valid TOML: it begins with a byte order mark", hint="save it as UTF-8 without one"
            )
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: it is not UTF-8 (byte {error.start})") from error


def _table(data: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for name in path:
        found = data.get(name, {})
        data = found if isinstance(found, dict) else {}
    return data


def _settings(data: Mapping[str, Any], file: Path) -> Mapping[str, Any]:
    tools = data.get("tool", {})
    settings = tools.get("relenv", {}) if isinstance(tools, dict) else tools
    if not isinstance(settings, dict):
        raise ConfigError(f"{file}: tool.relenv must be a table, [tool.relenv]")
    return _checked(settings, f"{file}: tool.relenv")


def _checked(settings: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    for name, value in settings.items():
        if name not in KEYS:
            close = difflib.get_close_matches(name, KEYS, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(sorted(KEYS))}"
            raise ConfigError(f"{where} has an unknown key `{name}`", hint=hint)
        if not KEYS[name].accept(value):
            kind = UsageError if where == COMMAND_LINE else ConfigError
            raise kind(f"{where}: `{name}` must be {KEYS[name].what}, not {value!r}")
    return settings


def _requires_python(metadata: Mapping[str, Any], file: Path) -> SpecifierSet | None:
    text = metadata.get("requires-python")
    if text is None:
        return None
    try:
        return SpecifierSet(text)
    except (InvalidSpecifier, TypeError, AttributeError) as error:
        raise ConfigError(f"{file}: project.requires-python is not a version range: {text!r}") from error


def _extras(settings: Mapping[str, Any], metadata: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    extras = tuple(settings.get("extras", ()))
    known = metadata.get("optional-dependencies")
    dynamic = metadata.get("dynamic")
    if not isinstance(known, dict) or (isinstance(dynamic, list) and "optional-dependencies" in dynamic):
        return extras  # the wheel will tell
    names = {canonicalize_name(name) for name in known}
    for extra in extras:
        if canonicalize_name(extra) not in names:
            close = difflib.get_close_matches(extra, known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"it has: {', '.join(sorted(known)) or 'none'}"
            raise ConfigError(f"{file}: tool.relenv.extras names `{extra}`, which the project lacks", hint=hint)
    return extras
