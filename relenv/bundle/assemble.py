"""From a project to a zip: wheel, environment, check, archive. Each stage takes what the one before it made."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from relenv.bundle import reach
from relenv.bundle.content import README, exclude, include, keep_scripts, make_scripts, open_up, targets_of
from relenv.bundle.dependencies import Dependencies, Installer, Site, installer_for, locker_for, resolve
from relenv.bundle.documents import Subject, document
from relenv.bundle.doubts import doubts, refuse_links
from relenv.bundle.examined import examine
from relenv.bundle.formats import FORMATS, Job, isolating, refuse, refuse_name, write
from relenv.bundle.integration import Program, integrate
from relenv.bundle.layers import (
    Layer,
    Treatment,
    digests,
    finish,
    floors,
    give_back,
    layer,
    link,
    own_files,
    packs,
    trimmed,
)
from relenv.bundle.locks import find_lock, is_flat, pylock_of, read_lock, workspace_sources
from relenv.bundle.made import Bundle, Written
from relenv.bundle.members import build_members
from relenv.bundle.output import file_name, in_turn, is_folder, target_of, try_making
from relenv.bundle.prune import MAX, NONE, compile_for, kept, prune_aside
from relenv.bundle.symbols import drop_debugging
from relenv.bundle.trial import smoke, try_scripts
from relenv.bundle.unharmed import TouchedError, unharmed, untouched
from relenv.bundle.uniform import install
from relenv.bundle.unstarted import Ground
from relenv.bundle.wheel import Wheel, build_wheel, builders_for, compiler_environ, here, marker_environment
from relenv.checksums import sha256_of
from relenv.environment import Environment, copy_tree, installed, pip_environ
from relenv.errors import BuildError, CheckError, ConfigError, UsageError
from relenv.manifest import MANIFEST
from relenv.obtain import obtain_interpreter
from relenv.relocate.bytecode import CACHE
from relenv.relocate.elf import GLIBC_FLOOR
from relenv.store import try_writing, write_text
from relenv.texts import template
from relenv.ui import working
from relenv.workplace import temporary, workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from relenv.bundle.config import AppConfig
    from relenv.context import Context
    from relenv.interpreter import Interpreter
    from relenv.ui import Ui

    Then = Callable[[Job, Sequence[Written], Path], None]

MOVED = os.fsdecode("moved to ünother place".encode())
"""Where a bundle is checked: a directory with a space and a letter outside ASCII, in UTF-8 whatever the locale."""

NO_NETWORK = {
    **dict.fromkeys(("PIP_NO_INDEX", "UV_OFFLINE"), "1"),
    "PIP_RETRIES": "0",
    # nothing listens there: whatever would ask a network fails at once
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
}
"""What has pip and uv use what is here, and nothing else."""


NO_SCRIPTS = "none, so it starts python3 {flags}; [project.scripts], or `scripts` in [tool.relenv], gives it some"

STEADY = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
"""What has a build go through sets in the same order, and read files as UTF-8 in every locale."""


@dataclass(frozen=True, kw_only=True)
class App:
    """A project as installed in an environment."""

    environment: Environment
    name: str
    """As the project spells it."""
    version: str
    summary: str
    """The project's description, maybe empty."""
    entry_points: tuple[EntryPoint, ...]
    """What its scripts call."""
    installers: tuple[str, ...] = ()
    """Programs beside them that install a service, or put a script into the menu."""
    included: tuple[str, ...] = ()
    """The files that `include` brought, relative to the environment."""

    @property
    def scripts(self) -> tuple[str, ...]:
        """The names of its scripts."""
        return tuple(entry.name for entry in self.entry_points)


