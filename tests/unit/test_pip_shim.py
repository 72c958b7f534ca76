"""relenv.pip_shim: environments as tools leave them, put in order; and pip, real and make-believe, run through it."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import relenv.pip_shim
from relenv.pip_shim import adopt, cli, records, scripts

PYTHON = Path(sys.executable).resolve()
LIB = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
SHIM = Path(relenv.pip_shim.__file__).parent
SHOW = "import sys\nprint(sys.prefix)\n"


@dataclass(frozen=True)
class Env:
    """A directory that its Python takes for its prefix, with the shim in its place."""

    root: Path

    @property
    def site(self) -> Path:
        return self.root / LIB / "site-packages"

    def script(self, name: str, text: str | bytes, mode: int = 0o755) -> Path:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def file(self, name: str, text: str) -> Path:
        path = self.site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def record(self, name: str, *files: str) -> Path:
        """Write the RECORD of a distribution that has these files, relative to site-packages."""
        path = self.file(f"{name}-1.0.dist-info/RECORD", "")
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\r\n")
        for file in files:
            data = (self.site / file).read_bytes()
            rows.writerow([file, digest(data), len(data)])
        rows.writerow([f"{path.parent.name}/RECORD", "", ""])
        path.write_bytes(text.getvalue().encode())
        return path

    def move(self, name: str) -> Env:
        return Env(self.root.rename(self.root.parent / name))

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
        clean |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | variables
        argv = [self.root / "bin" / words[0], *words[1:]]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=clean)

    def output(self, *words: str, **variables: str) -> str:
        done = self.run(*words, **variables)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


def digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def wrong_rows(env: Env) -> list[str]:
    """Return what RECORDs claim that is not so."""
    return [
        row[0]
        for record in env.site.glob("*.dist-info/RECORD")
        for row in csv.reader(record.read_text().splitlines())
        if row[1] and [digest(data := (env.site / row[0]).read_bytes()), str(len(data))] != row[1:]
    ]


@pytest.fixture
def env(tmp_path: Path) -> Env:
    # a virtual environment in all but its activation: thus sys.prefix is the directory, as in a relenv
    root = tmp_path / "env"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "python3").symlink_to(PYTHON)
    (root / "pyvenv.cfg").write_text(f"home = {PYTHON.parent}\ninclude-system-site-packages = false\n")
    env = Env(root)
    env.file("lib.pth", "..\n")  # in a relenv, this is the standard library's directory
    shutil.copytree(SHIM, root / LIB / "relenv_pip", ignore=shutil.ignore_patterns("__pycache__"))
    return env


def shebang(env: Env, text: str = SHOW) -> str:
    return f"#!{env.root}/bin/python3\n{text}"


# --- records


def test_scripts_are_rewritten_and_recorded_then_run_wherever_they_are(env: Env) -> None:
    path = env.script("a,b", shebang(env), mode=0o751)
    record = env.record("one", "../../../bin/a,b")
    report = records.reconcile(env.root)
    assert report == records.Report(rewritten=(path,), left=(), denied=(), records=(record,))
    assert path.stat().st_mode & 0o7777 == 0o751
    assert wrong_rows(env) == []
    assert record.read_bytes().count(b"\r\n") == 2
    for name in ("moved once", "moved\ntwice"):
        env = env.move(name)
        assert env.output("a,b") == f"{env.root}\n"
    assert not list(env.root.rglob("*.part"))


def test_second_run_has_nothing_to_do_and_touches_nothing(env: Env) -> None:
    env.script("a", shebang(env))
    env.record("one", "../../../bin/a")
    records.reconcile(env.root)
    before = {path: path.lstat() for path in env.root.rglob("*")}
    assert records.reconcile(env.root).rewritten == ()
    assert {path: path.lstat().st_ino for path in env.root.rglob("*")} == {
        path: stat.st_ino for path, stat in before.items()
    }


def test_dry_run_tells_and_does_nothing(env: Env) -> None:
    path = env.script("a", shebang(env))
    assert records.reconcile(env.root, dry_run=True).rewritten == (path,)
    assert path.read_text() == shebang(env)


def test_scripts_without_a_record_are_rewritten_too(env: Env) -> None:
    path = env.script("develop", shebang(env, "# EASY-INSTALL-DEV-SCRIPT: 'x','y'\n" + SHOW))
    (env.site / "x.egg-info").mkdir()
    (env.site / "empty.dist-info").mkdir()
    assert records.reconcile(env.root).rewritten == (path,)


def test_script_in_a_folder_of_bin_finds_its_python(env: Env) -> None:
    env.script("sub/a", shebang(env))
    env.script("__pycache__/a", shebang(env))
    env.record("one", "../../../bin/sub/a")
    assert records.reconcile(env.root).rewritten == (env.root / "bin/sub/a",)
    assert wrong_rows(env) == []
    assert env.move("moved").output("sub/a").endswith("/moved\n")


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\necho\n",
        "#!/usr/bin/env python3\n",
        "#!/usr/bin/perl\n",
        f"#!{PYTHON}\n",
        "#!/\0/python3\n",
        "\x7fELF",
        "",
    ],
)
def test_other_scripts_are_not_ours(env: Env, text: str) -> None:
    env.script("other", text)
    assert records.reconcile(env.root) == records.Report(rewritten=(), left=(), denied=())


def test_links_are_not_followed(env: Env, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(shebang(env))
    (env.root / "bin" / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text(shebang(env))
    (env.root / "bin" / "folder").symlink_to(tmp_path / "folder")
    assert records.reconcile(env.root).rewritten == ()


def test_shebang_with_another_spelling_of_the_prefix_is_ours(env: Env, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(env.root)
    for number, prefix in enumerate([tmp_path / "link", f"{tmp_path}/./x/../env"]):
        path = env.script(f"a{number}", f"#!{prefix}/bin/python3\n{SHOW}")
        assert records.reconcile(env.root).rewritten == (path,)
    env.script("a", shebang(env))
    assert records.reconcile(tmp_path / "link").rewritten == (tmp_path / "link/bin/a",)


def test_shebang_with_a_link_to_the_interpreter_is_ours_but_not_that_of_a_virtual_environment(
    env: Env, tmp_path: Path
) -> None:
    (env.root / "bin" / "python3").unlink()
    shutil.copy(PYTHON, env.root / "bin" / "python3")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "venv" / "bin"):
        (folder / "python3").symlink_to(env.root / "bin" / "python3")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    path = env.script("a", f"#!{tmp_path}/python3\n{SHOW}")
    env.script("b", f"#!{tmp_path}/venv/bin/python3\n{SHOW}")
    assert records.reconcile(env.root).rewritten == (path,)


def test_dead_shebang_is_ours(env: Env) -> None:
    path = env.script("a", "#!/no/such/env/bin/python3.13\n" + SHOW)
    env.script("b", "#!/no/such/env/bin/node\n")
    assert records.reconcile(env.root).rewritten == (path,)


def test_shebang_of_a_former_place_is_ours_even_if_another_environment_is_there(env: Env, tmp_path: Path) -> None:
    (tmp_path / "copied" / "bin").mkdir(parents=True)
    (tmp_path / "copied" / "bin" / "python3").symlink_to(PYTHON)
    path = env.script("a", f"#!{tmp_path}/copied/bin/python3\n{SHOW}")
    assert records.reconcile(env.root).rewritten == ()
    assert records.reconcile(
        env.root, is_ours=lambda _, python: python.startswith(str(tmp_path / "copied"))
    ).rewritten == (path,)


def test_what_was_generated_for_what_is_here_is_ours_though_it_names_the_original_of_a_copy(
    env: Env, tmp_path: Path
) -> None:
    (tmp_path / "original" / "bin").mkdir(parents=True)
    (tmp_path / "original" / "bin" / "python3").symlink_to(PYTHON)
    path = env.script("a", f"#!{tmp_path}/original/bin/python3\n{SHOW}")
    env.script("b", f"#!{tmp_path}/original/bin/python3\n{SHOW}")
    env.file("a-1.0.dist-info/entry_points.txt", "[console_scripts]\na = a:main\n")
    assert records.reconcile(env.root).rewritten == (path,)


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        (["install", "-t", "x", "a"], {}, "--target"),
        (["install", "-qt", "x", "a"], {}, "--target"),
        (["install", "-tx", "a"], {}, "--target"),
        (["install", "--targ=x", "a"], {}, "--target"),
        (["install", "--prefi", "x", "a"], {}, "--prefix"),
        (["install", "--root", "x", "a"], {}, "--root"),
        (["install", "a"], {"PIP_TARGET": "x"}, "PIP_TARGET"),
        (["install", "--isolated", "a"], {"PIP_TARGET": "x"}, "a setting, isolated"),
        (["install", "--pre", "--root-user-action=ignore", "--trusted-host=x", "-U", "a"], {}, "a setting"),
    ],
)
def test_whatever_leads_elsewhere_is_seen(
    monkeypatch: pytest.MonkeyPatch, words: list[str], environ: dict[str, str], said: str
) -> None:
    monkeypatch.setattr(os, "environ", environ)
    monkeypatch.setattr(cli, "_configured", lambda *, isolated: "a setting, isolated" if isolated else "a setting")
    assert cli._elsewhere(words) == said


def test_a_pip_that_cannot_be_asked_for_its_settings_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_command(name: str, *, isolated: bool) -> object:
        raise AttributeError(f"{name}: another pip, {isolated}")

    fake = SimpleNamespace(import_module=lambda _: SimpleNamespace(create_command=create_command))
    monkeypatch.setattr(cli, "importlib", fake)
    assert cli._configured(isolated=False) == ""


def test_script_that_python_refuses_is_left_and_reported(env: Env) -> None:
    path = env.script("a", shebang(env, "print 'two'\n"))
    report = records.reconcile(env.root)
    assert [note.path for note in report.left] == [path]
    assert "not valid Python" in report.left[0].reason
    assert path.read_text() == shebang(env, "print 'two'\n")


def test_what_cannot_be_written_is_reported(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    path = env.script("a", shebang(env))

    def refuse(_: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    report = records.reconcile(env.root)
    assert report == records.Report(
        rewritten=(), left=(), denied=(records.Note(path=path, reason="Permission denied"),)
    )
    assert names(path.parent) == ["a", "python3"]


def test_killed_run_is_finished_by_the_next(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    env.script("a", shebang(env))
    env.record("one", "../../../bin/a")
    replace, done = Path.replace, list[Path]()

    def die_half_way(self: Path, target: Path) -> Path:
        if done:
            raise KeyboardInterrupt
        done.append(target)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die_half_way)
        with pytest.raises(KeyboardInterrupt):
            records.reconcile(env.root)
    records.reconcile(env.root)
    assert wrong_rows(env) == []
    assert env.move("moved").output("a")


def test_record_written_from_a_script_that_changed_since_is_mended_while_it_is_new(env: Env) -> None:
    path = env.script("a", shebang(env))
    env.record("one", "../../../bin/a")
    stale = env.record("two", "../../../bin/a")
    records.reconcile(env.root)
    unchanged = path.read_bytes()
    for record in (env.record("one", "../../../bin/a"), stale):
        record.write_bytes(record.read_bytes().replace(str(len(unchanged)).encode(), b"7"))
    os.utime(stale, (1, 1))
    records.reconcile(env.root)
    assert wrong_rows(env) == ["../../../bin/a", "../../../bin/a"]
    records.reconcile(env.root, since=time.time() - 60)
    assert wrong_rows(env) == ["../../../bin/a"]


def test_a_damaged_record_keeps_no_script_from_its_trampoline(env: Env) -> None:
    path = env.script("one", shebang(env))
    damaged = env.file("pkg-1.0.dist-info/RECORD", '../../../bin/one,,\n"' + "x" * 200_000)
    before = damaged.read_bytes()
    assert records.reconcile(env.root).rewritten == (path,)
    assert damaged.read_bytes() == before


def test_missing_environment_has_nothing_to_do(tmp_path: Path) -> None:
    assert records.reconcile(tmp_path / "none") == records.Report(rewritten=(), left=(), denied=())


def test_mend_changes_the_rows_in_question_to_the_byte() -> None:
    before = (
        b'"a,""b""",sha256=x,1\r\n'
        b'"../bin/c,d",sha256=x,1\n'
        b"../bin/e,,\r\n"
        b'"odd quoting",sha256=y,"2"\n'
        b'"two\nlines",sha256=z,3\n'
        b"caf\xe9,sha256=z,3\n"
        b"\n"
        b"../bin/f,md5=old,1"
    )
    new = {"../bin/c,d": b"1", "../bin/e": b"22", "../bin/f": b"333", "absent": b""}
    assert records.mend(before, new).split(b"\n") == [
        b'"a,""b""",sha256=x,1\r',
        f'"../bin/c,d",{digest(b"1")},1'.encode(),
        f"../bin/e,{digest(b'22')},2\r".encode(),
        b'"odd quoting",sha256=y,"2"',
        b'"two',
        b'lines",sha256=z,3',
        b"caf\xe9,sha256=z,3",
        b"",
        f"../bin/f,{digest(b'333')},3".encode(),
    ]


