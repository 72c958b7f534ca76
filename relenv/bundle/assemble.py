"""From a project to a zip: wheel, environment, check, archive. Each stage takes what the one before it made."""

from __future__ import annotations

import json
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
from relenv import toolchain as toolchains
from relenv.bundle.archive import Archive, Pack, codec, pack_tree, write_zip
from relenv.bundle.wheel import build_wheel, compiler_environ
from relenv.download import sha256_of
from relenv.environment import Environment, create, pip_install
from relenv.errors import BuildError, CacheError, CheckError, OutputError
from relenv.interpreter import MANIFEST, Interpreter, ensure_interpreter, releases_for, run_python
from relenv.relocate import bytecode
from relenv.store import remove_tree, write_text
from relenv.texts import template
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relenv.bundle.config import AppConfig
    from relenv.context import Context

LEVEL = 6
"""zlib's; 9 takes seven times as long for nothing."""

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
    """A bundle that was written."""

    path: Path
    name: str
    """The directory it unpacks to."""
    sha256: str
    size: int
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
    """Its console and gui scripts."""


def make_bundle(context: Context, config: AppConfig, *, output: Path | None) -> Bundle:
    """Bundle a project.

    Args:
        context: the edges.
        config: the project.
        output: the zip file to write, or None for one named after the bundle in the current directory.

    Raises:
        RelenvError: of one kind or another, see `relenv.errors`; nothing is left behind then.
    """
    releases = releases_for(config.python, config.requires_python, project=config.root)
    _writable((output or Path("x")).parent)
    interpreter = ensure_interpreter(context, releases)
    with _workplace(context) as work:
        app = _install_app(context, config, interpreter, work)
        name = config.name or _file_name(config.project or app.name)
        target = output or Path(f"{name}.zip")
        _finish(app, interpreter, name)
        moved = work / MOVED / name
        moved.parent.mkdir()
        app.environment.root.rename(moved)
        with working(context.ui, "Checking the bundle in another place"):
            _check(app, moved)
        archive = write_zip(moved, target, top=name, base=_pack(context, interpreter), ui=context.ui, level=LEVEL)
    return _describe(archive, app, interpreter, name)


def _describe(archive: Archive, app: App, interpreter: Interpreter, name: str) -> Bundle:
    return Bundle(
        path=archive.path,
        name=name,
        sha256=archive.sha256,
        size=archive.size,
        python=interpreter.version,
        project=app.name,
        version=app.version,
        scripts=tuple(entry.name for entry in app.entry_points),
    )


def _writable(folder: Path) -> None:
    """Try before minutes of work whether the result can be written."""
    probe = folder / f".relenv-{secrets.token_hex(4)}.part"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{folder.absolute()} is not writable: {error.strerror}",
            hint="choose another place with --output FILE",
        ) from error


@contextmanager
def _workplace(context: Context) -> Iterator[Path]:
    """Give a directory in the cache that is gone afterwards."""
    path = context.cache.work / f"bundle-{secrets.token_hex(6)}"
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        remove_tree(path)


def _file_name(project: str) -> str:
    return re.sub(r"[^\w.-]+", "-", project)


def _install_app(context: Context, config: AppConfig, interpreter: Interpreter, work: Path) -> App:
    """Build the project's wheel and install it with its dependencies into a fresh environment."""
    label = config.project or config.root.resolve().name
    compiler = compiler_environ(_toolchain(context), context.environ)
    with working(context.ui, f"Building {label}", f"Built {label}"):
        wheel = build_wheel(config.root, interpreter, work, label=label, environ=context.environ, compiler=compiler)
    environment = create(interpreter, work / "environment", share=True)
    extras = f"[{','.join(config.extras)}]" if config.extras else ""
    with working(context.ui, f"Installing {label} and its dependencies", f"Installed {label} and its dependencies"):
        pip_install(
            [environment.root / "bin" / "pip3"],
            ["--no-compile", "--", f"{wheel}{extras}"],
            environ={**context.environ, **compiler},
            what=label,
        )
    return _app(environment, wheel, config.extras)


