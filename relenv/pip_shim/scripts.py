"""Scripts that run the interpreter beside them, wherever that is: bytes in, bytes out.

A script in `bin/` begins with a trampoline: to `sh` a program that ends in exec, to Python a string. sh reads
its second line as an empty word joined to `:`, which does nothing; Python as three quotes that open a string.
It forks only if it is reached through a symbolic link.

It stands where a docstring stands: it would become the script's `__doc__`, and the script's own docstring
would no longer be allowed before `from __future__`. `trampoline` sees to both.
"""

from __future__ import annotations

import ast
import io
import os
import re
import shlex
import tokenize
import warnings
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# `$0` without a slash: `sh script` in the script's directory, or an empty entry of PATH.
# Its name is all that the variable has of its own: it is not exported, and nobody else uses relenv_script.
_HEADER = """\
#!/bin/sh
{cookie}''':'
relenv_script=$0
[ -L "$0" ] && {{ relenv_script=$(readlink -f -- "$0") || exit 127; }}
case $relenv_script in */*) ;; *) relenv_script=./$relenv_script ;; esac
exec "${{relenv_script%/*}}/{interpreter}" -I{flags} "$0" "$@"
'''"""

_OURS = re.compile(rb"#!/bin/sh\n(?P<cookie>#.*\n)?''':'\n(?P<shell>relenv_[^']*\n)'''.*\n?")
"""A trampoline of this or another version of relenv: in all of them the shell part begins with `relenv_`."""

_OPEN = re.compile(rb'(?<=" )-P(?=[A-Za-z]* "\$0" )')
"""In place of -I, in bundles whose scripts are to heed the user's variables and packages (`isolated = false`)."""

_EXEC = b"#!/bin/sh\n'''exec' "
_EXEC_END = b"\n' '''"
_ARGUMENTS = ' "$0" "$@"'
_BESIDE = re.compile(
    r'"\$\(dirname (?:-- )?"\$\((?:realpath|readlink -f) (?:-- )?"\$0"\)"\)(?:"/\'([^\']*)\'|/([^"]*)")'
)
"""The script's directory, spelled in shell, and a name in it: `uv venv --relocatable`, the older relenv."""

_PYTHON = re.compile(r"pythonw?(3(\.\d+)?[a-z]*)?")
_LITERAL = re.compile(r'"(.+)"((?: -\w+)*)', re.DOTALL)
"""How pip writes an interpreter there: as it is, whatever sh makes of it."""
_FLAGS = re.compile(r"-([bBdEiIOPqsSuv]+)")
_IMPLIED = "EIPs"
"""Flags that the -I we always give stands for."""

_ZIP = b"PK\x03\x04"


class ScriptError(ValueError):
    """A script is for our interpreter but cannot get a trampoline; says why."""


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """A script taken apart."""

    flags: str
    """Options of Python's as single letters, those apart that -I stands for."""
    body: bytes
    """What follows the shebang; with the encoding cookie in its first line, if there is one."""


def is_python(path: str) -> bool:
    """Tell whether a file of this path or name would be an interpreter of Python 3."""
    return _PYTHON.fullmatch(path.rpartition("/")[2]) is not None


def _is_interpreter(path: str) -> bool:
    """Tell whether this is a Python by its name, or by that of what it leads to: `~/bin/py` may be a link."""
    return is_python(path) or (path.startswith("/") and is_python(os.path.realpath(path)))


def header(interpreter: str = "python3", *, flags: str = "", cookie: bytes = b"") -> bytes:
    """Return the trampoline up to its closing quotes, without a newline after them.

    Args:
        interpreter: path of the interpreter relative to the script's directory.
        flags: single-letter options of Python's besides -I, such as `u`.
        cookie: a whole comment line that names an encoding; Python looks for one in lines 1 and 2 (PEP 263).

    Raises:
        ValueError: the interpreter's path has characters that mean something to the shell, or is absolute.
    """
    if not re.fullmatch(r"[\w.+-][\w.+/-]*", interpreter, re.ASCII) or not re.fullmatch(r"[A-Za-z]*", flags):
        raise ValueError(f"not a plain relative path and flags: {interpreter!r}, {flags!r}")
    text = _HEADER.format(cookie=cookie.decode("latin-1"), interpreter=interpreter, flags=flags)
    return text.encode("latin-1")


