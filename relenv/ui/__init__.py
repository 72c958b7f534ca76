"""Say meaning here; how it looks on a terminal, in a log or in CI is decided below, once.

Everything goes to stderr: stdout carries only the result of a command.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

HEARTBEAT = 30.0
"""Seconds of silence after which the plain look says that it is still alive."""


class Ui(Protocol):
    """What the rest of relenv may say. Safe to call from several threads."""

    def step(self, text: str) -> None:
        """Something was done, or is about to be done at once."""

    def note(self, text: str) -> None:
        """Something the user may want to know."""

    def detail(self, text: str) -> None:
        """Something that only --verbose shows."""

    def warn(self, text: str) -> None:
        """Something the user should know."""

    def work(self, text: str, *, total: float | None = None, unit: str = "") -> Work:
        """Begin something that takes a while.

        Args:
            text: what it is, in the present participle: `Building openssl 3.5.7`.
            total: how much there is to do; None when that is not known.
            unit: "bytes", "steps", or "%" for the overall progress of a build; empty for none.
        """


class Work(Protocol):
    """Something under way; `done` or `drop` ends it."""

    def advance(self, amount: float) -> None:
        """So much more of `total` is done."""

    def reach(self, amount: float) -> None:
        """So much of `total` is done in all."""

    def expect(self, total: float) -> None:
        """`total` has become known."""

    def now(self, text: str) -> None:
        """What is being done of it at the moment."""

    def done(self, text: str = "") -> None:
        """It is complete; `text` replaces its line and stays."""

    def drop(self) -> None:
        """It ended some other way; its line goes."""


@contextmanager
def working(ui: Ui, text: str, done: str = "", *, total: float | None = None, unit: str = "") -> Iterator[Work]:
    """Show `text` as under way for the body of a `with`, and `done` once it ended well."""
    work = ui.work(text, total=total, unit=unit)
    try:
        yield work
    except BaseException:
        work.drop()
        raise
    work.done(done)


@contextmanager
def slowly(ui: Ui | None, text: str, *, after: float = 1.0) -> Iterator[None]:
    """Show `text` as under way for the body of a `with` if that takes more than some seconds."""
    if ui is None:
        yield
        return
    begun: list[Work] = []
    timer = threading.Timer(after, lambda: begun.append(ui.work(text)))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for work in begun:
            work.drop()


def seconds(duration: float) -> str:
    """Return a duration in seconds as people say it: `4.2 s`, `1 min 35 s`."""
    if duration < 10:  # noqa: PLR2004 - from here on tenths are noise
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size(amount: float) -> str:
    """Return a number of bytes as people say it, in powers of ten: `22.4 MB`."""
    for unit in ("B", "kB", "MB"):
        if amount < 1000:  # noqa: PLR2004
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def open_ui(*, quiet: bool = False, verbose: bool = False) -> Ui:
    """Return the look that fits: live on a terminal, lines elsewhere, warnings alone when quiet."""
    if quiet:
        return QuietUi()
    console = _stderr()
    if console.is_terminal and not console.is_dumb_terminal and not verbose:
        from relenv.ui.live import LiveUi  # noqa: PLC0415 - it imports this

        return LiveUi(console)
    return PlainUi(console, verbose=verbose)


def _stderr() -> Console:
    # who says nothing need not wait until it is imported
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=True, highlight=False, soft_wrap=True)


class QuietUi:
    """Warnings only."""

    def __init__(self, console: Console | None = None) -> None:
        self._given = console

    @cached_property
    def _console(self) -> Console:
        return self._given or _stderr()

    def _print(self, text: str, *, label: str = "") -> None:
        """Print a line: a label with markup, and a text in which none is meant."""
        from rich.markup import escape  # noqa: PLC0415 - as above

        self._console.print(f"{label}{escape(text)}")

    def step(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def detail(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._print(text, label="[yellow]warning:[/] ")

    def work(self, text: str, *, total: float | None = None, unit: str = "") -> Work:  # noqa: ARG002
        """Return work that says nothing."""
        return _SilentWork()


class _SilentWork:
    def advance(self, amount: float) -> None:
        pass

    def reach(self, amount: float) -> None:
        pass

    def expect(self, total: float) -> None:
        pass

    def now(self, text: str) -> None:
        pass

    def done(self, text: str = "") -> None:
        pass

    def drop(self) -> None:
        pass


class PlainUi(QuietUi):
    """One line for each thing that starts or ends, and a sign of life now and then."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        super().__init__(console)
        self._verbose = verbose
        self._lock = threading.Lock()
        self._spoke = time.monotonic()

    def step(self, text: str) -> None:
        """Print a line."""
        self._say(text)

    def note(self, text: str) -> None:
        """Print a line."""
        self._say(text)

    def detail(self, text: str) -> None:
        """Print a line if so much was asked for."""
        if self._verbose:
            self._say(text)

    def work(self, text: str, *, total: float | None = None, unit: str = "") -> Work:
        """Print that it begins; what follows is printed by the work itself."""
        if unit != "%":
            self._say(f"{text} ...")
        return _PlainWork(self, text, total, unit)

    def _say(self, text: str) -> None:
        with self._lock:
            self._spoke = time.monotonic()
            self._print(text)

    def alive(self, text: str) -> None:
        """Print a sign of life unless something was printed of late."""
        with self._lock:
            if time.monotonic() - self._spoke < HEARTBEAT:
                return
        self._say(text)


class _PlainWork:
    def __init__(self, ui: PlainUi, text: str, total: float | None, unit: str) -> None:
        self._ui, self._text, self._total, self._unit = ui, text, total, unit
        self._completed = 0.0

    def advance(self, amount: float) -> None:
        self.reach(self._completed + amount)

    def reach(self, amount: float) -> None:
        self._completed = amount
        share = f", {amount / self._total:.0%} done" if self._total else ""
        self._ui.alive(f"{self._text}: still going{share}")

    def expect(self, total: float) -> None:
        self._total = total

    def now(self, text: str) -> None:
        pass

    def done(self, text: str = "") -> None:
        if text:
            self._ui.step(text)

    def drop(self) -> None:
        pass
