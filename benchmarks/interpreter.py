"""How fast is relenv's Python beside another one of the same version? Measured in one run, in turns.

    python benchmarks/interpreter.py [--python 3.11.2] [--peer /usr/bin/python3.11] [--quick]

- Benchmarks of the `pyperformance` project that need nothing but the standard library, fetched with pip.
- Throughput of zlib, lzma, bz2, sqlite3, hashlib and ssl.
- Start-up: wall and processor time and, where there is strace, system calls.

Method: both run the same number of loops, which is set once, on the peer, so that one value takes about a tenth of a
second. Every round starts a fresh process of each, in turns, with the same hash seed, on one processor; a process takes
three values, of processor time where it computes. Of all values the smallest counts: what else the machine does can
only add to it. `spread` is how far a program's rounds lie apart, as the median of (largest - smallest) / smallest over
the benchmarks. A ratio is the peer's time by ours: above 1 ours is faster. The last line of each table has the
geometric mean.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

WORKER = Path(__file__).with_name("interpreter_worker.py")
PYPERFORMANCE = "pyperformance==1.14.0"

SCRIPTS: tuple[tuple[str, ...], ...] = (
    *((name,) for name in ("async_generators", "barnes_hut", "base64", "chaos", "comprehensions", "coroutines")),
    *((name,) for name in ("decimal_factorial", "deepcopy", "deltablue", "fannkuch", "float", "generators", "go")),
    *((name,) for name in ("hexiom", "json_dumps", "json_loads", "mdp", "meteor_contest", "nbody", "nqueens")),
    *((name,) for name in ("pidigits", "pprint", "pyflate", "raytrace", "regex_compile", "regex_dna")),
    *((name,) for name in ("regex_effbot", "regex_v8", "richards", "scimark", "spectral_norm", "sqlite_synth")),
    *((name,) for name in ("telco", "typing_runtime_protocols", "unpack_sequence")),
    *(("logging", name) for name in ("silent", "simple", "format")),
    *(("pickle", name) for name in ("pickle", "unpickle", "pickle_list")),
    ("xml_etree", "--etree-module", "xml.etree.ElementTree"),
    ("async_tree", "none"),
)
"""Names of pyperformance's benchmarks, and their arguments."""
QUICK = ("deltablue", "float", "go", "json_loads", "nbody", "pickle", "pyflate", "regex_dna", "richards", "telco")

THROUGHPUT = ("zlib", "lzma", "bz2", "hashlib", "sqlite3", "ssl")
"""Functions of the worker's module."""

STARTS = {
    "-I -c pass": ("-I", "-c", "pass"),
    '-I -c "import asyncio, json, re, ssl"': ("-I", "-c", "import asyncio, json, re, ssl"),
}


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Two interpreters, and what they are measured with."""

    ours: Path
    peer: Path
    folder: Path
    rounds: int

    @property
    def sides(self) -> dict[str, Path]:
        """The interpreters by name."""
        return {"ours": self.ours, "peer": self.peer}


Times = dict[str, dict[str, list[float]]]
"""By benchmark, then by side: the smallest value of each round, in seconds."""


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.11.2", help="the version to measure; it is built if need be")
    parser.add_argument("--ours", type=Path, help="an interpreter in its place")
    parser.add_argument("--peer", type=Path, default=Path("/usr/bin/python3.11"), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", metavar="REGEX", help="benchmarks whose name matches")
    parser.add_argument("--quick", action="store_true", help="fewer benchmarks, two rounds: a first look")
    parser.add_argument("--json", type=Path, help="write every value there")
    args = parser.parse_args()
    if not args.peer.exists():
        parser.error(f"there is no {args.peer}: name another Python with --peer")
    ours = args.ours or built(args.python)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # of this process and all below it
    with tempfile.TemporaryDirectory(prefix="relenv-speed-") as name:
        contest = Contest(
            ours=ours, peer=args.peer, folder=Path(name), rounds=min(args.rounds, 2) if args.quick else args.rounds
        )
        introduce(contest)
        fetch(contest.folder)
        certificate(contest.folder)
        computed = compete(contest, [script for script in SCRIPTS if wanted(script[0], args)])
        tell("Benchmarks", computed)
        through = compete(contest, [("=" + name,) for name in THROUGHPUT if wanted(name, args)])
        tell("Throughput", through)
        started = start(contest, 10 if args.quick else 60) if not args.only else {}
    if args.json:
        args.json.write_text(json.dumps({**computed, **through, **started}, indent=1) + "\n")
    return 0


def wanted(name: str, args: argparse.Namespace) -> bool:
    """Tell whether the options ask for a benchmark."""
    if args.only:
        return re.search(args.only, name) is not None
    return not args.quick or name in QUICK or name in THROUGHPUT


def built(version: str) -> Path:
    """Return relenv's interpreter of a version."""
    command = [sys.executable, "-m", "relenv", "build", "--python", version]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip()) / "bin/python3"


