"""The two commands: they read arguments and the clock, print, and choose the exit code."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sitewatch import probe, report
from sitewatch.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sitewatch.store import Store


def main(argv: Sequence[str] | None = None) -> int:
    """`sitewatch`: check, report, export, demo."""
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.command
    return _guarded(command, options)


def page(argv: Sequence[str] | None = None) -> int:
    """`sitewatch-page`: the report as HTML."""
    parser = argparse.ArgumentParser(prog="sitewatch-page", description="Write what was measured as a page.")
    parser.add_argument("--store", type=Path, metavar="FILE", help="where measurements are kept")
    parser.add_argument("--demo", action="store_true", help="show the recorded day that comes along")
    parser.add_argument("--output", type=Path, metavar="FILE", help="instead of standard output")
    return _guarded(_page, parser.parse_args(argv))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sitewatch", description="Check HTTPS sites and remember how they did.")
    parser.add_argument("--store", type=Path, metavar="FILE", help="where measurements are kept")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="measure some sites; exit code 1 when one is down")
    check.add_argument("sites", nargs="+", type=_site, metavar="URL")
    check.add_argument("--timeout", type=float, default=10, metavar="SECONDS")
    check.set_defaults(command=_check)
    commands.add_parser("report", help="one line a site").set_defaults(command=_report)
    commands.add_parser("export", help="all measurements as JSON lines").set_defaults(command=_export)
    commands.add_parser("demo", help="report on a recorded day").set_defaults(command=_demo)
    return parser


def _site(url: str) -> probe.Site:
    try:
        return probe.Site.parse(url)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _guarded(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    try:
        return command(options)
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(f"sitewatch: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _check(options: argparse.Namespace) -> int:
    measurements = list(probe.probe_all(options.sites, options.timeout))
    with open_store(_path(options)) as store:
        store.record(measurements)
        sites = {site.url for site in options.sites}
        summaries = [summary for summary in store.summaries() if summary.url in sites]
    sys.stdout.write(report.as_text(summaries, datetime.now(UTC)))
    return 0 if all(measurement.up for measurement in measurements) else 1


def _report(options: argparse.Namespace) -> int:
    with open_store(_path(options)) as store:
        sys.stdout.write(report.as_text(store.summaries(), datetime.now(UTC)))
    return 0


def _export(options: argparse.Namespace) -> int:
    with open_store(_path(options)) as store:
        sys.stdout.buffer.writelines(report.as_jsonl(store.measurements()))
    return 0


def _demo(_: argparse.Namespace) -> int:
    with _recorded() as (store, now):
        sys.stdout.write(report.as_text(store.summaries(), now))
    return 0


def _page(options: argparse.Namespace) -> int:
    with _recorded() if options.demo else _live(options) as (store, now):
        text = report.as_page(store.summaries(), store.measurements(), now)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


@contextmanager
def _live(options: argparse.Namespace) -> Iterator[tuple[Store, datetime]]:
    with open_store(_path(options)) as store:
        yield store, datetime.now(UTC)


@contextmanager
def _recorded() -> Iterator[tuple[Store, datetime]]:
    """Open the recorded day as it looked when it ended."""
    measurements = report.demo()
    with open_store(None) as store:
        store.record(measurements)
        yield store, datetime.fromisoformat(max(one.at for one in measurements))


def _path(options: argparse.Namespace) -> Path:
    if named := options.store or os.environ.get("SITEWATCH_STORE"):
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "sitewatch/sites.db"
