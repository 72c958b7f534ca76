"""What a bundle says of itself, in files, and how it is held against that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from conftest import AWKWARD, say
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from wheels import make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Relenv

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "documented"
version = "1.0"
license = "MIT"
license-files = ["TERMS.txt"]
dependencies = ["rlnvlicensed[more]"]

[project.scripts]
documented = "documented:main"

[tool.setuptools]
py-modules = ["documented"]

[tool.relenv]
find-links = ["wheels"]
"""
INFO = "rlnvlicensed-1.0.dist-info"
METADATA = """\
Metadata-Version: 2.4
Name: rlnvlicensed
Version: 1.0
Summary: Says under what it may be used
License-Expression: apache-2.0 OR mit
License-File: LICENSE.APACHE
License-File: vendored/terms
Provides-Extra: more
Requires-Dist: rlnvold; extra == "more"
"""
CARRIED = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.4",
    "metadata": {"component": {"bom-ref": "me", "type": "library", "name": "rlnvlicensed"}},
    # auditwheel lists the wheel once more
    "components": [
        {"bom-ref": "/home/builder/libfoo", "type": "library", "name": "libfoo", "version": "3.1"},
        {"bom-ref": "me", "type": "library", "name": "rlnvlicensed"},
        {"bom-ref": "/home/builder/libbar", "type": "library", "name": "libbar", "version": "3.2"},
    ],
    "dependencies": [{"ref": "me", "dependsOn": ["/home/builder/libfoo"]}],
}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("documents") / "documented"
    (root / "wheels").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "TERMS.txt").write_text("as you like\n")
    (root / "documented.py").write_text("def main():\n    print('documented')\n")
    make_wheel(
        root / "wheels",
        "rlnvlicensed",
        files={
            f"{INFO}/METADATA": METADATA,
            f"{INFO}/licenses/LICENSE.APACHE": "apache\n",
            f"{INFO}/licenses/vendored/terms": "of something within\n",
            f"{INFO}/sboms/auditwheel.cdx.json": json.dumps(CARRIED),
            f"{INFO}/sboms/other.spdx.json": "{}",
        },
    )
    make_wheel(
        root / "wheels", "rlnvold", files={"rlnvold_data/COPYING": "old terms\n", "rlnvold-1.0.dist-info/NOTICE": ""}
    )
    return root


@pytest.fixture(scope="session")
def bundle(relenv: Relenv, project: Path) -> Path:
    """The project as a directory; not to be changed."""
    relenv("bundle", project, "--format", "dir", "-o", project.parent / "made")
    return project.parent / "made"


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """The same elsewhere, to change."""
    return shutil.copytree(bundle, tmp_path / AWKWARD)


@pytest.fixture(scope="session")
def sbom(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "sbom.cdx.json").read_text())
    return found


def test_the_sbom_is_valid_and_knows_what_needs_what(bundle: Path, sbom: dict[str, Any]) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((bundle / "sbom.cdx.json").read_text()) is None
    assert (sbom["metadata"]["component"]["name"], sbom["metadata"]["component"]["type"]) == (
        "documented",
        "application",
    )
    needs = {one["ref"]: one.get("dependsOn", []) for one in sbom["dependencies"]}
    main, licensed, old = (f"pkg:pypi/{name}@1.0" for name in ("documented", "rlnvlicensed", "rlnvold"))
    assert needs[main] == ["cpython", licensed]
    assert old in needs[licensed]
    assert any("openssl" in one for one in needs["cpython"])
    names = {one["name"] for one in sbom["components"]}
    assert {"cpython", "openssl", "sqlite", "rlnvlicensed", "rlnvold"} <= names
    assert "pip" not in names  # it is pruned
    assert not (bundle / "lib/python3.13/site-packages/pip").exists()


