"""What a bundle can be written as: one entry of FORMATS each. The same tree gives the same bytes in every one."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from relenv import process
from relenv.bundle import zstandard
from relenv.bundle.archive import Pack, plain_mode, walk, write_zip
from relenv.bundle.keys import ENDINGS, called_as
from relenv.bundle.made import Written, look
from relenv.bundle.output import fresh, is_special, partial_of
from relenv.bundle.tar import add, gzipping
from relenv.checksums import sha256_of
from relenv.environment import copy_tree
from relenv.errors import ConfigError, OutputError
from relenv.manifest import MANIFEST
from relenv.pip_shim.packing import seal_of
from relenv.texts import template
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from relenv.bundle.config import AppConfig
    from relenv.context import Context
    from relenv.ui import Ui

WIDTH = 12
"""Digits that a number may have in the header of a `run` file, which is as long before they are known as after."""
UNKNOWN = b"0" * 64
"""What stands there for a sha256 that is not known yet."""
LEVELS = {"store": 0, "fast": 1, "default": 6, "small": 9}
"""zlib's, for what is compressed as a stream; 9 takes seven times as long as 6 for a percent."""
DEFLATE = {"store": 0, "fast": 1, "default": 9, "small": 12}
"""libdeflate's, for the members of a zip."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A finished tree that is to be written."""

    tree: Path
    """Regular files and directories only."""
    name: str
    """The directory that it unpacks to."""
    title: str
    """`myproject 1.0`."""
    facts: Mapping[str, str]
    """What is said of it, in the order in which it is said."""
    scripts: tuple[str, ...]
    compression: str
    """A key of LEVELS."""
    packs: tuple[Pack, ...]
    """What of the tree was deflated before."""
    digests: Mapping[str, str]
    """The sha256 of each file, by its path."""
    below: tuple[Mapping[str, str], ...]
    """The same of the parts that the tree is made of, without the project: the interpreter, and the dependencies."""
    jobs: int
    ui: Ui
    context: Context
    config: AppConfig


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way to write a bundle."""

    suffix: str
    """What the file's name ends in."""
    write: Callable[[Job, Path], None]
    """Writes a tree to a path, whole or not at all."""
    prepare: Callable[[Context, AppConfig], None] = lambda *_: None
    """Finds out before anything is built what cannot be had afterwards."""


def write(job: Job, name: str, path: Path) -> Written:
    """Write a tree in a format.

    Raises:
        OutputError: it cannot be written.
    """
    FORMATS[name].write(job, path)
    if path.is_dir():
        size = sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
        return Written(format=name, path=path, sha256="", size=size)
    status = path.stat()
    return Written(format=name, path=path, sha256=sha256_of(path), size=status.st_size, seen=look(status))


def refuse(name: str, path: Path) -> None:
    """Refuse a place before anything is built for it: a directory is not replaced, nor what is no bundle.

    Raises:
        OutputError: something is there.
    """
    hint = "remove it, or choose another place with --output"
    if name == "dir" and os.path.lexists(path):
        raise OutputError(f"{path} exists already", hint=hint)
    if path.exists() and not _may_be_replaced(path):
        raise OutputError(f"{path} exists already, and is no bundle", hint=hint)


def refuse_name(config: AppConfig) -> None:
    """Refuse an output that is called as another format than is written: what opens it would go by its name.

    Raises:
        UsageError: it is, as the command line has it. ConfigError: as the project has it.
    """
    path, formats = Path(config.output), config.formats
    called = called_as(path.name)
    if not called or config.output.endswith("/") or path.is_dir() or formats == (called,):
        return
    kind = config.fault("output", "format")
    if kind is ConfigError:
        what, option = f"{config.root / 'pyproject.toml'}: output {path.name}", f'format = "{called}"'
    else:
        what, option = str(path), f"--format {called}"
    if len(formats) > 1:
        raise kind(
            f"{what} has the ending of {called}, and several formats go into a directory: {', '.join(formats)}",
            hint=f"{option} writes that alone; let it end in / for a directory of that name",
        )
    raise kind(
        f"{what} has the ending of {called}, and the format is {formats[0]}",
        hint=f"{option} writes one; or call it NAME{FORMATS[formats[0]].suffix}",
    )