def make_bundle(context: Context, config: AppConfig, then: Then | None = None) -> Bundle:
    """Bundle a project.

    Args:
        context: the edges.
        config: the project.
        then: is given what was written, while the tree is still there, and a directory to work in.

    Raises:
        RelenvError: of one kind or another, see `relenv.errors`; nothing is left behind then.
    """
    _prepare(context, config)
    interpreter = obtain_interpreter(context, config.wanted)
    with workplace(context.cache, "bundle") as work:
        site = _site(context, config, interpreter, work)
        wheel = _build(site)
        name = config.name or file_name(config.project or wheel.name)
        targets = _free_targets(config, name)
        treatment = Treatment(prune=config.prune, bytecode=config.bytecode, keep=kept(wheel.texts(), config.prune))
        app, below, used = _assembled(site, wheel, name, treatment)
        moved = app.environment.root
        if config.bytecode and config.prune != MAX:  # there, what has no bytecode cannot be compiled
            compile_for(moved, config.prune, *sorted(used))
        known = digests(moved, below)
        glibc = _glibc(context, app, config, below, known)
        _finish(app, config, interpreter, name, glibc)
        known[README] = sha256_of(moved / README)
        subject = Subject(site=site, environment=app.environment, project=app.name, origins=below.origins)
        known = document(subject, known)
        examine(context, app.environment, below, known, glibc=config.glibc)
        job = _job(site, app, below, name=name, glibc=glibc, known=known)
        files = _write_all(job, targets, context.ui)
        if then:
            then(job, files, work)
        give_back(below, moved)
    return Bundle(
        files=files,
        name=name,
        python=interpreter.version,
        project=app.name,
        version=app.version,
        scripts=app.scripts,
        installers=app.installers,
        until=below.until,
    )


def _assembled(site: Site, wheel: Wheel, name: str, treatment: Treatment) -> tuple[App, Layer, set[Path]]:
    """Lay a bundle out and try it.

    Returns:
        The project in it, what that was installed on, and the sources that were compiled as it was tried.
    """
    below = _dependencies(site, wheel, treatment)
    app = _laid_out(site, wheel, below, name, treatment)
    try:
        return app, below, _tried(site, app, apart=below.is_written_to)
    except TouchedError as error:
        # Another tree, of files that nothing has written to, and from now on such scripts are tried in a copy.
        again = dataclasses.replace(site, work=site.work / "again")
        again.work.mkdir()
        below = _dependencies(again, wheel, treatment)
        if not below.digests.keys().isdisjoint(error.names):
            below.mark_written_to()
        app = _laid_out(again, wheel, below, name, treatment)
        return app, below, _tried(again, app, apart=True)


def _laid_out(site: Site, wheel: Wheel, below: Layer, name: str, treatment: Treatment) -> App:
    """Install the project beside what it needs."""
    moved = site.work / MOVED / name
    moved.parent.mkdir()
    link(below, moved)
    app = _install(site, wheel, Environment(root=moved, interpreter=site.interpreter), treatment)
    if site.config.prune == MAX:
        _leave_out(site, wheel, app, below)
    return app


def _tried(site: Site, app: App, *, apart: bool) -> set[Path]:
    """Try the scripts and the smoke commands; return the sources that were compiled for that.

    Args:
        site: the edges.
        app: the project, in the bundle.
        apart: whether the scripts are tried in a copy, as the smoke commands are: that takes a second for 5000 files.

    Raises:
        TouchedError: there was no copy, and they have changed files.
    """
    context, config, root = site.context, site.config, app.environment.root
    ground = Ground(root=root, project=config.root, interpreter=site.interpreter)
    with working(context.ui, "Checking the bundle in another place"):
        if apart:
            copy = site.work / f"{MOVED} apart" / root.name
            copy_tree(root, copy)
            tried = try_scripts(app.entry_points, dataclasses.replace(ground, root=copy), context.ui)
            used = {root / path.relative_to(copy) for path in tried}
        else:
            with untouched(context.cache, site.interpreter, root) as new:
                used = try_scripts(app.entry_points, ground, context.ui)
            if written := [name for name in new if CACHE not in name.split("/")]:
                more = f" and {len(written) - 1} more" if written[1:] else ""
                context.ui.warn(f"what a script imports wrote {written[0]}{more} into the bundle; that is left out")
        return used | smoke(config.smoke, root, site.work / f"{MOVED} again" / root.name, context.ui)


def _write_all(job: Job, targets: Mapping[str, Path], ui: Ui) -> tuple[Written, ...]:
    """Write each format to its place; they are all in one directory."""
    with in_turn(next(iter(targets.values())).parent, ui):
        return tuple(write(job, form, target) for form, target in targets.items())


