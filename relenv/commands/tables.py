"""How the result of a command is printed that is a table."""

from __future__ import annotations

from rich.console import Console

WIDE = 200
"""Columns where no terminal says how many there are: enough for most rows to stay on a line."""


def result_console() -> Console:
    """Return where tables go: standard output, as wide as the terminal or, without one, as most rows need."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDE)
