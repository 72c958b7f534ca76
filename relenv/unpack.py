"""Unpack tarballs from others: what is in it can come to lie in the target only, and as plain files."""

from __future__ import annotations

import lzma
import stat
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from relenv import process
from relenv.errors import SourceError, UnsafeError, naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from relenv.ui import Work

LARGEST = 4 << 30
"""Bytes that may come out of one tarball: an interpreter has 60 million."""
LONGEST = 1 << 20
"""Bytes that a header may have: long names and such are read into memory whole."""


class _Member(tarfile.TarInfo):
    """A member whose further headers are of a bearable size."""

    def _proc_member(self, tarfile: tarfile.TarFile) -> tarfile.TarInfo:
        # what tarfile's own source names as the place to override
        if not self.isfile() and self.size > LONGEST:
            raise UnsafeError(f"{self.name!r}: a header of {self.size} bytes")
        return super()._proc_member(tarfile)  # type: ignore[misc,no-any-return]


def unpack(tarball: Path, into: Path, work: Work) -> None:
    """Unpack a tar.xz of an interpreter.

    Args:
        tarball: its checksum was verified.
        into: an empty directory.
        work: is told the bytes of the tarball that were read.

    Raises:
        UnsafeError: what is refused is in it, see `checked`. SourceError: it is no whole tar.xz.
        OSError: it cannot be written; the disk may be full.
    """
    work.expect(tarball.stat().st_size)
    try:
        with tarball.open("rb") as packed, lzma.open(packed) as plain, streamed(cast("BinaryIO", plain)) as tar:
            for member, path in checked(tar, tarball.name):
                process.check()
                lay(tar, member, into / path)
                work.reach(packed.tell())
            while plain.read(1 << 20):  # what is behind the archive's end, the check of the compression for one
                pass
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, RecursionError) as error:
        raise SourceError(f"{tarball} is not a whole tar.xz archive: {error}") from error


def streamed(plain: BinaryIO) -> tarfile.TarFile:
    """Open a tar to be read once, from its beginning to its end."""
    return tarfile.open(fileobj=plain, mode="r|", tarinfo=_Member)


def own_name(member: tarfile.TarInfo) -> str:
    """Return the name that a member has."""
    return member.name


def checked(
    tar: tarfile.TarFile, what: str, called: Callable[[tarfile.TarInfo], str] = own_name, largest: float = LARGEST
) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    """Yield each member and its path once it is known to be harmless, directories before what is in them.

    Refused are absolute names, `..`, links that lead out of the tree, names below a link, names that come twice, hard
    links, devices and pipes, and modes with setuid, setgid or sticky. Owners are not looked at.

    Args:
        tar: of `streamed`.
        what: its name, for errors.
        called: returns under which name a member goes; an empty one leaves it out, whatever it is.
        largest: bytes that may come out of it.

    Raises:
        UnsafeError: one of these is in it.
    """
    kinds: dict[PurePosixPath, bool] = {}
    """Each path so far, and whether it is a directory."""
    left = largest
    for member in tar:
        path = PurePosixPath(called(member))
        if path == PurePosixPath():  # `./`
            continue
        left -= member.size
        missing = [parent for parent in reversed(path.parents[:-1]) if parent not in kinds]
        reason = _objection(member, path, kinds) or ("it holds more than 4 GB" if left < 0 else "")
        if reason:
            raise UnsafeError(f"{what} was not unpacked: {member.name!r}: {reason}")
        kinds |= dict.fromkeys(missing, True)
        kinds[path] = member.isdir()
        yield member, path


def _objection(member: tarfile.TarInfo, path: PurePosixPath, kinds: Mapping[PurePosixPath, bool]) -> str:
    """Return why a member must not be unpacked; empty if nothing speaks against it."""
    objections = {
        "an absolute name": path.is_absolute(),
        "a name that leads out of the tree": ".." in path.parts or "\0" in member.name,
        "neither file, directory nor symbolic link": not (member.isreg() or member.isdir() or member.issym()),
        "its mode has setuid, setgid or sticky": member.mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX),
        "it lies below what is no directory": any(not kinds.get(parent, True) for parent in path.parents),
        "it is there twice": path in kinds and not (kinds[path] and member.isdir()),
        "a link that leads out of the tree": member.issym() and leads_out(path, member.linkname),
    }
    return next((reason for reason, true in objections.items() if true), "")


def leads_out(path: PurePosixPath, target: str) -> bool:
    """Tell whether a link's target is, or might be, outside.

    The link lies in a real directory, so that `..` in front goes up by one name each. After a name it need not:
    that name may be a link itself.
    """
    parts = PurePosixPath(target).parts
    up = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    return not target or target.startswith("/") or "\0" in target or ".." in parts[up:] or up > len(path.parts) - 1


def lay(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write a member that was `checked` to a path: of its mode counts only whether it can be executed."""
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    content = tar.extractfile(member)
    with naming(path), path.open("xb") as file:
        while content and (chunk := content.read(1 << 20)):
            file.write(chunk)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)
