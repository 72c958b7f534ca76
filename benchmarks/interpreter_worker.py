"""What each interpreter of `interpreter.py` runs in a fresh process: one benchmark, timed in CPU time.

    python interpreter_worker.py TASK

TASK is a Task as JSON; printed is {"loops": how many calls make a sample, "seconds": [CPU time of each sample]}.
Only the standard library is used, and a benchmark's modules are imported for that benchmark alone: a module that
an interpreter lacks costs it that benchmark, not the others.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import runpy
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

CHUNK = 16 * 1024
"""What one TLS record holds."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One benchmark to run."""

    name: str
    """In WORKLOADS, or what a script of pyperformance calls it."""
    material: str
    """The directory with `corpus` and, where it could be made, `server.pem`."""
    script: str = ""
    """Of pyperformance; empty for one of WORKLOADS."""
    options: list[str] = field(default_factory=list)
    """For that script."""
    loops: int = 0
    """How often to call in a sample, 0 to find out how many it takes to last `target`."""
    samples: int = 1
    target: float = 0.25
    """Seconds."""

    def dump(self) -> str:
        """Return it as `main` reads it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Workload:
    """What is measured as throughput."""

    prepare: Callable[[Path], Callable[[], object]]
    """Given the material, return what to call."""
    amount: float
    """What one call does, in units."""
    unit: str


@dataclass(kw_only=True)
class Runner:
    """Stands in for `pyperf.Runner`: measures one benchmark of a script and leaves the others."""

    wanted: str
    measure: Callable[[Callable[[int], float]], None]
    """Called where the script offers the benchmark, with a function from calls to seconds: it may tidy up after."""
    found: bool = False
    argparser: argparse.ArgumentParser = field(default_factory=argparse.ArgumentParser)
    metadata: dict[str, object] = field(default_factory=dict)
    args: argparse.Namespace = field(default_factory=argparse.Namespace)

    def parse_args(self) -> argparse.Namespace:
        """Parse the script's options."""
        self.args = self.argparser.parse_args()
        return self.args

    def bench_time_func(self, name: str, function: Callable[..., float], *args: object, **_: object) -> None:
        """Take a function that looks at the clock itself."""
        if name == self.wanted:
            self.found = True
            self.measure(lambda loops: function(loops, *args))

    def bench_func(self, name: str, function: Callable[..., object], *args: object, **_: object) -> None:
        """Take a function."""
        self.bench_time_func(name, functools.partial(repeat, functools.partial(function, *args)))

    def bench_async_func(
        self, name: str, function: Callable[..., Coroutine[Any, Any, object]], *args: object, **_: object
    ) -> None:
        """Take a coroutine function."""

        async def measure(loops: int) -> float:
            began = time.process_time()
            for _ in range(loops):
                await function(*args)
            return time.process_time() - began

        def run(loops: int) -> float:
            asyncio = import_module("asyncio")

            return float(asyncio.run(measure(loops)))

        self.bench_time_func(name, run)


def repeat(function: Callable[[], object], loops: int) -> float:
    """Call a function `loops` times; return the CPU time in seconds."""
    calls = range(loops)
    began = time.process_time()
    for _ in calls:
        function()
    return time.process_time() - began


def run_script(task: Task, measure: Callable[[Callable[[int], float]], None]) -> None:
    """Run a script of pyperformance and measure one of its benchmarks.

    Raises:
        LookupError: the script has none of that name.
    """
    pyperf = import_module("pyperf")
    runner = Runner(wanted=task.name, measure=measure)
    # what the scripts look at before and after: the wall clock also counts what other processes do
    vars(pyperf)["perf_counter"] = vars(time)["perf_counter"] = time.process_time
    vars(pyperf)["Runner"] = lambda **_: runner
    sys.argv = [task.script, *task.options]
    sys.path.insert(0, str(Path(task.script).parent))
    runpy.run_path(task.script, run_name="__main__")
    if not runner.found:
        raise LookupError(f"{task.script} has no benchmark {task.name}")


def calibrate(function: Callable[[int], float], target: float) -> int:
    """Return how many calls last `target` seconds."""
    loops = 1
    while (seconds := function(loops)) < target / 2:
        loops = max(2 * loops, min(10 * loops, round(loops * target / max(seconds, 1e-9))))
    return max(1, round(loops * target / seconds))


def corpus(material: Path, size: int = 1_000_000) -> bytes:
    """Return text of that many bytes."""
    return (material / "corpus").read_bytes()[:size]


def compress(module: str, size: int, **options: int) -> Callable[[Path], Callable[[], object]]:
    """Return what prepares a compression."""

    def prepare(material: Path) -> Callable[[], object]:
        return functools.partial(import_module(module).compress, corpus(material, size), **options)

    return prepare


def decompress(module: str) -> Callable[[Path], Callable[[], object]]:
    """Return what prepares the way back."""

    def prepare(material: Path) -> Callable[[], object]:
        library = import_module(module)
        return functools.partial(library.decompress, library.compress(corpus(material)))

    return prepare


def crc32(material: Path) -> Callable[[], object]:
    """Prepare zlib's checksum."""
    return functools.partial(import_module("zlib").crc32, corpus(material))


def digest(name: str, size: int = 1_000_000) -> Callable[[Path], Callable[[], object]]:
    """Return what prepares a hash."""

    def prepare(material: Path) -> Callable[[], object]:
        hashlib = import_module("hashlib")

        function, data = getattr(hashlib, name), corpus(material, size)
        return lambda: function(data).digest()

    return prepare


