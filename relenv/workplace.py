"""A directory in the cache to work in, gone afterwards: what killed runs have left there goes with the next one."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from relenv.process import alive
from relenv.store import hold, is_held, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relenv.store import Cache


@contextmanager
def workplace(cache: Cache, what: str) -> Iterator[Path]:
    """Give a directory in the cache that is gone afterwards.

    Args:
        cache: the cache.
        what: what is made there, one word: `bundle`.
    """
    for stale in cache.work.glob(f"{what}-*-*"):
        # it was killed, and could not clean up
        if not alive(int(stale.name.split("-")[1])) and not is_held(stale):
            remove_tree(stale)
    path = cache.work / f"{what}-{os.getpid()}-{secrets.token_hex(4)}"
    path.mkdir(parents=True)
    lock = hold(path)
    try:
        yield path
    finally:
        remove_tree(path)
        os.close(lock)


LONGEST = 70
"""Bytes that the path of a directory for temporary files may have: a socket in one in it has 108 (unix(7)).

multiprocessing makes such, of 32 more bytes.
"""


def temporary(work: Path) -> dict[str, str]:
    """Have pip, uv and build backends put temporary files where they go with the rest, on the disk that has the room.

    Where that would be too long a path for sockets, the user's own directory stays.

    Returns:
        The variables of the process environment that say so.
    """
    folder = work / "tmp"
    if len(os.fsencode(folder)) > LONGEST:
        return {}
    folder.mkdir()
    return {"TMPDIR": str(folder)}
