"""What has a bundle made again, and what does not."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from relenv.bundle.config import load_config
from relenv.bundle.made import Bundle, Written, look
from relenv.bundle.receipt import Receipt, receipt_for
from relenv.context import Context
from relenv.interpreter import Interpreter
from relenv.ui import open_ui

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PYPROJECT = """\
[build-system]
requires = ["{provider}"]
build-backend = "{backend}"

[project]
name = "shown"
version = "1.0"
{project}
"""
BACKENDS = {
    "setuptools": "setuptools.build_meta",
    "hatchling": "hatchling.build",
    "flit_core": "flit_core.buildapi",
    "poetry-core": "poetry.core.masonry.api",
    "uv_build": "uv_build",
}


def _project(
    folder: Path, *, provider: str = "setuptools", requires: str = "", backend: str = "", project: str = ""
) -> Path:
    root = folder / "project"
    (root / "shown").mkdir(parents=True)
    (root / "shown/__init__.py").write_text("def main():\n    print('shown')\n")
    text = PYPROJECT.format(provider=requires or provider, backend=backend or BACKENDS[provider], project=project)
    (root / "pyproject.toml").write_text(text)
    _settle(folder)
    return root


def _settle(folder: Path) -> None:
    """Wait until whatever is done to a file shows in its time."""
    last = max(path.lstat().st_ctime for path in [folder, *folder.rglob("*")])
    time.sleep(max(0, last + 0.15 - time.time()))


def _receipt(root: Path, *, asked: dict[str, object] | None = None, **environ: str) -> Receipt | None:
    cache = root.parent / "cache"
    context = Context(environ={"RELENV_DATA": str(cache), **environ}, ui=open_ui(quiet=True), jobs=1)
    interpreter = Interpreter(root=cache / "python", version="3.13.5", triplet="x86_64-linux-gnu", key="key")
    config = load_config(root, {"output": str(root.parent / "out.zip"), **(asked or {})})
    return receipt_for(context, config, interpreter)


def _bundle(path: Path, until: float = float("inf")) -> Bundle:
    path.write_bytes(b"made")
    return Bundle(
        files=(Written(format="zip", path=path, sha256="0" * 64, size=4, seen=look(path.stat())),),
        name="shown",
        python="3.13.5",
        project="shown",
        version="1.0",
        scripts=("shown",),
        installers=(),
        until=until,
    )


@pytest.mark.parametrize("provider", BACKENDS)
def test_what_is_there_and_unchanged_is_known_again(tmp_path: Path, provider: str) -> None:
    root = _project(tmp_path, provider=provider)
    first = _receipt(root)
    assert first
    assert first.recall() is None
    bundle = _bundle(tmp_path / "out.zip")
    first.keep(bundle)
    again = _receipt(root)
    assert again == first
    found = again and again.recall()
    assert found
    assert found.unchanged
    assert found.files == bundle.files
    assert (found.scripts, found.version) == (("shown",), "1.0")


def _edit(root: Path) -> None:
    (root / "shown/__init__.py").write_text("def main():\n    print('SHOWN')\n")


def _edit_with_the_same_time(root: Path) -> None:
    path = root / "shown/__init__.py"
    status = path.stat()
    _edit(root)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _add(root: Path) -> None:
    (root / "shown/data.txt").touch()


def _remove(root: Path) -> None:
    (root / "shown/__init__.py").unlink()


def _rename(root: Path) -> None:
    (root / "shown").rename(root / "other")


def _run_it(root: Path) -> None:
    (root / "shown/__init__.py").chmod(0o755)


@pytest.mark.parametrize("change", [_edit, _edit_with_the_same_time, _add, _remove, _rename, _run_it])
def test_a_changed_file_has_it_made_again(tmp_path: Path, change: Callable[[Path], None]) -> None:
    root = _project(tmp_path)
    before = _receipt(root)
    assert before
    change(root)
    _settle(tmp_path)
    after = _receipt(root)
    assert after
    assert after.made_of != before.made_of


@pytest.mark.parametrize("name", [".gitignore", "uv.lock", "pyproject.toml", "uv.toml"])
def test_what_counts_above_is_looked_at(tmp_path: Path, name: str) -> None:
    root = _project(tmp_path, provider="hatchling")
    before = _receipt(root)
    (tmp_path / name).touch()
    assert before
    assert before != _receipt(root)


def test_what_a_directory_offers_is_looked_at(tmp_path: Path) -> None:
    root = _project(tmp_path)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "more wheels").mkdir()
    for place in ("wheels", "more wheels"):
        asked: dict[str, object] = {"find-links": [str(tmp_path / "more wheels")]}
        before = _receipt(root, asked=asked, PIP_FIND_LINKS=str(tmp_path / "wheels"))
        (tmp_path / place / "other-1.0-py3-none-any.whl").touch()
        _settle(tmp_path)
        assert before
        assert before != _receipt(root, asked=asked, PIP_FIND_LINKS=str(tmp_path / "wheels"))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("home/.config/uv/uv.toml", "offline = true\n"),
        ("etc/uv/uv.toml", "offline = true\n"),
        ("etc/pip/pip.conf", "[global]\npre = true\n"),
        ("home/.config/pip/pip.conf", "[global]\npre = true\n"),
        ("of uv/dep-2-py3-none-any.whl", ""),
        ("of-pip/dep-2-py3-none-any.whl", ""),
        ("limits.txt", "dep<2\n"),
    ],
)
def test_what_installers_are_told_by_files_is_looked_at(tmp_path: Path, file: str, text: str) -> None:
    root = _project(tmp_path)
    for name in ("of uv", "of-pip", "home/.config/uv", "home/.config/pip", "etc/uv", "etc/pip"):
        (tmp_path / name).mkdir(parents=True)
    (root / "uv.toml").write_text('find-links = ["../of uv"]\n')
    (tmp_path / "home/.config/pip/pip.conf").write_text(f"[global]\nfind-links = {tmp_path}/of-pip\n")
    _settle(tmp_path)
    environ = {"HOME": f"{tmp_path}/home", "XDG_CONFIG_DIRS": f"{tmp_path}/etc", "UV_CONSTRAINT": "../limits.txt"}
    before = _receipt(root, **environ)
    (tmp_path / file).write_text(text)
    assert before
    after = _receipt(root, **environ)
    assert after
    assert after.made_of != before.made_of


def test_what_urls_of_files_name_is_looked_at(tmp_path: Path) -> None:
    wheel, other, links = tmp_path / "dep-1-py3-none-any.whl", tmp_path / "other-1-py3-none-any.whl", tmp_path / "a b"
    links.mkdir()
    for path in (wheel, other):
        path.touch()
    named = f'dependencies = ["dep @ {wheel.as_uri()}"]\noptional-dependencies.x = ["other @ {other.as_uri()}"]'
    root = _project(tmp_path, project=named)
    for path in (wheel, other, links / "more-1-py3-none-any.whl"):
        before = _receipt(root, asked={"find-links": [links.as_uri()]})
        path.write_text("newer")
        _settle(tmp_path)
        after = _receipt(root, asked={"find-links": [links.as_uri()]})
        assert before
        assert after
        assert after.made_of != before.made_of


def _new_folder(root: Path) -> None:
    (root / "data/new").mkdir()


def _folder_gone(root: Path) -> None:
    (root / "data/old").rmdir()


def _fetch(root: Path) -> None:
    (root / "data/.git/HEAD").write_text("ref: refs/heads/other\n")


@pytest.mark.parametrize("change", [_new_folder, _folder_gone, _fetch])
def test_all_that_is_copied_is_looked_at(tmp_path: Path, change: Callable[[Path], None]) -> None:
    root = _project(tmp_path, project='[tool.relenv]\ninclude = [{ from = "data" }]')
    for name in (".git", "data/.git", "data/old"):
        (root / name).mkdir(parents=True)
    before = _receipt(root)
    (root / ".git/HEAD").touch()
    (root / "other").mkdir()
    assert before
    assert before == _receipt(root)
    change(root)
    _settle(tmp_path)
    after = _receipt(root)
    assert after
    assert after.made_of != before.made_of


def test_what_is_no_url_is_left_to_those_who_ask_there(tmp_path: Path) -> None:
    assert _receipt(_project(tmp_path), asked={"find-links": ["file://[", "https://example.org/"]})


def test_what_git_ignores_counts_for_a_backend_that_asks_it(tmp_path: Path) -> None:
    root = _project(tmp_path, provider="poetry-core")
    (root / ".gitignore").write_text("shown/data.txt\n")
    (root / "shown/data.txt").touch()
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run(["git", "init", "-q"], cwd=root, check=True, env=environ)
    _settle(tmp_path)
    before = _receipt(root, **environ)
    subprocess.run(["git", "add", "-f", "shown/data.txt"], cwd=root, check=True, env=environ)
    after = _receipt(root, **environ)
    assert before
    assert after
    assert after.made_of != before.made_of
    assert after == _receipt(root, **environ)


def test_another_option_or_variable_has_it_made_again(tmp_path: Path) -> None:
    root = _project(tmp_path)
    before = _receipt(root)
    assert before
    for other in (
        _receipt(root, asked={"prune": "none"}),
        _receipt(root, PIP_INDEX_URL="https://example.org"),
        _receipt(root, PATH="/nowhere"),
    ):
        assert other
        assert other.made_of != before.made_of
    assert _receipt(root, OLDPWD="/elsewhere", SHLVL="2") == before


def test_a_file_that_was_written_just_now_may_be_written_once_more(tmp_path: Path) -> None:
    root = _project(tmp_path)
    _edit(root)
    assert _receipt(root) is None


def test_what_another_has_written_since_is_not_taken_for_ours(tmp_path: Path) -> None:
    root, path = _project(tmp_path), tmp_path / "out.zip"
    receipt = _receipt(root)
    assert receipt
    bundle = _bundle(path)
    path.unlink()
    path.write_bytes(b"else")
    receipt.keep(bundle)
    assert receipt.recall() is None


def _touched(path: Path) -> None:
    path.touch()


def _cut(path: Path) -> None:
    path.write_bytes(b"mad")


def _overwritten(path: Path) -> None:
    path.write_bytes(b"same"[:4])


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), _touched, _cut, _overwritten])
def test_a_bundle_that_is_not_as_it_was_is_made_again(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    root = _project(tmp_path)
    receipt = _receipt(root)
    assert receipt
    receipt.keep(_bundle(tmp_path / "out.zip"))
    _settle(tmp_path)
    assert receipt.recall()
    harm(tmp_path / "out.zip")
    assert receipt.recall() is None


@pytest.mark.parametrize(("until", "holds"), [(0.0, False), (60.0, True), (-60.0, False)])
def test_dependencies_are_looked_for_anew_in_time(tmp_path: Path, until: float, *, holds: bool) -> None:
    root = _project(tmp_path)
    receipt = _receipt(root)
    assert receipt
    receipt.keep(_bundle(tmp_path / "out.zip", until and time.time() + until))
    assert bool(receipt.recall()) is holds


@pytest.mark.parametrize(
    "options",
    [
        {"backend": "mesonpy"},
        {"requires": 'setuptools", "setuptools-scm'},
        {"project": 'dynamic = ["description"]'},
        {"provider": "flit_core", "project": 'dynamic = ["description"]'},
        {"project": 'readme = "../README.md"'},
        {"project": 'readme = "/README.md"'},
        {"project": '[tool.setuptools.cmdclass]\nbuild_py = "build.Command"'},
        {"project": '[[tool.setuptools.ext-modules]]\nname = "fast"\nsources = ["fast.c"]'},
        {"provider": "hatchling", "project": '[tool.hatch.build.targets.wheel.hooks.custom]\npath = "b.py"'},
        {"provider": "hatchling", "project": '[tool.hatch.build.targets.wheel.force-include]\n"../x" = "x"'},
        {"provider": "poetry-core", "project": '[tool.poetry]\nbuild = "build.py"'},
        {"provider": "hatchling", "backend": "build", "project": ""},
    ],
)
def test_what_may_depend_on_more_is_built_each_time(tmp_path: Path, options: dict[str, str]) -> None:
    assert _receipt(_project(tmp_path, **options)) is None


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ('[build.targets.wheel.force-include]\n"../x" = "x"\n', False),
        ('[build.hooks.custom]\npath = "tool.py"\n', False),
        ("[build", False),
        ('[build.targets.wheel]\npackages = ["shown"]\n', True),
    ],
)
def test_what_hatch_toml_says_counts_for_hatchling(tmp_path: Path, text: str, *, known: bool) -> None:
    root = _project(tmp_path, provider="hatchling")
    (root / "hatch.toml").write_text(text)
    _settle(tmp_path)
    assert bool(_receipt(root)) is known


def test_a_directory_among_the_requirements_is_built_each_time(tmp_path: Path) -> None:
    (tmp_path / "dep").mkdir()
    assert _receipt(_project(tmp_path, project=f'dependencies = ["dep @ {(tmp_path / "dep").as_uri()}"]')) is None


@pytest.mark.parametrize("name", ["setup.py", "setup.cfg", "hatch_build.py"])
def test_code_of_its_own_is_run_each_time(tmp_path: Path, name: str) -> None:
    root = _project(tmp_path)
    (root / name).touch()
    _settle(tmp_path)
    assert _receipt(root) is None


def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    root = _project(tmp_path)
    (tmp_path / "elsewhere").touch()
    (root / "shown/link").symlink_to(root / "shown/__init__.py")
    _settle(tmp_path)
    assert _receipt(root)
    (root / "shown/link").unlink()
    (root / "shown/link").symlink_to(tmp_path / "elsewhere")
    _settle(tmp_path)
    assert _receipt(root) is None


def test_a_bundle_beside_the_project_is_not_part_of_it(tmp_path: Path) -> None:
    root = _project(tmp_path)
    before = _receipt(root, asked={"output": str(root / "shown.zip")})
    (root / "shown.zip").touch()
    assert before
    assert before == _receipt(root, asked={"output": str(root / "shown.zip")})


def test_a_format_that_needs_more_is_made_each_time(tmp_path: Path) -> None:
    assert _receipt(_project(tmp_path), asked={"format": ["zip", "oci"]}) is None
