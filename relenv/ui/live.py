"""The look of a terminal: rows that move."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

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

from relenv.ui import QuietUi, Work

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task, TaskID


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
        self._print(text, label="[green]✓[/] ")

    def note(self, text: str) -> None:
        """Print a line above the moving rows."""
        self._print(text, label="  ")

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
