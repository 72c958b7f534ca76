"""ELF files: what they need, and whether their DT_RPATH finds it relative to the file itself.

The compiler's wrapper has set it when they were linked. DT_RPATH, not DT_RUNPATH: glibc consults the main
program's DT_RPATH for whatever is loaded later, at any depth, and before LD_LIBRARY_PATH; DT_RUNPATH does neither
(ld.so(8)).
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relenv import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relenv.toolchain import Toolchain

MAGIC = b"\x7fELF"
GLIBC_FLOOR = (2, 17)
"""What the toolchain builds for."""
OLDEST_KERNEL = (2, 6, 32)
"""The Linux that the distributions with glibc 2.17 have their glibc ask for."""


@dataclass(frozen=True, kw_only=True)
class Elf:
    """What matters here of one dynamically linked ELF file."""

    path: Path
    needed: tuple[str, ...]
    """Sonames it is linked with."""
    soname: str
    rpath: str
    runpath: str


def is_elf(path: Path) -> bool:
    """Tell whether a regular file begins as an ELF file does."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def inspect(path: Path) -> Elf | None:
    """Return the facts of an ELF file; None if it is not dynamically linked, or no ELF file."""
    # here and below: it takes long to import, and most bundles of an edited project have nothing to read by it
    from elftools.common.exceptions import ELFError  # noqa: PLC0415
    from elftools.elf.dynamic import DynamicSection  # noqa: PLC0415
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            return None
        file.seek(0)
        try:
            section = ELFFile(file).get_section_by_name(".dynamic")
        except ELFError:
            return None
        if not isinstance(section, DynamicSection):
            return None
        tags = [(tag.entry.d_tag, tag) for tag in section.iter_tags()]

    def texts(name: str, attribute: str) -> tuple[str, ...]:
        return tuple(str(getattr(tag, attribute)) for key, tag in tags if key == name)

    return Elf(
        path=path,
        needed=texts("DT_NEEDED", "needed"),
        soname="".join(texts("DT_SONAME", "soname")),
        rpath="".join(texts("DT_RPATH", "rpath")),
        runpath="".join(texts("DT_RUNPATH", "runpath")),
    )


def glibc_floor(root: Path) -> tuple[int, int]:
    """Return the oldest glibc that everything below a directory runs on.

    It is the highest version among the symbols that the files ask of glibc (`GLIBC_2.17`), at least 2.17.
    """
    return max(map(file_floor, elf_files(root)), default=GLIBC_FLOOR)


def file_floor(path: Path) -> tuple[int, int]:
    """Return the oldest glibc that an ELF file runs on, at least 2.17."""
    from elftools.common.exceptions import ELFError  # noqa: PLC0415
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415
    from elftools.elf.gnuversions import GNUVerNeedSection  # noqa: PLC0415

    floor = GLIBC_FLOOR
    with path.open("rb") as file:
        try:
            sections = list(ELFFile(file).iter_sections())
        except ELFError:
            return floor
        for section in sections:
            if not isinstance(section, GNUVerNeedSection):
                continue
            for _, versions in section.iter_versions():
                for version in versions:
                    found = re.match(r"GLIBC_(\d+)\.(\d+)", version.name)
                    if found:
                        floor = max(floor, (int(found[1]), int(found[2])))
    return floor


def elf_files(root: Path) -> Iterator[Path]:
    """Yield every ELF file below a directory, in a fixed order, symlinks left out."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = root.__class__(folder) / name
            if path.is_symlink() or not path.is_file():
                continue
            if is_elf(path):
                yield path


def misplaced(root: Path, *, libraries: str = "lib") -> list[str]:
    """Return what is wrong with how the ELF files below `root` find the libraries in `root/<libraries>`.

    Each that needs one of them must have a DT_RPATH that is relative and leads there, and none a DT_RUNPATH.
    """
    ours = {path.name for path in (root / libraries).iterdir() if ".so" in path.name}
    found = []
    for path in elf_files(root):
        elf = inspect(path)
        if elf is None:
            continue
        relative = os.path.relpath(root / libraries, path.parent)
        wanted = "$ORIGIN" if relative == "." else f"$ORIGIN/{relative}"
        if elf.runpath:
            found.append(f"{path.relative_to(root)} has the DT_RUNPATH {elf.runpath}")
        elif ours.intersection(elf.needed) and elf.rpath != wanted:
            found.append(f"{path.relative_to(root)} has the DT_RPATH {elf.rpath!r}, not {wanted!r}")
    return found


def strip(root: Path, toolchain: Toolchain) -> None:
    """Remove symbols and debugging information that running needs none of, and with them build paths."""
    for path in elf_files(root):
        program = path.parent == root / "bin"
        mode = "--strip-all" if program else "--strip-unneeded"
        process.run([toolchain.tool("strip"), mode, "--enable-deterministic-archives", path])
        if program:
            _lower_kernel(path)


def _lower_kernel(path: Path) -> None:
    """Let a program start on the oldest kernel that glibc 2.17 itself runs on.

    The note that says which one (.note.ABI-tag, of the Linux Standard Base) comes with the toolchain's crt1.o, which is
    newer; ld.so before glibc 2.36 heeds it. It is written over, not removed: strip would remove PT_GNU_RELRO with it.
    """
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    with path.open("r+b") as file:
        section = ELFFile(file).get_section_by_name(".note.ABI-tag")
        if section is None:
            return
        # sizes of name and description, type; then the name, the system, and the kernel's version
        file.seek(section.header["sh_offset"] + 20)
        file.write(struct.pack("<3I", *OLDEST_KERNEL))
