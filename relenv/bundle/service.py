"""A systemd unit for a script of the bundle, as a text in which the bundle's directory is still left open.

An absolute path must stand in a unit, and nobody knows it before the bundle is where it is to stay: the program that
`relenv.bundle.integration` puts into bin/ fills it in there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relenv.bundle.config import ServiceOptions

WORD, VALUE, LINE = "@ROOT_IN_WORD@", "@ROOT_IN_VALUE@", "@ROOT_IN_LINE@"
"""The bundle's directory in a quoted word of a command line, in a quoted value, and in a line as it is."""
ONLINE = "network-online.target"
"""Nothing starts it unless something wants it (systemd.special(7))."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service of the bundle."""

    name: str
    """Of the unit, without `.service`."""
    script: str
    """In bin/; a script in sh."""
    options: ServiceOptions
    description: str
    """If the options have none."""


def unit(service: Service) -> str:
    """Return the text of a unit."""
    options = service.options
    sections = {
        "Unit": [("Description", _line(options.description or service.description)), *_order(options)],
        "Service": list(_service(service)),
        "Install": [("WantedBy", " ".join(options.wanted_by))] if options.wanted_by else [],
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{setting}={value}\n" for setting, value in settings)
        for name, settings in sections.items()
        if settings
    )


def _order(options: ServiceOptions) -> Iterator[tuple[str, str]]:
    if ONLINE in options.after:
        yield "Wants", ONLINE
    if options.after:
        yield "After", " ".join(options.after)


def _service(service: Service) -> Iterator[tuple[str, str]]:
    options = service.options
    words = [f"{{root}}/bin/{service.script}", *options.arguments]
    yield "Type", options.type
    # sh, though the script is executable: the first word may have no blanks before systemd 218, and no % to this
    # day (https://github.com/kardianos/service/pull/28, https://github.com/systemd/systemd/issues/36250);
    # the others may. The script replaces sh with Python at once.
    yield "ExecStart", " ".join(["/bin/sh", *map(_word, words)])
    yield "Restart", options.restart or ("no" if options.type == "oneshot" else "on-failure")
    if options.user:
        yield "User", options.user
    yield "SyslogIdentifier", service.name  # else the journal calls it sh
    for name, value in options.environment.items():
        yield "Environment", _quoted(f"{name}={value}").replace("{root}", VALUE)
    for name, value in options.settings.items():
        yield name, value.replace("{root}", LINE)


def _word(text: str) -> str:
    """Return a word of a command line: as in a value, and without variables."""
    return _quoted(text).replace("$", "$$").replace("{root}", WORD)


def _quoted(text: str) -> str:
    """Quote a value (systemd.syntax(7)), with no specifier in it (systemd.unit(5))."""
    escaped = re.sub(r'[\\"]', r"\\\g<0>", text).replace("%", "%%")
    return '"' + re.sub(r"[\x01-\x1f\x7f]", lambda match: f"\\x{ord(match[0]):02x}", escaped) + '"'


def _line(text: str) -> str:
    """Return a text as it may stand in a line: a backslash at its end would join it with the next one."""
    return " ".join(text.split()).replace("%", "%%").rstrip("\\")
