"""Wheels of the Python package index, downloaded with pip.

pip rather than a download of our own: any index, mirror or proxy that the user configured for pip serves them.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from typing import TYPE_CHECKING

from relenv import process
from relenv.errors import ChecksumError, HostError, SourceError, disk_full

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def download(requirement: str, *, sha256: str, into: Path, what: str, environ: Mapping[str, str]) -> Path:
    """Download a wheel that is known by its checksum.

    Args:
        requirement: `certifi==2026.10.18`.
        sha256: of the wheel.
        into: a directory that does not exist yet, for the wheel.
        what: what to call it in a message.
        environ: the user's, with pip's settings.

    Returns:
        The wheel's path.

    Raises:
        SourceError: pip cannot obtain it. ChecksumError: pip got something else. HostError: there is no pip.
        OutputError: the disk is full.
    """
    into.mkdir()
    wanted = into / "requirements.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    try:
        process.run(
            [
                *(_pip(environ)),
                *("download", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
                *("--disable-pip-version-check", "--no-input", "--progress-bar", "off"),
                *("--dest", str(into), "--requirement", str(wanted)),
            ],
            cwd=into,
            # interrupted, pip leaves its temporary files where they are
            env={name: value for name, value in environ.items() if not name.startswith("PYTHON")}
            | {"TMPDIR": str(into)},
        )
    except process.CommandError as error:
        if error.disk_full:
            raise disk_full(into) from error
        raise _refusal(error, what, sha256) from error
    wheels = sorted(into.glob("*.whl"))
    if not wheels:
        raise SourceError(f"pip did not download {what} to {into}")
    return wheels[0]


def _pip(environ: Mapping[str, str]) -> list[str]:
    if importlib.util.find_spec("pip"):
        # -P: a pip.py in the directory that the user happens to be in is none
        return [sys.executable, "-P", "-m", "pip"]
    found = shutil.which("pip3", path=environ.get("PATH")) or shutil.which("pip", path=environ.get("PATH"))
    if not found:
        raise HostError(
            "downloading from the package index needs pip, which this machine lacks",
            hint=f"install with: {sys.executable} -m ensurepip",
        )
    return [found]


def _refusal(error: process.CommandError, what: str, sha256: str) -> SourceError:
    got = re.search(r"Got\s+([0-9a-f]{64})", error.tail)
    if got:
        return ChecksumError(
            f"{what}: expected sha256 {sha256}, got {got[1]}",
            hint="the package index that pip is configured for serves another file; it was removed",
        )
    return SourceError(
        f"{what} cannot be downloaded: pip {error.how}",
        hint="pip must reach a package index: see `pip config list`, or set PIP_INDEX_URL",
        detail=error.tail,
    )
