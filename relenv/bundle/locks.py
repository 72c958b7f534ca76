"""Lock files: what a project has pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("pylock.toml", "uv.lock", "poetry.lock", "pdm.lock")


def find_lock(project: Path) -> Path | None:
    """Return a project's lock file, if there is one."""
    return next((project / name for name in NAMES if (project / name).is_file()), None)
