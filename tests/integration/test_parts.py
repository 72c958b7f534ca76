"""What a bundle is made of is kept, found again by its content, and never trusted beyond that."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from wheels import make_wheel

if TYPE_CHECKING:
    from conftest import Relenv

PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "layered"
version = "1.0"
dependencies = ["rlnvbelow"]

[project.optional-dependencies]
more = ["rlnvmore>=2"]

[project.scripts]
layered = "layered:main"

[tool.setuptools]
py-modules = ["layered"]

[tool.relenv]
find-links = ["wheels"]
format = "dir"
"""


MEMBER = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "rlnvmember"
version = "1.0"
[tool.setuptools]
py-modules = ["rlnvmember"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "layered"
    (root / "wheels").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "layered.py").write_text("import rlnvbelow\n\n\ndef main():\n    rlnvbelow.main()\n")
    make_wheel(root / "wheels", "rlnvbelow", "1.0", console={"rlnvbelow": "rlnvbelow:main"})
    make_wheel(root / "wheels", "rlnvmore", "2.0")
    return root


def made(relenv: Relenv, project: Path, name: str, *options: str | Path, **more: object) -> tuple[Path, str]:
    outcome = relenv("bundle", project, "-o", project.parent / name, *options, **more)
    return project.parent / name, outcome.stderr


def says(bundle: Path, script: str = "layered") -> str:
    return subprocess.run([bundle / "bin" / script], check=True, capture_output=True, text=True).stdout.strip()


def test_the_same_dependencies_are_installed_once(relenv: Relenv, project: Path) -> None:
    first, told = made(relenv, project, "one", "--refresh")
    assert "Installing what layered needs" in told
    (project / "layered.py").write_text("import rlnvbelow\n\n\ndef main():\n    print('edited')\n")
    second, told = made(relenv, project, "two")
    assert "Resolving" not in told
    assert "Installing" not in told
    assert (says(first), says(second)) == ("rlnvbelow 1.0", "edited")
    # what is handed out shares nothing with what is kept
    (second / "bin/rlnvbelow").write_text("#!/bin/sh\necho changed\n")
    (second / "lib/python3.13/this.py").write_text("changed")
    third, _ = made(relenv, project, "three")
    assert says(third, "rlnvbelow") == "rlnvbelow 1.0"
    assert (third / "lib/python3.13/this.py").read_text() != "changed"


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.usefixtures("uv")
def test_what_a_directory_offers_is_known_by_its_content(relenv: Relenv, project: Path, installer: str) -> None:
    made(relenv, project, "zero", "--installer", installer)  # what builds wheels is there now
    options = ("--offline", "--installer", installer)
    # a wheel that no resolution knows yet; what is kept of it would do for both installers
    new = {"rlnvnew.txt": f"{installer} {time.time()}"}
    make_wheel(project / "wheels", "rlnvbelow", "1.0.1", console={"rlnvbelow": "rlnvbelow:main"}, files=new)
    first, told = made(relenv, project, "one", *options)
    assert "Installing" in told
    second, told = made(relenv, project, "two", *options)
    assert "Installing" not in told
    assert "Resolving" not in told
    make_wheel(project / "wheels", "rlnvbelow", "1.1", console={"rlnvbelow": "rlnvbelow:main"})
    third, _ = made(relenv, project, "three", *options)
    assert [says(one) for one in (first, second, third)] == ["rlnvbelow 1.0.1", "rlnvbelow 1.0.1", "rlnvbelow 1.1"]


def test_a_new_release_is_found(relenv: Relenv, project: Path) -> None:
    made(relenv, project, "one")
    make_wheel(project / "wheels", "rlnvbelow", "1.1")
    assert says(made(relenv, project, "two")[0]) == "rlnvbelow 1.1"
    _, told = made(relenv, project, "three", "--refresh")
    assert "Resolving" in told
    assert "Installing" not in told


def test_the_same_bytes_whether_kept_or_not(relenv: Relenv, project: Path) -> None:
    sums = set()
    for name in ("one.zip", "two.zip", "three.zip"):
        bundle, _ = made(relenv, project, name, "--format", "zip", *(("--refresh",) if name == "three.zip" else ()))
        sums.add(hashlib.sha256(bundle.read_bytes()).hexdigest())
        if name == "one.zip":
            forget(relenv)
    assert len(sums) == 1


def forget(relenv: Relenv) -> None:
    """Remove the layers, as pruning the cache does in time."""
    shown = json.loads(relenv("cache", "--json").stdout)
    store = Path(shown["path"]) / "store"
    for path in store.glob("layer-*"):
        shutil.rmtree(path)


