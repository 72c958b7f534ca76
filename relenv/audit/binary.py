"""The facts of an ELF file that decide whether it loads elsewhere, of any architecture, without running anything.

pyelftools finds the tables; symbols are read in bulk, since one object for each of thousands costs seconds.
The layout is that of the System V ABI, symbol versions that of the LSB
(https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html).
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from relenv.relocate.elf import MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import NoteSegment

    from relenv.audit.tree import Tree

_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10
_WEAK_VERSION = 2
_VERSION_INDEX = 0x7FFF
_FIRST_VERSION = 2
"""Below are 0, local, and 1, global without a version."""
_BIND_NOW, _TEXTREL, _NOW = 0x8, 0x4, 0x1
_EXECUTABLE = 0x1
_STACK_BY_DEFAULT = frozenset({"EM_386", "EM_X86_64", "EM_ARM"})
"""Where a file that says nothing of its stack gets one that is executable (elf(5), PT_GNU_STACK)."""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A symbol version that a file needs."""

    library: str
    """The soname that is to have it."""
    version: str
    """`GLIBC_2.17`."""


class Symbol(NamedTuple):
    """A symbol that something else is to provide."""

    name: str
    version: str
    """Empty when it was linked against nothing that told one."""
    library: str
    """The soname that had that version when it was linked; empty without one."""


