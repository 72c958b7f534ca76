"""The order of places, and what is said when a tarball is not what it should be, or nowhere."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from relenv.download import Fetcher, FetchError
from relenv.errors import ChecksumError, SourceError
from relenv.recipes.model import AptPackage, Source
from relenv.sources import Sources, title
from relenv.store import Cache, open_cache, part_of
from relenv.ui import PlainUi, Ui

if TYPE_CHECKING:
    from pathlib import Path

BODY = b"a tarball"
WRONG = b"something else"
MIRROR, UPSTREAM = "https://mirror.invalid/get/zlib-1.3.tar.gz", "https://upstream.invalid/v1.3.tgz"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def pinned(version: str = "1.3", body: bytes = BODY, *, apt: bool = True, urls: bool = True) -> Source:
    return Source(
        version=version,
        filename=f"zlib-{version}.orig.tar.gz",
        sha256=sha256(body),
        urls=(MIRROR, UPSTREAM) if urls else (),
        apt=AptPackage(name="zlib", suites=("trixie",)) if apt else None,
    )


ZLIB = pinned()


class FakeFetcher(Fetcher):
    """The web: what each URL serves."""

    def __init__(self) -> None:
        super().__init__(environ={})
        self.serves: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.takes = 0.0

    def fetch(self, url: str, into: Path, *, sha256: str, ui: Ui, label: str) -> None:  # noqa: ARG002
        self.asked.append(url)
        time.sleep(self.takes)
        body = self.serves.get(url)
        if body is None:
            part_of(into).write_bytes(b"so far")
            raise FetchError(url, "404 Not Found")
        if (found := hashlib.sha256(body).hexdigest()) != sha256:
            raise ChecksumError(f"{url} has sha256 {found}, but {sha256} is pinned")
        into.write_bytes(body)


class FakeArchive:
    """The system's source archive: what it has, by checksum."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.asked: list[str] = []

    def fetch(self, source: Source, into: Path, *, label: str) -> str:
        self.asked.append(label)
        for body in self.bodies:
            if sha256(body) == source.sha256:
                into.write_bytes(body)
                return "apt zlib 1:1.3-1 (trixie)"
        raise SourceError("apt source zlib: trixie: does not list it")


class World:
    """Sources with everything around it in reach."""

    def __init__(self, root: Path) -> None:
        self.cache: Cache = open_cache(root / "cache")
        self.given = [root / "given", root / "given too"]
        for folder in self.given:
            folder.mkdir()
        self.web, self.archive, self.said = FakeFetcher(), FakeArchive(), StringIO()
        self.sources = self.open()

    def open(self, *, offline: bool = False) -> Sources:
        """Return what the next run would have."""
        return Sources(
            cache=self.cache,
            source_dirs=self.given,
            fetcher=self.web,
            environ={},
            ui=PlainUi(Console(file=self.said, width=500)),
            offline=offline,
            archive=self.archive,
        )

    def cached(self, source: Source = ZLIB) -> Path:
        """Return where the cache keeps it."""
        return self.cache.downloads / f"{source.sha256[:16]}-{source.filename}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_every_place_is_asked_before_it_is_refused(world: World) -> None:
    with pytest.raises(SourceError, match=r"^zlib 1\.3 cannot be obtained here$") as caught:
        world.sources.obtain(ZLIB)
    assert world.web.asked == [MIRROR, UPSTREAM]
    assert world.archive.asked == ["zlib 1.3"]
    assert not isinstance(caught.value, ChecksumError)
    assert caught.value.hint.splitlines() == [
        "tried for zlib 1.3:",
        "  cache: not there",
        f"  --source-dir {world.given[0]}, {world.given[1]}: not there",
        f"  {MIRROR}: 404 Not Found",
        f"  {UPSTREAM}: 404 Not Found",
        "  apt source zlib: trixie: does not list it",
        "get one of these files elsewhere, and pass its directory with --source-dir DIR:",
        f"  {ZLIB.filename}  sha256 {ZLIB.sha256}",
    ]


def test_the_archive_comes_last(world: World) -> None:
    world.archive.bodies = [BODY]
    found = world.sources.obtain(ZLIB)
    assert found.origin == "apt zlib 1:1.3-1 (trixie)"
    assert found.path == world.cached()
    assert found.path.read_bytes() == BODY
    assert world.web.asked == [MIRROR, UPSTREAM]
    assert not part_of(found.path).exists()


def test_urls_come_before_the_archive(world: World) -> None:
    world.archive.bodies = [BODY]
    world.web.serves = {UPSTREAM: BODY}
    assert world.sources.obtain(ZLIB).origin == UPSTREAM
    assert world.archive.asked == []


