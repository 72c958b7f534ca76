"""The executor: the one place where a plan becomes files. What is in the store already is not built again.

Nodes run in parallel by dependency. The CPU budget is shared through GNU make's jobserver: one token a job, one
pipe for the executor and every make below it, so that two cores are two jobs however many nodes are at work.
"""

from __future__ import annotations

import glob
import hashlib
import heapq
import io
import json
import os
import re
import select
import shutil
import tarfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from relenv import process
from relenv.errors import FULL, BuildError, CacheError, HostError, OutputError, RelenvError, disk_full, first_of
from relenv.host import find_tools, lay_tools
from relenv.recipes.model import BUILD_ENV, PREFIX, SYMBOLS, Copy, Remove, Replace, Run, Step, Unpack, Write
from relenv.store import remove_tree, write_text
from relenv.ui import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from relenv.plan import Node, Plan
    from relenv.recipes.model import Source
    from relenv.store import Cache
    from relenv.toolchain import Toolchain
    from relenv.ui import Ui, Work

TICK = 0.5
"""Seconds between two looks at the progress."""
FETCHERS = 2
"""Sources fetched at once, while others are being built already."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A finished node in the store."""

    node: Node
    path: Path


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Everything a build acts with."""

    cache: Cache
    ui: Ui
    environ: Mapping[str, str]
    jobs: int
    toolchain: Callable[[str], Toolchain]
    """Called with a plan's toolchain_key, and only when something must be built."""
    tarball: Callable[[Source], Path]
    """Called only for what must be built."""
    keep: bool = False
    """Whether work directories stay, for a look at what happened."""


def build(plan: Plan, workshop: Workshop) -> dict[str, Artifact]:
    """Build what of the plan is not in the store, and return all of its artifacts by name.

    Raises:
        BuildError: a step failed; the others were stopped. HostError: a program is missing. OutputError: disk full.
    """
    artifacts = {node.name: Artifact(node=node, path=workshop.cache.store / node.slug) for node in plan.nodes}
    for artifact in artifacts.values():
        workshop.cache.use(artifact.path)
    missing = [node for node in plan.nodes if not artifacts[node.name].path.is_dir()]
    if missing:
        _refuse_spaces(workshop.cache.root)
        _Run(plan, missing, artifacts, workshop).work()
    return artifacts


def _refuse_spaces(root: Path) -> None:
    if any(character.isspace() for character in str(root)):
        raise CacheError(
            f"nothing can be compiled in {root}: configure scripts do not cope with spaces",
            hint="set RELENV_DATA to a directory whose path has none",
        )


class Budget:
    """The jobserver: a pipe with as many tokens as jobs, shared with every make that inherits it.

    See "POSIX Jobserver Interaction" in the manual of GNU make.
    """

    def __init__(self, jobs: int, *, option: str = "--jobserver-auth") -> None:
        self.read, self.write = os.pipe()
        os.write(self.write, b"+" * jobs)
        self._turn = threading.Condition()
        self._queue: list[tuple[float, int]] = []
        self.flags = f" -j{jobs} {option}={self.read},{self.write}"

    @contextmanager
    def token(self, priority: float) -> Iterator[None]:
        """Hold one token for the body; of several that wait, the one with the highest priority goes first."""
        ticket = (-priority, threading.get_ident())
        with self._turn:
            heapq.heappush(self._queue, ticket)
            self._turn.wait_for(lambda: self._queue[0] == ticket)
        try:
            token = self._take()
        finally:
            with self._turn:
                self._queue.remove(ticket)
                heapq.heapify(self._queue)
                self._turn.notify_all()
        try:
            yield
        finally:
            os.write(self.write, token)

    def _take(self) -> bytes:
        while True:
            process.check()
            ready, _, _ = select.select([self.read], [], [], TICK)
            if ready:
                try:
                    # make sets its end non-blocking, and that is ours too: another may have been quicker
                    return os.read(self.read, 1)
                except BlockingIOError:
                    continue

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.read)
        os.close(self.write)