def _toolchain(context: Context) -> toolchains.Toolchain:
    return toolchains.ensure(context.platform, cache=context.cache, ui=context.ui, environ=context.environ)


def _app(environment: Environment, wheel: Path, extras: tuple[str, ...]) -> App:
    try:
        name, _, _, _ = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise BuildError(f"the build backend made a wheel with an invalid name: {wheel.name}") from error
    for info in environment.site_packages.glob("*.dist-info"):
        distribution = Distribution.at(info)
        if canonicalize_name(distribution.name) == name:
            entries = distribution.entry_points
            scripts = [*entries.select(group="console_scripts"), *entries.select(group="gui_scripts")]
            # one that needs an extra which is not installed is there, but cannot work
            wanted = [entry for entry in scripts if set(entry.extras) <= set(extras)]
            _forget_origin(info)
            return App(
                environment=environment,
                name=distribution.name,
                version=distribution.version,
                entry_points=tuple(sorted(wanted, key=lambda entry: entry.name)),
            )
    raise BuildError(f"{wheel.name} did not install {name}")


def _forget_origin(info: Path) -> None:
    """Remove direct_url.json (PEP 610): it names the directory the wheel was built in."""
    (info / "direct_url.json").unlink(missing_ok=True)
    record = info / "RECORD"
    rows = record.read_text(encoding="utf-8").splitlines(keepends=True)
    record.write_text("".join(row for row in rows if "/direct_url.json," not in row), encoding="utf-8", newline="")


def _finish(app: App, interpreter: Interpreter, name: str) -> None:
    """Turn an environment into what is shipped: bytecode, no links, a manifest, a word to whoever unpacks it."""
    root = app.environment.root
    given = {path.name for path in (interpreter.root / app.environment.site_packages.relative_to(root)).iterdir()}
    added = sorted(path for path in app.environment.site_packages.iterdir() if path.name not in given)
    bytecode.compile_tree(root, *added)
    _resolve_links(root)
    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    scripts = [entry.name for entry in app.entry_points]
    manifest["bundle"] = {"name": name, "project": app.name, "version": app.version, "scripts": scripts}
    write_text(root / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    write_text(root / "README.txt", _readme(app, interpreter))


def _readme(app: App, interpreter: Interpreter) -> str:
    title = f"{app.name} {app.version}"
    scripts = "".join(f"    bin/{entry.name}\n" for entry in app.entry_points) or "    bin/python3 -m MODULE\n"
    values = {
        "NAME": title,
        "RULE": "=" * len(title),
        "PYTHON": interpreter.version,
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


def _unharmed(interpreter: Interpreter, root: Path, pack: Pack) -> None:
    """Make sure that nothing wrote into a file that the bundle shares with the store.

    pip and the shim replace files; but a build script may do anything.

    Raises:
        CacheError: it happened; the interpreter is removed from the store, and built anew from its parts next time.
    """
    for path in interpreter.root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        copy = root / path.relative_to(interpreter.root)
        if copy.is_file() and copy.samefile(path) and sha256_of(path) not in pack.known:
            remove_tree(interpreter.root)
            raise CacheError(
                f"installing changed a file of the interpreter in place: {path.relative_to(interpreter.root)}",
                hint="the cache was put right; a package that does this cannot be bundled",
            )


def _pack(context: Context, interpreter: Interpreter) -> Pack:
    """Return the interpreter's files, deflated once and for all."""
    kind = re.sub(r"[^\w.]+", "-", codec(LEVEL))
    final = interpreter.root.with_name(f"{interpreter.root.name}.pack-{kind}")
    with context.cache.lock(final.name, context.ui):
        if final.is_dir():
            try:
                return Pack.open(final)
            except CacheError:
                remove_tree(final)
        with working(context.ui, f"Compressing Python {interpreter.version}, once for all bundles"):
            return pack_tree(interpreter.root, final, level=LEVEL)
