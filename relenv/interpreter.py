"""From a request such as "3.13" to an interpreter in the store: chosen, planned, built, laid out."""

from __future__ import annotations

import difflib
import hashlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from relenv import process
from relenv.build import build
from relenv.errors import ChecksumError, ConfigError, SourceError, UsageError
from relenv.layout import lay_out, layout_key
from relenv.manifest import MANIFEST
from relenv.plan import KEY_LENGTH, Plan, make_plan
from relenv.recipes.cpython import CPYTHON, DEFAULT_SERIES, recipe_for, series_of
from relenv.recipes.libraries import LIBRARIES
from relenv.recipes.profiles import PROFILES, profile_for
from relenv.sources import cached_tarball
from relenv.store import packed_name, remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from packaging.specifiers import SpecifierSet

    from relenv.context import Context
    from relenv.recipes.model import Recipe, Source
    from relenv.sources import Obtained
    from relenv.store import Cache


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A relocatable CPython in the store."""

    root: Path
    version: str
    triplet: str
    key: str

    @property
    def series(self) -> str:
        """`3.13` of `3.13.15`."""
        return series_of(self.version)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which Python is asked for.

    Raises:
        UsageError: `python` is no version.
    """

    python: str = ""
    """`3.13`, `3.13.15`, or empty for the default."""
    requires: SpecifierSet | None = None
    """A project's requires-python."""
    project: object = "the project"
    """What to call that project in a message."""

    def __post_init__(self) -> None:
        """Refuse what is no version, whoever is asked for it."""
        try:
            Version(self.python or "3")
        except InvalidVersion:
            hint = "write it as 3.13, or 3.13.15 for exactly that one"
            raise UsageError(f"{self.python!r} is not a Python version", hint=hint) from None

    def meant(self, version: str) -> bool:
        """Tell whether `python` means this version, whatever the project requires."""
        asked = self.python.split(".") if self.python else []
        return version.split(".")[: len(asked)] == asked

    def admits(self, version: str) -> bool:
        """Tell whether this version would do."""
        return self.meant(version) and (self.requires is None or self.requires.contains(version))


def preferred(versions: Iterable[str]) -> tuple[str, ...]:
    """Return of some versions, the newest first, those of one series: the default one if it is among them."""
    versions = list(versions)
    serieses = [series_of(version) for version in versions]
    series = DEFAULT_SERIES if DEFAULT_SERIES in serieses else next(iter(serieses), "")
    return tuple(version for version in versions if series_of(version) == series)


def releases_for(wanted: Wanted) -> tuple[Recipe, ...]:
    """Return the releases of CPython that can be built and would do, the preferred one first.

    Raises:
        UsageError: no such version is known. ConfigError: requires-python excludes it.
    """
    meant = [recipe for recipe in CPYTHON if wanted.meant(recipe.version)]
    if not meant:
        raise _unknown(wanted.python)
    fitting = [recipe for recipe in meant if wanted.admits(recipe.version)]
    if not fitting:
        asked = f"python = {wanted.python}" if wanted.python else f"any of {_spell(meant)}"
        others = [recipe for recipe in CPYTHON if wanted.requires is None or wanted.requires.contains(recipe.version)]
        raise ConfigError(
            f"{wanted.project}: requires-python ({wanted.requires}) excludes {asked}",
            hint=f"relenv can build {_spell(others)}, which it admits" if others else "change requires-python",
        )
    chosen = preferred(recipe.version for recipe in fitting)
    return tuple(recipe for recipe in fitting if recipe.version in chosen)


def _unknown(python: str) -> UsageError:
    close = difflib.get_close_matches(python, [recipe.version for recipe in CPYTHON], n=1, cutoff=0.75)
    hint = f"did you mean {close[0]}? " if close else ""
    return UsageError(f"Python {python} is not known to this relenv", hint=f"{hint}it can build {_spell(CPYTHON)}")


def _spell(recipes: Sequence[Recipe]) -> str:
    return ", ".join(recipe.version for recipe in recipes)


