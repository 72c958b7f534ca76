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
        sha256="9ea6a55977985fa15854054d4d5609e5f5471ceb152644678d1632a9ee8c6ad3",
    ),
    Profile(
        version="3.13.5",
        toolchain="ppbt-0.1.8",
        filename="cpython-3.13.5-x86_64-linux-gnu-ppbt-0.1.8.tar.xz",
        sha256="d7c7382557874fdd045ae2e870fc46249b359d9cf46e7e92b0d1228a8954c02b",
    ),
    Profile(
        version="3.13.15",
        toolchain="ppbt-0.1.8",
        filename="cpython-3.13.15-x86_64-linux-gnu-ppbt-0.1.8.tar.xz",
        sha256="cc2226fb3b3e7e16c3dcc97709792e8313a89a2a51a6559194e66e94e166672a",
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
