"""The one runner."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from running import ends

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


@pytest.mark.parametrize("deaf", ["", "trap '' TERM; "])
def test_what_stays_in_the_background_ends_with_what_has_started_it(
    tmp_path: Path, deaf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE", 0.2)
    behind = f"({deaf}echo from behind; echo > there; sleep 99; sleep 99) & echo $! > pid"
    command = f"{behind}; until [ -e there ]; do sleep 0.01; done; echo done"
    assert process.run(["sh", "-c", command], cwd=tmp_path, alone=True) == "from behind\ndone\n"
    assert ends((tmp_path / "pid").read_text())


def test_what_a_command_says_that_is_run_alone_is_told(tmp_path: Path) -> None:
    with pytest.raises(process.CommandError) as caught:
        process.run(["sh", "-c", "sleep 99 & echo so; exit 3"], cwd=tmp_path, alone=True)
    assert (caught.value.how, caught.value.tail) == ("exit 3", "so")
    with pytest.raises(process.OverdueError) as caught:
        process.run(["sh", "-c", "echo so; sleep 99"], cwd=tmp_path, alone=True, limit=0.5)
    assert caught.value.tail == "so"


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (35, "signal 35")])
def test_what_ended_a_command_is_told(number: int, name: str) -> None:
    with pytest.raises(process.CommandError, match=rf"^sh failed \(killed by {name}\)\n$") as caught:
        process.run(["sh", "-c", f"kill -{number} $$"])
    assert caught.value.status == -number
