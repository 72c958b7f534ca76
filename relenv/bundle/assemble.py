"""From a project to a zip: wheel, environment, check, archive. Each stage takes what the one before it made."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from relenv import process
from relenv.bundle.archive import Pack, codec, pack_tree
from relenv.bundle.content import exclude, include, keep_scripts, make_scripts, targets_of
from relenv.bundle.formats import FORMATS, LEVELS, Job, Written, refuse, write
from relenv.bundle.wheel import build_wheel, compiler_environ
from relenv.download import sha256_of
from relenv.environment import Environment, copy_tree, create, installed, pip_environ, pip_install
from relenv.errors import BuildError, CacheError, CheckError, ConfigError, OutputError
from relenv.inside import run_python
from relenv.interpreter import Interpreter, Wanted
from relenv.manifest import MANIFEST
from relenv.obtain import obtain_interpreter
from relenv.relocate import bytecode
from relenv.relocate.elf import glibc_floor
from relenv.store import remove_tree, try_writing, write_text
from relenv.texts import template
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from relenv.bundle.config import AppConfig
    from relenv.context import Context

MOVED = "moved to ünother place"
"""Where a bundle is checked: a directory with a space and a letter outside ASCII."""

IMPORT = """\
import importlib, sys
module, _, names = sys.argv[1].partition(":")
found = importlib.import_module(module)
for name in filter(None, names.split(".")):
    found = getattr(found, name)
"""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was written, in one format or several."""

    files: tuple[Written, ...]
    name: str
    """The directory it unpacks to."""
    python: str
    project: str
    version: str
    scripts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class App:
    """A project as installed in an environment."""

    environment: Environment
    name: str
    """As the project spells it."""
    version: str
    entry_points: tuple[EntryPoint, ...]
    """What its scripts call."""

    @property
    def scripts(self) -> tuple[str, ...]:
        """The names of its scripts."""
        return tuple(entry.name for entry in self.entry_points)


def make_bundle(context: Context, config: AppConfig) -> Bundle:
    """Bundle a project.

    Args:
        context: the edges.
        config: the project.

    Raises:
        RelenvError: of one kind or another, see `relenv.errors`; nothing is left behind then.
    """
    wanted = Wanted(python=config.python, requires=config.requires_python, project=config.root)
    _prepare_output(config)
    interpreter = obtain_interpreter(context, wanted)
    with _workplace(context) as work:
        pack = _pack(context, interpreter, config.compression)
        app = _install_app(context, config, interpreter, pack, work)
        name = config.name or _file_name(config.project or app.name)
        targets = {form: _target(config, name, form) for form in config.formats}
        for form, target in targets.items():
            refuse(form, target)
        glibc = _finish(context, app, config, interpreter, name)
        moved = work / MOVED / name
        moved.parent.mkdir()
        app.environment.root.rename(moved)
        with working(context.ui, "Checking the bundle in another place"):
            _check(app, moved)
            _smoke(config.smoke, moved, work / f"{MOVED} again" / name)
        job = Job(
            tree=moved,
            name=name,
            title=f"{app.name} {app.version}",
            facts={
                "program": f"{app.name} {app.version}",
                "python": interpreter.version,
                "needs": f"{interpreter.triplet}, glibc {glibc} or newer",
                "scripts": ", ".join(app.scripts),
            },
            scripts=app.scripts,
            compression=config.compression,
            pack=pack,
            jobs=context.jobs,
            ui=context.ui,
        )
        files = tuple(write(job, form, target) for form, target in targets.items())
    return Bundle(
        files=files,
        name=name,
        python=interpreter.version,
        project=app.name,
        version=app.version,
        scripts=app.scripts,
    )


