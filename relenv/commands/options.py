"""Options that several sub-commands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def looks(*, default: object = argparse.SUPPRESS) -> argparse.ArgumentParser:
    """Return a parent parser with the options of every command, which may also stand before it.

    Args:
        default: what they are where they are not given; a command leaves what stood before it as it is.
    """
    common = argparse.ArgumentParser(add_help=False, argument_default=default)
    group = common.add_argument_group("how it speaks")
    group.add_argument("-q", "--quiet", action="store_true", help="only warnings and errors")
    group.add_argument("-v", "--verbose", action="store_true", help="plain lines, one for each step of a build")
    group.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return common


def add_python(parser: argparse.ArgumentParser) -> None:
    """Declare --python."""
    parser.add_argument(
        "--python",
        default="",
        metavar="VERSION",
        help="3.13 for the newest 3.13 that can be had, 3.13.15 for exactly that one",
    )


def add_location(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Declare where what others built comes from.

    Args:
        parser: gets the options.
        default: what is taken without --from.
    """
    parser.add_argument(
        "--from",
        dest="place",
        default="",
        metavar="URL|DIR",
        help=f"the release location (default: {default})",
    )
    parser.add_argument(
        "--key",
        default="",
        metavar="KEY",
        help="the minisign public key that must have signed SHA256SUMS there (default: RELENV_FETCH_KEY, or `key`)",
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
