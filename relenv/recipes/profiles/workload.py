"""What applications do, for the training run, beside CPython's own `-m test --pgo`.

CPython's tests exercise the corners of each module; this exercises the middle: parsing and writing JSON, matching
expressions, sorting, formatting, calling, queries in SQLite, hashing, coroutines, command lines.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import dataclasses
import decimal
import functools
import hashlib
import heapq
import io
import itertools
import json
import pickle
import random
import re
import sqlite3
import ssl
import string
import zlib

ROUNDS = 30


@dataclasses.dataclass(order=True)
class Record:
    """A row of something."""

    key: int
    name: str
    score: float
    tags: list[str]


def records(count: int) -> list[Record]:
    """Return rows that are the same in every run."""
    source = random.Random(42)  # noqa: S311 - not for secrets
    return [
        Record(
            key=number,
            name="".join(source.choices(string.ascii_letters, k=12)),
            score=source.random() * 1000,
            tags=source.sample(["red", "green", "blue", "yellow", "black"], 3),
        )
        for number in range(count)
    ]


def texts(rows: list[Record]) -> None:
    """Read and write text."""
    document = json.dumps([dataclasses.asdict(row) for row in rows], indent=1)
    assert len(json.loads(document)) == len(rows)
    words = re.compile(r"(?P<name>[A-Za-z]{5,})|(?P<number>-?\d+\.\d+)")
    counts = collections.Counter(match.lastgroup for match in words.finditer(document))
    assert counts["name"]
    lines = [f"{row.name:>20} {row.score:10.3f} {','.join(row.tags)}" for row in rows]
    cleaned = [re.sub(r"\s+", " ", line).strip().lower().split(" ") for line in lines]
    assert len("\n".join(map("|".join, cleaned)).encode()) > len(rows)
    assert pickle.loads(pickle.dumps(rows)) == rows  # noqa: S301 - our own


def numbers(rows: list[Record]) -> None:
    """Compute."""
    total = sum(row.score * 1.5 - row.key for row in rows)
    primes = [n for n in range(2, 3000) if all(n % d for d in range(2, int(n**0.5) + 1))]
    money = sum((decimal.Decimal(f"{row.score:.2f}") for row in rows), decimal.Decimal(0))
    grid = [[(x * y) % 7 for x in range(60)] for y in range(60)]
    turned = [list(column) for column in zip(*grid, strict=True)]
    assert total
    assert primes
    assert money
    assert turned


def collections_of(rows: list[Record]) -> None:
    """Sort, group, search and memoise."""
    by_tag: dict[str, list[Record]] = collections.defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.tags[0], -row.score)):
        by_tag[row.tags[0]].append(row)
    for _, group in itertools.groupby(rows, key=lambda row: row.key // 10):
        heapq.nlargest(3, group)

    @functools.cache
    def ways(left: int, largest: int) -> int:
        return 1 if left == 0 else sum(ways(left - coin, coin) for coin in range(1, min(left, largest) + 1))

    assert ways(40, 40)


def storage(rows: list[Record]) -> None:
    """Use SQLite, compression and hashes."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table row (key integer primary key, name text, score real)")
        connection.executemany("insert into row values (?, ?, ?)", [(r.key, r.name, r.score) for r in rows])
        connection.execute("select name, avg(score) from row group by key % 10 order by 2 desc").fetchall()
        for number in range(0, len(rows), 7):
            connection.execute("select * from row where key = ?", (number,)).fetchone()
    packed = zlib.compress(repr(rows).encode())
    assert hashlib.sha256(packed).hexdigest() != hashlib.blake2b(zlib.decompress(packed)).hexdigest()


async def conversation(rows: list[Record]) -> None:
    """Pass things between coroutines, as a server does."""
    queue: asyncio.Queue[Record | None] = asyncio.Queue(maxsize=10)

    async def produce() -> None:
        for row in rows:
            await queue.put(row)
            await asyncio.sleep(0)
        await queue.put(None)

    async def consume() -> int:
        seen = 0
        while await queue.get() is not None:
            seen += 1
        return seen

    _, seen = await asyncio.gather(produce(), consume())
    assert seen == len(rows)


def command_line() -> None:
    """Parse arguments and print help."""
    parser = argparse.ArgumentParser(prog="tool")
    commands = parser.add_subparsers(dest="command")
    for name in ("add", "list", "remove"):
        command = commands.add_parser(name, help=f"{name} things")
        command.add_argument("--verbose", action="store_true")
        command.add_argument("name", nargs="*")
    assert parser.parse_args(["add", "--verbose", "one", "two"]).name == ["one", "two"]
    parser.print_help(io.StringIO())


def main() -> None:
    """Do it all, several times."""
    rows = records(400)
    for _ in range(ROUNDS):
        texts(rows)
        numbers(rows)
        collections_of(rows)
        storage(rows)
        asyncio.run(conversation(rows))
        command_line()
    ssl.create_default_context()


if __name__ == "__main__":
    main()
