"""Whether a process runs, seen from outside."""

from __future__ import annotations

import time
from pathlib import Path


def ends(number: str, seconds: float = 5.0) -> bool:
    """Tell whether a process ends within some time: kill(2) does not wait for the end that it brings about."""
    state = Path("/proc") / number.strip() / "status"
    until = time.monotonic() + seconds
    while _runs(state) and time.monotonic() < until:
        time.sleep(0.01)
    return not _runs(state)


def _runs(state: Path) -> bool:
    """Tell by its status whether a process runs; nobody may have taken note of its end yet."""
    try:
        return "State:\tZ" not in state.read_text()
    except OSError:
        return False
