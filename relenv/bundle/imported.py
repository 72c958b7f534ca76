"""What Python sources and compiled modules import, found out by the Python that is going to run them.

Run as a program by the interpreter of a bundle, so it uses the standard library alone:

    python3 imported.py library DIRECTORY     the modules of a standard library, and what each imports
    python3 imported.py uses LIBRARY LIST AT SHARES
                                              which modules of that the files name that LIST (JSON) lists; of the files
                                              every SHARESth from the ATth on is looked at

Both print JSON.
"""

from __future__ import annotations

import ast
import bz2
import json
import re
import string
import sys
import zipfile
import zlib
from bisect import bisect_left
from contextlib import suppress
from encodings.aliases import aliases
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

LOOSE = re.compile(rb"(?:from|import)\s+([\w.]+)|[\"']([\w.]+)[\"']")
"""What imports look like in a text that is no valid Python of this version."""
CODE = re.compile(
    r"(?:^|;)[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b[ \t(]*|import[ \t]+(?=[\w., \t]+(?:$|[;#])))([\w., \t]*)",
    re.MULTILINE,
)
"""Likewise in a text that is code: `[sys.executable, "-c", "import wave; ..."]`, or what is written to a file."""
NAME = re.compile(r"\w[\w.-]*")
LONGEST = 80
"""Characters that the name of a module, or of something in one, may have."""
ASIDE = re.compile(r"_?main|_?test|_test_\w+|_parse_args")
"""Functions of the standard library that run where a module is run as a program."""
WORDS = frozenset(
    (
        *("strptime", "breakpoint", "popen", "singledispatch", "singledispatchmethod", "deprecated"),
        *("iter_modules", "walk_packages", "iter_importer_modules", "run_path"),
        *("get_resource_reader", "find_distributions", "IsolatedAsyncioTestCase", "unittest.*"),
        *("make_archive", "unpack_archive", "get_archive_formats", "get_unpack_formats"),
        *("cmdloop", "interact", "InteractiveConsole", "Manager", "XmlListener", "XmlClient"),
        *("ProcessPoolExecutor", "concurrent.futures.*"),
    )
)
"""Names that have the interpreter import something when they are used: see relenv.bundle.reach."""
WORD = re.compile(rb"\w{2,}", re.ASCII)
"""What a compiled module may name: no module of the standard library has a shorter name."""
RUN_TOGETHER = (b"__pyx_", b"rust_")
"""In modules that Cython and Rust compile, texts may stand side by side with nothing between."""
PROGRAM = re.compile(rb"#!(.*python|/bin/sh\n''')")
"""How a program in Python begins, which needs no suffix; the second as pip and relenv write it."""
CALLS = (b"PyInit_", b"PyImport_", b"PyObject_", b"PyRun_")
"""One of them is in what has to do with Python: other shared objects import nothing."""
PACKED = (b"__pyx_", b"decompress")
"""In a module that Cython compiled, both: its texts may be compressed."""
ASKED = (b"asyncio.coroutines", b"_is_coroutine")
"""Both in each such module with a function: it looks there for a mark if it is asked for it, and does without."""
STREAMS: dict[bytes, Callable[[], zlib._Decompress | bz2.BZ2Decompressor]] = {
    b"\x78[\x01\x5e\x9c\xda]": zlib.decompressobj,
    b"BZh[1-9]1AY&SY": bz2.BZ2Decompressor,
}
"""How compressed texts begin, for CYTHON_COMPRESS_STRINGS=1 and 2."""
ALIGNED = (32, 8)
"""Bytes: where those of 90, the default from Cython 3.3 on, begin mostly, and may begin. They have no mark."""
LONG, PRINTABLE = 0x80, string.printable.encode()
ALWAYS = (b"__main__", b"__name__")
"""Texts of every module that Cython compiled: by them it is seen that they were read."""
MOST, TRIED = 1 << 20, 256
"""Bytes of texts that are read of a module, as what is not compressed follows them, and to see whether they are any."""
WORDY = re.compile(r"(.*/)?(pygments/(lexers|styles)/[^/]+|rich/_emoji_codes\.py|markdown_it/(common|presets)/[^/]+)")
"""Sources whose texts are words of languages, and no names of modules; none of them is a program that an app runs."""
PROGRAMS = frozenset(("antigravity", "this", "pdb", "profile", "test", "trace", "idlelib", "turtledemo", "lib2to3"))
"""What no compiled module imports, although it may well have the word."""


