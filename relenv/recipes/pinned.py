"""The pinned toolchain: a wheel of the Python package index with GCC, binutils and a sysroot of glibc 2.17."""

from __future__ import annotations

from dataclasses import dataclass

PACKAGE = "ppbt"
VERSION = "0.1.8"
NAME = f"{PACKAGE}-{VERSION}"
"""What the toolchain is called."""


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """The wheel for one kind of machine."""

    tag: str
    sha256: str


WHEELS = {
    "x86_64-linux-gnu": Wheel(
        tag="py3-none-manylinux_2_17_x86_64",
        sha256="cdc534b53f052ff32812ea7167afd3393068b1dab92c63546b38353c286aac73",
    ),
    "aarch64-linux-gnu": Wheel(
        tag="py3-none-manylinux_2_17_aarch64",
        sha256="e5447e55f6a51811481dcd41b580fd2f58450dcfd17a5871f8b7051d710f51c0",
    ),
}
"""By the triplet of the machine that it runs on and compiles for."""
