"""Lists of checksums, and what was fetched before."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from relenv.checksums import sha256_of
from relenv.context import Context
from relenv.errors import CacheError, SourceError, UsageError
from relenv.fetch import Location, _parse, all_fetched, fetch_interpreter, find_fetched, location_for
from relenv.housekeeping import choose, prune, survey
from relenv.interpreter import Wanted
from relenv.manifest import FORMAT, MANIFEST
from relenv.obtain import present
from relenv.platforms import host_platform
from relenv.store import open_cache, part_of
from relenv.ui import open_ui

if TYPE_CHECKING:
    from pathlib import Path

    from relenv.interpreter import Interpreter
    from relenv.store import Cache

DIGEST = "ab" * 32
TRIPLET = host_platform().triplet
TARBALL = f"3.13.15-{TRIPLET}.tar.xz"


def context_for(tmp_path: Path) -> Context:
    return Context(environ={"RELENV_DATA": str(tmp_path / "cache")}, ui=open_ui(quiet=True), jobs=1)


def release(folder: Path) -> Path:
    """Write a location with what passes for an interpreter."""
    folder.mkdir()
    manifest = json.dumps({"format": FORMAT, "python": "3.13.15", "triplet": TRIPLET})
    with tarfile.open(folder / TARBALL, "w:xz") as tar:
        for name, content in ((MANIFEST, manifest.encode()), ("bin/python3", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (folder / "SHA256SUMS").write_text(f"{sha256_of(folder / TARBALL)}  {TARBALL}\n")
    return folder


def fetched(context: Context, place: str | Path) -> Interpreter:
    return fetch_interpreter(context, Location(place=str(place)), Wanted())


@dataclass
class Slow:
    """A fetcher beside which the cache is pruned."""

    cache: Cache
    folder: Path

    def read(self, url: str, *, limit: int) -> bytes:
        return (self.folder / url.rpartition("/")[2]).read_bytes()[:limit]

    def fetch(self, url: str, into: Path, **_: object) -> None:
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder / url.rpartition("/")[2], part_of(into))
        prune(self.cache, choose(survey(self.cache), now=time.time()))
        part_of(into).rename(into)
        prune(self.cache, choose(survey(self.cache), now=time.time()))


@pytest.mark.parametrize(
    "text", [f"{DIGEST}  x\n", f"{DIGEST} *x\r\n", f"{DIGEST.upper()}  x\n\n", f"\n{DIGEST}  x\n{DIGEST.upper()}  x"]
)
def test_a_list_is_what_sha256sum_writes_and_reads(text: str) -> None:
    assert _parse(text.encode(), "it") == {"x": DIGEST}


@pytest.mark.parametrize("text", ["<html>", f"{DIGEST}", f"{DIGEST}  x\n{'cd' * 32}  x\n", f"{DIGEST[1:]}  x\n"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(SourceError, match="it is no list of checksums: line "):
        _parse(text.encode(), "it")


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", "\udcff"])
def test_a_manifest_that_is_damaged_is_named(tmp_path: Path, text: str) -> None:
    cache = open_cache(tmp_path / "cache")
    root = cache.store / "fetched-3.13.15-0123456789abcdef"
    root.mkdir(parents=True)
    (root / "relenv.json").write_text(text, errors="surrogateescape")
    with pytest.raises(CacheError, match=r"relenv\.json is damaged") as caught:
        list(all_fetched(cache))
    assert str(root) in caught.value.hint


def test_one_for_another_kind_of_machine_is_not_used(tmp_path: Path) -> None:
    context = context_for(tmp_path)
    root = fetched(context, release(tmp_path / "dist")).root
    other = root.with_name("fetched-3.13.15-0123456789abcdef")
    shutil.copytree(root, other)
    manifest = json.loads((other / MANIFEST).read_text())
    (other / MANIFEST).write_text(json.dumps({**manifest, "triplet": "riscv64-linux-gnu"}))
    for triplet, found in ((TRIPLET, root), ("riscv64-linux-gnu", other)):
        interpreter = find_fetched(context.cache, Wanted(), "", triplet)
        assert interpreter
        assert interpreter.root == found
    assert find_fetched(context.cache, Wanted(), "", "aarch64-linux-gnu") is None
    shutil.rmtree(root)
    assert present(context, Wanted()) is None


def test_no_prune_takes_a_download_away(tmp_path: Path) -> None:
    context = context_for(tmp_path)
    vars(context)["fetcher"] = Slow(open_cache(context.cache.root), release(tmp_path / "dist"))
    assert fetched(context, "http://localhost/dist").root.is_dir()


def test_what_a_location_names_and_has_not_is_its_fault(tmp_path: Path) -> None:
    (release(tmp_path / "dist") / TARBALL).unlink()
    with pytest.raises(SourceError, match=f"dist has no {TARBALL}, though its SHA256SUMS names it"):
        fetched(context_for(tmp_path), tmp_path / "dist")
    (tmp_path / "dist" / TARBALL).mkdir()
    with pytest.raises(SourceError, match=f"dist has no {TARBALL}, though its SHA256SUMS names it"):
        fetched(context_for(tmp_path), tmp_path / "dist")
    (tmp_path / "dist/SHA256SUMS").unlink()
    os.mkfifo(tmp_path / "dist/SHA256SUMS")
    with pytest.raises(SourceError, match="dist/SHA256SUMS is no file"):
        fetched(context_for(tmp_path), tmp_path / "dist")


def test_a_directory_of_another_machine_is_none_here(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="file://pythons/x names a host, pythons"):
        location_for(context_for(tmp_path), "file://pythons/x", "")
    here = location_for(context_for(tmp_path), f"file://localhost{tmp_path}", "")
    assert here
    assert here.place == str(tmp_path)