class _Run:
    """One run of the executor over the missing nodes of a plan."""

    def __init__(self, plan: Plan, missing: list[Node], artifacts: dict[str, Artifact], workshop: Workshop) -> None:
        self.plan, self.artifacts, self.shop = plan, artifacts, workshop
        self.missing = {node.name: node for node in missing}
        self.tools = find_tools(workshop.environ)
        self.toolchain = workshop.toolchain(plan.toolchain_key)
        self.budget = Budget(workshop.jobs, option=_jobserver_option(self.tools["make"]))
        self.progress = _Progress(missing)
        self.sources: dict[str, Future[Path]] = {}
        """By the nodes' names."""

    def work(self) -> None:
        sorter = TopologicalSorter(
            {name: [need for need in node.needs if need in self.missing] for name, node in self.missing.items()}
        )
        sorter.prepare()
        overall = self.shop.ui.work(
            f"Building {self.plan.aim.label} and what it needs", total=self.progress.total, unit="%"
        )
        try:
            with (
                ThreadPoolExecutor(max_workers=FETCHERS) as fetchers,
                ThreadPoolExecutor(max_workers=len(self.missing)) as pool,
            ):
                try:
                    self._fetch(fetchers)
                    self._drive(sorter, pool, overall)
                except BaseException:
                    # the pools wait for their threads on the way out: end what these wait for
                    fetchers.shutdown(wait=False, cancel_futures=True)
                    process.stop()
                    raise
        finally:
            process.resume()
            overall.drop()
            self.budget.close()

    def _fetch(self, pool: ThreadPoolExecutor) -> None:
        """Begin to fetch all sources: that one cannot be had is to be known now, not when its turn has come."""
        for node in self.missing.values():
            self.sources[node.name] = pool.submit(self.shop.tarball, node.recipe.source)

    def _drive(self, sorter: TopologicalSorter[str], pool: ThreadPoolExecutor, overall: Work) -> None:
        running: dict[Future[None], str] = {}
        fetching: set[Future[Any]] = set(self.sources.values())
        while sorter.is_active():
            for name in sorter.get_ready():
                running[pool.submit(self._node, self.missing[name])] = name
            finished, _ = wait(fetching | running.keys(), timeout=TICK, return_when=FIRST_COMPLETED)
            for fetched in fetching & finished:
                fetched.result()
            fetching -= finished
            for future in running.keys() & finished:
                name = running.pop(future)
                future.result()
                self.progress.finish(name)
                sorter.done(name)
            overall.reach(self.progress.now())

    def _node(self, node: Node) -> None:
        final = self.artifacts[node.name].path
        with self.shop.cache.lock(node.slug, self.shop.ui):
            if final.is_dir():
                return
            with self.budget.token(node.recipe.cost):
                _NodeBuild(node, final, self).make()


def _jobserver_option(make: str) -> str:
    """Return what this make calls the option: it was renamed in GNU make 4.2."""
    try:
        first = process.run([make, "--version"]).splitlines()[:1]
    except process.CommandError:  # as others' do
        first = []
    version = re.search(r"GNU Make (\d+)\.(\d+)", "".join(first))
    if not version:
        raise HostError(f"{make} is not GNU make", hint="install GNU make, and have it first in PATH as make")
    return "--jobserver-auth" if (int(version[1]), int(version[2])) >= (4, 2) else "--jobserver-fds"


class _Progress:
    """How far a run is, in CPU seconds of the recipes' measured costs."""

    def __init__(self, nodes: list[Node]) -> None:
        self._cost = {node.name: node.recipe.cost for node in nodes}
        self._begun: dict[str, float] = {}
        self._done: set[str] = set()
        self.total = sum(self._cost.values())

    def begin(self, name: str) -> None:
        self._begun[name] = time.monotonic()

    def finish(self, name: str) -> None:
        self._done.add(name)

    def now(self) -> float:
        """Return what is done; of what is running, what its time so far suggests, and never all of it."""
        done = sum(self._cost[name] for name in self._done)
        for name, begun in list(self._begun.items()):
            if name not in self._done:
                done += min(0.95 * self._cost[name], time.monotonic() - begun)
        return done


