"""The project's own wheel, built by its own backend, in isolation, with the interpreter it will run on."""

from __future__ import annotations

import configparser
import hashlib
import json
import lzma
import os
import re
import shlex
import time
import tomllib
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import build
import pyproject_hooks
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.exceptions import InstallerError
from installer.sources import WheelFile
from installer.utils import parse_entrypoints
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName, default_environment
from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from pyproject_hooks import BackendUnavailable

from relenv import process
from relenv.bundle.backends import CODE, DAY, HATCH, OURS, PLAIN, PROVIDERS
from relenv.bundle.dependencies import indexes
from relenv.bundle.uniform import INSTALLER, write_scripts
from relenv.environment import Environment, create, pip_install
from relenv.errors import BuildError, ConfigError, OutputError, disk_full
from relenv.pip_shim.records import reconcile
from relenv.plan import KEY_LENGTH
from relenv.store import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from installer.records import RecordEntry
    from installer.utils import Scheme

    from relenv.bundle.dependencies import Site
    from relenv.context import Context
    from relenv.interpreter import Interpreter
    from relenv.toolchain import Toolchain


METADATA = {"INSTALLER": INSTALLER, "REQUESTED": b""}
"""What an installer says of the project, which alone is what somebody asked for."""


@dataclass(frozen=True, kw_only=True)
class BuildEnvironment:
    """An isolated environment in the sense of `build`: a protocol of that library."""

    root: Path

    @property
    def python_executable(self) -> str:
        """The interpreter the backend runs on."""
        return str(self.root / "bin" / "python3")

    def make_extra_environ(self) -> Mapping[str, str]:
        """Return what the backend's environment has besides the caller's."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Builders:
    """Makes environments to build wheels in, and keeps them in the store: most projects build with the same few."""

    context: Context
    interpreter: Interpreter
    environ: Mapping[str, str]
    label: str
    """What is being built, for messages."""
    delegate: str = ""
    """The backend to use where a project names relenv's own."""
    offline: bool = False
    refresh: bool = False

    def environment(self, requires: Collection[str]) -> BuildEnvironment:
        """Return an environment with some packages.

        Raises:
            InstallError: they cannot be installed.
        """
        cache = self.context.cache
        now = int(time.time())
        any_index = f"builder-{self.interpreter.root.name}-{_key([self.interpreter.key, sorted(requires)])}"
        today = f"{any_index}-{_key(indexes(self.environ))}-{now // DAY}"
        # a new one has a name of its own: somebody may be building in the other
        root = max(cache.store.glob(f"{today}*"), default=cache.store / today)
        if self.refresh:
            root = cache.store / f"{today}-{now}"
        if self.offline and not root.is_dir():
            root = max(cache.store.glob(f"{any_index}-*"), key=lambda path: path.stat().st_mtime, default=root)
        cache.use(root)
        with cache.lock(root.name, self.context.ui):
            if not root.is_dir():
                with cache.beside(root) as partial:
                    self._fill(create(self.interpreter, partial), requires)
        return BuildEnvironment(root=root)

    def _fill(self, environment: Environment, requires: Collection[str]) -> None:
        if requires:
            pip_install(
                [environment.root / "bin" / "pip3"],
                # what a backend imports is compiled when it does: of setuptools that is a third
                ["--no-compile", "--", *sorted(requires)],
                environ=self.environ,
                what=f"what the build of {self.label} requires",
            )


def _key(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:KEY_LENGTH]