def test_many_distributions_take_little_time(env: Env) -> None:
    for number in range(300):
        env.script(f"s{number}", shebang(env))
        env.file(f"p{number}.py", "")
        env.record(f"d{number}", f"../../../bin/s{number}", *[f"p{number}.py"] * 50)
    started = time.process_time()
    assert len(records.reconcile(env.root).rewritten) == 300
    rewriting = time.process_time() - started
    assert wrong_rows(env) == []
    started = time.process_time()
    assert not records.reconcile(env.root, since=time.time() + 60).rewritten
    idle = time.process_time() - started
    # of CPU, for what the disk does is its own affair: measured 0.34 and 0.016 s where tests share the machine
    assert (rewriting < 2, idle < 0.3) == (True, True), (rewriting, idle)


# --- pip, make-believe

FAKE_PIP = """\
import os, site, sys
def main(args=None):
    args = args or sys.argv[1:]
    if args == ["list"]: print(sys.argv[0], os.environ.get("PIP_USER"), site.ENABLE_USER_SITE); return 0
    if args == ["flags"]: print(sys.flags.isolated); return 0
    with open(os.path.join(sys.prefix, "bin", "made"), "w") as file:
        file.write(f"#!{sys.prefix}/bin/python3\\nprint('made')\\n")
    os.chmod(file.name, 0o755)
    print(os.environ.get("PIP_USER"))
    if args[0] == "exit": sys.exit(3)
    if args[0] == "interrupt": raise KeyboardInterrupt
    return 4 if args[0] == "return" else 0
"""
STOCK_MAIN = "import sys\nfrom pip._internal.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"


