"""Where a bundle goes: what is there already and may be replaced, and what may not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from relenv.bundle.formats import refuse
from relenv.bundle.page import refuse_page
from relenv.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """As root, a rename would put a file in the place of a device."""
    pipe, link = tmp_path / "pipe.zip", tmp_path / "link.zip"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    (tmp_path / "folder.zip").mkdir()
    for path in (pipe, link, tmp_path / "folder.zip"):
        for form in ("zip", "run"):
            with pytest.raises(OutputError, match="exists already, and is no bundle"):
                refuse(form, path)
    with pytest.raises(OutputError, match="exists already, and is no file"):
        refuse_page(pipe)
    assert pipe.is_fifo()


def test_what_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("mine")
    (tmp_path / "empty").touch()
    (tmp_path / "stdout").symlink_to("empty")  # as /dev/stdout is, where a shell has made the file
    for name in ("text", "stdout"):
        with pytest.raises(OutputError, match="exists already, and is no bundle"):
            refuse("zip", tmp_path / name)
    refuse("zip", tmp_path / "empty")
    refuse("zip", tmp_path / "absent")
    (tmp_path / "packed").write_bytes(b"PK\3\4")
    (tmp_path / "current").symlink_to("packed")
    refuse("zip", tmp_path / "current")


def test_a_directory_takes_no_name_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(OutputError, match="exists already"):
            refuse("dir", path)
