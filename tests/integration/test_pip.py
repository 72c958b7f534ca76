"""What pip and others install into an environment: moved, run, moved again, run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING

import pytest
from conftest import AWKWARD, say
from wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Relenv

VERSIONS = ("23.2.1", "23.3.2", "24.0", "24.3.1", "25.0.1", "25.3", "26.0.1", "26.3")
"""Of pip; 23.2 is the first that Python 3.12 and later can run."""

Environ = dict[str, str]


def moved(environment: Path, tmp_path: Path) -> Iterator[Path]:
    """Move an environment twice, and yield it each time where it is then."""
    for name in (AWKWARD, "plain"):
        (tmp_path / "moved" / name).mkdir(parents=True, exist_ok=True)
        environment = environment.rename(tmp_path / "moved" / name / "environment")
        yield environment


def pip(environment: Path, *arguments: str | Path, env: Environ | None = None, cwd: Path | None = None) -> str:
    """Run the environment's pip, away from any index; return what it said on stderr and stdout."""
    done = subprocess.run(
        [environment / "bin/pip3", *arguments],
        env={
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            **(env or {}),
        },
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stderr + done.stdout


def online(environment: Path, *arguments: str | Path) -> None:
    """Run the environment's pip with the index that is configured."""
    subprocess.run([environment / "bin/pip3", *arguments], check=True, capture_output=True)


def names(environment: Path) -> set[str]:
    return {
        path.relative_to(environment).as_posix() for path in environment.rglob("*") if "__pycache__" not in path.parts
    }


def in_order(relenv: Relenv, environment: Path) -> None:
    """RECORDs tell the truth, and no script would break: `relenv check` finds no error."""
    report = json.loads(relenv("check", "--json", environment, check=False).stdout)
    assert [one for one in report["findings"] if one["severity"] == "error"] == []


# --- what wheels bring

SCRIPTS = {
    "documented": '#!python\n"""Its own words."""\nfrom __future__ import annotations\nprint(__doc__, __name__)\n',
    "plain": "#!python\nimport sys\nprint(sys.flags.isolated, len(sys.argv))\n",
    "shell": '#!/bin/sh\necho "sh: $0"\n',
    "perl": '#!/usr/bin/perl\nprint "perl\\n";\n',
    "elsewhere": "#!/usr/bin/env python3\nprint('whichever')\n",
    "binary": b"#!/bin/sh\necho binary; exit\n\xff\xfe\x00",
    "latin": "#!python\n# -*- coding: latin-1 -*-\nprint('gr\xfc\xdfe'.encode())\n".encode("latin-1"),
}


def test_every_kind_of_script(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    files = {f"one-1.0.data/scripts/{name}": text for name, text in SCRIPTS.items()}
    wheel = make_wheel(tmp_path, "one", files=files, console={"one": "one:main"}, gui={"one-gui": "one:main"})
    pip(environment, "install", wheel)
    for name in ("shell", "perl", "elsewhere", "binary"):
        text = SCRIPTS[name]
        assert (environment / "bin" / name).read_bytes() == (text.encode() if isinstance(text, str) else text)
    for place in moved(environment, tmp_path):
        programs = place / "bin"
        assert say(programs / "one") == say(programs / "one-gui") == "one 1.0\n"
        assert say(programs / "documented") == "Its own words. __main__\n"
        assert say(programs / "plain", "a") == "1 2\n"
        assert say(programs / "latin") == "b'gr\\xc3\\xbc\\xc3\\x9fe'\n"
        assert say(programs / "shell") == f"sh: {programs}/shell\n"
        assert say(programs / "binary") == "binary\n"
        in_order(relenv, place)


def test_names_with_commas_and_quotes_in_record(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    awkward = ("a,b", 'say "x"')
    wheel = make_wheel(
        tmp_path,
        "one",
        files={f"one-1.0.data/scripts/{name}": "#!python\nprint(1)\n" for name in awkward} | {"one_data/x,y.txt": "x"},
    )
    pip(environment, "install", wheel)
    for place in moved(environment, tmp_path):
        assert [say(place / "bin" / name) for name in awkward] == ["1\n", "1\n"]
        in_order(relenv, place)
    pip(place, "uninstall", "-y", "one")
    assert not [name for name in names(place) if "x,y" in name or "a,b" in name]


def test_extras_constraints_and_hashes(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    make_wheel(links, "one", requires=("two; extra == 'more'",), console={"one": "one:main"})
    for version in ("1.0", "2.0"):
        wheel = make_wheel(links, "two", version, console={"two": "two:main"})
    (tmp_path / "constraints.txt").write_text("two<2\n")
    pip(environment, "install", "--find-links", links, "-c", tmp_path / "constraints.txt", "one[more]")
    assert say(environment / "bin/two") == "two 1.0\n"
    digest = subprocess.run(["sha256sum", wheel], capture_output=True, text=True, check=True).stdout.split()[0]
    (tmp_path / "hashed.txt").write_text(f"two==2.0 --hash=sha256:{digest}\n")
    pip(environment, "install", "--find-links", links, "--require-hashes", "-r", tmp_path / "hashed.txt")
    for place in moved(environment, tmp_path):
        assert (say(place / "bin/one"), say(place / "bin/two")) == ("one 1.0\n", "two 2.0\n")
        in_order(relenv, place)


def test_upgraded_and_uninstalled_nothing_is_left(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    before = names(environment)
    make_wheel(tmp_path, "one", "1.0", console={"one": "one:main", "gone": "one:main"})
    pip(environment, "install", "--find-links", tmp_path, "one")
    first, second = moved(environment, tmp_path)
    make_wheel(tmp_path, "one", "2.0", console={"one": "one:main"})
    pip(second, "install", "--upgrade", "--find-links", tmp_path, "one")
    assert say(second / "bin/one") == "one 2.0\n"
    assert not (second / "bin/gone").exists()
    in_order(relenv, second)
    second.rename(first)
    pip(first, "uninstall", "-y", "one")
    assert names(first) == before


# --- from source


@pytest.fixture
def with_setuptools(environment: Path) -> Path:
    """An environment in which a project can be built without isolation."""
    online(environment, "install", "-q", "setuptools<80", "wheel")  # the last with a develop command of its own
    return environment


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    """A project that lives in setup.py, with scripts of the old kind."""
    project = tmp_path / "legacy project"
    (project / "bin").mkdir(parents=True)
    (project / "bin/old").write_text("#!/usr/bin/python\nimport legacy, sys\nlegacy.main()\n")
    (project / "bin/old-sh").write_text("#!/bin/sh\necho sh\n")
    (project / "legacy.py").write_text("def main():\n    print('legacy 1.0')\n")
    (project / "setup.py").write_text(
        "from setuptools import setup\n"
        "setup(name='legacy', version='1.0', py_modules=['legacy'], scripts=['bin/old', 'bin/old-sh'],\n"
        "      entry_points={'console_scripts': ['legacy = legacy:main']})\n"
    )
    return project


def test_an_sdist(relenv: Relenv, with_setuptools: Path, legacy: Path, tmp_path: Path) -> None:
    (legacy / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: legacy\nVersion: 1.0\n")
    sdist = tmp_path / "legacy-1.0.tar.gz"
    with tarfile.open(sdist, "w:gz") as tar:
        tar.add(legacy, "legacy-1.0")
    pip(with_setuptools, "install", "--no-build-isolation", sdist)
    for place in moved(with_setuptools, tmp_path):
        for script in ("old", "legacy"):
            assert say(place / "bin" / script) == "legacy 1.0\n"
        assert say(place / "bin/old-sh") == "sh\n"
        in_order(relenv, place)


EDITABLE = {
    "pep660": ("--no-build-isolation", "-e"),
    "compat": ("--no-build-isolation", "--config-settings", "editable_mode=compat", "-e"),
    "develop": ("--no-build-isolation", "--no-use-pep517", "-e"),
}


@pytest.mark.parametrize("how", EDITABLE)
def test_editable(with_setuptools: Path, legacy: Path, tmp_path: Path, how: str) -> None:
    if how == "develop":
        online(with_setuptools, "install", "-q", "pip==24.3.1")  # the last that can
    pip(with_setuptools, "install", *EDITABLE[how], legacy)
    for place in moved(with_setuptools, tmp_path):
        text = f"edited, at {place}"  # of another length each time: bytecode goes by size and time
        (legacy / "legacy.py").write_text(f"def main():\n    print({text!r})\n")
        assert say(place / "bin/legacy") == say(place / "bin/old") == f"{text}\n"
    pip(place, "uninstall", "-y", "legacy")
    assert not (place / "bin/legacy").exists()


# --- other places


def test_user_is_refused(environment: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    done = subprocess.run(
        [environment / "bin/pip3", "install", "--user", wheel], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("relenv: `pip install --user` would put packages where the scripts")
    home = {"HOME": str(tmp_path / "home"), "PIP_USER": "1"}
    pip(environment, "install", wheel, env=home)
    assert (environment / "bin/one").is_file()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("setting", ["user = true", "require-virtualenv = true"])
def test_settings_for_other_pythons_are_overridden(environment: Path, tmp_path: Path, setting: str) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    (tmp_path / "pip.conf").write_text(f"[global]\n{setting}\n")
    home = {"HOME": str(tmp_path / "home"), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    pip(environment, "install", wheel, env=home)
    assert (environment / "bin/one").is_file()
    pip(environment, "uninstall", "-y", "one", env=home)
    assert not (environment / "bin/one").exists()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("section", ["global", "install"])
@pytest.mark.parametrize("setting", ["target", "prefix", "root"])
def test_elsewhere_by_a_setting_is_said_too(environment: Path, tmp_path: Path, setting: str, section: str) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    (tmp_path / "pip.conf").write_text(f"[{section}]\n{setting} = {tmp_path}/other\n")
    before = names(environment)
    said = pip(environment, "install", wheel, env={"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})
    assert f"relenv: what is installed with `{setting}` of pip's configuration is not part of this" in said
    assert names(environment) == before
    assert list((tmp_path / "other").rglob("one.py"))


@pytest.mark.parametrize("option", ["--target", "--prefix", "--root"])
def test_elsewhere_is_isolated_and_said(relenv: Relenv, environment: Path, tmp_path: Path, option: str) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    before = names(environment)
    said = pip(environment, "install", option, tmp_path / "other", wheel)
    assert f"relenv: what is installed with {option} is not part of this environment" in said
    assert names(environment) == before
    assert list((tmp_path / "other").rglob("one.py"))
    in_order(relenv, environment)


# --- pip itself


@pytest.fixture(scope="session")
def pips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of pip, downloaded once."""
    folder = tmp_path_factory.mktemp("pips")
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder]
    for version in VERSIONS:
        subprocess.run([*download, f"pip=={version}"], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("version", VERSIONS)
def test_any_pip(relenv: Relenv, environment: Path, pips: Path, tmp_path: Path, version: str) -> None:
    pip(environment, "install", "--find-links", pips, f"pip=={version}")
    assert say(environment / "bin/pip3", "--version").startswith(f"pip {version} from {environment}")
    make_wheel(tmp_path, "one", console={"one": "one:main"})
    pip(environment, "install", "--find-links", tmp_path, "one")
    for place in moved(environment, tmp_path):
        assert say(place / "bin/one") == "one 1.0\n"
        assert say(place / "bin/pip", "--version").startswith(f"pip {version} from {place}")
        assert say(place / "bin/python3", "-m", "pip", "--version").startswith(f"pip {version} from {place}")
        in_order(relenv, place)
    # as a module, by its path, and up to the newest by itself: it goes on coming through the shim
    arguments = ("--no-index", "--find-links", str(pips), "--upgrade", "pip")
    say(place / "bin/python3", "-m", "pip", "install", *arguments)
    make_wheel(tmp_path, "two", console={"two": "two:main"})
    say(place / "bin/python3", "-m", "pip", "install", "--no-index", "--find-links", str(tmp_path), "two")
    for again in moved(place, tmp_path / "again"):
        assert say(again / "bin/pip3", "--version").startswith(f"pip {VERSIONS[-1]} from {again}")
        assert say(again / "bin/two") == "two 1.0\n"
        in_order(relenv, again)


@pytest.mark.nightly
def test_the_oldest_pip_on_the_oldest_python(relenv: Relenv, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    relenv("create", environment, "--python", "3.11.2")
    online(environment, "install", "-q", "pip==23.0.1")
    make_wheel(tmp_path, "one", console={"one": "one:main"})
    pip(environment, "install", "--find-links", tmp_path, "one")
    for place in moved(environment, tmp_path):
        assert say(place / "bin/one") == "one 1.0\n"
        assert say(place / "bin/python3", "-m", "pip", "--version").startswith(f"pip 23.0.1 from {place}")
        in_order(relenv, place)


# --- other installers


def mended(relenv: Relenv, environment: Path) -> list[str]:
    """What repair did, having said before that it would."""
    would = relenv("repair", "--dry-run", "--json", environment).stdout
    assert relenv("check", environment, check=False).code == 9
    did = relenv("repair", "--json", environment).stdout
    assert would == did
    assert relenv("repair", environment).stdout == ""
    in_order(relenv, environment)
    return [deed["path"] for deed in json.loads(did)]


@pytest.mark.parametrize("how", ["repair", "pip"])
def test_uv(relenv: Relenv, environment: Path, tools: Path, tmp_path: Path, how: str) -> None:
    files = {"one-1.0.data/scripts/plain": SCRIPTS["plain"]}
    wheel = make_wheel(tmp_path, "one", files=files, console={"one": "one:main"})
    command = [tools / "uv", "pip", "install", "--no-index", "--python", environment / "bin/python3", wheel]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv")})
    if how == "repair":
        assert {"bin/one", "bin/plain"} < set(mended(relenv, environment))
    else:
        pip(environment, "list")
    for place in moved(environment, tmp_path):
        assert say(place / "bin/one") == "one 1.0\n"
        assert say(place / "bin/plain") == "1 1\n"
        in_order(relenv, place)


def test_uv_in_a_copy_whose_original_is_still_there(
    relenv: Relenv, environment: Path, tools: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    command = [tools / "uv", "pip", "install", "--no-index", "--python", environment / "bin/python3", wheel]
    subprocess.run(command, check=True, capture_output=True)
    copy = shutil.copytree(environment, tmp_path / "copy", symlinks=True)
    assert "bin/one" in mended(relenv, copy)
    shutil.rmtree(environment)
    assert say(copy / "bin/one") == "one 1.0\n"


PROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.11"
[project.scripts]
app = "app:main"
[build-system]
requires = ["{backend}"]
build-backend = "{backend_module}"
"""
INSTALLERS = {
    "poetry": (["poetry", "install", "-n"], "poetry-core", "poetry.core.masonry.api"),
    # -g: into the site-packages of the interpreter, not into __pypackages__
    "pdm": (["pdm", "install", "-g", "-p", "."], "pdm-backend", "pdm.backend"),
}


@pytest.mark.parametrize("tool", INSTALLERS)
def test_a_project_manager(relenv: Relenv, environment: Path, tools: Path, tmp_path: Path, tool: str) -> None:
    command, backend, module = INSTALLERS[tool]
    project = tmp_path / "project"
    project.mkdir()
    text = PROJECT.format(backend=backend, backend_module=module)
    (project / "pyproject.toml").write_text(text)
    (project / "app.py").write_text("def main():\n    print('app 1.0')\n")
    (project / ".pdm-python").write_text(str(environment / "bin/python3"))
    active = {
        **os.environ,
        "HOME": str(tmp_path),
        "VIRTUAL_ENV": str(environment),
        "PATH": f"{environment}/bin:{tools}:{os.environ['PATH']}",
    }
    done = subprocess.run(command, cwd=project, env=active, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    relenv("repair", environment)
    for place in moved(environment, tmp_path):
        assert say(place / "bin/app") == "app 1.0\n"


# --- cut short, and two at once


def test_installs_killed_half_way(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    files = {f"many/part{number}.py": "x = 1\n" * 400 for number in range(400)}
    scripts = {f"script{number}": "many.part1:x" for number in range(100)}
    wheel = make_wheel(
        tmp_path, "many", files={**files, "many/__init__.py": ""}, console={**scripts, "one": "one:main"}
    )
    make_wheel(tmp_path, "one", console={"ones": "one:main"})
    pip(environment, "install", tmp_path / "one-1.0-py3-none-any.whl")
    (site,) = environment.glob("lib/python3.*/site-packages")
    noted = site / "many-1.0.dist-info"
    # somebody else's, for whatever reason
    (site / "bare-1.0.dist-info").mkdir()
    time.sleep(1.1)

    def half(path: Path) -> bool:
        return path.is_dir() and not (path / "RECORD").exists()

    moments: tuple[Callable[[], bool], ...] = (
        *((lambda delay=delay: time.monotonic() - began >= delay) for delay in (0.4, 0.8, 1.2)),
        # what is replaced is put away first
        lambda: any(site.glob("~*")),
        # RECORD is what pip writes last: without it pip would refuse to go on
        lambda: half(noted),
    )
    for moment in moments:
        if moment is moments[3]:
            pip(environment, "install", "--force-reinstall", wheel)
        command = [environment / "bin/pip3", "install", "--no-index", "--force-reinstall", wheel]
        with subprocess.Popen(command, env={}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            began = time.monotonic()
            while process.poll() is None and not moment():
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        assert say(environment / "bin/ones") == "one 1.0\n"
        assert say(environment / "bin/pip3", "--version").startswith("pip ")
    noted.mkdir(exist_ok=True)
    (noted / "RECORD").unlink(missing_ok=True)
    assert "an earlier pip was cut short while it installed or replaced many 1.0" in pip(environment, "install", wheel)
    assert not any(site.glob("~*"))
    assert not any(site.glob(".relenv*"))
    (site / "bare-1.0.dist-info").rmdir()
    for place in moved(environment, tmp_path):
        assert say(place / "bin/one") == "one 1.0\n"
        in_order(relenv, place)
    assert not [name for name in names(place) if name.endswith(".part")]


def test_a_pip_killed_while_it_compiles(environment: Path, tmp_path: Path) -> None:
    """The wheel's own RECORD is there by then, yet no script."""
    files = {f"many/part{number}.py": "x = 1\n" * 400 for number in range(400)}
    wheel = make_wheel(tmp_path, "many", files=files, console={"many": "many.part1:main"})
    (site,) = environment.glob("lib/python3.*/site-packages")
    time.sleep(1.1)
    command = [environment / "bin/pip3", "install", "--no-index", wheel]
    with subprocess.Popen(command, env={}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (site / "many/__pycache__").is_dir():
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert (site / "many-1.0.dist-info/RECORD").is_file()
    assert not (environment / "bin/many").exists()
    assert "an earlier pip was cut short while it installed or replaced many 1.0" in pip(environment, "install", wheel)
    assert (environment / "bin/many").is_file()


def test_an_environment_called_by_another_name_is_the_same(environment: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    (tmp_path / "py").symlink_to(environment / "bin/python3")
    say(tmp_path / "py", "-m", "pip", "install", "--no-index", wheel)
    (tmp_path / "py").unlink()
    for place in moved(environment, tmp_path):
        assert say(place / "bin/one") == "one 1.0\n"


@pytest.mark.parametrize("name", ["new\nline", 'blank and "quote', "blank and 'quote", "new\nline and blank"])
def test_whatever_the_path_is_called(relenv: Relenv, interpreter: Path, tmp_path: Path, name: str) -> None:  # noqa: ARG001
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    environment = tmp_path / name / "env"
    relenv("create", environment, wheel, env={"PIP_NO_INDEX": "1"})
    for place in moved(environment, tmp_path):
        assert say(place / "bin/one") == "one 1.0\n"
        assert relenv("check", place).code == 0


def test_two_at_once(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, name, console={name: f"{name}:main"}) for name in ("one", "two", "three", "four")]
    running = [
        subprocess.Popen([environment / "bin/pip3", "install", "--no-index", wheel], env={}, stdout=subprocess.DEVNULL)
        for wheel in wheels
    ]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    for place in moved(environment, tmp_path):
        for name in ("one", "two", "three", "four"):
            assert say(place / "bin" / name) == f"{name} 1.0\n"
        in_order(relenv, place)


# --- isolation

HOSTILE = """\
import json, os, ssl, string, subprocess, sys, multiprocessing
CHILD = "import os, sys; print(os.environ['PYTHONPATH'], sys.prefix, sep=chr(10))"
def twice(number):
    return 2 * number
def main():
    children = [
        multiprocessing.get_context(how).Pool(1).apply(twice, (21,)) for how in ("spawn", "forkserver")
    ]
    said = subprocess.run([sys.executable, "-I", "-c", CHILD], capture_output=True, text=True, check=True).stdout
    print(json.dumps({
        "children": children, "said": said.splitlines(), "ssl": ssl.OPENSSL_VERSION, "string": string.__file__,
        "prefix": sys.prefix, "environ": {k: v for k, v in os.environ.items() if k.startswith(("PYTHON", "LD_"))},
    }))
"""


def test_a_hostile_environment_changes_nothing(environment: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "one", files={"one.py": HOSTILE}, console={"one": "one:main"})
    pip(environment, "install", wheel)
    hostile = tmp_path / "hostile"
    for place in (hostile, hostile / f".local/lib/python{series(environment)}/site-packages"):
        place.mkdir(parents=True, exist_ok=True)
        for module in ("string", "json", "ssl", "one", "usercustomize", "sitecustomize"):
            (place / f"{module}.py").write_text("raise SystemExit('led astray')\n")
    for name in ("libssl.so.3", "libcrypto.so.3", "libz.so.1", "libffi.so.8"):
        (hostile / name).write_text("no library")
    variables = {
        "PYTHONPATH": str(hostile),
        "PYTHONHOME": "/nowhere",
        "PYTHONSTARTUP": str(hostile / "string.py"),
        "PYTHONEXECUTABLE": "/usr/bin/python3",
        "LD_LIBRARY_PATH": str(hostile),
    }
    for place in moved(environment, tmp_path):
        told = json.loads(say(place / "bin/one", env={**variables, "HOME": str(hostile)}, cwd=hostile))
        assert told["environ"] == variables
        assert told["children"] == [42, 42]
        assert told["said"] == [str(hostile), str(place)]
        assert told["prefix"] == str(place)
        assert told["string"].startswith(str(place))


def series(environment: Path) -> str:
    (library,) = environment.glob("lib/python3.*")
    return library.name.removeprefix("python")
