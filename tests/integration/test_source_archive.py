"""The source archive through the apt that is here: the machine's own, and small ones made for the purpose."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

import relenv
from relenv import apt
from relenv.apt import SourceArchive, machine_entries
from relenv.errors import SourceError
from relenv.recipes.model import AptPackage, Source
from relenv.store import open_cache
from relenv.ui import PlainUi

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt-get here")

ZLIB = Source(
    version="1.3.1",
    filename="zlib_1.3.dfsg+really1.3.1.orig.tar.gz",
    sha256="60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb",
    apt=AptPackage(name="zlib", suites=("trixie",)),
)
NOBODY = 65534

needs_archive = pytest.mark.skipif(
    not machine_entries(Path("/etc")), reason="no archive is configured for this machine's apt"
)


class Run:
    """One run of relenv, as far as the archive is concerned."""

    def __init__(self, root: Path, etc: Path = Path("/etc")) -> None:
        self.said = StringIO()
        self.root = root
        ui = PlainUi(Console(file=self.said, width=500))
        cache = open_cache(root / "a cache")
        self.archive = SourceArchive(cache=cache, environ=os.environ, ui=ui, etc=etc)

    def fetch(self, source: Source) -> str:
        """Fetch it into `got`."""
        return self.archive.fetch(source, self.root / "a cache" / "got", label="zlib 1.3.1")

    @property
    def got(self) -> bytes:
        """What was fetched."""
        return (self.root / "a cache" / "got").read_bytes()

    @property
    def readings(self) -> list[str]:
        """The suites whose index was read."""
        lines = self.said.getvalue().splitlines()
        return [line.split("(")[1].split(")")[0] for line in lines if line.startswith("Reading")]


@needs_archive
def test_the_machines_archive_has_zlib(tmp_path: Path) -> None:
    run = Run(tmp_path)
    before = snapshot()
    assert run.fetch(ZLIB).startswith("apt zlib 1:1.3.dfsg+really1.3.1-")
    assert hashlib.sha256(run.got).hexdigest() == ZLIB.sha256
    assert run.readings == ["trixie"]
    assert snapshot() == before


def snapshot() -> list[tuple[str, int]]:
    """Return what of the system's apt would show a change."""
    roots = (Path("/etc/apt"), Path("/var/lib/apt"), Path("/var/cache/apt"))
    return [(str(path), path.stat().st_mtime_ns) for root in roots for path in sorted(root.rglob("*"))]


PATHS = [str(Path(relenv.__file__).parents[1]), *filter(None, sys.path)]
SCRIPT = """
import os, sys
from pathlib import Path
from relenv.apt import SourceArchive
from relenv.recipes.model import AptPackage, Source
from relenv.store import open_cache
from relenv.ui import open_ui

cache = open_cache(Path(sys.argv[1]))
source = Source(version="1", filename="f", sha256=sys.argv[2], apt=AptPackage(name="zlib", suites=("trixie",)))
archive = SourceArchive(cache=cache, environ=os.environ, ui=open_ui())
print(os.getuid(), archive.fetch(source, cache.root / "got", label="zlib"))
"""


@needs_archive
@pytest.mark.skipif(os.getuid() != 0, reason="the other tests run as an unprivileged user already")
def test_no_privilege_is_needed(open_to_nobody: Path) -> None:
    if as_nobody("import relenv.apt").returncode != 0:
        pytest.skip("this checkout is out of an unprivileged user's reach")
    done = as_nobody(SCRIPT, str(open_to_nobody), ZLIB.sha256)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{NOBODY} apt zlib 1:1.3.dfsg+really1.3.1-")
    assert hashlib.sha256((open_to_nobody / "got").read_bytes()).hexdigest() == ZLIB.sha256