def test_nothing_is_made_where_nothing_has_changed(relenv: Relenv, project: Path, tmp_path: Path) -> None:
    command = ("bundle", project, "-o", tmp_path / "same.zip", "--format", "zip", "--json")
    relenv(*command)

    def again(**more: object) -> bool:
        status = (tmp_path / "same.zip").stat()
        outcome = relenv(*command, **more)
        told = json.loads(outcome.stdout)
        assert told["sha256"] == hashlib.sha256((tmp_path / "same.zip").read_bytes()).hexdigest()
        touched = (tmp_path / "same.zip").stat().st_mtime_ns != status.st_mtime_ns
        assert touched is ("Packing same.zip" in outcome.stderr) is (not told["unchanged"])
        assert ("nothing has changed" in outcome.stderr) is told["unchanged"]
        return bool(told["unchanged"])

    # what was written a moment ago may not be told from what will be: the second run at the latest knows
    again()
    assert again()
    (project / "layered.py").write_text("import rlnvbelow\n\n\ndef main():\n    print('edited')\n")
    assert not again()
    again()
    assert again()
    make_wheel(project / "wheels", "rlnvbelow", "1.1")
    assert not again()
    again()
    assert again()
    assert not again(env={"SOMETHING_ELSE": "1"})
    again()
    (tmp_path / "same.zip").write_bytes(b"damaged")
    assert not again()
    again()
    assert again()
    told = relenv(*command, "--refresh").stdout
    assert not json.loads(told)["unchanged"]


def test_a_lock_is_written_and_obeyed(relenv: Relenv, project: Path) -> None:
    made(relenv, project, "one", "--lock")
    lock = project / "pylock.toml"
    text = lock.read_text()
    assert 'path = "wheels/rlnvbelow-1.0-py3-none-any.whl"' in text
    make_wheel(project / "wheels", "rlnvbelow", "1.1")
    assert says(made(relenv, project, "two", "--refresh")[0]) == "rlnvbelow 1.0"
    assert says(made(relenv, project, "three", "--refresh", "--lock-file", "none")[0]) == "rlnvbelow 1.1"
    elsewhere = ("-o", project.parent / "four")
    outcome = relenv("bundle", project, "--extra", "more", *elsewhere, check=False)
    assert outcome.code == 3
    assert "does not fit the project: it lacks rlnvmore>=2" in outcome.errors[0]
    assert "relenv bundle --lock" in outcome.errors[1]
    (wheel,) = project.glob("wheels/rlnvbelow-1.0-*")
    wheel.write_bytes(make_wheel(project.parent, "rlnvbelow", "1.0", files={"other.py": ""}).read_bytes())
    forget(relenv)
    outcome = relenv("bundle", project, *elsewhere, check=False)
    assert outcome.code == 5
    assert "rlnvbelow" in outcome.errors[0]


def origins(bundle: Path) -> dict[str, str]:
    """Return the sha256 that a bundle's SBOM has of each package."""
    listed = json.loads((bundle / "sbom.cdx.json").read_text())["components"]
    found = {one["name"]: one.get("hashes", [{}])[0].get("content", "") for one in listed}
    return {name: digest for name, digest in found.items() if name.startswith("rlnv")}


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