@pytest.mark.parametrize("name", [ZLIB.filename, "zlib-1.3.tar.gz", "v1.3.tgz"])
@pytest.mark.parametrize("place", [0, 1])
def test_files_of_the_user_come_before_urls(world: World, name: str, place: int) -> None:
    world.web.serves = {MIRROR: BODY}
    given = world.given[place] / name
    given.write_bytes(BODY)
    found = world.sources.obtain(ZLIB)
    assert (found.origin, found.path) == ("source-dir", world.cached())
    assert world.web.asked == []
    given.unlink()
    assert world.open().obtain(ZLIB).origin == "cache"


def test_the_cache_comes_first(world: World) -> None:
    world.web.serves = {MIRROR: BODY}
    world.sources.obtain(ZLIB)
    (world.given[0] / ZLIB.filename).write_bytes(WRONG)
    assert world.open().obtain(ZLIB).origin == "cache"
    assert world.web.asked == [MIRROR]


def test_the_origin_is_remembered_for_the_run(world: World) -> None:
    world.web.serves = {MIRROR: BODY}
    assert [world.sources.obtain(ZLIB).origin for _ in range(2)] == [MIRROR, MIRROR]


def test_a_damaged_file_in_the_cache_is_obtained_again(world: World) -> None:
    world.web.serves = {MIRROR: BODY}
    world.cache.downloads.mkdir()
    world.cached().write_bytes(BODY[:-1])
    assert world.sources.obtain(ZLIB).origin == MIRROR
    assert world.cached().read_bytes() == BODY
    assert f"warning: {world.cached()} was damaged" in world.said.getvalue()


def test_a_damaged_file_in_the_cache_is_not_left_there(world: World) -> None:
    world.cache.downloads.mkdir()
    world.cached().write_bytes(BODY[:-1])
    with pytest.raises(SourceError, match="is not here, and --offline") as caught:
        world.open(offline=True).obtain(ZLIB)
    assert "cache: it was damaged" in caught.value.hint
    assert not world.cached().exists()


def test_a_wrong_file_of_the_user_is_refused_and_kept(world: World) -> None:
    world.web.serves = {MIRROR: BODY}
    given = world.given[0] / ZLIB.filename
    given.write_bytes(WRONG)
    with pytest.raises(ChecksumError) as caught:
        world.sources.obtain(ZLIB)
    assert caught.value.message == f"{given} has sha256 {sha256(WRONG)}, but {ZLIB.sha256} is pinned"
    assert given.read_bytes() == WRONG
    assert list(world.cache.downloads.iterdir()) == []
    assert world.web.asked == []


def test_a_wrong_mirror_is_passed_over_with_a_warning(world: World) -> None:
    world.web.serves = {MIRROR: WRONG, UPSTREAM: BODY}
    assert world.sources.obtain(ZLIB).origin == UPSTREAM
    assert f"warning: {MIRROR} has sha256 {sha256(WRONG)}" in world.said.getvalue()


def test_a_mismatch_is_what_is_reported_in_the_end(world: World) -> None:
    world.web.serves = {MIRROR: WRONG}
    with pytest.raises(ChecksumError) as caught:
        world.sources.obtain(ZLIB)
    assert sha256(WRONG) in caught.value.message
    assert ZLIB.sha256 in caught.value.message
    assert f"  {UPSTREAM}: 404 Not Found" in caught.value.hint


def test_offline_asks_nobody(world: World) -> None:
    world.web.serves = {MIRROR: BODY}
    world.archive.bodies = [BODY]
    with pytest.raises(SourceError, match=r"^zlib 1\.3 is not here, and --offline asks no network$"):
        world.open(offline=True).obtain(ZLIB)
    assert world.web.asked + world.archive.asked == []
    (world.given[0] / ZLIB.filename).write_bytes(BODY)
    assert world.open(offline=True).obtain(ZLIB).origin == "source-dir"


NEW, OLD = pinned("1.4", b"new"), pinned("1.3", b"old")


def test_the_newest_to_be_had_is_taken(world: World) -> None:
    world.archive.bodies = [b"old", b"new"]
    assert world.sources.newest([NEW, OLD]).source == NEW


def test_an_older_one_is_taken_if_need_be(world: World) -> None:
    world.archive.bodies = [b"old"]
    found = world.sources.newest([NEW, OLD])
    assert (found.source, found.path) == (OLD, world.cached(OLD))


def test_a_wrong_mirror_of_a_newer_one_does_not_stop_an_older_one(world: World) -> None:
    world.web.serves = {MIRROR: WRONG}
    world.archive.bodies = [b"old"]
    assert world.sources.newest([NEW, OLD]).source == OLD
    assert "warning" in world.said.getvalue()


