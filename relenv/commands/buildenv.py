"""`relenv buildenv`: what a shell has to know to build extensions for an environment."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.buildenv import lay_compilers, lay_name, open_tree, shell, variables

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "print the variables that build extensions for an environment, for glibc 2.17"
DESCRIPTION = """\
Print the environment variables with which C, C++ and Rust extensions are built for DIR with relenv's own toolchain
instead of the machine's: eval "$(relenv buildenv DIR)". They then need glibc 2.17 and use the libraries in DIR. After
DIR was moved, do it again.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="an environment or an interpreter")
    parser.add_argument("--json", action="store_true", help="print an object instead of shell commands")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the variables."""
    tree = open_tree(args.directory)
    toolchain = context.toolchain()
    wheels = context.cache.root / "pip-buildenv"
    context.cache.use(wheels)
    settings = variables(
        replace(tree, root=lay_name(tree.root, cache=context.cache)),
        toolchain=toolchain,
        tools=lay_compilers(toolchain, cache=context.cache, ui=context.ui),
        wheels=wheels,
        environ=context.environ,
    )
    sys.stdout.write(json.dumps(settings) + "\n" if args.json else shell(settings))
    return 0
