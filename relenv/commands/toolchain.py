"""`relenv toolchain`: the compilers that interpreters are built with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from relenv.commands.options import add_building, add_location, looks
from relenv.commands.tables import result_console
from relenv.compilers import build_toolchain
from relenv.errors import UsageError
from relenv.fetch import fetch_toolchain, location_for
from relenv.interpreter import preferred
from relenv.recipes.cpython import RELEASES
from relenv.recipes.profiles import profile_for
from relenv.release import prepare, publish, toolchain_parcel
from relenv.toolchain import choose, present

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context
    from relenv.toolchain import Toolchain

SUMMARY = "obtain or build the compiler that interpreters are built with"
DESCRIPTION = """\
Interpreters are built with a pinned GCC against glibc 2.17, so that they run on old systems and do not depend
on the compiler of this one. `relenv build` and `relenv bundle` obtain it by themselves when they need it. Where a newer
one is there, built or downloaded, they take that; --toolchain or RELENV_TOOLCHAIN chooses.
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
        help="download the pinned toolchain, or with --from one that was built from source",
        description="Download the pinned toolchain with pip (its configuration is honoured), verify it and "
        "unpack it into the cache. With --from, get the newest that a release location offers.",
    )
    add_location(download, default="the Python package index, with the pinned one")
    build = actions.add_parser("build", parents=[looks()], help="build a newer GCC from source", description=BUILD)
    add_building(build)
    build.add_argument("--keep-build", action="store_true", help="keep the directories that were built in")
    build.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="also write toolchain-VERSION-TRIPLET.tar.xz and its line in SHA256SUMS into that directory",
    )
    shown = actions.add_parser(
        "list", parents=[looks()], help="list what is in the cache", description="List the toolchains in the cache."
    )
    for action in (download, build, shown):
        action.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Do what is asked for, and print what came of it."""
    if args.action == "list":
        _show(context, present(context.platform, context.cache), as_json=args.json)
        return 0
    if args.action == "build":
        if args.output:
            prepare(args.output)
        toolchain = build_toolchain(context)
    else:
        toolchain = _download(args, context)
    _say_if_passed_over(context, toolchain)
    described, result = _described(toolchain), toolchain.root
    if args.action == "build" and args.output:
        release = publish(context, toolchain_parcel(toolchain), args.output)
        described |= {"tarball": str(release.path), "sha256": release.sha256}
        result = release.path
    sys.stdout.write(f"{json.dumps(described) if args.json else result}\n")
    return 0


def _download(args: argparse.Namespace, context: Context) -> Toolchain:
    if not args.place:
        if args.key:
            raise UsageError("--key is for a release location", hint="name it with --from URL")
        return context.toolchain()
    location = location_for(context, args.place, args.key)
    if location is None:
        raise UsageError("--from names no release location")
    return fetch_toolchain(context, location)


def _say_if_passed_over(context: Context, toolchain: Toolchain) -> None:
    """Tell whoever has just made a toolchain that Pythons are built with another one for the sake of its profile."""
    python = preferred(source.version for source in RELEASES)[0]
    chosen = choose(context.platform, context.cache, python=python)
    if chosen.name != toolchain.name and not profile_for(python, toolchain.name):
        context.ui.note(
            f"no profile of Python {python} is frozen for {toolchain.name}: `relenv build` takes {chosen.name} as"
            f" before; with --toolchain {toolchain.name}, or RELENV_TOOLCHAIN={toolchain.name}, it takes this one"
        )


def _builds(context: Context) -> dict[str, list[str]]:
    """Return the versions of Python that each toolchain builds, by its key."""
    builds: dict[str, list[str]] = {}
    try:
        for source in RELEASES:
            builds.setdefault(context.compiler_for(source.version).key, []).append(source.version)
    except UsageError as error:  # who looks for what else is there is to see it
        context.ui.warn(f"{error.message}; until there is, no Python can be built")
    return builds


def _show(context: Context, found: list[Toolchain], *, as_json: bool) -> None:
    builds = _builds(context)
    if as_json:
        listed = [{**_described(one), "builds": builds.get(one.key, [])} for one in found]
        sys.stdout.write(json.dumps(listed) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("toolchain", "compiler", "for", "builds Python", "where"):
        table.add_column(column, overflow="fold")
    for one in found:
        table.add_row(one.name, one.compiler(), one.triplet, ", ".join(builds.get(one.key, [])) or "-", str(one.root))
    result_console().print(table)


def _described(toolchain: Toolchain) -> dict[str, str]:
    return {
        "name": toolchain.name,
        "compiler": toolchain.compiler(),
        "triplet": toolchain.triplet,
        "key": toolchain.key,
        "path": str(toolchain.root),
    }