def built(context: Context, releases: tuple[Recipe, ...]) -> Interpreter | None:
    """Return the interpreter of one of these releases that was built before and is as it would be built now."""
    there = (path for recipe in releases for path in context.cache.store.glob(f"python-{recipe.version}-*"))
    if next(there, None) is None:
        return None  # to find out how it would be built may take the network
    interpreter = _interpreter_of(context, resolve_plan(context, releases))
    context.cache.use(interpreter.root)
    return interpreter if interpreter.root.is_dir() else None


def _interpreter_of(context: Context, plan: Plan) -> Interpreter:
    version, key = plan.aim.recipe.version, key_of(plan)
    root = context.cache.store / f"python-{version}-{key}"
    return Interpreter(root=root, version=version, triplet=plan.platform.triplet, key=key)


def build_interpreter(
    context: Context, releases: tuple[Recipe, ...], *, requires: SpecifierSet | None = None
) -> Interpreter:
    """Return the first of these releases that can be had, from the store or built now.

    Args:
        context: the edges.
        releases: those of CPython to choose from, the preferred one first.
        requires: a project's requires-python: no other is offered where none of these can be had.

    Raises:
        SourceError: none of them, or a library they need, can be obtained. BuildError: a build failed.
    """
    plan = resolve_plan(context, releases, requires=requires)
    interpreter = _interpreter_of(context, plan)
    version, root, key = interpreter.version, interpreter.root, interpreter.key
    context.cache.use(root)
    if root.is_dir():
        return interpreter
    with context.cache.lock(root.name, context.ui):
        if not root.is_dir():
            toolchain = context.toolchain(plan.toolchain_key)
            if not profile_for(version, toolchain.name):
                context.ui.note(
                    f"no profile is frozen for {version} with {toolchain.name}: it will be some 10 % slower than one"
                    " built with a profile"
                )
            artifacts = build(plan, context.workshop())
            with _laying_out(context, interpreter) as partial:
                lay_out(partial, plan, artifacts, toolchain=toolchain, key=key)
            context.ui.step(f"Python {version} is ready")
    return interpreter


@contextmanager
def _laying_out(context: Context, interpreter: Interpreter) -> Iterator[Path]:
    """Give the directory to lay an interpreter out in; what fails there is an error of the build."""
    work = context.ui.work(f"Laying out Python {interpreter.version}")
    try:
        with context.cache.beside(interpreter.root) as partial:
            yield partial
    except process.CommandError as error:
        raise error.refusal(f"Python {interpreter.version}", context.cache.work) from error
    finally:
        work.drop()


def key_of(plan: Plan) -> str:
    """Return the key of the interpreter that is laid out of a plan's artifacts."""
    return hashlib.sha256(f"{plan.aim.key} {layout_key()}".encode()).hexdigest()[:KEY_LENGTH]


def resolve_plan(
    context: Context,
    releases: tuple[Recipe, ...],
    *,
    requires: SpecifierSet | None = None,
    aim_of: Callable[[Recipe, str], Recipe] | None = None,
) -> Plan:
    """Choose a release of each component that can be obtained, and plan the build.

    Args:
        context: the edges.
        releases: those of CPython to choose from, the preferred one first.
        requires: as of `build_interpreter`.
        aim_of: turns the chosen one into what is to be built with the toolchain of a name.

    Raises:
        SourceError: a component cannot be obtained. UsageError: the toolchain asked for is not here.
    """

    def choose(name: str, candidates: tuple[Recipe, ...]) -> Recipe:
        source = context.sources.resolve(name, [recipe.source for recipe in candidates])
        return next(recipe for recipe in candidates if recipe.source.sha256 == source.sha256)

    # what cannot be had is to be said before all else
    with _others_named(context, releases, requires):
        aim = choose(f"cpython-{series_of(releases[0].version)}", releases)
        if not any(context.cache.store.glob(f"python-{aim.version}-*")):
            context.sources.obtain(aim.source)
    with process.pool(4) as pool:
        chosen = {need: pool.submit(choose, need, LIBRARIES[need]) for need in aim.needs}
        libraries = {need: future.result() for need, future in chosen.items()}
        toolchain = context.compiler_for(aim.version)
        aim = aim_of(aim, toolchain.name) if aim_of else recipe_for(aim.source, toolchain.name)
        return make_plan(aim, libraries, platform=context.platform, toolchain_key=toolchain.key)


