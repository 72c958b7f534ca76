"""The platforms relenv knows: one row each. A second `if platform` anywhere is a missing column here."""

from __future__ import annotations

import platform as _host
from dataclasses import dataclass

from relenv.errors import HostError


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A kind of machine that interpreters are built for."""

    triplet: str
    """What names it in file names and manifests, such as `x86_64-linux-gnu`."""
    system: str
    """`platform.system()` of such a machine."""
    machine: str
    """`platform.machine()` of such a machine."""
    openssl_target: str
    """OpenSSL's name for it (`./Configure LIST`)."""
    architecture: str
    """Go's name for the machine (GOARCH), by which images of containers go."""
    loader: str
    """Where programs look for their dynamic linker: without a slash at its beginning."""
    buildable: bool
    """Whether recipes and a toolchain for it exist today."""


PLATFORMS: dict[str, Platform] = {
    row.triplet: row
    for row in (
        Platform(
            triplet="x86_64-linux-gnu",
            system="Linux",
            machine="x86_64",
            openssl_target="linux-x86_64",
            architecture="amd64",
            loader="lib64/ld-linux-x86-64.so.2",
            buildable=True,
        ),
        Platform(
            triplet="aarch64-linux-gnu",
            system="Linux",
            machine="aarch64",
            openssl_target="linux-aarch64",
            architecture="arm64",
            loader="lib/ld-linux-aarch64.so.1",
            buildable=False,
        ),
        Platform(
            triplet="arm64-macos",
            system="Darwin",
            machine="arm64",
            openssl_target="darwin64-arm64-cc",
            architecture="arm64",
            loader="usr/lib/dyld",
            buildable=False,
        ),
        Platform(
            triplet="x86_64-macos",
            system="Darwin",
            machine="x86_64",
            openssl_target="darwin64-x86_64-cc",
            architecture="amd64",
            loader="usr/lib/dyld",
            buildable=False,
        ),
    )
}


def host_platform(system: str = "", machine: str = "") -> Platform:
    """Return the row of this machine.

    Args:
        system: in place of `platform.system()`.
        machine: in place of `platform.machine()`.

    Raises:
        HostError: no interpreter can be built for such a machine.
    """
    system, machine = system or _host.system(), machine or _host.machine()
    for row in PLATFORMS.values():
        if (row.system, row.machine) == (system, machine) and row.buildable:
            return row
    can = ", ".join(row.triplet for row in PLATFORMS.values() if row.buildable)
    raise HostError(
        f"relenv cannot build for {system} on {machine}",
        hint=f"platforms it can build for: {can}",
    )
