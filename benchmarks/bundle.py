"""How long `relenv bundle` takes and how much memory, once its interpreter is cached: `python benchmarks/bundle.py`.

Each project is bundled `--runs` times after one run that fills the caches. `--peer` measures beside it what comes
nearest, PyInstaller's onedir of the first project, from a virtual environment with its dependencies on the Python
that runs this script; runs of the two alternate, and PyInstaller starts clean each time. Wall time is that of the
whole process, memory the largest sum of resident sizes of the process and all its descendants, looked at every
100 ms.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = os.sysconf("SC_PAGE_SIZE")


def descendants(pid: int) -> set[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, queue = set(), [pid]
    while queue:
        pid = queue.pop()
        found.add(pid)
        queue += children.get(pid, [])
    return found


def resident(pid: int) -> int:
    """Return the resident size of a process in bytes, 0 if it has gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def measure(command: list[str], cwd: Path, env: dict[str, str]) -> tuple[float, int]:
    """Run a command; return its wall time in seconds and its peak memory in bytes."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    ended = os.pidfd_open(process.pid)
    while not select.select([ended], [], [], 0.1)[0]:
        peak = max(peak, sum(resident(pid) for pid in descendants(process.pid)))
    took = time.perf_counter() - began
    os.close(ended)
    if process.wait():
        sys.exit(f"failed ({process.returncode}): {' '.join(command)}")
    return took, peak


def contenders(projects: list[Path], work: Path, *, peer: bool) -> dict[str, list[str]]:
    """Return what to run, by name."""
    found = {
        f"relenv bundle {project.name}": [
            *(sys.executable, "-m", "relenv", "bundle", "--quiet", str(project)),
            *("--output", str(work / f"{project.name}.zip")),
        ]
        for project in projects
    }
    if peer:
        venv = work / "venv"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "-q", "pyinstaller", projects[0]], check=True)
        scripts = sorted(path for path in (venv / "bin").iterdir() if projects[0].name in path.name and path.is_file())
        found[f"PyInstaller onedir {projects[0].name}"] = [
            *(str(venv / "bin/pyinstaller"), "--onedir", "--clean", "--noconfirm", "--log-level", "ERROR"),
            *("--distpath", str(work / "dist"), "--workpath", str(work / "build"), "--specpath", str(work)),
            str(scripts[0]),
        ]
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="*", type=Path, default=[ROOT / "examples/sitewatch"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer", action="store_true", help="measure PyInstaller beside it")
    args = parser.parse_args()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        commands = contenders([path.resolve() for path in args.projects], work, peer=args.peer)
        results: dict[str, list[tuple[float, int]]] = {name: [] for name in commands}
        for name, command in commands.items():
            print(f"warming up: {name}", file=sys.stderr)
            measure(command, work, env)
        for _ in range(args.runs):
            for name, command in commands.items():
                for made in work.glob("*.zip"):
                    made.unlink()  # what is there and unchanged is not made again
                results[name].append(measure(command, work, env))
    first = statistics.median(wall for wall, _ in next(iter(results.values())))
    print(f"{'':40} {'min s':>7} {'median':>7} {'max':>7} {'ratio':>6} {'peak MB':>8}")
    for name, runs in results.items():
        walls = sorted(wall for wall, _ in runs)
        median = statistics.median(walls)
        peak = max(memory for _, memory in runs) / 1e6
        print(f"{name:40} {walls[0]:7.2f} {median:7.2f} {walls[-1]:7.2f} {median / first:6.2f} {peak:8.0f}")


if __name__ == "__main__":
    main()
