"""[tool.relenv] and what else a bundle takes from pyproject.toml: read once, checked at the door."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.dependency_groups import resolve_dependency_groups
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from relenv.bundle.keys import (
    DESKTOP,
    KEYS,
    NO_BASE,
    NO_BASE_USERS,
    OCI,
    SERVICE,
    TARGET,
    Key,
    Shape,
    called_as,
    is_path,
    option_of,
)
from relenv.errors import ConfigError, UsageError
from relenv.interpreter import Wanted
from relenv.platforms import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COMMAND_LINE = "the command line"
LEGACY = ("setup.py", "setup.cfg")
"""Files that describe a project without pyproject.toml (PEP 517 has them built with setuptools)."""
METADATA_TABLES = (("tool", "poetry"), ("tool", "flit", "metadata"))
"""Tables that stood for [project] before PEP 621 and are still built by their backends."""

UV_INDEXES = frozenset(("index", "index-url", "extra-index-url", "find-links"))
"""What of [tool.uv] says where packages are."""

SERVICE_OWN = {"ExecStart": "`script` and `arguments` say what runs; a service of type oneshot may have several"}
DESKTOP_OWN = {
    **dict.fromkeys(("Exec", "TryExec"), "the script runs, with `arguments`"),
    **{name: f"use `{name.lower()}`" for name in ("Name", "Comment", "Terminal", "Categories")},
    **dict.fromkeys(("Type", "Version"), "it is an application, and of version 1.0 of the specification"),
}
"""What relenv itself writes into a unit and into a desktop entry, and what to do in its place."""


@dataclass(frozen=True, kw_only=True)
class Include:
    """Something of the project that goes into the bundle besides what its wheel holds."""

    source: str
    """Relative to the project."""
    target: str
    """Relative to the bundle."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """[tool.relenv.oci]: what an image is built on and how it is run."""

    base: str = NO_BASE
    """`none`, the path of an image layout, or a reference."""
    tag: str = ""
    path: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """[tool.relenv.service], or one of the tables in it: what a systemd unit says."""

    script: str = ""
    arguments: tuple[str, ...] = ()
    description: str = ""
    user: str = ""
    restart: str = ""
    type: str = "simple"
    environment: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ("network.target",)
    wanted_by: tuple[str, ...] = ("multi-user.target",)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DesktopOptions:
    """[tool.relenv.desktop], or one of the tables in it: what a desktop entry says."""

    name: str = ""
    comment: str = ""
    icon: str = ""
    """Relative to the project."""
    categories: tuple[str, ...] = ("Utility",)
    keywords: tuple[str, ...] = ()
    terminal: bool | None = None
    mime_types: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    """A project and how it is to be bundled: the keys of `relenv.bundle.keys`, and what they go by."""

    root: Path
    """The project's directory."""
    project: str = ""
    """The project's own name, as far as its files tell without being built."""
    requires_python: SpecifierSet | None = None
    python: str = ""
    """The Python asked for: `3.13`, `3.13.15`, or empty for the default."""
    name: str = ""
    """The bundle's name; empty for the project's."""
    output: str = ""
    """A file or directory; empty for the current one."""
    formats: tuple[str, ...] = ("zip",)
    scripts: tuple[str, ...] | None = None
    """Those to keep in bin/; None for all."""
    new_scripts: Mapping[str, str] = field(default_factory=dict)
    """Those to make, by name: `module:function`."""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Names of dependency groups."""
    group_requires: tuple[str, ...] = ()
    """What these groups ask for, as requirements."""
    index_url: str = ""
    extra_index_url: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    """URLs, and absolute directories."""
    only_binary: tuple[str, ...] = ()
    uv_sources: frozenset[str] = frozenset()
    """The names in the project's own [tool.uv.sources]."""
    uv_places: bool = False
    """Whether its [tool.uv] says where packages are."""
    lock: str = "auto"
    """`auto`, `none`, or a path relative to the project."""
    installer: str = "auto"
    glibc: str = ""
    include: tuple[Include, ...] = ()
    exclude: tuple[str, ...] = ()
    """Globs relative to the bundle."""
    prune: str = "safe"
    bytecode: bool = True
    isolated: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    compression: str = "default"
    licenses: bool = True
    sbom: bool = True
    build_backend: str = "setuptools.build_meta"
    smoke: tuple[str, ...] = ()
    oci: ImageOptions = field(default_factory=ImageOptions)
    services: Mapping[str, ServiceOptions] = field(default_factory=dict)
    """By name; one without a name is called as the bundle."""
    desktop: Mapping[str, DesktopOptions] = field(default_factory=dict)
    """By script; without a name those for all gui scripts, which is there if the project says anything of them."""
    offline: bool = False
    """Whether to do without a network; the command line alone says so."""
    wheel: Path | None = None
    """The project's wheel, if it is built already; None to build it."""
    write_lock: bool = False
    """Whether to write a pylock.toml, and to go by it."""
    refresh: bool = False
    """Whether to look for newer releases now."""
    given: tuple[str, ...] = ()
    """The keys that the command line says."""

    def fault(self, *keys: str) -> type[ConfigError | UsageError]:
        """Return the kind of error for what some keys say together: the command line's if it says any of them."""
        return ConfigError if set(keys).isdisjoint(self.given) else UsageError

    @property
    def wanted(self) -> Wanted:
        """Which Python is to be bundled."""
        return Wanted(python=self.python, requires=self.requires_python, project=self.root)


