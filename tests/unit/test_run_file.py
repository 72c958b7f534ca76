"""The header of a `run` file, in sh: what it does where it cannot unpack, and what it starts; with a small payload."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from relenv.bundle.config import AppConfig
from relenv.bundle.formats import FORMATS, Job
from relenv.pip_shim.packing import DamagedError, payload_of
from relenv.ui import QuietUi

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = ["dash", "bash --posix", "busybox ash", "mksh", "ksh93", "yash"]
NO_ROOM = (
    '#!/bin/sh\nfor n in 1 2 3 4 5; do echo "tar: file $n: Cannot write: No space left on device" >&2; done\nexit 2\n'
)
DF = """\
#!/bin/sh
echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'
echo 'none 20480 18432 {free} 99% /x'
"""
FAKE = "fake-tools"


def run_file(into: Path, *scripts: str, content: str = "", **values: Any) -> Path:
    """Write a `run` file whose Python is this one, as are its scripts if nothing else is said."""
    tree = into / "tree"
    (tree / "bin").mkdir(parents=True)
    for name in ("python3", *scripts):
        path = tree / "bin" / name
        python = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'
        path.write_text(python if name == "python3" else content or python)
        path.chmod(0o755)
    (tree / "data").write_bytes(b"x" * 5_000_001)
    job = Job(
        tree=tree,
        name="app",
        title="App 1.0",
        facts={"program": "App 1.0"},
        scripts=scripts,
        compression="fast",
        packs=(),
        digests={},
        below=(),
        jobs=1,
        ui=QuietUi(Console(file=sys.stderr)),
        context=None,  # type: ignore[arg-type] # it is for images alone
        config=AppConfig(root=into, **values),
    )
    FORMATS["run"].write(job, into / "app.run")
    return into / "app.run"


def tool(folder: Path, name: str, text: str) -> None:
    path = folder / FAKE / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def call(shell: str, program: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    name, *options = shell.split()
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    path = f"{program.parent / FAKE}:{os.environ['PATH']}"
    command = [found, *options, program, *words]
    return subprocess.run(command, env={"PATH": path, **env}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(shell: str, tmp_path: Path) -> None:
    program, base = run_file(tmp_path, "app"), tmp_path / "a b/made/for it"
    tool(tmp_path, "tar", NO_ROOM)
    tool(tmp_path, "df", DF.format(free=2048))
    done = call(shell, program, RELENV_RUN_DIR=str(base))
    assert done.stderr == (
        f"{program}: cannot unpack into {base}: it takes 5 MB, and 2 MB are free; RELENV_RUN_DIR names another place\n"
    )
    assert done.returncode == 126
    assert not (tmp_path / "a b").exists()
    (tmp_path / "mine").mkdir()
    done = call(shell, program, "--extract", str(tmp_path / "mine/a/b/c"))
    where = tmp_path / "mine/a/b/c"
    assert done.stderr == f"{program}: cannot unpack into {where}: it takes 5 MB, and 2 MB are free\n"
    assert not any((tmp_path / "mine").iterdir())  # what was there stays


@pytest.mark.parametrize("shell", SHELLS)
def test_another_cause_is_told_by_what_tar_says_first(shell: str, tmp_path: Path) -> None:
    program = run_file(tmp_path, "app")
    tool(tmp_path, "tar", NO_ROOM.replace("No space left on device", "Disk quota exceeded"))
    for free in ("9999999999999", "20480", "-"):
        tool(tmp_path, "df", DF.format(free=free))
        done = call(shell, program, RELENV_RUN_DIR=str(tmp_path / "place"))
        what = "tar: file 1: Cannot write: Disk quota exceeded"
        help_ = "RELENV_RUN_DIR names another place"
        assert done.stderr == f"{program}: cannot unpack into {tmp_path}/place: {what}; {help_}\n"
        assert not (tmp_path / "place").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_damage_is_called_so(shell: str, tmp_path: Path) -> None:
    program = run_file(tmp_path, "app")
    data = program.read_bytes()
    program.write_bytes(data[:-9] + b"x" + data[-8:])
    done = call(shell, program, RELENV_RUN_DIR=str(tmp_path / "place"))
    assert done.stderr == f"{program}: cannot unpack into {tmp_path}/place: it is damaged: get it again\n"
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize("missing", ["tar", "gzip", "tail", "id"])
def test_a_program_that_is_missing_is_no_damage(missing: str, tmp_path: Path) -> None:
    program, tools = run_file(tmp_path, "app"), tmp_path / "tools"
    tools.mkdir()
    for name in {"id", "find", "mkdir", "tar", "gzip", "tail", "wc", "mv", "rm", "rmdir", "cat", "df"} - {missing}:
        (tools / name).symlink_to(str(shutil.which(name)))
    env = {"PATH": str(tools), "RELENV_RUN_DIR": str(tmp_path / "place")}
    done = subprocess.run(["/bin/sh", program], env=env, capture_output=True, text=True, check=False)
    assert done.stderr == f"{program}: {missing} is needed to unpack it, and is not in PATH\n"
    assert done.returncode == 126
    (tools / missing).symlink_to(str(shutil.which(missing)))
    done = subprocess.run(["/bin/sh", program, "-c", ""], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_changed_header_is_found(shell: str, tmp_path: Path) -> None:
    # yash reads letters outside ASCII only where the locale has them
    program = run_file(tmp_path, "app" if shell == "yash" else "äpp")
    data = program.read_bytes()
    assert call(shell, program, "--verify").stdout == f"{program}: whole\n"
    with payload_of(program) as payload:
        assert not payload.surplus
    (seal,) = re.findall(rb"^header=\w{64}$", data, re.MULTILINE)
    for before, after in (
        (b"\npayload() { tail -c +", b"\npayload() { tail -c -"),
        (b"# Unpack into", b"# unpack into"),
        (b"# Unpack into", b"# Unp\xe4ck into"),
        (seal, b"header=" + b"0" * 64),
        (seal + b"\n", seal + b";"),
    ):
        assert data.count(before) == 1
        program.write_bytes(data.replace(before, after))
        done = call(shell, program, "--verify")
        if shell != "yash" or after.isascii():
            assert done.returncode == 1
            assert done.stderr == f"{program}: it is damaged: its header does not have the checksum that it should\n"
        with pytest.raises(DamagedError, match="its header"), payload_of(program):
            pass


@pytest.mark.parametrize("missing", ["sha256sum", "tail", "head", "sed"])
def test_what_cannot_be_compared_is_not_called_damaged(missing: str, tmp_path: Path) -> None:
    program, tools = run_file(tmp_path, "app"), tmp_path / "tools"
    tools.mkdir()
    for name in {"sha256sum", "tail", "head", "sed"} - {missing}:
        (tools / name).symlink_to(str(shutil.which(name)))
    command = ["/bin/sh", program, "--verify"]
    done = subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (127, f"{program}: {missing} is needed for this\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_what_works_says_nothing(shell: str, tmp_path: Path) -> None:
    program, base = run_file(tmp_path, "app"), tmp_path / "made/for it/"
    for _ in range(2):
        done = call(shell, program, "-c", "print(1)", RELENV_RUN_DIR=str(base))
        assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
        assert [path.name[:4] for path in base.iterdir()] == ["app-"]
    info = call(shell, program, "--info", RELENV_RUN_DIR=str(base))
    assert f"unpacks to: {base}" in info.stdout
    done = call(shell, program, "--extract", str(tmp_path / "x/y"))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "x/y").iterdir()) == ["bin", "data"]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["y"]


@pytest.mark.parametrize("shell", SHELLS)
def test_without_scripts_python_is_as_isolated_as_they_would_be(shell: str, tmp_path: Path) -> None:
    (tmp_path / "astray").mkdir()
    (tmp_path / "astray/sitecustomize.py").write_text("print('astray')\n")
    shown = ("-c", "import sys; print(sys.flags.isolated, sys.flags.safe_path)")
    env = {"PYTHONPATH": str(tmp_path / "astray"), "RELENV_RUN_DIR": str(tmp_path / "place")}
    assert call(shell, run_file(tmp_path / "a"), *shown, **env).stdout == "1 True\n"
    assert call(shell, run_file(tmp_path / "b", isolated=False), *shown, **env).stdout == "astray\n0 True\n"
    # a script brings its own
    assert call(shell, run_file(tmp_path / "c", "app"), *shown, **env).stdout == "astray\n0 False\n"


NAMES = ["my tool", "my", "it's", 'so "so', "$HOME", "`id`", "*", "a?", "[z]", "-n", "esac", "a;b & c", "!x", "~", "#1"]


@pytest.mark.parametrize("shell", SHELLS)
def test_it_starts_the_script_that_has_its_name(shell: str, tmp_path: Path) -> None:
    program = run_file(tmp_path, *NAMES, content='#!/bin/sh\nprintf %s "${0##*/}"\n')
    env = {"RELENV_RUN_DIR": str(tmp_path / "place"), "HOME": "my"}
    for name in (*NAMES, *(f"{name}.run" for name in NAMES)):
        link = tmp_path / name
        link.symlink_to(program)
        done = call(shell, link, **env)
        assert (done.stdout, done.stderr) == (name.removesuffix(".run"), "")
        link.unlink()
    # and of those that have none of these names the first
    for name in ("tool", "ab", "z", "my tool\nmy.exe", "", " ", "zz"):
        link = tmp_path / f"{name}.run"
        link.symlink_to(program)
        assert call(shell, link, **env).stdout == "my tool"
        link.unlink()


PLACES = [
    ({"RELENV_RUN_DIR": "{0}/ö 'x/$HOME/-n"}, "ö 'x/$HOME/-n"),
    ({"RELENV_RUN_DIR": "{0}/to be/made//"}, "to be/made//"),
    ({"XDG_CACHE_HOME": "{0}/cache"}, "cache/{own}"),
    ({"HOME": "{0}/a home"}, "a home/.cache/{own}"),
    ({"XDG_CACHE_HOME": "{0}/file/below", "HOME": "{0}/nowhere/..", "TMPDIR": "{0}/tmp"}, "nowhere/../.cache/{own}"),
    ({"XDG_CACHE_HOME": "{0}/file/below", "HOME": "{0}/dangling", "TMPDIR": "{0}/tmp"}, "tmp/{own}"),
]


@pytest.mark.parametrize(("env", "place"), PLACES)
@pytest.mark.parametrize("shell", SHELLS)
def test_what_tells_makes_nothing(shell: str, tmp_path: Path, env: dict[str, str], place: str) -> None:
    env = {name: value.format(tmp_path / "there") for name, value in env.items()}
    program, there = run_file(tmp_path, "app"), tmp_path / "there"
    there.mkdir()
    (there / "file").touch()
    (there / "dangling").symlink_to("gone")
    before = sorted(there.rglob("*"))
    info = call(shell, program, "--info", **env)
    wanted = f"unpacks to: {there}/{place.format(own=f'relenv-run-{os.geteuid()}')}/app-"
    assert (info.returncode, info.stderr) == (0, "")
    assert info.stdout.splitlines()[-1].startswith(wanted)
    assert call(shell, program, "--verify", **env).stdout.endswith("whole\n")
    assert call(shell, program, "--extract", str(tmp_path / "apart"), **env).returncode == 0
    assert sorted(there.rglob("*")) == before
    # and it has told the truth, also once it is there
    assert call(shell, program, "-c", "", **env).returncode == 0
    told = info.stdout.splitlines()[-1].removeprefix("unpacks to: ")
    assert os.path.isdir(told)  # noqa: PTH112 - as it was said
    assert call(shell, program, "--info", **env).stdout == info.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_what_cannot_be_made_is_told_before(shell: str, tmp_path: Path) -> None:
    program = run_file(tmp_path, "app")
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("gone")
    for place in ("file/below", "dangling", "dangling/", "dangling/below", "file/a/b"):
        for words in (["--info"], ["-c", ""]):
            done = call(shell, program, *words, RELENV_RUN_DIR=f"{tmp_path}/{place}")
            why = f"RELENV_RUN_DIR is {tmp_path}/{place}, which cannot be made"
            assert (done.returncode, done.stderr) == (126, f"{program}: cannot unpack: {why}\n")


def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here")
    head, end, _ = run_file(tmp_path, "app").read_bytes().partition(b'\nexec "$home/bin/$main" $flags "$@"\n')
    (tmp_path / "head.sh").write_bytes(head + end)
    # every sh that is met knows -nt
    subprocess.run(["shellcheck", "-S", "warning", "-e", "SC3013", tmp_path / "head.sh"], check=True)
