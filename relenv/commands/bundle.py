"""`relenv bundle`: from a project to a zip that runs elsewhere."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.bundle.assemble import make_bundle
from relenv.bundle.config import load_config
from relenv.commands.options import add_building, add_python
from relenv.ui import size

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "turn a project into a zip with its own Python"
DESCRIPTION = """\
Build the project's wheel with its own build backend, install it with its dependencies next to a Python
compiled from source, check that its scripts start in another directory, and write NAME.zip. Unzip it on
any Linux with glibc 2.17 or newer, or what the wheels among the dependencies need, and run NAME/bin/SCRIPT:
nothing needs to be installed there.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "project",
        nargs="?",
        default=".",
        metavar="PROJECT",
        help="the project's directory (default: this one)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the zip to write (default: NAME.zip)")
    add_python(parser)
    add_building(parser)
    parser.add_argument("--name", metavar="NAME", help="the directory in the zip (default: the project's name)")
    parser.add_argument(
        "--extra",
        dest="extras",
        action="append",
        metavar="EXTRA",
        help="an extra of the project to install with it; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Bundle the project."""
    overrides = {
        name: value for name, value in (("python", args.python), ("name", args.name), ("extras", args.extras)) if value
    }
    config = load_config(Path(args.project), overrides)
    bundle = make_bundle(context, config, output=args.output)
    if not bundle.scripts:
        context.ui.warn(f"{bundle.project} has no console scripts: run it as bin/python3 -Im MODULE")
    context.ui.step(
        f"{bundle.path}: {bundle.project} {bundle.version} with Python {bundle.python}, {size(bundle.size)}"
    )
    for script in bundle.scripts:
        context.ui.note(f"run: {bundle.name}/bin/{script}")
    if args.json:
        described = {**dataclasses.asdict(bundle), "path": str(bundle.path.absolute())}
        sys.stdout.write(json.dumps(described) + "\n")
    else:
        sys.stdout.write(f"{bundle.path}\n")
    return 0