def load_config(project: Path, overrides: Mapping[str, Any] | None = None, *, triplet: str = "") -> AppConfig:
    """Read and check the configuration of the project in a directory.

    Args:
        project: the directory.
        overrides: values that win over those of [tool.relenv], by the same names.
        triplet: the kind of machine whose table in [tool.relenv.target] wins over [tool.relenv].

    Raises:
        ConfigError: there is no project, the file is no TOML, or a key is unknown or of the wrong type.
    """
    if not project.is_dir():
        raise _no_directory(project)
    file = project / "pyproject.toml"
    legacy = any((project / name).is_file() for name in LEGACY)
    given = _checked(overrides or {}, COMMAND_LINE)
    if not file.is_file():
        if legacy:
            return _configured(project, {}, given, _Said(file=file, given=given))
        listed = ", into which goes what requirements.txt lists" if (project / "requirements.txt").is_file() else ""
        raise ConfigError(
            f"there is no pyproject.toml in {project}",
            hint=f"name a project's directory: relenv bundle PATH; or `relenv init` writes a pyproject.toml{listed}",
        )
    data = _parse(file)
    metadata = data.get("project")
    if metadata is None and not legacy and not any(_table(data, *path) for path in METADATA_TABLES):
        raise ConfigError(
            f"{file} has no [project] table",
            hint='a project needs at least a name and a version there: name = "example", version = "1.0"',
        )
    return _configured(project, data, _over(_settings(data, file, triplet), given), _Said(file=file, given=given))


def _no_directory(project: Path) -> ConfigError:
    """Return what to say of a project that is none: it may be a script, which others take as it is (PEP 723)."""
    if not project.is_file():
        return ConfigError(
            f"{project} is not a directory",
            hint="name the one that holds pyproject.toml; `relenv init` begins a project",
        )
    if project.name == "pyproject.toml":
        return ConfigError(f"{project} is a file", hint=f"name its directory: relenv bundle {project.parent}")
    return ConfigError(
        f"{project} is a file, and relenv bundles projects",
        hint="`relenv init DIR` begins one; the script goes into its src/, and what it needs into `dependencies`",
    )


