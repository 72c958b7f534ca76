"""The one runner."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from relenv import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def resumed() -> Iterator[None]:
    yield
    process.resume()


def test_a_command_that_starts_while_all_are_stopped_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`stop` comes between the start of a process and its being known as one that runs."""
    done = tmp_path / "done"
    start = subprocess.Popen

    def started(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] = start(*args, **options)
        process.stop()
        return child

    monkeypatch.setattr(subprocess, "Popen", started)
    with pytest.raises(KeyboardInterrupt):
        process.run(["sh", "-c", f"sleep 10; touch {done}"])
    assert not done.exists()


def test_a_command_is_refused_once_all_are_stopped(tmp_path: Path) -> None:
    done = tmp_path / "done"
    process.stop()
    with pytest.raises(KeyboardInterrupt):
        process.run(["touch", done])
    assert not done.exists()
    process.resume()
    process.run(["touch", done])
    assert done.exists()
