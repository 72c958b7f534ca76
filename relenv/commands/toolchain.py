"""`relenv toolchain`: the compilers that interpreters are built with."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from relenv.commands.options import add_building, looks
from relenv.compilers import build_toolchain, toolchains

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context
    from relenv.toolchain import Toolchain

SUMMARY = "obtain or build the compiler that interpreters are built with"
DESCRIPTION = """\
Interpreters are built with a pinned GCC against glibc 2.17, so that they run on old systems and do not depend
on the compiler of this one. `relenv build` and `relenv bundle` obtain it by themselves when they need it.
"""
BUILD = """\
Build GCC and binutils from source, with the pinned toolchain and on its glibc 2.17. That takes about 20 minutes on two
cores, and 4 GB on the disk; after an interruption, what is complete is not built again. What comes of it can be
moved, and runs wherever glibc is 2.17 or newer.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    download = actions.add_parser(
        "download",
        parents=[looks()],
        help="download the pinned toolchain with pip, and unpack it into the cache",
        description="Download the pinned toolchain with pip (its configuration is honoured), verify it and "
        "unpack it into the cache.",
    )
    build = actions.add_parser("build", parents=[looks()], help="build a newer GCC from source", description=BUILD)
    add_building(build)
    build.add_argument("--keep-build", action="store_true", help="keep the directories that were built in")
    shown = actions.add_parser(
        "list", parents=[looks()], help="list what is in the cache", description="List the toolchains in the cache."
    )
    for action in (download, build, shown):
        action.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Do what is asked for, and print which toolchains there are then."""
    if args.action == "list":
        _show(toolchains(context), as_json=args.json)
        return 0
    toolchain = build_toolchain(context) if args.action == "build" else context.toolchain()
    sys.stdout.write(f"{json.dumps(_described(toolchain)) if args.json else toolchain.root}\n")
    return 0


def _show(found: list[Toolchain], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([_described(one) for one in found]) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("toolchain", "compiler", "for", "where"):
        table.add_column(column, overflow="fold")
    for one in found:
        table.add_row(one.name, one.compiler(), one.triplet, str(one.root))
    Console(highlight=False).print(table)


def _described(toolchain: Toolchain) -> dict[str, str]:
    return {
        "name": toolchain.name,
        "compiler": toolchain.compiler(),
        "triplet": toolchain.triplet,
        "key": toolchain.key,
        "path": str(toolchain.root),
    }
