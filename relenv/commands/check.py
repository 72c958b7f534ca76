"""`relenv check`: hold a tree against what is promised."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from relenv.audit import Report, Severity, audit, opened, this_machine
from relenv.commands.tables import result_console
from relenv.errors import FULL, CheckError, disk_full
from relenv.manifest import MANIFEST
from relenv.store import remove_tree
from relenv.ui import seconds

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "verify that a tree is relocatable, portable and whole"
DESCRIPTION = """\
Check an interpreter, an environment, or a bundle, a directory or packed in any format: libraries and symbols, the glibc
it needs, paths that tell where it was made, scripts, RECORDs, extension modules. Nothing in it is changed, and nothing
is run unless you say --run. Exits with 9 if there are errors; warnings and notes alone are fine.
"""

COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", type=Path, metavar="PATH", help="an interpreter, an environment or a bundle")
    parser.add_argument(
        "--run",
        dest="execute",
        action="store_true",
        help="also run copies of it in awkward places; executes code of what is installed in it",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Check, and print the findings."""
    began = time.monotonic()
    try:
        report = _checked(args, context)
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(f"{args.path} cannot be checked in {tempfile.gettempdir()}", "TMPDIR") from error
        raise
    if args.json:
        sys.stdout.write(json.dumps(_described(args.path, report)) + "\n")
    else:
        _print(args.path, report, time.monotonic() - began)
    return 0 if report.clean else CheckError.exit_code


def _checked(args: argparse.Namespace, context: Context) -> Report:
    manifest = args.path / MANIFEST
    if manifest.exists() and not manifest.is_file():  # to read a FIFO is to wait for somebody who writes to it
        raise CheckError(f"{manifest} is no file", hint="remove it; if relenv made this, make it anew")
    with ExitStack() as stack:
        tree = stack.enter_context(opened(args.path))
        work = None
        if args.execute:
            work = Path(tempfile.mkdtemp(prefix="relenv-check-"))
            stack.callback(remove_tree, work)
        return audit(tree, this_machine(context.environ), work=work)


def _described(path: Path, report: Report) -> dict[str, object]:
    return {
        "path": str(path),
        "python": report.python,
        "clean": report.clean,
        "files": report.files,
        "elf_files": report.binaries,
        "glibc": dataclasses.asdict(report.floor) if report.floor else None,
        "glibcxx": dataclasses.asdict(report.cxx) if report.cxx else None,
        "needs": report.needs,
        **{f"{severity}s": report.counts[severity] for severity in Severity},
        "findings": [dataclasses.asdict(finding) for finding in report.findings],
    }


def _print(path: Path, report: Report, took: float) -> None:
    console = result_console()
    if report.findings:
        console.print(_table(report))
    console.print(escape(_summary(path, report, took)), soft_wrap=True)


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("severity", no_wrap=True)
    for name, share in (("file", 3), ("what", 4), ("how to mend", 3)):
        table.add_column(name, ratio=share, overflow="fold")
    for finding in report.findings:
        severity = f"[{COLOURS[finding.severity]}]{finding.severity}[/]"
        table.add_row(severity, escape(finding.file), escape(finding.what), escape(finding.hint))
    return table


def _summary(path: Path, report: Report, took: float) -> str:
    counts = report.counts
    told = ", ".join(f"{counts[severity]} {severity}{'' if counts[severity] == 1 else 's'}" for severity in Severity)
    glibc = f"runs on glibc >= {report.floor.version} ({report.floor.file}); " if report.floor else ""
    if report.cxx:
        glibc += f"asks for GLIBCXX_{report.cxx.version} of libstdc++ ({report.cxx.file}); "
    files = f"Python {report.python}, {report.files} files ({report.binaries} ELF) in {seconds(took)}"
    return f"{path}: {files}; {glibc}{told}"
