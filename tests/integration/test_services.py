"""Services and gui scripts of real bundles, read and started by what reads and starts them on a machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import say
from test_bundle import unzip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Relenv

AWKWARD = "we %i $HOME & |x \"q\\ ü' ;#"
"""What means something to systemd, the menu, sed or sh."""
NOBODY = 65534
SYSTEMD = Path("/lib/systemd/systemd")
MODULE = """\
import json, os, sys

def main():
    told = json.dumps({"argv": sys.argv[1:], "own": os.environ.get("OWN"), "cwd": os.getcwd()})
    with open(os.environ.get("OUT", "/dev/stdout"), "w") as out:
        out.write(told + "\\n")
"""
PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "served"
version = "1.0"
description = "Serves 100% of it"

[project.scripts]
served = "served:main"
served-work = "served:main"

[project.gui-scripts]
served-show = "served:main"

[tool.setuptools]
py-modules = ["served"]

[tool.relenv.service]
environment = { OWN = "5% of {root}" }
settings = { WorkingDirectory = "{root}", Nice = "5" }

[tool.relenv.service.served]
arguments = ["--config", "{root}/etc", "a b", "100%", "$HOME", 'q"\\']
user = "daemon"
after = ["network-online.target"]

[tool.relenv.service.served-work]
restart = "always"

[tool.relenv.desktop]
name = "Served; 100%"
icon = "assets/icon.png"
categories = ["Office"]
keywords = ["serve", "a;b"]
mime-types = ["text/plain"]
arguments = ["a b", "$HOME", 'q"`\\', "100%"]
"""
ICON = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("services") / "served"
    (root / "assets").mkdir(parents=True)
    (root / "assets/icon.png").write_bytes(ICON)
    (root / "served.py").write_text(MODULE)
    (root / "pyproject.toml").write_text(PROJECT)
    return root


@pytest.fixture(scope="module")
def packed(relenv: Relenv, project: Path) -> Path:
    outcome = relenv("bundle", project, "-o", project.parent / "it.zip", "--json")
    assert json.loads(outcome.stdout)["installers"] == ["served-service", "served-desktop"]
    assert "served/bin/served-service install" in outcome.stderr
    return project.parent / "it.zip"


