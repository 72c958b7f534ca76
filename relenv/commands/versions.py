"""`relenv versions`: what can be built, and what is there already."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.table import Table

from relenv.commands.tables import result_console
from relenv.fetch import all_fetched
from relenv.interpreter import known_versions

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "list the Pythons that can be built, and which are there already"
DESCRIPTION = """\
List every CPython that this relenv can build, where its source comes from, for which toolchains a profile of it
comes with relenv, and whether its tarball and an interpreter of it, built or fetched, are in the cache. Nothing is
looked up on the network.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the table."""
    versions = known_versions(context.cache)
    fetched: dict[str, list[str]] = {}
    for interpreter in all_fetched(context.cache):
        fetched.setdefault(interpreter.version, []).append(str(interpreter.root))
    if args.json:
        described = [
            {
                "version": known.version,
                "sha256": known.source.sha256,
                "urls": list(known.source.urls),
                "apt": known.source.apt.name if known.source.apt else None,
                "profiles": list(known.profiles),
                "downloaded": known.downloaded,
                "interpreters": [str(path) for path in known.interpreters],
                "fetched": fetched.pop(known.version, []),
            }
            for known in versions
        ]
        # what was fetched can be newer than this relenv
        described += [{"version": version, "fetched": paths} for version, paths in fetched.items()]
        sys.stdout.write(json.dumps(described) + "\n")
        return 0
    table = Table(box=None, pad_edge=False)
    for column in ("Python", "source archive", "profile", "tarball", "built", "fetched"):
        table.add_column(column)
    for known in versions:
        table.add_row(
            known.version,
            known.source.apt.name if known.source.apt else "-",
            ", ".join(known.profiles) or "-",
            "cached" if known.downloaded else "-",
            "yes" if known.interpreters else "-",
            "yes" if fetched.pop(known.version, []) else "-",
        )
    for version in fetched:
        table.add_row(version, "-", "-", "-", "-", "yes")
    result_console().print(table)
    return 0
