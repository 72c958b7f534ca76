"""Do the packages that everybody uses work in an environment that was moved? `python benchmarks/packages.py`.

The packages of packages.txt are installed from their wheels, a group at a time, with the environment's own pip. The
environment is moved to a path with a blank and a letter outside ASCII. Then every top-level module of everything that
was installed is imported, and every console script started with --help, or --version if it does not know that: each in
a process of its own, in an empty directory, with an empty home. The same is done in a virtual environment of `--peer`,
which is not moved. What fails in the one is shown beside what it does in the other.

The exit code is 1 if something fails in the environment that does not fail in the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("packages.txt")
PLACE = "söme where else"
TIMEOUT = 120
"""Seconds that a module or a script may take."""
INSTALL = ("install", "-q", "--only-binary", ":all:", "--disable-pip-version-check", "--root-user-action", "ignore")

LOOK = """\
import json, sys
from importlib.metadata import distributions
modules, scripts = {}, {}
for distribution in distributions(path=[sys.argv[1]]):
    name = distribution.metadata["Name"]
    listed = distribution.read_text("top_level.txt")
    top = set(listed.split()) if listed else {
        path.parts[0].removesuffix(".py").partition(".")[0]
        for path in distribution.files or ()
        if path.suffix in (".py", ".so") and (len(path.parts) == 1 or path.parts[1].startswith("__init__."))
    }
    modules |= {module: name for module in top if module.isidentifier()}
    scripts |= {
        entry.name: name
        for entry in distribution.entry_points
        # pip's own metadata name the Python that its wheel was made with, whatever is installed: pip3.10
        if entry.group == "console_scripts" and not entry.name.startswith("pip3.")
    }
print(json.dumps([modules, scripts]))
"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a module or script fared."""

    package: str
    error: str
    """The last line that it wrote; empty if all was well."""


def groups() -> list[list[str]]:
    """Return the packages, by environment."""
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [block.split() for block in "\n".join(lines).split("\n\n") if block.split()]


def run(command: list[str | Path], home: Path) -> str:
    """Run a command; return the last line that it wrote if it failed."""
    env = {"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8", "TMPDIR": str(home)}
    try:
        done = subprocess.run(
            [*map(str, command)],
            cwd=home,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done after {TIMEOUT} s"
    except OSError as error:
        return str(error.strerror)
    if done.returncode == 0:
        return ""
    lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return (lines[-1] if lines else "")[:160] or f"exit code {done.returncode}"


def try_all(python: Path, options: list[str], home: Path, jobs: int) -> dict[str, Result]:
    """Import every module and start every script; return how each fared."""
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    found = subprocess.run([python, *options, "-c", LOOK, site], capture_output=True, text=True, check=True).stdout
    modules, scripts = json.loads(found)

    def module(name: str) -> tuple[str, Result]:
        return f"import {name}", Result(
            package=modules[name], error=run([python, *options, "-c", f"import {name}"], home)
        )

    def script(name: str) -> tuple[str, Result]:
        program = python.parent / name
        error = run([program, "--help"], home)
        if error and not run([program, "--version"], home):
            error = ""
        return f"{name} --help", Result(package=scripts[name], error=error)

    with ThreadPoolExecutor(jobs) as pool:
        return dict([*pool.map(module, sorted(modules)), *pool.map(script, sorted(scripts))])


def ours(packages: list[str], folder: Path, version: str) -> Path:
    """Return the interpreter of an environment with some packages, moved."""
    root = folder / "environment"
    create = [sys.executable, "-m", "relenv", "create", "-q", *(["--python", version] if version else []), root]
    subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([root / "bin/pip3", *INSTALL, *packages], check=True)
    (folder / PLACE).mkdir()
    return root.rename(folder / PLACE / "environment") / "bin/python3"


def theirs(packages: list[str], folder: Path, peer: str) -> Path:
    """Return the interpreter of a virtual environment with the same."""
    root = folder / "venv"
    subprocess.run([peer, "-m", "venv", root], check=True)
    subprocess.run([root / "bin/pip", *INSTALL, *packages], check=True)
    return root / "bin/python3"


def failing_only(these: dict[str, Result], those: dict[str, Result]) -> list[str]:
    """Return what fails among these and not, or not there, among those."""
    return [name for name, one in these.items() if one.error and not (name in those and those[name].error)]


def main() -> int:
    """Try both, and print what fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", default="", help="of the environment: 3.11.2 (default: relenv's)")
    parser.add_argument("--peer", default="/usr/bin/python3", help="a Python with venv (default: /usr/bin/python3)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="at a time (default: cores)")
    args = parser.parse_args()
    mine: dict[str, Result] = {}
    other: dict[str, Result] = {}
    began = time.monotonic()
    for number, packages in enumerate(groups()):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "home").mkdir()
            for results, python, options in (
                (mine, ours(packages, folder, args.python), ["-I"]),
                (other, theirs(packages, folder, args.peer), []),
            ):
                found = try_all(python, options, folder / "home", args.jobs)
                results |= {f"{key} ({number + 1})" if key in results else key: one for key, one in found.items()}
                shutil.rmtree(python.parents[1])
    failed = {name: one for name, one in mine.items() if one.error}
    worse = failing_only(mine, other)
    print(f"{sum(map(len, groups()))} packages and what they need, {time.monotonic() - began:.0f} s\n")
    print("| | modules imported | scripts started | fail | fail only there |\n|---|---|---|---|---|")
    for what, results, others in (("environment, moved", mine, other), (f"venv of {args.peer}", other, mine)):
        scripts = sum(name.endswith(" --help") for name in results)
        bad = sum(bool(one.error) for one in results.values())
        only = len(failing_only(results, others))
        print(f"| {what} | {len(results) - scripts} | {scripts} | {bad} | {only} |")
    if failed:
        print("\n| what fails | of | in the environment, moved | in the peer's venv |\n|---|---|---|---|")
    for name, one in failed.items():
        there = other[name].error or "works" if name in other else "not there"
        print(f"| `{name}` | {one.package} | {one.error.replace('|', '/')} | {there.replace('|', '/')} |")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