@contextmanager
def _others_named(
    context: Context, releases: tuple[Recipe, ...], requires: SpecifierSet | None = None
) -> Iterator[None]:
    """Let an error that says that none of these releases can be obtained say which others can, and would do."""
    try:
        yield
    except ChecksumError:
        raise
    except SourceError as error:
        admits = Wanted(requires=requires).admits
        others = [one for one in CPYTHON if one not in releases and admits(one.version)]
        if versions := _to_be_had(context, others, but={series_of(recipe.version) for recipe in releases}):
            error.hint = f"these can be had here: {', '.join(versions)}\n{error.hint}"
        raise


def _to_be_had(context: Context, recipes: Sequence[Recipe], *, but: Collection[str]) -> list[str]:
    """Return the versions of those releases that are built, and the newest that can be obtained of other series.

    That one is listed somewhere does not mean that it can be had: it is obtained, to know.
    """
    found = {one.version for one in known_versions(context.cache) if one.interpreters}
    for series in {series_of(recipe.version) for recipe in recipes} - set(but):
        sources = [recipe.source for recipe in recipes if series_of(recipe.version) == series]
        with suppress(SourceError):
            found.add(context.sources.newest(sources).source.version)
    return [recipe.version for recipe in recipes if recipe.version in found]


@dataclass(frozen=True, kw_only=True)
class Known:
    """A release of CPython that can be built, and what of it is in the cache."""

    source: Source
    downloaded: bool
    profiles: tuple[str, ...]
    """The toolchains for which a profile of it is frozen, by name."""
    interpreters: tuple[Path, ...]
    """Those that were built."""

    @property
    def version(self) -> str:
        """The release's version."""
        return self.source.version


def known_versions(cache: Cache) -> list[Known]:
    """Return every release that can be built, newest first."""
    return [
        Known(
            source=recipe.source,
            profiles=tuple(profile.toolchain for profile in PROFILES if profile.version == recipe.version),
            downloaded=cached_tarball(cache, recipe.source).is_file(),
            interpreters=tuple(
                path for path in sorted(cache.store.glob(f"python-{recipe.version}-*")) if (path / MANIFEST).is_file()
            ),
        )
        for recipe in CPYTHON
    ]


def fetch_sources(context: Context, releases: tuple[Recipe, ...]) -> list[Obtained]:
    """Obtain the toolchain and every tarball that building one of these releases takes; build nothing.

    Raises:
        SourceError: something cannot be obtained.
    """
    plan = resolve_plan(context, releases)
    context.toolchain(plan.toolchain_key)
    return [context.sources.obtain(node.recipe.source) for node in plan.nodes]


def forget(
    context: Context, releases: tuple[Recipe, ...], *, aim_of: Callable[[Recipe, str], Recipe] | None = None
) -> None:
    """Remove from the store what building one of these releases made, so that it is made anew.

    Args:
        context: the edges.
        releases: those of CPython to choose from, the preferred one first.
        aim_of: as of `resolve_plan`: what was built is something else than an interpreter.
    """
    plan = resolve_plan(context, releases, aim_of=aim_of)
    cache, version = context.cache, plan.aim.recipe.version
    names = [node.slug for node in plan.nodes]
    for pattern in () if aim_of else (f"python-{version}-*", packed_name(version, "*")):
        names += [path.name for path in cache.store.glob(pattern)]
    for name in names:
        with cache.lock(name, context.ui), suppress(FileNotFoundError):
            remove_tree(cache.put_away(cache.store / name))
