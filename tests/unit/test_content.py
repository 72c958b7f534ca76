"""What `include` copies into a bundle, and what it cannot."""

from __future__ import annotations

import ast
import errno
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from relenv.audit.run import SETTINGS, instrumented
from relenv.bundle.config import Include
from relenv.bundle.content import include, make_scripts
from relenv.errors import ConfigError, OutputError

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
    names = include(tmp_path / "bundle", data.parent, [Include(source="data", target="share/data")])
    assert sorted(names) == ["share/data/link", "share/data/plain"]
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


def test_nothing_that_is_there_is_replaced(data: Path, tmp_path: Path) -> None:
    # as the files of a bundle are one with the store's
    bundle, store = tmp_path / "bundle", tmp_path / "store"
    bundle.mkdir()
    store.write_text("of the interpreter")
    (bundle / "plain").hardlink_to(store)
    with pytest.raises(ConfigError, match="include: the bundle has a plain already"):
        include(bundle, data.parent, [Include(source="data", target=".")])
    assert store.read_text() == "of the interpreter"


@pytest.mark.parametrize("name", ["README.txt", "sbom.cdx.json"])
def test_what_the_bundle_gets_later_is_not_lost(data: Path, tmp_path: Path, name: str) -> None:
    (data / name).write_text("the project's")
    (tmp_path / "bundle").mkdir()
    with pytest.raises(ConfigError, match=f"include: the bundle has a {name} already"):
        include(tmp_path / "bundle", data.parent, [Include(source="data", target=".")])
    include(tmp_path / "bundle", data.parent, [Include(source="data", target="share/app")])
    assert (tmp_path / "bundle/share/app" / name).read_text() == "the project's"


def test_a_full_disk_is_called_one(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OutputError, match=r"plain cannot be copied to .*: the disk is full"):
        include(tmp_path / "bundle", data.parent, [Include(source="data", target="share")])


def test_what_is_tried_in_place_of_a_script_sets_what_that_sets(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    env = {"APP_HOME": "{root}/share/it's", "LINES": "a\nb"}
    make_scripts(tmp_path, {"one": "app:main"}, env)
    script = (tmp_path / "bin/one").read_bytes()
    found = SETTINGS.search(script)
    assert found
    assert ast.literal_eval(found[1].decode()) == env
    probe = instrumented(script, b"print('tried')\n")
    assert found[0] in probe
    assert b"from app import" not in probe
    make_scripts(tmp_path, {"one": "app:main"}, {})
    assert b"setdefault" not in instrumented((tmp_path / "bin/one").read_bytes(), b"print('tried')\n")
