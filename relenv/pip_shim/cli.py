"""What `bin/pip3` and `python -m pip` run: stock pip in this process, then order in what it installed."""

from __future__ import annotations

import codecs
import importlib
import os
import re
import site
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from .adopt import adopt_pip
from .interrupted import under_way
from .records import reconcile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .records import Note

CHANGING = frozenset({"install", "uninstall"})
"""The commands of pip that change an environment."""
USAGE = 2
"""Exit status for a command line that cannot be obeyed, as of pip and relenv."""
INTERRUPTED = 130
"""Exit status after ctrl-C, as shells have it."""


def main() -> int:
    """Run pip with the arguments of this process; return its exit status.

    pip may also exit by itself. Either way, and after an interrupt, the environment is put in order.
    """
    prefix = _prefix()
    arguments = sys.argv[1:]
    if not _is_for(prefix, arguments):
        return _pip(arguments)
    if "install" in arguments and "--user" in arguments:
        return _refuse(
            "`pip install --user` would put packages where the scripts of this environment do not look.",
            hint=f"leave out --user; packages go into {prefix}",
        )
    if "install" in arguments and (option := _elsewhere(arguments)):
        sys.stderr.write(
            f"relenv: what is installed with {option} is not part of this environment and does not"
            f" move with it; its scripts run {prefix}/bin/python3 as long as that is there\n"
        )
    _leave_user_site(arguments)
    with under_way(prefix) if CHANGING.intersection(arguments) else nullcontext(()) as remains:
        for name in sorted({one.distribution for one in remains if one.distribution}):
            sys.stderr.write(
                f"relenv: an earlier pip was cut short while it installed or replaced {name},"
                " which has to be installed again\n"
            )
        began = time.time() - 1  # file systems round down
        try:
            return _pip(arguments)
        finally:
            _put_in_order(prefix, began)


def heal() -> None:
    """Put the running Python's environment in order after something else than the shim ran pip, as ensurepip does.

    Nothing is done in a virtual environment: its pip and scripts are its own.
    """
    prefix = _prefix()
    if _is_active(prefix):
        _put_in_order(prefix, time.time())


ELSEWHERE = {"--target": "--ta", "--prefix": "--prefi", "--root": "--root"}
"""Options of pip's that install into another place, and how short each may be written."""
SETTINGS = {"target": "target_dir", "prefix": "prefix_path", "root": "root_path"}
"""Their names in a pip.conf, and what pip's parser calls them."""
SHORT = re.compile("-[qvUIh]*t.*", re.DOTALL)
"""The first of these, among options that take no argument."""


def _elsewhere(arguments: Sequence[str]) -> str:
    """Return what has pip install into another place: an option, a variable or a setting; else nothing."""
    for word in arguments:
        name = "--target" if SHORT.match(word) else word.partition("=")[0]
        for option, shortest in ELSEWHERE.items():
            if option.startswith(name) and name.startswith(shortest):
                return option
    if "--isolated" in arguments:
        return _configured(isolated=True)
    variables = (f"PIP_{option.removeprefix('--').upper()}" for option in ELSEWHERE)
    return next((name for name in variables if os.environ.get(name)), "") or _configured(isolated=False)


def _configured(*, isolated: bool) -> str:
    """Return which setting in pip's configuration files has it install into another place; else nothing."""
    try:
        # only pip knows which files it reads: it is asked what it takes for the options when none is given
        commands = importlib.import_module("pip._internal.commands")
        values = commands.create_command("install", isolated=isolated).parser.get_default_values()
    except Exception:  # noqa: BLE001 - it is pip's own affair, and may be another one any day
        return ""
    found = (name for name, place in SETTINGS.items() if getattr(values, place, None))
    return next((f"`{name}` of pip's configuration" for name in found), "")


def _prefix() -> Path:
    return Path(__file__).parents[3]


def _is_active(prefix: Path) -> bool:
    """Tell whether `prefix` is that of the running Python, not the base of its virtual environment."""
    return Path(sys.prefix).samefile(prefix)


def _is_for(prefix: Path, arguments: Sequence[str]) -> bool:
    """Tell whether this pip is to change the environment that the shim is in."""
    if not _is_active(prefix):
        return False
    if "_PIP_RUNNING_IN_SUBPROCESS" in os.environ:  # another Python's `pip --python` sent it here
        return True
    elsewhere = any(word.partition("=")[0] == "--python" for word in arguments)
    # pip's subprocess that fills an isolated build environment
    runner = any(Path(word).name == "__pip-runner__.py" for word in sys.orig_argv)
    return not elsewhere and not runner


def _leave_user_site(arguments: Sequence[str]) -> None:
    """Neither install into the user's site-packages nor count what is there: scripts do not see it (-I)."""
    site.ENABLE_USER_SITE = False
    if site.USER_SITE in sys.path:
        sys.path.remove(site.USER_SITE)
    if "install" in arguments:
        # `user = true` in a pip.conf is meant for other Pythons; nothing but pip's own variable beats it
        os.environ["PIP_USER"] = "0"
    # so is `require-virtualenv = true`: nothing of the system is changed by this pip
    os.environ["PIP_REQUIRE_VIRTUALENV"] = "0"


def _pip(arguments: list[str]) -> int:
    try:
        # what pip's own console script calls, as its entry_points.txt declares
        pip = importlib.import_module("pip._internal.cli.main")
    except KeyboardInterrupt:  # once it runs, pip says so itself
        sys.stderr.write("relenv: interrupted before pip had begun\n")
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pip":
            raise
        return _refuse("pip is not installed in this environment.", hint=f"{sys.executable} -m ensurepip", status=1)
    # scripts may be in these: pip from 26.3 on does not want anything imported that it might just have replaced
    for codec in ("latin-1", "iso8859-15", "cp1252"):
        codecs.lookup(codec)
    status: int = pip.main(arguments)
    return status


def _put_in_order(prefix: Path, began: float) -> None:
    try:
        denied = adopt_pip(prefix)
        report = reconcile(prefix, since=began)
        # say it when such a script is installed, not ever after
        left = [note for note in report.left if note.path.lstat().st_ctime >= began]
    except OSError as error:  # whatever pip had to say is worth more than a traceback of ours
        sys.stderr.write(f"relenv: cannot put {prefix} in order: {error}\n")
        return
    for note in left:
        _warn(prefix, note, "keeps its shebang and will not run once the environment is moved")
    for note in (*denied, *report.denied):
        _warn(prefix, note, "cannot be made relocatable")


def _warn(prefix: Path, note: Note, what: str) -> None:
    sys.stderr.write(f"relenv: {note.path.relative_to(prefix)} {what}: {note.reason}\n")


def _refuse(message: str, *, hint: str, status: int = USAGE) -> int:
    sys.stderr.write(f"relenv: {message}\n  hint: {hint}\n")
    return status
