"""`relenv cache`: what is in the cache, and making room."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from relenv.commands.options import looks
from relenv.errors import CacheError
from relenv.housekeeping import Entry, ago, choose, prune, summary, survey
from relenv.store import MARKER
from relenv.ui import size

if TYPE_CHECKING:
    from relenv.context import Context

SUMMARY = "show what is in the cache, or make room"
DESCRIPTION = """\
The cache holds what was downloaded and built, so that it is done once. All of it can be had again: removing it costs
time, and nothing else.
"""
AGE = 30.0
"""Days after which something that nobody used may go."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.set_defaults(json=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    show = actions.add_parser(
        "show",
        parents=[looks()],
        help="list what is there, by kind (the default)",
        description="List what is in the cache, by kind.",
    )
    show.add_argument("--json", action="store_true", help="print every entry as JSON")
    removing = actions.add_parser(
        "prune",
        parents=[looks()],
        help="remove what has not been used for a while",
        description="Remove what has not been used for a while, what interrupted builds left behind, and logs of what "
        "is gone. Nothing goes that a running program came from.",
    )
    removing.add_argument(
        "--older-than",
        type=_days,
        default=AGE,
        metavar="DAYS",
        help="days since the last use (default: %(default)g; 0 for all that is not in use)",
    )
    removing.add_argument("--all", action="store_true", help="remove everything")
    removing.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    removing.add_argument("--json", action="store_true", help="print what was removed as JSON")


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return days


def run(args: argparse.Namespace, context: Context) -> int:
    """Show or prune."""
    # neither makes a cache where there is none
    if not (context.data / MARKER).exists():
        if context.data.is_dir() and any(context.data.iterdir()):
            raise CacheError(f"{context.data} is no cache of relenv's", hint="RELENV_DATA names the directory")
        sys.stdout.write(json.dumps({"path": str(context.data), "entries": []}) + "\n" if args.json else "")
        context.ui.note(f"there is no cache yet: it would be {context.data}")
        return 0
    return _prune(args, context) if args.action == "prune" else _show(args, context)


def _show(args: argparse.Namespace, context: Context) -> int:
    entries = survey(context.cache)
    if args.json:
        _write({"path": str(context.cache.root), "entries": [_described(entry) for entry in entries]})
        return 0
    table = Table(box=None, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    for column in ("number", "size"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    for kind, (number, amount, used) in summary(entries).items():
        table.add_row(kind, str(number), size(amount), ago(used))
    console = Console(highlight=False, soft_wrap=True)
    if entries:
        console.print(table)
    console.print(f"{context.cache.root}: {size(sum(entry.size for entry in entries))}")
    return 0


def _prune(args: argparse.Namespace, context: Context) -> int:
    cache = context.cache
    with cache.alone():
        chosen = choose(survey(cache), older_than=args.older_than, everything=args.all, now=time.time())
        work = context.ui.work("Looking" if args.dry_run else "Removing", total=len(chosen))

        def tell(entry: Entry) -> None:
            work.now(entry.path.name)
            work.advance(1)

        try:
            pruned = prune(cache, chosen, dry=args.dry_run, tell=tell)
        finally:
            work.drop()
    for entry in pruned.busy:
        context.ui.warn(f"{entry.path} stays: a program that runs came from it")
    if args.json:
        _write(
            {
                "path": str(cache.root),
                "dry_run": args.dry_run,
                "removed": [_described(entry) for entry in pruned.removed],
                "busy": [_described(entry) for entry in pruned.busy],
            }
        )
        return 0
    for entry in pruned.removed:
        sys.stdout.write(f"{entry.path}\n")
    would = "would free" if args.dry_run else "freed"
    context.ui.step(f"{would} {size(sum(entry.size for entry in pruned.removed))} of {cache.root}")
    return 0


def _described(entry: Entry) -> dict[str, object]:
    return {"kind": entry.kind, "path": str(entry.path), "size": entry.size, "used": round(entry.used)}


def _write(described: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(described) + "\n")
