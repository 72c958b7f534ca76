"""Zip files of our own making: the same tree gives the same bytes; what was deflated once is copied then on.

Python's zipfile can neither store what is deflated already nor leave out what differs between two runs.
The format is PKWARE's APPNOTE 6.3.10 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).

    tree ──► files, sorted ──► squeezed in threads, or copied from a Pack ──► members, one after another
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import deflate

from relenv.bundle.output import beside, fresh, writing
from relenv.errors import CacheError, CheckError, RelenvError
from relenv.store import remove_tree
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from io import BufferedRandom

    from relenv.ui import Ui, Work

STORED = 0
DEFLATED = 8
UTF8 = 0x800
"""The flag of a name that is UTF-8 (APPNOTE, appendix D)."""
UNIX = 3 << 8
"""The upper half of "version made by": external attributes hold a Unix mode."""
FIRST_TIME = (0, 1 << 5 | 1)
"""That of all members: midnight of 1980-01-01, the first that a zip can tell, as time and date (APPNOTE 4.4.6)."""
PLAIN_VERSION = 20
ZIP64_VERSION = 45
ZIP64_LIMIT = 0xFFFF_FFFF
"""Sizes and offsets from here on do not fit: in four bytes, this very value says "see the ZIP64 field"."""
ZIP64_COUNT = 0xFFFF
"""Likewise for the number of members, in two bytes."""

LARGE = 8 << 20
"""Files of more bytes than this are streamed, through zlib: never more than a chunk of them is in memory."""
CHUNK = 1 << 18
"""Bytes handed to zlib at once. Part of the result: what zlib finds may depend on how its input was cut."""
BATCH_BYTES = 1 << 20
BATCH_FILES = 64
"""What a thread is handed at once: enough to be worth the hand-over, little enough to keep few in memory."""
HIGHEST_STREAMED = 9
"""zlib's best level; libdeflate's is 12."""
MOST_JOBS = 8
"""More threads than this wait for the one that writes, and each may hold two files of LARGE bytes."""

PACK_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file as it stands in an archive: what a manifest says of it."""

    path: str
    """Relative to the tree, parts joined by slashes."""
    sha256: str
    size: int
    """Bytes, unpacked."""
    mode: int
    """0o755 or 0o644."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip file that was written."""

    path: Path
    sha256: str
    size: int
    """Bytes."""
    members: tuple[Member, ...]
    """The files in it, in their order there. Empty directories are in the zip, yet not here."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What headers say of some content."""

    size: int
    """Bytes, unpacked."""
    crc32: int
    sha256: str
    method: int
    """STORED or DEFLATED."""
    length: int
    """Bytes, as stored or deflated."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Some content in a pack."""

    facts: Facts
    offset: int
    """Where in the blob its `facts.length` bytes begin."""
    check: int
    """CRC-32 of these bytes: what a failing disk did to them must not reach a user's bundle."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Squeezed contents of a tree, kept so that the next archive copies them.

    They are found by content, not by name: a file that was copied or renamed, or that was a link in the tree
    that was packed, is found all the same.
    """

    root: Path
    codec: str
    """What squeezed them; see the function of this name."""
    known: Mapping[str, Packed]
    """By sha256 of the unpacked content."""

    @property
    def index(self) -> Path:
        """JSON: what is where in the blob."""
        return self.root / "index.json"

    @property
    def blob(self) -> Path:
        """The squeezed contents, one after another."""
        return self.root / "blob"

    @classmethod
    def open(cls, root: Path) -> Pack:
        """Open what `pack_tree` wrote.

        Raises:
            CacheError: it is not there, or damaged.
        """
        pack = cls(root=root, codec="", known={})
        try:
            index = json.loads(pack.index.read_bytes())
            if index["format"] != PACK_FORMAT:
                raise _damaged(pack.root, f"format {index['format']}")
            known = {sha256: _packed(sha256, row) for sha256, row in index["known"].items()}
            return cls(root=root, codec=index["codec"], known=known)
        except OSError as error:
            raise _damaged(pack.root, error.strerror or str(error)) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _damaged(pack.root, "its index makes no sense") from error


@cache
def codec(level: int) -> str:
    """Return what decides how deflated bytes come out: the libraries, their versions and the level.

    Whoever keeps packs by a key makes this a part of it: what an archive holds must not depend on what happens to be
    cached.
    """
    return f"libdeflate {version('deflate')} zlib {zlib.ZLIB_RUNTIME_VERSION} level {level}"


