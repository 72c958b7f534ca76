"""`relenv bundle`: from a project to a zip that runs elsewhere."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.bundle.config import load_config
from relenv.bundle.receipt import receipt_for
from relenv.commands.keys import add_keys, overrides
from relenv.commands.options import add_building
from relenv.errors import UsageError
from relenv.obtain import present
from relenv.ui import size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from relenv.bundle.config import AppConfig
    from relenv.bundle.formats import Job
    from relenv.bundle.made import Bundle, Written
    from relenv.context import Context

SUMMARY = "turn a project into a zip with its own Python"
DESCRIPTION = """\
Build the project's wheel with its own build backend, install it with its dependencies next to a Python
compiled from source, check that its scripts start in another directory, and write NAME.zip. Unzip it on
any Linux with glibc 2.17 or newer, or what the wheels among the dependencies need, and run NAME/bin/SCRIPT:
nothing needs to be installed there.
"""
_INSTALLS = {"service": "as a service", "desktop": "in the menu"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "project",
        nargs="?",
        default=".",
        metavar="PROJECT",
        help="the project's directory (default: this one)",
    )
    add_building(parser)
    add_keys(parser)
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the project's wheel, in place of building it")
    parser.add_argument("--lock", action="store_true", help="resolve anew, write that to pylock.toml, and go by it")
    told = parser.add_argument_group("where the bytes are")
    told.add_argument("--sizes", action="store_true", help="print what takes most of the room")
    told.add_argument(
        "--report",
        type=Path,
        metavar="FILE.html",
        help="write a page on it as well: a map of all files, licences, what starting takes",
    )
    group = parser.add_argument_group("what is asked for again")
    group.add_argument("--offline", action="store_true", help="do without a network: with what is here, or not at all")
    group.add_argument("--refresh", action="store_true", help="look for newer releases now, not only every ten minutes")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Bundle the project."""
    config = load_config(Path(args.project), overrides(args), triplet=context.platform.triplet)
    if args.wheel and not args.wheel.is_file():
        raise UsageError(f"--wheel {args.wheel} is no file")
    asked = {"offline": args.offline, "refresh": args.refresh, "wheel": args.wheel, "write_lock": args.lock}
    config = dataclasses.replace(config, **asked)
    known: dict[str, object] = {}
    if args.sizes or args.report:
        bundle, report = _reported(context, config, args.report)
        known["report"] = report
    else:
        bundle = _made(context, config)
        _tell(context, bundle)
    if args.json:
        sys.stdout.write(json.dumps({**_described(bundle), **known}) + "\n")
    else:
        sys.stdout.write("".join(f"{file.path}\n" for file in bundle.files))
    return 0


def _made(context: Context, config: AppConfig) -> Bundle:
    """Bundle, unless the bundle is there and nothing that it is made of has changed."""
    interpreter = present(context, config.wanted)
    receipt = receipt_for(context, config, interpreter) if interpreter else None
    if receipt and (found := receipt.recall()):
        return found
    # what makes one takes longer to import than to find out that there is nothing to make
    from relenv.bundle.assemble import make_bundle  # noqa: PLC0415

    bundle = make_bundle(context, config)
    if receipt and interpreter and receipt == receipt_for(context, config, interpreter):
        receipt.keep(bundle)
    return bundle


def _reported(context: Context, config: AppConfig, page: Path | None) -> tuple[Bundle, dict[str, object]]:
    """Bundle, say where the bytes are, and return both."""
    # what measures and draws is imported where somebody asks for it
    from relenv.bundle.assemble import make_bundle  # noqa: PLC0415
    from relenv.bundle.page import refuse_page, write_page  # noqa: PLC0415
    from relenv.bundle.report import Report, described, report_on, table  # noqa: PLC0415

    if page:
        refuse_page(page, config)
    reports: list[Report] = []

    def look(job: Job, files: Sequence[Written], work: Path) -> None:
        reports.append(report_on(job, files, work, starting=bool(page)))

    bundle = make_bundle(context, config, then=look)
    _tell(context, bundle)
    (report,) = reports
    for line in table(report):
        context.ui.note(line)
    if page:
        write_page(report, page)
        context.ui.step(f"{page}: where the bytes are")
    return bundle, described(report)


def _tell(context: Context, bundle: Bundle) -> None:
    if not bundle.scripts:
        helps = "[project.scripts], or `scripts` in [tool.relenv], gives it some"
        context.ui.warn(f"{bundle.project} has no scripts: run it as {_run_as(bundle)}; {helps}")
    for file in bundle.files:
        what = f"{bundle.project} {bundle.version} with Python {bundle.python}, {size(file.size)}"
        context.ui.step(f"{file.path}: {what}{' (nothing has changed)' if bundle.unchanged else ''}")
    for script in bundle.scripts:
        context.ui.note(f"run: {shlex.quote(f'{bundle.name}/bin/{script}')}")
    for name in bundle.installers:
        context.ui.note(f"{_INSTALLS[name.rpartition('-')[2]]}: {bundle.name}/bin/{name} install")


def _run_as(bundle: Bundle) -> str:
    """Return how to run a module of a bundle that has no scripts, in the formats that it is written in."""
    ways = {
        f"{file.path.name} -m MODULE" if file.format == "run" else "bin/python3 -Im MODULE" for file in bundle.files
    }
    return " or ".join(sorted(ways))


def _described(bundle: Bundle) -> dict[str, object]:
    files = [{**dataclasses.asdict(file), "path": str(file.path.absolute())} for file in bundle.files]
    for one in files:
        del one["seen"]
    first = {name: files[0][name] for name in ("path", "sha256", "size")}
    told = {name: value for name, value in dataclasses.asdict(bundle).items() if name != "until"}
    return {**first, **told, "files": files}