LOCKS = {
    "none": "",
    "pylock.toml": 'lock-version = "1.0"\ncreated-by = "x"\npackages = [{{ name = "rlnvbelow", wheels = [\n{}] }}]\n',
    "requirements.txt": "rlnvbelow==1.0 {}\n",
}
ONE = {
    "none": "",
    "pylock.toml": '{{ path = "wheels/{0.name}", hashes = {{ sha256 = "{1}" }} }},\n',
    "requirements.txt": " --hash=sha256:{1}",
}


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.usefixtures("uv")
def test_the_sbom_has_the_sum_of_the_very_file(relenv: Relenv, project: Path, lock: str) -> None:
    tags = ("manylinux_2_17_x86_64", "manylinux_2_5_x86_64", "win_amd64")
    wheels = [make_wheel(project / "wheels", "rlnvbelow", tag=f"py3-none-{tag}") for tag in tags]
    wheels += project.glob("wheels/rlnvbelow-1.0-py3-none-any.whl")
    sums = {digest_of(wheel) for wheel in wheels}
    assert len(sums) == 4
    if lock != "none":
        text = LOCKS[lock].format("".join(ONE[lock].format(wheel, digest_of(wheel)) for wheel in wheels))
        (project / lock).write_text(text)
    for installer in ("pip", "uv"):
        bundle, _ = made(relenv, project, installer, "--lock-file", lock, "--installer", installer)
        assert origins(bundle) == {"rlnvbelow": digest_of(wheels[0])}
        # and so it has if all of it is kept
        again, _ = made(relenv, project, f"{installer} again", "--lock-file", lock, "--installer", installer)
        assert origins(again) == origins(bundle)


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def test_a_branch_called_like_a_commit_is_not_that_commit(relenv: Relenv, project: Path, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    text = PROJECT.replace("layered", "rlnvgit").replace('"rlnvbelow"', "").partition("[project.optional")[0]
    (root / "pyproject.toml").write_text(f'{text}\n[tool.setuptools]\npy-modules = ["rlnvgit"]\n')
    (root / "rlnvgit.py").write_text("first = True\n")
    for command in ("init -q", "add .", "commit -qm one"):
        git(root, *command.split())
    commit = git(root, "rev-parse", "HEAD")
    source = f'{{ type = "git", url = "{root.as_uri()}", commit-id = "{commit}" }}'
    (project / "pylock.toml").write_text(
        f'lock-version = "1.0"\ncreated-by = "x"\npackages = [{{ name = "rlnvgit", vcs = {source} }}]\n'
    )
    own = (project / "pyproject.toml").read_text().replace('["rlnvbelow"]', f'["rlnvgit @ git+{root.as_uri()}"]')
    (project / "pyproject.toml").write_text(own)
    (root / "rlnvgit.py").write_text("first = False\n")
    git(root, "commit", "-qam", "two")
    git(root, "update-ref", f"refs/heads/{commit}", git(root, "rev-parse", "HEAD"))
    outcome = relenv("bundle", project, "-o", tmp_path / "made", "--installer", "pip", check=False)
    assert outcome.code == 5
    assert f"rlnvgit is not the commit that is asked for: {commit} led to" in outcome.errors[0]


def test_a_lock_with_a_hole_is_refused(relenv: Relenv, project: Path) -> None:
    make_wheel(project / "wheels", "rlnvbelow", "1.0", requires=("rlnvmore", "rlnvround"))
    round_one = make_wheel(project / "wheels", "rlnvround", "1.0")
    made(relenv, project, "one", "--lock")
    lock, before = project / "pylock.toml", hashlib.sha256(round_one.read_bytes()).hexdigest()
    # what needs the project itself has no hole
    metadata = "Metadata-Version: 2.1\nName: rlnvround\nVersion: 1.0\nRequires-Dist: layered\n"
    make_wheel(project / "wheels", "rlnvround", "1.0", files={"rlnvround-1.0.dist-info/METADATA": metadata})
    lock.write_text(lock.read_text().replace(before, hashlib.sha256(round_one.read_bytes()).hexdigest()))
    relenv("bundle", project, "-o", project.parent / "two")
    text = lock.read_text()
    (hole,) = re.findall(r'\[\[packages\]\]\nname = "rlnvmore".*?(?=\n\[\[packages\]\]|\Z)', text, re.DOTALL)
    lock.write_text(text.replace(hole, ""))
    outcome = relenv("bundle", project, "-o", project.parent / "three", check=False)
    assert outcome.code == 3
    assert "does not fit the project: it lacks rlnvmore, which rlnvbelow requires" in outcome.errors[0]


def test_a_lock_lacks_what_a_new_extra_asks_for(relenv: Relenv, project: Path) -> None:
    make_wheel(project / "wheels", "rlnvbelow", "1.0", requires=("rlnvmore; extra == 'fast'",))
    made(relenv, project, "one", "--lock")
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace('["rlnvbelow"]', '["rlnvbelow[fast]"]'))
    # though the very files that the lock lists are kept, installed
    outcome = relenv("bundle", project, "-o", project.parent / "two", check=False)
    assert outcome.code == 3
    assert "does not fit the project: it lacks rlnvmore, which rlnvbelow[fast] requires" in outcome.errors[0]
    bundle, _ = made(relenv, project, "three", "--lock")
    assert list(bundle.glob("lib/python3.*/site-packages/rlnvmore.py"))


@pytest.mark.usefixtures("uv")
def test_the_same_lock_whoever_resolves(relenv: Relenv, project: Path) -> None:
    make_wheel(project / "wheels", "rlnvbelow", tag="py3-none-manylinux_2_17_x86_64", requires=("rlnvtree", "rlnvfile"))
    tree, file = project / "a tree", make_wheel(project / "a file", "rlnvfile")
    tree.mkdir()
    text = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    (tree / "pyproject.toml").write_text(f'{text}[project]\nname = "rlnvtree"\nversion = "1"\n')
    direct = f'["rlnvbelow", "rlnvtree @ {tree.as_uri()}", "rlnvfile @ {file.as_uri()}"]'
    text = (project / "pyproject.toml").read_text().replace('["rlnvbelow"]', direct)
    (project / "pyproject.toml").write_text(text)
    locks = {}
    for installer in ("pip", "uv", "auto"):
        bundle, _ = made(relenv, project, installer, "--lock", "--installer", installer)
        assert says(bundle) == "rlnvbelow 1.0"
        locks[installer] = (project / "pylock.toml").read_text()
    assert locks["uv"] == locks["auto"] == locks["pip"]
    assert 'path = "wheels/rlnvbelow-1.0-py3-none-manylinux_2_17_x86_64.whl"' in locks["pip"]


