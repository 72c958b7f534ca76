"""The vocabulary of recipes. Everything here is frozen data; `relenv.build` alone acts on it."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "/relenv"
"""The prefix everything is configured with. It exists nowhere; relocation makes it relative everywhere."""


@dataclass(frozen=True, kw_only=True)
class AptPackage:
    """A source package of a Debian-like archive whose .orig tarball is the file wanted.

    Which version of the package carries it is found out by the tarball's checksum.
    """

    name: str
    suites: tuple[str, ...]
    """Suites to look in besides those the machine is configured for."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One tarball, or wheel, by content."""

    version: str
    filename: str
    """What it is called in the cache and in a --source-dir."""
    sha256: str
    urls: tuple[str, ...] = ()
    apt: AptPackage | None = None
    index: str = ""
    """A requirement, such as `certifi==2026.10.18`, of which this file is the wheel in the Python package index."""
    inner: str = ""
    """The tarball in this file that is meant, by its path there."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Run a program in `cwd`, with `env` on top of the build environment."""

    argv: tuple[str, ...]
    cwd: str = "{src}"
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Replace:
    """Replace a text in a file; it is an error if the file does not have it."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Write:
    """Write a file."""

    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Copy what a glob matches into a directory, symlinks as such; it is an error if it matches nothing."""

    pattern: str
    into: str


@dataclass(frozen=True, kw_only=True)
class Remove:
    """Remove what a glob matches, if anything."""

    pattern: str


@dataclass(frozen=True, kw_only=True)
class Unpack:
    """Unpack a tar file that lies in a package of relenv's, as frozen profiles do."""

    package: str
    filename: str
    sha256: str
    into: str = "{src}"


Step = Run | Replace | Write | Copy | Remove | Unpack
"""The closed union of what a build can do. Texts may hold the symbols of `SYMBOLS`."""

SYMBOLS = frozenset({"src", "work", "out", "deps", "prefix", "triplet", "openssl_target"})
"""`{src}` the unpacked source, `{work}` the private work directory around it, `{out}` where the artifact is
installed (DESTDIR-like, without the prefix), `{deps}` the artifacts of `needs` merged, `{prefix}` PREFIX,
and the platform's names. They are filled in by the executor, so that a key does not depend on the machine."""

COMPILER_WRAPPER = """\
#!/bin/sh
rpath='{program_rpath}'
for word do
    case $word in -shared) rpath='{shared_rpath}' ;; esac
done
exec {compiler} -ffile-prefix-map={work}={place} "$@" -isystem {deps}/include \\
    -L{deps}/lib -Wl,-rpath-link,{deps}/lib -Wl,--disable-new-dtags,-rpath,"$rpath" -Wl,--hash-style=gnu
"""
"""How a build step reaches the compiler. Paths of this machine go in here, so that they appear in no flag that a
package might record, nor in what the compiler writes. And so does the DT_RPATH: no `$` has to survive make and
a shell, and nothing has to be patched into a finished file (what patchelf 0.18 writes, glibc 2.17 refuses). By itself
the toolchain's linker makes the older kind of hash table, in which ld.so needs longer for what is not there."""

BUILD_ENV: dict[str, str] = {
    "CC": "gcc",
    "CXX": "g++",
    "AR": "ar",
    "RANLIB": "ranlib",
    # libtool would look for one in /bin too, by the name of a cross compiler's
    "NM": "nm",
    # by name: configure would write down where it found it
    "MKDIR_P": "mkdir -p",
    # else configure looks for a shell that it likes better, and finds another on another machine
    "CONFIG_SHELL": "/bin/sh",
    "SHELL": "/bin/sh",
    # autoconf's own -O2 is replaced, not extended, by CFLAGS: it must be said
    "CFLAGS": "-O2 -fPIC -pipe",
    "CXXFLAGS": "-O2 -fPIC -pipe",
    # headers and libraries of {deps} are given by the compiler's wrapper: no flag with a path is ever recorded
    "LDFLAGS": "-Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--disable-new-dtags",
    # while something is built, what was just linked must find our libraries, not the host's
    "LD_LIBRARY_PATH": "{deps}/lib",
    "HOME": "{work}",
    "TMPDIR": "{work}",
    "LC_ALL": "C",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    # 2020-01-01: a date in a binary is this one, not the day of the build
    "SOURCE_DATE_EPOCH": "1577836800",
}
"""The whole environment of a build step, but for PATH and MAKEFLAGS, which the executor adds."""


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A component that lies in the sources of another one and is compiled with it."""

    name: str
    licence: str
    """SPDX expression."""
    version: str = ""
    """A Python expression of its version, for the interpreter that carries it; empty where it has none."""
    cpe: str = ""
    """As in `Recipe`."""
    since: tuple[int, int] = (3, 0)
    """The first series of CPython that carries it."""
    until: tuple[int, int] = (3, 99)
    """The last one."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one release of one component is built."""

    name: str
    source: Source
    steps: tuple[Step, ...]
    needs: tuple[str, ...] = ()
    """Names of recipes whose artifacts are in `{deps}`."""
    feeds: tuple[str, ...] = ()
    """Extension modules of CPython that this library makes possible."""
    licence: str
    """SPDX expression."""
    licence_files: tuple[str, ...]
    """Globs, relative to the source, of the licence texts."""
    cpe: str = ""
    """Vendor and product of its Common Platform Enumeration (NISTIR 7695), by which vulnerabilities are filed."""
    cost: float
    """CPU seconds it took where it was measured: weighs the progress, and orders what may start."""
    program_rpath: str = "$ORIGIN/../lib"
    """Where a program of it finds libraries, from its place in the prefix."""
    shared_rpath: str = "$ORIGIN"
    """Where a shared object of it finds libraries."""
    on: tuple[str, ...] = ("x86_64-linux-gnu",)
    """Triplets it is for."""

    @property
    def version(self) -> str:
        """The release's version."""
        return self.source.version
