"""A bundle of the wheel that a backend has just built, by the command line's own options."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relenv.cli import main
from relenv.commands.keys import flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SWITCHES = ("offline", "refresh", "sizes", "quiet", "verbose", "debug", "json", "lock")
"""Options of `relenv bundle` without a value that are no keys of [tool.relenv]."""


TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def is_asked(settings: Mapping[str, Any]) -> bool:
    """Tell whether settings ask for a bundle."""
    return str(settings.get("bundle", "")).lower() in TRUE


def _is_passing(folder: Path) -> bool:
    """Tell whether a directory is one of those that pip and uv build in, and remove or hide afterwards."""
    there = folder.resolve()
    return any(part.startswith("pip-") for part in _below_temporary(there)[:1]) or any(
        re.fullmatch(r"[a-z]+-v\d+", one.name) and (one.parent / "CACHEDIR.TAG").is_file()  # uv's `sdists-v9`
        for one in (there, *there.parents)
    )


def _below_temporary(there: Path) -> tuple[str, ...]:
    temporary = Path(tempfile.gettempdir()).resolve()
    return there.relative_to(temporary).parts if there.is_relative_to(temporary) else ()


def _is_unpacked(project: Path) -> bool:
    """Tell whether a project is an sdist that a frontend has unpacked to build the wheel: every sdist has PKG-INFO."""
    below = _below_temporary(project.resolve())
    return _is_passing(project) or bool(below and (project / "PKG-INFO").is_file())


def _is_relative(value: str) -> bool:
    return not Path(value).is_absolute()


def _is_on(value: str) -> bool:
    return value.lower() not in FALSE


WRITTEN: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "output": (_is_relative, "an absolute path stays"),
    "report": (_is_relative, "an absolute path stays"),
    "lock": (_is_on, "`relenv bundle --lock` writes it where it stays"),
}
"""The options that write into the current directory: with which values, and what to do where that is removed."""


def _refuse_lost(project: Path, settings: Mapping[str, Any]) -> None:
    """Refuse options that would write into a project that is removed afterwards.

    Raises:
        SystemExit: there is one.
    """
    if not _is_unpacked(project):
        return
    for name, (writes, hint) in WRITTEN.items():
        for value in _values(settings.get(name, [])):
            if writes(value):
                raise SystemExit(
                    f"relenv: -C relenv.{name}={value} would write to {project}, which is removed afterwards: {hint}"
                )


def bundle_if_asked(wheel: Path, output: Path, settings: Mapping[str, Any]) -> None:
    """Bundle the project in the current directory, if `bundle` among the settings says so; else as `bundle`.

    Raises:
        SystemExit: it failed, and has said why on stderr; or there are settings that would come to nothing.
    """
    wanted = str(settings.get("bundle", "")).lower()
    if wanted in FALSE:
        return
    if not is_asked(settings):
        given = next(iter(settings))
        what = f"relenv.bundle={wanted}" if wanted else f"relenv.{given}"
        raise SystemExit(f"relenv: -C {what} makes no bundle: that takes -C relenv.bundle=true")
    if "output" not in settings and _is_passing(output):
        raise SystemExit(f"relenv: the bundle would go with {output.parent}; -C relenv.output=DIR/ keeps it")
    _refuse_lost(Path.cwd(), settings)
    bundle(wheel, output, settings)


def bundle(wheel: Path, output: Path, settings: Mapping[str, Any]) -> None:
    """Bundle the project in the current directory.

    Args:
        wheel: of the project.
        output: a directory, made if it is missing.
        settings: options of `relenv bundle`, without dashes; `bundle` itself is passed over.

    Raises:
        SystemExit: it failed, and has said why on stderr.
    """
    if "wheel" in settings:
        raise SystemExit("relenv: relenv.wheel has no place here: the bundle is made of the wheel that was just built")
    options = [word for name, value in settings.items() if name != "bundle" for word in _words(name, value)]
    # what a hook prints on stdout is the frontend's, and some read it
    with redirect_stdout(sys.stderr):
        status = main(["bundle", str(wheel.parent.cwd()), "--wheel", str(wheel), "-o", f"{output}{os.sep}", *options])
    if status:
        raise SystemExit(status)


def _values(value: Any) -> list[str]:
    """Return what an option was given, once or several times."""
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _words(name: str, value: Any) -> Iterator[str]:
    """Yield an option as words of a command line; what there is none of, the command line refuses by name."""
    flag = name.removeprefix("no-")
    for one in _values(value):
        if flag in flags():
            yield f"--{flag}" if _is_true(name, one) is (flag == name) else f"--no-{flag}"
        elif name in SWITCHES:
            yield from (f"--{name}",) if _is_true(name, one) else ()
        else:
            yield f"--{name}={one}"


def _is_true(name: str, value: str) -> bool:
    if value.lower() not in (*TRUE, *FALSE):
        hint = "; relenv.lock-file names a lock file" if name == "lock" else ""
        raise SystemExit(f"relenv: -C relenv.{name}={value}: that is true or false{hint}")
    return value.lower() in TRUE