@pytest.mark.usefixtures("uv")
def test_a_lock_goes_by_what_uv_is_told_if_uv_is_asked_for(relenv: Relenv, project: Path) -> None:
    shutil.copytree(project / "wheels", project / "for uv")
    for wheel in (project / "wheels").iterdir():
        wheel.unlink()
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(f'{text}\n[tool.uv]\nfind-links = ["for uv"]\n')
    outcome = relenv("bundle", project, "-o", project.parent / "one", "--lock", check=False)
    assert outcome.code == 8
    assert "--lock resolves with pip, which does not heed what uv is told of indexes" in outcome.stderr
    _, told = made(relenv, project, "two", "--lock", "--installer", "uv")
    assert "resolves with pip" not in told
    assert 'path = "for uv/rlnvbelow-1.0-py3-none-any.whl"' in (project / "pylock.toml").read_text()


def test_what_only_uv_knows_the_place_of_is_not_taken_from_an_index(relenv: Relenv, project: Path) -> None:
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(f"{text}\n[tool.uv.sources]\nrlnvbelow = {{ workspace = true }}\n")
    ways = {
        (): "lock = auto heeds it",
        ("--lock",): "without --lock it is heeded",
        ("--lock-file", "none"): "without lock = none it is heeded",
    }
    for options, way in ways.items():
        outcome = relenv("bundle", project, "-o", project.parent / "one", *options, check=False)
        assert outcome.code == 3
        assert "rlnvbelow comes from [tool.uv.sources]" in outcome.errors[0]
        assert f"`uv lock` writes that, and {way};" in outcome.stderr
    assert not (project / "pylock.toml").exists()


def test_a_refresh_leaves_alone_what_others_build_in(relenv: Relenv, project: Path) -> None:
    store = Path(json.loads(relenv("cache", "--json").stdout)["path"]) / "store"
    made(relenv, project, "one")
    before = {path: path.stat().st_ino for path in store.glob("builder-*")}
    made(relenv, project, "two", "--refresh")
    after = {path: path.stat().st_ino for path in store.glob("builder-*")}
    assert before.items() < after.items()
    made(relenv, project, "three")
    assert {path: path.stat().st_ino for path in store.glob("builder-*")} == after


def test_a_wheel_of_another_project_is_refused(relenv: Relenv, project: Path) -> None:
    wheel = project / "wheels/rlnvbelow-1.0-py3-none-any.whl"
    outcome = relenv("bundle", project, "--wheel", wheel, "-o", project.parent / "one", check=False)
    assert outcome.code == 3
    assert "is of rlnvbelow, and the project is layered" in outcome.errors[0]


def test_offline_what_is_kept_will_do(relenv: Relenv, project: Path) -> None:
    made(relenv, project, "one", "--refresh")
    bundle, _ = made(relenv, project, "two", "--offline")
    assert says(bundle) == "rlnvbelow 1.0"
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace('["rlnvbelow"]', '["rlnvbelow", "rlnvnowhere"]'))
    outcome = relenv("bundle", project, "--offline", "-o", project.parent / "three", check=False)
    assert outcome.code == 8
    assert "rlnvnowhere" in outcome.errors[0]


LOCK = """\
lock-version = "1.0"
created-by = "hand"
packages = [
    {{ name = "rlnvmember", directory = {{ path = "../member" }} }},
    {{ name = "rlnvbelow", version = "1.0", wheels = [
        {{ name = "rlnvbelow-1.0-py3-none-any.whl", path = "{wheel}", hashes = {{ sha256 = "{sha256}" }} }},
    ] }},
]
"""


def test_offline_a_directory_that_has_not_changed_will_do(relenv: Relenv, project: Path) -> None:
    member = project.parent / "member"
    member.mkdir()
    (member / "pyproject.toml").write_text(MEMBER)
    (member / "rlnvmember.py").write_text("word = 'one'\n")
    wheel = project / "wheels/rlnvbelow-1.0-py3-none-any.whl"
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (project / "pylock.toml").write_text(LOCK.format(wheel=wheel.relative_to(project), sha256=sha256))
    made(relenv, project, "one", "--installer", "pip")
    wheel.unlink()
    bundle, told = made(relenv, project, "two", "--installer", "pip", "--offline")
    assert says(bundle) == "rlnvbelow 1.0"
    assert "Building rlnvmember" in told
    assert "Installing" not in told
    (member / "rlnvmember.py").write_text("word = 'two'\n")
    options = ("--installer", "pip", "--offline", "-o", project.parent / "three")
    outcome = relenv("bundle", project, *options, check=False)
    assert outcome.code == 8
    assert "No matching distribution found for rlnvbelow==1.0" in outcome.errors[0]
    assert "no index is asked, for --offline" in outcome.stderr


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.usefixtures("uv")
def test_a_directory_is_built_as_it_is_now(relenv: Relenv, project: Path, installer: str) -> None:
    member = project.parent / "member"
    member.mkdir()
    (member / "pyproject.toml").write_text(MEMBER)
    text = (project / "pyproject.toml").read_text()
    text = text.replace('["rlnvbelow"]', f'["rlnvmember @ {member.as_uri()}"]')
    (project / "pyproject.toml").write_text(text)
    (project / "layered.py").write_text("import rlnvmember\n\n\ndef main():\n    print(rlnvmember.word)\n")
    for word in ("one", "two"):
        (member / "rlnvmember.py").write_text(f"word = '{word}'\n")
        bundle, _ = made(relenv, project, word, "--installer", installer)
        assert says(bundle) == word


