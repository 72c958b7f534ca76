"""How a bundle becomes part of a machine: systemd units and desktop entries, and programs in bin/ that install them.

Both need the absolute path of the bundle, which can be moved. So what is in `share/` has a mark in its place, and
`bin/NAME-service` and `bin/NAME-desktop` fill it in where the bundle is by then: small scripts in sh, which need
neither relenv nor Python.
"""

from __future__ import annotations

import difflib
import re
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relenv.bundle.config import DesktopOptions
from relenv.bundle.desktop import Entry, entry
from relenv.bundle.service import Service, unit
from relenv.errors import ConfigError
from relenv.store import write_text
from relenv.texts import template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from relenv.bundle.config import AppConfig

APPLICATIONS, ICONS, UNITS = "applications", "icons", "systemd"
"""Directories in share/."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is installed on a machine."""

    name: str
    """The bundle's."""
    project: str
    summary: str
    """The project's description, maybe empty."""
    entry_points: tuple[EntryPoint, ...]
    """What its scripts call."""

    @property
    def scripts(self) -> list[str]:
        """Their names."""
        return [one.name for one in self.entry_points]


def integrate(root: Path, program: Program, config: AppConfig) -> tuple[str, ...]:
    """Write units and desktop entries into a bundle, and what installs them.

    Args:
        root: the bundle.
        program: what it is.
        config: what is configured.

    Returns:
        The names of the programs in bin/ that install them.

    Raises:
        ConfigError: a script is not there, or a name cannot be that of a unit.
    """
    running, shown = services(program, config), entries(program, config)
    for script in [*(one.script for one in running), *(one.script for one in shown)]:
        _check_script(root, script)
    units = {f"{one.name}.service": unit(one) for one in running}
    texts = {f"{_plain(one.script)}.desktop": entry(one) for one in shown}
    for one in shown:
        if one.icon:
            _copy_icon(config.root / one.options.icon, root / one.icon)
    installers = [
        _installer(root, f"{program.name}-{kind}", kind, share, files)
        for kind, share, files in (("service", UNITS, units), ("desktop", APPLICATIONS, texts))
        if files
    ]
    return tuple(installers)


def services(program: Program, config: AppConfig) -> list[Service]:
    """Return the services that are configured.

    Raises:
        ConfigError: a script is not among the bundle's, or the bundle's name cannot be that of a unit.
    """
    found = []
    for which, options in config.services.items():
        where = ".".join(filter(None, ("tool.relenv.service", which)))
        name = which or _plain(program.name)
        if not name:
            raise ConfigError(
                f"{where}: {program.name} cannot be a unit's name", hint="name it: [tool.relenv.service.NAME]"
            )
        namesakes = (options.script, which, program.name, *program.scripts)
        script = options.script or next((one for one in namesakes if one in program.scripts), "")
        _known(script, program, f"{where}: `script`")
        description = program.summary or program.project
        found.append(Service(name=name, script=script, options=options, description=description))
    return found


def entries(program: Program, config: AppConfig) -> list[Entry]:
    """Return what the menu shows: each gui script, and whatever else is configured.

    Raises:
        ConfigError: a script is not among the bundle's, or there is none to show, or no name for its entry.
    """
    gui = [one.name for one in program.entry_points if one.group == "gui_scripts"]
    named = [name for name in config.desktop if name]
    for name in named:
        _known(name, program, "tool.relenv.desktop")
    if config.desktop and not gui and not named:
        raise ConfigError(
            "tool.relenv.desktop: the project has no gui scripts",
            hint="declare one in [project.gui-scripts], or name another script: [tool.relenv.desktop.SCRIPT]",
        )
    shown = [name for name in program.scripts if name in gui or name in named]
    common = config.desktop.get("", DesktopOptions())
    _check_names(shown)
    found = []
    for script in shown:
        options = config.desktop.get(script, common)
        found.append(
            Entry(
                script=script,
                icon=f"share/{ICONS}/{_plain(script)}{options.icon[-4:]}" if options.icon else "",
                terminal=script not in gui if options.terminal is None else options.terminal,
                options=options,
                name=program.project if len(shown) == 1 else script,
                comment=program.summary,
            )
        )
    return found


def _check_names(scripts: Iterable[str]) -> None:
    """Refuse scripts whose desktop entries would have no name, or one and the same."""
    taken: dict[str, str] = {}
    hint = "it has letters and digits of ASCII, `_`, `-` and `.` of the script's: give that another in pyproject.toml"
    for script in scripts:
        plain = _plain(script)
        if not plain:
            raise ConfigError(f"tool.relenv.desktop: {script} cannot be a desktop entry's name", hint=hint)
        if (other := taken.setdefault(plain, script)) != script:
            both = f"{other} and {script}"
            raise ConfigError(f"tool.relenv.desktop: {both} would have the same desktop entry, {plain}", hint=hint)


def _plain(name: str) -> str:
    """Return a name with the characters that units and desktop entries may have in theirs."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")


def _known(script: str, program: Program, where: str) -> None:
    if script not in program.scripts:
        close = difflib.get_close_matches(script, program.scripts, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"it has: {', '.join(program.scripts) or 'none'}"
        raise ConfigError(f"{where} names {script or 'no script'}, which the bundle lacks", hint=hint)


def _check_script(root: Path, script: str) -> None:
    path = root / "bin" / script
    if path.is_file() and not path.read_bytes().startswith(b"#!/bin/sh\n"):
        raise ConfigError(
            f"bin/{script} cannot be a service or in the menu: it is no script in Python",
            hint="a console script of the project's own may start it: [project.scripts]",
        )


def _copy_icon(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o644)


def _installer(root: Path, name: str, kind: str, share: str, files: Mapping[str, str]) -> str:
    """Write files into share/, and the program that installs them into bin/."""
    values = {
        "PROGRAM": name,
        "QUOTED": shlex.quote(name),
        "SHARE": share,
        "FILES": shlex.quote(" ".join(files)),
        "KIND": template(f"{kind}.sh.in").rstrip("\n"),
    }
    wanted = {f"share/{share}/{file}": text for file, text in files.items()}
    wanted[f"bin/{name}"] = template("installer.sh.in", values)
    for path, text in wanted.items():
        if (root / path).exists():
            raise ConfigError(f"tool.relenv.{kind}: the bundle has a {path} already", hint="let `exclude` leave it out")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_text(root / path, text, mode=0o755 if path.startswith("bin/") else 0o644)
    return name
