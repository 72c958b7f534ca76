"""`relenv init`: a project that can be bundled, out of one that is there or out of nothing."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.bundle.config import LEGACY, load_config
from relenv.bundle.output import writing
from relenv.bundle.scaffold import NewFile, named, names_for, new_project, section, with_section
from relenv.errors import OutputError, UsageError
from relenv.store import making, write_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from relenv.context import Context

SUMMARY = "add a commented [tool.relenv] to a project, or begin a new one"
DESCRIPTION = """\
Where there is a pyproject.toml: add a [tool.relenv] with every key as a comment, and change nothing else. Where there
is none: write a small project with one script, named after its directory. No file is ever overwritten. A project that
has no [tool.relenv] can be bundled as well.
"""
PYPROJECT = "pyproject.toml"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "directory",
        nargs="?",
        default=".",
        type=Path,
        metavar="DIR",
        help="the project's directory, made if it is missing (default: this one)",
    )
    parser.add_argument("--name", metavar="NAME", help="what a new project is called (default: as its directory)")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Write what is missing."""
    directory: Path = args.directory
    if os.path.lexists(directory) and not directory.is_dir():
        raise OutputError(f"{directory} is no directory", hint="name the directory of a project, or of one to be")
    is_new = not any(os.path.lexists(directory / name) for name in (PYPROJECT, *LEGACY))
    if args.name is not None and not is_new:
        raise UsageError(f"--name is for a new project, and there is one in {directory}")
    written = _begin(directory, args.name) if is_new else [_configure(directory)]
    project = load_config(directory).project
    for path in written:
        context.ui.step(f"Wrote {path}" if is_new else f"{path} has a [tool.relenv] now")
    context.ui.note(f"next: relenv bundle {shlex.quote(str(directory))}")
    if args.json:
        paths = [str(path.absolute()) for path in written]
        described = {"path": str(directory.absolute()), "project": project, "new": is_new, "files": paths}
        sys.stdout.write(json.dumps(described) + "\n")
    else:
        sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


def _configure(directory: Path) -> Path:
    """Give a project a [tool.relenv]."""
    file = directory / PYPROJECT
    if not os.path.lexists(file):  # setup.py alone: without [build-system] it is built as before (PEP 517)
        return _place(directory, [NewFile(path=PYPROJECT, text=section())])[0]
    if not file.is_file():
        raise OutputError(f"{file} is there, but is no file", hint="remove it, or choose another directory")
    load_config(directory)  # says what is wrong with it
    if not os.access(file, os.W_OK):
        raise OutputError(f"{file} is write-protected")
    text = with_section(file.read_bytes().decode(), file)
    target = file.resolve()  # a link stays one
    with writing(file):
        write_text(target, text, mode=target.stat().st_mode & 0o7777, lasting=True)
    return file


def _begin(directory: Path, name: str | None) -> list[Path]:
    """Write a new project."""
    names = named(name) if name is not None else names_for(directory.resolve().name)
    return _place(directory, new_project(names))


def _place(directory: Path, files: Sequence[NewFile]) -> list[Path]:
    """Write all files, or none.

    Raises:
        OutputError: one is there already and has to be another, or cannot be written.
    """
    wanted = [one for one in files if not (one.optional and os.path.lexists(directory / one.path))]
    for one in wanted:
        if os.path.lexists(directory / one.path):
            hint = "choose another --name, or write pyproject.toml yourself: relenv overwrites nothing"
            raise OutputError(f"{directory / one.path} exists already", hint=hint)
    with ExitStack() as folders, _undoing() as made:
        for one in wanted:
            path = directory / one.path
            with writing(path):
                folders.enter_context(making(path.parent))
                with path.open("x", encoding="utf-8", newline="") as out:
                    made.append(path)
                    out.write(one.text)
    return [directory / one.path for one in wanted]


@contextmanager
def _undoing() -> Iterator[list[Path]]:
    """Give a list for files that were made; they go if the body fails."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for path in made:
            with suppress(OSError):
                path.unlink()
        raise