class _NodeBuild:
    """The build of one node, from tarball to artifact."""

    def __init__(self, node: Node, final: Path, run: _Run) -> None:
        self.node, self.final, self.run = node, final, run
        self.shop = run.shop
        # a name of its own: what a killed run left may still be written to by a process that outlived it
        self.work = self.shop.cache.work / f"{node.slug}.{os.getpid()}"
        self.logs = self.shop.cache.logs / node.slug
        self.symbols = {
            "src": str(self.work / "src"),
            "work": str(self.work),
            "out": str(self.work / "out"),
            "deps": str(self.work / "deps"),
            "prefix": PREFIX,
            "triplet": run.plan.platform.triplet,
            "openssl_target": run.plan.platform.openssl_target,
        }

    def make(self) -> None:
        begun = time.monotonic()
        self.run.progress.begin(self.node.name)
        line = self.shop.ui.work(f"Building {self.node.label}")
        try:
            self._prepare()
            for number, step in enumerate(self.node.recipe.steps, start=1):
                started = time.monotonic()
                line.now(_title(step))
                self._perform(step, self.logs / f"{number:02}-{_title(step)}.log")
                took = seconds(time.monotonic() - started)
                self.shop.ui.detail(f"{self.node.label}: step {number}, {_title(step)}, took {took}")
            self._finish()
        except OSError as error:
            line.drop()
            raise _io_error(error, self.node, self.work) from error
        except BaseException:
            line.drop()
            raise
        finally:
            if not self.shop.keep:
                remove_tree(self.work)
        line.done(f"Built {self.node.label} in {seconds(time.monotonic() - begun)}")

    def _prepare(self) -> None:
        for stale in self.work.parent.glob(f"{self.node.slug}.*"):
            remove_tree(stale)
        remove_tree(self.logs)
        for path in (self.work / "out", self.work / "deps/include", self.work / "deps/lib", self.logs):
            path.mkdir(parents=True)
        lay_tools(
            self.work / "tools",
            found=self.run.tools,
            toolchain=self.run.toolchain,
            work=self.work,
            deps=self.work / "deps",
            recipe=self.node.recipe,
        )
        for need in self.node.needs:
            merge(self.run.artifacts[need].path, self.work / "deps")
        unpack(self.run.sources[self.node.name].result(), self.work / "src", inner=self.node.recipe.source.inner)

    def _finish(self) -> None:
        out = self.work / "out"
        self._forget_place(out)
        licences = out / "licenses" / f"{self.node.name}-{self.node.recipe.version}"
        licences.mkdir(parents=True)
        for pattern in self.node.recipe.licence_files:
            for path in sorted((self.work / "src").glob(pattern)):
                shutil.copy(path, licences)
        description = {
            "name": self.node.name,
            "version": self.node.recipe.version,
            "key": self.node.key,
            "licence": self.node.recipe.licence,
            "source": {
                "filename": self.node.recipe.source.filename,
                "sha256": self.node.recipe.source.sha256,
            },
        }
        write_text(out / "artifact.json", json.dumps(description, indent=2) + "\n")
        self.final.parent.mkdir(parents=True, exist_ok=True)
        out.rename(self.final)

    def _forget_place(self, out: Path) -> None:
        """Replace the work directory in text files by a fixed name: an artifact is the same wherever it was made."""
        place, name = str(self.work).encode(), f"{PREFIX}/src/{self.node.name}".encode()
        for path in sorted(out.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
            if place not in data:
                continue
            if b"\0" in data:
                raise BuildError(f"{self.node.label}: {path.relative_to(out)} contains the path of its build")
            path.write_bytes(data.replace(place, name))

    def _fill(self, text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda m: self.symbols[m[1]] if m[1] in SYMBOLS else m[0], text)

    def _perform(self, step: Step, log: Path) -> None:
        match step:
            case Run():
                self._command(step, log)
            case Replace(path=path, old=old, new=new):
                file = Path(self._fill(path))
                text = file.read_text(encoding="utf-8")
                if old not in text:
                    raise BuildError(f"{self.node.label}: {file.name} does not contain {old!r}")
                _rewrite(file, text.replace(old, self._fill(new)))
            case Write(path=path, text=text, mode=mode):
                file = Path(self._fill(path))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
                file.chmod(mode)
            case Unpack():
                self._unpack(step)
            case Copy(pattern=pattern, into=into):
                self._copy(self._fill(pattern), Path(self._fill(into)))
            case Remove(pattern=pattern):
                for name in glob.glob(self._fill(pattern), recursive=True):  # noqa: PTH207 - it is absolute
                    remove_tree(Path(name))
            case _:
                assert_never(step)

    def _command(self, step: Run, log: Path) -> None:
        env = {name: self._fill(text) for name, text in {**BUILD_ENV, **dict(step.env)}.items()}
        env["PATH"] = str(self.work / "tools")
        env["MAKEFLAGS"] = self.run.budget.flags
        argv = [self._fill(word) for word in step.argv]
        try:
            process.run(
                argv,
                cwd=Path(self._fill(step.cwd)),
                env=env,
                log=log,
                pass_fds=(self.run.budget.read, self.run.budget.write),
            )
        except process.CommandError as error:
            raise error.refusal(self.node.label, self.work, hint=f"full log: {log}") from error

    def _unpack(self, step: Unpack) -> None:
        data = (files(step.package) / step.filename).read_bytes()
        if hashlib.sha256(data).hexdigest() != step.sha256:
            raise BuildError(f"{self.node.label}: {step.filename} in {step.package} is damaged")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extraction_filter = getattr(tarfile, "tar_filter", None)
            tar.extractall(self._fill(step.into))  # noqa: S202 - its checksum was verified

    def _copy(self, pattern: str, into: Path) -> None:
        found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - it is absolute
        if not found:
            raise BuildError(f"{self.node.label}: the build left no {pattern}")
        into.mkdir(parents=True, exist_ok=True)
        for name in found:
            source, target = Path(name), into / Path(name).name
            if source.is_dir() and not source.is_symlink():
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target, follow_symlinks=False)


