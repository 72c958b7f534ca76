"""THE table of what can be configured: checked at the door, an option of the command line, a part of the JSON schema.

A key is one entry of KEYS. Its shape says what values it takes, in words, as JSON schema, and from the command line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from relenv.bundle.backends import DEFAULT, HANDS_ON, OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

INDEX = r"(https?|file)://\S+"
"""The address of a package index, as pip and uv take it (PEP 503)."""
NO_BASE = "none"
"""As `base` of an image: relenv's own."""
NO_BASE_USERS = ("root", "nobody", "nonroot")
"""The users and groups that one has (`base.ETC`)."""
ENDINGS = {
    ".zip": "zip",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.zst": "tar.zst",
    ".run": "run",
    ".oci.tar": "oci",
}
"""The formats by how the names of their files end; a directory has any name."""
PRUNE = ("none", "safe", "max")
"""How much is left out of a bundle; each does what the one before it does."""
LONGEST_NAME = 200
"""Bytes: file systems take 255, and we add a suffix."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What values a key takes."""

    what: str
    """In words, for messages: `"name" must be ...`."""
    schema: Mapping[str, Any]
    """As JSON schema (draft 7)."""
    accept: Callable[[Any], bool]
    fault: Callable[[Any], str] = lambda _: ""
    """What of a value that is not accepted is wrong, as the rest of a sentence about the key; empty for all of it."""
    many: bool = False
    """Whether the option may be repeated."""
    read: Callable[[Any], Any] = lambda text: text
    """From the option's text, or texts, to the value; raises ValueError."""
    keys: Mapping[str, Key] = field(default_factory=dict)
    """Those of a table that has keys of its own: each is an option."""
    tables: str = ""
    """The regular expression of the names under which further tables with the same keys may stand in it."""


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) and "\0" not in one for one in value.values())


def _is_name(value: object) -> bool:
    return (
        isinstance(value, str)
        and value not in ("", ".", "..")
        and value.isprintable()
        and value == value.strip()
        and not set(value) & set("/\\")
        and len(value.encode()) <= LONGEST_NAME
    )


def _pairs(texts: list[str]) -> dict[str, str]:
    """Return `NAME=VALUE` options as a table."""
    table = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"{text!r} is not NAME=VALUE")
        table[name] = value
    return table


def matching(pattern: str, what: str) -> Shape:
    """Return the shape of texts that a regular expression describes."""
    compiled = re.compile(pattern)
    return Shape(
        what=what,
        schema={"type": "string", "pattern": f"^({pattern})$"},
        accept=lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None,
    )


def listed(pattern: str, what: str) -> Shape:
    """Return the shape of a list of texts that a regular expression describes."""
    one = matching(pattern, what)
    return Shape(
        what=what,
        schema={"type": "array", "items": one.schema},
        accept=lambda value: isinstance(value, list) and all(map(one.accept, value)),
        many=True,
    )


def choice(*names: str) -> Shape:
    """Return the shape of one of some names."""
    return Shape(
        what="one of " + ", ".join(f'"{name}"' for name in names),
        schema={"enum": list(names)},
        accept=lambda value: isinstance(value, str) and value in names,
    )


def one_or_several(*names: str) -> Shape:
    """Return the shape of one of some names, or a list of them."""
    one = choice(*names)
    return Shape(
        what=f"{one.what}, or a list of them",
        schema={"oneOf": [one.schema, {"type": "array", "items": one.schema, "minItems": 1}]},
        accept=lambda value: (
            one.accept(value) or (isinstance(value, list) and bool(value) and all(map(one.accept, value)))
        ),
        many=True,
    )


