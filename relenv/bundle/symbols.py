"""Debugging information in what wheels bring: it goes, if what is loaded stays the same to the byte."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from relenv import process
from relenv.bundle.content import edit_records
from relenv.pip_shim.records import mend, site_packages
from relenv.relocate.elf import elf_files, is_elf

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from relenv.toolchain import Toolchain

LOADED = ("PT_LOAD", "PT_DYNAMIC", "PT_TLS", "PT_GNU_RELRO", "PT_GNU_STACK", "PT_INTERP")
FIELDS = ("p_type", "p_offset", "p_vaddr", "p_filesz", "p_memsz", "p_flags")


def drop_debugging(root: Path, tops: Iterable[Path], toolchain: Toolchain) -> None:
    """Take debugging information out of shared objects, and tell RECORD.

    A file that other tools have edited may not survive that: one whose segments come out differently stays as it was.

    Args:
        root: the bundle.
        tops: where to look: files and directories in site-packages.
        toolchain: has the strip to use.
    """
    edits: dict[Path, bytes] = {}
    for top in tops:
        for path in list(elf_files(top)) if top.is_dir() else [top] if is_elf(top) else []:
            if data := _stripped(path, toolchain):
                mode = path.stat().st_mode
                path.unlink()  # it may be one with the store's
                path.write_bytes(data)
                path.chmod(mode)
                edits[path] = data
    for site in site_packages(root) if edits else ():
        contents = {path.relative_to(site).as_posix(): edits[path] for path in edits if path.is_relative_to(site)}
        edit_records(site, partial(mend, contents=contents))


def _stripped(path: Path, toolchain: Toolchain) -> bytes | None:
    """Return a file without debugging information; None if it has none, or would not be the same when loaded."""
    from elftools.common.exceptions import ELFError  # noqa: PLC0415 - as in relenv.relocate.elf

    try:
        before = _segments(path)
    except (ELFError, OSError):
        return None
    if before is None:
        return None
    beside = path.with_name(f".{path.name}.stripped")
    try:
        # notes of compilers' plug-ins are not always in order, and merging them is of no use here
        process.run([toolchain.tool("strip"), "--strip-debug", "--no-merge-notes", "-o", beside, path])
        same = _segments(beside, always=True) == before
        return beside.read_bytes() if same else None
    except (process.CommandError, ELFError, OSError):
        return None
    finally:
        with suppress(OSError):
            beside.unlink()


def _segments(path: Path, *, always: bool = False) -> list[tuple[object, ...]] | None:
    """Return what is loaded of a file, segment by segment; None if it has no debugging information."""
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415 - as above

    with path.open("rb") as file:
        elf = ELFFile(file)
        if not always and not any(section.name.startswith((".debug_", ".zdebug_")) for section in elf.iter_sections()):
            return None
        # the header and the table of segments are in the first one, and the place of the table of sections with them
        head = elf.header["e_phoff"] + elf.header["e_phnum"] * elf.header["e_phentsize"]
        found = []
        for segment in elf.iter_segments():
            if segment["p_type"] in LOADED:
                places = tuple(
                    segment[name] for name in ("p_type", "p_offset", "p_vaddr", "p_filesz", "p_memsz", "p_flags")
                )
                skip = max(0, head - segment["p_offset"]) if segment["p_offset"] < head else 0
                found.append((*places, segment.data()[skip:] if segment["p_type"] == "PT_LOAD" else b""))
        return found
