"""`relenv check` on the real thing: clean as it is made, and each promise broken on purpose."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import EXAMPLE, own_disk

from relenv.bundle.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Relenv

    Check = Callable[..., dict[str, Any]]


@pytest.fixture
def check(relenv: Relenv, tmp_path: Path) -> Check:
    """Check a tree as another user would, whose home is elsewhere, and return what --json says."""

    def run(path: Path, *options: str, home: Path | None = None) -> dict[str, Any]:
        outcome = relenv("check", path, "--json", *options, env={"HOME": str(home or tmp_path / "home")}, check=False)
        said = json.loads(outcome.stdout)
        assert outcome.code == (0 if said["clean"] else 9), outcome.stderr
        assert said["clean"] == (said["errors"] == 0)
        return said

    return run


def errors(said: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["check"], one["file"]) for one in said["findings"] if one["severity"] == "error"}


@pytest.fixture(scope="session")
def pristine(relenv: Relenv, interpreter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """An environment with httpie, not to be changed."""
    root = tmp_path_factory.mktemp("check") / "environment"
    relenv("create", root)
    subprocess.run([root / "bin/pip3", "install", "-q", "httpie==3.2.4"], check=True)
    return root


@pytest.fixture
def env(pristine: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(pristine, tmp_path / "environment", symlinks=True)


@pytest.fixture(scope="session")
def patchelf(data: Path) -> Path:
    (found, *_) = sorted(data.glob("toolchains/*/bin/patchelf"))
    return found


def test_the_interpreter_is_clean(check: Check, interpreter: Path) -> None:
    said = check(interpreter)
    assert errors(said) == set()
    assert said["warnings"] == 0
    assert said["glibc"]["version"] == "2.17"
    assert said["elf_files"] > 30


def test_an_environment_is_clean_and_stays_so_when_moved(check: Check, pristine: Path, env: Path) -> None:
    for place in (pristine, env):
        assert errors(check(place)) == set()


HOME = Path("/home of/ada")


@pytest.fixture(scope="session")
def bundles(relenv: Relenv, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The example in every format, with one file that names a home directory."""
    folder = tmp_path_factory.mktemp("packed")
    project = shutil.copytree(EXAMPLE, folder / "project", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    (project / "note.txt").write_text(f"see {HOME}/notes\n")
    formats = [word for name in FORMATS for word in ("--format", name)]
    options = ("--json", "--include", "note.txt:share/note.txt", *formats)
    made = json.loads(relenv("bundle", project, "-o", f"{folder}/made of/", *options).stdout)
    found = {one["format"]: Path(one["path"]) for one in made["files"]}
    layout = folder / "layout"
    shutil.unpack_archive(found["oci"], layout, "tar", filter="data")
    return found | {"layout": layout}


@pytest.mark.parametrize("form", [*FORMATS, "layout"])
def test_a_bundle_is_checked_in_every_format(
    check: Check, bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    room = tmp_path / "r\u00f6om for it"
    room.mkdir()
    room.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(room))
    said = check(bundles[form], home=HOME)
    (found,) = said["findings"]
    assert (found["severity"], found["check"], found["file"]) == ("warning", "leak", "share/note.txt")
    assert said["elf_files"] > 30
    assert said["path"] == str(bundles[form])
    assert said | {"path": ""} == check(bundles["dir"], home=HOME) | {"path": ""}
    assert errors(check(bundles[form], "--run", home=HOME)) == set()
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("form", ["tar.gz", "tar.zst", "run", "oci", "zip"])
def test_a_damaged_bundle_is_one_sentence(relenv: Relenv, bundles: dict[str, Path], tmp_path: Path, form: str) -> None:
    path, data = tmp_path / "it", bundles[form].read_bytes()
    for changed in (data[: len(data) // 2], data[:6_000_000] + bytes(99) + data[6_000_099:]):
        path.write_bytes(changed)
        outcome = relenv("check", path, check=False)
        assert (outcome.code, outcome.stdout) == (9, "")
        assert outcome.errors[0].startswith((f"error: {path} cannot be unpacked: ", f"error: {path} is damaged: "))
        assert outcome.errors[1:] == ["hint: make it again, or copy it again"]


@pytest.mark.parametrize("form", FORMATS)
def test_where_a_bundle_has_no_room_is_told(
    relenv: Relenv, bundles: dict[str, Path], tmp_path: Path, form: str
) -> None:
    small = tmp_path / "small"
    with own_disk(small, "size=20m"):
        options = ["--run"] if form == "dir" else []
        outcome = relenv("check", bundles[form], *options, env={"TMPDIR": str(small)}, check=False)
        assert list(small.iterdir()) == []
    assert outcome.code == 10
    assert outcome.errors == [
        f"error: {bundles[form]} cannot be checked in {small}: the disk is full",
        "hint: make room, or let TMPDIR be a directory on another disk",
    ]


def test_it_says_so_in_a_table_and_one_line(relenv: Relenv, env: Path) -> None:
    (env / "bin/http").write_text("#!/opt/gone/bin/python3\n")
    outcome = relenv("check", env, check=False)
    assert outcome.code == 9
    (row,) = [line for line in outcome.stdout.splitlines() if "/opt/gone/bin/python3" in line]
    assert row.startswith("error")
    last = outcome.stdout.splitlines()[-1]
    assert "runs on glibc >= 2." in last
    assert "error" in last


def test_a_changed_file_is_found_by_its_record(check: Check, env: Path) -> None:
    (record,) = env.glob("lib/python3.*/site-packages/httpie-*.dist-info/RECORD")
    text = record.read_text()
    at = text.index("httpie/cli/argparser.py,sha256=") + len("httpie/cli/argparser.py,sha256=")
    record.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    assert errors(check(env)) == {("record", str(record.parents[1].relative_to(env) / "httpie/cli/argparser.py"))}


def test_what_other_installers_leave_is_found_and_mended(check: Check, env: Path) -> None:
    script = env / "bin/http"
    script.write_text(f"#!{env}/bin/python3\nfrom httpie.__main__ import main\nmain()\n")
    said = check(env)
    assert ("shebang", "bin/http") in errors(said)
    assert ("leak", "bin/http") in errors(said)
    (hint,) = {one["hint"] for one in said["findings"] if one["check"] == "shebang"}
    assert hint == "relenv repair DIR"
    subprocess.run([sys.executable, "-m", "relenv", "repair", env], check=True, capture_output=True)
    assert errors(check(env)) == set()


def test_a_missing_library_is_named_by_all_who_need_it(check: Check, env: Path) -> None:
    (env / "lib/libcrypto.so.3").unlink()
    found = {file.rpartition("/")[2].split(".")[0] for name, file in errors(check(env)) if name == "needed"}
    assert found == {"_ssl", "_hashlib", "libssl"}


def test_a_missing_extension_is_named(check: Check, env: Path) -> None:
    (module,) = env.glob("lib/python3.*/lib-dynload/_sqlite3.*.so")
    module.unlink()
    said = check(env)
    assert errors(said) == {("extensions", str(module.parent.relative_to(env)))}
    assert "lacks the extension module _sqlite3" in json.dumps(said)


def test_a_runpath_is_found(check: Check, env: Path, patchelf: Path) -> None:
    library = env / "lib/libssl.so.3"
    subprocess.run([patchelf, "--set-rpath", "$ORIGIN", library], check=True)
    assert errors(check(env)) == {("runpath", "lib/libssl.so.3")}


def test_a_search_path_that_leads_out_is_found(check: Check, env: Path, patchelf: Path) -> None:
    subprocess.run([patchelf, "--force-rpath", "--set-rpath", "/usr/lib", env / "lib/libssl.so.3"], check=True)
    assert ("rpath", "lib/libssl.so.3") in errors(check(env))


def test_an_executable_stack_is_found(check: Check, env: Path, patchelf: Path) -> None:
    subprocess.run([patchelf, "--set-execstack", env / "lib/libffi.so.8"], check=True)
    assert errors(check(env)) == {("execstack", "lib/libffi.so.8")}


def test_a_library_of_another_version_lacks_symbols(check: Check, env: Path) -> None:
    # one that has the name, but not what is asked of it
    shutil.copy(env / "lib/libz.so.1", env / "lib/libffi.so.8")
    found = errors(check(env))
    assert {file.rpartition("/")[2].split(".")[0] for name, file in found if name == "symbols"} >= {"_ctypes"}


@pytest.mark.parametrize("name", ["lib/pkgconfig/zlib.pc", "lib/libz.so.1", "relenv.json", "bin/http", "licenses/new"])
def test_a_home_directory_is_found_anywhere(check: Check, env: Path, tmp_path: Path, name: str) -> None:
    home = tmp_path / "home of ada"
    with (env / name).open("ab") as file:
        file.write(f"\n# {home}/project\n".encode())
    (env / name).chmod(0o755)
    assert ("leak", name) in errors(check(env, home=home))
    assert ("leak", name) not in errors(check(env))


def test_the_place_of_a_tree_is_found_in_sysconfig(check: Check, env: Path) -> None:
    (path,) = env.glob("lib/python3.*/_sysconfigdata_*.py")
    path.write_text(f"{path.read_text()}\nprefix = {str(env)!r}\n")
    assert errors(check(env)) == {("leak", str(path.relative_to(env)))}


def test_checking_executes_and_changes_nothing(check: Check, env: Path) -> None:
    (env / "bin/python3").chmod(0o644)
    (env / "lib/libz.so.1").chmod(0o444)
    before = {path: path.lstat().st_mtime_ns for path in env.rglob("*")}
    assert errors(check(env)) == {("mode", "bin/python3")}
    assert {path: path.lstat().st_mtime_ns for path in env.rglob("*")} == before


def test_run_finds_what_only_running_tells(check: Check, env: Path) -> None:
    assert errors(check(env)) == set()
    (module,) = env.glob("lib/python3.*/site-packages/httpie/__main__.py")
    source = module.read_text()
    module.write_text(f"import nowhere_to_be_found\n{source}")
    for stale in module.parent.glob("__pycache__/__main__.*.pyc"):
        stale.unlink()
    said = check(env, "--run")
    found = [one for one in said["findings"] if one["check"] == "run"]
    places = 5 if os.geteuid() == 0 else 4
    assert {one["file"] for one in found} == {"bin/http", "bin/https", "bin/httpie"}
    assert len(found) == places * 3
    assert all("No module named 'nowhere_to_be_found'" in one["what"] for one in found)


def test_run_finds_a_tree_that_knows_its_place(check: Check, env: Path) -> None:
    (module,) = env.glob("lib/python3.*/site-packages/httpie/__main__.py")
    module.write_text(f"open({os.fspath(env / 'relenv.json')!r})\n{module.read_text()}")
    env = env.rename(env.with_name("moved"))
    found = {one["file"] for one in check(env, "--run")["findings"] if one["check"] == "run"}
    assert found == {"bin/http", "bin/https", "bin/httpie"}


SPOTS = 4
"""Awkward places, for whoever is not root."""


def test_run_finds_a_tree_that_runs_another(check: Check, env: Path) -> None:
    # as long as that one is where it was, everything works
    python = env / "bin/python3"
    real = python.rename(python.with_name("python3-real"))
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(str(real))} "$@"\n')
    python.chmod(0o755)
    found = [one for one in check(env, "--run")["findings"] if one["check"] == "run"]
    # another user cannot even get there
    assert sum(f"it runs what is in {env}" in one["what"] for one in found if one["file"] == "bin/python3") >= SPOTS


def test_wrong_input_is_one_sentence(relenv: Relenv, tmp_path: Path) -> None:
    outcome = relenv("check", tmp_path, check=False)
    assert outcome.code == 2
    assert outcome.errors[0].startswith(f"error: {tmp_path} is not a tree of relenv's")
    assert outcome.errors[1].startswith("hint: ")
    assert relenv("check", tmp_path / "gone", check=False).code == 2