@pytest.fixture
def open_to_nobody() -> Iterator[Path]:
    """A directory of nobody's; pytest's own are closed to others, all the way up."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        yield Path(name)


def as_nobody(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script as an unprivileged user who has no home."""
    setpriv = shutil.which("setpriv") or "/usr/bin/setpriv"
    return subprocess.run(
        [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable, "-", *words],
        input=f"import sys\nsys.path[:0] = {PATHS}\n{script}",
        env={**os.environ, "HOME": "/nonexistent"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@dataclass
class Repository:
    """An archive in a directory, unsigned, as a machine's only one."""

    root: Path
    suites: dict[str, list[str]] = field(default_factory=dict)

    @property
    def etc(self) -> Path:
        """The /etc of a machine that trusts it."""
        return self.root / "etc"

    def configure(self, *lines: str) -> None:
        """Write the machine's configuration."""
        (self.etc / "apt").mkdir(parents=True, exist_ok=True)
        (self.etc / "os-release").write_text("VERSION_CODENAME=here\n")
        (self.etc / "apt" / "sources.list").write_text("".join(f"{line}\n" for line in lines))

    def add(self, suite: str, version: str, listed: bytes, *, pool: bytes | None) -> None:
        """List a tarball of zlib; `pool` is what is really there."""
        folder = self.root / "debian" / "pool" / version
        folder.mkdir(parents=True, exist_ok=True)
        if pool is not None:
            (folder / "zlib.orig.tar.gz").write_bytes(pool)
        files = f" {hashlib.sha256(listed).hexdigest()} {len(listed)} zlib.orig.tar.gz\n"
        self.suites.setdefault(suite, []).append(
            f"Package: zlib\nBinary: zlib1g\nVersion: {version}\nFormat: 3.0 (quilt)\n"
            f"Directory: pool/{version}\nChecksums-Sha256:\n{files}\n"
        )
        self.publish(suite)

    def publish(self, suite: str) -> None:
        """Write the index of a suite."""
        dist = self.root / "debian" / "dists" / suite
        index = dist / "main" / "source" / "Sources"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_text("".join(self.suites[suite]))
        digest = hashlib.sha256(index.read_bytes()).hexdigest()
        (dist / "Release").write_text(
            f"Suite: {suite}\nCodename: {suite}\nComponents: main\nArchitectures: amd64\n"
            f"Date: Thu, 01 Jan 2026 00:00:0{len(self.suites[suite])} UTC\n"
            f"SHA256:\n {digest} {index.stat().st_size} main/source/Sources\n"
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = Repository(root=tmp_path / "archive")
    found.configure(f"deb [trusted=yes] copy:{found.root}/debian here main")
    return found


def wanted(body: bytes, *suites: str) -> Source:
    sha256 = hashlib.sha256(body).hexdigest()
    return Source(version="1", filename="z", sha256=sha256, apt=AptPackage(name="zlib", suites=suites))


def test_the_first_suite_that_has_it_gives_it(tmp_path: Path, repository: Repository) -> None:
    repository.add("there", "2-1", b"two", pool=b"two")
    repository.add("here", "1-1", b"one", pool=b"one")
    run = Run(tmp_path, repository.etc)
    assert run.fetch(wanted(b"two", "there")) == "apt zlib 2-1 (there)"
    assert run.got == b"two"
    assert run.fetch(wanted(b"one", "there")) == "apt zlib 1-1 (here)"
    assert run.got == b"one"
    assert run.readings == ["there", "here"]


def test_all_of_it_is_ours(tmp_path: Path, repository: Repository) -> None:
    repository.add("here", "1-1", b"one", pool=b"one")
    Run(tmp_path, repository.etc).fetch(wanted(b"one"))
    assert {path.stat().st_uid for path in (tmp_path / "a cache").rglob("*")} == {os.getuid()}


def test_what_else_apt_is_configured_for_is_not_read(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add("here", "1-1", b"one", pool=b"one")
    repository.add("elsewhere", "2-1", b"two", pool=b"two")
    (tmp_path / "other.list").write_text(f"deb-src [trusted=yes] copy:{repository.root}/debian elsewhere main\n")
    (tmp_path / "apt.conf").write_text(f'Dir::Etc::sourcelist "{tmp_path}/other.list";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    with pytest.raises(SourceError, match=r"here: does not list it$"):
        Run(tmp_path, repository.etc).fetch(wanted(b"two"))


def test_a_suite_that_fails_does_not_stand_in_the_way(tmp_path: Path, repository: Repository) -> None:
    repository.add("here", "1-1", b"one", pool=b"one")
    run = Run(tmp_path, repository.etc)
    for _ in range(2):
        assert run.fetch(wanted(b"one", "nosuch")) == "apt zlib 1-1 (here)"
    assert run.readings == ["nosuch", "here"]


def test_a_version_that_the_pool_lacks_is_passed_over(tmp_path: Path, repository: Repository) -> None:
    repository.add("here", "1-2", b"one", pool=None)
    repository.add("here", "1-1", b"one", pool=b"one")
    assert Run(tmp_path, repository.etc).fetch(wanted(b"one")) == "apt zlib 1-1 (here)"


def test_a_file_that_is_not_what_is_listed_is_not_taken(tmp_path: Path, repository: Repository) -> None:
    repository.add("here", "1-1", b"one", pool=b"two")
    with pytest.raises(SourceError, match="apt source zlib: here: "):
        Run(tmp_path, repository.etc).fetch(wanted(b"one"))
    assert not (tmp_path / "a cache" / "got").exists()


def test_what_nobody_lists_is_refused_suite_by_suite(tmp_path: Path, repository: Repository) -> None:
    repository.add("here", "1-1", b"one", pool=b"one")
    run = Run(tmp_path, repository.etc)
    for _ in range(2):
        with pytest.raises(SourceError, match=r"nosuch: [^;]*No such file[^;]*; here: does not list it"):
            run.fetch(wanted(b"two", "nosuch"))


def test_an_index_is_read_once_a_day(tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.add("here", "1-1", b"one", pool=b"one")
    first, second, third = (Run(tmp_path, repository.etc) for _ in range(3))
    for run in (first, second):
        run.fetch(wanted(b"one"))
    monkeypatch.setattr(apt, "FRESH", 0)
    for _ in range(2):
        third.fetch(wanted(b"one"))
    assert [run.readings for run in (first, second, third)] == [["here"], [], ["here"]]


def test_an_index_that_lists_what_is_gone_is_read_again(tmp_path: Path, repository: Repository) -> None:
    repository.add("here", "1-1", b"one", pool=b"one")
    Run(tmp_path, repository.etc).fetch(wanted(b"one"))
    shutil.rmtree(repository.root / "debian" / "pool")
    repository.add("here", "1-2", b"one", pool=b"one")
    later = Run(tmp_path, repository.etc)
    assert later.fetch(wanted(b"one")) == "apt zlib 1-2 (here)"
    assert later.readings == ["here"]


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as server:  # bound, but it does not listen
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


def test_a_host_out_of_reach_is_asked_once_a_run(tmp_path: Path, repository: Repository, closed_port: int) -> None:
    repository.configure(f"deb [trusted=yes] http://127.0.0.1:{closed_port}/debian here main")
    run = Run(tmp_path, repository.etc)
    with pytest.raises(SourceError, match=r"here: 127\.0\.0\.1 cannot be reached"):
        run.fetch(wanted(b"one", "there", "elsewhere"))
    assert run.readings == ["there"]


def test_a_machine_without_apt_says_so(tmp_path: Path) -> None:
    ui = PlainUi(Console(file=StringIO()))
    cache = open_cache(tmp_path / "cache")
    archive = SourceArchive(cache=cache, environ={"PATH": str(tmp_path)}, ui=ui)
    with pytest.raises(SourceError, match="this machine has no apt-get"):
        archive.fetch(ZLIB, tmp_path / "got", label="zlib")


def test_a_machine_without_an_archive_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no archive is configured"):
        Run(tmp_path, tmp_path / "etc").fetch(ZLIB)


def test_runs_at_once_read_an_index_once(tmp_path: Path, repository: Repository) -> None:
    bodies = (b"one", b"two", b"three")
    for number, body in enumerate(bodies):
        repository.add("here", f"1-{number}", body, pool=body)
    runs = [Run(tmp_path, repository.etc) for _ in bodies]
    with ThreadPoolExecutor() as pool:
        for run, body in zip(runs, bodies, strict=True):
            pool.submit(run.archive.fetch, wanted(body), tmp_path / body.decode(), label="zlib")
    assert [(tmp_path / body.decode()).read_bytes() for body in bodies] == list(bodies)
    assert [suite for run in runs for suite in run.readings] == ["here"]


def test_two_processes_share_a_cache(tmp_path: Path, repository: Repository) -> None:
    repository.add("here", "1-1", b"one", pool=b"one")
    repository.add("here", "1-2", b"two", pool=b"two")
    digest = {body: hashlib.sha256(body).hexdigest() for body in (b"one", b"two")}
    script = SCRIPT.replace("ui=open_ui()", "ui=open_ui(), etc=Path(sys.argv[3])").replace('"got"', "sys.argv[2]")
    argv = [sys.executable, "-", str(tmp_path / "cache")]
    running = [
        subprocess.Popen([*argv, sha256, repository.etc], stdin=subprocess.PIPE, text=True)
        for sha256 in digest.values()
    ]
    for each in running:
        each.communicate(script, timeout=60)
    assert [each.returncode for each in running] == [0, 0]
    assert {(tmp_path / "cache" / sha256).read_bytes() for sha256 in digest.values()} == set(digest)