def _title(step: Step) -> str:
    """Return a step's name, for its log and for whoever looks on: the program and its first plain argument."""
    if not isinstance(step, Run):
        return type(step).__name__.lower()
    plain = [word for word in step.argv[1:] if re.fullmatch(r"[\w./-]+", word) and not word.startswith("-")]
    return "-".join(Path(word).name for word in (step.argv[0], *plain[:1]))


def _rewrite(file: Path, text: str) -> None:
    # the time stays: a newer configure.ac or Makefile.in would have make run tools that are not there
    status = file.stat()
    file.write_text(text, encoding="utf-8")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _io_error(error: OSError, node: Node, work: Path) -> RelenvError:
    first = first_of(error)
    if first.errno in FULL:
        return disk_full(f"{node.label} in {work}")
    return OutputError(
        f"{node.label}: {first.strerror or first} ({first.filename or work})",
        hint=f"the build takes place in {work}; RELENV_DATA chooses another file system",
    )


def merge(artifact: Path, into: Path) -> None:
    """Lay what an artifact has for others into a directory, sharing the files' contents (hard links)."""
    for path in sorted(artifact.iterdir()):
        if path.is_dir() and path.name != "licenses":
            shutil.copytree(path, into / path.name, symlinks=True, dirs_exist_ok=True, copy_function=os.link)


def _heeding(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members as the user's own, and stop when the user wants out: a large tarball takes seconds.

    To root, tarfile would give each to whom it names, and ask the system's databases for that: of GCC 150,000 times.
    """
    for member in tar:
        process.check()
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        yield member


def unpack(tarball: Path, into: Path, *, inner: str = "") -> None:
    """Unpack a source tarball, whose single top directory becomes `into`, or a wheel, which has none.

    Args:
        tarball: the file.
        into: what is to be there afterwards.
        inner: the tarball in it that is meant, by its path there.
    """
    beside = into.with_name(f"{into.name}.outer" if inner else f"{into.name}.tar")
    if tarball.suffix == ".whl":
        shutil.unpack_archive(tarball, beside, format="zip")
    else:
        with tarfile.open(tarball) as tar:
            tar.extraction_filter = getattr(tarfile, "tar_filter", None)
            tar.extractall(beside, members=_heeding(tar))  # noqa: S202 - its checksum was verified
    if inner:
        unpack(beside / inner, into)
    elif tarball.suffix == ".whl":
        beside.rename(into)
    else:
        (top,) = beside.iterdir()
        top.rename(into)
    remove_tree(beside)