def _free_targets(config: AppConfig, name: str) -> dict[str, Path]:
    """Return where each format goes.

    Raises:
        OutputError: a place cannot be taken, see `refuse`.
    """
    targets = {form: target_of(config, name, FORMATS[form].suffix) for form in config.formats}
    for form, target in targets.items():
        refuse(form, target)
    return targets


def _job(site: Site, app: App, below: Layer, *, name: str, glibc: str, known: Mapping[str, str]) -> Job:
    """Return what is to be written, and how."""
    context, config, interpreter = site.context, site.config, site.interpreter
    return Job(
        tree=app.environment.root,
        name=name,
        title=f"{app.name} {app.version}",
        facts={
            "program": f"{app.name} {app.version}",
            "python": interpreter.version,
            "needs": f"{interpreter.triplet}, glibc {glibc} or newer",
            "scripts": ", ".join(app.scripts) or NO_SCRIPTS.format(flags=isolating(config)),
        },
        scripts=app.scripts,
        compression=config.compression,
        packs=packs(context, below, config.compression, patient=config.prune == MAX) if "zip" in config.formats else (),
        digests=known,
        below=tuple(one.digests for one in below.layers),
        jobs=context.jobs,
        ui=context.ui,
        context=context,
        config=config,
    )


def _prepare(context: Context, config: AppConfig) -> None:
    """Find out before anything is built what can be known by then."""
    refuse_links(config)
    _prepare_output(config)
    for doubt in doubts(config):
        context.ui.warn(doubt)
    for form in config.formats:
        FORMATS[form].prepare(context, config)


def _prepare_output(config: AppConfig) -> None:
    """Find out before anything is built whether the result can be written.

    Raises:
        OutputError: it cannot, or something is there. UsageError, ConfigError: its name is that of another format.
    """
    refuse_name(config)
    hint = "choose another place with --output"
    if is_folder(config):
        try_making(Path(config.output), hint=hint)
    else:
        refuse(config.formats[0], Path(config.output))
        try_writing(Path(config.output).parent, hint=hint)


def _site(context: Context, config: AppConfig, interpreter: Interpreter, work: Path) -> Site:
    compiler = compiler_environ(context.toolchain(), interpreter.root, context.environ)
    pip, uv = context.cache.root / "pip", context.cache.root / "uv"
    for wheels in (pip, uv):
        context.cache.use(wheels)
    own = {"UV_CACHE_DIR": str(uv)} | compiler | STEADY | temporary(work)
    environ = pip_environ(context.environ, pip) | _pip_settings(config) | own
    label = config.project or config.root.resolve().name
    return Site(
        context=context,
        config=config,
        interpreter=interpreter,
        environ=environ | (NO_NETWORK if config.offline else {}),
        work=work,
        label=label,
    )


def _given(path: Path) -> Wheel:
    try:
        return Wheel.read(path)
    except BuildError as error:
        raise UsageError(f"--wheel {path} is no wheel: {error.__cause__}") from error


def _build(site: Site) -> Wheel:
    """Build the project's wheel, and see whether it is for this Python and has the extras that are wanted."""
    config = site.config
    if config.wheel:
        wheel = _given(config.wheel)
    else:
        with working(site.context.ui, f"Building {site.label}", f"Built {site.label}"):
            wheel = Wheel.read(build_wheel(config.root, builders_for(site), site.work))
    if config.wheel and config.project and canonicalize_name(config.project) != wheel.canonical:
        raise ConfigError(f"--wheel {config.wheel} is of {wheel.name}, and the project is {config.project}")
    if wheel.canonical == "pip":
        raise ConfigError("a project called pip cannot be bundled: each interpreter has one", hint="call it otherwise")
    if not wheel.requires_python.contains(site.interpreter.version):
        raise ConfigError(
            f"{site.label} requires Python {wheel.requires_python}, and {site.interpreter.version} is to be bundled",
            hint="choose another with `python` in [tool.relenv], or with --python",
        )
    offered = {canonicalize_name(extra) for extra in wheel.extras}
    if unknown := [extra for extra in config.extras if canonicalize_name(extra) not in offered]:
        raise config.fault("extras")(
            f"{wheel.name} has no extra `{unknown[0]}`", hint=f"it has: {', '.join(sorted(offered)) or 'none'}"
        )
    return wheel


