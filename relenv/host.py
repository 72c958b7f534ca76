"""The few programs a build takes from the machine, and the directory that is the whole PATH of a build step.

With a PATH of exactly these names nothing else of the machine (a pkg-config, a python, another compiler) can
find its way into a build.
"""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING

from relenv.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relenv.toolchain import Toolchain

HOST_TOOLS = (
    *(
        "awk",
        "basename",
        "cat",
        "chmod",
        "cmp",
        "cp",
        "cut",
        "date",
        "diff",
        "dirname",
        "echo",
        "egrep",
        "env",
    ),
    *(
        "expr",
        "false",
        "fgrep",
        "find",
        "grep",
        "head",
        "id",
        "install",
        "ln",
        "ls",
        "make",
        "mkdir",
        "mktemp",
    ),
    *("mv", "od", "perl", "printf", "pwd", "rm", "rmdir", "sed", "sh", "sleep", "sort", "tail", "tar", "tee"),
    *("test", "touch", "tr", "true", "uname", "uniq", "wc", "xargs"),
)
"""Names from a POSIX system, with make and perl."""

OPTIONAL_TOOLS = frozenset({"egrep", "fgrep", "cmp", "diff", "install", "mktemp", "xargs", "od", "tee"})
"""Names a build does without where the machine has none."""

COMPILERS = ("gcc", "cc", "g++", "c++", "cpp")
"""Names in a toolchain that are reached through the wrapper."""

BINUTILS = (
    *("addr2line", "ar", "as", "gcc-ar", "gcc-nm", "gcc-ranlib", "gcov", "ld", "nm", "objcopy", "objdump"),
    *("ranlib", "readelf", "size", "strings", "strip"),
)
"""Names in a toolchain that are linked as they are."""

PACKAGES = {"make": "make", "perl": "perl", "awk": "gawk"}
"""Which package a missing program comes in, where that is not its own name."""

INSTALLERS = {
    "apt-get": "apt-get install",
    "dnf": "dnf install",
    "yum": "yum install",
    "zypper": "zypper install",
    "apk": "apk add",
    "pacman": "pacman -S",
}
"""How a package is installed, by the package manager that is there."""


def find_tools(environ: Mapping[str, str]) -> dict[str, str]:
    """Return where each of HOST_TOOLS is.

    Raises:
        HostError: one is missing; names the command that installs it.
    """
    path = environ.get("PATH", "/usr/bin:/bin")
    found = {name: place for name in HOST_TOOLS if (place := shutil.which(name, path=path))}
    missing = [name for name in HOST_TOOLS if name not in found and name not in OPTIONAL_TOOLS]
    if missing:
        manager = next((text for name, text in INSTALLERS.items() if shutil.which(name, path=path)), "")
        packages = " ".join(PACKAGES.get(name, name) for name in missing)
        raise HostError(
            f"compiling an interpreter needs {', '.join(missing)}, which this machine lacks",
            hint=f"install with: {manager} {packages}" if manager else f"install {packages}",
        )
    return found


WRAPPER = """\
#!/bin/sh
exec {compiler} -ffile-prefix-map={work}={prefix} "$@" -isystem {deps}/include -L{deps}/lib
"""
"""How a build step reaches the compiler: paths of this machine go in here, so that they appear in no flag that a
package might record, nor in what the compiler writes."""


def lay_tools(
    into: Path, *, found: Mapping[str, str], toolchain: Toolchain, work: Path, deps: Path, prefix: str
) -> None:
    """Fill a directory that is to be the whole PATH of a build step."""
    into.mkdir(parents=True)
    for name, place in found.items():
        (into / name).symlink_to(place)
    for name in BINUTILS:
        (into / name).symlink_to(toolchain.tool(name))
    for name in COMPILERS:
        text = WRAPPER.format(
            compiler=shlex.quote(str(toolchain.tool(name))),
            work=shlex.quote(str(work)),
            deps=shlex.quote(str(deps)),
            prefix=prefix,
        )
        (into / name).write_text(text)
        (into / name).chmod(0o755)