def test_what_packages_put_in_the_place_of_relenvs_own_files_is_not_there(relenv: Relenv, project: Path) -> None:
    names = ("relenv.json", "sbom.cdx.json", "README.txt", "OTHER.txt")
    files = {f"rlnvbelow-4.0.data/data/{name}": "theirs" for name in names}
    make_wheel(project / "wheels", "rlnvbelow", "4.0", console={"rlnvbelow": "rlnvbelow:main"}, files=files)
    for name in names:
        (project / name).write_text("the project's")
    text = (project / "pyproject.toml").read_text()
    data = f'data-files = {{ "" = {json.dumps([*names[:-1], "pyproject.toml"])} }}'
    text = text.replace('py-modules = ["layered"]', f'py-modules = ["layered"]\n{data}')
    (project / "pyproject.toml").write_text(text)
    bundle, _ = made(relenv, project, "made", "--refresh")
    assert says(bundle) == "rlnvbelow 4.0"
    relenv("verify", "--strict", bundle)
    assert json.loads((bundle / "relenv.json").read_text())["bundle"]["project"] == "layered"
    assert json.loads((bundle / "sbom.cdx.json").read_text())["bomFormat"] == "CycloneDX"
    assert (bundle / "README.txt").read_text().startswith("layered")
    assert (bundle / "OTHER.txt").read_text() == "theirs"


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.usefixtures("uv")
def test_an_sdist_is_taken_as_it_is_now(relenv: Relenv, project: Path, installer: str) -> None:
    (project / "pyproject.toml").write_text(PROJECT.replace("rlnvbelow", "rlnvmember"))
    (project / "layered.py").write_text("import rlnvmember\n\n\ndef main():\n    print(rlnvmember.word)\n")
    folder = project.parent / "rlnvmember-1.0"
    folder.mkdir()
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: rlnvmember\nVersion: 1.0\n")
    (folder / "pyproject.toml").write_text(MEMBER)
    for word in ("one", "two"):
        (folder / "rlnvmember.py").write_text(f"word = '{word}'\n")
        tar = ["tar", "-czf", project / "wheels/rlnvmember-1.0.tar.gz", folder.name]
        subprocess.run(tar, cwd=project.parent, check=True)
        bundle, _ = made(relenv, project, word, "--installer", installer)
        assert says(bundle) == word


@pytest.mark.parametrize("prune", ["none", "safe", "max"])
def test_headers_and_manuals_of_wheels_are_left_out(relenv: Relenv, project: Path, prune: str) -> None:
    data = "rlnvbelow-3.0.data"
    files = {f"{data}/headers/x.h": "", f"{data}/data/share/man/man1/x.1": "", f"{data}/data/share/doc/x": ""}
    make_wheel(project / "wheels", "rlnvbelow", "3.0", files=files | {f"{data}/data/share/x": "", "rlnvbelow.py": ""})
    (project / "layered.py").write_text("def main():\n    pass\n")
    (project / "man").mkdir()
    (project / "man/ours.1").touch()
    with (project / "pyproject.toml").open("a") as file:
        file.write('include = [{ from = "man", to = "share/man/man1" }]\n')
    bundle, _ = made(relenv, project, prune, "--prune", prune, "--refresh")
    assert bool(list(bundle.rglob("x.h"))) == (prune == "none")
    assert (bundle / "share/man/man1/x.1").exists() == (bundle / "share/doc/x").exists() == (prune != "max")
    assert (bundle / "share/x").exists()
    assert (bundle / "share/man/man1/ours.1").exists()
    assert ".h," not in next(bundle.rglob("rlnvbelow-3.0.dist-info/RECORD")).read_text() or prune == "none"


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.usefixtures("uv")
def test_the_sbom_has_the_checksum_that_the_lock_has(relenv: Relenv, project: Path, installer: str) -> None:
    wheel = project / "wheels/rlnvbelow-1.0-py3-none-any.whl"
    for kind, called in (("sha384", "SHA-384"), ("sha512", "SHA-512")):
        digest = hashlib.new(kind, wheel.read_bytes()).hexdigest()
        (project / "requirements.lock").write_text(f"rlnvbelow==1.0 --hash={kind}:{digest}\n")
        bundle, _ = made(relenv, project, kind, "--lock-file", "requirements.lock", "--installer", installer)
        components = json.loads((bundle / "sbom.cdx.json").read_text())["components"]
        (below,) = (one for one in components if one["name"] == "rlnvbelow")
        assert below["hashes"] == [{"alg": called, "content": digest}]


