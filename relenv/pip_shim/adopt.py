"""Make an environment's pip come through the shim: `bin/pip*` and `python -m pip`.

pip itself stays as it is, but for its `__main__.py`, which does nothing else than start it. Whoever installs
a pip lays down stock files again, and so does pip upgrading itself: the shim heals that after each run.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from . import records, scripts

_NAME = re.compile(r"pip(3(\.\d+)?)?")

_ENTRY = b"""\
import sys

from relenv_pip.cli import main

if __name__ == "__main__":
    sys.exit(main())
"""

MAIN = b'''\
"""`python -m pip`, and pip as its own subprocess: through relenv's shim or, where there is none, at once."""

import os
import sys

# as in pip's own: the current directory shall not provide modules, and a directory can be run by its path
if sys.path[0] in ("", os.getcwd()):
    sys.path.pop(0)
if __package__ == "":
    sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))

if __name__ == "__main__":
    try:
        from relenv_pip.cli import main
    except ImportError:
        from pip._internal.cli.main import main
    sys.exit(main())
'''
"""What stands in pip/__main__.py."""


def adopt_pip(prefix: Path) -> tuple[records.Note, ...]:
    """Put the shim into the scripts of pip and its `__main__.py`, where they exist; mend pip's RECORD.

    Args:
        prefix: an environment with this package as `lib/python3.X/relenv_pip`.

    Returns:
        What could not be written.
    """
    edits = stock(prefix)
    for path in edits:
        if path.name == "__main__.py":
            _forget_bytecode(path)
    return records.save(prefix, edits)


def is_whole(shim: Path) -> bool:
    """Tell whether a directory has every module of this package."""
    return all((shim / module.name).is_file() for module in Path(__file__).parent.glob("*.py"))


def stock(prefix: Path) -> dict[Path, bytes]:
    """Return the files of pip that do not lead to the shim, and what they should hold; none that cannot be read."""
    edits = {}
    for path, data in _wanted(prefix).items():
        with suppress(OSError):
            if path.read_bytes() != data:
                edits[path] = data
    return edits


def closed(prefix: Path) -> dict[Path, OSError]:
    """Return the files of pip that cannot be read, and why: whether they lead to the shim nobody can tell."""
    found = {}
    for path in _wanted(prefix):
        try:
            path.read_bytes()
        except OSError as error:
            found[path] = error
    return found


def _wanted(prefix: Path) -> dict[Path, bytes]:
    """Return the files of pip that are there, and what they should hold."""
    wanted: dict[Path, bytes] = {}
    for site in records.site_packages(prefix):
        start = site / "pip" / "__main__.py"
        if start.is_file():
            wanted |= dict.fromkeys(_scripts(prefix / "bin"), scripts.trampoline(_ENTRY)) | {start: MAIN}
    return wanted


def _scripts(folder: Path) -> list[Path]:
    """Return pip's scripts; `pip-compile` and others of its name are not among them."""
    return sorted(path for path in folder.glob("pip*") if _NAME.fullmatch(path.name) and path.is_file())


def _forget_bytecode(source: Path) -> None:
    """Remove what was compiled from a file about to be replaced: unchecked bytecode would stay in use."""
    for path in source.parent.glob(f"__pycache__/{source.stem}.*.pyc"):
        with suppress(OSError):  # read-only: then the source cannot be replaced either
            path.unlink()