def pack_tree(
    root: Path,
    into: Path,
    *,
    level: int = 9,
    jobs: int | None = None,
    but: Sequence[Pack] = (),
    digests: Mapping[str, str] | None = None,
) -> Pack:
    """Squeeze the regular files of a tree into a pack; links are passed over.

    Args:
        root: the tree.
        into: the pack, a directory. It appears whole or not at all, and replaces an older one; callers that
            share it with other processes hold a lock.
        level: libdeflate's, 0 (store) to 12.
        jobs: threads; None for one a processor.
        but: packs whose contents are left out.
        digests: the sha256 of files, by their names, as far as it is known: those in another pack are not read.

    Raises:
        CheckError: a file cannot be read, or changed meanwhile.
        OutputError: the pack cannot be written.
    """
    others = {sha256 for pack in but for sha256 in pack.known}
    known_as = digests or {}
    entries = (one for one in walk(root) if not one[1].is_symlink() and known_as.get(one[0]) not in others)
    files = _sorted(_file(name, entry) for name, entry in entries)
    partial = beside(into)
    pack = Pack(root=partial, codec=codec(level), known={})
    with writing(into):
        try:
            remove_tree(partial)
            partial.mkdir(parents=True)
            with pack.blob.open("w+b") as blob:
                known = _fill(blob, files, _Squeezer(level=level), jobs, leave=others)
            index = {
                "format": PACK_FORMAT,
                "codec": pack.codec,
                "known": {k: _row(p) for k, p in known.items()},
            }
            pack.index.write_text(json.dumps(index, separators=(",", ":")) + "\n", encoding="utf-8")
            remove_tree(into)
            partial.rename(into)
        finally:
            with suppress(OSError):
                remove_tree(partial)
    return Pack(root=into, codec=pack.codec, known=known)


def write_zip(
    root: Path,
    into: Path,
    *,
    top: str,
    bases: Sequence[Pack],
    ui: Ui,
    level: int = 9,
    jobs: int | None = None,
    digests: Mapping[str, str] | None = None,
) -> Archive:
    """Pack a tree as `top/...`: the same files give the same bytes, whoever packs them, when and where.

    Members are sorted by name, modes become 0755 or 0644, times are all the same. Memory does not grow with
    the size of a file.

    Args:
        root: the tree: regular files and directories.
        into: the zip file. It appears whole or not at all, and replaces an older one.
        top: the directory that it unpacks to.
        bases: contents that need not be squeezed again.
        ui: gets the progress.
        level: libdeflate's, 0 (store) to 12.
        jobs: threads; None for one a processor.
        digests: the sha256 of files, by their names, as far as it is known: those in a base are not read.

    Raises:
        CheckError: the tree holds a symbolic link, something that is no file, a name that is not UTF-8, or a
            file that cannot be read or changed meanwhile.
        CacheError: the pack is damaged.
        OutputError: the zip file cannot be written.
    """
    files = _sorted(_file(name, entry) for name, entry in walk(root))
    with (
        working(ui, f"Packing {into.name}", total=sum(file.size for file in files), unit="bytes") as work,
        _squeezer(level, bases, digests or {}) as squeezer,
        fresh(into) as out,
    ):
        archive = _Zip(out, top=top)
        _fill_zip(archive, files, squeezer, jobs, work)
        size, sha256 = archive.finish()
    return Archive(path=into, sha256=sha256, size=size, members=tuple(archive.members))


# --- what is in a tree ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file to be packed, or an empty directory: then its name ends in a slash."""

    name: str
    size: int
    mode: int = stat.S_IFREG | 0o644
    path: str = ""


def plain_mode(mode: int) -> int:
    """Return the mode that a file has in every format: what counts is whether its owner may execute it."""
    return 0o755 if mode & stat.S_IXUSR else 0o644


