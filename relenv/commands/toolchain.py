"""`relenv toolchain`: the compiler that interpreters are built with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from relenv.commands.options import looks

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "obtain the compiler that interpreters are built with"
DESCRIPTION = """\
Interpreters are built with a pinned GCC against glibc 2.17, so that they run on old systems and do not depend
on the compiler of this one. `relenv build` and `relenv bundle` obtain it by themselves when they need it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser(
        "download",
        parents=[looks()],
        help="download the pinned toolchain with pip, and unpack it into the cache",
        description="Download the pinned toolchain with pip (its configuration is honoured), verify it and "
        "unpack it into the cache.",
    )


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001 - there is one action
    """Download the toolchain."""
    sys.stdout.write(f"{context.toolchain().root}\n")
    return 0