def carries(data: bytes, interpreter: str = "python3") -> bool:
    """Tell whether a script begins with this version's trampoline to `interpreter`."""
    ours = _OURS.match(data)
    if ours is None:
        return False
    return _OPEN.sub(b"-I", data[: ours.end()], count=1).startswith(
        header(interpreter, flags=_own_flags(ours), cookie=ours["cookie"] or b"")
    )


def trampoline(body: bytes, *, interpreter: str = "python3", flags: str = "") -> bytes:
    """Return a script that runs `body`, a Python source or zip application without its shebang.

    Python sees the same `__doc__`, `__future__` imports and encoding as it would below an ordinary shebang; only
    the indentation that 3.13 and later take off a docstring's lines stays.

    Args:
        body: what to run; an encoding cookie is heeded in its first line, as in line 2 of a script.
        interpreter: as for `header`.
        flags: as for `header`.

    Raises:
        ScriptError: `body` is not valid for the version of Python that runs this.
    """
    if body.startswith(_ZIP):  # Python finds a zip by its end: what stands before it does not matter
        return header(interpreter, flags=flags) + b"\n" + body
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(b"#\n" + body).readline)
        cookie, body = _lift_cookie(body, encoding)
        closing, source = _keep_doc(body.decode(encoding))
        start = header(interpreter, flags=flags, cookie=cookie)
        script = start + closing.encode() + b"\n" + source.encode(encoding)
        _compile(script)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError) as error:
        raise ScriptError(f"not valid Python: {error}") from error
    return script


def rewrite(
    data: bytes, is_ours: Callable[[str], bool], *, interpreter: str = "python3", running: str = ""
) -> bytes | None:
    """Return a script with a trampoline in place of its shebang; None when there is nothing to change.

    Known are the shebangs of pip, distlib, installer (poetry, pdm), setuptools and uv, and trampolines of
    other versions of relenv. `#!/usr/bin/env python3` is its author's choice and stays.

    Args:
        data: the content of a file, whatever it may be.
        is_ours: tells for an absolute path whether it is the interpreter to be replaced. It is not asked
            about `#!python` and other bare names: in an environment they can mean no other.
        interpreter: as for `header`.
        running: a path that is found even where no shebang can hold it, for there is a newline in it.

    Raises:
        ScriptError: the script is for our interpreter but would not survive the change.
    """
    if carries(data, interpreter):
        return None
    parts = _take_apart(data, is_ours, running)
    if parts is None:
        return None
    return trampoline(parts.body, interpreter=interpreter, flags=parts.flags)


def _take_apart(data: bytes, is_ours: Callable[[str], bool], running: str) -> _Parts | None:
    """Return flags and body of a script that our interpreter is to run, None for everything else."""
    if ours := _OURS.match(data):
        return _Parts(flags=_own_flags(ours), body=(ours["cookie"] or b"") + data[ours.end() :])
    readings, body = _read_exec(data) if data.startswith(_EXEC) else _read_shebang(data, running)
    for path, options in readings:
        if _is_interpreter(path) and (is_ours(path) if path.startswith("/") else "/" not in path):
            found = _FLAGS.fullmatch(options)
            flags = "".join(flag for flag in found[1] if flag not in _IMPLIED) if found else ""
            return _Parts(flags=flags, body=body)
    return None


def _own_flags(ours: re.Match[bytes]) -> str:
    found = re.search(rb'" -[IP]([A-Za-z]*) "\$0"', ours["shell"])
    return found[1].decode() if found else ""


def _read_shebang(data: bytes, running: str) -> tuple[list[tuple[str, str]], bytes]:
    """Return every reading of a `#!` line as path and options, and the rest of the script."""
    if running and data.startswith(broken := b"#!" + os.fsencode(running) + b"\n"):
        return [(running, "")], data[len(broken) :]
    line, _, body = data.partition(b"\n")
    return (list(_readings(_text(line[2:]).strip())) if line.startswith(b"#!") else []), body