@pytest.mark.parametrize("prune", ["none", "safe", "max"])
def test_it_runs_however_much_is_left_out(relenv: Relenv, project: Path, prune: str) -> None:
    bundle, _ = made(relenv, project, "made", "--prune", prune)
    assert says(bundle) == "rlnvbelow 1.0"
    assert (bundle / "bin/pip3").exists() == (prune == "none")
    assert (bundle / "include").exists() == (prune == "none")
    sources = [path for path in bundle.glob("lib/python3.*/**/*.py") if path.suffix == ".py"]
    assert bool(sources) == (prune != "max")
    modules = (
        "import ssl, sqlite3, asyncio, email, json, unittest.mock"
        if prune != "max"
        else "import re, warnings, traceback, runpy"
    )
    subprocess.run([bundle / "bin/python3", "-I", "-W", "error", "-c", modules], check=True)


COMPILES = """\
import subprocess, sysconfig


def main():
    command = ["cc", "-fsyntax-only", "-xc", "-", "-I", sysconfig.get_path("include")]
    subprocess.run(command, input="#include <Python.h>", text=True, check=True)
    print("compiled")
"""


@pytest.mark.parametrize("prune", ["safe", "max"])
def test_headers_stay_for_what_compiles_as_it_runs(relenv: Relenv, project: Path, prune: str) -> None:
    (project / "layered.py").write_text(COMPILES)
    bundle, _ = made(relenv, project, "made", "--prune", prune)
    assert says(bundle) == "compiled"


def test_a_script_goes_with_what_it_runs(relenv: Relenv, project: Path) -> None:
    files = {"numpy/__init__.py": "", "numpy/f2py/__init__.py": "def main():\n    print('f2py')\n"}
    make_wheel(project / "wheels", "numpy", files=files, console={"f2py": "numpy.f2py:main"})
    make_wheel(project / "wheels", "rlnvbelow", "1.6", requires=("numpy==1.0",))
    safe, _ = made(relenv, project, "safe", "--refresh")
    assert says(safe, "f2py") == "f2py"
    least, _ = made(relenv, project, "least", "--prune", "max")
    assert not (least / "bin/f2py").exists()
    assert says(least) == "rlnvbelow 1.6"
    assert relenv("check", least).code == 0
    assert relenv("verify", least).code == 0


NAMES = """\
import importlib, subprocess, sys

import rlnvbelow

CONVERT = "colorsys.rgb_to_hsv"


def main():
    import sqlite3

    assert importlib.import_module(CONVERT.partition(".")[0]).rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    importlib.import_module("csv")
    print(sqlite3.connect(":memory:").execute("select 1").fetchone(), "\N{HIRAGANA LETTER A}".encode("shift-jis"))
    subprocess.run([sys.executable, "-Im", "json.tool", "--help"], check=True, stdout=subprocess.DEVNULL)
    rlnvbelow.main()
"""


def test_what_nothing_names_is_left_out(relenv: Relenv, project: Path) -> None:
    (project / "layered.py").write_text(NAMES)
    files = {"rlnvbelow.py": "def main():\n    from urllib.parse import quote\n    print(quote('a b'))\n"}
    make_wheel(project / "wheels", "rlnvbelow", "1.5", files=files)
    bundle, _ = made(relenv, project, "made", "--prune", "max", "--refresh")
    assert says(bundle) == "(1,) b'\\x82\\xa0'\na%20b"
    assert relenv("verify", bundle).code == 0
    report = json.loads(relenv("check", bundle, "--json").stdout)
    assert (report["errors"], report["warnings"]) == (0, 0)
    python = bundle / "bin/python3"
    failed = subprocess.run([python, "-Ic", "1 / 0"], capture_output=True, text=True, check=False)
    assert failed.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert failed.stderr.startswith("Traceback")
    subprocess.run([python, "-Im", "layered"], check=True)
    environ = {"PATH": os.defpath, "LC_ALL": "C"}
    subprocess.run([python, "-c", "import layered"], env=environ, check=True)
    listed = json.loads((bundle / "sbom.cdx.json").read_text())["components"]
    names = {one["name"] for one in json.loads((bundle / "relenv.json").read_text())["components"]}
    for found in (names, {one["name"] for one in listed}, (bundle / "licenses/INDEX.txt").read_text().split()):
        assert "sqlite" in found
        assert "openssl" not in found
        assert "cacert" not in found
    assert not list(bundle.glob("licenses/openssl*"))
    assert not (bundle / "etc").exists()
    assert not list(bundle.glob("lib/libssl*"))
    assert not list(bundle.glob("lib/python3.*/asyncio"))
    assert list(bundle.glob("lib/libsqlite3*"))


def test_a_program_that_prints_is_small(relenv: Relenv, project: Path) -> None:
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace('["rlnvbelow"]', "[]"))
    (project / "layered.py").write_text("def main():\n    print('small')\n")
    made(relenv, project, "made.zip", "--prune", "max", "--format", "zip")
    assert (project.parent / "made.zip").stat().st_size < 4_000_000


