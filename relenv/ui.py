"""Say meaning here; how it looks on a terminal, in a log or in CI is decided below, once.

Everything goes to stderr: stdout carries only the result of a command.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Task, TaskID

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
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if quiet:
        return QuietUi(console)
    if console.is_terminal and not console.is_dumb_terminal and not verbose:
        return LiveUi(console)
    return PlainUi(console, verbose=verbose)


class QuietUi:
    """Warnings only."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def detail(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._console.print(f"[yellow]warning:[/] {escape(text)}")

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
            self._console.print(escape(text))

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


class _Amount(ProgressColumn):
    """The column that suits a row's unit."""

    _columns: dict[str, ProgressColumn]

    def __init__(self) -> None:
        super().__init__()
        self._columns = {
            "bytes": DownloadColumn(),
            "%": TaskProgressColumn(),
            "steps": MofNCompleteColumn(),
        }

    def render(self, task: Task) -> Text:
        column = self._columns.get(task.fields["unit"])
        return (
            Text()
            if column is None or not task.total
            else Text.assemble(*[part for part in [column.render(task)] if isinstance(part, Text)])
        )


class LiveUi(QuietUi):
    """Rows that move while something is under way, lines that stay once it is done."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Amount(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._lock = threading.Lock()
        self._open = 0

    def step(self, text: str) -> None:
        """Print a line above the moving rows."""
        self._console.print(f"[green]✓[/] {escape(text)}")

    def note(self, text: str) -> None:
        """Print a line above the moving rows."""
        self._console.print(f"  {escape(text)}")

    def work(self, text: str, *, total: float | None = None, unit: str = "") -> Work:
        """Add a moving row."""
        with self._lock:
            if self._open == 0:
                self._progress.start()
            self._open += 1
        task = self._progress.add_task(escape(text), total=total, unit=unit)
        return _LiveWork(self, self._progress, task, text)

    def release(self) -> None:
        """One row fewer; with the last one the display stops."""
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self._progress.stop()


class _LiveWork:
    def __init__(self, ui: LiveUi, progress: Progress, task: TaskID, text: str) -> None:
        self._ui, self._progress, self._task, self._text = ui, progress, task, text

    def advance(self, amount: float) -> None:
        self._progress.advance(self._task, amount)

    def reach(self, amount: float) -> None:
        self._progress.update(self._task, completed=amount)

    def expect(self, total: float) -> None:
        self._progress.update(self._task, total=total)

    def now(self, text: str) -> None:
        self._progress.update(self._task, description=escape(f"{self._text}: {text}"))

    def done(self, text: str = "") -> None:
        if text:
            self._ui.step(text)
        self.drop()

    def drop(self) -> None:
        self._progress.remove_task(self._task)
        self._ui.release()
