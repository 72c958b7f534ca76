"""`relenv repair`: what other tools leave behind, put in order; the scripts of uv and others are in test_pip.py."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from conftest import say
from wheels import make_wheel

if TYPE_CHECKING:
    from conftest import Relenv


def deeds(relenv: Relenv, environment: Path, *options: str) -> dict[str, str]:
    return {deed["path"]: deed["what"] for deed in json.loads(relenv("repair", "--json", *options, environment).stdout)}


def test_what_is_in_order_stays(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    say(environment / "bin/pip3", "install", "--no-index", str(wheel))
    before = {path: path.lstat().st_mtime_ns for path in environment.rglob("*")}
    outcome = relenv("repair", environment)
    assert (outcome.stdout, outcome.stderr) == ("", f"{environment} is in order\n")
    assert {path: path.lstat().st_mtime_ns for path in environment.rglob("*")} == before


def test_an_unpacking_without_modes_and_links(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    packaged = next(environment.glob("lib/python3.*/site-packages")) / "packaged"
    packaged.mkdir()
    shutil.copy("/bin/true", packaged / "program")
    for name in ("script", "module.py"):
        (packaged / name).write_text("#!/bin/sh\nexit 0\n")
    archive = tmp_path / "environment.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in environment.rglob("*"):
            if path.is_file() and not path.is_symlink():
                packed.write(path, path.relative_to(environment))
    place = tmp_path / "unpacked"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(place)
    would = deeds(relenv, place, "--dry-run")
    assert not (place / "bin/python3").stat().st_mode & 0o100
    assert deeds(relenv, place) == would
    assert would["bin/python3"] == "may be run again"
    again = {Path(name).name for name, what in would.items() if "packaged" in name and what == "may be run again"}
    assert again == {"program", "script"}
    assert not {name for name in would if ".so" in name and would[name] == "may be run again"}
    assert would["bin/python"] == "is another name of python3 again"
    assert say(place / "bin/pip3", "--version").startswith("pip ")
    assert say(place / "bin/python", "-c", "print(1)") == "1\n"
    assert deeds(relenv, place) == {}


def test_links_that_became_texts(relenv: Relenv, environment: Path, tmp_path: Path) -> None:
    links = {path.relative_to(environment): path.readlink() for path in environment.rglob("*") if path.is_symlink()}
    place = environment.rename(tmp_path / "unpacked")
    for link, target in links.items():
        (place / link).unlink()
        (place / link).write_text(str(target))
    found = json.loads(relenv("check", "--json", place).stdout)["findings"]
    assert {Path(one["file"]) for one in found} == set(links)
    assert set(map(Path, deeds(relenv, place))) == set(links)
    assert {path.relative_to(place): path.readlink() for path in place.rglob("*") if path.is_symlink()} == links
    assert relenv("check", place).stdout.endswith("0 errors, 0 warnings, 0 notes\n")


def test_a_pip_that_came_past_the_shim_and_a_shim_that_is_gone(
    relenv: Relenv, environment: Path, tmp_path: Path
) -> None:
    (library,) = environment.glob("lib/python3.*")
    shutil.rmtree(library / "relenv_pip")
    say(environment / "bin/python3", "-m", "pip", "install", "-q", "--no-index", "--force-reinstall", *bundled(library))
    found = json.loads(relenv("check", "--json", environment, check=False).stdout)["findings"]
    assert {one["hint"] for one in found if one["check"] in ("shim", "shebang")} == {"relenv repair DIR"}
    did = deeds(relenv, environment)
    assert did[f"lib/{library.name}/relenv_pip"].startswith("is there again")
    assert did[f"lib/{library.name}/site-packages/pip/__main__.py"].startswith("leads to relenv's pip")
    assert relenv("check", environment).code == 0
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    say(environment / "bin/python3", "-m", "pip", "install", "--no-index", str(wheel))
    assert say(environment.rename(tmp_path / "moved") / "bin/one") == "one 1.0\n"


def test_a_shim_of_which_a_part_is_gone_is_made_whole(relenv: Relenv, environment: Path) -> None:
    (shim,) = environment.glob("lib/python3.*/relenv_pip")
    whole = {path.name: path.read_bytes() for path in shim.glob("*.py")}
    (shim / "records.py").unlink()
    (found,) = json.loads(relenv("check", "--json", environment, check=False).stdout)["findings"]
    assert (found["check"], found["hint"]) == ("shim", "relenv repair DIR")
    assert list(deeds(relenv, environment)) == [shim.relative_to(environment).as_posix()]
    assert {path.name: path.read_bytes() for path in shim.glob("*.py")} == whole
    assert relenv("check", environment).code == 0
    assert say(environment / "bin/pip3", "--version").startswith("pip ")


def bundled(library: Path) -> list[str]:
    return [str(path) for path in (library / "ensurepip/_bundled").glob("pip-*.whl")]


def test_it_can_be_done_without_relenv(environment: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "one", console={"one": "one:main"})
    say(environment / "bin/pip3", "install", "--no-index", str(wheel))
    script = environment / "bin/one"
    script.write_text(f"#!{environment}/bin/python3\nimport one\none.main()\n")
    said = say(environment / "bin/python3", "-Im", "relenv_pip.repair").splitlines()
    assert next(json.loads(line)["path"] for line in said) == "bin/one"
    assert say(environment.rename(tmp_path / "moved") / "bin/one") == "one 1.0\n"


def test_what_cannot_be_repaired_is_named(relenv: Relenv, environment: Path) -> None:
    (environment / "bin/broken").write_text(f"#!{environment}/bin/python3\nprint 1\n")
    (environment / "bin/broken").chmod(0o755)
    outcome = relenv("repair", environment, check=False)
    assert outcome.code == 9
    assert "bin/broken keeps its shebang: not valid Python" in outcome.stdout
    assert outcome.errors[0].endswith("1 of 1 could not be put in order, such as bin/broken")


def test_only_environments_are_repaired(relenv: Relenv, tmp_path: Path) -> None:
    outcome = relenv("repair", tmp_path, check=False)
    assert outcome.code == 2
    assert outcome.errors[0] == f"error: {tmp_path} is no environment of relenv's: no relenv.json"


def test_a_shebang_of_the_systems_python_is_its_authors(relenv: Relenv, environment: Path) -> None:
    script = environment / "bin/mine"
    script.write_text("#!/usr/bin/python3\nprint(1)\n")
    script.chmod(0o755)
    assert deeds(relenv, environment) == {}
    assert subprocess.run(["head", "-1", script], capture_output=True, check=True).stdout == b"#!/usr/bin/python3\n"
