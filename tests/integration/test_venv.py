"""Virtual environments on top of an environment, the tools that make them, and what any Python is asked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import AWKWARD, say
from wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Relenv

FACTS = "import lzma, sqlite3, ssl, sys; print(sys.prefix, sys.base_prefix, sys.executable, sep='\\n')"
NO_INDEX = ("--no-index", "--disable-pip-version-check", "-q")

MAKERS: dict[str, Callable[[Path, Path, Path], list[str | Path]]] = {
    "venv": lambda _, python, venv: [python, "-m", "venv", venv],
    "copies": lambda _, python, venv: [python, "-m", "venv", "--copies", venv],
    "virtualenv": lambda tools, python, venv: [tools / "virtualenv", "-q", "-p", python, venv],
    "uv": lambda tools, python, venv: [tools / "uv", "venv", "-q", "--seed", "-p", python, venv],
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_venv_works_and_a_new_one_after_a_move(environment: Path, tools: Path, tmp_path: Path, maker: str) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    for number in (1, 2):
        venv = tmp_path / f"venv {number}" if maker != "uv" else tmp_path / f"venv{number}"
        subprocess.run(MAKERS[maker](tools, environment / "bin/python3", venv), check=True, capture_output=True)
        python = venv / "bin/python"
        assert say(python, "-c", FACTS).splitlines() == [str(venv), str(environment), str(python)]
        say(python, "-m", "pip", "install", *NO_INDEX, str(wheel))
        assert say(venv / "bin/one") == "one 1.0\n"
        assert not (environment / "bin/one").exists()
        # its pip is its own: the environment's is as it was
        assert say(environment / "bin/pip3", "--version").startswith("pip ")
        environment = environment.rename(tmp_path / f"{AWKWARD} {number}")


def test_what_an_old_venv_says_after_a_move(environment: Path, tmp_path: Path) -> None:
    for name, how in (("linked", "--symlinks"), ("copied", "--copies")):
        say(environment / "bin/python3", "-m", "venv", how, str(tmp_path / name))
    moved = environment.rename(tmp_path / "moved")
    done = subprocess.run(["sh", "-c", tmp_path / "linked/bin/python"], capture_output=True, text=True, check=False)
    assert "linked/bin/python: not found" in done.stderr
    done = subprocess.run([tmp_path / "copied/bin/python", "-c", "1"], capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert lines[0] == (
        f"{tmp_path}/copied is a virtual environment of the Python in {environment}/bin, which is not there."
    )
    assert lines[1].startswith("Make it anew: DIR/bin/python3 -m venv --clear")
    for name in ("linked", "copied"):
        say(moved / "bin/python3", "-m", "venv", "--clear", str(tmp_path / name))
        assert say(tmp_path / name / "bin/python", "-c", FACTS).splitlines()[1] == str(moved)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1.0"\nscripts = { app = "app:main" }\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        "[tool.setuptools]\npy-modules = ['app']\n"
    )
    (folder / "app.py").write_text("import ssl, sys\ndef main():\n    print('app', sys.base_prefix)\n")
    return folder


RUNNERS = {"tox": ["-q", "-e", "one"], "nox": ["-s", "one"], "hatch": ["run", "app"]}


@pytest.mark.parametrize("runner", RUNNERS)
def test_tox_nox_and_hatch(environment: Path, tools: Path, project: Path, tmp_path: Path, runner: str) -> None:
    python = environment / "bin/python3"
    (project / "tox.ini").write_text(
        f"[testenv:one]\nbase_python = {python}\ncommands = app\nskip_missing_interpreters = false\n"
    )
    (project / "noxfile.py").write_text(
        "import nox\n"
        f"@nox.session(python={str(python)!r})\n"
        "def one(session):\n    session.install('.')\n    session.run('app')\n"
    )
    env = {**os.environ, "HOME": str(tmp_path), "HATCH_PYTHON": str(python)}
    command = [tools / runner, *RUNNERS[runner]]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"app {environment}" in done.stdout


# --- a Python as any other


def test_another_pip_installs_into_it(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    command = [sys.executable, "-m", "pip", "--python", environment / "bin/python3", "install", *NO_INDEX, wheel]
    subprocess.run(command, check=True, capture_output=True)
    assert say(environment / "bin/one") == "one 1.0\n"
    # that was the other's pip, and nothing of the environment's own knows of it
    assert "bin/one finds its interpreter beside itself" in relenv("repair", environment).stdout
    moved = environment.rename(tmp_path / AWKWARD)
    assert say(moved / "bin/one") == "one 1.0\n"


def test_its_pip_installs_into_another(environment: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "other"], check=True)
    say(environment / "bin/pip3", "--python", str(tmp_path / "other"), "install", *NO_INDEX, str(wheel))
    assert say(tmp_path / "other/bin/one") == "one 1.0\n"
    assert not (environment / "bin/one").exists()


def test_what_it_says_of_itself(environment: Path, tmp_path: Path) -> None:
    for name in ("once", "twice"):
        environment = environment.rename(tmp_path / name)
        python = environment / "bin/python3"
        site = say(python, "-I", "-m", "site")
        assert f"'{environment}/lib/python3." in site
        paths = "import sysconfig; print(*sysconfig.get_paths().values(), sep='\\n')"
        assert all(line.startswith(str(environment)) for line in say(python, "-c", paths).splitlines())
        assert "x86_64" in say(python, "-m", "platform")
        config = say(environment / "bin/python3-config", "--includes", "--ldflags")
        assert str(environment) in config
        if shutil.which("pkg-config"):
            found = subprocess.run(
                ["pkg-config", "--cflags", "python3"],
                env={**os.environ, "PKG_CONFIG_PATH": str(environment / "lib/pkgconfig")},
                capture_output=True,
                text=True,
                check=True,
            )
            (flag,) = found.stdout.split()
            assert Path(flag.removeprefix("-I")).resolve().is_relative_to(environment / "include")


def test_pdb_and_faulthandler(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("x = 41\nprint(x + 1)\n")
    command = [environment / "bin/python3", "-m", "pdb", "-c", "next", "-c", "p x", "-c", "continue", "script.py"]
    done = subprocess.run(
        command, cwd=tmp_path, input="quit\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert "41" in done.stdout
    assert "42" in done.stdout
    code = "import faulthandler; faulthandler.enable(); faulthandler._sigsegv()"
    crashed = subprocess.run([environment / "bin/python3", "-c", code], capture_output=True, text=True, check=False)
    assert "Fatal Python error: Segmentation fault" in crashed.stderr


@pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb here")
def test_gdb_shows_where_it_is(environment: Path) -> None:
    python = environment / "bin/python3"
    commands = ("-ex", "break PyList_Sort", "-ex", "run", "-ex", "backtrace")
    start = ["gdb", "-batch", "-nx", *commands, "--args", python, "-I", "-c", "dir()"]
    done = subprocess.run(start, capture_output=True, text=True, check=False)
    assert re.search(r"#0 .* in PyList_Sort", done.stdout)
    assert "in Py_BytesMain" in done.stdout


def test_ensurepip_in_a_venv_and_in_the_environment(environment: Path, tmp_path: Path) -> None:
    python = environment / "bin/python3"
    say(python, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    say(tmp_path / "venv/bin/python", "-m", "ensurepip")
    assert say(tmp_path / "venv/bin/pip3", "--version").startswith("pip ")
    say(environment / "bin/pip3", "uninstall", "-q", "-y", "pip")
    say(python, "-m", "ensurepip", "--upgrade")
    moved = environment.rename(tmp_path / AWKWARD)
    assert say(moved / "bin/pip3", "--version").startswith("pip ")
