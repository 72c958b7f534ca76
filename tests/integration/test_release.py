"""What is published: a tarball of a known size with everything that must go with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import AWKWARD, Relenv, say
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

MEGA = 1_000_000


@pytest.fixture(scope="session")
def manifest(interpreter: Path) -> dict:
    return json.loads((interpreter / "relenv.json").read_text())


def test_the_tarball_is_an_environment_that_runs_where_it_is_unpacked(
    dist: Path, interpreter: Path, manifest: dict, tmp_path: Path
) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dist, check=True, capture_output=True)
    (tarball,) = dist.glob("*.tar.xz")
    assert tarball.name == f"{manifest['python']}-{manifest['triplet']}.tar.xz"
    assert tarball.stat().st_size < 22 * MEGA
    place = tmp_path / AWKWARD
    place.mkdir()
    subprocess.run(["tar", "-xJf", tarball, "-C", place], check=True)
    assert say(place / "bin/python3", "-c", "import ssl, sys; print(sys.prefix)").strip() == str(place)
    assert say(place / "bin/pip3", "--version").startswith("pip ")
    differing = subprocess.run(["diff", "-r", "--no-dereference", interpreter, place], check=False, capture_output=True)
    assert differing.returncode == 0, differing.stdout


def test_it_is_lean(interpreter: Path) -> None:
    assert sum(path.lstat().st_size for path in interpreter.rglob("*") if not path.is_dir()) < 75 * MEGA


def test_a_second_time_nothing_is_packed(relenv: Relenv, dist: Path) -> None:
    again = relenv("build", "--output", dist)
    assert "Packing" not in again.stderr
    assert again.stdout.strip().endswith(".tar.xz")


def test_a_directory_that_cannot_be_written_is_one_sentence(relenv: Relenv, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = relenv("build", "--output", tmp_path / "file" / "dist", check=False)
    assert outcome.code == 10
    assert [line.partition(":")[0] for line in outcome.errors] == ["error", "hint"]


def test_the_manifest_says_what_it_is_made_of(manifest: dict) -> None:
    assert manifest["glibc"] == "2.17"
    assert manifest["toolchain"]["compiler"].startswith("gcc ")
    assert manifest["profile"]["sha256"]
    assert manifest["flags"]["OPT"].startswith("-")
    components = {component["name"]: component for component in manifest["components"]}
    assert {"cpython", "openssl", "sqlite", "expat", "mpdecimal", "pip", "urllib3"} <= components.keys()
    for component in components.values():
        if "within" not in component and component["name"] != "pip":
            assert len(component["sha256"]) == 64
            assert component["key"]
    assert components["cpython"]["version"] == manifest["python"]


def test_the_versions_of_what_cpython_carries_are_true(interpreter: Path, manifest: dict) -> None:
    components = {component["name"]: component for component in manifest["components"]}
    asked = "import pyexpat, _decimal; print(*pyexpat.version_info, sep='.'); print(_decimal.__libmpdec_version__)"
    expat, mpdecimal = say(interpreter / "bin/python3", "-c", asked).split()
    assert (components["expat"]["version"], components["mpdecimal"]["version"]) == (expat, mpdecimal)
    assert components["pip"]["version"] == say(interpreter / "bin/pip3", "--version").split()[1]


def test_the_sbom_is_valid_and_names_every_component(interpreter: Path, manifest: dict) -> None:
    text = (interpreter / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    entries = [bom["metadata"]["component"], *bom["components"]]
    entries += [inner for entry in entries for inner in entry.get("components", [])]
    assert {(entry["name"], entry.get("version", "")) for entry in entries} == {
        (component["name"], component.get("version", "")) for component in manifest["components"]
    }
    openssl = next(entry for entry in entries if entry["name"] == "openssl")
    assert openssl["cpe"] == f"cpe:2.3:a:openssl:openssl:{openssl['version']}:*:*:*:*:*:*:*"
    depends = {entry["ref"]: entry.get("dependsOn", []) for entry in bom["dependencies"]}
    assert "openssl" in depends["cpython"]


def test_every_component_has_the_text_of_its_licence(interpreter: Path, manifest: dict) -> None:
    folders = {path.name for path in (interpreter / "licenses").iterdir()}
    for component in manifest["components"]:
        if "within" not in component:
            assert f"{component['name']}-{component['version']}" in folders
            texts = list((interpreter / "licenses" / f"{component['name']}-{component['version']}").rglob("*"))
            assert any(path.is_file() and path.stat().st_size > 100 for path in texts), component["name"]
    vendored = interpreter / "licenses" / f"pip-{_version(manifest, 'pip')}" / "_vendor"
    assert any("urllib3" in path.parts for path in vendored.rglob("LICENSE*"))
    assert "libmpdec" in (interpreter / f"licenses/cpython-{manifest['python']}/license.rst").read_text()


def _version(manifest: dict, name: str) -> str:
    return next(component["version"] for component in manifest["components"] if component["name"] == name)


@pytest.mark.nightly
def test_it_is_the_same_wherever_and_by_whomever_it_is_built() -> None:
    command = [sys.executable, Path(__file__).parents[2] / "benchmarks/reproducible.py"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same, byte for byte" in done.stdout
