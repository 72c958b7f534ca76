"""Which toolchain a Python is built with, and toolchains that are fetched."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from relenv import current
from relenv.cli import main
from relenv.commands import toolchain as command
from relenv.context import Context
from relenv.errors import CacheError, SourceError, UsageError
from relenv.fetch import Location, fetch_toolchain
from relenv.platforms import PLATFORMS
from relenv.recipes import profiles
from relenv.recipes.cpython import RELEASES, flags_of, recipe_for
from relenv.recipes.profiles import Profile
from relenv.release import publish, toolchain_parcel
from relenv.store import open_cache
from relenv.toolchain import Toolchain, choose, describe, pinned, present
from relenv.ui import open_ui

if TYPE_CHECKING:
    from pathlib import Path

    from relenv.store import Cache

LINUX = PLATFORMS["x86_64-linux-gnu"]
GCC = """\
#!/bin/sh
echo {version}
"""


def lay(root: Path, version: str, *, name: str = "gcc", key: str = "0123456789abcdef") -> Path:
    """Lay down what a toolchain is known by."""
    program = root / "bin" / f"{LINUX.triplet}-gcc"
    program.parent.mkdir(parents=True)
    program.write_text(GCC.format(version=version))
    program.chmod(0o755)
    (root / "artifact.json").write_text(json.dumps({"name": name, "version": version, "key": key}))
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_cache(tmp_path / "cache")


def context_for(cache: Cache, **others: str) -> Context:
    environ = {"RELENV_DATA": str(cache.root), "HOME": str(cache.root), "PATH": "/usr/bin:/bin", **others}
    return Context(environ=environ, ui=open_ui(quiet=True), jobs=1)


def frozen(monkeypatch: pytest.MonkeyPatch, *toolchains: str) -> None:
    rows = (Profile(version="3.13.15", toolchain=name, filename=name, sha256="") for name in toolchains)
    monkeypatch.setattr(profiles, "PROFILES", tuple(rows))


def test_with_nothing_here_it_is_the_pinned_one(cache: Cache) -> None:
    assert choose(LINUX, cache, python="3.13.15") == pinned(LINUX, cache)
    assert present(LINUX, cache) == []


def test_the_best_has_a_profile_then_it_is_the_newest(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("14.2.0", "15.3.0", "9.5.0"):
        lay(cache.store / f"gcc-{version}-0123456789abcdef", version, key=version)
    frozen(monkeypatch)
    assert choose(LINUX, cache, python="3.13.15").name == "gcc-15.3.0"
    frozen(monkeypatch, "gcc-14.2.0", "ppbt-0.1.8")
    assert choose(LINUX, cache, python="3.13.15").name == "gcc-14.2.0"
    assert choose(LINUX, cache, python="3.14.7").name == "gcc-15.3.0"
    frozen(monkeypatch, "ppbt-0.1.8")
    assert choose(LINUX, cache, python="3.13.15") == pinned(LINUX, cache)


@pytest.mark.parametrize("last", ["0123", "4567", "89ab"])
def test_of_two_of_a_name_it_is_the_one_made_last(cache: Cache, last: str) -> None:
    for folder in (cache.store, cache.toolchains):
        for key in ("0123", "4567", "89ab"):
            root = lay(folder / f"gcc-15.3.0-{key}", "15.3.0", key=f"{folder.name} {key}")
            os.utime(root / "artifact.json", (9, 9) if key == last else (5, 5))
            os.utime(root, (5, 5) if key == last else (9, 9))  # the last use
    assert choose(LINUX, cache, python="3.14.7").key == f"store {last}"
    keys = [one.key for one in present(LINUX, cache)]
    assert (keys[0], keys[3]) == (f"store {last}", f"toolchains {last}")


@pytest.mark.parametrize("asked", ["gcc", "gcc-14.2.0"])
def test_one_is_asked_for_by_name_or_kind(cache: Cache, asked: str) -> None:
    lay(cache.store / "gcc-14.2.0-0123456789abcdef", "14.2.0")
    assert choose(LINUX, cache, python="3.13.15", asked=asked).name == "gcc-14.2.0"
    assert context_for(cache, RELENV_TOOLCHAIN=asked).compiler_for("3.13.15").key == "0123456789abcdef"
    assert choose(LINUX, cache, python="3.13.15", asked="ppbt") == pinned(LINUX, cache)


def test_one_that_is_not_here_is_an_error(cache: Cache) -> None:
    lay(cache.store / "gcc-14.2.0-0123456789abcdef", "14.2.0")
    with pytest.raises(UsageError, match=r"no toolchain gcc-13 here") as caught:
        choose(LINUX, cache, python="3.13.15", asked="gcc-13")
    assert "there is ppbt-0.1.8, gcc-14.2.0;" in caught.value.hint


def test_one_that_is_gone_is_not_replaced_by_another(cache: Cache) -> None:
    with pytest.raises(CacheError, match="is gone from the cache"):
        context_for(cache).toolchain("0123456789abcdef")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "zlib", "version": "1", "key": "0"}'])
def test_what_is_no_toolchain_is_passed_over(cache: Cache, text: str) -> None:
    root = lay(cache.store / "gcc-14.2.0-0123456789abcdef", "14.2.0")
    (root / "artifact.json").write_text(text)
    assert present(LINUX, cache) == []


def test_a_compiler_with_link_time_optimisation_gets_it() -> None:
    source = next(source for source in RELEASES if source.version == "3.13.15")
    plain, lto = (flags_of(recipe_for(source, name)) for name in ("ppbt-0.1.8", "gcc-15.3.0"))
    assert "--with-lto" not in str(plain["configure"])
    assert "--with-lto" in str(lto["configure"])


def test_one_that_was_published_is_fetched_and_kept(cache: Cache, tmp_path: Path) -> None:
    for version in ("14.2.0", "15.3.0"):
        root = lay(tmp_path / version, version, key=version)
        made = Toolchain(name=f"gcc-{version}", triplet=LINUX.triplet, key=version, root=root)
        release = publish(context_for(cache), toolchain_parcel(made), _folder(tmp_path / "dist"))
        assert release.path.name == f"toolchain-{version}-{LINUX.triplet}.tar.xz"
    context = context_for(open_cache(tmp_path / "another"))
    location = Location(place=str(tmp_path / "dist"))
    found = fetch_toolchain(context, location)
    assert (found.name, found.key, found.compiler()) == ("gcc-15.3.0", "15.3.0", "gcc 15.3.0")
    assert found == fetch_toolchain(context, location)
    assert context.compiler_for("3.14.7") == found
    assert context.toolchain(found.key) == found
    assert f"toolchains/{found.root.name}" in current.usable(context)
    assert describe(found.root, LINUX) == found


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def test_what_a_location_lacks_or_calls_wrongly_is_refused(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    location = Location(place=str(tmp_path / "dist"))
    (tmp_path / "dist/SHA256SUMS").write_text(f"{'0' * 64}  3.13.15-{LINUX.triplet}.tar.xz\n")
    with pytest.raises(SourceError, match=r"offers no toolchain for x86_64") as caught:
        fetch_toolchain(context_for(cache), location)
    assert "relenv toolchain build --output" in caught.value.hint
    root = lay(tmp_path / "it", "14.2.0", name="clang")
    made = Toolchain(name="gcc-14.2.0", triplet=LINUX.triplet, key="0", root=root)
    publish(context_for(cache), toolchain_parcel(made), tmp_path / "dist")
    with pytest.raises(SourceError, match=r"is no toolchain gcc-14\.2\.0 of relenv's"):
        fetch_toolchain(context_for(cache), location)
    assert present(LINUX, cache) == []


def test_the_commands(cache: Cache, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = lay(cache.store / "gcc-14.2.0-0123456789abcdef", "14.2.0")
    environ = {"RELENV_DATA": str(cache.root)}
    assert main(["toolchain", "list", "--json"], environ) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["path"] == str(root)
    assert "3.14.7" in listed["builds"]
    assert main(["toolchain", "list"], {**environ, "RELENV_TOOLCHAIN": "ppbt"}) == 0
    assert "3.14.7" not in capsys.readouterr().out
    assert main(["toolchain", "list", "--json"], {**environ, "RELENV_TOOLCHAIN": "clang"}) == 0
    shown = capsys.readouterr()
    (other,) = json.loads(shown.out)
    assert (other["path"], other["builds"]) == (str(root), [])
    assert "warning: there is no toolchain clang here; until there is, no Python can be built" in shown.err
    assert main(["build", "--toolchain", "gcc-1", "--download-only"], environ) == UsageError.exit_code
    assert "there is no toolchain gcc-1 here" in capsys.readouterr().err
    assert main(["toolchain", "download", "--key", "RWx"], environ) == UsageError.exit_code
    assert "--key is for a release location" in capsys.readouterr().err
    assert main(["toolchain", "download", "--from", str(tmp_path / "none")], environ) == SourceError.exit_code


@pytest.mark.parametrize(
    ("profiles", "said"),
    [
        (("ppbt-0.1.8",), True),
        (("ppbt-0.1.8", "gcc-14.2.0"), False),
        ((), False),
    ],
)
def test_whoever_builds_one_is_told_that_it_will_not_be_taken(
    profiles: tuple[str, ...],
    said: bool,  # noqa: FBT001 - a parameter of the test
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = lay(cache.store / "gcc-14.2.0-0123456789abcdef", "14.2.0")
    frozen(monkeypatch, *profiles)
    monkeypatch.setattr(command, "build_toolchain", lambda context: describe(root, context.platform))
    assert main(["toolchain", "build"], {"RELENV_DATA": str(cache.root)}) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{root}\n"
    told = "no profile of Python 3.13.15 is frozen for gcc-14.2.0: `relenv build` takes ppbt-0.1.8 as before;"
    assert (told in shown.err, "RELENV_TOOLCHAIN=gcc-14.2.0" in shown.err) == (said, said)
