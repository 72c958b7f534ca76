"""CPython's own test suite against an interpreter of relenv's, and against a peer of the same version beside it.

    python tests/cpython/run.py --python 3.11.2 --peer /usr/bin/python3.11

The suite comes from the source that the interpreter was built from, and is laid into a copy of it; for the peer it is
mounted over its own `test` package, where the peer's stays as it is (which takes root). Everything runs as an
unprivileged user. A test that fails must be named, with a reason, in expected-failures.toml; one that is named there
and passes is named too. The exit code is 1 when a test fails that is not expected to, or that the peer passes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
NOBODY = 65534
RESOURCES = "all,-network,-urlfetch,-largefile,-audio,-gui,-cpu,-walltime"
"""What a machine without a network, a sound card and a screen can have tested in some minutes."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.11.2", help="the version to test; it is built if need be")
    parser.add_argument("--peer", type=Path, help="another interpreter of that version, such as /usr/bin/python3.11")
    parser.add_argument("--jobs", "-j", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, help="write what failed there")
    parser.add_argument("tests", nargs="*", help="only these, such as test_ssl")
    args = parser.parse_args()
    built = json.loads(relenv("build", "--python", args.python, "--json"))
    source = Path(relenv("build", "--python", args.python, "--download-only").splitlines()[-1])
    with tempfile.TemporaryDirectory(prefix="relenv-cpython-") as name:
        work = Path(name)
        work.chmod(0o755)
        suite = unpack(source, work)
        failed = {"ours": run(ours(Path(built["path"]), suite, work), work / "ours.log", args)}
        if args.peer:
            failed["peer"] = run(theirs(args.peer, suite), work / "peer.log", args)
    if args.json:
        args.json.write_text(json.dumps({key: sorted(names) for key, names in failed.items()}, indent=1) + "\n")
    return judge(args, failed)


def relenv(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "relenv", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def unpack(source: Path, work: Path) -> Path:
    """Unpack the suite, `Lib/test` of a source tarball, and return its place."""
    with tarfile.open(source) as tar:
        members = [member for member in tar if re.match(r"[^/]+/Lib/(test|\w+/test)/", member.name)]
        tar.extractall(work / "source", members=members, filter="data")
    (top,) = (work / "source").iterdir()
    return top / "Lib"


def ours(interpreter: Path, suite: Path, work: Path) -> list[str]:
    """Return how a copy of the interpreter, with the suite in it, is started."""
    copy = shutil.copytree(interpreter, work / "python", symlinks=True)
    (library,) = copy.glob("lib/python3.*")
    for folder in (suite / "test", *suite.glob("*/test")):
        shutil.copytree(folder, library / folder.relative_to(suite), dirs_exist_ok=True)
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
    command = [*start, "-m", "test", "-w", f"-j{args.jobs}", f"-u{RESOURCES}", "--timeout=900", *args.tests]
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 and len(start) == 1 else {}
    with log.open("w") as out:
        subprocess.run(command, cwd=home, env=env, stdout=out, stderr=subprocess.STDOUT, check=False, **as_nobody)
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