def test_the_sbom_has_what_wheels_carry(project: Path, sbom: dict[str, Any]) -> None:
    (licensed,) = (one for one in sbom["components"] if one["name"] == "rlnvlicensed")
    assert licensed["licenses"] == [{"expression": "Apache-2.0 OR MIT"}]
    wheel = next((project / "wheels").glob("rlnvlicensed*"))
    digest = subprocess.run(["sha256sum", wheel], check=True, capture_output=True, text=True).stdout.split()[0]
    assert licensed["hashes"] == [{"alg": "SHA-256", "content": digest}]
    other, inner = sorted(licensed["components"], key=lambda one: str(one["name"]))
    assert (inner["name"], inner["version"], other["name"]) == ("libfoo", "3.1", "libbar")
    # a wheel's own may name somebody's directories
    assert (inner["bom-ref"], other["bom-ref"]) == ("pkg:pypi/rlnvlicensed@1.0#1.2", "pkg:pypi/rlnvlicensed@1.0#1.3")
    assert "BomRef." not in json.dumps(sbom)  # a random one, in the place of one that is there twice
    assert (
        inner["bom-ref"] in next(one for one in sbom["dependencies"] if one["ref"] == licensed["bom-ref"])["dependsOn"]
    )
    places = [one["url"].rpartition("/")[2] for one in licensed["externalReferences"]]
    assert places == ["auditwheel.cdx.json", "other.spdx.json"]


