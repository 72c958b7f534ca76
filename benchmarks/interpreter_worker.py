"""The part of `interpreter.py` that runs in the interpreters that are compared: standard library only.

    interpreter_worker.py FOLDER LOOPS NAME [ARGUMENT...]

NAME is a benchmark of pyperformance's in FOLDER, or `=` and one of the functions below. Prints JSON: for each benchmark
the loops that take some time, if LOOPS is `{}`, else the least seconds that so many took.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
import types
from collections.abc import Callable
from typing import Any

ENOUGH = 0.1
"""Seconds of a value."""
VALUES = 3

Timed = Callable[[int], float]
"""Takes a number of loops, and returns the seconds that they took."""


class Runner:
    """Stands in for pyperf's: collects the benchmarks of a script instead of running them."""

    def __init__(self, **_: object) -> None:
        import argparse  # noqa: PLC0415 - it must not count among what a benchmark has imported

        self.metadata: dict[str, object] = {}
        self.argparser = argparse.ArgumentParser()
        self.args: Any = None

    def parse_args(self, argv: list[str] | None = None) -> object:
        """Parse the arguments of the script."""
        self.args = self.argparser.parse_args(argv)
        return self.args

    def bench_func(self, name: str, function: Callable[..., object], *args: object, **_: object) -> None:
        """Take a function that does the work once."""
        FOUND[name] = repeated(lambda: function(*args))

    def bench_time_func(self, name: str, function: Callable[..., float], *args: object, **_: object) -> None:
        """Take a function that does it so many times, and measures."""
        FOUND[name] = lambda loops: function(loops, *args)

    def bench_async_func(self, name: str, function: Callable[..., Any], *args: object, **_: object) -> None:
        """Take a coroutine function."""
        import asyncio  # noqa: PLC0415

        FOUND[name] = repeated(lambda: asyncio.run(function(*args)))


FOUND: dict[str, Timed] = {}


def repeated(function: Callable[[], object]) -> Timed:
    """Return what calls a function so many times and measures processor time."""

    def timed(loops: int) -> float:
        rounds = range(loops)
        begun = time.process_time()
        for _ in rounds:
            function()
        return time.process_time() - begun

    return timed


def found(folder: str, name: str, arguments: list[str]) -> dict[str, Timed]:
    """Return what is to be measured."""
    if name.startswith("="):
        return {key: repeated(function) for key, function in globals()[f"of_{name[1:]}"](folder).items()}
    # processor time is what they measure with then
    stand_in = types.ModuleType("pyperf")
    vars(stand_in).update(Runner=Runner, perf_counter=time.process_time, python_implementation=lambda: "cpython")
    sys.modules["pyperf"] = stand_in
    script = f"{folder}/pyperformance/data-files/benchmarks/bm_{name}/run_benchmark.py"
    sys.argv = [script, *arguments]
    sys.path.insert(0, script.rpartition("/")[0])
    runpy.run_path(script, run_name="__main__")
    return FOUND


def enough(timed: Timed) -> int:
    """Return how many loops take long enough to be measured."""
    loops = 1
    timed(loops)
    while (took := timed(loops)) < ENOUGH:
        loops = max(loops + 1, int(loops * min(10, 1.1 * ENOUGH / max(took, 1e-6))))
    return loops


def of_zlib(_: str) -> dict[str, Callable[[], object]]:
    """Return what to measure of zlib."""
    import zlib  # noqa: PLC0415

    data = text()
    packed = zlib.compress(data, 6)
    return {
        "zlib compress, level 6": lambda: zlib.compress(data, 6),
        "zlib decompress": lambda: zlib.decompress(packed),
        "zlib crc32": lambda: zlib.crc32(data),
    }


def of_lzma(_: str) -> dict[str, Callable[[], object]]:
    """Return what to measure of lzma."""
    import lzma  # noqa: PLC0415

    data = text()[:1_000_000]
    packed = lzma.compress(data, preset=6)
    return {
        "lzma compress, preset 6": lambda: lzma.compress(data, preset=6),
        "lzma decompress": lambda: lzma.decompress(packed),
    }


