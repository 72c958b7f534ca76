"""Options that several sub-commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_python(parser: argparse.ArgumentParser) -> None:
    """Declare --python."""
    parser.add_argument(
        "--python",
        default="",
        metavar="VERSION",
        help="3.13 for the newest 3.13 that can be had, 3.13.15 for exactly that one",
    )


def add_building(parser: argparse.ArgumentParser) -> None:
    """Declare what governs a build."""
    parser.add_argument(
        "--source-dir",
        dest="source_dirs",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="a directory with source tarballs, looked into before the network; may be repeated",
    )
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="how many jobs at a time (default: cores)")
