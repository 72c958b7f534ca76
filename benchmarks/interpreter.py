"""How fast is an interpreter of relenv's beside another Python? `python benchmarks/interpreter.py [--quick]`.

Four sections, each with its geometric mean: a subset of pyperformance that needs the standard library alone,
throughput of what the libraries inside do, start-up, and how many system calls that makes.

Both are measured in one run, in turn, in the other order each round. A benchmark runs in a fresh process, pinned to
one CPU, with as many calls a sample as were found once, on the peer, to last long enough; what counts is the CPU time
of that process (start-up also has wall time). Ratios are peer / ours: 1.00 is equal, above it ours is faster.
A run of the peer against itself (`--ours /usr/bin/python3.11`) says how much of a ratio is noise.

pyperformance and pyperf are downloaded once, with pip, into the user's cache directory. A compilation that runs
beside makes all of it worthless.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpreter_worker import WORKLOADS, Task

if TYPE_CHECKING:
    from collections.abc import Callable

WORKER = Path(__file__).with_name("interpreter_worker.py")
PACKAGES = ("pyperformance==1.14.0", "pyperf==2.10.0")
SCRIPTS = "pyperformance/data-files/benchmarks"
SIDES = ("peer", "ours")
BUSY = 0.75
"""A load average above this, for each CPU, is too much."""
TIMEOUT = 300
"""Seconds for one process."""
SYSTEM_CALLS = {
    "open": {"open", "openat"},
    "stat": {"stat", "lstat", "fstat", "newfstatat", "statx"},
    "read": {"read", "pread64"},
    "lseek": {"lseek"},
    "mmap": {"mmap"},
    "getdents": {"getdents", "getdents64"},
}
"""Those that are told apart: which of several a function makes depends on the glibc it was linked with."""

PYPERFORMANCE = """
    async_generators* async_tree:none async_tree:cpu_io_mixed asyncio_tcp barnes_hut/quadtree_nbody
    base64/base64_large bpe_tokeniser chaos* comprehensions* coroutines decimal_factorial decimal_pi deepcopy*
    deltablue* fannkuch float* gc_collect/create_gc_cycles gc_traversal generators* go* hexiom json_dumps*
    json_loads* logging:format logging:silent logging:simple* mdp meteor_contest nbody* nqueens* pathlib
    pickle/pickle:pickle* pickle/unpickle:unpickle* pickle/pickle_dict:pickle_dict
    pickle/pickle_pure_python:pickle:--pure-python pidigits pprint/pprint_pformat pyflate* raytrace* regex_compile*
    regex_dna regex_effbot regex_v8* richards* richards_super scimark:fft scimark:lu* scimark:monte_carlo scimark:sor
    scimark:sparse_mat_mult spectral_norm* sqlite_synth telco* typing_runtime_protocols unpack_sequence*
    xml_etree:parse* xml_etree:iterparse xml_etree:generate xml_etree:process
    pickle/unpickle_pure_python:unpickle:--pure-python
"""
"""directory[/benchmark][:option ...], with * if --quick takes it; without a benchmark, directory_option is its name."""

START_UP = (
    ("-I", "-c", "pass"),
    ("-I", "-S", "-c", "pass"),
    ("-I", "-c", "import asyncio, json, re, ssl"),
)
"""-S is without site: a Python that has .pth files, as a distribution's has with some packages, reads them."""


class FailureError(Exception):
    """A benchmark does not run."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How thoroughly to measure."""

    rounds: int
    samples: int
    """Taken in each process."""
    target: float
    """How long a sample lasts, in seconds."""
    starts: int
    """Processes a round, of each start-up."""


