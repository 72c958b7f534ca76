"""Unpack what is to be looked at: every format that `relenv bundle` writes.

How a format is told from another, `relenv.pip_shim.packing` knows, and where in an image the bundle is, its `image`.
"""

from __future__ import annotations

import math
import os
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from relenv import process
from relenv.errors import CheckError, UnsafeError, UsageError
from relenv.pip_shim.image import OPAQUE, WHITEOUT, Image, Window, layout_of
from relenv.pip_shim.packing import (
    CHUNK,
    LAYOUT,
    MANIFEST,
    UNREADABLE,
    DamagedError,
    Form,
    NotABundleError,
    Peeked,
    damage_named,
    form_of,
    payload_of,
    plain,
)
from relenv.store import remove_tree
from relenv.unpack import checked, lay, leads_out, own_name, streamed

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from relenv.pip_shim.image import Blob, Layout, Stack

__all__ = ["LAYOUT", "NAME_ONE", "unpack"]

NAME_ONE = "name an interpreter, an environment, or a bundle: its directory or what it is packed in"
_NOT_OURS = "do not unpack it: no relenv made this"
_AGAIN = "make it again, or copy it again"
_XZ = b"\xfd7zXZ\0"
"""How a tar.xz begins, as releases are: no bundle is one."""
_UNIX = 3
"""zip's "made by" for Unix: only then do external attributes hold a mode."""


def unpack(path: Path, folder: Path) -> Path:
    """Unpack a bundle, or a zip of anybody's; return the directory of the tree.

    Args:
        path: a file, or the layout of an image.
        folder: an empty directory of ours.

    Raises:
        UsageError: it is something else.
        CheckError: it is damaged, or has members that must not be unpacked.
        OSError: it cannot be read, or there is no room.
    """
    try:
        with damage_named():
            return _unpacker(path)(path, folder)
    except NotABundleError as error:
        raise UsageError(str(error), hint=NAME_ONE) from error
    except (DamagedError, ValueError) as error:  # ValueError: of numbers in the headers of a tar
        raise CheckError(f"{path} cannot be unpacked: {error}", hint=_AGAIN) from error
    except UnsafeError as error:
        raise CheckError(error.message, hint=_NOT_OURS) from error


def _unpacker(path: Path) -> Callable[[Path, Path], Path]:
    try:
        return _UNPACKERS[form_of(path)]
    except NotABundleError as error:
        if zipfile.is_zipfile(path):  # with something in front
            return _zip
        with path.open("rb") as file:
            xz = file.read(len(_XZ)) == _XZ
        what = f"{path} is neither a directory nor a bundle"
        if xz:
            hint = f"unpack it first: tar -xf {path}; and check the directory"
            raise UsageError(f"{what}, but a tar.xz", hint=hint) from error
        raise UsageError(what, hint=NAME_ONE) from error


def _single(folder: Path) -> Path:
    """Return the tree in what was unpacked: the one directory in it, as a rule."""
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


# --- a zip ------------------------------------------------------------------------------------------------


def _zip(archive: Path, folder: Path) -> Path:
    """Unpack a zip with its modes: zipfile drops them (https://github.com/python/cpython/issues/59999)."""
    if not zipfile.is_zipfile(archive):
        raise CheckError(f"{archive} is damaged: it has no end", hint=_AGAIN)
    try:
        with zipfile.ZipFile(archive) as opened_zip:
            members = opened_zip.infolist()
            for member in members:
                _refuse_escape(archive, member.filename)
            _refuse_conflicts(archive, members)
            for member in members:
                process.check()
                _extract(opened_zip, member, folder)
            # links come last: no member can be written through one
            for member in members:
                if _is_link(member):
                    _link(archive, opened_zip.read(member), folder, member.filename)
    except (*UNREADABLE, RuntimeError, UnicodeDecodeError) as error:
        raise CheckError(f"{archive} is damaged: {error}", hint=_AGAIN) from error
    return _single(folder)