def of_bz2(_: str) -> dict[str, Callable[[], object]]:
    """Return what to measure of bz2."""
    import bz2  # noqa: PLC0415

    data = text()[:1_000_000]
    packed = bz2.compress(data)
    return {"bz2 compress": lambda: bz2.compress(data), "bz2 decompress": lambda: bz2.decompress(packed)}


def of_hashlib(_: str) -> dict[str, Callable[[], object]]:
    """Return what to measure of hashlib."""
    import hashlib  # noqa: PLC0415

    data = text()

    def of(name: str) -> Callable[[], object]:
        return lambda: hashlib.new(name, data).digest()

    names = ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b")
    return {
        **{f"hashlib {name}": of(name) for name in names},
        "hashlib sha256 of 64 bytes": lambda: [hashlib.sha256(data[:64]).digest() for _ in range(1000)],
        "hashlib pbkdf2_hmac": lambda: hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 20_000),
    }


def of_sqlite3(_: str) -> dict[str, Callable[[], object]]:
    """Return what to measure of sqlite3."""
    import sqlite3  # noqa: PLC0415

    rows = [(number, f"name {number * 7919 % 10007}", number * 0.5) for number in range(10_000)]
    full = sqlite3.connect(":memory:")

    def insert(into: sqlite3.Connection | None = None) -> None:
        connection = into or sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, value REAL)")
        connection.executemany("INSERT INTO things VALUES (?, ?, ?)", rows)
        connection.execute("CREATE INDEX by_name ON things (name)")
        connection.commit()
        if into is None:
            connection.close()

    insert(full)
    grouped = "SELECT substr(name, 1, 7), count(*), avg(value) FROM things GROUP BY 1 ORDER BY 2 DESC"
    return {
        "sqlite3 insert": insert,
        "sqlite3 select all": lambda: full.execute("SELECT * FROM things").fetchall(),
        "sqlite3 group by": lambda: full.execute(grouped).fetchall(),
        "sqlite3 select by key": lambda: [
            full.execute("SELECT name FROM things WHERE id = ?", (number,)).fetchone() for number in range(500)
        ],
    }


def of_ssl(folder: str) -> dict[str, Callable[[], object]]:
    """Return what to measure of ssl."""
    import ssl  # noqa: PLC0415

    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    asking = ssl.create_default_context(cafile=f"{folder}/cert.pem")

    def connected() -> tuple[ssl.SSLObject, ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = serving.wrap_bio(there, back, server_side=True)
        client = asking.wrap_bio(back, there, server_hostname="localhost")
        waiting = [client, server]
        while waiting:
            for side in tuple(waiting):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(side)
        return client, server, there, back

    client, server, _, _ = connected()
    data = text()

    def transfer() -> None:
        for at in range(0, len(data), 16384):
            client.write(data[at : at + 16384])
            server.read(16384)

    return {"ssl handshake": connected, "ssl transfer": transfer}


def text() -> bytes:
    """Return four megabytes that look like a log: neither noise nor all the same."""
    lines = (
        f"{number * 2654435761 % 4294967296:08x} GET /item/{number * 7919 % 5003} {200 + number % 5} {number % 97}\n"
        for number in range(120_000)
    )
    return "".join(lines).encode()[:4_000_000]


def main(folder: str, loops: str, name: str, *arguments: str) -> None:
    """Measure, and print."""
    asked = json.loads(loops)
    benchmarks = found(folder, name, list(arguments))
    if not asked:
        said: dict[str, float] = {key: enough(timed) for key, timed in benchmarks.items()}
    else:
        said = {key: min(timed(asked[key]) for _ in range(VALUES)) for key, timed in benchmarks.items()}
    sys.stdout.write("\n" + json.dumps(said) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