def _dependencies(site: Site, wheel: Wheel, treatment: Treatment) -> Layer:
    """Return what the bundle holds besides the project: the interpreter and the dependencies, ready for use."""
    config = site.config
    installer = installer_for(site.context, config)
    requirements = wheel.requires(site.interpreter, config.extras) + here(config.group_requires, site.interpreter)
    wanted = _exactly(site, wheel, requirements, installer)
    if wanted.empty:
        return trimmed(site.context, site.interpreter, treatment)
    until = wanted.until if wanted.key else 0
    if installer.name == "pip":  # uv keeps what it takes to build them
        wanted = build_members(site, wanted)

    def fill(environment: Environment) -> dict[str, str]:
        what = f"what {site.label} needs"
        with working(site.context.ui, f"Installing {what}", f"Installed {what}"):
            origins = install(site, installer, environment, wanted)
        if wanted.lock:
            _refuse_holes(wanted.lock, environment, requirements, but=wheel.canonical)
        return origins

    # what is kept was searched for holes with these extras in mind
    extras = [one for one in sorted(requirements) if wanted.lock and Requirement(one).extras]
    key = wanted.key and json.dumps([installer.glibc(config.glibc), wanted.key, *extras])
    made = layer(site.context, site.interpreter, treatment, key=key, fill=fill, work=site.work)
    return dataclasses.replace(made, until=until)


def _refuse_holes(lock: Path, environment: Environment, requirements: Sequence[str], *, but: str) -> None:
    """Refuse a lock that lacks what something in it requires, with the extras that are asked for.

    Args:
        lock: the file.
        environment: what it lists is installed there.
        requirements: what the project asks for.
        but: the project itself, which need not be in it.

    Raises:
        ConfigError: it does.
    """
    distributions = {canonicalize_name(one.name): one for one in installed(environment)}
    there = {*distributions, but}
    seen: set[str] = set()
    waiting = [*map(Requirement, requirements), *map(Requirement, sorted(distributions, reverse=True))]
    while waiting:
        asked = waiting.pop()
        for needed in _needs(distributions.get(canonicalize_name(asked.name)), asked.extras, environment.interpreter):
            if canonicalize_name(needed.name) not in there:
                who = f"{asked.name}[{','.join(sorted(asked.extras))}]" if asked.extras else asked.name
                raise ConfigError(
                    f"{lock} does not fit the project: it lacks {needed}, which {who} requires",
                    hint="make it anew; lock = none passes it over",
                )
            if needed.extras and str(needed) not in seen:
                seen.add(str(needed))
                waiting.append(needed)


def _needs(distribution: Distribution | None, extras: Collection[str], interpreter: Interpreter) -> list[Requirement]:
    """Return what something that is installed requires with some extras."""
    try:
        return list(map(Requirement, here((distribution and distribution.requires) or (), interpreter, extras)))
    except InvalidRequirement:  # uv mends those of old packages
        return []


def _exactly(site: Site, wheel: Wheel, requirements: Sequence[str], installer: Installer) -> Dependencies:
    """Return the files of the dependencies: those of a lock if there is one, else what an installer chooses."""
    config = site.config
    lock = None if config.write_lock else find_lock(config.root, config.lock)
    if lock is None:
        _refuse_sources(config, requirements)
    if config.write_lock:
        lock = _write_lock(site, requirements)
    if lock is None:
        return resolve(site, installer, requirements)
    environment = marker_environment(site.interpreter)
    chosen = read_lock(lock, requirements, environment, own=wheel.canonical, extras=config.extras, groups=config.groups)
    # the others say what needs what, and leave out what a project has overridden
    return dataclasses.replace(chosen, lock=lock) if is_flat(lock) else chosen


def _write_lock(site: Site, requirements: Sequence[str]) -> Path:
    """Resolve anew, and write what was chosen to the project's pylock.toml."""
    config, ui = site.config, site.context.ui
    path = config.root / "pylock.toml"
    locker = locker_for(site.context, config)
    if (other := find_lock(config.root)) and other != path:
        ui.warn(f"{path.name} comes before {other.name}, which is not heeded any more")
    with working(ui, f"Resolving what {site.label} needs"), unharmed(site.context.cache, site.interpreter):
        text = pylock_of(locker.report(site, requirements), config.root, site.interpreter.series)
    write_text(path, text, lasting=True)
    ui.step(f"Wrote {path}")
    return path