@dataclass(frozen=True, kw_only=True)
class _Said:
    """Where settings were said, for messages."""

    file: Path
    """pyproject.toml."""
    given: Mapping[str, Any]
    """Those of the command line, by their names in [tool.relenv]."""

    def gives(self, *path: str) -> bool:
        """Tell whether the command line says a key, or a name in a table.

        Args:
            path: its name, behind those of the tables that it is in, below [tool.relenv].
        """
        return path[-1] in _table(self.given, *path[:-1])

    def refusal(self, *path: str, what: str, hint: str = "", of: str = "", name: str = "") -> ConfigError | UsageError:
        """Return the error for the value of a key.

        Args:
            path: its name, behind that of the table that it is in, below [tool.relenv].
            what: what is wrong with it: ``names `x`, which is not there``.
            hint: what to do about it.
            of: the name of the table in that table, [tool.relenv.service.<of>], if it is from there.
            name: what is wrong in the table that is the key's value.
        """
        if self.gives(*path, *filter(None, (name,))):
            *tables, last = path
            keys = KEYS[tables[0]].shape.keys if tables else KEYS
            return UsageError(f"{COMMAND_LINE}: {option_of(path, keys[last])} {what}", hint=hint)
        place = ".".join(filter(None, ("tool.relenv", *path[:-1], of, path[-1])))
        return ConfigError(f"{self.file}: {place} {what}", hint=hint)


def _configured(project: Path, data: Mapping[str, Any], settings: Mapping[str, Any], said: _Said) -> AppConfig:
    file = said.file
    metadata = _table(data, "project")
    _refuse_malformed(metadata, file)
    name = metadata.get("name")
    if "project" in data and not (isinstance(name, str) and name):
        raise ConfigError(f"{file}: project.name is missing or no text", hint='name = "example" in [project]')
    values = {name: settings.get(name, key.default) for name, key in KEYS.items()}
    formats = values["format"] or _format_of(values["output"])
    scripts = values["scripts"]
    return AppConfig(
        root=project,
        project=str(metadata.get("name", "")) or str(_table(data, "tool", "poetry").get("name", "")),
        requires_python=_requires_python(metadata, file),
        python=values["python"],
        name=values["name"],
        output=values["output"],
        formats=tuple(dict.fromkeys([formats] if isinstance(formats, str) else formats)),
        scripts=None if scripts is None else tuple(scripts),
        new_scripts=scripts if isinstance(scripts, dict) else {},
        extras=_extras(values["extras"], data, said),
        groups=tuple(values["groups"]),
        group_requires=_groups(values["groups"], data, said),
        index_url=values["index-url"],
        extra_index_url=tuple(values["extra-index-url"]),
        find_links=tuple(_place(one, project) for one in values["find-links"]),
        only_binary=tuple(values["only-binary"]),
        uv_sources=frozenset(_table(data, "tool", "uv", "sources")),
        uv_places=not UV_INDEXES.isdisjoint(_table(data, "tool", "uv")),
        lock=values["lock"],
        installer=values["installer"],
        glibc=values["glibc"],
        include=tuple(_include(one, project, said) for one in values["include"]),
        exclude=tuple(values["exclude"]),
        prune=values["prune"],
        bytecode=values["bytecode"],
        isolated=values["isolated"],
        env=values["env"],
        compression=values["compression"],
        licenses=values["licenses"],
        sbom=values["sbom"],
        build_backend=values["build-backend"],
        smoke=tuple(values["smoke"]),
        oci=_image(values["oci"], project, said),
        services=_services(values["service"], said),
        desktop=_desktop(values["desktop"], project, said),
        given=tuple(sorted(said.given)),
    )


def _format_of(output: str) -> str:
    """Return the format that is meant where none is said: an output's name may tell."""
    path = Path(output)
    return (called_as(path.name) if output[-1:] not in ("", "/") and not path.is_dir() else "") or "zip"