@pytest.fixture
def top(packed: Path, tmp_path: Path) -> Iterator[Path]:
    """The bundle, at a place that is hard to spell and open to everybody."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    yield unzip(packed, tmp_path / AWKWARD)
    tmp_path.parent.chmod(0o700)


def needs(*programs: str | Path) -> None:
    for one in programs:
        if shutil.which(one) is None:
            pytest.skip(f"no {one} here")


def test_they_are_part_of_the_bundle(relenv: Relenv, packed: Path, project: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        files = json.loads(archive.read("served/relenv.json"))["files"]
        readme = archive.read("served/README.txt").decode()
    modes = {
        name: one["mode"] for name, one in files.items() if name.startswith("share/") or name.endswith(("ice", "top"))
    }
    assert modes == {
        "bin/served-service": "0755",
        "bin/served-desktop": "0755",
        "share/applications/served-show.desktop": "0644",
        "share/icons/served-show.png": "0644",
        "share/systemd/served-work.service": "0644",
        "share/systemd/served.service": "0644",
    }
    assert "bin/served-service (" in readme
    words = ("--format=run", "--format=tar.zst", "--format=oci", "--format=dir", "--format=zip")
    before = os.umask(0o077)
    try:
        relenv("bundle", project, *words, "-o", f"{tmp_path}/out/")
    finally:
        os.umask(before)
    assert (tmp_path / "out/served.zip").read_bytes() == packed.read_bytes()
    for path in (tmp_path / "out").iterdir():
        if path.suffixes != [".oci", ".tar"]:
            relenv("verify", "--strict", path)
    relenv("check", "--run", packed)
    extracted = tmp_path / "extracted"
    say(tmp_path / "out/served.run", "--extract", str(extracted), env={"PATH": os.defpath})
    text = say(extracted / "bin/served-service", "print", env={"PATH": os.defpath})
    assert f'ExecStart=/bin/sh "{extracted}/bin/served" ' in text


def test_systemd_has_nothing_to_say(top: Path, tmp_path: Path) -> None:
    needs("systemd-analyze")
    say(top / "bin/served-service", "install", "--root", str(tmp_path), env={"PATH": os.defpath})
    units = sorted((tmp_path / "etc/systemd/system").iterdir())
    assert [path.name for path in units] == ["served-work.service", "served.service"]
    done = subprocess.run(["systemd-analyze", "verify", *units], check=False, capture_output=True, text=True)
    # what it says of the machine's own units is not our business
    assert [line for line in done.stderr.splitlines() if "served" in line] == []
    broken = units[0].read_text().replace("Type=simple", "Type=symple").replace("ExecStart=/bin/sh", "ExecStart=bin/sh")
    units[0].write_text(broken)
    done = subprocess.run(["systemd-analyze", "verify", units[0]], check=False, capture_output=True, text=True)
    assert "served-work.service" in done.stderr


def _as_nobody() -> list[str]:
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []


def test_systemd_reads_what_was_meant_and_the_service_runs(top: Path, tmp_path: Path) -> None:
    needs(SYSTEMD, *_as_nobody()[:1])
    home = tmp_path / "home"
    home.mkdir()
    env = {"PATH": os.defpath, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    say(top / "bin/served-service", "install", "--user", env=env)
    if _as_nobody():
        subprocess.run(["chown", "-R", str(NOBODY), home], check=True)
    # what a user's systemd has understood, without being started
    done = subprocess.run(
        [*_as_nobody(), SYSTEMD, "--user", "--test", "--unit=served.service"],
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    dump = done.stdout.partition("-> Unit served.service:")[2].partition("-> Unit ")[0]
    told = [line.strip().partition(": ") for line in dump.splitlines()]
    said = {name: [value for one, _, value in told if one == name] for name in ("Environment", "WorkingDirectory")}
    assert said == {"Environment": [f"OWN=5% of {top}"], "WorkingDirectory": [str(top)]}
    (command,) = (value for name, _, value in told if name == "Command Line")
    # it is shown as for a shell, and variables, `$$` among them, are only replaced when it runs
    words = [
        word.replace("$$", "$")
        for word in subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {command}"], check=True, capture_output=True, text=True
        ).stdout.split("\0")[:-1]
    ]
    run = subprocess.run(
        words,
        env={"OWN": said["Environment"][0].partition("=")[2]},
        cwd=top,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(run.stdout) == {
        "argv": ["--config", f"{top}/etc", "a b", "100%", "$HOME", 'q"\\'],
        "own": f"5% of {top}",
        "cwd": str(top),
    }


def test_the_menu_takes_it_and_starts_it(top: Path, tmp_path: Path) -> None:
    needs("desktop-file-validate")
    env = {"PATH": os.defpath, "XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}
    say(top / "bin/served-desktop", "install", env=env)
    file = tmp_path / "data/applications/served-show.desktop"
    done = subprocess.run(["desktop-file-validate", file], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    file.with_name("broken.desktop").write_text(file.read_text().replace("Type=", "Tipe="))
    broken = ["desktop-file-validate", file.with_name("broken.desktop")]
    assert subprocess.run(broken, check=False, capture_output=True).returncode != 0
    needs("gio")
    opened, out = tmp_path / "a file.txt", tmp_path / "out"
    opened.write_text("")
    subprocess.run(["gio", "launch", file, opened], env={**env, "OUT": str(out)}, check=True)
    deadline = time.monotonic() + 30
    while not (out.exists() and out.read_text().endswith("\n")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert json.loads(out.read_text())["argv"] == ["a b", "$HOME", 'q"`\\', "100%", str(opened)]


def test_gui_scripts_need_no_configuration(relenv: Relenv, project: Path, tmp_path: Path) -> None:
    plain = shutil.copytree(project, tmp_path / "plain")
    (plain / "pyproject.toml").write_text(PROJECT.partition("[tool.relenv.service]")[0])
    outcome = relenv("bundle", plain, "--json", "-o", tmp_path / "it.zip")
    assert json.loads(outcome.stdout)["installers"] == ["served-desktop"]
    text = say(unzip(tmp_path / "it.zip", tmp_path / "there") / "bin/served-desktop", "print", env={"PATH": os.defpath})
    assert "\nName=served\nComment=Serves 100% of it\n" in text
    assert "Icon" not in text
    options = ("--service-script=served-work", "--service-argument=-v", "--desktop-terminal", "--desktop-name=Shown")
    relenv("bundle", plain, *options, "-o", tmp_path / "other.zip")
    top = unzip(tmp_path / "other.zip", tmp_path / "elsewhere")
    env = {"PATH": os.defpath}
    assert f'ExecStart=/bin/sh "{top}/bin/served-work" "-v"\n' in say(top / "bin/served-service", "print", env=env)
    text = say(top / "bin/served-desktop", "print", env=env)
    assert "\nName=Shown\n" in text
    assert "\nTerminal=true\n" in text