class Finder(ast.NodeVisitor):
    """Collects what a module names."""

    def __init__(self, module: str = "", *, package: bool = False) -> None:
        self.imports: set[str] = set()
        self.aside: set[str] = set()
        self.literals: set[str] = set()
        self.words: set[str] = set()
        self._into = self.imports
        self._package = module.split(".") if package else module.split(".")[:-1]

    def visit_Import(self, node: ast.Import) -> None:
        """Note each module."""
        self._into.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Note the module, and each name as one that may be a module."""
        above = self._package[: len(self._package) + 1 - node.level] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        if base and (self._package or not node.level):
            self._into.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
        self.words.update(f"{base}.*" if alias.name == "*" else alias.name for alias in node.names)
        if any(ASIDE.fullmatch(alias.name) for alias in node.names):
            self.literals.add(base)

    def visit_Call(self, node: ast.Call) -> None:
        """Note what is imported by a name that is there to read."""
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            self._into.add(str(node.args[0].value))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """Keep apart what only a program imports, and leave out what only a type checker does."""
        if _is_never(node.test):
            for one in node.orelse:
                self.visit(one)
        elif isinstance(node.test, ast.Compare) and getattr(node.test.left, "id", "") == "__name__":
            self._visit_aside(node.body)
            for one in node.orelse:
                self.visit(one)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Likewise."""
        if ASIDE.fullmatch(node.name):
            self._visit_aside(node.body)
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Note what may be the name of a module, or of something in one, and what a text imports that is code."""
        if not isinstance(node.value, str):
            return
        if len(node.value) <= LONGEST and NAME.fullmatch(node.value):
            self.literals.add(node.value)
        elif "import" in node.value and (found := {*_of_code(node.value)}):
            self.aside |= found  # it is a program of its own
            self.words.update(re.findall(r"\w+", node.value))

    def visit_Expr(self, node: ast.Expr) -> None:
        """Pass over what documents something: it has examples."""
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Note a word."""
        self.words.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Note a word, and whose program is called."""
        self.words.add(node.attr)
        if ASIDE.fullmatch(node.attr) and isinstance(node.value, ast.Name | ast.Attribute):
            self.literals.add(ast.unparse(node.value))
        self.generic_visit(node)

    def _visit_aside(self, body: Iterable[ast.stmt]) -> None:
        before, self._into = self._into, self.aside
        for one in body:
            self.visit(one)
        self._into = before


def _of_code(text: str) -> Iterator[str]:
    """Yield the modules that a text imports, if it is code."""
    for package, names in CODE.findall(text):
        listed = [name.split()[0] for name in names.split(",") if name.strip()]
        yield from [package, *(f"{package}.{name}" for name in listed)] if package else listed


def _is_never(test: ast.expr) -> bool:
    name = getattr(test, "attr", getattr(test, "id", ""))
    return name == "TYPE_CHECKING" or (isinstance(test, ast.Constant) and not test.value)


def library(folder: Path) -> dict[str, dict[str, object]]:
    """Return the modules of a standard library that are files, with their paths and what they import."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[0] in ("site-packages", "test") or not all(part.isidentifier() or "-" in part for part in parts):
            continue
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        finder = Finder(name, package=package)
        with suppress(SyntaxError):  # of some tests in old ones that is meant
            finder.visit(ast.parse(path.read_bytes()))
        found[name] = {
            "path": path.relative_to(folder).as_posix(),
            "imports": sorted(finder.imports - {name}),
            "aside": sorted(finder.aside - {name}),
            "words": sorted(finder.words & WORDS),
        }
    for path in sorted(folder.glob("lib-dynload/*.so")):
        name = path.name.partition(".")[0]
        found[name] = {"path": path.relative_to(folder).as_posix(), "imports": [], "aside": [], "words": []}
    return found


def uses(paths: Collection[str], known: Iterable[str], at: int = 0, shares: int = 1) -> set[str]:
    """Return the modules of the standard library that files name, and with a mark what else counts.

    A text that is the name of a module, which may be run as a program: `-json.tool`. Words: `.strptime`. Shared
    libraries: `/libz.so.1`.

    Args:
        paths: sources, shared objects, and wheels with such.
        known: the modules.
        at: which share of the files is looked at.
        shares: how many there are.
    """
    modules = {*known, *sys.builtin_module_names}
    single = {path for path in paths if not path.endswith(".whl")}
    listed = [("", path) for path in _speaking(single)]
    for path in sorted({*paths} - single):
        listed += [(path, name) for name in _speaking({*_opened(path).namelist()})]
    found: set[str] = set()
    for wheel, name in listed[at::shares]:
        data = _content(wheel, name)
        if not name.endswith(".py") and not PROGRAM.match(data):
            found |= _of_binary(data, modules)
            continue
        names, aside, texts, words = _of_source(data)
        found |= {module for one in names for module in _meant(one, modules)}
        if not WORDY.fullmatch(name):
            found |= {module for one in aside for module in _meant(one, modules)}
            found |= {module for one in texts for module in _meant(one, modules)}
            found |= {f"-{one}" for one in texts & modules}
            words |= {text.rpartition(".")[2] for text in texts if "." in text}
        found |= {f".{word}" for word in words & WORDS}
    return found


def _content(wheel: str, name: str) -> bytes:
    if wheel:
        return _opened(wheel).read(name)
    return Path(name).read_bytes() if Path(name).is_file() else b""  # a link that leads nowhere


@cache
def _opened(wheel: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel)


