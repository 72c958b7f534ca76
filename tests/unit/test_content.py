"""What `include` copies into a bundle and `exclude` takes out of it, and what they cannot; which scripts stay."""

from __future__ import annotations

import ast
import errno
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from relenv.audit.run import SETTINGS, instrumented
from relenv.bundle.config import Include
from relenv.bundle.content import exclude, include, keep_scripts, make_scripts
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


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = tmp_path / "bundle"
    site = "lib/python3.13/site-packages"
    for name in ("app-1.0.dist-info/METADATA", "app/__init__.py", "app/data/one", "app/data/two", "other/data/one"):
        path = root / site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    rows = [
        "app/__init__.py,,",
        "app/data/one,,",
        "app/./data/two,,",
        "../../../bin/app,,",
        "app-1.0.dist-info/METADATA,,",
    ]
    (root / site / "app-1.0.dist-info/RECORD").write_text("".join(f"{row}\n" for row in rows))
    (root / "bin").mkdir()
    for name in OWN_PROGRAMS + OTHERS:
        (root / "bin" / name).touch()
    for name in ("relenv.json", "sbom.cdx.json"):
        (root / name).touch()
    return root


OWN_PROGRAMS = ["pydoc3", "pydoc3.13", "python", "python3", "python3-config", "python3.13", "python3.13-config"]
OTHERS = ["app", "pip3", "pydocstyle", "python-argcomplete", "pythonize"]


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("bin", "the interpreter itself"),
        ("bin/python3", "the interpreter itself"),
        ("*", "the interpreter itself"),
        ("lib", "the interpreter itself"),
        ("lib/python3.13", "the interpreter itself"),
        ("lib/*/site-packages", "app-1.0.dist-info/METADATA, which says what the project is"),
        ("lib/*/site-packages/app-*", "app-1.0.dist-info/METADATA, which says what the project is"),
        ("**/METADATA", "app-1.0.dist-info/METADATA, which says what the project is"),
        ("*.json", "relenv.json, which says what is inside"),
        ("sbom.*", "sbom.cdx.json, which says what is inside"),
    ],
)
def test_what_no_bundle_can_do_without_stays(bundle: Path, pattern: str, what: str) -> None:
    before = sorted(bundle.rglob("*"))
    with pytest.raises(ConfigError) as caught:
        exclude(bundle, ["bin/app", pattern], bundle, "app-1.0.dist-info")
    assert caught.value.message == f"exclude: {pattern!r} would leave out {what}"
    assert sorted(bundle.rglob("*")) == before


def test_what_is_left_out_is_in_no_record(bundle: Path) -> None:
    exclude(bundle, ["lib/*/site-packages/*/data", "**/data/one", "bin/app"], bundle, "app-1.0.dist-info")
    site = bundle / "lib/python3.13/site-packages"
    assert (site / "app-1.0.dist-info/RECORD").read_text() == "app/__init__.py,,\napp-1.0.dist-info/METADATA,,\n"
    assert not list(bundle.rglob("data"))
    assert not (bundle / "bin/app").exists()


def test_only_the_interpreter_s_own_programs_stay_beside_the_scripts(bundle: Path) -> None:
    keep_scripts(bundle, ["app"])
    assert sorted(path.name for path in (bundle / "bin").iterdir()) == ["app", *OWN_PROGRAMS]
