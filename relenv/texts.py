"""The texts of `templates/`, which are installed as `relenv.templates`; and how others are shown."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


def template(name: str, values: Mapping[str, str] | None = None) -> str:
    """Return the text of a template, with each `@KEY@` that `values` has replaced."""
    text = (files("relenv.templates") / name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: (values or {}).get(match[1], match[0]), text)


def shown(url: str) -> str:
    """Return a URL as it may be shown: without the password that may be in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
