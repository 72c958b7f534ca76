"""`relenv create`: a relocatable environment, bare or with packages."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.commands.options import add_building, add_python
from relenv.environment import (
    Environment,
    compile_packages,
    create,
    installed,
    pip_environ,
    pip_install,
    refuse_occupied,
)
from relenv.errors import UsageError
from relenv.interpreter import Wanted
from relenv.obtain import obtain_interpreter
from relenv.ui import working
from relenv.workplace import temporary, workplace

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "lay out an environment that can be moved anywhere"
DESCRIPTION = """\
Lay out an environment with bin/python3 and bin/pip3, and install packages into it. Then or later move it, copy it or
zip it: everything in it goes on working, and needs neither relenv nor its cache. Prints its directory.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("directory", type=_directory, metavar="DIR", help="must not exist, or be empty")
    parser.add_argument(
        "packages", nargs="*", default=[], metavar="PACKAGE", help="what pip is to install: httpie, ./project, a URL"
    )
    parser.add_argument(
        "-r",
        "--requirement",
        dest="requirements",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="install what a requirements file of pip's lists; may be repeated",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="put it in the place of what is at DIR: an environment goes, anything else is kept as DIR.old",
    )
    add_python(parser)
    add_building(parser)
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")
    parser.set_defaults(rest="packages")


def _directory(text: str) -> Path:
    if not text:
        raise UsageError("DIR is empty", hint="a variable that is not set?")
    return Path(text)


def run(args: argparse.Namespace, context: Context) -> int:
    """Create the environment."""
    wanted = Wanted(python=args.python)
    for file in args.requirements:
        if not file.is_file():
            raise UsageError(f"--requirement {file} is not a file")
    if not all(map(str.strip, args.packages)):
        raise UsageError("a PACKAGE is empty", hint="a variable that is not set? write it as httpie or ./project")
    if not args.force:
        refuse_occupied(args.directory)
    packages = [
        *(f"--requirement={file}" for file in args.requirements),
        *(["--", *args.packages] if args.packages else []),
    ]
    what = _spell([*map(str, args.requirements), *args.packages])

    def fill(environment: Environment) -> None:
        if packages:
            with (
                working(context.ui, f"Installing {what}", f"Installed {what}"),
                workplace(context.cache, "create") as work,
            ):
                # pip leaves its temporary files where they are when it is interrupted
                own = temporary(work)
                pip_install(
                    [environment.root / "bin" / "pip3"],
                    ["--no-compile", *packages],
                    environ=pip_environ(context.environ) | own,
                    what=what,
                    place=f"DIR or {'RELENV_DATA' if own else 'TMPDIR'}",
                )
                compile_packages(environment, args.directory.absolute(), jobs=context.jobs)

    interpreter = obtain_interpreter(context, wanted)
    environment = create(interpreter, args.directory, force=args.force, ui=context.ui, fill=fill)
    context.ui.step(f"{args.directory}: Python {interpreter.version}; install with {args.directory}/bin/pip3")
    described = {
        "path": str(environment.root),
        "version": interpreter.version,
        "triplet": interpreter.triplet,
        "key": interpreter.key,
        "packages": {one.name: one.version for one in installed(environment)} if args.json else {},
    }
    sys.stdout.write(f"{json.dumps(described) if args.json else environment.root}\n")
    return 0


def _spell(names: list[str]) -> str:
    """Return what is installed, short."""
    shown = 3
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