def _readings(line: str) -> Iterator[tuple[str, str]]:
    if line.startswith('"'):  # setuptools; no kernel understands it
        path, _, options = line[1:].partition('"')
        yield path, options.strip()
        return
    # pip puts the interpreter into .data/scripts without quotes: any blank may belong to its path
    for blank in re.finditer(r"\s+|$", line):
        yield line[: blank.start()], line[blank.end() :]


def _read_exec(data: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Read `'''exec' PYTHON OPTIONS "$0" "$@"`: what installers write when a path has blanks or is long."""
    command, end, rest = data[len(_EXEC) :].partition(_EXEC_END)
    text = _text(command)
    if not end or not text.endswith(_ARGUMENTS):
        return [], b""
    words = text.removesuffix(_ARGUMENTS)
    literal = _LITERAL.fullmatch(words)
    readings = [(literal[1], literal[2].strip())] if literal else []
    try:
        path, *options = shlex.split(_BESIDE.sub(_quote_name, words, count=1))
        readings.insert(0, (path, " ".join(options)))
    except ValueError:  # a quotation without an end, or no word at all
        pass
    return readings, rest.partition(b"\n")[2]


def _quote_name(beside: re.Match[str]) -> str:
    return shlex.quote(beside[1] or beside[2])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _lift_cookie(body: bytes, encoding: str) -> tuple[bytes, bytes]:
    """Take the line with the cookie off the body: Python would not look for it below the trampoline."""
    if encoding == "utf-8":
        return b"", body
    line, newline, rest = body.partition(b"\n")
    return line + newline, rest


def _keep_doc(source: str) -> tuple[str, str]:
    """Return what is to follow the trampoline's closing quotes, and a source that keeps its `__doc__`."""
    tree = _parse(source)
    doc = ast.get_docstring(tree, clean=False)
    statements = tree.body if doc is None else tree.body[1:]
    futures = list(takewhile(_is_future, statements))
    if doc is None and _sets_doc(statements[len(futures) :]):
        return "", source
    if not futures:
        return ("; __doc__ = None", source) if doc is None else ("", _assign_doc(source, tree.body[0]))
    source = _insert(source, _end(source, futures[-1]), f"; __doc__ = {doc!a}")
    return "", source if doc is None else _blank(source, tree.body[0])


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _sets_doc(statements: Sequence[ast.stmt]) -> bool:
    """Tell whether `__doc__` is assigned first of all, be it by the script or by an earlier rewriting."""
    match statements:
        case [ast.Assign(targets=[ast.Name(id="__doc__")]), *_]:
            return True
    return False


def _assign_doc(source: str, doc: ast.stmt) -> str:
    return _insert(source, _start(source, doc), "__doc__ = ")


def _blank(source: str, statement: ast.stmt) -> str:
    """Remove a statement, and a semicolon after it, but no line: tracebacks keep their numbers."""
    start, end = _start(source, statement), _end(source, statement)
    newlines = "".join(re.findall(r"\r\n|\r|\n", source[start:end]))
    return source[:start] + newlines + re.sub(r"\A[ \t]*;[ \t]*", "", source[end:])


def _insert(source: str, at: int, text: str) -> str:
    return source[:at] + text + source[at:]


def _start(source: str, node: ast.stmt) -> int:
    return _offset(source, node.lineno, node.col_offset)


def _end(source: str, node: ast.stmt) -> int:
    return _offset(source, node.end_lineno or node.lineno, node.end_col_offset or 0)


def _offset(source: str, line: int, column: int) -> int:
    """Return the index of a position as the parser gives it: lines from 1, columns in bytes of UTF-8."""
    lines = list(io.StringIO(source, newline=""))
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


def _parse(source: str) -> ast.Module:
    # warnings about a script are its author's business, not that of those who install it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _compile(script: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(script, "<script>", "exec", dont_inherit=True)