def _refuse_sources(config: AppConfig, requirements: Sequence[str]) -> None:
    """Refuse what uv alone knows the place of: a package index may have something else under that name.

    Raises:
        ConfigError: a requirement is in [tool.uv.sources].
    """
    sources = {canonicalize_name(name) for name in (*config.uv_sources, *workspace_sources(config.root))}
    passed = "--lock" if config.write_lock else f"lock = {config.lock}"
    heeded = "lock = auto heeds it" if passed == "lock = auto" else f"without {passed} it is heeded"
    for one in map(Requirement, requirements):
        if not one.url and canonicalize_name(one.name) in sources:
            raise ConfigError(
                f"{one.name} comes from [tool.uv.sources], which nothing but uv's own lock says in full",
                hint=f"`uv lock` writes that, and {heeded}; or require {one.name} as NAME @ URL",
            )


def _install(site: Site, wheel: Wheel, environment: Environment, treatment: Treatment) -> App:
    """Install the project's wheel, and give it bytecode and its scripts."""
    config, root = site.config, environment.root
    before = _programs(root)
    tops = wheel.install(environment)
    own_files(site.interpreter, root)
    prune_aside(root, treatment.prune, treatment.keep)
    changed = {name for name, _ in _programs(root).items() - before.items()}
    for name in sorted(changed & before.keys()):
        owner = _owner(environment, name, but=wheel)
        site.context.ui.warn(f"the project's script {name} takes the place of that of {owner}")
    app = _with_scripts(_app(environment, wheel, config), config)
    if not config.isolated:
        open_up(root)
    included = include(root, config.root, config.include)
    program = Program(name=root.name, project=app.name, summary=app.summary, entry_points=app.entry_points)
    app = dataclasses.replace(app, included=included, installers=integrate(root, program, config))
    if treatment.prune != NONE:
        drop_debugging(root, tops, site.context.toolchain())
    finish(root, treatment, treatment.keep, tops, app.scripts)
    exclude(root, config.exclude, site.interpreter.root, wheel.info)
    return app


def _programs(root: Path) -> dict[str, tuple[int, int]]:
    """Return what is in bin/ by name, with what tells a file from one that takes its place."""
    status = {path.name: path.stat() for path in (root / "bin").iterdir()}
    return {name: (one.st_ino, one.st_mtime_ns) for name, one in status.items()}


def _owner(environment: Environment, script: str, *, but: Wheel) -> str:
    """Return which package besides the project's own says that it has a script."""
    ending = f"/bin/{script}"
    for one in installed(environment):
        if canonicalize_name(one.name) != but.canonical and any(str(file).endswith(ending) for file in one.files or ()):
            return one.name
    return "another package"


def _leave_out(site: Site, wheel: Wheel, app: App, below: Layer) -> None:
    """Leave out what of the standard library nothing in the bundle can come to import."""
    config, root, interpreter = site.config, app.environment.root, site.interpreter
    modules = below.modules()
    added = [path for one in config.include for path in _files(config.root / one.source)]
    uses = reach.named(interpreter.root, modules, [wheel.path, *added], site.work)
    called = {entry.module for entry in app.entry_points} | ({"os", "pathlib"} if config.env else set())
    reach.cut(root, interpreter.series, modules, uses | below.uses | called)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())


def _pip_settings(config: AppConfig) -> dict[str, str]:
    """Return what the project says of where packages come from, as the variables of pip and uv."""
    links = (one if "://" in one else Path(one).as_uri() for one in config.find_links)  # a blank would part them
    found = " ".join(links)
    settings = {
        "PIP_INDEX_URL": config.index_url,
        "PIP_EXTRA_INDEX_URL": " ".join(config.extra_index_url),
        "PIP_FIND_LINKS": found,
        "PIP_ONLY_BINARY": ",".join(config.only_binary),
        "UV_DEFAULT_INDEX": config.index_url,
        "UV_INDEX": " ".join(config.extra_index_url),
        "UV_FIND_LINKS": found.replace(" ", ","),
    }
    return {name: value for name, value in settings.items() if value}


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