TEXT = Shape(what="a text", schema={"type": "string", "minLength": 1}, accept=_is_text)
TEXTS = Shape(
    what="a list of texts",
    schema={"type": "array", "items": {"type": "string", "minLength": 1}},
    accept=_is_texts,
    many=True,
)
TABLE = Shape(
    what='a table of texts, { NAME = "value" }',
    schema={"type": "object", "additionalProperties": {"type": "string"}},
    accept=_is_table,
    many=True,
    read=_pairs,
)
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
VARIABLES = replace(
    TABLE,
    what='a table of variables, { NAME = "value" }, with names of letters, digits and underscores',
    schema={**TABLE.schema, "propertyNames": {"pattern": f"^{VARIABLE}$"}},
    accept=lambda value: (
        isinstance(value, dict)
        and all(
            isinstance(name, str) and re.fullmatch(VARIABLE, name) and isinstance(text, str) and "\0" not in text
            for name, text in value.items()
        )
    ),
)
FLAG = Shape(what="true or false", schema={"type": "boolean"}, accept=lambda value: isinstance(value, bool))
NAME = Shape(
    what="a file name without slashes",
    schema={"type": "string", "pattern": r"^(?!\.{1,2}$|\s)[^/\\]*[^/\\\s]$", "maxLength": LONGEST_NAME},
    accept=_is_name,
)
NAMES = Shape(
    what="a list of names", schema={"type": "array", "items": {"type": "string"}}, accept=_is_texts, many=True
)


PACKAGE = r":(all|none):|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
"""The name of a package (PEP 508), or what pip and uv take for all or none of them."""


def _is_scripts(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_name(name) and not re.fullmatch(TAKEN, name) for name in value) and all(
            isinstance(target, str) and re.fullmatch(REFERENCE, target) for target in value.values()
        )
    return isinstance(value, list) and all(map(_is_name, value))


def _scripts_fault(value: object) -> str:
    targets = value if isinstance(value, dict) else {}
    names = value if isinstance(value, dict | list) else ()
    for name in (name for name in names if isinstance(name, str)):
        if not _is_name(name):
            return f"names a script {name!r}, which is no file name without slashes"
        if name in targets and re.fullmatch(TAKEN, name):
            return f"names a script {name!r}, which is the interpreter itself"
        target = targets.get(name)
        if isinstance(target, str) and not re.fullmatch(REFERENCE, target):
            return f"has {name} call {target!r}, which is not module:function"
    return ""


TAKEN = r"python(3(\.\d+)?)?"
"""The interpreter's own names."""
OWN = rf"{TAKEN}(-config)?|pydoc(3(\.\d+)?)?"
"""The names of all programs in bin/ that are the interpreter's, but for pip."""
REFERENCE = r"\w+(\.\w+)*:\w+(\.\w+)*"
"""Of an object in a module, as of an entry point without extras."""


def _read_scripts(texts: list[str]) -> list[str] | dict[str, str]:
    return _pairs(texts) if any("=" in text for text in texts) else texts


SCRIPTS = Shape(
    what='a list of console scripts, or a table { NAME = "module:function" } with names other than python3',
    schema={
        "oneOf": [
            {"type": "array", "items": NAME.schema},
            {
                "type": "object",
                "propertyNames": {**NAME.schema, "not": {"pattern": f"^({TAKEN})$"}},
                "additionalProperties": {"type": "string", "pattern": f"^{REFERENCE}$"},
            },
        ]
    },
    accept=_is_scripts,
    fault=_scripts_fault,
    many=True,
    read=_read_scripts,
)


def _is_inside(value: object) -> bool:
    """Tell whether a text is a relative path that leads nowhere else."""
    return isinstance(value, str) and bool(value) and not value.startswith("/") and ".." not in value.split("/")


INSIDE: dict[str, Any] = {"type": "string", "minLength": 1, "not": {"pattern": r"^/|(^|/)\.\.(/|$)"}}
"""The same as JSON schema."""


def _is_includes(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and set(one) in ({"from"}, {"from", "to"}) and all(map(_is_inside, one.values()))
        for one in value
    )


def _includes_fault(value: object) -> str:
    entries = value if isinstance(value, list) else []
    return next(filter(None, (_include_fault(one) for one in entries if isinstance(one, dict))), "")


