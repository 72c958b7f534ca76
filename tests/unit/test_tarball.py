"""Tarballs and their checksums: the same bytes for the same content, and nobody's line lost."""

from __future__ import annotations

import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

from relenv.release import add_sum, write_tar

if TYPE_CHECKING:
    from pathlib import Path

DEEP = "/".join(["a rather long name of a directory"] * 5)


def _tree(root: Path, *, mask: int, names: list[str]) -> Path:
    before = os.umask(mask)
    try:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name, encoding="utf-8")
        (root / "bin/run").chmod(0o777 & ~mask)
        (root / "bin/link").symlink_to("run")
    finally:
        os.umask(before)
    return root


def test_who_made_a_tree_and_when_does_not_show(tmp_path: Path) -> None:
    names = ["bin/run", "lib/ünïcode", f"{DEEP}/file", "lib-x"]
    one = _tree(tmp_path / "one", mask=0o022, names=names)
    two = _tree(tmp_path / "another", mask=0o077, names=names[::-1])
    os.utime(two / "bin/run", (1, 1))
    write_tar(one, tmp_path / "one.tar")
    write_tar(two, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        modes = {member.name: member.mode for member in tar}
        assert {member.uid for member in tar} == {0}
        assert tar.getmember("bin/link").linkname == "run"
    assert modes["bin/run"] == 0o755
    assert modes["lib-x"] == 0o644
    assert f"{DEEP}/file" in modes


def test_sums_of_names_in_other_encodings_stay(tmp_path: Path) -> None:
    other = b"0" * 64 + b"  caf\xe9.iso\n"
    (tmp_path / "SHA256SUMS").write_bytes(other)
    add_sum(tmp_path / "SHA256SUMS", "a.tar.xz", "1" * 64)
    assert (tmp_path / "SHA256SUMS").read_bytes() == b"1" * 64 + b"  a.tar.xz\n" + other


def test_sums_are_those_of_sha256sum_and_keep_other_lines(tmp_path: Path) -> None:
    for name in ("b.tar.xz", "a.tar.xz"):
        (tmp_path / name).write_text(name)
    listed = subprocess.run(["sha256sum", "--binary", "b.tar.xz"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "SHA256SUMS").write_bytes(listed.stdout)
    digest = subprocess.run(["sha256sum", "a.tar.xz"], cwd=tmp_path, check=True, capture_output=True).stdout[:64]
    for _ in range(2):
        add_sum(tmp_path / "SHA256SUMS", "a.tar.xz", digest.decode())
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    assert [line[66:] for line in lines] == ["a.tar.xz", "b.tar.xz"]
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)


def test_a_new_sum_replaces_the_old_one(tmp_path: Path) -> None:
    for digest in ("0" * 64, "1" * 64):
        add_sum(tmp_path / "SHA256SUMS", "a.tar.xz", digest)
    assert (tmp_path / "SHA256SUMS").read_text() == f"{'1' * 64}  a.tar.xz\n"