def _parse(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        if text.startswith("\ufeff"):
            # pip and the build backends refuse it too, and say less
            raise ConfigError(
                f"{file} is not valid TOML: it begins with a byte order mark", hint="save it as UTF-8 without one"
            )
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: it is not UTF-8 (byte {error.start})") from error


def _table(data: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for name in path:
        found = data.get(name, {})
        data = found if isinstance(found, dict) else {}
    return data


def _settings(data: Mapping[str, Any], file: Path, triplet: str) -> Mapping[str, Any]:
    tools = data.get("tool", {})
    settings = tools.get("relenv", {}) if isinstance(tools, dict) else tools
    if not isinstance(settings, dict):
        raise ConfigError(f"{file}: tool.relenv must be a table, [tool.relenv]")
    where = f"{file}: tool.relenv"
    targets = settings.get(TARGET, {})
    if not isinstance(targets, dict):
        raise ConfigError(f"{where}.{TARGET} must be a table of tables, such as [tool.relenv.{TARGET}.{triplet}]")
    for name, table in targets.items():
        if name not in PLATFORMS:
            raise ConfigError(
                f"{where}.{TARGET} has an unknown kind of machine `{name}`",
                hint=f"did you mean `{triplet}`?"
                if triplet.startswith(name)
                else _nearest(name, PLATFORMS, "known ones"),
            )
        if not isinstance(table, dict):
            raise ConfigError(f"{where}.{TARGET}.{name} must be a table")
        _checked(table, f"{where}.{TARGET}.{name}")
    own = {name: value for name, value in settings.items() if name != TARGET}
    found = _over(_checked(own, where), targets.get(triplet, {}))
    if found.get("output"):
        # beside the project, wherever the user stands; a slash at its end says that it is a directory
        found["output"] = f"{file.parent / found['output']}{'/' if found['output'].endswith('/') else ''}"
    return found


def _over(settings: Mapping[str, Any], winning: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings over which others win, key by key in a table that has keys of its own."""
    tables = {
        name: _merged(settings.get(name, {}), value, KEYS[name].shape)
        for name, value in winning.items()
        if KEYS[name].shape.keys
    }
    return {**settings, **winning, **tables}


def _merged(settings: Mapping[str, Any], winning: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """Return a table with keys of its own over which another wins, as it does in the tables by name that are in it."""
    common = {name: value for name, value in winning.items() if name in shape.keys}
    named = {name for name in (*settings, *winning) if name not in shape.keys}
    tables = {name: {**settings.get(name, {}), **common, **winning.get(name, {})} for name in named}
    return {**settings, **common, **tables}


def _checked(
    settings: Mapping[str, Any], where: str, keys: Mapping[str, Key] = KEYS, tables: str = ""
) -> Mapping[str, Any]:
    for name, value in settings.items():
        if name not in keys:
            # an empty table of nearly a key's name is that, misspelt
            misspelt = not value and _close(name, keys, 0.8)
            if tables and isinstance(value, dict) and re.fullmatch(tables, name) and not misspelt:
                _checked(value, _below(where, name), keys)
                continue
            raise ConfigError(f"{where} has an unknown key `{name}`", hint=_nearest(name, keys, "known keys"))
        shape = keys[name].shape
        if not shape.accept(value):
            kind = UsageError if where.startswith(COMMAND_LINE) else ConfigError
            if fault := shape.fault(value):
                raise kind(f"{where}: `{name}` {fault}", hint=f"`{name}` must be {shape.what}")
            raise kind(f"{where}: `{name}` must be {shape.what}, not {value!r}")
        if shape.keys:
            _checked(value, _below(where, name), shape.keys, shape.tables)
    return settings


def _below(where: str, name: str) -> str:
    return f"{where}, {name}" if where == COMMAND_LINE else f"{where}.{name}"


def _close(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=cutoff)), "")


def _nearest(name: str, names: Iterable[str], what: str) -> str:
    close = _close(name, names)
    return f"did you mean `{close}`?" if close else f"{what}: {', '.join(sorted(names)) or 'none'}"


def _refuse_malformed(metadata: Mapping[str, Any], file: Path) -> None:
    """Refuse what is no requirement: a backend says so too, in thirty lines.

    Raises:
        ConfigError: there is one.
    """
    optional = _table(metadata, "optional-dependencies")
    lists = {"dependencies": metadata.get("dependencies")}
    lists |= {f"optional-dependencies.{name}": texts for name, texts in optional.items()}
    for name, texts in lists.items():
        for text in texts if isinstance(texts, list) else ():
            try:
                Requirement(text)
            except (InvalidRequirement, TypeError) as error:
                why = str(error).splitlines()[0]
                raise ConfigError(f"{file}: project.{name} has {text!r}, which is no requirement: {why}") from error


def _requires_python(metadata: Mapping[str, Any], file: Path) -> SpecifierSet | None:
    text = metadata.get("requires-python")
    if text is None:
        return None
    try:
        return SpecifierSet(text)
    except (InvalidSpecifier, TypeError, AttributeError) as error:
        raise ConfigError(f"{file}: project.requires-python is not a version range: {text!r}") from error


def _place(text: str, project: Path) -> str:
    return text if "://" in text else str((project / text).absolute())


def _image(settings: Mapping[str, Any], project: Path, said: _Said) -> ImageOptions:
    values: dict[str, Any] = {name: settings.get(name, key.default) for name, key in OCI.items()}
    for name in filter(None, values["user"].split(":")) if values["base"] == NO_BASE else ():
        if not name.isdecimal() and name not in NO_BASE_USERS:
            what = f"names `{name}`, and with base = {NO_BASE} there is nobody but {', '.join(NO_BASE_USERS)}"
            raise said.refusal("oci", "user", what=what, hint="give a number, or a base that has it")
    if is_path(values["base"]):
        values["base"] = _place(values["base"], project)
    frozen: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
    return ImageOptions(**frozen)


def _by_name(settings: Mapping[str, Any] | None, keys: Mapping[str, Key]) -> dict[str, dict[str, Any]]:
    """Return the values of a table and of each by name that is in it, as fields; its own hold for all of them."""
    if settings is None:
        return {}
    common = {name: value for name, value in settings.items() if name in keys}
    tables = {"": common} | {name: {**common, **settings[name]} for name in settings if name not in keys}
    return {which: _fields(values, keys) for which, values in tables.items()}


def _fields(settings: Mapping[str, Any], keys: Mapping[str, Key]) -> dict[str, Any]:
    values = {name.replace("-", "_"): settings.get(name, key.default) for name, key in keys.items()}
    return {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}


def _services(settings: Mapping[str, Any] | None, said: _Said) -> dict[str, ServiceOptions]:
    tables = {name: ServiceOptions(**values) for name, values in _by_name(settings, SERVICE).items()}
    for name, one in tables.items():
        if one.type != "oneshot" and (name or len(tables) == 1):  # that may have several
            _refuse_settings(one.settings, SERVICE_OWN, "service", name, said)
        if one.type == "oneshot" and one.restart in ("always", "on-success"):
            key = "type" if said.gives("service", "type") and not said.gives("service", "restart") else "restart"
            raise said.refusal(
                "service",
                key,
                of=name,
                what=f"is not possible: with type = oneshot and restart = {one.restart} it would never end",
                hint="systemd refuses that: leave `restart` out, or choose another type",
            )
    return {name: one for name, one in tables.items() if name or len(tables) == 1}


def _desktop(settings: Mapping[str, Any] | None, project: Path, said: _Said) -> dict[str, DesktopOptions]:
    tables = {name: DesktopOptions(**values) for name, values in _by_name(settings, DESKTOP).items()}
    for name, one in tables.items():
        _refuse_settings(one.settings, DESKTOP_OWN, "desktop", name, said)
        if one.icon:
            _check_icon(one.icon, name, project, said)
    return tables


def _refuse_settings(settings: Mapping[str, str], own: Mapping[str, str], kind: str, name: str, said: _Said) -> None:
    """Refuse what would stand in a unit or an entry twice, which then is none.

    Raises:
        ConfigError, UsageError: there is such a setting.
    """
    for setting in sorted(own.keys() & settings.keys()):
        what = f"sets {setting}, which relenv writes itself"
        raise said.refusal(kind, "settings", of=name, name=setting, what=what, hint=own[setting])


def _check_icon(icon: str, name: str, project: Path, said: _Said) -> None:
    if not (project / icon).is_file():
        raise said.refusal("desktop", "icon", of=name, what=f"names `{icon}`, which is not there")
    data = (project / icon).read_bytes()
    if not (data.startswith(b"\x89PNG\r\n\x1a\n") if icon.endswith(".png") else b"<svg" in data):
        what = f"names `{icon}`, which is no {'PNG' if icon.endswith('.png') else 'SVG'}"
        raise said.refusal("desktop", "icon", of=name, what=what)


def _include(table: Mapping[str, str], project: Path, said: _Said) -> Include:
    source = table["from"].rstrip("/")
    if not (project / source).exists():
        raise said.refusal("include", what=f"names `{source}`, which is not there")
    return Include(source=source, target=table.get("to", source).rstrip("/"))


OTHER_GROUPS = (("poetry", "group"), ("pdm", "dev-dependencies"))
"""Tables in [tool] for groups that one program alone knows, as it did before there was a standard."""


def _groups(names: list[str], data: Mapping[str, Any], said: _Said) -> tuple[str, ...]:
    if not names:
        return ()
    table = _table(data, "dependency-groups")
    known = {canonicalize_name(name): name for name in table}
    for name in names:
        if canonicalize_name(name) not in known:
            other = next((".".join(path) for path in OTHER_GROUPS if name in _table(data, "tool", *path)), "")
            ours = _nearest(name, table, "it has") if table else "PEP 735 tells what belongs there"
            hint = f"it is in [tool.{other}], which nothing but {other.partition('.')[0]} reads: {ours}"
            wrong = f"names `{name}`, which [dependency-groups] lacks"
            raise said.refusal("groups", what=wrong, hint=hint if other else ours)
    try:
        found = resolve_dependency_groups(table, *names)
        for marker in filter(None, (Requirement(one).marker for one in found)):
            marker.evaluate()  # `sys_platform ~= "linux"` is a marker, and has no meaning
    except (UndefinedComparison, UndefinedEnvironmentName, ValueError, TypeError, LookupError, ExceptionGroup) as error:
        first = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
        raise ConfigError(f"{said.file}: [dependency-groups] is not in order: {str(first).splitlines()[0]}") from error
    return found


def _extras(names: list[str], data: Mapping[str, Any], said: _Said) -> tuple[str, ...]:
    extras = tuple(names)
    known = _known_extras(data, said.file.parent)
    if known is None:
        return extras  # the wheel will tell
    canonical = {canonicalize_name(name) for name in known}
    for extra in extras:
        if canonicalize_name(extra) not in canonical:
            what = f"names `{extra}`, which the project lacks"
            raise said.refusal("extras", what=what, hint=_nearest(extra, known, "it has"))
    return extras


def _known_extras(data: Mapping[str, Any], project: Path) -> Mapping[str, Any] | None:
    """Return the extras that a project has; None if its backend alone can tell."""
    metadata = _table(data, "project")
    dynamic = metadata.get("dynamic")
    if not metadata or (isinstance(dynamic, list) and "optional-dependencies" in dynamic):
        return None
    known = metadata.get("optional-dependencies")
    if known is None:
        # poetry-core takes those of its own table then, and setuptools of old those of these files
        elsewhere = _table(data, "tool", "poetry", "extras") or any((project / name).is_file() for name in LEGACY)
        return None if elsewhere else {}
    return known if isinstance(known, dict) else None