def _app(environment: Environment, wheel: Wheel, config: AppConfig) -> App:
    distribution = Distribution.at(environment.site_packages / wheel.info)
    wanted = {canonicalize_name(extra) for extra in config.extras}
    entries = distribution.entry_points
    scripts = [*entries.select(group="console_scripts"), *entries.select(group="gui_scripts")]
    # one that needs an extra which is not installed is there, but cannot work
    working = [entry for entry in scripts if {canonicalize_name(extra) for extra in entry.extras} <= wanted]
    return App(
        environment=environment,
        name=distribution.name,
        version=distribution.version,
        summary=str(distribution.metadata.json.get("summary", "")),
        entry_points=tuple(sorted(working, key=lambda entry: entry.name)),
    )


def _glibc(context: Context, app: App, config: AppConfig, below: Layer, known: Mapping[str, str]) -> str:
    """Return the oldest glibc that a bundle runs on.

    Args:
        context: the edges.
        app: the project, in the bundle.
        config: the project.
        below: what it was installed on.
        known: the sha256 of every file, by its path.

    Raises:
        CheckError: it is newer than the project allows.
    """
    needed = {name: floor for name, floor in below.floors.items() if known.get(name) == below.digests[name]}
    needed |= floors(app.environment.root, [name for name in known if known[name] != below.digests.get(name)])
    culprit = max(sorted(needed), key=needed.__getitem__, default="")
    floor = needed.get(culprit, GLIBC_FLOOR)
    glibc = ".".join(map(str, floor))
    called = culprit and _called_short(app.environment.root / culprit, app.environment)
    if culprit and config.glibc and floor > tuple(map(int, config.glibc.split("."))):
        raise CheckError(
            f"{called} needs glibc {glibc}, and glibc = {config.glibc}",
            hint="another release of its package may have a wheel for older systems; or allow a newer glibc",
        )
    if culprit and not config.glibc:
        # the interpreter needs no more than 2.17, so this is a dependency's wheel
        helps = "`glibc` in [tool.relenv] has wheels for an older one chosen, where there are such"
        context.ui.warn(f"the bundle needs glibc {glibc} because of {called}; {helps}")
    return glibc


def _finish(app: App, config: AppConfig, interpreter: Interpreter, name: str, glibc: str) -> None:
    """Turn an environment into what is shipped: a manifest, a word to whoever unpacks it."""
    root = app.environment.root
    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    gone = reach.missing(root)
    manifest["components"] = [one for one in manifest["components"] if one["name"] not in gone]
    manifest["bundle"] = {
        "glibc": glibc,
        "name": name,
        "project": app.name,
        "prune": config.prune,
        "version": app.version,
        "scripts": list(app.scripts),
        "include": sorted(name for name in app.included if (root / name).exists()),  # `exclude` may name them
    }
    write_text(root / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    write_text(root / README, _readme(app, config, interpreter, glibc))


def _called_short(path: Path, environment: Environment) -> str:
    """Return how a file of a bundle is called: by its package, if it is in one."""
    site = environment.site_packages
    return str(path.relative_to(site if path.is_relative_to(site) else environment.root))


def _readme(app: App, config: AppConfig, interpreter: Interpreter, glibc: str) -> str:
    places = ["licenses/INDEX.txt"] if config.licenses else ["licenses/", "site-packages/*.dist-info/"]
    title = f"{app.name} {app.version}"
    scripts = "".join(f"    bin/{name}\n" for name in app.scripts) or "    bin/python3 -Im MODULE\n"
    scripts += "".join(f"    bin/{name} (run it to see what it does)\n" for name in app.installers)
    values = {
        "NAME": title,
        "RULE": "=" * len(title),
        "PYTHON": interpreter.version,
        "GLIBC": glibc,
        "LICENCES": ", ".join([*places, *(["sbom.cdx.json"] if config.sbom else [])]),
        "MACHINE": interpreter.triplet.split("-")[0],
        "SCRIPTS": scripts.rstrip("\n"),
        "VERIFY": "relenv verify" if config.prune == MAX else "bin/python3 -Im relenv_pip.verify",
    }
    return template("bundle-readme.txt.in", values)