def lay_pip(env: Env) -> None:
    """Install as pip would a pip that does what its arguments say."""
    env.file("pip/__init__.py", "")
    env.file("pip/__main__.py", STOCK_MAIN)
    env.file("pip/_internal/cli/main.py", FAKE_PIP)
    for name in ("pip", "pip3", "pip3.13"):
        env.script(name, f"#!{env.root}/bin/python3\n{STOCK_MAIN}")
    env.record("pip", "pip/__main__.py", *(f"../../../bin/{name}" for name in ("pip", "pip3", "pip3.13")))


@pytest.fixture
def pip_env(env: Env) -> Env:
    lay_pip(env)
    assert adopt.adopt_pip(env.root) == ()
    return env


def made(env: Env) -> bool:
    """Tell whether the script that pip installed was put in order; without one, fail."""
    return scripts.carries((env.root / "bin" / "made").read_bytes())


def test_interrupted_before_pip_had_begun(pip_env: Env) -> None:
    pip_env.file("pip/_internal/cli/main.py", "raise KeyboardInterrupt\n")
    done = pip_env.run("pip3", "install", "one")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "relenv: interrupted before pip had begun\n")


def test_adopted_pip_is_recorded_and_adopted_once(pip_env: Env) -> None:
    assert wrong_rows(pip_env) == []
    inodes = {path: path.stat().st_ino for path in pip_env.root.rglob("*pip*")}
    adopt.adopt_pip(pip_env.root)
    assert {path: path.stat().st_ino for path in pip_env.root.rglob("*pip*")} == inodes


