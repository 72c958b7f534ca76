"""What `include` copies into a bundle, and what it cannot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from relenv.bundle.config import Include
from relenv.bundle.content import include
from relenv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "project/data"
    folder.mkdir(parents=True)
    (folder / "plain").write_text("plain")
    return folder


def test_links_become_what_they_lead_to(data: Path, tmp_path: Path) -> None:
    (data / "link").symlink_to("plain")
    include(tmp_path / "bundle", data.parent, [Include(source="data", target="share/data")])
    copied = tmp_path / "bundle/share/data/link"
    assert copied.read_text() == "plain"
    assert not copied.is_symlink()


@pytest.mark.parametrize(
    ("make", "source"),
    [
        (lambda path: path.symlink_to("nowhere"), "data"),
        (lambda path: path.symlink_to("."), "data"),
        (os.mkfifo, "data"),
        (os.mkfifo, "data/odd"),
    ],
    ids=["dangling", "circle", "pipe", "pipe alone"],
)
def test_what_cannot_be_copied_is_named_once(
    data: Path, tmp_path: Path, make: Callable[[Path], None], source: str
) -> None:
    make(data / "odd")
    with pytest.raises(ConfigError, match=r"include: .*odd cannot be copied: ") as caught:
        include(tmp_path / "bundle", data.parent, [Include(source=source, target="share/data")])
    assert caught.value.message.count("cannot be copied") == 1
    assert len(caught.value.message) < 1000
