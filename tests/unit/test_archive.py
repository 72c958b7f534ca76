from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deflate
import pytest

from relenv.bundle import archive
from relenv.bundle.archive import Archive, Member, Pack, pack_tree, write_zip
from relenv.bundle.tar import add
from relenv.errors import CacheError, CheckError, OutputError
from relenv.ui import QuietUi, open_ui

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = open_ui(quiet=True)
NOISE = random.Random(1).randbytes(3000)  # noqa: S311 - the same noise every time is what is wanted
SAMPLES: dict[str, bytes] = {
    "bin/tool": b"#!/bin/sh\nexit 0\n" * 9,
    "empty": b"",
    "lib/a.py": b"import os\n" * 500,
    "lib/a/b.py": b"x = 1\n" * 70,
    "lib/naïve/größe ü.txt": b"umlauts\n" * 40,
    "lib/noise.bin": NOISE,
    "日本語.txt": b"wide\n" * 40,
}


def plant(root: Path, samples: dict[str, bytes], *, mode: int = 0o644) -> Path:
    root.mkdir(parents=True)
    for name, content in samples.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode | 0o111 if name.startswith("bin/") else mode)
    return root


def zipped(root: Path, into: Path, **options: Any) -> Archive:
    return write_zip(root, into, **{"top": "app", "bases": (), "ui": QUIET, **options})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return plant(tmp_path / "tree", SAMPLES)


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat nearly every file as a large one, read in many pieces."""
    monkeypatch.setattr(archive, "LARGE", 50)
    monkeypatch.setattr(archive, "CHUNK", 64)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sizes, offsets and counts overflow soon, so that every ZIP64 field is used."""
    monkeypatch.setattr(archive, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(archive, "ZIP64_COUNT", 3)


def check_with_unzip(path: Path) -> None:
    subprocess.run(["unzip", "-tqq", path], check=True)


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {info.filename: file.read(info) for info in file.infolist() if not info.is_dir()}


EXPECTED = {f"app/{name}": content for name, content in SAMPLES.items()}


def test_round_trip(tree: Path, tmp_path: Path) -> None:
    made = zipped(tree, tmp_path / "a.zip")
    assert contents(made.path) == EXPECTED
    check_with_unzip(made.path)
    data = made.path.read_bytes()
    assert (made.size, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_members_are_sorted_and_described(tree: Path, tmp_path: Path) -> None:
    made = zipped(tree, tmp_path / "a.zip")
    assert [member.path for member in made.members] == sorted(SAMPLES)
    assert made.members[0] == Member(
        path="bin/tool",
        sha256=hashlib.sha256(SAMPLES["bin/tool"]).hexdigest(),
        size=len(SAMPLES["bin/tool"]),
        mode=0o755,
    )
    with zipfile.ZipFile(made.path) as file:
        assert file.namelist() == [f"app/{name}" for name in sorted(SAMPLES)]


def test_headers_hold_nothing_but_what_is_meant(tree: Path, tmp_path: Path) -> None:
    (tree / "lib/a.py").chmod(0o600)
    (tree / "bin/tool").chmod(0o510)
    with zipfile.ZipFile(zipped(tree, tmp_path / "a.zip").path) as file:
        found = {info.filename: info for info in file.infolist()}
    assert {oct(info.external_attr >> 16) for info in found.values()} == {"0o100644", "0o100755"}
    assert found["app/bin/tool"].external_attr >> 16 == 0o100755
    assert {info.create_system for info in found.values()} == {3}
    assert {info.date_time for info in found.values()} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.extra for info in found.values()} == {b""}
    for name, info in found.items():
        assert bool(info.flag_bits & 0x800) is not name.isascii()
    assert found["app/empty"].compress_type == zipfile.ZIP_STORED
    assert found["app/lib/noise.bin"].compress_type == zipfile.ZIP_STORED
    assert found["app/lib/a.py"].compress_type == zipfile.ZIP_DEFLATED


def test_unzip_restores_names_modes_and_empty_directories(tree: Path, tmp_path: Path) -> None:
    (tree / "var/log").mkdir(parents=True)
    made = zipped(tree, tmp_path / "a.zip")
    away = tmp_path / "far away"
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(["unzip", "-qq", made.path, "-d", away], check=True, env=environment)
    for name, content in SAMPLES.items():
        assert (away / "app" / name).read_bytes() == content
    assert (away / "app/bin/tool").stat().st_mode & 0o777 == 0o755
    assert (away / "app/lib/a.py").stat().st_mode & 0o777 == 0o644
    assert list((away / "app/var").iterdir()) == [away / "app/var/log"]
    assert "var/log/" not in {member.path for member in made.members}


def test_directories_that_hold_something_have_no_member(tree: Path, tmp_path: Path) -> None:
    (tree / "void/inner").mkdir(parents=True)
    with zipfile.ZipFile(zipped(tree, tmp_path / "a.zip").path) as file:
        directories = [info for info in file.infolist() if info.is_dir()]
    assert [(info.filename, info.external_attr) for info in directories] == [("app/void/inner/", 0o40755 << 16 | 0x10)]


def test_an_empty_tree_is_a_valid_archive(tmp_path: Path) -> None:
    root = plant(tmp_path / "nothing", {})
    assert zipped(root, tmp_path / "a.zip").members == ()
    assert contents(tmp_path / "a.zip") == {}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        one = plant(tmp_path / "one", SAMPLES)
        os.umask(0o077)
        other = plant(tmp_path / "elsewhere/other", dict(reversed(SAMPLES.items())), mode=0o600)
        for place, path in enumerate(other.rglob("*")):
            os.utime(path, (place, 1_700_000_000 + place))
        first = zipped(one, tmp_path / "a.zip", jobs=1)
        second = zipped(other, tmp_path / "b.zip", jobs=5)
    finally:
        os.umask(previous)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256


def test_how_work_is_shared_out_shows_nowhere(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = zipped(tree, tmp_path / "a.zip").sha256
    monkeypatch.setattr(archive, "BATCH_FILES", 1)
    assert zipped(tree, tmp_path / "b.zip", jobs=1).sha256 == expected


@pytest.mark.usefixtures("streaming")
def test_streamed_files_round_trip(tree: Path, tmp_path: Path) -> None:
    made = zipped(tree, tmp_path / "a.zip")
    assert contents(made.path) == EXPECTED
    check_with_unzip(made.path)
    with zipfile.ZipFile(made.path) as file:
        assert file.getinfo("app/lib/noise.bin").compress_type == zipfile.ZIP_STORED
        assert file.getinfo("app/lib/a.py").compress_type == zipfile.ZIP_DEFLATED


@pytest.mark.usefixtures("narrow")
def test_zip64_fields_are_understood(tree: Path, tmp_path: Path) -> None:
    made = zipped(tree, tmp_path / "a.zip")
    assert b"PK\6\6" in made.path.read_bytes()
    assert contents(made.path) == EXPECTED
    check_with_unzip(made.path)


@pytest.mark.usefixtures("narrow", "streaming")
def test_zip64_fields_of_streamed_files_are_understood(tree: Path, tmp_path: Path) -> None:
    made = zipped(tree, tmp_path / "a.zip")
    assert contents(made.path) == EXPECTED
    check_with_unzip(made.path)


def test_more_members_than_two_bytes_count(tmp_path: Path) -> None:
    with (tmp_path / "a.zip").open("w+b") as out:
        many = archive._Zip(out, top="app")
        for number in range(65_600):
            nothing = archive._Squeezer(level=6).squeeze(b"")
            many.add(archive._File(name=f"{number:05}", size=0), nothing)
        many.finish()
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert len(file.namelist()) == 65_600
    listing = subprocess.run(["unzip", "-Z1", out.name], check=True, capture_output=True)
    assert listing.stdout.count(b"\n") == 65_600


@pytest.mark.nightly
def test_a_tree_of_more_files_than_two_bytes_count(tmp_path: Path) -> None:
    root = plant(tmp_path / "many", {f"{number:05}": b"" for number in range(65_600)})
    made = zipped(root, tmp_path / "a.zip")
    check_with_unzip(made.path)
    assert len(made.members) == 65_600


@pytest.mark.nightly
@pytest.mark.parametrize("level", [0, 1])
def test_a_file_of_more_than_four_gigabytes(tmp_path: Path, level: int) -> None:
    root = plant(tmp_path / "huge", {"z-behind-it": b"found\n"})
    with (root / "huge.bin").open("wb") as file:
        file.truncate((4 << 30) + 12345)
    made = zipped(root, tmp_path / "a.zip", level=level)
    check_with_unzip(made.path)
    with zipfile.ZipFile(made.path) as file:
        assert file.getinfo("app/huge.bin").file_size == (4 << 30) + 12345
        assert file.read("app/z-behind-it") == b"found\n"


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    peaks = []
    for size in (64 << 20, 512 << 20):
        root = plant(tmp_path / str(size), {"kept": b""})
        with (root / "sparse").open("wb") as file:
            file.truncate(size)
        peaks.append(_peak_of_packing(root, tmp_path / "a.zip"))
    assert peaks[1] < peaks[0] + 8_000  # kB


def _peak_of_packing(root: Path, into: Path) -> int:
    """Return the peak memory, in kB, of a process that packs a tree."""
    program = (
        "import resource, sys; from pathlib import Path; from relenv.ui import open_ui\n"
        "from relenv.bundle.archive import write_zip\n"
        "tree, into = map(Path, sys.argv[1:])\n"
        "write_zip(tree, into, top='a', bases=(), level=1, ui=open_ui(quiet=True))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, root, into], check=True, capture_output=True)
    return int(done.stdout)


def test_level_0_stores(tree: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(zipped(tree, tmp_path / "a.zip", level=0).path) as file:
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}
    assert contents(tmp_path / "a.zip") == EXPECTED


@pytest.mark.parametrize(("mode", "shown"), [(0o654, 0o644), (0o744, 0o755), (0o600, 0o644), (0o700, 0o755)])
def test_what_its_owner_may_execute_may_be_executed(tree: Path, tmp_path: Path, mode: int, shown: int) -> None:
    """In every format: `relenv verify` holds all of them against the same manifest."""
    path = next(one for one in sorted(tree.rglob("*")) if one.is_file())
    path.chmod(mode)
    with zipfile.ZipFile(zipped(tree, tmp_path / "a.zip").path) as file:
        assert file.getinfo(f"app/{path.relative_to(tree)}").external_attr >> 16 & 0o7777 == shown
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "it", path)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getmember("it").mode == shown


def test_all_members_are_of_one_time(tree: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(zipped(tree, tmp_path / "a.zip").path) as file:
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


# --- packs


@pytest.fixture
def pack(tree: Path, tmp_path: Path) -> Pack:
    return pack_tree(tree, tmp_path / "pack")


@pytest.mark.parametrize("large", [False, True])
def test_a_pack_changes_no_byte(tree: Path, tmp_path: Path, request: pytest.FixtureRequest, *, large: bool) -> None:
    if large:
        request.getfixturevalue("streaming")
    pack_tree(tree, tmp_path / "pack")
    (tree / "lib/a.py").write_bytes(b"edited = True\n" * 500)
    (tree / "lib/own.py").write_bytes(b"new = True\n" * 500)
    plain = zipped(tree, tmp_path / "a.zip")
    reused = zipped(tree, tmp_path / "b.zip", bases=[Pack.open(tmp_path / "pack")])
    assert plain.path.read_bytes() == reused.path.read_bytes()
    assert plain.members == reused.members


def test_what_is_in_a_pack_is_not_squeezed_again(
    tree: Path, tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeezed = []
    real = deflate.deflate_compress

    def spy(raw: bytes, *rest: Any, **more: Any) -> bytes:
        squeezed.append(raw)
        return real(raw, *rest, **more)

    monkeypatch.setattr(deflate, "deflate_compress", spy)
    (tree / "lib/own.py").write_bytes(b"new = True\n" * 500)
    (tree / "lib/a.py").rename(tree / "lib/renamed.py")
    zipped(tree, tmp_path / "a.zip", bases=[pack])
    assert squeezed == [b"new = True\n" * 500]
    more = pack_tree(tree, tmp_path / "more", but=[pack])
    assert more.known.keys() == {hashlib.sha256(squeezed[0]).hexdigest()}
    # nor is it read, where what it holds is known
    squeezed.clear()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in SAMPLES.items()}
    assert pack_tree(tree, tmp_path / "more", but=[pack], digests=digests).known == more.known
    assert squeezed == [b"new = True\n" * 500, b"import os\n" * 500]


def test_a_pack_opens_as_it_was_written(tmp_path: Path, pack: Pack) -> None:
    assert Pack.open(tmp_path / "pack") == pack
    assert len(pack.known) == len(SAMPLES)


def test_equal_files_are_packed_once(tmp_path: Path) -> None:
    root = plant(tmp_path / "tree", {"a": b"same\n" * 99, "b": b"same\n" * 99})
    (root / "link").symlink_to("a")
    pack = pack_tree(root, tmp_path / "pack")
    (packed,) = pack.known.values()
    assert pack.blob.stat().st_size == packed.facts.length


@pytest.mark.usefixtures("streaming")
def test_equal_large_files_are_packed_once(tmp_path: Path) -> None:
    test_equal_files_are_packed_once(tmp_path)


def test_a_new_pack_replaces_an_old_one(tree: Path, tmp_path: Path, pack: Pack) -> None:
    (tree / "more").write_bytes(b"more")
    assert set(pack.known) < set(pack_tree(tree, tmp_path / "pack").known)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_blob_reaches_no_bundle(
    tree: Path, tmp_path: Path, request: pytest.FixtureRequest, *, large: bool, cut: bool
) -> None:
    if large:
        request.getfixturevalue("streaming")
    pack = pack_tree(tree, tmp_path / "pack")
    blob = bytearray(pack.blob.read_bytes())
    blob[-9] ^= 1
    pack.blob.write_bytes(blob[:-9] if cut else blob)
    with pytest.raises(CacheError, match="is damaged"):
        zipped(tree, tmp_path / "a.zip", bases=[pack])
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("index", ["", "{}", "[]", '{"format": 99}', '{"format":1,"codec":"","known":{"a":[1]}}'])
def test_a_damaged_index_is_named(tmp_path: Path, pack: Pack, index: str) -> None:
    pack.index.write_text(index)
    with pytest.raises(CacheError, match=f"{tmp_path}/pack is damaged") as caught:
        Pack.open(tmp_path / "pack")
    assert caught.value.hint


def test_a_missing_pack_is_named(tmp_path: Path, tree: Path, pack: Pack) -> None:
    with pytest.raises(CacheError, match="No such file"):
        Pack.open(tmp_path / "none")
    shutil.rmtree(pack.root)
    with pytest.raises(CacheError, match="No such file"):
        zipped(tree, tmp_path / "a.zip", bases=[pack])


# --- refusals: one sentence, and nothing left behind


@contextmanager
def leaving_nothing(folder: Path) -> Iterator[None]:
    before = sorted(folder.iterdir())
    yield
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("target", ["a.py", "nowhere", ".."])
def test_symbolic_links_are_refused_by_name(tree: Path, tmp_path: Path, target: str) -> None:
    (tree / "lib/link").symlink_to(target)
    with leaving_nothing(tmp_path), pytest.raises(CheckError, match="lib/link is a symbolic link"):
        zipped(tree, tmp_path / "a.zip")


def test_what_is_no_file_is_refused_by_name(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "lib/pipe")
    with leaving_nothing(tmp_path), pytest.raises(CheckError, match="lib/pipe is no regular file"):
        zipped(tree, tmp_path / "a.zip")


def test_a_name_that_is_not_utf8_is_refused(tree: Path, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9")).touch()
    with leaving_nothing(tmp_path), pytest.raises(CheckError, match=r"caf\\xe9"):
        zipped(tree, tmp_path / "a.zip")


def test_a_missing_tree_is_named(tmp_path: Path) -> None:
    with leaving_nothing(tmp_path), pytest.raises(CacheError, match=r"cannot read .*/none: No such file"):
        zipped(tmp_path / "none", tmp_path / "a.zip")


@pytest.mark.parametrize("content", [b"", b"shorter", b"longer" * 9])
def test_a_file_that_changes_meanwhile_is_refused(
    tree: Path, tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "lib/log").write_bytes(b"twelve bytes")
    fresh = archive.fresh

    def meddle(into: Path) -> Any:
        (tree / "lib/log").write_bytes(content)
        return fresh(into)

    monkeypatch.setattr(archive, "fresh", meddle)
    with leaving_nothing(tmp_path), pytest.raises(CheckError, match="lib/log changed while it was packed"):
        zipped(tree, tmp_path / "a.zip")


def test_a_place_that_cannot_be_written_is_named(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").touch()
    for into in ("taken", "missing/a.zip", "file/a.zip"):
        with leaving_nothing(tmp_path), pytest.raises(OutputError, match=f"cannot write .*/{into}: "):
            zipped(tree, tmp_path / into)
    with leaving_nothing(tmp_path), pytest.raises(OutputError, match=r"cannot write .*/file/pack: "):
        pack_tree(tree, tmp_path / "file/pack")


FULL_DISK = """
import resource, sys
from pathlib import Path
from relenv.bundle.archive import pack_tree, write_zip
from relenv.errors import OutputError
from relenv.ui import open_ui
tree, folder = map(Path, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
for attempt in (
    lambda: write_zip(tree, folder / "a.zip", top="top", bases=(), ui=open_ui(quiet=True)),
    lambda: pack_tree(tree, folder / "pack"),
):
    try:
        attempt()
    except OutputError as error:
        print(error.message)
"""
"""Lets no file grow beyond 2000 bytes: as near to a full disk as an unprivileged process can get. In a process of
its own: the limit would hold for the log of the tests as well."""


def test_a_full_disk_leaves_the_old_file(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"old")
    with leaving_nothing(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", FULL_DISK, tree, tmp_path], capture_output=True, text=True, check=True
        )
    messages = done.stdout.splitlines()
    assert len(messages) == 2, done.stderr
    assert all(os.strerror(errno.EFBIG) in message for message in messages)
    assert (tmp_path / "a.zip").read_bytes() == b"old"


class _Impatient(QuietUi):
    """Someone who presses ctrl-C as soon as something moves."""

    def __init__(self) -> None:
        self.dropped = False

    def work(self, text: str, *, total: float | None = None, unit: str = "") -> Any:
        assert (text, unit) == ("Packing a.zip", "bytes")
        assert total == sum(map(len, SAMPLES.values()))
        return self

    def advance(self, amount: float) -> None:  # noqa: ARG002
        raise KeyboardInterrupt

    def drop(self) -> None:
        self.dropped = True


def test_ctrl_c_leaves_nothing(tree: Path, tmp_path: Path) -> None:
    ui = _Impatient()
    with leaving_nothing(tmp_path), pytest.raises(KeyboardInterrupt):
        zipped(tree, tmp_path / "a.zip", ui=ui)
    assert ui.dropped
