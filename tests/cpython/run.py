"""CPython's own test suite against an interpreter of relenv's, and against a peer of the same version beside it.

    python tests/cpython/run.py --python 3.11.2 --peer /usr/bin/python3.11

The suite comes from the source that the interpreter was built from, and is laid into a copy of it, together with the
extension modules that only tests need, of a second build; for the peer it is mounted over its own `test` package
(which takes root). Everything runs as an unprivileged user. A test that fails must be named, with a reason, in
expected-failures.toml; one that is named there and passes is named too. The exit code is 1 when a test fails that is
not expected to, or that the peer passes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.build import build
from relenv.context import Context
from relenv.interpreter import Wanted, build_interpreter, releases_for, resolve_plan
from relenv.recipes.cpython import recipe_for
from relenv.ui import open_ui

if TYPE_CHECKING:
    from relenv.recipes.model import Recipe

HERE = Path(__file__).parent
NOBODY = 65534
LEFT_OUT = {"network", "urlfetch", "largefile", "audio", "gui", "cpu", "walltime"}
"""Resources that a machine without a network, a sound card and a screen lacks, or that take long."""


def _with_tests(recipe: Recipe, toolchain: str) -> Recipe:
    return recipe_for(recipe.source, toolchain, tests=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.11.2", help="the version to test; it is built if need be")
    parser.add_argument("--peer", type=Path, help="another interpreter of that version, such as /usr/bin/python3.11")
    parser.add_argument("--jobs", "-j", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, help="write what failed there")
    parser.add_argument("--logs", type=Path, help="keep what the suite printed in this directory")
    parser.add_argument("tests", nargs="*", help="only these, such as test_ssl")
    args = parser.parse_args()
    # a shell lets what runs in its background ignore it, and it is what many tests are about
    signal.signal(signal.SIGINT, signal.default_int_handler)
    context = Context(environ=os.environ, ui=open_ui(), jobs=args.jobs)
    releases = releases_for(Wanted(python=args.python))
    interpreter = build_interpreter(context, releases)
    plan = resolve_plan(context, releases, aim_of=_with_tests)
    tested = build(plan, context.workshop())[plan.aim.name].path
    source = context.sources.obtain(plan.aim.recipe.source).path
    with tempfile.TemporaryDirectory(prefix="relenv-cpython-") as name:
        work = Path(name)
        work.chmod(0o755)
        suite = unpack(source, work)
        args.resources = resources(suite)
        failed = {"ours": run(ours(interpreter.root, tested, suite, work), work / "ours.log", args)}
        if args.peer:
            failed["peer"] = run(theirs(args.peer, suite), work / "peer.log", args)
    if args.json:
        args.json.write_text(json.dumps({key: sorted(names) for key, names in failed.items()}, indent=1) + "\n")
    return judge(args, failed)


def unpack(source: Path, work: Path) -> Path:
    """Unpack the suite, `Lib/test` of a source tarball, and return its place."""
    with tarfile.open(source) as tar:
        members = [member for member in tar if re.match(r"[^/]+/Lib/(test|\w+/tests?)/", member.name)]
        tar.extractall(work / "source", members=members, filter="data")
    (top,) = (work / "source").iterdir()
    return top / "Lib"


def resources(suite: Path) -> str:
    """Return the option that names what the suite may use; which there are depends on the release."""
    text = (suite / "test/libregrtest/cmdline.py").read_text(encoding="utf-8")
    return "-u" + ",".join(["all", *(f"-{name}" for name in sorted(LEFT_OUT) if f"'{name}'" in text)])


def ours(interpreter: Path, tested: Path, suite: Path, work: Path) -> list[str]:
    """Return how a copy of the interpreter, with the suite and its modules in it, is started."""
    copy = shutil.copytree(interpreter, work / "python", symlinks=True)
    (library,) = copy.glob("lib/python3.*")
    for folder in (suite / "test", *suite.glob("*/test"), *suite.glob("*/tests")):
        # of packages that are not there, as tkinter, the tests would make some
        if (library / folder.parent.relative_to(suite)).is_dir():
            shutil.copytree(folder, library / folder.relative_to(suite), dirs_exist_ok=True)
    have = {path.name for path in (library / "lib-dynload").iterdir()}
    for path in tested.glob("lib/python3.*/lib-dynload/*.so"):
        if path.name not in have:
            shutil.copy(path, library / "lib-dynload")
    (data,) = library.glob("_sysconfigdata_*.py")
    # by this the suite tells whether it has those modules; without them it leaves out test_capi
    data.write_text(re.sub(r"('TEST_MODULES': )'no'", r"\1'yes'", data.read_text()))
    for compiled in library.glob(f"__pycache__/{data.stem}.*.pyc"):
        compiled.unlink()
    for folder, _, _ in os.walk(copy):
        Path(folder).chmod(0o755)
    return [str(copy / "bin/python3")]


def theirs(peer: Path, suite: Path) -> list[str]:
    """Return how the peer is started with the suite mounted over its own, in a mount namespace of its own."""
    code = "import os, sysconfig; print(sysconfig.get_path('stdlib'))"
    library = subprocess.run([peer, "-Ic", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    script = (
        f'mount --bind "$1" {library}/test; shift; exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$@"'
    )
    return ["unshare", "-m", "sh", "-ec", script, "sh", str(suite / "test"), str(peer)]


def run(start: list[str], log: Path, args: argparse.Namespace) -> set[str]:
    """Run the suite and return the names of the tests that failed, each tried twice."""
    home = log.with_suffix("")
    home.mkdir()
    home.chmod(0o777)
    env = {"PATH": os.defpath, "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8"}
    command = [*start, "-m", "test", "-w", f"-j{args.jobs}", args.resources, "--timeout=900", *args.tests]
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 and len(start) == 1 else {}
    with log.open("w") as out:
        subprocess.run(command, cwd=home, env=env, stdout=out, stderr=subprocess.STDOUT, check=False, **as_nobody)
    if args.logs:
        args.logs.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, args.logs)
    text = log.read_text(errors="replace")
    print(f"== {start[-1]}", *text.strip().splitlines()[-25:], sep="\n")
    if not re.search(r"^(Tests? r|R)esult: ", text, re.MULTILINE | re.IGNORECASE):
        raise SystemExit(f"the suite did not run to its end: {' '.join(command)}")
    return failures(text)


def failures(text: str) -> set[str]:
    """Return what a log of the suite calls failed, at the end: after the failed ones were run a second time."""
    last = text.rpartition("== Tests result: ")[0] if text.count("== Tests result: ") > 1 else ""
    found: set[str] = set()
    for block in re.findall(r"^\d+ tests? failed:\n((?:    .*\n)+)", text[len(last) :], re.MULTILINE):
        found = set(block.split())
    return found


def judge(args: argparse.Namespace, failed: dict[str, set[str]]) -> int:
    """Hold what failed against what is expected to, and against the peer; print it; return the exit code."""
    expected = tomllib.loads((HERE / "expected-failures.toml").read_text(encoding="utf-8"))
    series = ".".join(args.python.split(".")[:2])
    reasons = {name: entry["reason"] for name, entry in expected.items() if series in entry["python"]}
    surprises = failed["ours"] - set(reasons)
    only_ours = failed["ours"] - failed["peer"] if "peer" in failed else set()
    print(f"\nfailed: {len(failed['ours'])}" + (f", peer: {len(failed['peer'])}" if "peer" in failed else ""))
    for name in sorted(failed["ours"]):
        also = " (the peer's too)" if name in failed.get("peer", ()) else ""
        print(f"  {name}{also}: {reasons.get(name, 'NOT EXPECTED')}")
    for name in sorted(set(reasons) - failed["ours"]) if not args.tests else ():
        print(f"  {name} is expected to fail, and passed")
    unexplained = surprises | {name for name in only_ours if name not in reasons}
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
