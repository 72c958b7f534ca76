"""Hold a bundle against its manifest: `python -m relenv_pip.verify` in the bundle, `relenv verify` elsewhere.

zip, tar, run file, image, directory ──► what is there (Contents) ──► compared with the manifest in it ──► Report
"""

from __future__ import annotations

import argparse
import hashlib
import json
import posixpath
import stat
import sys
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from .contents import Contents, Fact, Gathered, gather, in_directory
from .image import in_image
from .packing import (
    MANIFEST,
    UNREADABLE,
    DamagedError,
    Difference,
    Form,
    NotABundleError,
    Peeked,
    damage_named,
    form_of,
    payload_of,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SHOWN = 40
"""Lines that are printed; --json has all."""
USAGE, DIFFERENT = 2, 9
"""Exit codes, as of relenv (its README lists them)."""
NOTES = ("added", "bytecode")
"""Kinds of differences that harm nothing: somebody put something there, or Python has compiled it."""


@dataclass(frozen=True)
class Row:
    """A file, as the manifest says that it is."""

    sha256: str
    size: int
    """Bytes."""
    mode: int


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself."""

    project: str
    version: str
    python: str
    files: Mapping[str, Row]
    """By their paths in the bundle."""


@dataclass(frozen=True)
class Report:
    """What became of a bundle."""

    path: str
    name: str = ""
    """The project and its version; empty if the manifest could not be read."""
    python: str = ""
    files: int = 0
    """How many the manifest names."""
    manifest: str = ""
    """The sha256 of the manifest, which stands for all that is in the bundle, in whichever format."""
    differences: Sequence[Difference] = field(default_factory=tuple)

    @property
    def failures(self) -> list[Difference]:
        """Those that count."""
        return [one for one in self.differences if one.kind not in NOTES]

    def ok(self, *, strict: bool = False) -> bool:
        """Tell whether the bundle is as it was made.

        Args:
            strict: whether nothing may have been added either.
        """
        return not (self.differences if strict else self.failures)

    def described(self, *, strict: bool = False) -> dict[str, object]:
        """Return it for programs."""
        return {
            "path": self.path,
            "bundle": self.name,
            "python": self.python,
            "whole": self.ok(strict=strict),
            "files": self.files,
            "manifest": self.manifest,
            "differences": [vars(one) for one in self.differences],
        }

    def text(self, *, strict: bool = False) -> str:
        """Return it for people."""
        counts = Counter(one.kind for one in self.differences)
        lines = [f"{one.kind:8} {one.path}: {one.what}" for one in self.differences if one.kind != "bytecode"]
        if len(lines) > SHOWN:
            lines[SHOWN:] = [f"... and {len(lines) - SHOWN} more (--json has all)"]
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no differences"
        of = f"{self.name} with Python {self.python}, {self.files} files: " if self.name else ""
        verdict = "whole" if self.ok(strict=strict) else "NOT as it was made"
        return "".join(f"{line}\n" for line in [*lines, f"{self.path}: {of}{verdict} ({told})"])


def verify(path: Path) -> Report:
    """Hold a bundle against the manifest in it.

    That finds what was damaged, lost or edited. Whoever can edit a bundle can edit its manifest too: against that
    helps to compare the manifest's sha256, or that of the bundle's file, with one that came another way.

    Args:
        path: a zip, tar (also compressed), run file or directory; an image layout, as a tar or directory.

    Raises:
        NotABundleError: it is none of these, or no bundle.
        OSError: it, or a directory in it, cannot be read.
    """
    try:
        contents = READERS[form_of(path)](path)
        manifest = _manifest(contents, path)
    except DamagedError as error:
        found = tuple(error.found) or (Difference("damaged", path.name, str(error)),)
        return Report(path=str(path), differences=found)
    return Report(
        path=str(path),
        name=f"{manifest.project} {manifest.version}",
        python=manifest.python,
        files=len(manifest.files),
        manifest=hashlib.sha256(contents.manifest).hexdigest(),
        differences=tuple(_compared(contents, manifest.files, path)),
    )


def _manifest(contents: Contents, path: Path) -> Manifest:
    try:
        found = json.loads(contents.manifest)
        bundle = found.get("bundle", {})
        if not {"python", "files"} <= found.keys() or not {"project", "version"} <= bundle.keys():
            raise NotABundleError(f"{path} is no bundle that can be verified: its {MANIFEST} names no files")
        files = {name: _row(**row) for name, row in found["files"].items()}
        return Manifest(_text(bundle["project"]), _text(bundle["version"]), _text(found["python"]), files)
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise DamagedError(f"its {MANIFEST} cannot be read") from None


def _row(*, sha256: object, size: object, mode: object) -> Row:
    if type(size) is not int:  # of which a bool is one
        raise TypeError(size)
    return Row(_text(sha256), size, int(_text(mode), 8))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _compared(contents: Contents, wanted: Mapping[str, Row], path: Path) -> Iterator[Difference]:
    if contents.whole:
        yield Difference("damaged", path.name, contents.whole)
    yield from contents.around
    for name, what in contents.odd:
        yield Difference("changed", name, what)
    # the manifest is no program: where it may be executed, the file system or who unpacked it knows no modes
    modes = not contents.files[MANIFEST].mode & 0o100
    for name, row in wanted.items():
        found = contents.files.get(name)
        if found is None:
            yield Difference("missing", name, "is not there")
        elif not found.sha256:
            yield Difference("changed", name, found.reason)
        elif (found.sha256, found.size) != (row.sha256, row.size):
            size = "" if found.size == row.size else f", and has {found.size} bytes in place of {row.size}"
            yield Difference("changed", name, f"has another content{size}")
        elif said := _mode(found.mode, row.mode, modes=modes):
            yield Difference("mode", name, said)
    for name in sorted(contents.files.keys() - wanted.keys() - {MANIFEST}):
        compiled = name.endswith(".pyc") and "__pycache__" in name.split("/")
        yield Difference("bytecode" if compiled else "added", name, "is not in the manifest")


def _mode(found: int, wanted: int, *, modes: bool) -> str:
    """Return what is wrong with a mode: a umask may take from it, so what counts is whether it may be executed."""
    if found & (stat.S_ISUID | stat.S_ISGID):
        return f"runs as another user or group (mode {found:04o})"
    if wanted & 0o100 and not found & 0o100:
        return f"is not executable (mode {found:04o})"
    return f"is executable (mode {found:04o})" if modes and found & 0o100 and not wanted & 0o100 else ""


# --- what is there ----------------------------------------------------------------------------------------


def _zip(path: Path) -> Contents:
    found = Gathered()
    with damage_named(), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                mode = member.external_attr >> 16
                odd = stat.S_IFMT(mode) not in (0, stat.S_IFREG)
                try:
                    found.add(
                        member.filename,
                        stat.S_IMODE(mode),
                        "is no regular file" if odd else "",
                        lambda member=member: cast("BinaryIO", archive.open(member)),  # type: ignore[misc]
                    )
                except (*UNREADABLE, RuntimeError) as error:  # RuntimeError: encrypted
                    name = posixpath.normpath(member.filename)
                    found.files[name] = Fact("", 0, stat.S_IMODE(mode), f"cannot be unpacked: {error}")
    return found.contents(path)


def _tar(path: Path) -> Contents:
    with path.open("rb") as file:
        return _unpacked(Peeked(file), path).contents(path)


def _unpacked(packed: Peeked, path: Path) -> Gathered:
    found = Gathered()
    with damage_named():
        gather(plain(packed), found)
    if not found.files:
        raise NotABundleError(f"{path} is no bundle: nothing is in it")
    return found


def _run(path: Path) -> Contents:
    with payload_of(path) as payload:
        found = _unpacked(payload.stream, path)
        return found.contents(path, whole=payload.fault())


READERS: Mapping[Form, Callable[[Path], Contents]] = {
    Form.DIRECTORY: in_directory,
    Form.ZIP: _zip,
    Form.TAR: _tar,
    Form.RUN: _run,
    Form.IMAGE: in_image,
}


# --- the command ------------------------------------------------------------------------------------------


def main() -> int:
    """Verify the bundle that this is in, or another; return the exit status."""
    own = Path(__file__).parents[3]
    parser = argparse.ArgumentParser(
        prog="python3 -m relenv_pip.verify",
        description="Hold a bundle against the manifest in it: exits with 0 if it is as it was made, else with 9.",
    )
    parser.add_argument("path", nargs="?", type=Path, default=own, metavar="FILE", help="(default: this bundle)")
    parser.add_argument("--strict", action="store_true", help="let what was added count too")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args()
    try:
        report = verify(args.path)
    except NotABundleError as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE
    except OSError as error:
        sys.stderr.write(f"error: {error.filename or args.path} cannot be read: {error.strerror or error}\n")
        return DIFFERENT
    text = json.dumps(report.described(strict=args.strict)) + "\n" if args.json else report.text(strict=args.strict)
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode())
    return 0 if report.ok(strict=args.strict) else DIFFERENT


if __name__ == "__main__":
    sys.exit(main())
