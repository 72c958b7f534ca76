"""What pip prints when it fails, as a sentence and a hint. The rest is for `--debug`, unless it adds to them."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relenv.errors import ChecksumError, InstallError, disk_full

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relenv.errors import RelenvError
    from relenv.process import CommandError

INDEXES = "pip's configuration is honoured: PIP_INDEX_URL, PIP_FIND_LINKS and pip.conf say where it looks"
NO_INDEX = "no index is asked, for --offline or PIP_NO_INDEX: PIP_FIND_LINKS and find-links say where pip looks"
BUILT = "there is no wheel of it that fits, so it is built here: what that printed is above"
SHOWN_VERSIONS = 3
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
"""Of pip's sizes."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way in which pip fails."""

    sign: re.Pattern[str]
    """What it prints then."""
    hint: str = ""
    shown: re.Pattern[str] | None = None
    """What of the rest adds something."""


ALL = re.compile(r"(?s).+")
OUTPUT = re.compile(r"(?s)(?:\[\d+ lines of output\]\n)?((?:(?!lines of output\]).)*?)\n *\[end of output\]")
"""What a program that pip ran has printed; pip's last lines may begin in the middle of it."""
NETWORK = re.compile(r"(?m)^.*(?:Retrying \(|Could not fetch URL|Connection timed out).*$")
KINDS = (
    Kind(
        sign=re.compile(r"Cannot install .* conflicting dependencies|ResolutionImpossible"),
        shown=re.compile(r"(?s)The conflict is caused by:.*?(?=\n\n|\Z)"),
        hint="loosen one of these requirements",
    ),
    Kind(sign=re.compile(r"git clone .* did not run successfully"), shown=re.compile(r"(?m)^ *fatal: .*$")),
    Kind(sign=re.compile(r"subprocess-exited-with-error|metadata-generation-failed"), shown=OUTPUT, hint=BUILT),
    Kind(sign=re.compile(r"No matching distribution found|Could not find a version"), shown=NETWORK, hint=INDEXES),
    Kind(sign=re.compile(r"(?m)^ERROR: ")),
    Kind(sign=re.compile(""), shown=ALL, hint=INDEXES),
)
"""The first that fits counts."""


def refusal(what: str, error: CommandError, *, environ: Mapping[str, str], place: str = "RELENV_DATA") -> RelenvError:
    """Return the error for a pip that failed.

    Args:
        what: what was being installed.
        error: how it ended.
        environ: its environment.
        place: what chooses the disk.
    """
    text = error.tail
    if error.disk_full or _too_little_room(text, environ):
        return disk_full(what, place)
    if wrong := re.search(r"DO NOT MATCH THE HASHES.*\n *(\S+)", text):
        return wrong_file(wrong[1], text)
    kind = next(kind for kind in KINDS if kind.sign.search(text))
    hint = NO_INDEX if kind.hint == INDEXES and environ.get("PIP_NO_INDEX", "0") != "0" else kind.hint
    reason = _reason(text)
    shown = kind.shown.findall(text) if kind.shown else []
    return InstallError(
        f"{what} cannot be installed: {reason or f'pip failed ({error.how})'}",
        detail=shown[-1] if shown else "" if reason and kind.shown is not OUTPUT else text,
        hint=hint,
    )


def wrong_file(package: str, detail: str) -> ChecksumError:
    """Return the error for a file that is not the one whose checksum was asked for."""
    return ChecksumError(
        f"{package} is not the file that is locked: its checksum differs",
        detail=detail,
        hint="either the lock is wrong, or somebody has tampered with the file",
    )


def _reason(text: str) -> str:
    """Return the line that says why; empty if there is none."""
    said: list[str] = re.findall(r"(?m)^ERROR: (?!ResolutionImpossible)(.+?)\.?$", text)
    said = said or re.findall(r"(?m)^ *\u00d7 (.+?)\.?$", text)  # older ones
    versions = re.search(r"\(from versions: (?!none\))(.+?)\)", text)
    if versions and said and said[-1].startswith("No matching"):
        some = versions[1].split(", ")
        more = "..., " if len(some) > SHOWN_VERSIONS else ""
        return f"{said[-1]}; there are {more}{', '.join(some[-SHOWN_VERSIONS:])}"
    return said[-1] if said else ""


def _too_little_room(text: str, environ: Mapping[str, str]) -> bool:
    """Tell whether a download that pip says was interrupted is one that there is no room for.

    It takes an error of writing to its temporary directory for one of the network. It writes a file there twice.
    """
    size = re.search(r"not enough bytes were received \(.*/([\d.]+) (\w+)\)", text)
    folder = environ.get("TMPDIR") or tempfile.gettempdir()
    if not size or not os.path.isdir(folder):  # noqa: PTH112 - a name from the environment
        return False
    return shutil.disk_usage(folder).free < 2 * float(size[1]) * UNITS.get(size[2], 1)
