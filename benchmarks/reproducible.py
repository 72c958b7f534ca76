"""Is an interpreter the same, byte for byte, wherever and by whomever it is built? Builds several times and compares.

    python benchmarks/reproducible.py [--python 3.13] [--chroot DIR]

Each build starts from an empty store, in a directory of its own, and differs from the others in user (with root),
umask, locale, time zone, niceness, host name and clock (where `unshare` and `faketime` work), number of jobs and PATH,
which is turned around behind a directory of compilers that fail. What could be made to differ is in a build's name.
`--chroot DIR` adds one in the root directory of another distribution, as `debootstrap trixie DIR` makes it, which has
python3 with venv, make and perl. Sources and toolchains come from the cache; RELENV_TOOLCHAIN chooses, as ever. Exit
code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
NOBODY = 65534
CHOSEN = {name: value for name, value in os.environ.items() if name == "RELENV_TOOLCHAIN"}
DECOYS = ("gcc", "cc", "g++", "c++", "cpp", "ld", "as", "ar", "strip", "pkg-config", "cmake", "tclsh")
"""Programs of a machine that no build may use: those in PATH fail."""
TWISTS = {
    "host name": ("unshare", "-u", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"),
    "clock": ("faketime", "2031-02-03 04:05:06"),
}
"""What differs if a command is started so; not everywhere can it be."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """One way to build."""

    name: str
    place: str
    """Directory below the work directory."""
    jobs: int
    umask: int
    env: dict[str, str] = field(default_factory=dict)
    start: tuple[str, ...] = ()
    """What relenv is started with."""
    user: int | None = None


def main() -> int:
    """Build, compare, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.13")
    parser.add_argument("--chroot", type=Path, metavar="DIR", help="the root of another distribution")
    parser.add_argument("--work", type=Path, help="where to build (default: a temporary directory)")
    args = parser.parse_args()
    relenv = [sys.executable, "-m", "relenv", "build", "--python", args.python]
    subprocess.run([*relenv, "--download-only", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="relenv-same-", dir=args.work) as name:
        work = Path(name)
        work.chmod(0o755)
        python = installed(work)
        made = {build.name: run(build, python, work, args.python) for build in builds(decoys(work / "decoys"))}
        if args.chroot:
            made[f"in {args.chroot.name}"] = run_inside(args.chroot, args.python)
        return compare(made)


def builds(first: Path) -> list[Build]:
    """Return the ways to build that this machine allows; in one, PATH begins with a directory."""
    root = os.geteuid() == 0
    twists = {name: words for name, words in TWISTS.items() if works(*words, "true")}
    differs = [*(["user"] if root else []), *twists, "umask 077", "-j5", "Kolkata", "Turkish", "PATH"]
    path = os.pathsep.join([str(first), *reversed(os.environ["PATH"].split(os.pathsep))])
    env = {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kolkata", "CFLAGS": "-O0", "HOME": "/"}
    return [
        Build(name="plain", place="a", jobs=2, umask=0o022),
        Build(
            name=f"elsewhere: {', '.join(differs)}",
            place="b/a much longer path/than.the-other".replace(" ", "_"),
            jobs=5,
            umask=0o077,
            env={**env, "PATH": path},
            start=("nice", "-n", "19", *(word for words in twists.values() for word in words)),
            user=NOBODY if root else None,
        ),
    ]


def works(*command: str) -> bool:
    """Tell whether a command can be run here and ends well."""
    return bool(shutil.which(command[0])) and subprocess.run(command, check=False, capture_output=True).returncode == 0


def decoys(folder: Path) -> Path:
    """Fill a directory with programs that fail, and return it."""
    folder.mkdir()
    for name in DECOYS:
        (folder / name).write_text(f"#!/bin/sh\necho '{name} of the machine was run' >&2\nexit 1\n")
        (folder / name).chmod(0o755)
    folder.chmod(0o755)
    return folder


def installed(work: Path) -> Path:
    """Install the checkout where every user can run it, and return that Python."""
    python = next(path for path in ("/usr/bin/python3", sys.executable) if Path(path).exists())
    subprocess.run([python, "-m", "venv", work / "venv"], check=True)
    subprocess.run([work / "venv/bin/pip", "install", "-q", CHECKOUT], check=True, stderr=subprocess.DEVNULL)
    return work / "venv/bin/python3"


def provisions() -> Path:
    """Return the user's cache."""
    code = "import os; from relenv.context import Context; print(Context(environ=os.environ, ui=None, jobs=1).data)"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def prepare(data: Path, user: int | None) -> None:
    """Lay sources and the toolchains into an otherwise empty cache."""
    data.mkdir(parents=True)
    cache = provisions()
    built = [path.relative_to(cache) for path in cache.glob("store/gcc-*")]
    for name in ("relenv-cache.json", "toolchains", "downloads", "resolved", *built):
        source = cache / name
        shutil.copytree(source, data / name, symlinks=True) if source.is_dir() else shutil.copy2(source, data)
    if user is not None:
        for path in (data, *data.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)


def run(build: Build, python: Path, work: Path, version: str) -> Path:
    """Build one way and return the tarball."""
    place = work / build.place
    place.mkdir(parents=True)
    place.chmod(0o777)
    prepare(place / "data", build.user)
    env = {"PATH": os.environ["PATH"], "RELENV_DATA": str(place / "data"), **CHOSEN, **build.env}
    command = [*build.start]
    if build.user is not None:
        command += ["setpriv", "--reuid", str(build.user), "--regid", str(build.user), "--clear-groups"]
    command += [str(python), "-P", "-m", "relenv", "build", "--python", version, "--quiet"]
    command += ["--jobs", str(build.jobs), "--json", "--output", str(place / "dist")]
    return finish(command, build.name, env=env, umask=build.umask, cwd=place)


def run_inside(root: Path, version: str) -> Path:
    """Build in the root of another distribution and return the tarball."""
    with tempfile.TemporaryDirectory(prefix="relenv-same-", dir=root / "tmp") as name:
        place, seen = Path(name), Path("/") / Path(name).relative_to(root)
        prepare(place / "data", None)
        asked = ["chroot", root, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        python = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        pip, wheels = [sys.executable, "-m", "pip"], place / "wheels"
        subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", wheels, CHECKOUT], check=True)
        (wheel,) = wheels.iterdir()
        foreign = ["--only-binary", ":all:", "--python-version", python]
        subprocess.run([*pip, "download", "-q", *foreign, "-d", wheels, wheel], check=True)
        script = (
            f"python3 -m venv {seen}/venv; "
            f"{seen}/venv/bin/pip install -q --no-index --find-links {seen}/wheels relenv; "
            f"exec {seen}/venv/bin/relenv build --python {version} --quiet --json --output {seen}/dist"
        )
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "RELENV_DATA": f"{seen}/data", **CHOSEN}
        packed = finish(["chroot", str(root), "sh", "-ec", script], f"in {root.name}", env=env, umask=0o022, cwd=root)
        kept = root / "tmp" / packed.name
        return Path(shutil.copy2(root / packed.relative_to("/"), kept))


def finish(command: list[str], name: str, *, env: dict[str, str], umask: int, cwd: Path) -> Path:
    """Run a build, say how long it took, and return the tarball that it names."""
    begun = time.monotonic()
    done = subprocess.run(command, env=env, umask=umask, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True)
    said = json.loads(done.stdout)
    print(f"{said['sha256']}  {name} ({time.monotonic() - begun:.0f} s)", flush=True)
    return Path(said["tarball"])


def compare(made: dict[str, Path]) -> int:
    """Print the checksum of each, and what is different; return the exit code."""
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in made.items()}
    if len(set(sums.values())) == 1:
        print("the same, byte for byte")
        return 0
    (first, reference), *others = made.items()
    for name, path in others:
        ours, theirs = members(reference), members(path)
        for member in sorted(set(ours) | set(theirs)):
            if ours.get(member) != theirs.get(member):
                print(f"{member}: {first} and {name} differ")
    return 1


def members(path: Path) -> dict[str, tuple[int, int, str]]:
    """Return type, mode and content of each member of a tarball."""
    found = {}
    with tarfile.open(path) as tar:
        for member in tar:
            data = tar.extractfile(member) if member.isreg() else None
            content = hashlib.sha256(data.read()).hexdigest() if data else member.linkname
            found[member.name] = (int(member.type), member.mode, content)
    return found


if __name__ == "__main__":
    sys.exit(main())
