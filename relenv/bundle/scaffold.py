"""What `relenv init` writes, as texts: a commented [tool.relenv] in a pyproject.toml, or a small project."""

from __future__ import annotations

import keyword
import re
import sys
import tomllib
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tomlkit
from packaging.utils import canonicalize_name
from tomlkit.exceptions import TOMLKitError

from relenv.bundle.keys import KEYS, OWN, TARGET
from relenv.errors import ConfigError, UsageError
from relenv.texts import template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relenv.bundle.keys import Key

HEADER = f"""\
[tool.relenv]
# How `relenv bundle` makes a bundle of this project. Nothing has to be set: what is here are examples.
# Take away the # in front of a key to set it, and of its table's name if it is in one.
# Keys in [tool.relenv.{TARGET}.<triplet>], such as x86_64-linux-gnu, win on that kind of machine.
"""
NAME = re.compile(r"[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")
"""Of a project (https://packaging.python.org/en/latest/specifications/name-normalization/)."""
LONGEST = 100
"""Characters: of a file named after it there may be more."""
TAKEN_MODULES = sys.stdlib_module_names | {"pip", "relenv_pip", "setuptools", "test"}
"""Modules that are found before the project's own, or that it is built with."""


def section() -> str:
    """Return a [tool.relenv] in which every key is a comment: what it does, and an example."""
    tables = {name: key for name, key in KEYS.items() if key.shape.keys}
    lines = [*_keys({name: key for name, key in KEYS.items() if name not in tables})]
    for name, key in tables.items():
        lines += ["", f"# {key.summary}", f"#[tool.relenv.{name}]", *_keys(key.shape.keys)]
    return HEADER + "\n".join(["", *lines, ""])


def _keys(keys: Mapping[str, Key]) -> Iterator[str]:
    for name, key in keys.items():
        yield f"# {key.summary}"
        yield f"#{name} = {key.example}"


def with_section(text: str, file: object) -> str:
    """Return a pyproject.toml with a commented [tool.relenv], and nothing else changed.

    Args:
        text: the file's content, valid TOML; CR LF at the end of all of its lines are kept.
        file: its name, for messages.

    Raises:
        ConfigError: it has a [tool.relenv], or cannot have one.
    """
    before = tomllib.loads(text)
    tools = before.get("tool", {})
    if "relenv" in tools:
        raise ConfigError(
            f"{file} has a [tool.relenv] already",
            hint="`relenv bundle` goes by it; its --help and docs/bundle.md have all keys",
        )
    newline = "\r\n" if text.count("\r\n") == text.count("\n") else "\n"
    plain = text.replace("\r\n", "\n") if newline == "\r\n" else text
    made = _inserted(plain if plain.endswith("\n") or not plain else f"{plain}\n", file)
    result = made.replace("\n", "\r\n") if newline == "\r\n" else made
    if tomllib.loads(result) != {**before, "tool": {**tools, "relenv": {}}}:
        raise ConfigError(f"{file}: there is no place for a [tool.relenv] in it", hint="write it yourself")
    return result


def _inserted(text: str, file: object) -> str:
    """Return a TOML document with the section behind the first of its [tool] tables, or at its end."""
    document = tomlkit.parse(text)
    new = tomlkit.parse(section())
    try:
        if "tool" in document:
            document["tool"]["relenv"] = new["tool"]["relenv"]
        else:
            document["tool"] = new["tool"]
    except (ValueError, TypeError, TOMLKitError) as error:  # it is inline: { ... } cannot be added to
        hint = "write `tool = { name = { ... } }` as tables, [tool.name]"
        raise ConfigError(f"{file}: a [tool.relenv] cannot be added to an inline table `tool`", hint=hint) from error
    head, own, tail = document.as_string().partition(section())
    above = "" if head.endswith("\n\n") or not head else "\n"
    below = "" if tail.startswith("\n") or not tail else "\n"
    return head + above + own + below + tail


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a new project is called."""

    project: str
    module: str
    script: str


def names_for(text: str) -> Names:
    """Return the names of a project that is called after a directory, or as its author says.

    Raises:
        UsageError: nothing in it can be part of a project's name, or the name is taken.
    """
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    project = re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_only).lower()[:LONGEST].strip("._-")
    if not project:
        raise UsageError(f"{text!r} is no name for a project", hint="give it one with --name: letters, digits and -")
    return _names(project)


def named(name: str) -> Names:
    """Return the names of a project that its author has named.

    Raises:
        UsageError: that is no valid name, or it is taken.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"--name {name!r} is no valid name of a project",
            hint="it may have letters, digits, and . _ - between them, all of ASCII",
        )
    return _names(name)


def _names(project: str) -> Names:
    if canonicalize_name(project) == "pip":
        raise UsageError(
            f"a project cannot be called {project}: every Python here has a package of that name",
            hint="give it another name with --name",
        )
    module = re.sub(r"[^a-z0-9]+", "_", project.lower())
    if module[0].isdigit():
        module = f"app_{module}"
    elif keyword.iskeyword(module) or module in TAKEN_MODULES:
        module = f"{module}_app"
    script = f"{project}-app" if _is_taken(project) else project
    return Names(project=project, module=module, script=script)


def _is_taken(script: str) -> bool:
    return re.fullmatch(rf"{OWN}|pip(3(\.\d+)?)?", script) is not None


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file of a new project."""

    path: str
    """Relative to the project."""
    text: str
    optional: bool = False
    """Whether one that is there already will do."""


def new_project(names: Names) -> tuple[NewFile, ...]:
    """Return the files of a new project; pyproject.toml, which makes it one, comes last."""
    values = {
        "NAME": names.project,
        "MODULE": names.module,
        "SCRIPT": names.script,
        # with a dot in it, a bare key would be one in another table
        "KEY": f'"{names.script}"' if "." in names.script else names.script,
        "SECTION": section().rstrip("\n"),
    }
    package = f"src/{names.module}"
    return (
        NewFile(path="README.md", text=template("project/README.md.in", values), optional=True),
        NewFile(path=".gitignore", text=template("project/gitignore.in", values), optional=True),
        NewFile(path=f"{package}/__init__.py", text=template("project/init.py.in", values)),
        NewFile(path=f"{package}/__main__.py", text=template("project/main.py.in", values)),
        NewFile(path="pyproject.toml", text=template("project/pyproject.toml.in", values)),
    )