def _refuse_escape(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise CheckError(f"{archive} has a member that leads out of it: {name!r}", hint=_NOT_OURS)


def _refuse_conflicts(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse names that come twice, or below one that is no directory: what is below a link may lie anywhere."""
    leaves = Counter(PurePosixPath(member.filename) for member in members if not member.is_dir())
    leaves.update({PurePosixPath(member.filename) for member in members if member.is_dir()} & leaves.keys())
    for path in (PurePosixPath(member.filename) for member in members):
        if leaves[path] > 1 or not leaves.keys().isdisjoint(path.parents):
            what = "that comes twice" if leaves[path] > 1 else "below what is no directory"
            raise CheckError(f"{archive} has a member {what}: {str(path)!r}", hint=_NOT_OURS)


def _is_link(member: zipfile.ZipInfo) -> bool:
    return member.create_system == _UNIX and stat.S_ISLNK(member.external_attr >> 16)


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    if _is_link(member):
        return
    archive.extract(member, folder)
    mode = stat.S_IMODE(member.external_attr >> 16) if member.create_system == _UNIX else 0
    target = folder / member.filename
    if mode:
        # what cannot be read cannot be checked, nor removed
        target.chmod((mode & 0o777) | (0o700 if member.is_dir() else 0o400))


def _link(archive: Path, content: bytes, folder: Path, name: str) -> None:
    target = os.fsdecode(content)
    if leads_out(PurePosixPath(name), target):
        raise CheckError(f"{archive} has a link that leads out of it: {name!r} to {target!r}", hint=_NOT_OURS)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


# --- a tar, and a run file with one in it -----------------------------------------------------------------


def _tar(path: Path, folder: Path) -> Path:
    with path.open("rb") as file:
        _lay_out(Peeked(file), path.name, folder)
    return _single(folder)


def _lay_out(
    packed: Peeked, what: str, folder: Path, called: Callable[[tarfile.TarInfo], str] = own_name
) -> list[PurePosixPath]:
    """Unpack a tar, compressed or not, to its end, where a checksum may be.

    Args:
        packed: is read to its end.
        what: its name.
        folder: where its members go.
        called: returns under which name one does; empty for one that does not.

    Returns:
        The names that stand for the removal of another, in a layer of an image.
    """
    unpacked = plain(packed)
    gone = []
    with streamed(unpacked) as tar:
        # there is as much room as the disk has, as for a zip
        for member, path in checked(tar, what, called, math.inf):
            process.check()
            if called is not own_name and path.name.startswith(WHITEOUT):
                gone.append(path)
            else:
                lay(tar, member, folder / path)
    for stream in (unpacked, packed):
        while stream.read(CHUNK):
            pass
    return gone


def _run(path: Path, folder: Path) -> Path:
    with payload_of(path) as payload:
        if payload.surplus:  # it does not unpack itself either
            raise DamagedError(payload.behind())
        _lay_out(payload.stream, path.name, folder)
        if fault := payload.fault():
            raise DamagedError(fault)
    return _single(folder)


# --- an image ---------------------------------------------------------------------------------------------


def _image(path: Path, folder: Path) -> Path:
    """Unpack what a container finds in the bundle's directory; what is beside that is nobody's business here."""
    tree = folder / "tree"
    tree.mkdir()
    with layout_of(path) as layout:
        stack = _stack(layout)
        for blob in stack.layers:
            _lay_over(tree, folder / "layer", layout, blob, stack.top)
    if not (tree / MANIFEST).is_file():
        raise NotABundleError(f"{path} is an image of something else: /{stack.top} in it has no {MANIFEST}")
    return tree


def _stack(layout: Layout) -> Stack:
    image = Image(layout)
    stack = image.stack()
    for one in image.differences:
        raise DamagedError(f"{one.path} {one.what}")
    return stack


def _lay_over(tree: Path, folder: Path, layout: Layout, blob: Blob, top: str) -> None:
    """Unpack a layer, and lay it over those below."""
    if blob.name not in layout.sizes:
        raise DamagedError(f"{blob.name} is not there")
    folder.mkdir()
    window = Window(top)
    with layout.open(blob.name) as file:
        packed = Peeked(file)
        gone = _lay_out(packed, blob.name, folder, window.name)
    if f"sha256:{packed.digest.hexdigest()}" != blob.digest:
        raise DamagedError(f"{blob.name} does not have the digest that is its name")
    for one in list(tree.iterdir()) if window.clears else ():
        remove_tree(one)
    for path in gone:
        for one in list(_hidden(tree, path)):
            remove_tree(one)
    _merge(folder, tree)
    remove_tree(folder)


def _hidden(tree: Path, path: PurePosixPath) -> Iterator[Path]:
    """Yield what a name removes from the layers below (image-spec, layer.md)."""
    above, name = tree / path.parent, path.name.removeprefix(WHITEOUT)
    if name in ("", ".", ".."):
        raise UnsafeError(f"{str(path)!r} removes what is no file")
    if above.is_dir():
        yield from above.iterdir() if path.name == OPAQUE else [above / name]


def _merge(layer: Path, tree: Path) -> None:
    """Move what is in one directory into another, over what is there."""
    for entry in os.scandir(layer):
        there = tree / entry.name
        if entry.is_dir(follow_symlinks=False) and _is_folder(there):
            _merge(Path(entry.path), there)
        else:
            remove_tree(there)
            Path(entry.path).rename(there)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


_UNPACKERS: Mapping[Form, Callable[[Path, Path], Path]] = {
    Form.ZIP: _zip,
    Form.TAR: _tar,
    Form.RUN: _run,
    Form.IMAGE: _image,
    Form.DIRECTORY: _image,  # says what it lacks of a layout
}