FULL = Settings(rounds=6, samples=2, target=0.25, starts=25)
SHORT = Settings(rounds=3, samples=1, target=0.05, starts=15)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What was prepared once, the same for both interpreters."""

    packages: Path
    material: Path

    def env(self, seed: int = 0) -> dict[str, str]:
        """Return the environment of a benchmark; the order of sets is the same for both, another in each round."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.material),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self.packages),
            "PYTHONHASHSEED": str(seed + 1),
        }


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Something to measure."""

    section: str
    name: str
    script: str = ""
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """Of the interpreter, for start-up."""
    quick: bool = True
    """Whether --quick takes it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table."""

    name: str
    unit: str
    values: tuple[float, float, float, float]
    """Best and median of the peer, best and median of ours."""
    ratios: tuple[float, float]
    """Peer / ours, of the best and of the medians."""

    def cells(self) -> list[str]:
        """Return what is printed."""
        return [
            self.name,
            *(spell(value, self.unit) for value in self.values),
            *(f"{each:.2f}" for each in self.ratios),
        ]


def all_benchmarks() -> list[Benchmark]:
    """Return everything that can be measured."""
    scripts = []
    for entry in PYPERFORMANCE.split():
        path, *options = entry.removesuffix("*").split(":")
        directory, _, name = path.partition("/")
        name = name or "_".join([directory, *options])
        script = f"{SCRIPTS}/bm_{directory}/run_benchmark.py"
        quick = entry.endswith("*")
        scripts.append(
            Benchmark(section="pyperformance", name=name, script=script, options=tuple(options), quick=quick)
        )
    return [
        *scripts,
        *(Benchmark(section="throughput", name=name) for name in WORKLOADS),
        *(Benchmark(section="start-up", name=shlex.join(each), arguments=each) for each in START_UP),
        *(Benchmark(section="system calls", name=shlex.join(each), arguments=each) for each in START_UP[:2]),
    ]


def chosen(patterns: list[str], *, quick: bool) -> list[Benchmark]:
    """Return the benchmarks that a pattern fits, part of "section name"."""
    return [
        benchmark
        for benchmark in all_benchmarks()
        if (benchmark.quick or not quick)
        and any(fnmatch.fnmatch(f"{benchmark.section} {benchmark.name}", f"*{each}*") for each in patterns)
    ]


def cache_directory() -> Path:
    """Return the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def prepare() -> Place:
    """Download the packages and make the material, unless that was done before."""
    versions = "-".join(package.replace("==", "-") for package in PACKAGES)
    place = cache_directory() / "relenv-benchmarks" / versions
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as name:
            partial = Path(name) / versions
            pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
            try:
                output([*pip, "--target", partial / "packages", *PACKAGES], dict(os.environ))
            except FailureError as error:
                sys.exit(f"pip could not install {' and '.join(PACKAGES)}: {error}")
            make_material(partial / "material", partial / "packages" / SCRIPTS)
            partial.rename(place)
    return Place(packages=place / "packages", material=place / "material")


