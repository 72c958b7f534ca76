"""The few programs a build takes from the machine, and the directory that is the whole PATH of a build step.

With a PATH of exactly these names nothing else of the machine (a pkg-config, a python, another compiler) can
find its way into a build.
"""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING

from relenv.errors import HostError
from relenv.recipes.model import COMPILER_WRAPPER, PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relenv.recipes.model import Recipe
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
            f"compiling needs {', '.join(missing)}, which this machine lacks",
            hint=f"install with: {manager} {packages}" if manager else f"install {packages}",
        )
    return found


def lay_tools(
    into: Path, *, found: Mapping[str, str], toolchain: Toolchain, work: Path, deps: Path, recipe: Recipe
) -> None:
    """Fill a directory that is to be the whole PATH of a build step.

    Args:
        into: the directory.
        found: where the machine's programs are.
        toolchain: where the compiler is.
        work: the work directory, which the compiler shall not mention.
        deps: headers and libraries that the compiler shall find.
        recipe: what is being built.
    """
    into.mkdir(parents=True)
    for tool, place in found.items():
        (into / tool).symlink_to(place)
    for tool in BINUTILS:
        (into / tool).symlink_to(toolchain.tool(tool))
    for tool in COMPILERS:
        text = COMPILER_WRAPPER.format(
            compiler=shlex.quote(str(toolchain.tool(tool))),
            work=shlex.quote(str(work)),
            deps=shlex.quote(str(deps)),
            place=f"{PREFIX}/src/{recipe.name}",
            program_rpath=recipe.program_rpath,
            shared_rpath=recipe.shared_rpath,
        )
        (into / tool).write_text(text)
        (into / tool).chmod(0o755)
