"""Options that several sub-commands share."""

from __future__ import annotations

import argparse
import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.errors import UsageError

if TYPE_CHECKING:
    from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are a sentence and a hint, not the usage of every option there is."""

    def error(self, message: str) -> NoReturn:
        """Refuse a command line.

        Raises:
            UsageError: always.
        """
        raise UsageError(message, hint=self._near(message) or f"`{self.prog} --help` shows how it is called")

    def _near(self, message: str) -> str:
        """Return what may have been meant by a word that is not known."""
        if found := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            word, known = found[1], re.findall(r"[\w.-]+", found[2])
        elif found := re.match(r"unrecognized arguments:.*?(--[\w-]+)", message):
            word, known = found[1], re.findall(r"--[\w-]+", self.format_help())
        else:
            return ""
        close = difflib.get_close_matches(word, known, n=1)
        return f"did you mean `{close[0]}`?" if close else ""


def looks(*, default: object = argparse.SUPPRESS) -> Parser:
    """Return a parent parser with the options of every command, which may also stand before it.

    Args:
        default: what they are where they are not given; a command leaves what stood before it as it is.
    """
    common = Parser(add_help=False, argument_default=default)
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