@dataclass(frozen=True, kw_only=True)
class Binary:
    """An executable or a shared object. Static ones have no tables, and are empty where those matter."""

    path: str
    """Relative to the tree."""
    machine: str
    """`EM_X86_64`."""
    bits: int
    little: bool
    """Little-endian."""
    program: bool = False
    """Has an interpreter: is started, not loaded."""
    interpreter: str = ""
    """The dynamic linker that it is started by, as the kernel looks for it."""
    dynamic: bool = False
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: str | None = None
    runpath: str | None = None
    textrel: bool = False
    execstack: bool = False
    relro: bool = False
    bind_now: bool = False
    kernel: tuple[int, ...] = ()
    """The oldest Linux that its ABI note names."""
    requires: tuple[Requirement, ...] = ()
    """Without those that only weak symbols have."""
    defined: frozenset[str] = frozenset()
    """`name`, and `name@version` of those that have one."""
    versioned: bool = False
    """Whether it gives its own symbols versions."""
    undefined: frozenset[Symbol] = frozenset()
    """Without the weak ones."""

    @property
    def name(self) -> str:
        """What others find it by."""
        return self.soname or self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Begins as an ELF file does, but is none."""

    path: str
    reason: str


def binaries(tree: Tree) -> Iterator[Binary | Broken]:
    """Yield the facts of each ELF file of a tree; object files, which nothing loads, are left out."""
    for path in tree.readable:
        if path.endswith((".py", ".pyc", ".h")):  # most files: not worth opening
            continue
        with (tree.root / path).open("rb") as file:
            if file.read(4) != MAGIC:
                continue
            facts = _facts(path, file.fileno())
        if facts is not None:
            yield facts


def _facts(path: str, descriptor: int) -> Binary | Broken | None:
    # it takes long to import, and most of what is audited after an edit is no ELF file
    from elftools.common.exceptions import ELFError  # noqa: PLC0415
    from elftools.construct import ConstructError  # noqa: PLC0415

    # whatever pyelftools makes of numbers that lead nowhere
    wrong = (ELFError, ConstructError, struct.error, ValueError, LookupError, AttributeError, TypeError)
    more = (ArithmeticError, AssertionError, MemoryError, RecursionError)
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as image:
            return _read(path, image)
    except (*wrong, *more) as error:
        return Broken(path=path, reason=str(error) or type(error).__name__)


def _read(path: str, image: mmap.mmap) -> Binary | None:
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415 - as above

    elf = ELFFile(cast("IO[bytes]", image))  # it reads and seeks, and that is all
    if elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
        return None
    _refuse_more_than_fits(elf, len(image))
    segments = {segment["p_type"]: segment for segment in elf.iter_segments()}
    machine = elf["e_machine"]
    stack = segments.get("PT_GNU_STACK")
    interpreter = segments.get("PT_INTERP")
    facts: dict[str, Any] = {
        "path": path,
        "machine": str(machine),
        "bits": elf.elfclass,
        "little": elf.little_endian,
        "program": interpreter is not None,
        "interpreter": interpreter.data().partition(b"\0")[0].decode("utf-8", "replace") if interpreter else "",
        "relro": "PT_GNU_RELRO" in segments,
        "execstack": bool(stack["p_flags"] & _EXECUTABLE) if stack else machine in _STACK_BY_DEFAULT,
        "kernel": _kernel(elf),
    }
    if "PT_DYNAMIC" in segments:
        facts |= _dynamic(elf, segments["PT_DYNAMIC"], image)
    return Binary(**facts)


def _refuse_more_than_fits(elf: ELFFile, size: int) -> None:
    """Refuse tables that are longer than the file: where their steps are nought, reading them would not end.

    Raises:
        ValueError: it is so.
    """
    for number, smallest, what in ((elf.num_segments(), 32, "segments"), (elf.num_sections(), 40, "sections")):
        if number * smallest > size:
            raise ValueError(f"it has not the {number} {what} that it tells of")


def _kernel(elf: ELFFile) -> tuple[int, ...]:
    for segment in elf.iter_segments("PT_NOTE"):
        for note in cast("NoteSegment", segment).iter_notes():
            if note["n_name"] == "GNU" and note["n_type"] == "NT_GNU_ABI_TAG":
                desc = note["n_desc"]
                return (desc["abi_major"], desc["abi_minor"], desc["abi_tiny"])
    return ()


def _dynamic(elf: ELFFile, segment: Any, image: mmap.mmap) -> dict[str, Any]:
    """Return the fields that the dynamic section decides."""
    tags: dict[str, list[Any]] = {}
    for tag in segment.iter_tags():
        tags.setdefault(tag.entry.d_tag, []).append(tag)

    def flags(name: str) -> int:
        return tags[name][0]["d_val"] if name in tags else 0

    def text(name: str, attribute: str) -> str | None:
        return str(getattr(tags[name][0], attribute)) if name in tags else None

    fields: dict[str, Any] = {
        "dynamic": True,
        "needed": tuple(str(tag.needed) for tag in tags.get("DT_NEEDED", ())),
        "soname": text("DT_SONAME", "soname") or "",
        "rpath": text("DT_RPATH", "rpath"),
        "runpath": text("DT_RUNPATH", "runpath"),
        "textrel": "DT_TEXTREL" in tags or bool(flags("DT_FLAGS") & _TEXTREL),
        "bind_now": "DT_BIND_NOW" in tags or bool(flags("DT_FLAGS") & _BIND_NOW) or bool(flags("DT_FLAGS_1") & _NOW),
    }
    if "DT_SYMTAB" not in tags:
        return fields
    values = {name: found[0]["d_val"] for name, found in tags.items()}
    return fields | _Symbols(elf, image, values, segment).facts()


class _Symbols:
    """The dynamic symbol table of one file, and the versions of what is in it."""

    def __init__(self, elf: ELFFile, image: mmap.mmap, tags: Mapping[str, int], segment: Any) -> None:
        self._image, self._tags = image, tags
        self._order = "<" if elf.little_endian else ">"
        self._wide = elf.elfclass == 64  # noqa: PLR2004
        self._loads = [(load["p_vaddr"], load["p_offset"], load["p_filesz"]) for load in elf.iter_segments("PT_LOAD")]
        self._count = min(self._size(elf, segment), len(image))
        self._left = 2 * _VERSION_INDEX
        """Entries of versions, and of libraries that have some, that there may still be."""
        start = self._at("DT_STRTAB")
        self._strings = image[start : start + tags["DT_STRSZ"]]

    def facts(self) -> dict[str, Any]:
        """Return the fields of Binary that symbols decide."""
        needs = list(self._needs())
        versions = {index: (version, library) for index, library, version, _ in needs}
        versions |= {index: (version, "") for index, version in self._definitions()}
        defined: set[str] = set()
        undefined: set[Symbol] = set()
        for (name_at, info, section), index in zip(self._symbols(), self._indices(), strict=False):
            name = self._text(name_at)
            if not name:
                continue
            version, library = versions.get(index & _VERSION_INDEX, ("", ""))
            if section:
                if info >> 4 in (_GLOBAL, _WEAK, _UNIQUE):
                    defined |= {name, f"{name}@{version}"} if version else {name}
            elif info >> 4 == _GLOBAL:
                undefined.add(Symbol(name, version, library))
        return {
            "requires": tuple(
                Requirement(library=library, version=name) for _, library, name, weak in needs if not weak
            ),
            "defined": frozenset(defined),
            "versioned": "DT_VERDEF" in self._tags,
            "undefined": frozenset(undefined),
        }

    def _size(self, elf: ELFFile, segment: Any) -> int:
        entry = 24 if self._wide else 16
        for section in range(elf.num_sections()):
            header = elf._get_section_header(section)  # noqa: SLF001 - the public call reads names we need not
            if header["sh_type"] == "SHT_DYNSYM":
                return int(header["sh_size"]) // entry
        return int(segment.num_symbols())  # no section headers: counted by the hash table

    def _at(self, tag: str) -> int:
        address = self._tags[tag]
        for start, offset, size in self._loads:
            if start <= address < start + size:
                return int(offset + address - start)
        raise ValueError(f"{tag} points outside the file")

    def _text(self, at: int) -> str:
        return self._strings[at : self._strings.index(b"\0", at)].decode("utf-8", "replace")

    def _symbols(self) -> Iterator[tuple[int, int, int]]:
        """Yield name, type and binding, and section of each symbol; they stand in another order in 32 bits."""
        layout = struct.Struct(self._order + ("IBBHQQ" if self._wide else "IIIBBH"))
        start = self._at("DT_SYMTAB")
        for fields in layout.iter_unpack(self._image[start : start + layout.size * self._count]):
            yield (fields[0], fields[1], fields[3]) if self._wide else (fields[0], fields[3], fields[5])

    def _indices(self) -> tuple[int, ...]:
        if "DT_VERSYM" not in self._tags:
            return (1,) * self._count
        return struct.unpack_from(f"{self._order}{self._count}H", self._image, self._at("DT_VERSYM"))

    def _needs(self) -> Iterator[tuple[int, str, str, bool]]:
        """Yield index, library, version and weakness of each entry of DT_VERNEED."""
        if "DT_VERNEED" not in self._tags:
            return
        heads = self._chain("HHIII", self._at("DT_VERNEED"), self._tags["DT_VERNEEDNUM"])
        for at, (_, count, library, aux, _) in heads:
            for _, (_, flags, index, name, _) in self._chain("IHHII", at + aux, count):
                yield index & _VERSION_INDEX, self._text(library), self._text(name), bool(flags & _WEAK_VERSION)

    def _definitions(self) -> Iterator[tuple[int, str]]:
        """Yield index and version of each entry of DT_VERDEF."""
        if "DT_VERDEF" not in self._tags:
            return
        entries = self._chain("HHHHIII", self._at("DT_VERDEF"), self._tags["DT_VERDEFNUM"])
        for at, (_, base, index, _, _, aux, _) in entries:
            if index >= _FIRST_VERSION and not base & 1:  # the first names the file itself
                yield index, self._text(struct.unpack_from(self._order + "I", self._image, at + aux)[0])

    def _chain(self, layout: str, at: int, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the place and the fields of each entry; the last field is the step to the next, nought in the last.

        Raises:
            ValueError: there are more than can be: the numbers of versions have 15 bits.
        """
        for _ in range(count):
            self._left -= 1
            if self._left < 0:
                raise ValueError("it has more symbol versions than there are numbers for")
            fields = struct.unpack_from(self._order + layout, self._image, at)
            yield at, fields
            if not fields[-1]:
                return
            at += fields[-1]
