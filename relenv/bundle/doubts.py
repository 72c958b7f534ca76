"""What of a configuration can be read but is hardly what was meant: found before anything is built."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relenv.bundle.config import AppConfig

ROOT = "root"
"""What in braces stands for the bundle's directory."""
CLOSE = 0.7
"""How much another word in braces has to be like it (difflib); `{message}` may be meant for the program itself."""


def refuse_links(config: AppConfig) -> None:
    """Refuse a place of `find-links` that is not there: pip and uv look into it when something is required, if at all.

    Raises:
        ConfigError: there is one.
    """
    for link in config.find_links:
        if "://" not in link and not Path(link).exists():
            raise ConfigError(f"find-links names {link}, which is not there", hint="paths are meant from the project")


def doubts(config: AppConfig) -> Iterator[str]:
    """Yield a sentence for each value that is hardly meant."""
    for place, text in _filled(config):
        for word in re.findall(r"\{(\w+)\}", text):
            if word != ROOT and difflib.get_close_matches(word.lower(), [ROOT], cutoff=CLOSE):
                yield f"{place}: {{{word}}} stays as it is in {text!r}; did you mean {{{ROOT}}}?"
    here = _glibc_here()
    if config.glibc and here and tuple(map(int, config.glibc.split("."))) > here:
        version = ".".join(map(str, here))
        yield f"glibc = {config.glibc} is newer than the {version} of this machine, on which the bundle may not run"


def _filled(config: AppConfig) -> Iterator[tuple[str, str]]:
    """Yield the texts in which the bundle's directory is filled in, each with its place in the configuration."""
    tables: dict[str, Mapping[str, str]] = {"env": config.env}
    for name, service in config.services.items():
        where = ".".join(filter(None, ("service", name)))
        tables |= {f"{where}.environment": service.environment, f"{where}.settings": service.settings}
        yield from ((f"{where}.arguments", one) for one in service.arguments)
    for where, table in tables.items():
        yield from ((f"{where}.{name}", value) for name, value in table.items())


def _glibc_here() -> tuple[int, ...]:
    """Return the version of this machine's glibc, nothing if it has another C library."""
    try:
        found = re.fullmatch(r"glibc (\d+)\.(\d+).*", os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (ValueError, OSError):
        return ()
    return (int(found[1]), int(found[2])) if found else ()