def compiler_environ(toolchain: Toolchain, python: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that have extension modules compiled with the toolchain's glibc 2.17.

    A compiler that the user chose stays chosen.
    """
    if environ.get("CC"):
        return {}
    # the scripts of setuptools and others read these; the linker is the compiler
    return {
        **{
            name: shlex.quote(str(toolchain.tool(tool))) for name, tool in (("CC", "gcc"), ("CXX", "g++"), ("AR", "ar"))
        },
        # the host is asked for glibc and nothing else
        "PKG_CONFIG_LIBDIR": environ.get("PKG_CONFIG_LIBDIR") or str(python / "lib" / "pkgconfig"),
        "LDFLAGS": f"-static-libgcc -static-libstdc++ {environ.get('LDFLAGS', '')}".rstrip(),
    }


def builders_for(site: Site) -> Builders:
    """Return what makes the environments for the project's own wheel."""
    return Builders(
        context=site.context,
        interpreter=site.interpreter,
        environ=site.environ,
        label=site.label,
        delegate=site.config.build_backend,
        offline=site.config.offline,
        refresh=site.config.refresh,
    )


def build_wheel(project: Path, builders: Builders, work: Path) -> Path:
    """Build the wheel of a project into `work` and return its path.

    Args:
        project: its directory.
        builders: where to build.
        work: an empty directory to work in.

    Raises:
        BuildError: the backend failed. InstallError: what the build requires cannot be installed.
        ConfigError: [build-system] is not in order.
    """
    label, log = builders.label, work / "backend.log"
    base = {**builders.environ, **_setuptools_elsewhere(work)}

    def caller(environment: BuildEnvironment) -> Caller:
        path = f"{environment.root / 'bin'}{os.pathsep}{base.get('PATH', os.defpath)}"

        def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
            env = {**base, "PATH": path, **(extra_environ or {})}
            process.run(list(cmd), cwd=Path(cwd) if cwd else None, env=env, log=log)

        return _caller(project, builders, environment, runner)

    try:
        requires = caller(BuildEnvironment(root=builders.interpreter.root)).requires
        environment = builders.environment(requires)
        builder = caller(environment)
        if more := set(_more(project, environment, builder)) - requires:
            builder = caller(builders.environment(requires | more))
        return Path(builder.build(str(work / "wheel")))
    except process.CommandError as error:
        raise _failure(label, error) from error
    except (build.BuildBackendException, BackendUnavailable) as error:
        unavailable = error if isinstance(error, BackendUnavailable) else error.exception
        if isinstance(unavailable, BackendUnavailable):
            reason = (unavailable.traceback.strip() or str(unavailable)).splitlines()[-1]
            raise ConfigError(
                f"{label}: the build backend {unavailable.backend_name} cannot be imported ({reason})",
                hint="build-system.requires in pyproject.toml has to name the package that it is in",
            ) from error
        failure = process.CommandError(["its backend"], 1, process.tail(log) or str(unavailable or error))
        raise _failure(label, failure) from error
    except build.BuildException as error:
        raise ConfigError(f"{project / 'pyproject.toml'}: {error}") from error


CONFIGURED = ("pyproject.toml", "setup.cfg", HATCH)
"""Files of a project with what its backend goes by."""
HOOKS = re.compile(rb"hooks[\"']?\s*(\.\s*[\"']?custom|[]=])|backend-path")
"""What names code in other files, in one of these: a table of hooks, or the hook in it that is a file."""


def _more(project: Path, environment: BuildEnvironment, builder: Caller) -> Collection[str]:
    """Ask a backend what else it requires; or remember what it said, if that cannot be another answer now.

    Every answer takes a process that imports the backend: a third of what bundling a small program takes.
    """
    texts = [path.read_bytes() if (path := project / name).is_file() else b"" for name in CONFIGURED]
    plugins = {canonicalize_name(Requirement(one).name) for one in builder.requires}
    plugins -= {canonicalize_name(PROVIDERS.get(builder.backend, "")), "wheel"}
    code = any((project / name).exists() for name in CODE) or any(map(HOOKS.search, texts))
    if builder.backend not in PLAIN or plugins or code:
        return builder.more()
    known = hashlib.sha256(repr([builder.backend, *texts]).encode()).hexdigest()[:KEY_LENGTH]
    # beside the backend that was asked: with another one it goes
    answer = environment.root / ASKED / f"{known}.json"
    with suppress(OSError, ValueError):
        found: list[str] = json.loads(answer.read_bytes())
        return found
    more = sorted(builder.more())
    answer.parent.mkdir(exist_ok=True)
    write_text(answer, json.dumps(more) + "\n")
    return more


ASKED = "asked"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The hooks of a backend that building a wheel takes."""

    backend: str
    requires: set[str]
    """What [build-system] requires."""
    more: Callable[[], Collection[str]]
    """Asks the backend what else it requires."""
    build: Callable[[str], str]
    """Builds into a directory; returns the path."""


def _caller(
    project: Path, builders: Builders, environment: BuildEnvironment, runner: pyproject_hooks.SubprocessRunner
) -> Caller:
    builder = build.ProjectBuilder.from_isolated_env(environment, str(project), runner)
    requires = set(builder.build_system_requires)
    for one in requires:
        try:
            Requirement(one)
        except InvalidRequirement as error:
            raise ConfigError(
                f"{project / 'pyproject.toml'}: build-system.requires has {one!r}, which is no requirement: "
                f"{_line(error)}"
            ) from error
    if not (builders.delegate and _build_backend(project) == OURS):
        return Caller(
            backend=_build_backend(project) or "setuptools.build_meta:__legacy__",
            requires=requires,
            more=lambda: builder.get_requires_for_build("wheel"),
            build=lambda folder: builder.build("wheel", folder),
        )
    # our own backend hands every hook on: what it hands on to is called at once, and relenv need not be installed
    others = {canonicalize_name(Requirement(one).name): one for one in requires}
    others.pop(canonicalize_name("relenv"), None)
    if provider := PROVIDERS.get(builders.delegate):
        others.setdefault(canonicalize_name(provider), provider)
    hooks = pyproject_hooks.BuildBackendHookCaller(
        str(project), builders.delegate, runner=runner, python_executable=environment.python_executable
    )

    def made(folder: str) -> str:
        Path(folder).mkdir(parents=True, exist_ok=True)
        return str(Path(folder, hooks.build_wheel(folder)))

    return Caller(
        backend=builders.delegate, requires=set(others.values()), more=hooks.get_requires_for_build_wheel, build=made
    )


def _line(error: Exception) -> str:
    """Return what an error says, in one line: that of packaging and configparser point at a place below it."""
    return " ".join((str(error).splitlines() or [type(error).__name__])[0].split())


def _build_backend(project: Path) -> str:
    try:
        data = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    return str(data.get("build-system", {}).get("build-backend", ""))


HARM = (InstallerError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, LookupError)
"""What reading a wheel comes upon that is none, or damaged; a RuntimeError is one that is encrypted, or packed in a way
that zipfile does not know."""
TARGET = re.compile(r"[\w.]+\s*:\s*[\w.]+\s*(\[.*\])?")
"""What a script calls (https://packaging.python.org/en/latest/specifications/entry-points/)."""


def _refuse_entry_points(text: str) -> None:
    """Refuse an entry_points.txt that those who read it could not make sense of.

    Raises:
        ValueError: it is none.
    """
    group = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
            continue
        name, equals, value = map(str.strip, line.partition("="))
        if not equals or not name:
            raise ValueError(f"its entry_points.txt has {line!r}, and no NAME = VALUE")
        if group in ("console_scripts", "gui_scripts") and not TARGET.fullmatch(value):
            raise ValueError(f"its script {name} calls {value!r}, which is no MODULE:FUNCTION")
    try:
        list(parse_entrypoints(text))
    except configparser.Error as error:
        raise ValueError(f"its entry_points.txt cannot be read: {_line(error)}") from error


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel of the project's own (https://packaging.python.org/en/latest/specifications/binary-distribution-format/)."""

    path: Path
    name: str
    info: str
    """Its .dist-info directory."""
    requires_dist: tuple[str, ...]
    requires_python: SpecifierSet
    extras: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read what a wheel says of itself.

        Raises:
            BuildError: it is no wheel.
        """
        try:
            with WheelFile.open(path) as source:
                raw, _ = parse_email(source.read_dist_info("METADATA"))
                info = source.dist_info_dir
                if "entry_points.txt" in source.dist_info_filenames:
                    _refuse_entry_points(source.read_dist_info("entry_points.txt"))
            return cls(
                path=path,
                name=raw["name"],
                info=info,
                requires_dist=tuple(raw.get("requires_dist", ())),
                requires_python=SpecifierSet(raw.get("requires_python", "")),
                extras=tuple(raw.get("provides_extra", ())),
            )
        except HARM as error:
            raise BuildError(f"the build backend made {path.name}, which is no wheel: {error}") from error

    def requires(self, interpreter: Interpreter, extras: Collection[str]) -> list[str]:
        """Return what it needs with that interpreter and some of its extras, as requirements.

        Raises:
            BuildError: a requirement is none.
        """
        try:
            found = here(self.requires_dist, interpreter, extras)
        except InvalidRequirement as error:
            raise BuildError(f"{self.path.name} has an invalid requirement: {error}") from error
        # an extra may ask for other extras of its own project
        mine = [Requirement(text) for text in found if canonicalize_name(Requirement(text).name) == self.canonical]
        more = {extra for one in mine for extra in one.extras} - set(extras)
        if more:
            return self.requires(interpreter, [*extras, *sorted(more)])
        return [text for text in found if canonicalize_name(Requirement(text).name) != self.canonical]

    @property
    def canonical(self) -> str:
        """Its name, normalised."""
        return canonicalize_name(self.name)

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """Yield the Python sources in it, and its METADATA, with their paths.

        Raises:
            BuildError: it is damaged.
        """
        with zipfile.ZipFile(self.path) as archive:
            for name in archive.namelist():
                if name.endswith((".py", ".dist-info/METADATA")):
                    try:
                        text = archive.read(name)
                    except HARM as error:
                        raise BuildError(f"{self.path.name} is damaged: {name} cannot be read: {error}") from error
                    yield name, text

    def install(self, environment: Environment) -> list[Path]:
        """Install it; return what is new in site-packages.

        A file that is there already, of a namespace that several packages share, is replaced: it may be the store's.

        Raises:
            BuildError: the wheel is not in order.
        """
        root, site = environment.root, environment.site_packages
        scheme = {
            **dict.fromkeys(("purelib", "platlib"), str(site)),
            "headers": str(root / "include" / self.name),
            "scripts": str(root / "bin"),
            "data": str(root),
        }
        destination = _Replacing(
            scheme, interpreter=str(environment.python), script_kind="posix", overwrite_existing=True
        )
        try:
            with WheelFile.open(self.path) as source:
                source.validate_record()
                names = [record[0] for record, _, _ in source.get_contents()]
                install(source=source, destination=destination, additional_metadata=METADATA)
        except (*HARM, OSError) as error:
            raise BuildError(f"{self.path.name} cannot be installed: {error}") from error
        reconcile(root)
        write_scripts(root, [site / self.info])
        tops = {Path(name).parts[0] for name in names if ".data/" not in name}
        return [site / top for top in sorted(tops) if (site / top).exists()]


class _Replacing(SchemeDictionaryDestination):
    """Puts files in the place of those that are there: these may be the store's, and must not be written to."""

    def write_to_fs(self, scheme: Scheme, path: str, stream: BinaryIO, is_executable: bool) -> RecordEntry:  # noqa: FBT001
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"it has a file that leads out of the bundle: {path!r}")
        target = Path(self.scheme_dict[scheme], path)
        if target.is_dir() and not target.is_symlink():
            raise ValueError(f"it has a file where another package has a directory: {path!r}")
        target.unlink(missing_ok=True)
        return super().write_to_fs(scheme, path, stream, is_executable)


def here(requirements: Iterable[str], interpreter: Interpreter, extras: Collection[str] = ()) -> list[str]:
    """Return the requirements that hold with an interpreter and some extras, without their markers.

    Raises:
        InvalidRequirement: one is none, or has a marker that compares what cannot be compared.
    """
    environment = marker_environment(interpreter)
    found = []
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        try:
            holds = not marker or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))
        except (UndefinedComparison, UndefinedEnvironmentName) as error:
            raise InvalidRequirement(f"{requirement}: {error}") from error
        if holds:
            requirement.marker = None
            found.append(str(requirement))
    return found