def make_material(material: Path, scripts: Path) -> None:
    """Write a text, of what pyperformance brings along, and a certificate where there is openssl(1)."""
    material.mkdir()
    texts = sorted(path for path in scripts.rglob("*") if path.suffix in {".py", ".rst", ".txt"})
    (material / "corpus").write_bytes(b"".join(path.read_bytes() for path in texts))
    if shutil.which("openssl"):
        pem = material / "server.pem"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"]
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        command: list[str | Path] = [
            "openssl",
            "req",
            "-x509",
            *curve,
            *subject,
            "-keyout",
            pem,
            "-out",
            material / "certificate",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pem.write_bytes(pem.read_bytes() + (material / "certificate").read_bytes())


DESCRIBE = """
import json, pathlib, sqlite3, ssl, sys, zlib
pth = sum(len(list(pathlib.Path(each).glob("*.pth"))) for each in sys.path)
libraries = f"{ssl.OPENSSL_VERSION}, SQLite {sqlite3.sqlite_version}, zlib {zlib.ZLIB_RUNTIME_VERSION}"
print(json.dumps({"version": ".".join(map(str, sys.version_info[:3])), "compiler": sys.version.split("[")[-1][:-1],
                  "libraries": libraries, "pth": pth}))
"""


def describe(python: Path) -> dict[str, Any]:
    """Return path, version, compiler and libraries of an interpreter."""
    python = Path(shutil.which(python) or python).absolute()
    try:
        done = subprocess.run([python, "-I", "-c", DESCRIBE], check=True, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        hint = "; apt-get install python3.11" if python == Path("/usr/bin/python3.11") else ""
        sys.exit(f"{python}: {error.strerror}{hint}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{python} exits with {error.returncode} when it imports sqlite3, ssl and zlib")
    return {"path": str(python), **json.loads(done.stdout)}


def newest(version: str) -> Path:
    """Return the interpreter of that version that was last put into relenv's store."""
    data = Path(os.environ.get("RELENV_DATA") or cache_directory() / "relenv")
    found = sorted((data / "store").glob(f"python-{version}[-.]*/bin/python3"), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit(f"no Python {version} in {data}: `relenv build --python {version}` makes it, --ours names another")
    return found[-1]


@dataclass(kw_only=True)
class Session:
    """Two interpreters that are measured."""

    pythons: dict[str, Path]
    """By side."""
    place: Place
    settings: Settings
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    """The load average before."""
    round: int = 0
    loops: dict[str, int] = field(default_factory=dict)
    """Calls in a sample, by benchmark."""
    samples: dict[str, dict[str, dict[str, list[float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    )
    """Seconds for one call, or a number of system calls, by section, row and side."""
    failures: dict[str, str] = field(default_factory=dict)

    def run(self, benchmarks: list[Benchmark]) -> None:
        """Calibrate, then measure in rounds. What fails once is left out from there on."""
        for benchmark in benchmarks:
            if not benchmark.arguments:
                say(f"calibrating {benchmark.name}")
                self.attempt(benchmark, "peer", self.calibrate)
        for number in range(self.settings.rounds):
            self.round = number
            for benchmark in benchmarks:
                say(f"round {number + 1} of {self.settings.rounds}: {benchmark.section}, {benchmark.name}")
                for turn in range(self.settings.starts if benchmark.section == "start-up" else 1):
                    for side in SIDES if (self.round + turn) % 2 == 0 else reversed(SIDES):
                        self.attempt(benchmark, side, self.measure)

    def attempt(self, benchmark: Benchmark, side: str, action: Callable[[Benchmark, str], None]) -> None:
        """Do something with a benchmark that has not failed yet."""
        name = f"{benchmark.section}, {benchmark.name}"
        if name not in self.failures:
            try:
                action(benchmark, side)
            except FailureError as error:
                self.failures[name] = f"{side}: {error}"

    def calibrate(self, benchmark: Benchmark, side: str) -> None:
        """Find out how many calls make a sample."""
        self.loops[benchmark.name] = self.work(benchmark, side)["loops"]

    def measure(self, benchmark: Benchmark, side: str) -> None:
        """Take samples of a benchmark on one side."""
        rows = self.samples[benchmark.section]
        if benchmark.section == "start-up":
            wall, cpu = start([str(self.pythons[side]), *benchmark.arguments], self.place.env())
            rows[f"{benchmark.name}, CPU"][side].append(cpu)
            rows[f"{benchmark.name}, wall"][side].append(wall)
        elif benchmark.section == "system calls":
            command = [str(self.pythons[side]), *benchmark.arguments]
            for call, count in system_calls(command, self.place.env()).items():
                rows[f"{benchmark.name}, {call}"][side].append(count)
        else:
            answer = self.work(benchmark, side)
            rows[benchmark.name][side] += [seconds / answer["loops"] for seconds in answer["seconds"]]

    def work(self, benchmark: Benchmark, side: str) -> Any:
        """Run a benchmark in a process and return what that printed.

        Raises:
            FailureError: it does not run.
        """
        task = Task(
            name=benchmark.name,
            material=str(self.place.material),
            script=str(self.place.packages / benchmark.script) if benchmark.script else "",
            options=list(benchmark.options),
            loops=self.loops.get(benchmark.name, 0),
            samples=self.settings.samples,
            target=self.settings.target,
        )
        return json.loads(output([self.pythons[side], "-s", "-P", WORKER, task.dump()], self.place.env(self.round)))


def output(command: list[str | Path], env: dict[str, str]) -> str:
    """Run a command and return what it prints.

    Raises:
        FailureError: it fails, prints nothing or takes very long.
    """
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise FailureError(f"takes more than {TIMEOUT} s") from error
    if done.returncode:
        raise FailureError((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    return done.stdout


def start(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Start an interpreter that ends at once; return its wall and CPU time in seconds.

    Raises:
        FailureError: it fails.
    """
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, env)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise FailureError(f"exit code {os.waitstatus_to_exitcode(status)}")
    return wall, usage.ru_utime + usage.ru_stime


def system_calls(command: list[str], env: dict[str, str]) -> dict[str, int]:
    """Return how many system calls a start makes, how many fail, and how many are of which kind.

    Raises:
        FailureError: there is no strace(1), or it may not look.
    """
    if not shutil.which("strace"):
        raise FailureError("strace is not installed")
    with tempfile.NamedTemporaryFile("r") as log:
        output(["strace", "-f", "-c", "-o", log.name, *command], env)
        # % time, seconds, usecs/call, calls, [errors], syscall
        lines = [line.split() for line in log.read().splitlines() if line.strip()]
    calls = {line[-1]: int(line[3]) for line in lines if line[3].isdigit()}
    failing = next((int(line[4]) for line in lines if line[4:] == [line[4], "total"]), 0)
    groups = {name: sum(calls.get(call, 0) for call in group) for name, group in SYSTEM_CALLS.items()}
    return {"total": calls["total"], "failing": failing, **groups}


def say(message: str) -> None:
    """Tell a terminal what is going on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{message}", end="", file=sys.stderr, flush=True)


def tables(session: Session) -> dict[str, list[Row]]:
    """Return the rows of each section that were measured on both sides."""
    return {
        section: [
            make_row(section, name, *(sides[side] for side in SIDES)) for name, sides in rows.items() if both(sides)
        ]
        for section, rows in session.samples.items()
    }


def both(sides: dict[str, list[float]]) -> bool:
    """Return whether there is something to compare: no row of a system call that neither makes."""
    return all(sides[side] and min(sides[side]) > 0 for side in SIDES)


def make_row(section: str, name: str, peer: list[float], ours: list[float]) -> Row:
    """Condense the samples of a benchmark."""
    unit, values = "s", (min(peer), statistics.median(peer), min(ours), statistics.median(ours))
    ratios = (values[0] / values[2], values[1] / values[3])
    if section == "system calls":
        unit = "calls"
    if section == "throughput":
        unit, amount = f"{WORKLOADS[name].unit}/s", WORKLOADS[name].amount
        values = (amount / values[0], amount / values[1], amount / values[2], amount / values[3])
    return Row(name=name, unit=unit, values=values, ratios=ratios)


def spell(value: float, unit: str) -> str:
    """Return a value with at least three digits, and its unit."""
    if unit == "s":
        scale, unit = next(each for each in ((1, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns")) if value * each[0] >= 1)
        value *= scale
    digits = 0 if unit == "calls" else max(0, 2 - math.floor(math.log10(value)))
    return f"{value:.{digits}f} {unit}"


def means(rows: list[Row]) -> tuple[float, ...]:
    """Return the geometric means of the ratios."""
    return tuple(statistics.geometric_mean(each) for each in zip(*(row.ratios for row in rows), strict=True))


HEADER = ("", "peer best", "peer median", "ours best", "ours median", "ratio best", "ratio median")


def render(section: str, rows: list[Row], *, markdown: bool) -> str:
    """Return a table with its geometric mean."""
    lines = [list(HEADER), *(row.cells() for row in rows)]
    if section != "system calls":
        lines.append([f"geometric mean of {len(rows)}", "", "", "", "", *(f"{mean:.3f}" for mean in means(rows))])
    lines[0][0] = section
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    padded = [
        [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    if markdown:
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], rule, *padded[1:]))
    return "\n".join("  ".join(line).rstrip() for line in padded)


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--ours", type=Path, metavar="PATH", help="an interpreter's bin/python3")
    which.add_argument("--python", metavar="VERSION", help="the one in relenv's store (default: the peer's version)")
    parser.add_argument("--peer", type=Path, metavar="PATH", default=Path("/usr/bin/python3.11"))
    parser.add_argument("--quick", action="store_true", help="less of everything, in two minutes")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default: {FULL.rounds}, {SHORT.rounds} with --quick")
    parser.add_argument("--only", action="append", metavar="PATTERN", help='part of "section name", may be repeated')
    parser.add_argument("--cpu", type=int, metavar="N", help="to run on (default: the last one)")
    parser.add_argument("--list", action="store_true", help="print what there is to measure, and end")
    parser.add_argument("--markdown", action="store_true", help="print tables for a document")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    return parser.parse_args()


def warn_about(interpreters: dict[str, dict[str, Any]], load: float) -> None:
    """Say what makes the figures questionable."""
    if len({each["version"] for each in interpreters.values()}) > 1:
        print("warning: these are two versions of Python", file=sys.stderr)
    for side, each in interpreters.items():
        if each["pth"]:
            print(f"warning: {each['pth']} .pth files slow the start of {side}, see the rows with -S", file=sys.stderr)
    if load > BUSY * (os.cpu_count() or 1):
        print(f"warning: the machine is busy, load average {load:.2f}", file=sys.stderr)


def main() -> int:
    """Measure and print tables; return 1 if something could not be measured."""
    args = parse_arguments()
    benchmarks = chosen(args.only or ["*"], quick=args.quick)
    if args.list:
        print(*(f"{benchmark.section} {benchmark.name}" for benchmark in benchmarks), sep="\n")
        return 0
    peer = describe(args.peer)
    ours = describe(args.ours or newest(args.python or peer["version"]))
    interpreters = {"peer": peer, "ours": ours}
    settings = SHORT if args.quick else FULL
    session = Session(
        pythons={side: Path(each["path"]) for side, each in interpreters.items()},
        place=prepare(),
        settings=replace(settings, rounds=args.rounds or settings.rounds),
    )
    warn_about(interpreters, session.load)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if args.cpu is None else args.cpu})
    try:
        session.run(benchmarks)
    except KeyboardInterrupt:
        print("\ninterrupted: this is what there is", file=sys.stderr)
    say("")
    report(session, interpreters, markdown=args.markdown)
    if args.json:
        args.json.write_text(json.dumps(record(session, interpreters), indent=1) + "\n")
    return 1 if session.failures else 0


def report(session: Session, interpreters: dict[str, dict[str, Any]], *, markdown: bool) -> None:
    """Print everything."""
    for side, each in interpreters.items():
        print(f"{side}: {each['path']}, Python {each['version']}, {each['compiler']}; {each['libraries']}")
    print(f"rounds: {session.round + 1}; load average before: {session.load:.2f}")
    print("ratio: peer / ours, above 1.00 ours is faster")
    for section, rows in tables(session).items():
        if rows:
            print(f"\n{render(section, rows, markdown=markdown)}")
    for name, why in session.failures.items():
        print(f"left out: {name}: {why}")


def record(session: Session, interpreters: dict[str, dict[str, Any]]) -> dict[str, object]:
    """Return what --json writes."""
    return {
        "machine": {"kernel": platform.release(), "cpu": cpu_model(), "load": session.load},
        "interpreters": interpreters,
        "settings": asdict(session.settings),
        "geometric means": {section: means(rows) for section, rows in tables(session).items() if rows},
        "rows": {section: [asdict(row) for row in rows] for section, rows in tables(session).items()},
        "samples": session.samples,
        "left out": session.failures,
    }


def cpu_model() -> str:
    """Return what Linux calls the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
