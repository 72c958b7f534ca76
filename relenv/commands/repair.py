"""`relenv repair`: an environment back in order that another tool wrote into."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.environment import repair
from relenv.errors import CheckError

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "put an environment back in order that another tool wrote into"
DESCRIPTION = """\
Put right what uv, poetry or an unpacking without modes and links left in an environment: scripts find their
interpreter beside themselves, pip keeps them so, programs may be run, RECORDs tell the truth. Prints what it did.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="the environment")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what there is to do")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Repair the environment."""
    deeds = repair(args.directory, dry_run=args.dry_run)
    if args.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(deed) for deed in deeds]) + "\n")
    else:
        for deed in deeds:
            sys.stdout.write(f"{deed.path} {deed.what}\n")
    left = [deed for deed in deeds if not deed.done]
    if left:
        raise CheckError(
            f"{args.directory}: {len(left)} of {len(deeds)} could not be put in order, such as {left[0].path}",
            hint=f"relenv check {args.directory} tells what that means",
        )
    if not deeds:
        context.ui.step(f"{args.directory} is in order")
    elif args.dry_run:
        context.ui.step(f"{args.directory}: {len(deeds)} to do; nothing was changed")
    else:
        context.ui.step(f"{args.directory}: {len(deeds)} put in order")
    return 0