def introduce(contest: Contest) -> None:
    """Print what is compared, and where."""
    code = "import sys; print(' '.join(sys.version.split()))"
    for side, python in contest.sides.items():
        said = subprocess.run([python, "-Ic", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        print(f"{side}: {said}")
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    print(f"on: {model[1] if model else platform.machine()}, {time.strftime('%Y-%m-%d')}, {contest.rounds} rounds")


def fetch(folder: Path) -> None:
    """Fetch pyperformance's wheel and unpack its benchmarks."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PYPERFORMANCE]
    subprocess.run([*command, "--disable-pip-version-check"], check=True, stderr=subprocess.DEVNULL)
    (wheel,) = folder.glob("pyperformance-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


def certificate(folder: Path) -> None:
    """Make a key and a certificate for the TLS benchmark."""
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-days", "2"]
    made = [*command, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(made, check=True, capture_output=True)


def compete(contest: Contest, scripts: list[tuple[str, ...]]) -> Times:
    """Run each script in rounds, and return the times."""
    times: Times = defaultdict(lambda: {"ours": [], "peer": []})
    for number, script in enumerate(scripts, start=1):
        loops = work(contest, "peer", script, {}, seed=0)
        for turn in range(contest.rounds):
            for side in ("peer", "ours") if turn % 2 == 0 else ("ours", "peer"):
                for name, seconds in work(contest, side, script, loops, seed=turn).items():
                    times[name][side].append(seconds)
        if sys.stderr.isatty():
            print(f"\r\033[K{number}/{len(scripts)} {' '.join(script)}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return dict(times)


def work(
    contest: Contest, side: str, script: tuple[str, ...], loops: dict[str, float], *, seed: int
) -> dict[str, float]:
    """Run a script in a fresh process.

    Args:
        contest: the interpreters.
        side: which of them.
        script: its name and arguments.
        loops: how many of each of its benchmarks; empty to find out.
        seed: of the hashes.

    Returns:
        For each of its benchmarks the seconds or, when `loops` was empty, the loops.
    """
    env = {"PATH": os.defpath, "HOME": str(contest.folder), "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": str(seed)}
    command = [contest.sides[side], "-s", "-P", WORKER, contest.folder, json.dumps(loops), *script]
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def tell(title: str, times: Times) -> None:
    """Print a table."""
    if not times:
        return
    print(f"\n### {title}\n\n| | ours ms | peer ms | ratio |\n|---|---|---|---|")
    ratios = []
    for name, sides in sorted(times.items()):
        ours, peer = min(sides["ours"]), min(sides["peer"])
        ratios.append(peer / ours)
        print(f"| {name} | {ours * 1e3:.4g} | {peer * 1e3:.4g} | {peer / ours:.3f} |")
    print(f"| **geometric mean of {len(ratios)}** | | | **{math.exp(statistics.mean(map(math.log, ratios))):.3f}** |")
    spreads = [spread(sides[side]) for sides in times.values() for side in sides]
    print(f"\nspread: {statistics.median(spreads):.1%}", flush=True)


def spread(values: list[float]) -> float:
    """Return how far values lie apart."""
    return (max(values) - min(values)) / min(values)


def start(contest: Contest, times: int) -> Times:
    """Start both in turns, print what it takes, and return the wall times."""
    print("\n### Start-up\n\n| | | ours | peer | ratio |\n|---|---|---|---|---|")
    found: Times = {}
    for label, options in STARTS.items():
        walls: dict[str, list[float]] = {"ours": [], "peer": []}
        used: dict[str, list[float]] = {"ours": [], "peer": []}
        for turn in range(times):
            for side in ("peer", "ours") if turn % 2 == 0 else ("ours", "peer"):
                wall, cpu = once(contest.sides[side], options)
                walls[side].append(wall)
                used[side].append(cpu)
        found[label] = walls
        for what, values in (("wall", walls), ("processor", used)):
            for kind, pick in (("min", min), ("median", statistics.median)):
                ours, peer = pick(values["ours"]) * 1e3, pick(values["peer"]) * 1e3
                print(f"| `{label}` | {what}, {kind}, ms | {ours:.2f} | {peer:.2f} | {peer / ours:.2f} |")
        if shutil.which("strace"):
            ours, peer = (calls(contest, side, options) for side in ("ours", "peer"))
            print(f"| `{label}` | system calls | {ours} | {peer} | {peer / ours:.2f} |")
    return found


def once(python: Path, options: tuple[str, ...]) -> tuple[float, float]:
    """Start a program and return wall time and processor time, in seconds."""
    begun = time.perf_counter()
    pid = os.posix_spawn(python, [os.fspath(python), *options], {"PATH": os.defpath})
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begun
    if status:
        raise SystemExit(f"{python} {' '.join(options)} failed")
    return wall, usage.ru_utime + usage.ru_stime


def calls(contest: Contest, side: str, options: tuple[str, ...]) -> int:
    """Return the number of system calls of a start."""
    log = contest.folder / "strace.log"
    command = ["strace", "-f", "-o", log, contest.sides[side], *options]
    subprocess.run(command, check=True, env={"PATH": os.environ["PATH"]})
    return sum("(" in line for line in log.read_text(errors="replace").splitlines())


if __name__ == "__main__":
    sys.exit(main())