def marker_environment(interpreter: Interpreter) -> dict[str, str]:
    """Return what markers are evaluated with (PEP 508), for an interpreter that does not run this."""
    version = interpreter.version
    return {
        **{name: str(value) for name, value in default_environment().items()},
        "python_version": interpreter.series,
        "python_full_version": version,
        "implementation_name": "cpython",
        "implementation_version": version,
        "platform_python_implementation": "CPython",
    }


def _setuptools_elsewhere(work: Path) -> dict[str, str]:
    """Return what has setuptools build outside the project: its own `build` there keeps files that are gone since.

    See DIST_EXTRA_CONFIG in setuptools' "Build System Support"; no other backend looks at it.
    """
    config = work / "setuptools.cfg"
    (work / "egg-info").mkdir()
    config.write_text(f"[build]\nbuild_base = {work / 'build'}\n[egg_info]\negg_base = {work / 'egg-info'}\n")
    return {"DIST_EXTRA_CONFIG": str(config)}


def _failure(label: str, error: process.CommandError) -> BuildError | OutputError:
    if error.disk_full:
        return disk_full(label)
    lines = error.tail.strip().splitlines()
    last = lines[-1].strip() if lines else error.how
    return BuildError(
        f"{label}: its build backend failed: {last}",
        detail=error.tail,
        hint="`python -m build --wheel` in the project shows the same without relenv",
    )
