"""What it costs that a script finds its interpreter beside itself: `python benchmarks/scripts.py`.

A console script that pip installed into an environment is started in four ways, in turn, `--runs` times each, with an
empty process environment: by its interpreter's path, which needs no search; by itself; through a symbolic link from
elsewhere; and with the header that `uv venv --relocatable` writes, in the same environment. `--limit` makes the exit
code 1 if the median of the second is more than so many milliseconds above that of the first.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UV = """#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python3' "$0" "$@"
' '''
"""
"""Of uv 0.13."""
ONE = """\
from setuptools import setup
setup(name="one", version="1.0", py_modules=["one"], entry_points={"console_scripts": ["one = one:main"]})
"""


def lay_out(folder: Path) -> Path:
    """Return an environment with a console script `one` that does nothing."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "relenv", "create", "-q", environment], check=True, stdout=subprocess.DEVNULL)
    project = folder / "project"
    project.mkdir()
    (project / "setup.py").write_text(ONE)
    (project / "one.py").write_text("def main():\n    pass\n")
    subprocess.run([environment / "bin/pip3", "install", "-q", "--root-user-action", "ignore", project], check=True)
    script = environment / "bin/one"
    body = script.read_text().rpartition("'''")[2].partition("\n")[2]
    (environment / "bin/uv").write_text(UV + body)
    (environment / "bin/uv").chmod(0o755)
    (folder / "link").symlink_to(script)
    return environment


def started(command: list[str]) -> float:
    """Run a command and return how long it took, in milliseconds."""
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, {})
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return (time.perf_counter() - began) * 1000


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100, help="of each kind (default: 100)")
    parser.add_argument("--limit", type=float, help="milliseconds that a script may cost")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = lay_out(Path(folder))
        programs = environment / "bin"
        kinds = {
            "bin/python3 -I bin/one": [str(programs / "python3"), "-I", str(programs / "one")],
            "bin/one": [str(programs / "one")],
            "bin/one through a link": [f"{folder}/link"],
            "the header of uv venv --relocatable": [str(programs / "uv")],
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(args.runs + 3):
            for kind, command in kinds.items():
                times[kind].append(started(command))
    medians = {kind: statistics.median(some[3:]) for kind, some in times.items()}
    direct = next(iter(medians.values()))
    print(f"/bin/sh is {Path('/bin/sh').resolve()}, {args.runs} runs each\n")
    print("| started as | median ms | min ms | above the first, ms |\n|---|---|---|---|")
    for kind, median in medians.items():
        print(f"| `{kind}` | {median:.2f} | {min(times[kind][3:]):.2f} | {median - direct:+.2f} |")
    return int(args.limit is not None and medians["bin/one"] - direct > args.limit)


if __name__ == "__main__":
    sys.exit(main())
