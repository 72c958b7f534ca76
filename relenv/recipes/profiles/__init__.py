"""Frozen profiles: what a training run counted (.gcda files), so that no build has to train.

A profile fits one release of CPython, one compiler and one set of flags. `relenv build --train` makes one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile in this package."""

    version: str
    """The release of CPython."""
    toolchain: str
    """The toolchain whose compiler wrote it and can read it."""
    filename: str
    """A .tar.xz of .gcda files, by their place in the source tree; release, triplet and toolchain are in its name."""
    sha256: str


PROFILES: tuple[Profile, ...] = (
    Profile(
        version="3.11.2",
        toolchain="ppbt-0.1.8",
        filename="cpython-3.11.2-x86_64-linux-gnu-ppbt-0.1.8.tar.xz",
        sha256="601531148301824a9fc9f04c9cab87252416037f8f90a907c5433ea64f7f8987",
    ),
    Profile(
        version="3.13.5",
        toolchain="ppbt-0.1.8",
        filename="cpython-3.13.5-x86_64-linux-gnu-ppbt-0.1.8.tar.xz",
        sha256="16f939dc760de10edd80d0a984d7112f2a4d7303b80282ccbb4393a07bf6497b",
    ),
    Profile(
        version="3.13.15",
        toolchain="ppbt-0.1.8",
        filename="cpython-3.13.15-x86_64-linux-gnu-ppbt-0.1.8.tar.xz",
        sha256="f1f6b69a517de3e2928b67fe7a0ef1d1af8d2fbd9352323bca61f8381db0b9f1",
    ),
    Profile(
        version="3.13.5",
        toolchain="gcc-15.3.0",
        filename="cpython-3.13.5-x86_64-linux-gnu-gcc-15.3.0.tar.xz",
        sha256="dd08df0c5d656be34652bbbeb5e76255c1120e8702bfd28952a645f1724c002c",
    ),
    Profile(
        version="3.13.15",
        toolchain="gcc-15.3.0",
        filename="cpython-3.13.15-x86_64-linux-gnu-gcc-15.3.0.tar.xz",
        sha256="e997c429f3bdf77958e64093c667b527d78f307324cf9ff4fcb5813d2b04da7a",
    ),
)


def profile_for(version: str, toolchain: str) -> Profile | None:
    """Return the profile of a release of CPython for a toolchain, by its name."""
    return next((one for one in PROFILES if (one.version, one.toolchain) == (version, toolchain)), None)
