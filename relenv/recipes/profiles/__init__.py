"""Frozen profiles: what a training run counted (.gcda files), so that no build has to train.

A profile fits one release of CPython, one compiler and one set of flags. `relenv build --train` makes one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile in this package."""

    filename: str
    """A .tar.xz of .gcda files, by their place in the source tree."""
    sha256: str
    toolchain: str
    """The toolchain whose compiler wrote it and can read it."""


PROFILES: dict[str, Profile] = {
    "3.13.15": Profile(
        filename="cpython-3.13.15-x86_64-linux-gnu.tar.xz",
        sha256="006a2c80067cc961157b73c253e73e4e2464cc078156c20877e4770af30dead7",
        toolchain="ppbt-0.1.8",
    ),
}
"""By version of CPython."""