def _include_fault(one: Mapping[str, object]) -> str:
    if unknown := [name for name in one if name not in ("from", "to")]:
        return f"has an entry with an unknown key `{unknown[0]}`: {dict(one)}"
    if "from" not in one:
        return f"has an entry without `from`: {dict(one)}"
    for name, place in (("from", "project"), ("to", "bundle")):
        path = one.get(name, name)
        if not _is_text(path):
            return f"has an entry whose `{name}` is no path: {path!r}"
        if not _is_inside(path):
            return f"has an entry whose `{name}` leads out of the {place}: {path!r}"
    return ""


def _read_includes(texts: list[str]) -> list[dict[str, str]]:
    return [dict(zip(("from", "to"), text.split(":", 1), strict=False)) for text in texts]


def _excludes_fault(value: object) -> str:
    for pattern in value if isinstance(value, list) else ():
        # what is found would be removed, wherever it is
        if _is_text(pattern) and not _is_inside(pattern):
            return f"leads out of the bundle: {pattern!r}"
    return ""


EXCLUDES = replace(
    TEXTS,
    what="a list of globs relative to the bundle",
    schema={"type": "array", "items": INSIDE},
    accept=lambda value: _is_texts(value) and all(map(_is_inside, value)),
    fault=_excludes_fault,
)
INCLUDES = Shape(
    what='a list of { from = "path in the project", to = "path in the bundle" }',
    schema={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"from": INSIDE, "to": INSIDE},
            "required": ["from"],
            "additionalProperties": False,
        },
    },
    accept=_is_includes,
    fault=_includes_fault,
    many=True,
    read=_read_includes,
)


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of [tool.relenv]."""

    shape: Shape
    summary: str
    """One line, in lower case and without a full stop."""
    example: str
    """A value as TOML, as `relenv init` writes it."""
    default: Any = None
    option: str = ""
    """Its name on the command line, if that is not the key itself."""
    metavar: str = field(default="VALUE")


def option_of(path: Sequence[str], key: Key) -> str:
    """Return the option of the command line that stands for a key.

    Args:
        path: its name, behind those of the tables that it is in, below [tool.relenv].
        key: the key.
    """
    return "--" + "-".join((*path[:-1], key.option or path[-1]))


def called_as(name: str) -> str:
    """Return the format that a file is called as, by how its name ends; empty if by none."""
    return next((form for ending, form in ENDINGS.items() if name.lower().endswith(ending)), "")


def described(keys: Mapping[str, Key]) -> dict[str, Any]:
    """Return the properties of a table's JSON schema."""
    return {
        name: {
            "description": key.summary,
            # what is empty stands for "not said"
            **({} if key.default in (None, "") else {"default": key.default}),
            **key.shape.schema,
        }
        for name, key in keys.items()
    }


def table(keys: Mapping[str, Key], *, tables: str = "") -> Shape:
    """Return the shape of a table with keys of its own; what is in it is checked key by key.

    Args:
        keys: the keys.
        tables: the names of further tables with these keys that may stand in it, as a regular expression.
    """
    one = {"type": "object", "additionalProperties": False, "properties": described(keys)}
    return Shape(
        what="a table",
        schema={**one, "additionalProperties": one} if tables else one,
        accept=lambda value: isinstance(value, dict),
        keys=keys,
        tables=tables,
    )


PORT = re.compile(r"(\d{1,5})(/(tcp|udp|sctp))?")


def _is_ports(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, str) and (found := PORT.fullmatch(one)) and 0 < int(found[1]) <= LAST_PORT for one in value
    )


LAST_PORT = 65535
PORTS = Shape(
    what='a list of ports such as "8080" or "53/udp"',
    schema={"type": "array", "items": {"type": "string", "pattern": f"^{PORT.pattern}$"}},
    accept=_is_ports,
    many=True,
)
ABSOLUTE = matching(r"(/(?!\.{1,2}(/|$))[\w.+-]+)+", "an absolute path without blanks")


