"""Whose machine this is: what must not be found in a tree that others get."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from relenv.audit.model import Place

if TYPE_CHECKING:
    from collections.abc import Mapping


def this_machine(environ: Mapping[str, str]) -> Place:
    """Return where and by whom relenv is run.

    Args:
        environ: the user's environment.
    """
    # not context.cache: that would make it
    chosen = environ.get("RELENV_DATA")
    try:
        user = environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        user = ""
    home = environ.get("HOME")
    return Place(
        home=Path(home) if home and home.startswith("/") else None,
        cache=Path(chosen).absolute() if chosen else platformdirs.user_cache_path("relenv", appauthor=False),
        user=user,
        host=os.uname().nodename,
    )
