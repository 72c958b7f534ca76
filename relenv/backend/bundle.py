"""A bundle of the wheel that a backend has just built, by the command line's own options."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relenv.cli import main
from relenv.commands.keys import flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SWITCHES = ("offline", "refresh", "sizes", "quiet", "verbose", "debug", "json", "lock")
"""Options of `relenv bundle` without a value that are no keys of [tool.relenv]."""


TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def _is_passing(output: Path) -> bool:
    """Tell whether a directory is one of those that pip builds in, and removes afterwards."""
    temporary = Path(tempfile.gettempdir()).resolve()
    there = output.resolve()
    return there.is_relative_to(temporary) and there.relative_to(temporary).parts[0].startswith("pip-")


def bundle_if_asked(wheel: Path, output: Path, settings: Mapping[str, Any]) -> None:
    """Bundle the project in the current directory, if `bundle` among the settings says so; else as `bundle`.

    Raises:
        SystemExit: it failed, and has said why on stderr; or there are settings that would come to nothing.
    """
    wanted = str(settings.get("bundle", "")).lower()
    if wanted in FALSE:
        return
    if wanted not in TRUE:
        given = next(iter(settings))
        what = f"relenv.bundle={wanted}" if wanted else f"relenv.{given}"
        raise SystemExit(f"relenv: -C {what} makes no bundle: that takes -C relenv.bundle=true")
    if "output" not in settings and _is_passing(output):
        raise SystemExit(f"relenv: the bundle would go with {output.parent}; -C relenv.output=DIR/ keeps it")
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
    options = [word for name, value in settings.items() if name != "bundle" for word in _words(name, value)]
    # what a hook prints on stdout is the frontend's, and some read it
    with redirect_stdout(sys.stderr):
        status = main(["bundle", str(wheel.parent.cwd()), "--wheel", str(wheel), "-o", f"{output}{os.sep}", *options])
    if status:
        raise SystemExit(status)


def _words(name: str, value: Any) -> Iterator[str]:
    """Yield an option as words of a command line; what there is none of, the command line refuses by name."""
    for one in value if isinstance(value, list) else [value]:
        false = str(one).lower() in FALSE
        if name in flags():
            yield f"--no-{name}" if false else f"--{name}"
        elif name in SWITCHES:
            yield from () if false else (f"--{name}",)
        else:
            yield f"--{name}={one}"
