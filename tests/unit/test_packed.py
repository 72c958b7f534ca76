"""Unpacking what is to be checked: all formats, and what must not come out of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from copy import copy
from typing import TYPE_CHECKING, Any

import pytest
from layouts import begin, put
from run_headers import run_header

from relenv.audit.packed import unpack
from relenv.errors import CheckError, RelenvError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", mode: int = 0o644, **more: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return member(name, type=kind, linkname=target)


def tarred(members: Iterable[Member]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def as_tar(path: Path, members: Iterable[Member]) -> Path:
    path.write_bytes(tarred(members))
    return path


def as_gzip(path: Path, members: Iterable[Member]) -> Path:
    path.write_bytes(gzip.compress(tarred(members)))
    return path


def as_run(path: Path, members: Iterable[Member]) -> Path:
    payload = gzip.compress(tarred(members))
    path.write_bytes(run_header(payload) + payload)
    return path


def as_layout(path: Path, *layers: Iterable[Member], top: str = "/opt/app") -> Path:
    """Write an image layout, the bundle of which is in a directory."""
    tars = [tarred(layer) for layer in layers]
    described = [put(path, gzip.compress(tar)) for tar in tars]
    diffs = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
    run = {"Env": ["LANG=C", f"PATH={top}/bin:/usr/bin"]}
    config = put(path, json.dumps({"config": run, "rootfs": {"diff_ids": diffs}}).encode())
    begin(path, put(path, json.dumps({"config": config, "layers": described}).encode()))
    return path


def as_image(path: Path, members: Iterable[Member]) -> Path:
    def moved(members: Iterable[Member]) -> Iterable[Member]:
        for info, data in members:
            there = copy(info)
            there.name = info.name.replace("app/", "opt/app/", 1)
            yield there, data

    layout = as_layout(path.with_name("layout"), [member("etc/passwd", b"root")], moved(members))
    with tarfile.open(path, "w") as tar:
        tar.add(layout, "")
    return path


WRITERS: dict[str, Callable[[Path, Iterable[Member]], Path]] = {
    "tar": as_tar,
    "tar.gz": as_gzip,
    "run": as_run,
    "image": as_image,
}
FILES = [
    member("app/relenv.json", b"{}"),
    member("app/bin/tool", b"tool", 0o755),
    member("app/lib/s\u00f6me where/data", b"data" * 50_000),
    link("app/lib/link", "../bin/tool"),
]


def content(root: Path) -> dict[str, str]:
    """Return what is in a directory, as text; of a link, where it leads."""
    files = [path for path in root.rglob("*") if path.is_symlink() or path.is_file()]
    return {
        path.relative_to(root).as_posix(): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in files
    }


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "deep/in/here"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_is_in_it_comes_out(write: Callable[..., Path], tmp_path: Path, into: Path) -> None:
    root = unpack(write(tmp_path / "app.it", FILES), into)
    assert content(root) == {
        info.name.removeprefix("app/"): f"-> {info.linkname}" if info.issym() else data.decode() for info, data in FILES
    }
    assert stat.S_IMODE((root / "bin/tool").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "relenv.json").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "bad",
    [
        link("app/out", "../../etc"),
        link("app/out", "/etc"),
        link("app/same", "app/relenv.json", tarfile.LNKTYPE),
        member("app/pipe", type=tarfile.FIFOTYPE),
        member("app/root", mode=0o4755),
        member("app/bin/tool", b"another"),
        member("app/bin/tool/below"),
        member("app/lib/link/below"),
    ],
    ids=lambda one: f"{one[0].name} {one[0].linkname}",
)
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_must_not_come_out_does_not(write: Callable[..., Path], tmp_path: Path, into: Path, bad: Member) -> None:
    path = write(tmp_path / "app.it", [*FILES, bad])
    with pytest.raises(CheckError, match="was not unpacked: ") as caught:
        unpack(path, into)
    assert caught.value.hint == "do not unpack it: no relenv made this"


@pytest.mark.parametrize("name", ["../out", "/out", "app/../../out", "app/x/../../../out"])
@pytest.mark.parametrize("write", [as_tar, as_gzip, as_run])
def test_a_tar_may_not_lead_out(write: Callable[..., Path], tmp_path: Path, into: Path, name: str) -> None:
    path = write(tmp_path / "app.it", [*FILES, member(name, b"out")])
    with pytest.raises(CheckError, match=r"leads out of the tree|an absolute name"):
        unpack(path, into)
    assert not list(tmp_path.rglob("out"))


def test_what_is_beside_the_bundle_in_an_image_stays_there(tmp_path: Path, into: Path) -> None:
    beside = [
        link("etc/out", "/etc"),
        link("bin/sh", "bin/dash", tarfile.LNKTYPE),
        member("dev/null", type=tarfile.CHRTYPE),
        member("bin/su", b"su", 0o4755),
        member("opt/app/../../out", b"out"),
        member("opt/apple/pie"),
        member("opt/.wh.apple"),
        member("opt", type=tarfile.DIRTYPE),
    ]
    # what removes, removes from the layers below alone
    first = [*beside, member("opt/.wh.app"), member("opt/app/relenv.json", b"{}")]
    layout = as_layout(tmp_path / "layout", first, beside)
    assert content(unpack(layout, into)) == {"relenv.json": "{}"}
    assert not list(tmp_path.rglob("out"))


def test_layers_lie_over_each_other(tmp_path: Path, into: Path) -> None:
    def app(name: str, data: bytes = b"1") -> Member:
        return member(f"./opt/app/{name}", data)

    names = ("relenv.json", "kept", "gone", "folder/one", "folder/two", "dir/x/y", "file", "emptied/one", "new/one")
    link_up = link("opt/app/up", "dir")
    second = [
        app("gone/.wh..wh..opq"),  # no directory, so nothing
        app(".wh.gone"),
        app(".wh.never"),
        app("folder/.wh.two"),
        app("dir", b"2"),
        app("file/below", b"2"),
        app("emptied/.wh..wh..opq"),
        app("emptied/two", b"2"),
        app("new/two", b"2"),
        app("up/inside", b"2"),
    ]
    layout = as_layout(tmp_path / "layout", [*(app(name) for name in names), link_up], second, [app(".wh.new")])
    assert content(unpack(layout, into)) == {
        "relenv.json": "1",
        "kept": "1",
        "folder/one": "1",
        "dir": "2",
        "file/below": "2",
        "emptied/two": "2",
        "up/inside": "2",
    }


@pytest.mark.parametrize(
    "name",
    [
        *(".wh.opt", ".wh..wh..opq", "opt", "opt/.wh.app", "opt/.wh..wh..opq", "opt/app"),
        *("opt/app/.wh..wh..opq", "opt/app/.wh.relenv.json"),
    ],
)
def test_a_layer_that_removes_the_bundle(tmp_path: Path, into: Path, name: str) -> None:
    first = [member("opt/app/relenv.json", b"{}"), member("opt/app/lib/x")]
    layout = as_layout(tmp_path / "layout", first, [member(name)])
    (into / "one").mkdir()
    with pytest.raises(UsageError, match=r"/opt/app in it has no relenv\.json"):
        unpack(layout, into / "one")
    layout = as_layout(tmp_path / "again", first, [member(name)], [member("opt/app/relenv.json", b"{}")])
    (into / "two").mkdir()
    left = {"lib/x": ""} if name.endswith(".wh.relenv.json") else {}
    assert content(unpack(layout, into / "two")) == {"relenv.json": "{}", **left}


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh..."])
def test_no_layer_removes_what_is_above(tmp_path: Path, into: Path, name: str) -> None:
    first = [member("opt/app/relenv.json", b"{}"), member("opt/app/lib/x")]
    for folder in ("", "lib/"):
        layout = as_layout(tmp_path / f"layout {folder[:-1]}", first, [member(f"opt/app/{folder}{name}")])
        (into / folder.strip("/") / "there").mkdir(parents=True)
        with pytest.raises(CheckError, match="removes what is no file"):
            unpack(layout, into / folder.strip("/") / "there")
    assert into.is_dir()


def test_what_is_no_image_of_a_bundle_is_not_looked_at(tmp_path: Path, into: Path) -> None:
    python = [member("usr/local/bin/python3", b"", 0o755), member("usr/local/lib/python3.13/os.py")]
    layout = as_layout(tmp_path / "layout", python, top="/usr/local")
    with pytest.raises(UsageError, match=r"is an image of something else: /usr/local in it has no relenv\.json"):
        unpack(layout, into)


@pytest.mark.parametrize("write", [as_gzip, as_run, as_image])
@pytest.mark.parametrize("damage", ["cut", "changed", "more"])
def test_damage_is_told(write: Callable[..., Path], tmp_path: Path, into: Path, damage: str) -> None:
    noise = [member("app/noise", os.urandom(200_000))]
    path = write(tmp_path / "app.it", [*FILES, *noise])
    data = path.read_bytes()
    half = len(data) // 2
    path.write_bytes(
        {"cut": data[:half], "changed": data[:half] + bytes(9) + data[half + 9 :], "more": data + b"more"}[damage]
    )
    if (write, damage) == (as_image, "more"):
        assert (unpack(path, into) / "relenv.json").is_file()  # behind the end of a tar nobody looks
        return
    with pytest.raises(CheckError) as caught:
        unpack(path, into)
    assert caught.value.message.startswith(f"{path} cannot be unpacked: ")
    assert caught.value.hint == "make it again, or copy it again"


def test_a_run_file_with_a_changed_header_is_damaged(tmp_path: Path, into: Path) -> None:
    path = as_run(tmp_path / "app.run", FILES)
    path.write_bytes(path.read_bytes().replace(b"exit\n", b"exec\n"))
    with pytest.raises(CheckError, match="its header does not have the checksum that it should"):
        unpack(path, into)


def test_a_layout_that_lacks_something_is_damaged(tmp_path: Path) -> None:
    whole = as_layout(tmp_path / "0", [member("opt/app/relenv.json", b"{}")])
    for number, name in enumerate(sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*")), start=1):
        layout = as_layout(tmp_path / str(number), [member("opt/app/relenv.json", b"{}")])
        if not (layout / name).is_file():
            continue
        for how in ("changed", "gone"):
            (tmp_path / f"{number} {how}").mkdir()
            (layout / name).write_bytes(b"[]") if how == "changed" else (layout / name).unlink()
            with pytest.raises(RelenvError, match=r"cannot be unpacked|neither") as caught:
                unpack(layout, tmp_path / f"{number} {how}")
            assert isinstance(caught.value, CheckError), name


def test_a_number_that_is_none_is_damage(tmp_path: Path, into: Path) -> None:
    odd = member("app/x", b"1", pax_headers={"GNU.sparse.map": "0,x"})
    path = as_tar(tmp_path / "app.it", [*FILES, odd])
    with pytest.raises(CheckError, match=r"cannot be unpacked: "):
        unpack(path, into)
