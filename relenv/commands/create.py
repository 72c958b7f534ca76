"""`relenv create`: a bare relocatable environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.commands.options import add_building, add_python
from relenv.environment import create, refuse_occupied
from relenv.interpreter import Wanted
from relenv.obtain import obtain_interpreter

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "lay out a bare environment that can be moved anywhere"
DESCRIPTION = """\
Lay out an environment with bin/python3 and bin/pip3. Install into it with its pip; then move it, copy it or
zip it: everything in it goes on working, and needs neither relenv nor its cache.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="must not exist, or be empty")
    add_python(parser)
    add_building(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Create the environment."""
    wanted = Wanted(python=args.python)
    refuse_occupied(args.directory)
    interpreter = obtain_interpreter(context, wanted)
    environment = create(interpreter, args.directory)
    context.ui.step(f"{args.directory}: Python {interpreter.version}; install with {args.directory}/bin/pip3")
    sys.stdout.write(f"{environment.root}\n")
    return 0