def test_adopting_forgets_bytecode_that_would_not_be_checked(env: Env) -> None:
    lay_pip(env)
    for name in ("__main__.cpython-313.pyc", "__main__.cpython-313.opt-1.pyc", "__init__.cpython-313.pyc"):
        env.file(f"pip/__pycache__/{name}", "old")
    adopt.adopt_pip(env.root)
    assert names(env.site / "pip" / "__pycache__") == ["__init__.cpython-313.pyc"]


def test_adopting_leaves_other_programs_of_pips_name(env: Env) -> None:
    lay_pip(env)
    paths = [env.script(name, "#!/bin/sh\n") for name in ("pip-compile", "pip_audit", "pipx", "pip2")]
    adopt.adopt_pip(env.root)
    assert {path.read_text() for path in paths} == {"#!/bin/sh\n"}


@pytest.mark.parametrize("command", [["pip3"], ["pip3.13"], ["python3", "-m", "pip"], ["python3", "-m", "relenv_pip"]])
@pytest.mark.parametrize(("action", "status"), [("install", 0), ("return", 4), ("exit", 3), ("interrupt", -2)])
def test_environment_is_in_order_however_pip_ends(pip_env: Env, command: list[str], action: str, status: int) -> None:
    moved = pip_env.move("moved env")
    done = moved.run(*command, action)
    assert done.returncode == status, done.stderr
    assert done.stderr == "" or action == "interrupt"
    assert made(moved)
    assert moved.move("again").output("made") == "made\n"