def test_a_wrong_file_of_the_user_stops_an_older_one(world: World) -> None:
    world.archive.bodies = [b"old"]
    (world.given[0] / NEW.filename).write_bytes(WRONG)
    with pytest.raises(ChecksumError, match=r"zlib-1\.4"):
        world.sources.newest([NEW, OLD])


def test_none_to_be_had_says_so_of_each(world: World) -> None:
    with pytest.raises(SourceError, match=r"none of these can be obtained here: zlib 1\.4, zlib 1\.3") as caught:
        world.sources.newest([NEW, OLD])
    assert "tried for zlib 1.4:" in caught.value.hint
    assert f"  {OLD.filename}  sha256 {OLD.sha256}" in caught.value.hint
    assert not isinstance(caught.value, ChecksumError)


def test_none_to_be_had_for_a_mismatch_says_that(world: World) -> None:
    world.web.serves = {UPSTREAM: WRONG}
    with pytest.raises(ChecksumError, match=f"{sha256(WRONG)}.*{NEW.sha256}"):
        world.sources.newest([NEW, OLD])


def test_a_choice_stands_without_tarball_and_network(world: World) -> None:
    world.archive.bodies = [b"old"]
    assert world.sources.resolve("zlib", [NEW, OLD]) == OLD
    world.cached(OLD).unlink()
    world.web.asked.clear()
    world.archive.bodies = [b"new", b"old"]
    assert world.open().resolve("zlib", [NEW, OLD]) == OLD
    assert world.web.asked == []


def test_a_choice_is_recorded_by_component(world: World) -> None:
    world.archive.bodies = [b"old"]
    world.sources.resolve("zlib", [NEW, OLD])
    record = json.loads((world.cache.root / "resolved" / "zlib.json").read_text())
    assert list(record.values()) == [OLD.sha256]


def test_another_list_is_another_choice_beside_the_first(world: World) -> None:
    world.archive.bodies = [b"old"]
    assert world.sources.resolve("zlib", [NEW, OLD]) == OLD
    newer = pinned("1.5", b"newer")
    world.archive.bodies = [b"newer", b"new", b"old"]
    assert world.sources.resolve("zlib", [newer, NEW, OLD]) == newer
    assert world.sources.resolve("zlib", [NEW, OLD]) == OLD


def test_a_newer_file_of_the_user_changes_the_choice(world: World) -> None:
    world.archive.bodies = [b"old"]
    assert world.sources.resolve("zlib", [NEW, OLD]) == OLD
    given = world.given[0] / NEW.filename
    given.write_bytes(b"new")
    assert world.open().resolve("zlib", [NEW, OLD]) == NEW
    given.unlink()
    assert world.open().resolve("zlib", [NEW, OLD]) == NEW


def test_a_list_of_one_is_no_choice(world: World) -> None:
    assert world.sources.resolve("zlib", [NEW]) == NEW
    assert world.web.asked == []
    assert not (world.cache.root / "resolved").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "{"])
def test_a_damaged_record_is_made_again(world: World, text: str) -> None:
    (world.cache.root / "resolved").mkdir()
    (world.cache.root / "resolved" / "zlib.json").write_text(text)
    world.archive.bodies = [b"old"]
    assert world.sources.resolve("zlib", [NEW, OLD]) == OLD


def test_nothing_is_recorded_of_a_failure(world: World) -> None:
    with pytest.raises(SourceError):
        world.sources.resolve("zlib", [NEW, OLD])
    assert not (world.cache.root / "resolved").exists()


def test_two_threads_fetch_one_tarball_once(world: World) -> None:
    world.web.serves, world.web.takes = {MIRROR: BODY}, 0.05
    origins = []
    threads = [threading.Thread(target=lambda: origins.append(world.open().obtain(ZLIB).origin)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(origins) == ["cache", "cache", "cache", MIRROR]


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("Python-3.13.15.tar.xz", "Python"),
        ("python3.11_3.11.2.orig.tar.gz", "python3.11"),
        ("zlib_1.3.dfsg+really1.3.1.orig.tar.gz", "zlib"),
        ("bzip2-1.0.8.tar.gz", "bzip2"),
        ("sqlite-autoconf-3530400.tar.gz", "sqlite-autoconf"),
        ("util-linux_2.41.5.orig.tar.xz", "util-linux"),
        ("odd.tar.gz", "odd.tar.gz"),
    ],
)
def test_titles(filename: str, name: str) -> None:
    assert title(Source(version="7", filename=filename, sha256="")) == f"{name} 7"
