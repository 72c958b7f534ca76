"""What pip's configuration files say (https://pip.pypa.io/en/stable/topics/configuration/), as variables."""

from __future__ import annotations

import os
from configparser import Error, RawConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTIONS = ("global", "install")
"""What `pip install` reads of a configuration file, what counts more last."""
MACHINE = Path("/etc/pip.conf")


def own_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return a user's own configuration files, what counts more last, whether they are there or not.

    Where PIP_CONFIG_FILE names one that is there, pip reads no other of them; the machine's it reads in any case.
    """
    named = environ.get("PIP_CONFIG_FILE")
    if named and Path(named).exists():
        return (Path(named),)
    home = Path(environ.get("HOME") or Path.home())
    return home / ".pip/pip.conf", Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"


def machine_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the machine's, what counts more last, whether they are there or not."""
    folders = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    return (*(Path(folder) / "pip/pip.conf" for folder in folders), MACHINE)


def variables(environ: Mapping[str, str]) -> dict[str, str] | None:
    """Return what configuration files say; None if one of them is none.

    With the null device for PIP_CONFIG_FILE pip reads no file at all.
    """
    parser = RawConfigParser()
    none = environ.get("PIP_CONFIG_FILE") == os.devnull
    try:
        parser.read([] if none else [*machine_files(environ), *own_files(environ)], encoding="utf-8")
    except (OSError, ValueError, Error):
        return None
    return {
        f"PIP_{name.removeprefix('--').upper().replace('-', '_')}": value
        for section in SECTIONS
        if parser.has_section(section)
        for name, value in parser.items(section)
        if value
    }
