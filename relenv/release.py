"""An interpreter or a toolchain as a tarball for others to fetch, in a directory that any web server can offer.

<directory>/<version>-<triplet>.tar.xz              the environment at its root
<directory>/toolchain-<version>-<triplet>.tar.xz    likewise
<directory>/SHA256SUMS                              as sha256sum(1) writes and checks it
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relenv import process
from relenv.checksums import sha256_of
from relenv.errors import BuildError, OutputError
from relenv.recipes.model import BUILD_ENV
from relenv.store import packed_name, put_in_place, try_writing, write_text
from relenv.ui import size, working

if TYPE_CHECKING:
    from relenv.context import Context
    from relenv.interpreter import Interpreter
    from relenv.toolchain import Toolchain

SUMS = "SHA256SUMS"
TOOLCHAIN = "toolchain-"
"""How the names of toolchains' tarballs begin."""

COMPRESS = """\
import lzma, shutil, sys
with open(sys.argv[1], "rb") as plain, lzma.open(sys.argv[2], "wb", preset=int(sys.argv[3])) as packed:
    shutil.copyfileobj(plain, packed, 1 << 20)
"""
"""Run by the interpreter that is packed: its liblzma is pinned, and so the bytes do not depend on the machine. A
toolchain has none, and is packed by the Python that runs relenv."""
PRESET = 9
"""xz's: a fifth slower than 6, and 3 % smaller. Unpacking takes 65 MB of memory."""


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What is to be packed."""

    root: Path
    name: str
    """Of the tarball."""
    entry: str
    """What the store calls it."""
    python: Path
    """What packs it."""


def parcel(interpreter: Interpreter) -> Parcel:
    """Return an interpreter as something to pack."""
    return Parcel(
        root=interpreter.root,
        name=f"{interpreter.version}-{interpreter.triplet}.tar.xz",
        entry=packed_name(interpreter.version, interpreter.key),
        python=interpreter.root / "bin" / "python3",
    )


def toolchain_parcel(toolchain: Toolchain) -> Parcel:
    """Return a toolchain as something to pack."""
    label = f"{TOOLCHAIN}{toolchain.version}"
    return Parcel(
        root=toolchain.root,
        name=f"{label}-{toolchain.triplet}.tar.xz",
        entry=packed_name(label, toolchain.key),
        python=Path(sys.executable),
    )


@dataclass(frozen=True, kw_only=True)
class Release:
    """A tarball that was written."""

    path: Path
    sha256: str
    size: int


def prepare(directory: Path) -> None:
    """Make the directory for tarballs, before anything is built for it.

    Raises:
        OutputError: it cannot be made or written to.
    """
    hint = "choose another directory with --output DIR"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{directory} cannot be created: {error.strerror}", hint=hint) from error
    try_writing(directory, hint=hint)


def publish(context: Context, parcel: Parcel, directory: Path) -> Release:
    """Write a tarball into a directory, and its line into SHA256SUMS there.

    Packed once: the tarball stays in the store. The directory's other tarballs keep their lines.

    Args:
        context: the edges.
        parcel: what to pack.
        directory: see `prepare`.

    Raises:
        OSError: the directory cannot be written.
    """
    packed = _packed(context, parcel)
    target = Path(os.path.abspath(directory)) / packed.name  # noqa: PTH100 - a symlink that the user named stays
    digest = sha256_of(packed)
    # two that publish into the same directory must not lose each other's lines
    with context.cache.lock(f"release-{hashlib.sha256(os.fsencode(target.parent)).hexdigest()[:16]}", context.ui):
        _put(packed, target)
        add_sum(target.parent / SUMS, target.name, digest)
    context.ui.step(f"Wrote {target} ({size(target.stat().st_size)})")
    return Release(path=target, sha256=digest, size=target.stat().st_size)


def _packed(context: Context, parcel: Parcel) -> Path:
    """Return the tarball in the store, made when it is missing."""
    name, final = parcel.name, context.cache.store / parcel.entry
    context.cache.use(final)
    if final.is_dir():
        return final / name
    with context.cache.lock(final.name, context.ui):
        if not final.is_dir():
            with context.cache.beside(final) as partial, working(context.ui, f"Packing {name}"):
                plain = partial / "plain.tar"
                write_tar(parcel.root, plain)
                try:
                    process.run([parcel.python, "-I", "-B", "-c", COMPRESS, plain, partial / name, str(PRESET)])
                except process.CommandError as error:
                    raise BuildError(f"{name} cannot be packed", detail=error.tail) from error
                plain.unlink()
    return final / name


def write_tar(tree: Path, target: Path) -> None:
    """Write a tree as a tar file with nothing in it but content: no owner, no time, the usual modes, a fixed order.

    Args:
        tree: a directory, the root of the archive.
        target: the file.
    """
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).parts):
            process.check()
            member = tarfile.TarInfo(path.relative_to(tree).as_posix())
            member.mtime = int(BUILD_ENV["SOURCE_DATE_EPOCH"])
            if path.is_symlink():
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, os.fspath(path.readlink()), 0o777
                tar.addfile(member)
            elif path.is_dir():
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            else:
                status = path.stat()
                member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
                with path.open("rb") as file:
                    tar.addfile(member, file)


def _put(packed: Path, target: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as beside:
        try:
            with packed.open("rb") as file:
                shutil.copyfileobj(file, beside, 1 << 20)
            os.fchmod(beside.fileno(), 0o644)
            beside.flush()
            put_in_place(Path(beside.name), target)
        finally:
            Path(beside.name).unlink(missing_ok=True)


def add_sum(sums: Path, name: str, digest: str) -> None:
    """Put a file's line among those of the other files, sorted by name.

    Args:
        sums: as of sha256sum(1); made when it is missing.
        name: of the file.
        digest: its sha256 in hex.
    """
    lines = os.fsdecode(sums.read_bytes()).splitlines() if sums.exists() else []
    # `*` before the name: sha256sum --binary
    others = {line: line.partition("  ")[2] or line.partition(" *")[2] for line in lines if line}
    kept = [line for line, of in others.items() if of != name]
    ordered = sorted([*kept, f"{digest}  {name}"], key=lambda line: line[66:])
    write_text(sums, "\n".join(ordered) + "\n", lasting=True, errors="surrogateescape")