def test_the_licences_are_there(bundle: Path) -> None:
    folder = bundle / "licenses"
    texts = {
        "documented-1.0/TERMS.txt": "as you like\n",
        "rlnvlicensed-1.0/LICENSE.APACHE": "apache\n",
        "rlnvlicensed-1.0/vendored/terms": "of something within\n",
        "rlnvold-1.0/rlnvold_data/COPYING": "old terms\n",
        "rlnvold-1.0/NOTICE": "",
    }
    assert {name: (folder / name).read_text() for name in texts} == texts
    index = (folder / "INDEX.txt").read_text()
    assert (
        "\nrlnvlicensed 1.0\n    licence: Apache-2.0 OR MIT\n    text: licenses/rlnvlicensed-1.0/LICENSE.APACHE\n"
        in index
    )
    assert "\nrlnvold 1.0\n    licence: not stated\n    text: licenses/rlnvold-1.0/NOTICE\n" in index
    listed = [line.removeprefix("    text: ") for line in index.splitlines() if line.startswith("    text: ")]
    assert all((bundle / one).is_file() for one in listed)
    there = {path.relative_to(bundle).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there - set(listed) <= {"licenses/INDEX.txt"}, "a text that the index does not know"
    assert "not stated" not in index.replace("rlnvold 1.0\n    licence: not stated", "")


def test_without_documents(relenv: Relenv, project: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    relenv("bundle", project, "--format", "dir", "-o", made, "--no-licenses", "--no-sbom")
    assert not (made / "sbom.cdx.json").exists()
    assert not (made / "licenses/rlnvold-1.0").exists()
    assert (made / "licenses/cpython-3.13.15").is_dir() or list((made / "licenses").glob("cpython-*"))
    assert "sbom" not in (made / "README.txt").read_text()
    assert relenv("verify", made, "--strict").code == 0


def test_an_sbom_lists_what_is_there_whether_its_licence_is_or_not(
    relenv: Relenv, project: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    relenv("bundle", project, "--format", "dir", "-o", made, "--exclude", "licenses")
    names = {one["name"] for one in json.loads((made / "sbom.cdx.json").read_text())["components"]}
    assert list((made / "lib").glob("libssl.so*"))
    assert {"cpython", "openssl", "sqlite", "zlib", "cacert"} <= names


@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar.zst", "run", "dir"])
def test_each_format_is_verified(relenv: Relenv, project: Path, bundle: Path, tmp_path: Path, form: str) -> None:
    made = tmp_path / "it"
    relenv("bundle", project, "--format", form, "-o", made)
    report = json.loads(relenv("verify", made, "--json", "--strict").stdout)
    assert report["whole"] is True
    assert report["bundle"] == "documented 1.0"
    # the manifest stands for what is in it, in whichever format
    assert report["manifest"] == json.loads(relenv("verify", bundle, "--json").stdout)["manifest"]
    if made.is_file():
        data = bytearray(made.read_bytes())
        data[len(data) // 2] ^= 0xFF
        made.write_bytes(data)
        assert relenv("verify", made, check=False).code == 9


def test_a_bundle_verifies_itself(copy: Path) -> None:
    env = {"PATH": os.defpath}
    assert "whole (no differences)" in say(copy / "bin/python3", "-Im", "relenv_pip.verify", env=env)
    (copy / "lib/python3.13/site-packages/documented.py").write_text("def main():\n    print('changed')\n")
    (copy / "lib/python3.13/site-packages/more.py").write_text("")
    (copy / "bin/documented").chmod(0o644)
    (copy / "README.txt").unlink()
    done = subprocess.run(
        [copy / "bin/python3", "-Im", "relenv_pip.verify"], env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == 9
    assert [line.split(":")[0].split()[:2] for line in done.stdout.splitlines()[:-1]] == [
        ["missing", "README.txt"],
        ["mode", "bin/documented"],
        ["changed", "lib/python3.13/site-packages/documented.py"],
        ["added", "lib/python3.13/site-packages/more.py"],
    ] or sorted(line.split()[0] for line in done.stdout.splitlines()[:-1]) == ["added", "changed", "missing", "mode"]


def test_what_is_no_bundle(relenv: Relenv, tmp_path: Path, interpreter: Path) -> None:
    (tmp_path / "text").write_text("text")
    for path in (tmp_path / "text", tmp_path / "nothing", tmp_path, interpreter):
        outcome = relenv("verify", path, check=False)
        assert outcome.code == 2, path
        assert str(path) in outcome.errors[0]


# --- held against what `relenv check` looks at --------------------------------------------------------------


def test_a_script_that_a_move_breaks_is_an_error(relenv: Relenv, project: Path, tmp_path: Path) -> None:
    here = shutil.copytree(project, tmp_path / "documented")
    (here / "tool").write_text(f"#!{tmp_path}/bin/sh\n")
    text = (here / "pyproject.toml").read_text()
    modules = 'py-modules = ["documented"]\n'
    (here / "pyproject.toml").write_text(text.replace(modules, f'{modules}script-files = ["tool"]\n'))
    outcome = relenv("bundle", here, "-o", tmp_path / "it.zip", check=False)
    assert outcome.code == 9
    assert outcome.errors[0].startswith("error: bin/tool ")
    assert not (tmp_path / "it.zip").exists()


def test_what_others_bring_along_is_a_warning(relenv: Relenv, project: Path, tmp_path: Path) -> None:
    here = shutil.copytree(project, tmp_path / "documented")
    source = tmp_path / "lacking.c"
    source.write_text("int nothing(void); int lacking(void) { return nothing(); }\n")
    gone = tmp_path / "libnothing.so"
    (tmp_path / "nothing.c").write_text("int nothing(void) { return 1; }\n")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", gone, tmp_path / "nothing.c"], check=True)
    lacking = tmp_path / "lacking.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", lacking, source, gone, "-Wl,-soname,lacking.so"], check=True)
    make_wheel(here / "wheels", "rlnvold", "2.0", files={"rlnvold_plugin/lacking.so": lacking.read_bytes()})
    for _ in range(2):  # what was found is kept
        outcome = relenv("bundle", here, "--format", "dir", "-o", tmp_path / "it")
        assert "warning: lib/python3.13/site-packages/rlnvold_plugin/lacking.so " in outcome.stderr
        assert "libnothing.so" in outcome.stderr
        shutil.rmtree(tmp_path / "it")


@pytest.mark.parametrize(
    ("glob", "text"),
    [
        ("lib/python3.*/site-packages/{info}/terms.txt", "rlnvterms-1.0/terms.txt"),
        ("licenses/zlib-*", "zlib-"),
    ],
)
def test_texts_of_licences_do_not_depend_on_what_was_bundled_before(
    relenv: Relenv, tmp_path: Path, glob: str, text: str
) -> None:
    """METADATA may call any file beside it a licence, and `exclude` may leave it out."""
    info = "rlnvterms-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: rlnvterms\nVersion: 1.0\nLicense-File: terms.txt\n"
    make_wheel(tmp_path / "wheels", "rlnvterms", files={f"{info}/METADATA": metadata, f"{info}/terms.txt": "Be kind."})
    project = tmp_path / "documented"
    project.mkdir()
    toml = PROJECT.replace("rlnvlicensed[more]", "rlnvterms").replace('license-files = ["TERMS.txt"]\n', "")
    (project / "pyproject.toml").write_text(toml.replace('"wheels"', '"../wheels"'))
    (project / "documented.py").write_text("def main():\n    print('documented')\n")
    without = ("--exclude", glob.format(info=info))
    for number, options in enumerate(((), without, (), without)):
        made = tmp_path / str(number)
        relenv("bundle", project, "--format", "dir", "-o", made, *options)
        assert bool(list(made.glob(f"licenses/{text}*"))) is not bool(options)
        assert (f"    text: licenses/{text}" in (made / "licenses/INDEX.txt").read_text()) is not bool(options)
