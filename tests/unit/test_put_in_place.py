"""What is handed on is on the disk before it has its name: a power cut leaves no empty file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from relenv.bundle.output import fresh
from relenv.errors import OutputError
from relenv.release import add_sum
from relenv.store import put_in_place, write_text

Calls = list[tuple[str, object]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What is flushed, with the bytes that it has by then, and what is renamed, in turn."""
    made: Calls = []
    replace, fsync = Path.replace, os.fsync

    def flush(descriptor: int) -> None:
        status = os.fstat(descriptor)
        made.append(("folder", status.st_ino) if stat.S_ISDIR(status.st_mode) else ("file", status.st_size))
        fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        made.append(("rename", target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", rename)
    return made


def in_turn(folder: Path, name: str, size: int) -> Calls:
    return [("file", size), ("rename", name), ("folder", folder.stat().st_ino)]


def test_a_bundle_is_flushed_and_renamed(tmp_path: Path, calls: Calls) -> None:
    with fresh(tmp_path / "it.zip") as out:
        out.write(b"content")
    assert calls == in_turn(tmp_path, "it.zip", 7)
    assert (tmp_path / "it.zip").read_bytes() == b"content"


def test_sums_are_flushed_and_what_the_cache_holds_is_not(tmp_path: Path, calls: Calls) -> None:
    add_sum(tmp_path / "SHA256SUMS", "a.tar.xz", "0" * 64)
    assert calls == in_turn(tmp_path, "SHA256SUMS", 75)
    calls.clear()
    write_text(tmp_path / "index.json", "{}")
    assert calls == [("rename", "index.json")]


def test_a_disk_that_is_full_only_when_it_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "it.zip").write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"), fresh(tmp_path / "it.zip") as out:
        out.write(b"content")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"it.zip": b"before"}


def test_a_file_system_that_cannot_flush_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flush(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", flush)
    (tmp_path / "part").write_bytes(b"content")
    put_in_place(tmp_path / "part", tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == b"content"
