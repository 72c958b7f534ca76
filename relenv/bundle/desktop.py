"""A desktop entry for a script of the bundle, as a text in which the bundle's directory is still left open.

The source is the Desktop Entry Specification 1.5 (https://specifications.freedesktop.org/desktop-entry/latest/). A path
relative to the entry is not among what it knows; see `relenv.bundle.integration`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relenv.bundle.config import DesktopOptions

WORD, TEXT = "@ROOT_IN_WORD@", "@ROOT_IN_TEXT@"
"""The bundle's directory in a quoted word of Exec, and in a text."""
ESCAPES = {"\\": r"\\", "\n": r"\n", "\t": r"\t", "\r": r"\r"}
FILES, URLS = "%F", "%U"
"""What stands for what is to be opened."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the menu shows of a script."""

    script: str
    """In bin/."""
    icon: str
    """Relative to the bundle; empty for none."""
    terminal: bool
    options: DesktopOptions
    name: str
    """If the options have none."""
    comment: str
    """If the options have none."""


def entry(one: Entry) -> str:
    """Return the text of a desktop entry."""
    return "[Desktop Entry]\n" + "".join(f"{key}={value}\n" for key, value in _keys(one) if value)


def _keys(one: Entry) -> Iterator[tuple[str, str]]:
    options = one.options
    program = f"/bin/{one.script}"
    yield "Type", "Application"
    yield "Version", "1.0"
    yield "Name", _text(options.name or one.name)
    yield "Comment", _text(options.comment or one.comment)
    words = [_word(program, WORD), *map(_word, options.arguments), *_opened(options.mime_types)]
    # sh, though the script is executable: the first word may have no =, and GLib does not find one with a %
    yield "Exec", _text(" ".join(["/bin/sh", *words]))
    # without it the entry of a bundle that was removed stays in the menu
    yield "TryExec", TEXT + _text(program)
    yield "Icon", one.icon and f"{TEXT}/{_text(one.icon)}"
    yield "Terminal", "true" if one.terminal else "false"
    yield "Categories", _list(options.categories)
    yield "Keywords", _list(options.keywords)
    yield "MimeType", _list(options.mime_types)
    yield from options.settings.items()


def _opened(types: Sequence[str]) -> list[str]:
    if not types:
        return []
    return [URLS if any(one.startswith("x-scheme-handler/") for one in types) else FILES]


def _word(text: str, before: str = "") -> str:
    """Quote a word of Exec; `before` is part of it, and quoted already."""
    return f'"{before}' + re.sub(r'["`$\\]', r"\\\g<0>", text).replace("%", "%%") + '"'


def _text(text: str) -> str:
    """Return a value of type string."""
    return re.sub(r"[\\\n\t\r]", lambda match: ESCAPES[match[0]], text)


def _list(texts: Sequence[str]) -> str:
    return "".join(_text(text).replace(";", r"\;") + ";" for text in texts)