def _meant(name: str, modules: set[str]) -> Iterator[str]:
    """Yield the module that has a name, or holds what has it, and the one of an encoding that is called so.

    Of what is called like a shared library, the name with a slash.
    """
    whole = name
    if ".so" in name:
        yield f"/{name}"
    while name and name not in modules:
        name = name.rpartition(".")[0]
    if name:
        yield name
    plain = whole.lower().replace("-", "_")
    module = f"encodings.{aliases.get(plain, plain)}"
    if module in modules:
        yield module


def _of_source(data: bytes) -> tuple[set[str], set[str], set[str], set[str]]:
    """Return what a source names: what it imports, what it does where it is run as a program, texts, and words."""
    finder = Finder()
    try:
        finder.visit(ast.parse(data))
    except (SyntaxError, ValueError, RecursionError):
        names = {part.decode("latin-1") for found in LOOSE.findall(data) for part in found if part}
        return names, set(), names, {word for word in WORDS if word.encode() in data}
    return finder.imports, finder.aside, finder.literals, finder.words


def _of_binary(data: bytes, modules: set[str]) -> set[str]:
    """Return the modules whose names occur in a compiled module, each part by itself is enough, and the words."""
    if not any(call in data for call in CALLS):
        return set()
    if all(mark in data for mark in PACKED):
        texts = _unpacked(data)
        if not texts:
            return modules - PROGRAMS | {f".{word}" for word in WORDS}
        data += texts
    if all(mark in data for mark in ASKED):
        data = data.replace(ASKED[0], b"")
    parts = {part for module in modules for part in module.split(".")}
    words = sorted({match[0] for match in WORD.finditer(data)})
    if any(mark in data for mark in RUN_TOGETHER):
        text = b"\n".join(words)
        there = {part for part in parts if part.encode() in text}
    else:
        there = {part for part in parts if _begins_one(part.encode(), words)}
    said = {f".{word}" for word in WORDS if word.encode() in data}
    return {module for module in modules - PROGRAMS if there.issuperset(module.split("."))} | said


def _unpacked(data: bytes) -> bytes:
    """Return the texts that Cython has compressed in a module, or nothing where they are not found.

    Source: Cython/Compiler/Code.py, generate_pystring_constants; Cython/Utility/StringTools.c, DecompressString_LZSS.
    """
    return next((texts for texts in _decompressed(data) if all(text in texts for text in ALWAYS)), b"")


def _decompressed(data: bytes) -> Iterator[bytes]:
    """Yield whatever in a module can be decompressed."""
    view = memoryview(data)  # what looks like the beginning of a stream is everywhere: nothing is copied for it
    for start, make in STREAMS.items():
        for found in re.finditer(start, data):
            with suppress(zlib.error, OSError):
                yield make().decompress(view[found.start() :], MOST)
    for at in chain(*(range(0, len(data), step) for step in ALIGNED)):
        if _is_text(_lzss(data, at, TRIED)):
            yield _lzss(data, at, MOST)


def _is_text(texts: bytes) -> bool:
    """Tell whether this may be how texts begin: nearly all of it can be read."""
    return len(texts) >= TRIED and len(texts.translate(None, PRINTABLE)) * 16 < len(texts)


def _lzss(data: bytes, at: int, most: int) -> bytes:
    """Return what is compressed from some place on, as far as it can be."""
    texts = bytearray()
    with suppress(IndexError):
        while len(texts) < most:
            flags, at = data[at], at + 1
            for bit in range(8):
                if flags >> bit & 1:
                    texts.append(data[at])
                    at += 1
                    continue
                low, high, at = data[at], data[at + 1], at + 2
                if low < LONG:
                    back, length = low, high
                elif high < LONG:
                    back, length = LONG + (high << 2 & 0x180 | low & 0x7F), high & 0x1F
                else:
                    back, length, at = LONG + ((high & 0x7F) << 7 | low & 0x7F), data[at], at + 1
                start = len(texts) - back - length - 3
                if start < 0:
                    return bytes(texts)
                texts += texts[start : start + length + 3]
    return bytes(texts)


def _begins_one(part: bytes, words: list[bytes]) -> bool:
    place = bisect_left(words, part)
    return place < len(words) and words[place].startswith(part)


def _speaking(names: set[str]) -> list[str]:
    """Return the sources, what may be a program, and the compiled modules whose source is not beside them."""

    def is_compiled(name: str) -> bool:
        folder, _, file = name.rpartition("/")
        source = f"{file.partition('.')[0]}.py"
        # what mypyc and Cython have made of a source imports what that does
        return ".so" in file and (f"{folder}/{source}" if folder else source) not in names

    def may_run(name: str) -> bool:
        folder, _, file = name.rpartition("/")
        return file.endswith(".py") or "." not in file or folder.endswith(("/bin", ".data/scripts"))

    return sorted(name for name in names if may_run(name) or is_compiled(name))


def main() -> None:
    """Print what is asked for."""
    if sys.argv[1] == "library":
        sys.stdout.write(json.dumps(library(Path(sys.argv[2]))))
    else:
        known, paths = (json.loads(Path(one).read_bytes()) for one in sys.argv[2:4])
        sys.stdout.write(json.dumps(sorted(uses(paths, known, *map(int, sys.argv[4:])))))


if __name__ == "__main__":
    main()