def test_isolated_or_not(relenv: Relenv, project: Path, tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path/rlnvbelow.py").write_text("def main():\n    print('from PYTHONPATH')\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "path")}
    for options, expected in ((("--isolated",), "rlnvbelow 1.0"), (("--no-isolated",), "from PYTHONPATH")):
        bundle, _ = made(relenv, project, f"made{options[0]}", *options)
        done = subprocess.run([bundle / "bin/layered"], env=env, check=True, capture_output=True, text=True)
        assert done.stdout.strip() == expected


@pytest.mark.usefixtures("uv")
def test_uv_installs_the_same(relenv: Relenv, project: Path) -> None:
    trees = []
    for installer in ("pip", "uv"):
        bundle, _ = made(relenv, project, installer, "--installer", installer)
        assert says(bundle) == "rlnvbelow 1.0"
        files = {path.relative_to(bundle): path for path in bundle.rglob("*") if path.is_file()}
        own = {"INSTALLER", "RECORD", "REQUESTED", "relenv.json"}
        # scripts are spelled otherwise
        trees.append(
            {n: path.read_bytes() for n, path in files.items() if n.parts[0] != "bin" and path.name not in own}
        )
    assert trees[0] == trees[1]


CHOICES = {
    "constraint": 'constraint-dependencies = ["rlnvbelow<2"]',
    "override": 'override-dependencies = ["rlnvbelow<2"]',
    "several": 'constraint-dependencies = ["rlnvbelow<2"]\noverride-dependencies = ["rlnvmore==1"]',
    "target": 'constraint-dependencies = ["rlnvbelow<2"]\n[tool.uv.pip]\ntarget = "elsewhere"\n',
}


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.usefixtures("uv")
def test_uv_installs_what_was_chosen_by_limits_and_a_lock_in_spite_of_them(
    relenv: Relenv, project: Path, choices: str
) -> None:
    # nothing but [tool.uv] knows the place, relative to the project; and no layer has these wheels
    for version in ("1.0", "2.0"):
        new = {"rlnvnew.txt": f"{choices} {version} {time.time()}"}
        console = {"rlnvbelow": "rlnvbelow:main"}
        make_wheel(project / "for uv", "rlnvbelow", version, console=console, files=new)
    text = (project / "pyproject.toml").read_text().replace('find-links = ["wheels"]', 'installer = "uv"')
    index = '[[tool.uv.index]]\nname = "ours"\nurl = "https://example.invalid/simple"\nexplicit = true\n'
    uv = (
        f'[tool.uv]\nfind-links = ["for uv"]\n{CHOICES[choices]}\n[tool.uv.sources]\nrlnvother = {{ index = "ours" }}\n'
    )
    (project / "pyproject.toml").write_text(f"{text}\n{uv}{index}")
    first, _ = made(relenv, project, "first")
    assert says(first) == "rlnvbelow 1.0"
    digest = hashlib.sha256((project / "for uv/rlnvbelow-2.0-py3-none-any.whl").read_bytes()).hexdigest()
    # of several files the one is asked for that can be had
    (project / "lock.txt").write_text(f"rlnvbelow==2.0 --hash=sha256:{digest} --hash=sha256:{'0' * 64}\n")
    second, _ = made(relenv, project, "second", "--lock-file", "lock.txt")
    assert says(second) == "rlnvbelow 2.0"
    assert not (project / "elsewhere").exists()
    bom = json.loads((second / "sbom.cdx.json").read_text())
    assert digest in json.dumps([one for one in bom["components"] if one["name"] == "rlnvbelow"])


def test_what_a_start_reads_is_compiled(relenv: Relenv, project: Path) -> None:
    family = {f"faker/providers/{name}.py": "" for name in ("__init__", "one", "two")}
    make_wheel(project / "wheels", "rlnvbelow", "1.2", files={"faker/__init__.py": "", **family})
    (project / "layered.py").write_text("import faker.providers.one, mailbox\n\n\ndef main():\n    import rlnvbelow\n")
    bundle, _ = made(relenv, project, "made", "--refresh")
    compiled = sorted(bundle.rglob("*.pyc"))
    names = {path.name.partition(".")[0] for path in compiled}
    assert {"one", "mailbox", "rlnvbelow"} <= names
    assert not {"two", "imaplib", "pdb"} & names
    says(bundle)
    assert sorted(bundle.rglob("*.pyc")) == compiled
    # what is loaded only then is compiled if a command shows it
    text = "def main():\n    __import__('faker.providers.' + 'two')\n"
    (project / "layered.py").write_text(text)
    smoked, _ = made(relenv, project, "smoked", "--smoke", "layered")
    assert "two" in {path.name.partition(".")[0] for path in smoked.rglob("*.pyc")}


def kept(part: Path) -> list[str]:
    """Return what a part of bundles has that most do without."""
    found: list[str] = json.loads((part / "index.json").read_bytes())["keep"]
    return found


