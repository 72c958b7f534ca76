"""One interpreter a run, compiled into the cache by its key; the cache is RELENV_DATA's, else the user's own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pytest

SAMPLES = Path(__file__).parents[1] / "samples"
EXAMPLE = Path(__file__).parents[2] / "examples" / "sitewatch"
AWKWARD = "söme where else"
"""A directory name with a space and a letter outside ASCII."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def errors(self) -> list[str]:
        """The lines of stderr from the error on."""
        lines = self.stderr.splitlines()
        first = next((at for at, line in enumerate(lines) if line.startswith("error:")), len(lines))
        return lines[first:]


Relenv = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """Let SIGINT reach what is started: a shell has what runs in its background ignore it, and whoever starts that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def uv(monkeypatch: pytest.MonkeyPatch) -> str:
    """uv, in PATH for this test: what is found there by itself is used by itself."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return shutil.which("uv") or pytest.fail("no uv here: it is among relenv[test]")


@pytest.fixture(scope="session")
def data() -> Path:
    chosen = os.environ.get("RELENV_DATA")
    return Path(chosen) if chosen else platformdirs.user_cache_path("relenv", appauthor=False)


@pytest.fixture(scope="session")
def relenv(data: Path) -> Relenv:
    """Run relenv as a user does: another process, its own environment."""

    def run(
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        check: bool = True,
    ) -> Outcome:
        # whatever else is in the cache: the same interpreter on every machine
        own = {"RELENV_DATA": str(data), "RELENV_TOOLCHAIN": os.environ.get("RELENV_TOOLCHAIN", "ppbt")}
        done = subprocess.run(
            [sys.executable, "-m", "relenv", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **own, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if check:
            assert done.returncode == 0, done.stderr
        return Outcome(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    return run


@pytest.fixture(scope="session")
def interpreter(relenv: Relenv) -> Path:
    """The interpreter's directory in the store; not to be changed."""
    return Path(json.loads(relenv("build", "--json").stdout)["path"])


@pytest.fixture(scope="session")
def dist(relenv: Relenv, interpreter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - it must be built
    """A release location."""
    folder = tmp_path_factory.mktemp("dist") / "of today"
    made = json.loads(relenv("build", "--json", "--output", folder).stdout)
    assert Path(made["tarball"]).parent == folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(["SHA256SUMS", Path(made["tarball"]).name])
    return folder


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment with what people install with."""
    venv = tmp_path_factory.mktemp("tools")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    # the last two are what pdm 2.29 knows
    packages = ("uv", "virtualenv", "tox", "nox", "poetry", "pdm", "hatch", "hishel<2", "unearth<0.18")
    subprocess.run([venv / "bin/pip", "install", "-q", *packages], check=True, capture_output=True)
    return venv / "bin"


@pytest.fixture
def environment(relenv: Relenv, interpreter: Path, tmp_path: Path) -> Path:  # noqa: ARG001 - it must be built
    """A fresh environment."""
    relenv("create", tmp_path / "environment")
    return tmp_path / "environment"


@pytest.fixture
def sample(tmp_path: Path) -> Callable[[str], Path]:
    """Copy a sample project, so that building it leaves nothing in the checkout."""

    def copy(name: str) -> Path:
        source = EXAMPLE if name == "example" else SAMPLES / name
        return shutil.copytree(
            source, tmp_path / "projects" / name, ignore=shutil.ignore_patterns("build", "*.egg-info")
        )

    return copy


def say(program: Path, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a program of an environment with nothing in its process environment, and return what it printed."""
    done = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{program}: {done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def own_disk(place: Path, options: str = "rw") -> Iterator[None]:
    """Mount a file system of its own at a place for the body; skip the test where nothing can be mounted."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def elsewhere(content: Mapping[str, Path | None]) -> list[str]:
    """Return how a program is started that sees other content in some directories of the machine.

    Args:
        content: for each directory what is to be in it, None for nothing. Those that do not exist are left out.
    """
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    script = "".join(
        f"mount -t tmpfs tmpfs {place}; {f'cp -a {shlex.quote(str(source))}/. {place}; ' if source else ''}"
        for place, source in content.items()
        if Path(place).is_dir()
    )
    start = [*unshare, "sh", "-ec", f'{script} exec "$@"', "sh"]
    if subprocess.run([*start, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody have a mount namespace")
    return start
