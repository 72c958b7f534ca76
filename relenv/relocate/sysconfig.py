"""Files that tell others how Python was built: sysconfig's data, the Makefile, pkg-config's files.

Each is made to work its prefix out from its own place. All of them name PREFIX, the fictional one that everything
was configured with, and nothing else: the executor has seen to that.
"""

from __future__ import annotations

import ast
import json
import pprint
import re
from typing import TYPE_CHECKING

from relenv.recipes.model import PREFIX
from relenv.store import write_text
from relenv.texts import template

if TYPE_CHECKING:
    from pathlib import Path

_BEFORE = r"(?:(?<![\w.])|(?<=-[IL]))"
"""No part of a longer path, but maybe of an option that names a directory."""
_PATH = re.compile(rf"{_BEFORE}{re.escape(PREFIX)}(?![\w.-])")
"""PREFIX where it stands as the beginning of a path."""
_BUILD = re.compile(rf"{_BEFORE}{re.escape(PREFIX)}/src/cpython/deps(?![\w.-])")
"""The merged dependencies of CPython's build: in the finished tree they are in the prefix itself."""


def relocate(root: Path, series: str) -> None:
    """Make every such file of an interpreter relative.

    Args:
        root: the interpreter.
        series: `3.13`.
    """
    library = root / "lib" / f"python{series}"
    for path in library.glob("_sysconfigdata_*.py"):
        _rewrite(path, _sysconfigdata(path.read_text(encoding="utf-8")))
    for path in library.glob("config-*/Makefile"):
        _rewrite(path, _makefile(path.read_text(encoding="utf-8")))
    _rewrite(config := root / "bin" / f"python{series}-config", _python_config(config.read_text(encoding="utf-8")))
    for path in sorted((root / "lib" / "pkgconfig").glob("*.pc")):
        if path.is_symlink():
            continue
        _rewrite(path, _pkgconfig(path.read_text(encoding="utf-8")))
    for path in library.glob("_sysconfig_vars_*.json"):
        _rewrite(path, _settled(path.read_text(encoding="utf-8")))
    for path in library.glob("build-details.json"):
        _rewrite(path, _build_details(path.read_text(encoding="utf-8")))


NO_LIBRARY = "there is no library here to link with: this Python cannot be embedded"
PYTHON_CONFIG = (
    ('RESULT=$(dirname $(cd $(dirname "$1") && pwd -P))', 'RESULT=$(dirname "$(cd "$(dirname "$1")" && pwd -P)")'),
    ("echo $RESULT", 'echo "$RESULT"'),
    ("            PY_EMBED=1\n", f'            echo "$0: {NO_LIBRARY}" >&2\n            exit 1\n'),
)
"""python-config is relative as it comes, but not in a directory with a space: quotes are missing. And it would name
a library that is not there: `--embed || ` something else is how builds ask."""


def _python_config(text: str) -> str:
    for old, new in PYTHON_CONFIG:
        text = text.replace(old, new)
    return text


def _rewrite(path: Path, text: str) -> None:
    write_text(path, text, mode=path.stat().st_mode & 0o777)


def _settled(text: str) -> str:
    return _BUILD.sub(PREFIX, text)


def _sysconfigdata(text: str) -> str:
    (assignment,) = (node for node in ast.parse(text).body if isinstance(node, ast.Assign))
    variables: dict[str, object] = ast.literal_eval(assignment.value)
    relative = {
        name: _PATH.sub("@PREFIX@", _settled(value)) if isinstance(value, str) else value
        for name, value in variables.items()
        # where a build for WebAssembly would put files: PREFIX again, behind a dot
        if not name.startswith("WASM_")
    }
    shown = pprint.pformat(relative, width=110)
    return template("sysconfigdata.py.in", {"VARIABLES": shown})


def _makefile(text: str) -> str:
    lines = []
    for line in _settled(text).splitlines(keepends=True):
        if re.match(rf"prefix=\s*{re.escape(PREFIX)}$", line.rstrip()):
            lines.append("prefix=\t\t$(abspath $(dir $(lastword $(MAKEFILE_LIST)))/../../..)\n")
        else:
            lines.append(_PATH.sub("$(prefix)", line))
    return "".join(lines)


def _pkgconfig(text: str) -> str:
    lines = []
    for line in text.splitlines(keepends=True):
        if re.match(rf"prefix=\s*{re.escape(PREFIX)}/?$", line.rstrip()):
            # ${pcfiledir} is where the file was found: pkg-config(1)
            lines.append("prefix=${pcfiledir}/../..\n")
        else:
            lines.append(_PATH.sub("${prefix}", line))
    return "".join(lines)


def _build_details(text: str) -> str:
    """PEP 739: a relative base_prefix is relative to the file, other paths to the base_prefix."""
    details = json.loads(text)

    def relative(value: object) -> object:
        if isinstance(value, dict):
            return {name: relative(item) for name, item in value.items()}
        if isinstance(value, list):
            return [relative(item) for item in value]
        if isinstance(value, str):
            return _PATH.sub(".", value)
        return value

    details = {name: relative(value) for name, value in details.items()}
    details["base_prefix"] = "../.."
    return json.dumps(details, indent=2) + "\n"