def test_pip_is_isolated_but_knows_how_it_was_called(pip_env: Env) -> None:
    assert pip_env.output("pip3", "flags") == "1\n"
    assert pip_env.output("pip3", "list").split() == [str(pip_env.root / "bin/pip3"), "None", "False"]
    assert pip_env.output("python3", "-m", "pip", "list").split()[1:] == ["None", "False"]


@pytest.mark.parametrize("command", [["pip3"], ["python3", "-m", "pip"]])
def test_user_installs_are_refused(pip_env: Env, command: list[str]) -> None:
    done = pip_env.run(*command, "install", "--user", "x")
    assert done.returncode == 2
    assert done.stderr.startswith("relenv: `pip install --user` would put packages where")
    assert str(pip_env.root) in done.stderr
    assert not (pip_env.root / "bin" / "made").exists()


def test_asking_what_the_user_has_is_not_refused(pip_env: Env) -> None:
    assert pip_env.run("pip3", "list", "--user").returncode == 0


def test_user_installs_set_elsewhere_are_overridden(pip_env: Env) -> None:
    assert pip_env.output("pip3", "install", "x", PIP_USER="1") == "0\n"
    assert pip_env.output("pip3", "list", PIP_USER="1").split()[1] == "1"


def test_user_site_is_out_of_sight(pip_env: Env, tmp_path: Path) -> None:
    folder = tmp_path / "user" / LIB / "site-packages"
    folder.mkdir(parents=True)
    (pip_env.root / "pyvenv.cfg").write_text(
        f"home = {PYTHON.parent}\ninclude-system-site-packages = true\n"  # else there is no user site
    )
    user = {"PYTHONUSERBASE": str(tmp_path / "user")}
    look = "import site, sys; print(site.ENABLE_USER_SITE, *[path for path in sys.path if 'user/' in path])"
    (pip_env.site / "pip/_internal/cli/main.py").write_text(f"def main(args):\n    {look}\n")
    assert pip_env.output("python3", "-c", look, **user).startswith(f"True {folder}")
    assert pip_env.output("python3", "-m", "pip", **user) == "False\n"


