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
from relenv.current import usable
from relenv.housekeeping import Entry, Pruned, ago, choose, prune, summary, survey
from relenv.store import is_cache_there
from relenv.ui import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relenv.context import Context
    from relenv.store import Cache

SUMMARY = "show what is in the cache, or make room"
DESCRIPTION = """\
The cache holds what was downloaded and built, so that it is done once. All of it can be had again: removing it costs
time, and nothing else.
"""
PRUNING = """\
Remove what interrupted commands left behind, what no build of this version of relenv can look for (artifacts,
interpreters, tarballs and toolchains of other versions), and the logs of what is not there. What another relenv is
making or using stays, and so does what a running program came from.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print every entry as JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    show = actions.add_parser(
        "show",
        parents=[looks()],
        help="list what is there, by kind (the default)",
        description="List what is in the cache, by kind.",
    )
    removing = actions.add_parser(
        "prune", parents=[looks()], help="remove what is of no use to this relenv", description=PRUNING
    )
    removing.add_argument("--older-than", type=_days, metavar="DAYS", help="also what nobody has used for so many days")
    removing.add_argument("--all", action="store_true", help="everything, but what makes the directory a cache")
    removing.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    for action, what in ((show, "every entry"), (removing, "what was removed, and what stays")):
        # one that comes before the action counts too
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=f"print {what} as JSON")


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
    cache = context.cache if is_cache_there(context.data) else None
    if cache is None:  # neither makes one
        context.ui.note(f"there is no cache yet: it would be {context.data}")
    return _prune(args, context, cache) if args.action == "prune" else _show(args, context, cache)


def _show(args: argparse.Namespace, context: Context, cache: Cache | None) -> int:
    entries = survey(cache) if cache else ()
    total = sum(entry.size for entry in entries)
    if args.json:
        _write({"path": str(context.data), "size": total, "entries": [_described(entry) for entry in entries]})
    elif cache:
        console = Console(highlight=False, soft_wrap=True)
        if entries:
            console.print(_table(entries))
        console.print(f"{cache.root}: {size(total)}", markup=False)
    return 0


def _table(entries: Sequence[Entry]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    for column in ("number", "size"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    for kind, (number, amount, used) in summary(entries).items():
        table.add_row(kind, str(number), size(amount), ago(used))
    return table


def _prune(args: argparse.Namespace, context: Context, cache: Cache | None) -> int:
    pruned = _pruned(args, context, cache) if cache else Pruned(removed=(), busy=())
    freed = sum(entry.size for entry in pruned.removed)
    for busy in pruned.busy:
        context.ui.warn(f"{busy.entry.path} stays: {busy.why}")
    if args.json:
        described = {
            "path": str(context.data),
            "dry_run": args.dry_run,
            "size": freed,
            "removed": [_described(entry) for entry in pruned.removed],
            "busy": [{**_described(busy.entry), "why": busy.why} for busy in pruned.busy],
        }
        _write(described)
    elif cache:
        sys.stdout.writelines(f"{entry.path}\n" for entry in pruned.removed)
        context.ui.step(f"{'would free' if args.dry_run else 'freed'} {size(freed)} of {cache.root}")
    return 0


def _pruned(args: argparse.Namespace, context: Context, cache: Cache) -> Pruned:
    chosen = choose(
        survey(cache),
        usable=() if args.all else usable(context),
        older_than=args.older_than,
        everything=args.all,
        now=time.time(),
    )
    if args.dry_run:
        return prune(cache, chosen, dry=True)
    work = context.ui.work("Removing", total=len(chosen))

    def tell(entry: Entry) -> None:
        work.now(entry.path.name)
        work.advance(1)

    try:
        return prune(cache, chosen, tell=tell)
    finally:
        work.drop()


def _described(entry: Entry) -> dict[str, object]:
    return {"kind": entry.kind.name, "path": str(entry.path), "size": entry.size, "used": round(entry.used)}


def _write(described: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(described) + "\n")
