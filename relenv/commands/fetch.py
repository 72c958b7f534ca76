"""`relenv fetch`: a prebuilt interpreter, from a release location."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from relenv.commands.options import add_location, add_python
from relenv.errors import UsageError
from relenv.fetch import fetch_interpreter, location_for
from relenv.interpreter import Wanted

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "get a prebuilt Python into the cache, instead of compiling one"
DESCRIPTION = """\
Get an interpreter from a release location: a directory or web server that holds what `relenv build --output DIR`
writes. It is verified before anything of it is unpacked; create and bundle then use it. Prints its directory.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_python(parser)
    add_location(parser, default="RELENV_FETCH_FROM, or `from` in [fetch] of the configuration")
    parser.add_argument("--json", action="store_true", help="print what was fetched as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Fetch an interpreter."""
    wanted = Wanted(python=args.python)
    location = location_for(context, args.place, args.key)
    if location is None:
        raise UsageError(
            "no release location is configured to fetch from",
            hint=f"name one with --from URL or RELENV_FETCH_FROM, or put it into {context.settings_file}:\n"
            '  [fetch]\n  from = "https://example.org/pythons"\nor compile one with: relenv build',
        )
    interpreter = fetch_interpreter(context, location, wanted)
    described = {
        "path": str(interpreter.root),
        "version": interpreter.version,
        "triplet": interpreter.triplet,
        "key": interpreter.key,
    }
    sys.stdout.write(f"{json.dumps(described) if args.json else interpreter.root}\n")
    return 0
