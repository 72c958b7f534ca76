"""Ctrl-C, and what else asks us to end: a KeyboardInterrupt, but none that loses a process or stops the cleaning up."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SAME = 1.0
"""Seconds in which one more signal means the same: timeout(1) sends one to its child, and one to the group."""


@dataclass
class _Wish:
    """That somebody wants us to end."""

    since: float | None = None
    """When it was first said, None before that."""
    holding: bool = False
    waiting: bool = False
    """Whether it was said while it could not be heeded."""
    again: Callable[[], None] | None = None


_wish = _Wish()


def listen(again: Callable[[], None]) -> None:
    """Have signals that ask a program to end raise KeyboardInterrupt, unless they are ignored or somebody else's.

    Args:
        again: what to do when one comes once more, as cleaning up takes too long for somebody.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup has SIGHUP ignored, a shell has SIGINT in its background, and that stays
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _heed)
    _wish.since, _wish.holding, _wish.waiting, _wish.again = None, False, False, again


def _heed(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
    now = time.monotonic()
    if _wish.since is None:
        _wish.since = now
    elif now - _wish.since < SAME:
        return
    elif _wish.again:
        _wish.again()
    if _wish.holding:
        _wish.waiting = True
    else:
        raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Put off a KeyboardInterrupt to the end of the body: the start of a process, whose number would be lost.

    Raises:
        KeyboardInterrupt: one was put off.
    """
    if threading.current_thread() is not threading.main_thread() or _wish.holding:
        yield  # signals are the main thread's
        return
    _wish.holding = True
    try:
        yield
    finally:
        _wish.holding = False
        waiting, _wish.waiting = _wish.waiting, False
        if waiting:
            raise KeyboardInterrupt


def is_behind(error: BaseException) -> bool:
    """Tell whether a signal came, and the KeyboardInterrupt that it raised is what led to an error.

    Python itself hides one: 3.11 has a RuntimeError in its place if it comes while a class is made.
    """
    if _wish.since is None:
        return False
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, KeyboardInterrupt):
            return True
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            waiting += [one.__cause__, one.__context__]
    return False
