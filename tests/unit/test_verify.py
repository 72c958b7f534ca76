"""`relenv_pip.verify`: archives and directories held against the manifest in them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import stat
import sys
import tarfile
import tempfile
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from layouts import begin, put
from nobody import as_nobody
from run_headers import run_header

from relenv.commands import verify as command
from relenv.errors import CheckError
from relenv.pip_shim.packing import NotABundleError
from relenv.pip_shim.verify import Report, main, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILES: dict[str, tuple[bytes, int]] = {
    "bin/run": (b"#!/bin/sh\nexit 0\n", 0o755),
    "lib/söme.txt": (b"text\n" * 1000, 0o644),
    "lib/empty": (b"", 0o644),
}


def manifest(files: Mapping[str, tuple[bytes, int]] = FILES) -> bytes:
    rows = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "mode": f"{mode:04o}"}
        for name, (data, mode) in files.items()
    }
    bundle = {"project": "shown", "version": "1.0"}
    return json.dumps({"python": "3.13.15", "bundle": bundle, "files": rows}).encode()


Members = list[tuple[str, bytes, int]]


def members(**changes: Any) -> Members:
    found = {"relenv.json": (manifest(), 0o644)} | FILES | changes
    return [(f"shown/{name}", *one) for name, one in found.items() if one is not None]


def as_zip(path: Path, what: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in what:
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(member, data)
    return path


def as_tar(path: Path, what: Members) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data, mode in what:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(member, io.BytesIO(data))
    return path


def as_run(path: Path, what: Members) -> Path:
    payload = as_tar(path, what).read_bytes()
    path.write_bytes(run_header(payload) + payload)
    return path


def as_dir(path: Path, what: Members) -> Path:
    for name, data, mode in what:
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)
    return path / "shown"


def as_layout(path: Path, what: Members, *more: Members, under: str = "opt/") -> Path:
    """Write an image layout with a layer of each; the paths of `more` may be from elsewhere than /opt."""
    path.mkdir()
    layers, diffs = [], []
    below = [("etc/passwd", b"root", 0o644)]
    for above, content in (("opt/", below), ("opt/", what), *((under, one) for one in more)):
        packed = as_tar(path / "layer", [(f"./{above}{name}", *rest) for name, *rest in content]).read_bytes()
        layers.append(put(path, packed))
        diffs.append(f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}")
    (path / "layer").unlink()
    run = {"Env": ["LANG=C", "PATH=/opt/shown/bin:/usr/bin"]}
    config = put(path, json.dumps({"config": run, "rootfs": {"diff_ids": diffs}}).encode())
    begin(path, put(path, json.dumps({"config": config, "layers": layers}).encode()))
    names = [f"blobs/{str(one['digest']).replace(':', '/')}" for one in (config, *layers)]
    (path / "manifest.json").write_text(json.dumps([{"Config": names[0], "Layers": names[1:]}]))
    return path


def as_image(path: Path, what: Members) -> Path:
    layout = as_layout(path.with_name("layout"), what)
    with tarfile.open(path, "w") as archive:
        archive.add(layout, "")
    return path


WRITERS: dict[str, Callable[[Path, Members], Path]] = {
    "zip": as_zip,
    "tar": as_tar,
    "run": as_run,
    "dir": as_dir,
    "layout": as_layout,
    "image": as_image,
}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Members], Path]:
    return lambda what: WRITERS[request.param](tmp_path / "shown.it", what)


def told(report: Report) -> list[tuple[str, str]]:
    return [(one.kind, one.path) for one in report.differences]


def test_whole(write: Callable[[Members], Path]) -> None:
    report = verify(write(members()))
    assert told(report) == []
    assert report.ok(strict=True)
    assert (report.name, report.python, report.files) == ("shown 1.0", "3.13.15", len(FILES))
    assert report.manifest == hashlib.sha256(manifest()).hexdigest()
    assert "whole" in report.text()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"bin/run": (b"#!/bin/sh\nexit 1\n", 0o755)}, ("changed", "bin/run")),
        ({"bin/run": (b"longer than it was", 0o755)}, ("changed", "bin/run")),
        ({"bin/run": None}, ("missing", "bin/run")),
        ({"bin/run": (FILES["bin/run"][0], 0o644)}, ("mode", "bin/run")),
        ({"bin/run": (FILES["bin/run"][0], 0o4755)}, ("mode", "bin/run")),
        ({"lib/empty": (b"", 0o755)}, ("mode", "lib/empty")),
        ({"lib/added": (b"", 0o644)}, ("added", "lib/added")),
        ({"lib/__pycache__/a.cpython-313.pyc": (b"", 0o644)}, ("bytecode", "lib/__pycache__/a.cpython-313.pyc")),
    ],
)
def test_what_is_different(
    write: Callable[[Members], Path], changes: dict[str, tuple[bytes, int] | None], found: tuple[str, str]
) -> None:
    report = verify(write(members(**changes)))
    assert told(report) == [found]
    assert report.ok() is (found[0] in ("added", "bytecode"))
    assert not report.ok(strict=True)
    assert report.described(strict=True)["whole"] is False


def test_a_place_without_modes_is_no_difference(tmp_path: Path) -> None:
    # as a FAT stick, or a share, has them: everything may be executed
    everything = [(name, data, 0o755) for name, data, _ in members()]
    assert verify(as_dir(tmp_path, everything)).ok(strict=True)


@pytest.mark.parametrize("kind", ["zip", "tar", "run"])
@pytest.mark.parametrize("at", [0.3, 0.6, 0.95])
def test_cut_short(tmp_path: Path, kind: str, at: float) -> None:
    path = WRITERS[kind](tmp_path / "it", members())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * at)])
    report = verify(path)
    assert [one.kind for one in report.failures] == ["damaged"]


def test_a_run_file_with_more_behind_it(tmp_path: Path) -> None:
    path = as_run(tmp_path / "it.run", members())
    with path.open("ab") as file:
        file.write(b"rm -rf")
    assert told(verify(path)) == [("damaged", "it.run")]


def test_a_changed_header_of_a_run_file(tmp_path: Path) -> None:
    path = as_run(tmp_path / "it.run", members())
    data = path.read_bytes()
    for before, after in (
        (b"exit\n", b"exec\n"),
        (b"exit\n", b"exit\r"),
        (b"size=", b"Size="),
        (b"\nheader=", b"\nheadeR="),
        (re.findall(rb"^header=.*", data, re.MULTILINE)[0], b"header=" + b"0" * 64),
    ):
        path.write_bytes(data.replace(before, after))
        assert told(verify(path)) == [("damaged", "it.run")]
    # nor is the line with the checksum a place to hide something
    path.write_bytes(re.sub(rb"(\nheader=.*)\nexit", rb"\1;exit", data))
    assert told(verify(path)) == [("damaged", "it.run")]


def test_damage_inside_of_a_member(tmp_path: Path) -> None:
    path = as_zip(tmp_path / "it.zip", members())
    data = bytearray(path.read_bytes())
    name = "lib/söme.txt".encode()
    data[data.index(name) + len(name) + 8] ^= 0xFF
    path.write_bytes(data)
    assert [path for kind, path in told(verify(path)) if kind == "changed"] == ["lib/söme.txt"]
    packed = as_tar(tmp_path / "it.tar.gz", members())
    plain = bytearray(gzip.decompress(packed.read_bytes()))
    plain[plain.index(b"text")] ^= 0xFF
    packed.write_bytes(gzip.compress(plain))
    assert told(verify(packed)) == [("changed", "lib/söme.txt")]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_no_archive_of_ours_has(tmp_path: Path, kind: str) -> None:
    twice = [*members(), ("shown/bin/run", b"other", 0o755)]
    assert ("changed", "bin/run") in told(verify(WRITERS[kind](tmp_path / "twice", twice)))
    out = [*members(), ("../evil", b"", 0o644)]
    assert [one.kind for one in verify(WRITERS[kind](tmp_path / "out", out)).failures] == ["changed"]


def test_a_link_in_place_of_a_file(tmp_path: Path) -> None:
    root = as_dir(tmp_path, members())
    (root / "bin/run").unlink()
    (root / "bin/run").symlink_to("/bin/true")
    assert told(verify(root)) == [("changed", "bin/run")]


@pytest.mark.parametrize(
    "content", [b"", b"PK\5\6", b"#!/bin/sh\necho\n", b"\x1f\x8b" + bytes(20)], ids=["empty", "zip", "script", "gzip"]
)
def test_no_bundle(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "it"
    path.write_bytes(content)
    try:
        assert not verify(path).ok()
    except NotABundleError as error:
        assert str(path) in str(error)  # noqa: PT017 - either will do


def test_an_archive_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(NotABundleError, match="no bundle"):
        verify(as_zip(tmp_path / "it.zip", [("a/b", b"", 0o644)]))
    with pytest.raises(NotABundleError, match="does not exist"):
        verify(tmp_path / "nothing")
    (tmp_path / "relenv.json").write_text('{"python": "3.13.15", "bundle": {"project": "a", "version": "1"}}')
    with pytest.raises(NotABundleError, match="names no files"):
        verify(tmp_path)
    (tmp_path / "relenv.json").write_text("{")
    assert [one.kind for one in verify(tmp_path).failures] == ["damaged"]


ROW = {"sha256": "0" * 64, "size": 1, "mode": "0644"}


@pytest.mark.parametrize(
    "change",
    [
        *({"files": {"a": row}} for row in ("abc", [1, 2, 3], 1, None, {}, {"Mode": "0644"}, ROW | {"more": 1})),
        *({"files": {"a": ROW | {"mode": mode}}} for mode in ("rw-", 420, None)),
        *({"files": {"a": ROW | {"size": size}}} for size in ("1", 1.5, True, None)),
        *({"files": {"a": ROW | {"sha256": sha256}}} for sha256 in (1, None)),
        *({"files": files} for files in (["a"], "a", None)),
        *({"bundle": bundle} for bundle in (["project", "version"], None, {"project": 1, "version": "1.0"})),
        {"bundle": {"project": "a", "version": None}},
        {"python": 3.13},
        {"python": None},
    ],
    ids=str,
)
def test_a_damaged_manifest_is_damage(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "relenv.json").write_text(json.dumps(json.loads(manifest()) | change))
    report = verify(tmp_path)
    assert told(report) == [("damaged", tmp_path.name)]
    assert report.failures[0].what == "its relenv.json cannot be read"


@pytest.mark.parametrize("content", [b"[]", b"1", b"\xff", b"[" * 100_000])
def test_a_manifest_that_is_no_object(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "relenv.json").write_bytes(content)
    assert told(verify(tmp_path)) == [("damaged", tmp_path.name)]


# --- images


@pytest.mark.parametrize("at", [0.3, 0.6])
def test_an_image_cut_short(tmp_path: Path, at: float) -> None:
    path = as_image(tmp_path / "it", members())
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[: int(len(data) * at)])
    found = verify(path).failures
    assert {one.kind for one in found} <= {"damaged", "missing"}
    assert found


def test_an_image_cut_short_between_two_blobs(tmp_path: Path) -> None:
    path = as_image(tmp_path / "it", members())
    with tarfile.open(path) as archive:
        ends = [one.offset for one in archive if one.name.startswith("blobs/sha256/")]
    path.write_bytes(path.read_bytes()[: ends[1]])
    assert told(verify(path)) == [("missing", "oci-layout")]


def blob(layout: Path, number: int) -> Path:
    """Return a layer, or the configuration at -1."""
    (image,) = json.loads((layout / "manifest.json").read_bytes())
    return layout / str([*image["Layers"], image["Config"]][number])


def test_a_damaged_blob_of_an_image(tmp_path: Path) -> None:
    path = as_layout(tmp_path / "image", members())
    layer = blob(path, 1)
    data = bytearray(layer.read_bytes())
    data[len(data) // 2] ^= 0xFF
    layer.write_bytes(data)
    name = f"blobs/sha256/{layer.name}"
    assert set(told(verify(path))) == {("changed", name), ("damaged", name)}
    layer.write_bytes(data[:-9])
    assert set(told(verify(path))) == {("changed", name), ("damaged", name)}
    layer.unlink()
    assert told(verify(path)) == [("missing", name)]
    layer.write_bytes(gzip.compress(b""))
    assert not verify(path).ok()


def test_damage_beside_the_bundle_in_an_image(tmp_path: Path) -> None:
    path = as_layout(tmp_path / "image", members())
    below = blob(path, 0)
    data = below.read_bytes()
    below.write_bytes(data + b"more")
    assert ("changed", f"blobs/sha256/{below.name}") in told(verify(path))
    below.write_bytes(gzip.compress(gzip.decompress(data), 0))
    assert told(verify(path)) == [("changed", f"blobs/sha256/{below.name}")]
    below.write_bytes(data)
    (path / "blobs/sha256/more").touch()
    assert told(verify(path)) == [("added", "blobs/sha256/more")]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"{}", b'{"manifests": [1]}'])
@pytest.mark.parametrize("name", ["oci-layout", "index.json", "manifest.json", "config"])
def test_a_document_of_an_image_that_makes_no_sense(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = as_layout(tmp_path / "image", members())
    document = blob(path, -1) if name == "config" else path / name
    document.unlink()
    if content is not None:
        document.write_bytes(content)
    if (name, content) == ("oci-layout", None):
        with pytest.raises(NotABundleError, match="no bundle"):
            verify(path)
    else:
        # a layout that skopeo has written has nothing for docker
        assert verify(path).ok() is ((name, content) == ("manifest.json", None))


def test_digests_that_do_not_belong_together(tmp_path: Path) -> None:
    path, other = as_layout(tmp_path / "one", members()), as_layout(tmp_path / "other", members(a=(b"", 0o644)))
    (image,) = json.loads((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_bytes((other / "manifest.json").read_bytes())
    assert told(verify(path)) == [("changed", "manifest.json")]
    (path / "manifest.json").write_text(json.dumps([image]))
    assert verify(path).ok()
    # a configuration with its digests in order, but for what the layers unpack to
    config, index = path / image["Config"], json.loads((path / "index.json").read_bytes())
    manifest = path / "blobs" / index["manifests"][0]["digest"].replace(":", "/")
    text = config.read_text()
    diff = json.loads(text)["rootfs"]["diff_ids"][1]
    changed = text.replace(diff, f"sha256:{'0' * 64}").encode()
    digest = hashlib.sha256(changed).hexdigest()
    (config.parent / digest).write_bytes(changed)
    again = manifest.read_text().replace(config.name, digest).encode()
    config.unlink()
    manifest.unlink()
    (config.parent / hashlib.sha256(again).hexdigest()).write_bytes(again)
    entry = {"digest": f"sha256:{hashlib.sha256(again).hexdigest()}", "size": len(again)}
    (path / "index.json").write_text(json.dumps({"manifests": [entry]}))
    (path / "manifest.json").write_text(json.dumps([image | {"Config": f"blobs/sha256/{digest}"}]))
    assert told(verify(path)) == [("changed", f"blobs/sha256/{blob(path, 1).name}")]


def test_a_layer_on_top_of_the_bundle(tmp_path: Path) -> None:
    same: Members = [("shown/bin/run", *FILES["bin/run"]), ("home/.wh.it", b"", 0o644)]
    assert verify(as_layout(tmp_path / "same", members(), same)).ok(strict=True)
    other: Members = [("shown/bin/run", b"other", 0o755), ("shown/lib/.wh.empty", b"", 0o644)]
    assert told(verify(as_layout(tmp_path / "other", members(), other))) == [
        ("changed", "bin/run"),
        ("missing", "lib/empty"),
    ]
    opaque: Members = [("shown/lib/.wh..wh..opq", b"", 0o644)]
    missing = [("missing", name) for name in FILES if name.startswith("lib/")]
    assert told(verify(as_layout(tmp_path / "opaque", members(), opaque))) == missing


def test_what_takes_the_place_of_another_in_a_layer_hides_it(tmp_path: Path) -> None:
    file: Members = [("shown/lib", b"", 0o644)]
    missing = [("missing", name) for name in FILES if name.startswith("lib/")]
    assert told(verify(as_layout(tmp_path / "file", members(), file))) == [*missing, ("added", "lib")]
    folder: Members = [("shown/bin/run/below", b"", 0o644)]
    wanted = [("missing", "bin/run"), ("added", "bin/run/below")]
    assert told(verify(as_layout(tmp_path / "folder", members(), folder))) == wanted
    empty: Members = [("shown/bin/run/", b"", 0o755)]
    assert told(verify(as_layout(tmp_path / "empty", members(), empty))) == [("missing", "bin/run")]


GONE = [".wh.opt", ".wh..wh..opq", "opt", "opt/.wh.shown", "opt/.wh..wh..opq", "opt/shown"]


@pytest.mark.parametrize("name", [*GONE, "opt/shown/.wh..wh..opq", "opt/shown/.wh.relenv.json"])
def test_a_layer_that_removes_the_bundle(tmp_path: Path, name: str) -> None:
    gone: Members = [(name, b"", 0o644)]
    with pytest.raises(NotABundleError, match=r"/opt/shown in it has no relenv\.json"):
        verify(as_layout(tmp_path / "gone", members(), gone, under=""))
    again: Members = [(f"opt/{name}", *rest) for name, *rest in members()]
    assert verify(as_layout(tmp_path / "after", members(), gone, again, under="")).ok(strict=True)
    if ".wh." in name:  # what removes, removes from the layers below alone
        assert verify(as_layout(tmp_path / "again", members(), [*gone, *again], under="")).ok(strict=True)


def test_a_manifest_in_the_place_of_which_is_something_else(tmp_path: Path) -> None:
    with pytest.raises(NotABundleError, match=r"has no relenv\.json"):
        verify(as_layout(tmp_path / "folder", members(), [("shown/relenv.json/x", b"", 0o644)]))


@pytest.mark.parametrize(
    "name", ["opt/", "opt/shown/", ".wh.op", "opt/.wh.show", "opt/.wh.shown.old", "usr/.wh..wh..opq"]
)
def test_a_layer_that_removes_something_beside_the_bundle(tmp_path: Path, name: str) -> None:
    assert verify(as_layout(tmp_path / "it", members(), [(name, b"", 0o755)], under="")).ok(strict=True)


def test_an_image_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(NotABundleError, match="/opt/shown in it has no"):
        verify(as_layout(tmp_path / "image", [("bin/sh", b"", 0o755)]))
    index = tmp_path / "image/index.json"
    index.write_text(json.dumps({"manifests": json.loads(index.read_bytes())["manifests"] * 2}))
    with pytest.raises(NotABundleError, match="has 2 images"):
        verify(tmp_path / "image")


def refused(path: Path, restored: Path) -> CheckError:
    """Verify as a user who may not read something; return the error."""
    asked = Namespace(path=path, strict=False, json=False)
    try:
        with as_nobody(), pytest.raises(CheckError) as caught:
            command.run(asked, None)  # type: ignore[arg-type] # it looks at no edge
    finally:
        restored.chmod(0o755)
    return caught.value


@pytest.mark.parametrize("mode", [0, 0o100, 0o400])
@pytest.mark.parametrize(
    ("write", "closed"),
    [(as_dir, "."), (as_dir, "lib"), (as_layout, "."), (as_layout, "blobs"), (as_layout, "blobs/sha256")],
)
def test_what_may_not_be_read_is_not_said_to_be_missing(
    write: Callable[[Path, Members], Path], closed: str, mode: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # pytest's own directories are the user's alone
        path = write(Path(folder) / "it", members())
        (path / closed).chmod(mode)
        error = refused(path, path / closed)
    assert error.message == f"{path / closed} cannot be read: Permission denied"
    assert error.hint == "chmod u+rX, or verify as the user whose it is"


@pytest.mark.parametrize("closed", ["it.zip", "."])
def test_a_file_that_may_not_be_read_is_there(closed: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = as_zip(Path(folder) / "it.zip", members())
        Path(folder).chmod(0o755)
        (Path(folder) / closed).chmod(0)
        error = refused(path, Path(folder) / closed)
    assert error.message == f"{path} cannot be read: Permission denied"


def test_a_bundle_that_verifies_itself_says_so_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = as_dir(Path(folder), members())
        (path / "lib").chmod(0)
        monkeypatch.setattr(sys, "argv", ["verify", str(path)])
        with as_nobody():
            status = main()
        (path / "lib").chmod(0o755)
    assert status == CheckError.exit_code
    assert capsys.readouterr().err == f"error: {path}/lib cannot be read: Permission denied\n"


def test_a_chain_of_names_is_damage(tmp_path: Path) -> None:
    """Each a long name for the next: the module that reads tars calls itself for each."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2
    block = header.tobuf(tarfile.GNU_FORMAT) + b"a\0" + bytes(510)
    (tmp_path / "it.tar.gz").write_bytes(gzip.compress(block * 3000 + bytes(1024)))
    (one,) = verify(tmp_path / "it.tar.gz").differences
    assert one.kind == "damaged"