def is_path(base: str) -> bool:
    """Tell whether `base` of [tool.relenv.oci] is a path: it begins as one, or ends in .tar."""
    return base.startswith(("/", "./", "../")) or base.endswith(".tar")


OCI: dict[str, Key] = {
    "base": Key(
        shape=TEXT,
        summary='what the image is built on: an image of a registry, a path to an OCI layout, or "none"',
        example='"debian:12-slim"',
        default=NO_BASE,
        metavar="IMAGE|PATH|none",
    ),
    "tag": Key(
        shape=matching(
            r"([\w.-]+(:\d+)?/)*[a-z0-9]+([._-]+[a-z0-9]+)*(:\w[\w.-]{0,127})?", "an image's name, name:tag"
        ),
        summary="the image's name; without a tag it gets the project's version (default: the bundle's name)",
        example='"registry.example.org/team/myproject"',
        default="",
        metavar="NAME[:TAG]",
    ),
    "path": Key(
        shape=ABSOLUTE,
        summary="where in the image the bundle is (default: /opt/ and the bundle's name)",
        example='"/opt/myproject"',
        default="",
        metavar="PATH",
    ),
    "entrypoint": Key(
        shape=TEXTS,
        summary="what a container runs: a script of the bundle, or a path in the image, and arguments",
        example='["myproject", "--serve"]',
        default=[],
        metavar="WORD",
    ),
    "cmd": Key(
        shape=TEXTS,
        summary="further arguments, which those given to `docker run` replace",
        example='["--help"]',
        default=[],
        metavar="WORD",
    ),
    "user": Key(
        shape=matching(r"[\w.-]+(:[\w.-]+)?", "a user, user:group"),
        summary="whom a container runs as (default: whom the base says, else root)",
        example='"65532"',
        default="",
        metavar="USER[:GROUP]",
    ),
    "workdir": Key(
        shape=ABSOLUTE,
        summary="the directory that a container starts in (default: the bundle's)",
        example='"/data"',
        default="",
        metavar="PATH",
    ),
    "ports": Key(
        shape=PORTS,
        summary="ports that the program listens on",
        example='["8080"]',
        default=[],
        option="port",
        metavar="PORT[/udp]",
    ),
    "labels": Key(
        shape=TABLE,
        summary="labels, besides those that the project's metadata gives",
        example='{ "org.opencontainers.image.vendor" = "Example" }',
        default={},
        option="label",
        metavar="NAME=VALUE",
    ),
}
"""Every key of [tool.relenv.oci]."""


def _is_line(value: object) -> bool:
    return _is_text(value) and isinstance(value, str) and value.isprintable()


def _is_lines(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_line, value))


def _is_settings(value: object) -> bool:
    return isinstance(value, dict) and all(
        re.fullmatch(SETTING, name) and (one == "" or _is_line(one)) for name, one in value.items()
    )


LINE = Shape(what="a text of one line", schema=TEXT.schema, accept=_is_line)
LINES = Shape(what="a list of texts of one line", schema=TEXTS.schema, accept=_is_lines, many=True)
SETTING = r"[A-Za-z][A-Za-z0-9-]*"
SETTINGS = Shape(
    what='a table of texts of one line, { Name = "value" }',
    schema={
        "type": "object",
        "patternProperties": {f"^{SETTING}$": {"type": "string"}},
        "additionalProperties": False,
    },
    accept=_is_settings,
    many=True,
    read=_pairs,
)


UNIT_NAME = r"[A-Za-z0-9][A-Za-z0-9_:.-]{0,200}"
"""Of a unit, without what comes behind its last dot (systemd.unit(5))."""