def _prepare_output(config: AppConfig) -> None:
    """Find out before anything is built whether the result can be written.

    Raises:
        OutputError: it cannot.
    """
    hint = "choose another place with --output"
    if _is_folder(config):
        try:
            Path(config.output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{config.output} cannot be created: {error.strerror}", hint=hint) from error
        try_writing(Path(config.output), hint=hint)
    else:
        try_writing(Path(config.output).parent, hint=hint)


def _is_folder(config: AppConfig) -> bool:
    """Tell whether the output is a directory, in which files are named after the bundle."""
    output = config.output
    return not output or output.endswith("/") or len(config.formats) > 1 or Path(output).is_dir()


def _target(config: AppConfig, name: str, form: str) -> Path:
    return Path(config.output) / f"{name}{FORMATS[form].suffix}" if _is_folder(config) else Path(config.output)


@contextmanager
def _workplace(context: Context) -> Iterator[Path]:
    """Give a directory in the cache that is gone afterwards."""
    for stale in context.cache.work.glob("bundle-*-*"):
        if not _alive(int(stale.name.split("-")[1])):  # it was killed, and could not clean up
            remove_tree(stale)
    path = context.cache.work / f"bundle-{os.getpid()}-{secrets.token_hex(4)}"
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        remove_tree(path)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's, and alive
    return True


def _file_name(project: str) -> str:
    return re.sub(r"[^\w.-]+", "-", project)


def _install_app(context: Context, config: AppConfig, interpreter: Interpreter, pack: Pack, work: Path) -> App:
    """Build the project's wheel and install it with its dependencies into a fresh environment."""
    label = config.project or config.root.resolve().name
    compiler = compiler_environ(context.toolchain(), context.environ)
    wheels = context.cache.root / "pip"
    context.cache.use(wheels)
    environ = {**pip_environ(context.environ, wheels), **_pip_settings(config)}
    with working(context.ui, f"Building {label}", f"Built {label}"):
        wheel = build_wheel(config.root, interpreter, work, label=label, environ=environ, compiler=compiler)
    environment = create(interpreter, work / "environment", share=True)
    with _unharmed(interpreter, pack):
        extras = f"[{','.join(config.extras)}]" if config.extras else ""
        what = f"{label} and its dependencies"
        with working(context.ui, f"Installing {what}", f"Installed {what}"), _wheels_for(config.glibc, environment):
            pip_install(
                [environment.root / "bin" / "pip3"],
                ["--no-compile", "--", f"{wheel}{extras}", *config.group_requires],
                environ={**environ, **compiler},
                what=label,
            )
    _own_python(interpreter, environment.root)
    return _with_scripts(_app(environment, wheel, config), config)


def _pip_settings(config: AppConfig) -> dict[str, str]:
    """Return what the project says of where packages come from, as pip's variables."""
    links = (one if "://" in one else Path(one).as_uri() for one in config.find_links)  # a blank would part them
    settings = {
        "PIP_INDEX_URL": config.index_url,
        "PIP_EXTRA_INDEX_URL": " ".join(config.extra_index_url),
        "PIP_FIND_LINKS": " ".join(links),
        "PIP_ONLY_BINARY": ",".join(config.only_binary),
    }
    return {name: value for name, value in settings.items() if value}


@contextmanager
def _wheels_for(glibc: str, environment: Environment) -> Iterator[None]:
    """Let pip choose wheels for a glibc that is older than this machine's.

    By the module that distributions have for such a thing: PEP 600, "Package installers".
    """
    module = environment.site_packages / "_manylinux.py"
    if glibc:
        minor = int(glibc.partition(".")[2])
        code = f"def manylinux_compatible(major, minor, arch):\n    return (major, minor) <= (2, {minor})\n"
        module.write_text(code, encoding="utf-8")
    try:
        yield
    finally:
        module.unlink(missing_ok=True)


def _with_scripts(app: App, config: AppConfig) -> App:
    """Give the environment the scripts that are configured, and return the project with these."""
    root = app.environment.root
    if config.new_scripts:
        new = [EntryPoint(name, value, "console_scripts") for name, value in sorted(config.new_scripts.items())]
        app = dataclasses.replace(app, entry_points=tuple(new))
    elif config.scripts is not None:
        keep_scripts(root, config.scripts)
        app = dataclasses.replace(app, entry_points=_called(app, config.scripts))
    if config.new_scripts or config.env:
        make_scripts(root, targets_of(app.entry_points), config.env)
    if config.new_scripts:
        keep_scripts(root, app.scripts)
    return app


def _called(app: App, names: Collection[str]) -> tuple[EntryPoint, ...]:
    """Return the entry points of scripts, whichever package they come from."""
    found = {
        entry.name: entry
        for distribution in installed(app.environment)
        for entry in distribution.entry_points
        if entry.group in ("console_scripts", "gui_scripts")
    }
    return tuple(found[name] for name in names if name in found)


def _app(environment: Environment, wheel: Path, config: AppConfig) -> App:
    try:
        name, _, _, _ = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise BuildError(f"the build backend made a wheel with an invalid name: {wheel.name}") from error
    found = {canonicalize_name(d.name): d for d in map(Distribution.at, _forget_origins(environment))}
    if name not in found:
        raise BuildError(f"{wheel.name} did not install {name}")
    distribution = found[name]
    offered = {canonicalize_name(extra) for extra in distribution.metadata.get_all("Provides-Extra") or ()}
    if unknown := [extra for extra in config.extras if canonicalize_name(extra) not in offered]:
        raise ConfigError(
            f"{distribution.name} has no extra `{unknown[0]}`",
            hint=f"it has: {', '.join(sorted(offered)) or 'none'}",
        )
    installed = {canonicalize_name(extra) for extra in config.extras}
    entries = distribution.entry_points
    scripts = [*entries.select(group="console_scripts"), *entries.select(group="gui_scripts")]
    # one that needs an extra which is not installed is there, but cannot work
    wanted = [entry for entry in scripts if {canonicalize_name(extra) for extra in entry.extras} <= installed]
    return App(
        environment=environment,
        name=distribution.name,
        version=distribution.version,
        entry_points=tuple(sorted(wanted, key=lambda entry: entry.name)),
    )


def _forget_origins(environment: Environment) -> list[Path]:
    """Remove each direct_url.json (PEP 610): it names a directory of this machine. Return every .dist-info."""
    infos = sorted(environment.site_packages.glob("*.dist-info"))
    for info in infos:
        if (info / "direct_url.json").is_file():
            (info / "direct_url.json").unlink()
            record = info / "RECORD"
            rows = record.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = "".join(row for row in rows if "/direct_url.json," not in row)
            record.write_text(kept, encoding="utf-8", newline="")
    return infos


def _finish(context: Context, app: App, config: AppConfig, interpreter: Interpreter, name: str) -> str:
    """Turn an environment into what is shipped: bytecode, no links, a manifest, a word to whoever unpacks it.

    Returns:
        The glibc that it needs.

    Raises:
        CheckError: that is newer than the project allows.
    """
    root = app.environment.root
    include(root, config.root, config.include)
    exclude(root, config.exclude)
    given = {path.name for path in (interpreter.root / app.environment.site_packages.relative_to(root)).iterdir()}
    added = sorted(path for path in app.environment.site_packages.iterdir() if path.name not in given)
    if config.bytecode:
        bytecode.compile_tree(root, *added)
    _resolve_links(root)
    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    floor, culprit = glibc_floor(app.environment.site_packages)
    glibc = ".".join(map(str, floor))
    if culprit and config.glibc and floor > tuple(map(int, config.glibc.split("."))):
        raise CheckError(
            f"{culprit.relative_to(app.environment.site_packages)} needs glibc {glibc}, and glibc = {config.glibc}",
            hint="another release of its package may have a wheel for older systems; or allow a newer glibc",
        )
    if culprit and not config.glibc:
        # the interpreter needs no more than 2.17, so this is a dependency's wheel
        context.ui.warn(
            f"the bundle needs glibc {glibc} because of {culprit.relative_to(app.environment.site_packages)}"
        )
    manifest["bundle"] = {
        "glibc": glibc,
        "name": name,
        "project": app.name,
        "version": app.version,
        "scripts": list(app.scripts),
    }
    write_text(root / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    write_text(root / "README.txt", _readme(app, interpreter, glibc))
    return glibc


def _readme(app: App, interpreter: Interpreter, glibc: str) -> str:
    title = f"{app.name} {app.version}"
    scripts = "".join(f"    bin/{entry.name}\n" for entry in app.entry_points) or "    bin/python3 -Im MODULE\n"
    values = {
        "NAME": title,
        "RULE": "=" * len(title),
        "PYTHON": interpreter.version,
        "GLIBC": glibc,
        "SERIES": interpreter.series,
        "MACHINE": interpreter.triplet.split("-")[0],
        "SCRIPTS": scripts.rstrip("\n"),
    }
    return template("bundle-readme.txt.in", values)


def _resolve_links(root: Path) -> None:
    """Leave no symbolic link: not every program that unpacks a zip makes them.

    Other names of what lies in the same directory go (`python3.13`, `libz.so`): nothing at run time asks for
    them. Any other link becomes a copy of what it points to.
    """
    for path in sorted(root.rglob("*")):
        if not path.is_symlink():
            continue
        target = path.resolve()
        path.unlink()
        if not target.exists() or not target.is_relative_to(root.resolve()) or target.parent == path.parent.resolve():
            continue
        if target.is_dir():
            shutil.copytree(target, path)
        else:
            shutil.copy2(target, path)


def _check(app: App, root: Path) -> None:
    """Import what each script starts with, in the bundle's new place.

    Raises:
        CheckError: one cannot be imported.
    """

    def importable(entry: EntryPoint) -> None:
        try:
            run_python(root, "-c", IMPORT, entry.value.split("[")[0].strip(), cwd=root.parent)
        except process.CommandError as error:
            reason = error.tail.strip().splitlines()[-1] if error.tail.strip() else error.how
            raise CheckError(
                f"the script {entry.name} ({entry.value}) cannot start in the bundle: {reason}",
                hint="is a dependency missing from project.dependencies? --debug shows the whole traceback",
            ) from error

    missing = [entry.name for entry in app.entry_points if not (root / "bin" / entry.name).is_file()]
    if missing:
        raise CheckError(f"the scripts {', '.join(missing)} were not installed")
    with ThreadPoolExecutor(max_workers=2) as pool:
        for _ in pool.map(importable, app.entry_points):
            pass


@contextmanager
def _unharmed(interpreter: Interpreter, pack: Pack) -> Iterator[None]:
    """Make sure that what runs in the body wrote into no file that the environment shares with the store.

    pip and the shim replace files; but a build script may do anything, and may fail afterwards.

    Raises:
        CacheError: it happened; the interpreter is removed from the store, and laid out anew next time.
    """
    try:
        yield
    finally:
        for path in interpreter.root.rglob("*"):
            if not path.is_symlink() and path.is_file() and sha256_of(path) not in pack.known:
                remove_tree(interpreter.root)
                remove_tree(pack.root)
                raise CacheError(
                    f"installing changed a file of the interpreter in place: {path.relative_to(interpreter.root)}",
                    hint="the cache was put right; a package that does this cannot be bundled",
                )


def _own_python(interpreter: Interpreter, root: Path) -> None:
    """Refuse a package that put a script in the place of the interpreter itself.

    Raises:
        CheckError: it did.
    """
    for name in ("python3", "python", f"python{interpreter.series}"):
        ours, theirs = interpreter.root / "bin" / name, root / "bin" / name
        if theirs.is_file() and theirs.read_bytes() != ours.read_bytes():
            raise CheckError(f"a package installed a script named {name}, which is the interpreter's own name")


def _smoke(commands: Sequence[str], bundle: Path, root: Path) -> None:
    """Run commands in a copy of the bundle: what they write, bytecode for one, is not shipped.

    Args:
        commands: for sh.
        bundle: what is going to be shipped.
        root: where the copy goes.

    Raises:
        CheckError: one fails.
    """
    if commands:
        copy_tree(bundle, root)
    env = {"PATH": f"{root / 'bin'}{os.pathsep}{os.defpath}", "HOME": str(root.parent), "LC_ALL": "C.UTF-8"}
    for command in commands:
        try:
            process.run(["sh", "-c", command], cwd=root.parent, env=env)
        except process.CommandError as error:
            raise CheckError(f"smoke: `{command}` failed ({error.how}) in the bundle", detail=error.tail) from error


def _pack(context: Context, interpreter: Interpreter, compression: str) -> Pack:
    """Return the interpreter's files, deflated once and for all."""
    level = LEVELS[compression]
    kind = re.sub(r"[^\w.]+", "-", codec(level))
    final = interpreter.root.with_name(f"{interpreter.root.name}.pack-{kind}")
    context.cache.use(final)
    with context.cache.lock(final.name, context.ui):
        if final.is_dir():
            try:
                return Pack.open(final)
            except CacheError:
                remove_tree(final)
        with working(context.ui, f"Compressing Python {interpreter.version}, once for all bundles"):
            return pack_tree(interpreter.root, final, level=level, jobs=context.jobs)