def test_pip_that_replaced_itself_is_adopted_again(pip_env: Env) -> None:
    code = FAKE_PIP + "    import shutil; shutil.copytree(args[1], sys.prefix, dirs_exist_ok=True)\n"
    new = Env(pip_env.root.parent / "new")
    lay_pip(new)
    (pip_env.site / "pip/_internal/cli/main.py").write_text(code.replace('return 4 if args[0] == "return" else 0', ""))
    pip_env.output("pip3", "install", str(new.root))
    assert (pip_env.site / "pip/__main__.py").read_bytes() == adopt.MAIN
    assert scripts.carries((pip_env.root / "bin/pip").read_bytes())
    assert wrong_rows(pip_env) == []
    assert pip_env.move("moved").output("pip3.13", "flags") == "1\n"


def test_uninstalled_pip_leaves_nothing_and_is_missed_in_one_sentence(pip_env: Env) -> None:
    code = (
        "import os, shutil, sys\ndef main(args):\n"
        "    for name in ('pip', 'pip3.13'): os.unlink(f'{sys.prefix}/bin/{name}')\n"
        f"    shutil.rmtree(f'{{sys.prefix}}/{LIB}/site-packages/pip')\n"
    )
    (pip_env.site / "pip/_internal/cli/main.py").write_text(code)
    pip_env.output("pip3", "uninstall", "pip")
    assert names(pip_env.root / "bin") == ["pip3", "python3"]
    done = pip_env.run("pip3", "list")
    assert done.returncode == 1
    assert done.stderr == (
        f"relenv: pip is not installed in this environment.\n  hint: {pip_env.root}/bin/python3 -m ensurepip\n"
    )


def test_error_inside_pip_is_not_mistaken_for_its_absence(pip_env: Env) -> None:
    (pip_env.site / "pip/_internal/cli/main.py").write_text("import nosuchmodule\n")
    assert "ModuleNotFoundError: No module named 'nosuchmodule'" in pip_env.run("pip3", "list").stderr


def test_pip_works_without_the_shim(pip_env: Env) -> None:
    shutil.rmtree(pip_env.root / LIB / "relenv_pip")
    assert pip_env.output("python3", "-m", "pip", "flags") == "0\n"
    # run by its path, as pip's own subprocess of old, it has to find itself
    assert pip_env.output("python3", "-S", str(pip_env.site / "pip"), "flags") == "0\n"


RUNNER = "import runpy\nrunpy.run_module('pip', run_name='__main__', alter_sys=True)\n"


def test_pips_own_subprocess_for_build_environments_goes_straight_to_pip(pip_env: Env) -> None:
    runner = str(pip_env.file("pip/__pip-runner__.py", RUNNER))
    pip_env.output("python3", runner, "install", "--user")
    assert not made(pip_env)
    # but when another Python's pip runs it for --python, this is the environment that it works on
    pip_env.output("python3", runner, "--python", "HERE", "install", _PIP_RUNNING_IN_SUBPROCESS="1")
    assert made(pip_env)


@pytest.mark.parametrize("option", ["--python=/x/bin/python3", "--python"])
def test_other_pythons_are_none_of_our_business(pip_env: Env, option: str) -> None:
    assert pip_env.output("pip3", option, "install", "--user", PIP_USER="1") == "1\n"
    assert not made(pip_env)


