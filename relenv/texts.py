"""The texts of `templates/`, which are installed as `relenv.templates`."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def template(name: str, values: Mapping[str, str] | None = None) -> str:
    """Return the text of a template, with each `@KEY@` that `values` has replaced."""
    text = (files("relenv.templates") / name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: (values or {}).get(match[1], match[0]), text)