def walk(folder: str | Path, below: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what lies in a tree, by names relative to it: all but the directories that are not empty."""
    try:
        with os.scandir(folder) as entries:
            children = list(entries)
    except OSError as error:
        raise _unreadable(str(folder), error) from error
    for entry in children:
        name = f"{below}{entry.name}"
        if not entry.is_dir(follow_symlinks=False):
            yield name, entry
            continue
        empty = True
        for found in walk(entry.path, f"{name}/"):
            empty = False
            yield found
        if empty:
            yield f"{name}/", entry


def _file(name: str, entry: os.DirEntry[str]) -> _File:
    try:
        status = entry.stat(follow_symlinks=False)
        name.encode()
    except OSError as error:
        raise _unreadable(entry.path, error) from error
    except UnicodeEncodeError as error:
        raise CheckError(f"{os.fsencode(name)!r} is not a name in UTF-8", hint="rename the file") from error
    if stat.S_ISLNK(status.st_mode):
        target = Path(entry.path).readlink()
        raise CheckError(f"{entry.path} is a symbolic link (to {target})", hint="bundles hold regular files only")
    if stat.S_ISDIR(status.st_mode):
        return _File(name=name, size=0, mode=stat.S_IFDIR | 0o755, path=entry.path)
    if not stat.S_ISREG(status.st_mode):
        raise CheckError(f"{entry.path} is no regular file", hint="bundles hold regular files only")
    mode = stat.S_IFREG | plain_mode(status.st_mode)
    return _File(name=name, size=status.st_size, mode=mode, path=entry.path)


def _sorted(files: Iterator[_File]) -> list[_File]:
    return sorted(files, key=attrgetter("name"))


def _chunks(file: _File) -> Iterator[bytes]:
    """Yield a file's content; the size that its headers were made for is the size it must have."""
    if stat.S_ISDIR(file.mode):
        return
    left = file.size
    try:
        with open(file.path, "rb", buffering=0) as source:  # noqa: PTH123 - twice as fast for small files
            while chunk := source.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise _unreadable(file.path, error) from error
    if left:
        raise CheckError(f"{file.path} changed while it was packed", hint="try again once nothing writes to it")


# --- contents, squeezed -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Content:
    facts: Facts
    data: bytes


@dataclass(frozen=True, kw_only=True)
class _Squeezer:
    """What turns contents into what is stored of them. Safe to use from several threads."""

    level: int
    bases: Sequence[tuple[Pack, int]] = ()
    """Each with the file descriptor of its blob."""
    digests: Mapping[str, str] = field(default_factory=dict)

    def files(self, batch: Sequence[_File]) -> list[tuple[_File, _Content | None]]:
        """Squeeze some files; None stands for a large one, to be streamed when its turn has come."""
        return [(file, self._ready(file)) for file in batch]

    def _ready(self, file: _File) -> _Content | None:
        if (digest := self.digests.get(file.name)) and (found := self._known(digest)):
            _, _, packed = found
            return _Content(facts=packed.facts, data=b"".join(self._copy(*found))) if file.size <= LARGE else None
        return None if file.size > LARGE else self.squeeze(b"".join(_chunks(file)))

    def _known(self, digest: str) -> tuple[Pack, int, Packed] | None:
        return next(((pack, blob, pack.known[digest]) for pack, blob in self.bases if digest in pack.known), None)

    def squeeze(self, raw: bytes) -> _Content:
        """Squeeze what is in memory."""
        sha256 = hashlib.sha256(raw).hexdigest()
        if found := self._known(sha256):
            return _Content(facts=found[2].facts, data=b"".join(self._copy(*found)))
        data, method = raw, STORED
        if self.level and len(deflated := bytes(deflate.deflate_compress(raw, self.level))) < len(raw):
            data, method = deflated, DEFLATED
        facts = Facts(size=len(raw), crc32=zlib.crc32(raw), sha256=sha256, method=method, length=len(data))
        return _Content(facts=facts, data=data)

    def stream(self, file: _File, out: BufferedRandom) -> Facts:
        """Squeeze a file of any size to where `out` stands."""
        if found := self._find(file):
            out.writelines(self._copy(*found))
            return found[2].facts
        start = out.tell()
        if self.level:
            facts = _pour(file, out, self.level)
            if facts.length < facts.size:
                return facts
            out.seek(start)
            out.truncate()
        return _pour(file, out, 0)

    def _find(self, file: _File) -> tuple[Pack, int, Packed] | None:
        if not self.bases:
            return None
        if known := self.digests.get(file.name):
            return self._known(known)
        digest = hashlib.sha256()
        for chunk in _chunks(file):
            digest.update(chunk)
        return self._known(digest.hexdigest())

    def _copy(self, pack: Pack, blob: int, packed: Packed) -> Iterator[bytes]:
        check, offset, end = 0, packed.offset, packed.offset + packed.facts.length
        while offset < end:
            try:
                chunk = os.pread(blob, min(CHUNK, end - offset), offset)
            except OSError as error:
                raise _damaged(pack.root, error.strerror or str(error)) from error
            if not chunk:
                raise _damaged(pack.root, "its blob is cut short")
            check = zlib.crc32(chunk, check)
            offset += len(chunk)
            yield chunk
        if check != packed.check:
            raise _damaged(pack.root, f"wrong checksum at {packed.offset}")


@contextmanager
def _squeezer(level: int, bases: Sequence[Pack], digests: Mapping[str, str]) -> Iterator[_Squeezer]:
    with ExitStack() as stack:
        opened = []
        for base in bases:
            try:
                blob = os.open(base.blob, os.O_RDONLY)
            except OSError as error:
                raise _damaged(base.root, error.strerror or str(error)) from error
            stack.callback(os.close, blob)
            opened.append((base, blob))
        yield _Squeezer(level=level, bases=opened, digests=digests)


def _pour(file: _File, out: BufferedRandom, level: int) -> Facts:
    """Write a file's content to `out`, deflated unless the level is 0."""
    deflater = zlib.compressobj(min(level, HIGHEST_STREAMED), wbits=-zlib.MAX_WBITS) if level else None
    sha256, crc32, length = hashlib.sha256(), 0, 0
    for chunk in _chunks(file):
        sha256.update(chunk)
        crc32 = zlib.crc32(chunk, crc32)
        length += out.write(deflater.compress(chunk) if deflater else chunk)
    if deflater:
        length += out.write(deflater.flush())
    return Facts(
        size=file.size,
        crc32=crc32,
        sha256=sha256.hexdigest(),
        method=DEFLATED if deflater else STORED,
        length=length,
    )


def _squeezed(
    files: Sequence[_File], squeezer: _Squeezer, jobs: int | None
) -> Generator[tuple[_File, _Content | None], None, None]:
    """Yield the files, in their order, with their contents, which threads squeeze a little ahead."""
    jobs = min(jobs or os.cpu_count() or 1, MOST_JOBS)
    ahead: deque[Future[list[tuple[_File, _Content | None]]]] = deque()
    pool = ThreadPoolExecutor(jobs)
    try:
        for batch in _batches(files):
            ahead.append(pool.submit(squeezer.files, batch))
            if len(ahead) > 2 * jobs:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(files: Sequence[_File]) -> Iterator[list[_File]]:
    batch: list[_File] = []
    held = 0
    for file in files:
        weight = 0 if file.size > LARGE else file.size
        if batch and (held + weight > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, held = [], 0
        batch.append(file)
        held += weight
    if batch:
        yield batch


# --- a pack -----------------------------------------------------------------------------------------------


def _fill(
    blob: BufferedRandom, files: Sequence[_File], squeezer: _Squeezer, jobs: int | None, *, leave: Collection[str]
) -> dict[str, Packed]:
    known: dict[str, Packed] = {}
    with closing(_squeezed(files, squeezer, jobs)) as contents:
        for file, content in contents:
            offset = blob.tell()
            if content:
                blob.write(content.data)
            facts = content.facts if content else squeezer.stream(file, blob)
            if facts.sha256 in known or facts.sha256 in leave:
                blob.seek(offset)
                blob.truncate()
            else:
                known[facts.sha256] = Packed(facts=facts, offset=offset, check=_check(blob, offset))
    return known


def _check(blob: BufferedRandom, offset: int) -> int:
    """Return the CRC-32 of what was written from `offset` on."""
    check = 0
    blob.seek(offset)
    while chunk := blob.read(CHUNK):
        check = zlib.crc32(chunk, check)
    return check


def _row(packed: Packed) -> list[int]:
    facts = packed.facts
    return [facts.size, facts.crc32, facts.method, facts.length, packed.offset, packed.check]


def _packed(sha256: str, row: Sequence[int]) -> Packed:
    size, crc32, method, length, offset, check = row
    facts = Facts(size=size, crc32=crc32, sha256=sha256, method=method, length=length)
    return Packed(facts=facts, offset=offset, check=check)


# --- a zip ------------------------------------------------------------------------------------------------


class _Zip:
    """A zip file being written: local headers and contents as they come, the directory at the end."""

    def __init__(self, out: BufferedRandom, *, top: str) -> None:
        self.members: list[Member] = []
        self._out, self._top = out, top
        self._directory = bytearray()
        self._count = 0
        self._end = 0  # asking `out` for it costs a system call a member

    def add(self, file: _File, content: _Content) -> None:
        """Write a member whose content is at hand."""
        offset, header = self._end, self._local(file, content.facts)
        self._out.write(header)
        self._out.write(content.data)
        self._end += len(header) + len(content.data)
        self._enter(file, content.facts, offset)

    def stream(self, file: _File, squeezer: _Squeezer) -> None:
        """Write a member piece by piece; its header is corrected once everything is known."""
        offset, out = self._end, self._out
        unknown = Facts(size=file.size, crc32=0, sha256="", method=STORED, length=0)
        out.write(self._local(file, unknown))
        facts = squeezer.stream(file, out)
        self._end = out.tell()
        out.seek(offset)
        out.write(self._local(file, facts))
        out.seek(self._end)
        self._enter(file, facts, offset)

    def _name(self, file: _File) -> bytes:
        return f"{self._top}/{file.name}".encode()

    def _local(self, file: _File, facts: Facts) -> bytes:
        """Return the local header (APPNOTE 4.3.7), as long as the name and `facts.size` demand."""
        name = self._name(file)
        # the unpacked size decides, being known beforehand; what is stored is never longer
        wide = facts.size >= ZIP64_LIMIT
        sizes = (0xFFFF_FFFF,) * 2 if wide else (facts.length, facts.size)
        extra = struct.pack("<2H2Q", 1, 16, facts.size, facts.length) if wide else b""
        return (
            struct.pack(
                "<4s5H3L2H",
                b"PK\3\4",
                ZIP64_VERSION if wide else PLAIN_VERSION,
                0 if name.isascii() else UTF8,
                facts.method,
                *FIRST_TIME,
                facts.crc32,
                *sizes,
                len(name),
                len(extra),
            )
            + name
            + extra
        )

    def _enter(self, file: _File, facts: Facts, offset: int) -> None:
        """Enter a member into the directory (APPNOTE 4.3.12)."""
        name = self._name(file)
        values = (facts.size, facts.length, offset)
        size, length, place = (_narrow(value) for value in values)
        large = [value for value in values if value >= ZIP64_LIMIT]
        extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        version = ZIP64_VERSION if large else PLAIN_VERSION
        # the upper half is the Unix mode; 0x10 is MS-DOS's word for a directory
        attributes = file.mode << 16 | (0x10 if stat.S_ISDIR(file.mode) else 0)
        self._directory += struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2",
            UNIX | version,
            version,
            0 if name.isascii() else UTF8,
            facts.method,
            *FIRST_TIME,
            facts.crc32,
            length,
            size,
            len(name),
            len(extra),
            *(0, 0, 0),  # no comment, first disk, no internal attributes
            attributes,
            place,
        )
        self._directory += name + extra
        self._count += 1
        if stat.S_ISREG(file.mode):
            mode = stat.S_IMODE(file.mode)
            self.members.append(Member(path=file.name, sha256=facts.sha256, size=facts.size, mode=mode))

    def finish(self) -> tuple[int, str]:
        """Write the directory and what says where it is (APPNOTE 4.3.14 to 4.3.16); return size and sha256."""
        out, count = self._out, self._count
        start, size = self._end, len(self._directory)
        out.write(self._directory)
        if count >= ZIP64_COUNT or size >= ZIP64_LIMIT or start >= ZIP64_LIMIT:
            versions = (UNIX | ZIP64_VERSION, ZIP64_VERSION)
            out.write(struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, *versions, 0, 0, count, count, size, start))
            out.write(struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1))
        counts = (0xFFFF if count >= ZIP64_COUNT else count,) * 2
        out.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *counts, _narrow(size), _narrow(start), 0))
        end = out.tell()
        out.seek(0)
        return end, hashlib.file_digest(out, "sha256").hexdigest()


def _fill_zip(archive: _Zip, files: Sequence[_File], squeezer: _Squeezer, jobs: int | None, work: Work) -> None:
    with closing(_squeezed(files, squeezer, jobs)) as contents:
        for file, content in contents:
            if content:
                archive.add(file, content)
            else:
                archive.stream(file, squeezer)
            work.advance(file.size)


def _narrow(value: int) -> int:
    return 0xFFFF_FFFF if value >= ZIP64_LIMIT else value


# --- what goes wrong --------------------------------------------------------------------------------------


def _unreadable(path: str, error: OSError) -> RelenvError:
    message = f"cannot read {path}: {error.strerror or error}"
    if isinstance(error, FileNotFoundError):  # all that is read here is in the cache
        return CacheError(message, hint="something removed it meanwhile: run relenv again")
    return CheckError(message)


def _damaged(root: Path | None, reason: str) -> CacheError:
    return CacheError(f"the pack {root} is damaged: {reason}", hint="remove it; it is made anew when needed")
