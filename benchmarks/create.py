"""How long a bare environment takes, its interpreter being in the cache: `python benchmarks/create.py`.

`relenv create` copies a whole Python; beside it what is made of the same interpreter in its place: a plain copy by
cp(1), and virtual environments, which are links to a Python that has to stay: those of venv, with pip and without, and
of uv and virtualenv where these are in PATH. Runs of all alternate; wall time is that of the whole process. `--limit`
makes the exit code 1 if the median of `relenv create` is above so many seconds.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def commands(interpreter: Path, target: str) -> dict[str, list[str]]:
    """Return what is measured, by what it is called in the table."""
    python = str(interpreter / "bin/python3")
    found = {
        "relenv create": [sys.executable, "-m", "relenv", "create", "-q", target],
        "cp -a": ["cp", "-a", str(interpreter), target],
        "python -m venv": [python, "-I", "-m", "venv", target],
        "python -m venv --without-pip": [python, "-I", "-m", "venv", "--without-pip", target],
    }
    if virtualenv := shutil.which("virtualenv"):
        found["virtualenv"] = [virtualenv, "-q", "-p", python, target]
    if uv := shutil.which("uv"):
        found["uv venv"] = [uv, "venv", "-q", "-p", python, target]
    return found


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=15, help="of each (default: 15)")
    parser.add_argument("--limit", type=float, help="seconds that `relenv create` may take")
    parser.add_argument(
        "--in", dest="place", help="a directory on the file system to measure (default: a temporary one)"
    )
    args = parser.parse_args()
    build = [sys.executable, "-m", "relenv", "build", "-q"]
    interpreter = Path(subprocess.run(build, capture_output=True, text=True, check=True).stdout.strip())
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=args.place) as folder:
        for number in range(args.runs + 1):
            for what, command in commands(interpreter, f"{folder}/{number}-").items():
                command[-1] += what.replace(" ", "-")
                began = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                if number:  # the first fills the caches
                    times.setdefault(what, []).append(time.perf_counter() - began)
                # removed at the end, all together: ext4 takes its time before it uses again what was just freed
    ours = statistics.median(times["relenv create"])
    print("| | min s | median s | max s | ratio of medians |\n|---|---|---|---|---|")
    for what, some in times.items():
        median = statistics.median(some)
        print(f"| `{what}` | {min(some):.2f} | {median:.2f} | {max(some):.2f} | {median / ours:.2f} |")
    return int(args.limit is not None and ours > args.limit)


if __name__ == "__main__":
    sys.exit(main())
