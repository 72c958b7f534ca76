"""Turn what the store holds into text, JSON lines and a page. Nothing here reads or writes."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

import orjson

from sitewatch.model import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sitewatch.model import Summary

DATA = files("sitewatch") / "data"


def as_text(summaries: Sequence[Summary], now: datetime) -> str:
    """Lay a table out: one line a site."""
    if not summaries:
        return "Nothing measured yet: sitewatch check https://...\n"
    rows = [("site", "now", "up", "mean", "certificate"), *(_row(summary, now) for summary in summaries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )


def as_jsonl(measurements: Iterable[Measurement]) -> Iterator[bytes]:
    """Write measurements as JSON, one a line."""
    for measurement in measurements:
        yield orjson.dumps(measurement, option=orjson.OPT_APPEND_NEWLINE)


def from_jsonl(lines: bytes) -> list[Measurement]:
    """Read what `as_jsonl` wrote."""
    return [Measurement(**orjson.loads(line)) for line in lines.splitlines()]


def demo() -> list[Measurement]:
    """Return the recorded measurements that come with the program."""
    return from_jsonl((DATA / "demo.jsonl").read_bytes())


def as_page(summaries: Iterable[Summary], measurements: Iterable[Measurement], now: datetime) -> str:
    """Lay a page out that needs nothing but itself."""
    history = defaultdict(list)
    for measurement in measurements:
        history[measurement.url].append(measurement)
    rows = "\n".join(
        "<tr>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in _row(summary, now))
        + f"<td class=history>{_strip(history[summary.url])}</td></tr>"
        for summary in summaries
    )
    template = Template((DATA / "page.html").read_text(encoding="utf-8"))
    return template.substitute(rows=rows, now=now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"))


def _strip(measurements: Iterable[Measurement]) -> str:
    return "".join(
        f'<i class={"up" if one.up else "down"} title="{escape(f"{one.at}: {_outcome(one)}")}"></i>'
        for one in measurements
    )


def _row(summary: Summary, now: datetime) -> tuple[str, ...]:
    latest = summary.latest
    return (
        summary.url,
        _outcome(latest),
        f"{summary.availability:.1%} of {summary.checks}",
        "unknown" if summary.mean is None else f"{summary.mean:.0f} ms",
        _left(latest.expires, now),
    )


def _outcome(measurement: Measurement) -> str:
    return measurement.error or f"{'up' if measurement.up else 'down'} ({measurement.status})"


def _left(expires: str | None, now: datetime) -> str:
    if expires is None:
        return "unknown"
    days = (datetime.fromisoformat(expires) - now).days
    return f"{days} days left" if days >= 0 else "expired"