def test_virtual_environment_on_top_is_none_of_our_business(pip_env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not cli._is_for(pip_env.root, [])
    monkeypatch.setattr(sys, "prefix", str(pip_env.root))
    assert cli._is_for(pip_env.root, ["install", "python"])


def test_healing_after_ensurepip_adopts_the_pip_it_brought(env: Env, tmp_path: Path) -> None:
    lay_pip(env)
    heal = "import relenv_pip; relenv_pip.heal()"
    above = Env(tmp_path / "above")
    (above.root / "bin").mkdir(parents=True)
    (above.root / "bin" / "python3").symlink_to(PYTHON)
    (above.root / "pyvenv.cfg").write_text(f"home = {PYTHON.parent}\n")
    above.output("python3", "-c", f"import sys; sys.path.append({str(env.root / LIB)!r}); {heal}")
    assert (env.site / "pip/__main__.py").read_text() == STOCK_MAIN
    env.output("python3", "-c", heal)
    assert (env.site / "pip/__main__.py").read_bytes() == adopt.MAIN


def test_scripts_that_stay_behind_are_named_once(pip_env: Env) -> None:
    path = pip_env.script("two", f"#!{pip_env.root}/bin/python3\nprint 2\n")
    done = pip_env.run("pip3", "install")
    assert done.stderr.startswith("relenv: bin/two keeps its shebang and will not run once the environment is moved: ")
    deadline = time.monotonic() + 10
    while time.time() - path.stat().st_ctime < 1.5 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pip_env.run("pip3", "install").stderr == ""


def test_record_that_another_run_made_stale_is_mended(pip_env: Env) -> None:
    pip_env.run("pip3", "install")
    record = pip_env.record("made", "../../../bin/made")
    record.write_bytes(record.read_bytes().replace(b"sha256=", b"sha256=x"))
    assert wrong_rows(pip_env) == ["../../../bin/made"]
    cli._put_in_order(pip_env.root, time.time() - 60)
    assert wrong_rows(pip_env) == []


def test_read_only_environment_is_a_warning_not_a_failure(
    pip_env: Env, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pip_env.script("a", shebang(pip_env))

    def refuse(self: Path, _: Any) -> int:
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    cli._put_in_order(pip_env.root, time.time())
    assert capsys.readouterr().err == "relenv: bin/a cannot be made relocatable: Read-only file system\n"


def test_trouble_in_putting_in_order_does_not_hide_pips_status(
    pip_env: Env, capsys: pytest.CaptureFixture[str]
) -> None:
    (pip_env.site / "pip/__main__.py").write_text("")
    (pip_env.root / "bin/pip").unlink()
    (pip_env.root / "bin/pip").mkdir()
    cli._put_in_order(pip_env.root, 0)
    assert capsys.readouterr().err == ""
    shutil.rmtree(pip_env.site)
    pip_env.site.touch()
    cli._put_in_order(pip_env.root, 0)
    assert capsys.readouterr().err.startswith(f"relenv: cannot put {pip_env.root} in order: ")


# --- pip, real


def wheel(folder: Path, version: str, files: dict[str, str]) -> None:
    info = f"zoo-{version}.dist-info"
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: zoo\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"zoo-{version}-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o100755 << 16
            archive.writestr(member, text)


def test_real_pip_installs_upgrades_uninstalls_and_leaves(env: Env, tmp_path: Path) -> None:
    pytest.importorskip("ensurepip")
    entry = {"zoo.py": SHOW + "def main(): pass\n"}
    points = "[console_scripts]\nzoo = zoo:main\n[gui_scripts]\nzoogui = zoo:main\n"
    data = '#!python -E\n"""doc"""\nfrom __future__ import annotations\nprint(__doc__)\n'
    for version, name in (("1", "old"), ("2", "n,ew")):
        more = {f"zoo-{version}.data/scripts/{name}": data, f"zoo-{version}.dist-info/entry_points.txt": points}
        wheel(tmp_path, version, entry | more)
    env.output("python3", "-I", "-m", "ensurepip")
    adopt.adopt_pip(env.root)
    env = env.move("moved env")
    env.output("pip3", "install", "--no-index", "-f", str(tmp_path), "zoo==1")
    assert wrong_rows(env) == []
    env = env.move("again")
    assert env.output("old") == "doc\n"
    assert env.output("zoo") == env.output("zoogui") == f"{env.root}\n"
    env.output("python3", "-m", "pip", "install", "--no-index", "-f", str(tmp_path), "-U", "zoo")
    assert wrong_rows(env) == []
    assert not (env.root / "bin" / "old").exists()
    assert env.move("more").output("n,ew") == "doc\n"
    env = Env(tmp_path / "more")
    before = set(names(env.root / "bin"))
    env.output("pip3", "uninstall", "-y", "zoo")
    assert before - set(names(env.root / "bin")) == {"zoo", "zoogui", "n,ew"}
    env.output("pip3", "uninstall", "-y", "pip")
    assert names(env.root / "bin") == ["python3"]


# --- the island


def test_shim_is_an_island() -> None:
    for path in SHIM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names, path