def packed(pack: Path) -> set[str]:
    return set(json.loads((pack / "index.json").read_bytes())["known"])


def test_what_keeps_more_is_made_of_the_usual_part(relenv: Relenv, project: Path) -> None:
    """An interpreter with more than most bundles have is the same as far as these go, made and squeezed only beyond."""
    store = Path(json.loads(relenv("cache", "--json").stdout)["path"]) / "store"
    keep = ["import ftplib", "import xmlrpc", "pip"]
    for part in store.glob("trimmed-*"):
        if kept(part) == keep:
            shutil.rmtree(part)
    made(relenv, project, "usual.zip", "--format", "zip")
    (project / "layered.py").write_text("import ftplib, pip, xmlrpc.client\n\n\ndef main():\n    print('kept')\n")
    made(relenv, project, "made.zip", "--format", "zip")
    (part,) = (one for one in store.glob("trimmed-*") if kept(one) == keep)
    files = tree_of(part)
    (usual,) = (one for one in store.glob("trimmed-*") if not kept(one) and shares(files, tree_of(one)))
    more = {
        name for name in files.keys() - tree_of(usual).keys() if not re.search("/site-packages/|licenses/pip-", name)
    }
    assert {re.sub(r"3\.?\d+", "3", name) for name in more} == {
        *("bin/pip", "bin/pip3"),
        "lib/python3/__pycache__/ftplib.cpython-3.pyc",
        *(f"lib/python3/xmlrpc/__pycache__/{name}.cpython-3.pyc" for name in ("__init__", "client", "server")),
    }
    (pack,) = part.glob("pack-*")
    assert packed(pack)
    assert packed(pack).isdisjoint(packed(usual / pack.name))


def test_with_most_left_out_the_bytecode_is_the_usual_one(relenv: Relenv, project: Path) -> None:
    store = Path(json.loads(relenv("cache", "--json").stdout)["path"]) / "store"
    for path in store.glob("trimmed-*/modules.json"):
        shutil.rmtree(path.parent)
    made(relenv, project, "made.zip", "--format", "zip", "--prune", "max")
    (part,) = (path.parent for path in store.glob("trimmed-*/modules.json"))
    least = {name: path.stat().st_ino for name, path in tree_of(part).items()}
    assert not [name for name in least if re.search(r"/python3[^/]*/(?!.*(templates|lib2to3)).+\.py$", name)]

    def taken(usual: Path) -> set[str]:
        names = {re.sub(r"__pycache__/(\w+)[^/]*$", r"\1.pyc", name): path for name, path in tree_of(usual).items()}
        return {name for name, path in names.items() if least.get(name) == path.stat().st_ino and name.endswith(".pyc")}

    assert max(len(taken(one)) for one in store.glob("trimmed-*") if one != part and not kept(one)) > 300


def tree_of(part: Path) -> dict[str, Path]:
    tree = part / "tree"
    return {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_file()}


def shares(files: dict[str, Path], others: dict[str, Path]) -> bool:
    """Tell whether all of the second are the very files of the first."""
    return all(name in files and files[name].samefile(path) for name, path in others.items())


def test_debugging_information_goes_and_records_say_so(relenv: Relenv, project: Path) -> None:
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace('["rlnvbelow"]', '["rlnvbelow", "multidict"]'))
    sections = {}
    for prune in ("none", "safe"):
        bundle, _ = made(relenv, project, prune, "--prune", prune)
        (library,) = bundle.glob("lib/python3.*/site-packages/multidict/_multidict.*.so")
        with library.open("rb") as file:
            sections[prune] = {section.name for section in ELFFile(file).iter_sections()}
        subprocess.run([bundle / "bin/python3", "-I", "-c", "import multidict; multidict.MultiDict(a=1)"], check=True)
        relenv("check", bundle)
    assert ".debug_info" in sections["none"]
    assert ".debug_info" not in sections["safe"]


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.usefixtures("uv")
def test_what_has_to_be_a_wheel_is_not_built(relenv: Relenv, project: Path, installer: str) -> None:
    with tarfile.open(project / "wheels/rlnvsource-1.0.tar.gz", "w:gz") as archive:
        for name, text in {"setup.py": "raise SystemExit('run')\n", "PKG-INFO": "Name: rlnvsource\n"}.items():
            member = tarfile.TarInfo(f"rlnvsource-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    text = (project / "pyproject.toml").read_text().replace('["rlnvbelow"]', '["rlnvsource"]')
    (project / "pyproject.toml").write_text(text)
    options = ("bundle", project, "-o", project.parent / "made", "--installer", installer)
    built = relenv(*options, check=False)
    assert "run" in built.stderr  # setup.py was
    refused = relenv(*options, "--only-binary", ":all:", check=False)
    assert refused.code == 8
    assert "SystemExit" not in refused.stderr
    assert "rlnvsource" in refused.stderr
