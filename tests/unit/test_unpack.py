"""Tarballs that want out, and some that do not."""

from __future__ import annotations

import io
import tarfile
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from relenv.errors import SourceError, UnsafeError
from relenv.ui import PlainUi
from relenv.unpack import unpack

if TYPE_CHECKING:
    from pathlib import Path


def member(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def folder(name: str) -> tarfile.TarInfo:
    return member(name, tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str) -> tarfile.TarInfo:
    return member(name, tarfile.SYMTYPE, link=target, mode=0o777)


def packed(tmp_path: Path, *members: tarfile.TarInfo, content: bytes = b"content") -> Path:
    path = tmp_path / "some.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        for one in members:
            one.size = len(content) if one.isreg() else 0
            tar.addfile(one, io.BytesIO(content))
    return path


def unpacked(tarball: Path, tmp_path: Path) -> Path:
    into = tmp_path / "deep" / "in" / "tree"
    into.mkdir(parents=True)
    unpack(tarball, into, PlainUi(Console(file=StringIO())).work("Unpacking"))
    return into


def test_files_directories_and_links_come_out(tmp_path: Path) -> None:
    tarball = packed(
        tmp_path,
        folder("./"),
        folder("bin"),
        member("bin/run", mode=0o755),
        member("lib/deep/plain", mode=0o666),
        link("lib/deep/up", "../../bin/run"),
        link("bin/it", "run"),
    )
    tree = unpacked(tarball, tmp_path)
    assert (tree / "lib/deep/up").read_bytes() == (tree / "bin/it").read_bytes() == b"content"
    assert (tree / "bin/run").stat().st_mode & 0o777 == 0o755
    assert (tree / "lib/deep/plain").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member("/etc/passwd")], "an absolute name"),
        ([member("../out")], "leads out of the tree"),
        ([member("a/../../out")], "leads out of the tree"),
        ([link("out", "/etc/passwd")], "a link that leads out"),
        ([link("a/out", "../../x")], "a link that leads out"),
        ([link("x", "."), link("out", "x/../../passwd")], "a link that leads out"),
        ([folder("a/b"), link("x", "a/b"), link("y", "x/..")], "a link that leads out"),
        ([link("empty", "")], "a link that leads out"),
        ([link("x", "y"), member("x/file")], "below what is no directory"),
        ([member("x"), member("x/file")], "below what is no directory"),
        ([link("x", "y"), member("x")], "there twice"),
        ([member("x"), folder("x")], "there twice"),
        ([member("one"), member("two", tarfile.LNKTYPE, link="one")], "neither file"),
        ([member("disk", tarfile.BLKTYPE)], "neither file"),
        ([member("null", tarfile.CHRTYPE)], "neither file"),
        ([member("pipe", tarfile.FIFOTYPE)], "neither file"),
        ([member("su", mode=0o4755)], "setuid"),
        ([member("wall", mode=0o2755)], "setgid"),
    ],
)
def test_what_wants_out_is_refused(tmp_path: Path, members: list[tarfile.TarInfo], reason: str) -> None:
    tarball = packed(tmp_path, member("harmless"), *members)
    with pytest.raises(UnsafeError, match=reason) as caught:
        unpacked(tarball, tmp_path)
    assert repr(members[-1].name) in caught.value.message
    outside = {path.name for path in tmp_path.rglob("*") if tmp_path / "deep/in/tree" not in path.parents}
    assert outside == {"some.tar.xz", "deep", "in", "tree"}


def test_a_header_is_not_read_whatever_its_size(tmp_path: Path) -> None:
    one = member("one")
    one.pax_headers = {"comment": "x" * (2 << 20)}
    tarball = packed(tmp_path, one)
    with pytest.raises(UnsafeError, match="a header of 2097"):
        unpacked(tarball, tmp_path)
    long = packed(tmp_path, member("deep/" * 60 + "one"))
    into = tmp_path / "long"
    unpack(long, into, PlainUi(Console(file=StringIO())).work("Unpacking"))
    assert (into / ("deep/" * 60 + "one")).is_file()


def test_a_map_of_holes_that_makes_no_sense_is_no_archive(tmp_path: Path) -> None:
    one = member("one")
    one.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "one"}
    with pytest.raises(SourceError, match="not a whole"):
        unpacked(packed(tmp_path, one), tmp_path)


@pytest.mark.parametrize("cut", [10, 100])
def test_half_an_archive_is_none(tmp_path: Path, cut: int) -> None:
    tarball = packed(tmp_path, member("one"), content=bytes(range(256)) * 100)
    tarball.write_bytes(tarball.read_bytes()[:-cut])
    with pytest.raises(SourceError, match="not a whole"):
        unpacked(tarball, tmp_path)


def test_something_else_is_none_either(tmp_path: Path) -> None:
    (tmp_path / "some.tar.xz").write_text("<html>")
    with pytest.raises(SourceError, match="not a whole"):
        unpacked(tmp_path / "some.tar.xz", tmp_path)