MAGICS = (b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


def _may_be_replaced(path: Path) -> bool:
    """Tell whether a file is a bundle, or may have been made to become one: an empty one, which no link leads to.

    A device or a pipe is neither, nor is /dev/stdout, which is a link to whatever the shell has opened.
    """
    if is_special(path):
        return False
    endings = (".tar", *ENDINGS)
    empty = not path.stat().st_size and not path.is_symlink()
    return empty or path.name.endswith(endings) or _is_packed(path)


def _is_packed(path: Path) -> bool:
    """Tell whether a file is of one of the formats, whatever it is called."""
    with path.open("rb") as file:
        head = file.read(512)
    own = head.startswith(b"#!/bin/sh\n") and b"a program with its own Python, in one file" in head
    return head.startswith(MAGICS) or head[257:262] == b"ustar" or own


def _zip(job: Job, path: Path) -> None:
    write_zip(
        job.tree,
        path,
        top=job.name,
        bases=job.packs,
        ui=job.ui,
        level=DEFLATE[job.compression],
        jobs=job.jobs,
        digests=job.digests,
    )


def _tar(
    compressing: Callable[[BinaryIO, str], AbstractContextManager[BinaryIO]],
) -> Callable[[Job, Path], None]:
    """Return what writes a tree as a compressed tar."""

    def write_to(job: Job, path: Path) -> None:
        with (
            working(job.ui, f"Packing {path.name}"),
            fresh(path) as out,
            compressing(out, job.compression) as packed,
        ):
            _write_tar(job, packed)

    return write_to


def _write_tar(job: Job, out: BinaryIO) -> None:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for name, entry in sorted(walk(job.tree), key=lambda one: one[0]):
            process.check()
            add(tar, f"{job.name}/{name}", Path(entry.path))


def _dir(job: Job, path: Path) -> None:
    refuse("dir", path)
    with working(job.ui, f"Copying to {path}"), partial_of(path, Path.mkdir) as partial:
        copy_tree(job.tree, partial)
        _plain_modes(partial)
        partial.rename(path)


def _plain_modes(root: Path) -> None:
    """Give a directory the modes that the archives have, whatever the umask: others than its owner may run it."""
    root.chmod(0o755)
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = f"{folder}/{name}"
            mode = stat.S_IMODE(os.lstat(path).st_mode)
            plain = plain_mode(mode)
            if mode != plain:
                os.chmod(path, plain)  # noqa: PTH101 - thousands of them


def _run(job: Job, path: Path) -> None:
    """Write an executable file: a header in sh, and behind it the tar.gz that it unpacks."""
    with working(job.ui, f"Packing {path.name}"), fresh(path, mode=0o777) as out:
        # the header tells the length of the payload and its checksum: it is written twice, at the same length
        out.write(_header(job, payload=UNKNOWN.decode(), size=0))
        start = out.tell()
        with gzipping(out, LEVELS[job.compression]) as packed:
            _write_tar(job, packed)
        size = out.tell() - start
        out.seek(start)
        payload = hashlib.file_digest(out, "sha256").hexdigest()
        out.seek(0)
        out.write(_header(job, payload=payload, size=size))


def _header(job: Job, *, payload: str, size: int) -> bytes:
    values = {
        "TITLE": job.title,
        "NAME": shlex.quote(job.name),
        "SCRIPTS": shlex.quote("\n".join(job.scripts)),
        "MAIN": shlex.quote(main_program(job)),
        "FLAGS": main_flags(job),
        "CHECKSUM": payload,
        "SEAL": UNKNOWN.decode(),
        "SIZE": f"{size:<{WIDTH}}",
        "FILES": str(_lasting(job.tree)),
        "ROOM": str(_room(job.tree)),
        "SKIP": " " * WIDTH,
        "FACTS": "\n".join(f"{what}: {value}" for what, value in job.facts.items()),
    }
    text = template("run.sh.in", values).encode()
    text = text.replace(b"skip=" + b" " * WIDTH, f"skip={len(text) + 1:<{WIDTH}}".encode())
    return text.replace(b"\nheader=" + UNKNOWN, b"\nheader=" + seal_of(text).encode())


def _lasting(tree: Path) -> int:
    """Return how many files are there that make a tree whole: without empty ones, and bytecode that Python replaces."""
    entries = (entry for name, entry in walk(tree) if "/__pycache__/" not in f"/{name}")
    return sum(entry.is_file() and entry.stat().st_size > 0 for entry in entries)


def _room(tree: Path) -> int:
    """Return how many kilobytes a tree takes on a disk that hands out four at once, as most do."""
    sizes = [os.lstat(f"{folder}/{name}").st_size for folder, _, names in os.walk(tree) for name in names]
    folders = sum(1 for _ in os.walk(tree))
    return 4 * (folders + sum(-(-size // 4096) for size in sizes))


def main_program(job: Job) -> str:
    """Return which program in bin/ is started where one is: the bundle's namesake, else the first."""
    return next((name for name in (job.name, *job.scripts) if name in job.scripts), "python3")


def main_flags(job: Job) -> str:
    """Return what isolates Python as a script would be, where it is started itself for want of one."""
    return "" if job.scripts else isolating(job.config)


def isolating(config: AppConfig) -> str:
    """Return the option of Python's that scripts are run with; see `content.open_up`."""
    return "-I" if config.isolated else "-P"


def _oci(job: Job, path: Path) -> None:
    # most bundles are no images, and what talks to registries takes longer to import than much else runs
    from relenv.bundle.base import open_base  # noqa: PLC0415
    from relenv.bundle.oci import Program, layers_of, write_image  # noqa: PLC0415
    from relenv.bundle.registry import name_of  # noqa: PLC0415

    bundle, options = json.loads((job.tree / MANIFEST).read_bytes())["bundle"], job.config.oci
    program = Program(
        tree=job.tree,
        path=options.path or f"/opt/{job.name}",
        project=bundle["project"],
        version=bundle["version"],
        main=main_program(job),
        flags=main_flags(job),
        options=options,
    )
    reference = name_of(options.tag or job.name, program.version)
    base = open_base(job.context, options.base, glibc=bundle["glibc"], offline=job.config.offline)
    with base as found, working(job.ui, f"Packing {path.name}"), fresh(path) as out:
        layers = layers_of(program, job.digests, job.below, found)
        architecture, level = job.context.platform.architecture, LEVELS[job.compression]
        write_image(out, found, layers, program, architecture=architecture, reference=reference, level=level)


def _prepare_oci(context: Context, config: AppConfig) -> None:
    from relenv.bundle.base import fetch_base  # noqa: PLC0415 - as above

    fetch_base(context, config.oci.base, offline=config.offline)


FORMATS: dict[str, Format] = {
    "zip": Format(suffix=".zip", write=_zip),
    "tar.gz": Format(suffix=".tar.gz", write=_tar(lambda out, how: gzipping(out, LEVELS[how]))),
    "tar.zst": Format(suffix=".tar.zst", write=_tar(zstandard.compressing)),
    "dir": Format(suffix="", write=_dir),
    "run": Format(suffix=".run", write=_run),
    "oci": Format(
        suffix=".oci.tar",
        write=_oci,
        prepare=_prepare_oci,
    ),
}
"""The keys are those that `format` of [tool.relenv] takes."""