SERVICE: dict[str, Key] = {
    "script": Key(
        shape=NAME,
        summary="the script that runs (default: the one with the service's name, or the bundle's, or the first)",
        example='"myproject"',
        default="",
        metavar="SCRIPT",
    ),
    "arguments": Key(
        shape=TEXTS,
        summary="what it is called with; {root} stands for the bundle's directory",
        example='["--port", "8080"]',
        default=[],
        option="argument",
        metavar="WORD",
    ),
    "description": Key(
        shape=LINE,
        summary="what `systemctl status` shows (default: the project's description)",
        example='"The server of myproject"',
        default="",
        metavar="TEXT",
    ),
    "user": Key(
        shape=matching(r"[A-Za-z_][\w.-]*\$?|\d+", "the name or number of a user"),
        summary="whom it runs as (default: root, or whoever installs it with --user)",
        example='"myproject"',
        default="",
        metavar="USER",
    ),
    "restart": Key(
        shape=choice("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"),
        summary="when it is started again (default: on-failure; no for a oneshot)",
        example='"always"',
        default="",
        metavar="WHEN",
    ),
    "type": Key(
        shape=choice("simple", "exec", "forking", "oneshot", "dbus", "notify", "idle"),
        summary="how it tells that it is up, as Type= of systemd.service(5)",
        example='"notify"',
        default="simple",
        metavar="TYPE",
    ),
    "environment": Key(
        shape=VARIABLES,
        summary="variables that it gets; {root} stands for the bundle's directory",
        example='{ MYPROJECT_CONFIG = "/etc/myproject.toml" }',
        default={},
        metavar="NAME=VALUE",
    ),
    "after": Key(
        shape=listed(r"[A-Za-z0-9_:.@\\-]+\.[a-z]+", 'a list of units such as "network-online.target"'),
        summary="units that are started before it",
        example='["network-online.target", "postgresql.service"]',
        default=["network.target"],
        metavar="UNIT",
    ),
    "wanted-by": Key(
        shape=listed(r"[A-Za-z0-9_:.@\\-]+\.[a-z]+", 'a list of units such as "multi-user.target"'),
        summary="units that start it, once it is enabled; with --user default.target stands for multi-user.target",
        example='["multi-user.target"]',
        default=["multi-user.target"],
        metavar="UNIT",
    ),
    "settings": Key(
        shape=SETTINGS,
        summary="further settings of [Service], as they are to stand there; {root} stands for the bundle's directory",
        example='{ StateDirectory = "myproject", LimitNOFILE = "65536" }',
        default={},
        option="setting",
        metavar="NAME=VALUE",
    ),
}
"""Every key of [tool.relenv.service], and of each [tool.relenv.service.<name>]."""

DESKTOP: dict[str, Key] = {
    "name": Key(
        shape=LINE,
        summary="what the menu shows (default: the project's name; the script's if there are several)",
        example='"My Project"',
        default="",
        metavar="TEXT",
    ),
    "comment": Key(
        shape=LINE,
        summary="what it says of it (default: the project's description)",
        example='"Draw diagrams"',
        default="",
        metavar="TEXT",
    ),
    "icon": Key(
        shape=matching(r"(?!/)(?!.*(^|/)\.\.(/|$)).+\.(png|svg)", "a path in the project to a .png or .svg"),
        summary="the icon, a PNG or SVG in the project",
        example='"assets/icon.svg"',
        default="",
        metavar="FILE",
    ),
    "categories": Key(
        shape=listed(r"[A-Za-z0-9-]+", 'a list of categories such as "Graphics"'),
        summary="where in the menu it is: categories of the Desktop Menu Specification",
        example='["Office", "Chart"]',
        default=["Utility"],
        option="category",
        metavar="CATEGORY",
    ),
    "keywords": Key(
        shape=LINES,
        summary="words that it is found by",
        example='["chart", "plot"]',
        default=[],
        option="keyword",
        metavar="WORD",
    ),
    "terminal": Key(
        shape=FLAG,
        summary="whether it runs in a terminal (default: true unless it is one of project.gui-scripts)",
        example="false",
    ),
    "mime-types": Key(
        shape=listed(r"[\w.+-]+/[\w.+-]+", 'a list of types such as "image/png"'),
        summary="types of files that it opens; their paths come behind the arguments",
        example='["image/png"]',
        default=[],
        option="mime-type",
        metavar="TYPE",
    ),
    "arguments": Key(
        shape=LINES,
        summary="what the script is called with",
        example='["--window"]',
        default=[],
        option="argument",
        metavar="WORD",
    ),
    "settings": Key(
        shape=SETTINGS,
        summary="further keys of the desktop entry, as they are to stand there",
        example='{ StartupWMClass = "myproject" }',
        default={},
        option="setting",
        metavar="NAME=VALUE",
    ),
}
"""Every key of [tool.relenv.desktop], and of each [tool.relenv.desktop.<script>]."""

