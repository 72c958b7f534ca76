"""`relenv build`: compile an interpreter and what it needs."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.commands.options import add_building, add_python
from relenv.interpreter import Wanted, build_interpreter, fetch_sources, forget, releases_for
from relenv.release import parcel, prepare, publish
from relenv.training import aim_for, train

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context
    from relenv.interpreter import Interpreter

SUMMARY = "compile a relocatable Python and its libraries from source"
DESCRIPTION = """\
Compile CPython and the libraries it needs. What was built before is taken from the cache; an interrupted build
goes on where it stopped. Prints the directory of the interpreter, or with --output the tarball's name.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_python(parser)
    add_building(parser)
    parser.add_argument("--download-only", action="store_true", help="only obtain the sources and the toolchain")
    parser.add_argument(
        "--train", action="store_true", help="make a profile for builds of that version, here or in --output"
    )
    parser.add_argument(
        "--toolchain",
        default="",
        metavar="NAME",
        help="what to build with, such as gcc-15.3.0 (default: RELENV_TOOLCHAIN, or the best that "
        "`relenv toolchain list` shows)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="also write VERSION-TRIPLET.tar.xz and its line in SHA256SUMS into that directory",
    )
    parser.add_argument("--clean", action="store_true", help="build everything anew; sources stay")
    parser.add_argument("--keep-build", action="store_true", help="keep the directories that were built in")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Build, or only download."""
    releases = releases_for(Wanted(python=args.python))
    if args.download_only:
        for obtained in fetch_sources(context, releases):
            sys.stdout.write(f"{obtained.path}\n")
        return 0
    if args.output:
        prepare(args.output)
    if args.clean:
        forget(context, releases, aim_of=aim_for if args.train else None)
    if args.train:
        trained = train(context, releases, args.output or Path.cwd())
        context.ui.note(f"{trained.profile!r},")
        told = {"path": str(trained.path), **dataclasses.asdict(trained.profile)}
        sys.stdout.write(f"{json.dumps(told) if args.json else trained.path}\n")
        return 0
    interpreter = build_interpreter(context, releases)
    described = {
        "path": str(interpreter.root),
        "version": interpreter.version,
        "triplet": interpreter.triplet,
        "key": interpreter.key,
    }
    result = interpreter.root
    if args.output:
        release = publish(context, parcel(interpreter), args.output)
        described |= {"tarball": str(release.path), "sha256": release.sha256}
        result = release.path
    else:
        _prepare(context, interpreter)
    sys.stdout.write(f"{json.dumps(described) if args.json else result}\n")
    return 0


def _prepare(context: Context, interpreter: Interpreter) -> None:
    """Have the first bundle with this interpreter take no longer than the next."""
    # what makes bundles is not imported by those who have one published
    from relenv.bundle.layers import prepare as prepare_layers  # noqa: PLC0415

    prepare_layers(context, interpreter)