def sqlite(work: Callable[[Any], object], rows: int) -> Callable[[Path], Callable[[], object]]:
    """Return what prepares work on a table of that many rows, in memory."""

    def prepare(_: Path) -> Callable[[], object]:
        sqlite3 = import_module("sqlite3")

        database = sqlite3.connect(":memory:", isolation_level=None)
        database.execute("create table item (id integer primary key, kind integer, name text, price real)")
        database.execute("create index by_name on item (name)")
        fill(database, rows)
        return functools.partial(work, database)

    return prepare


def fill(database: Any, rows: int) -> None:
    """Insert rows in one transaction."""
    database.execute("begin")
    items = ((number, number % 97, f"item {number * 7919 % rows}", number / 3) for number in range(rows))
    database.executemany("insert into item values (?, ?, ?, ?)", items)
    database.execute("commit")


def sqlite_insert(database: Any) -> None:
    """Insert rows where there are none."""
    database.execute("delete from item")
    fill(database, 10_000)


def sqlite_select(database: Any) -> None:
    """Look rows up by their indexed text."""
    for number in range(10_000):
        database.execute("select id, price from item where name = ?", (f"item {number}",)).fetchone()


def sqlite_aggregate(database: Any) -> None:
    """Group, sum and sort all rows."""
    query = "select kind, count(*), avg(price), max(name) from item group by kind order by 3 desc"
    database.execute(query).fetchall()


def contexts(material: Path, group: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a client and a server that it trusts."""
    ssl = import_module("ssl")

    certificate = material / "server.pem"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context(cafile=str(certificate))
    if group:
        client.set_ecdh_curve(group)
    return client, server


def connect(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Return both ends of a connection in memory, after the handshake."""
    ssl = import_module("ssl")

    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(down, up, server_hostname="localhost"),
        server.wrap_bio(up, down, server_side=True),
    )
    for _ in range(2):  # TLS 1.3: both say hello, both finish
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends


def handshake(group: str = "") -> Callable[[Path], Callable[[], object]]:
    """Return what prepares connecting, with the group for the exchange of keys or with what OpenSSL offers itself."""

    def prepare(material: Path) -> Callable[[], object]:
        client, server = contexts(material, group)
        ends = connect(client, server)
        if {end.version() for end in ends} != {"TLSv1.3"}:
            raise ValueError(f"connected as {ends[0].version()}, not TLSv1.3")
        return functools.partial(connect, client, server)

    return prepare


def transfer(material: Path) -> Callable[[], object]:
    """Prepare sending from client to server through an open connection."""
    client, server = connect(*contexts(material, ""))
    if "AES_256_GCM" not in (client.cipher() or ("",))[0]:
        raise ValueError(f"the cipher is {client.cipher()}")
    data = corpus(material)
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]

    def send() -> None:
        for chunk in chunks:
            client.write(chunk)
            server.read(CHUNK)

    return send


WORKLOADS = {
    "zlib compress": Workload(compress("zlib", 1_000_000), 1, "MB"),
    "zlib compress, level 1": Workload(compress("zlib", 1_000_000, level=1), 1, "MB"),
    "zlib decompress": Workload(decompress("zlib"), 1, "MB"),
    "zlib crc32": Workload(crc32, 1, "MB"),
    "lzma compress": Workload(compress("lzma", 300_000), 0.3, "MB"),
    "lzma decompress": Workload(decompress("lzma"), 1, "MB"),
    "bz2 compress": Workload(compress("bz2", 1_000_000), 1, "MB"),
    "bz2 decompress": Workload(decompress("bz2"), 1, "MB"),
    "sqlite3 insert": Workload(sqlite(sqlite_insert, 10_000), 10, "k rows"),
    "sqlite3 select": Workload(sqlite(sqlite_select, 10_000), 10, "k queries"),
    "sqlite3 aggregate": Workload(sqlite(sqlite_aggregate, 50_000), 0.05, "M rows"),
    "hashlib md5": Workload(digest("md5"), 1, "MB"),
    "hashlib sha1": Workload(digest("sha1"), 1, "MB"),
    "hashlib sha256": Workload(digest("sha256"), 1, "MB"),
    "hashlib sha256, 64 bytes": Workload(digest("sha256", 64), 1e-6, "M calls"),
    "hashlib sha512": Workload(digest("sha512"), 1, "MB"),
    "hashlib sha3_256": Workload(digest("sha3_256"), 1, "MB"),
    "hashlib blake2b": Workload(digest("blake2b"), 1, "MB"),
    "ssl handshake": Workload(handshake(), 1, "handshakes"),
    "ssl handshake, P-256": Workload(handshake("prime256v1"), 1, "handshakes"),
    "ssl AES-256-GCM, both ends": Workload(transfer, 1, "MB"),
}
"""By name. `ssl handshake` exchanges keys as OpenSSL offers to: 3.5 also does ML-KEM, which 3.0 does not have."""


def measured(task: Task, function: Callable[[int], float]) -> dict[str, object]:
    """Warm a function up, then calibrate or measure it; return what is printed."""
    function(1)
    loops = task.loops or calibrate(function, task.target)
    if loops > 1:
        function(math.ceil(loops / 8))
    return {"loops": loops, "seconds": [function(loops) for _ in range(task.samples)] if task.loops else []}


def main() -> None:
    """Run the task and print what it took."""
    task = Task(**json.loads(sys.argv[1]))
    answer = os.dup(1)
    os.dup2(2, 1)  # a benchmark that prints does not disturb

    def measure(function: Callable[[int], float]) -> None:
        os.write(answer, json.dumps(measured(task, function)).encode())

    if task.script:
        run_script(task, measure)
    else:
        measure(functools.partial(repeat, WORKLOADS[task.name].prepare(Path(task.material))))


if __name__ == "__main__":
    main()