KEYS: dict[str, Key] = {
    "python": Key(
        shape=matching(r"\d+(\.\d+)*", 'a version such as "3.13" or "3.13.15"'),
        summary='the Python to bundle: "3.13" for the newest 3.13 that can be had, "3.13.15" for exactly that one',
        example='"3.13"',
        default="",
        metavar="VERSION",
    ),
    "name": Key(
        shape=NAME,
        summary="the bundle's name: of the file, and of the directory in it (default: the project's name)",
        example='"myproject"',
        default="",
        metavar="NAME",
    ),
    "output": Key(
        shape=TEXT,
        summary="where the bundle goes: a file, or a directory for it, which is there or ends in / (default: here)",
        example='"dist/bundles"',
        default="",
        metavar="PATH",
    ),
    "format": Key(
        shape=one_or_several("zip", "tar.gz", "tar.zst", "dir", "run", "oci"),
        summary="what to write, one or several: zip, tar.gz, tar.zst, dir, run (one executable file), oci (an image); "
        "default: as the output's name ends, else zip",
        example='["zip", "run"]',
        default="",
        metavar="FORMAT",
    ),
    "scripts": Key(
        shape=SCRIPTS,
        summary="the console scripts to keep in bin/, or new ones as name and function (default: all installed ones)",
        example='["myproject"]',
        option="script",
        metavar="NAME[=MODULE:FUNCTION]",
    ),
    "extras": Key(
        shape=NAMES,
        summary="extras of the project to install with it",
        example='["postgres"]',
        default=[],
        option="extra",
        metavar="EXTRA",
    ),
    "groups": Key(
        shape=NAMES,
        summary="dependency groups of the project to install with it (PEP 735)",
        example='["deploy"]',
        default=[],
        option="group",
        metavar="GROUP",
    ),
    "index-url": Key(
        shape=matching(INDEX, "the address of a package index: https://..., http://... or file:///..."),
        summary="the package index, in place of the one that pip is configured for",
        example='"https://pypi.example.org/simple"',
        default="",
        metavar="URL",
    ),
    "extra-index-url": Key(
        shape=listed(INDEX, "a list of addresses of package indexes: https://..., http://... or file:///..."),
        summary="further package indexes",
        example='["https://example.org/simple"]',
        default=[],
        metavar="URL",
    ),
    "find-links": Key(
        shape=TEXTS,
        summary="directories (relative to the project) or pages with wheels and sdists",
        example='["wheelhouse"]',
        default=[],
        metavar="PATH|URL",
    ),
    "only-binary": Key(
        shape=listed(PACKAGE, 'a list of packages such as "numpy", or [":all:"]'),
        summary='packages that are installed from wheels or not at all; [":all:"] for all',
        example='[":all:"]',
        default=[],
        metavar="NAME",
    ),
    "lock": Key(
        shape=TEXT,
        summary='the lock file to go by: "auto" for the one that is there, "none", or a path from the project',
        example='"auto"',
        default="auto",
        option="lock-file",
        metavar="auto|none|FILE",
    ),
    "installer": Key(
        shape=choice("auto", "pip", "uv"),
        summary="what resolves and installs the dependencies: auto (uv where it is, else pip), pip or uv",
        example='"auto"',
        default="auto",
        metavar="WHICH",
    ),
    "glibc": Key(
        shape=matching(r"2\.(1[7-9]|[2-9]\d|\d{3})", 'a version of glibc from 2.17 on, such as "2.28"'),
        summary="the oldest glibc that the bundle must run on: wheels are chosen for it, or it fails",
        example='"2.28"',
        default="",
        metavar="VERSION",
    ),
    "include": Key(
        shape=INCLUDES,
        summary="files and directories of the project to put into the bundle besides what its wheel holds",
        example='[{ from = "data", to = "share/myproject" }]',
        default=[],
        metavar="FROM[:TO]",
    ),
    "exclude": Key(
        shape=EXCLUDES,
        summary="what to leave out of the bundle, as globs relative to it",
        example='["lib/python3.*/site-packages/*/tests"]',
        default=[],
        metavar="GLOB",
    ),
    "prune": Key(
        shape=choice(*PRUNE),
        summary="what to leave out that an app can do without: none, safe (what no app needs), or max (what few need)",
        example='"safe"',
        default="safe",
        metavar="HOW",
    ),
    "bytecode": Key(
        shape=FLAG,
        summary="whether to ship compiled bytecode: it takes a third more room, and starts at once",
        example="true",
        default=True,
    ),
    "isolated": Key(
        shape=FLAG,
        summary="whether its scripts ignore PYTHON* variables and the user's own packages",
        example="true",
        default=True,
    ),
    "env": Key(
        shape=VARIABLES,
        summary="variables that its scripts set if they are not set; {root} stands for the bundle's directory",
        example='{ MYPROJECT_DATA = "{root}/share/myproject" }',
        default={},
        metavar="NAME=VALUE",
    ),
    "compression": Key(
        shape=choice("fast", "default", "small", "store"),
        summary="how hard to compress: store (not at all), fast, default or small",
        example='"default"',
        default="default",
        metavar="HOW",
    ),
    "licenses": Key(
        shape=FLAG,
        summary="whether licenses/ has the licence texts of all that is installed, besides those of the interpreter",
        example="true",
        default=True,
    ),
    "sbom": Key(
        shape=FLAG,
        summary="whether sbom.cdx.json lists all that is inside (CycloneDX)",
        example="true",
        default=True,
    ),
    "build-backend": Key(
        shape=replace(
            matching(
                rf"(?!{re.escape(OURS)}(:|$))[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?", 'a backend such as "hatchling.build"'
            ),
            fault=lambda value: f"is {OURS}, {HANDS_ON}" if str(value).partition(":")[0] == OURS else "",
        ),
        summary="the backend that relenv.backend hands on to (default: setuptools.build_meta)",
        example='"hatchling.build"',
        default=DEFAULT,
        metavar="MODULE[:OBJECT]",
    ),
    "smoke": Key(
        shape=TEXTS,
        summary="commands to run in the finished bundle, moved elsewhere; one that fails is an error",
        example='["myproject --version"]',
        default=[],
        metavar="COMMAND",
    ),
    "oci": Key(
        shape=table(OCI),
        summary="what an image for containers is built on and how it is run",
        example='{ base = "debian:12-slim", user = "65532" }',
        default={},
    ),
    "service": Key(
        shape=table(SERVICE, tables=UNIT_NAME),
        summary="a systemd service, or several as [tool.relenv.service.<name>]",
        example='{ script = "myproject", arguments = ["--port", "8080"] }',
    ),
    "desktop": Key(
        shape=table(DESKTOP, tables=r"[^/\\]+"),
        summary="how the menu shows gui scripts, each of its own in [tool.relenv.desktop.<script>]",
        example='{ name = "My Project", icon = "assets/icon.svg" }',
    ),
}
"""Every key of [tool.relenv], in the order in which they are documented."""

TARGET = "target"
"""The table of tables that override keys for a kind of machine: [tool.relenv.target.<triplet>]."""
