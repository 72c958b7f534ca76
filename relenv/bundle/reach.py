"""Which modules of the standard library a bundle can come to import: the others go with `prune = "max"`.

    what the app and its packages name ──► what that imports, and so on ──► what stays

Whatever is named somewhere stays: in an import statement, wherever it is, or in a text that is the name of a module or
of something in one (`"logging.handlers.SysLogHandler"`). What this cannot see is a name put together at run time.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from relenv import process
from relenv.bundle import imported
from relenv.inside import run_python
from relenv.relocate.elf import inspect, is_elf
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


Modules: TypeAlias = "Mapping[str, Mapping[str, Any]]"
"""What each module is and imports: see `relenv.bundle.imported.library`."""
START = (
    *("encodings", "site", "io", "os", "codecs", "threading", "warnings", "traceback", "linecache", "copyreg"),
    *("runpy", "importlib", "importlib.util", "importlib.machinery", "zipimport", "collections.abc", "_pylong"),
)
"""What the interpreter imports itself: to start, to run a module, to show a traceback."""
ENCODINGS = re.compile(
    r"encodings\.(aliases|ascii|charmap|latin_1|utf_8|utf_8_sig|utf_16\w*|utf_32\w*|raw_unicode_escape|unicode_escape"
    # those of the locales of glibc (localedata/SUPPORTED): without its encoding the interpreter does not start
    r"|iso8859_\w+|koi8_\w+|cp1251|cp1252|cp1255|tis_620|kz1048|big5|big5hkscs|euc_jp|euc_kr|gb2312|gbk|gb18030)"
)
CHARSETS = (
    *("encodings.cp866", "encodings.cp874", "encodings.cp932", "encodings.cp949", "encodings.cp1250"),
    *("encodings.cp1253", "encodings.cp1254", "encodings.cp1256", "encodings.cp1257", "encodings.cp1258"),
    *("encodings.iso2022_jp", "encodings.iso2022_kr", "encodings.shift_jis", "encodings.utf_7"),
    *("encodings.mac_cyrillic", "encodings.mac_roman"),
)
"""With ENCODINGS those of the web and of mail: others say in which of them a text is (https://encoding.spec.whatwg.org)."""
ALSO: Mapping[str, tuple[str, ...]] = {
    # modules in C, and what they import: by PyImport_Import and its like, in their sources
    "_asyncio": (
        *("asyncio.events", "asyncio.base_futures", "asyncio.base_tasks", "asyncio.coroutines"),
        *("asyncio.exceptions", "traceback", "weakref"),
    ),
    "_collections": ("collections", "copyreg"),
    "_csv": ("io",),
    "_ctypes": ("ctypes", "ctypes._endian"),
    "_curses": ("curses",),
    "_datetime": ("time", "_strptime"),
    "_decimal": ("numbers", "collections", "decimal"),
    "_elementtree": ("copy", "xml.etree.ElementPath", "xml.etree.ElementTree", "pyexpat"),
    "_functools": ("functools",),
    "_interpchannels": ("pickle", "concurrent.interpreters"),
    "_interpqueues": ("pickle", "concurrent.interpreters"),
    "_interpreters": ("pickle",),
    "_io": ("io", "codecs", "warnings"),
    "_json": ("json.decoder", "json.encoder"),
    "_lsprof": ("cProfile",),
    "_operator": ("operator",),
    "_pickle": ("copyreg", "_compat_pickle", "pickle", "codecs", "functools"),
    "_posixsubprocess": ("subprocess",),
    "_socket": ("encodings.idna",),
    "_sqlite3": ("sqlite3", "sqlite3.dump", "collections.abc", "functools"),
    "_ssl": ("ssl", "socket", "enum"),
    "_struct": ("struct",),
    "_uuid": ("uuid",),
    "_zoneinfo": ("zoneinfo", "zoneinfo._common", "zoneinfo._tzpath", "weakref"),
    "_zstd": ("compression.zstd",),
    "array": ("copyreg", "collections.abc"),
    "pyexpat": CHARSETS,
    "unicodedata": (),
    # and in Python, by names that are put together or looked up
    "ctypes": ("ctypes._endian",),
    "dbm": ("dbm.dumb", "dbm.sqlite3", "dbm.gnu", "dbm.ndbm"),
    "email.charset": CHARSETS,
    "encodings.idna": ("encodings.punycode",),
    "importlib.metadata": ("importlib.readers",),
    "importlib.resources": ("importlib.readers",),
    "logging.config": ("logging.handlers",),
    "sysconfig": ("_sysconfigdata*",),
    "xml.dom": ("xml.dom.minidom",),
    "xml.sax": ("xml.sax.expatreader",),
    "xmlrpc.client": ("xml.parsers.expat",),
    "zipfile": ("encodings.cp437",),
}
ARCHIVES = ("tarfile", "zipfile", "zlib", "bz2", "lzma")
WORDS: Mapping[str, tuple[str, ...]] = {
    ".InteractiveConsole": ("readline",),
    ".IsolatedAsyncioTestCase": ("unittest.async_case",),
    ".Manager": ("multiprocessing.managers",),
    ".ProcessPoolExecutor": ("concurrent.futures.process",),
    ".XmlClient": ("xmlrpc.client",),
    ".XmlListener": ("xmlrpc.client",),
    ".breakpoint": ("pdb",),
    ".cmdloop": ("readline",),
    ".concurrent.futures.*": ("concurrent.futures.process",),
    ".deprecated": ("inspect",),
    ".find_distributions": ("importlib.metadata",),
    ".get_archive_formats": ARCHIVES,
    ".get_resource_reader": ("importlib.readers",),
    ".get_unpack_formats": ARCHIVES,
    ".interact": ("readline",),
    ".iter_importer_modules": ("inspect",),
    ".iter_modules": ("inspect",),
    ".make_archive": ARCHIVES,
    ".popen": ("subprocess",),
    ".run_path": ("pkgutil",),
    ".singledispatch": ("typing",),
    ".singledispatchmethod": ("typing",),
    ".strptime": ("_strptime",),
    ".unittest.*": ("unittest.async_case",),
    ".unpack_archive": ARCHIVES,
    ".walk_packages": ("inspect",),
}
"""What is imported once something of these names is used: by the interpreter, or by a module in UNFOLLOWED."""
UNFOLLOWED: Mapping[str, frozenset[str]] = {
    importer: frozenset(names.split())
    for importer, names in {
        # for whoever sits before the interpreter: >>> and help()
        "site": "pydoc readline rlcompleter _pyrepl locale",
        "_sitebuiltins": "pydoc _pyrepl",
        "pydoc": "pydoc_data .interact",
        "pdb": "readline .cmdloop .interact",
        # for a single function or class: see WORDS
        "cmd": "readline .cmdloop",
        "code": "readline .interact .InteractiveConsole",
        "concurrent.futures": "concurrent.futures.process .ProcessPoolExecutor .concurrent.futures.*",
        "multiprocessing.connection": "xmlrpc .XmlClient .XmlListener",
        "multiprocessing.context": "multiprocessing.managers .Manager",
        "multiprocessing.managers": ".XmlClient .XmlListener",
        "logging": ".Manager",  # a class of its own
        "functools": "typing .singledispatch .singledispatchmethod",
        "os": "subprocess .popen",
        "pkgutil": "inspect .iter_modules .iter_importer_modules .walk_packages",
        "runpy": "pkgutil .run_path",
        "shutil": "tarfile zipfile zlib bz2 lzma"
        " .make_archive .unpack_archive .get_archive_formats .get_unpack_formats",
        "unittest": "unittest.async_case .IsolatedAsyncioTestCase .unittest.*",
        "warnings": "inspect tracemalloc .deprecated",
        "importlib._bootstrap_external": "importlib.metadata importlib.readers"
        " .find_distributions .get_resource_reader",
        "importlib.machinery": ".find_distributions .get_resource_reader",
        "zipimport": "importlib.readers .get_resource_reader",
        # what stands in for a module in C, which is there, or is for other systems
        "abc": "_py_abc",
        "ctypes": "ctypes.macholib ctypes.wintypes ctypes._aix",
        "ctypes.util": "ctypes.macholib ctypes.wintypes ctypes._aix",
        "datetime": "_pydatetime",
        "decimal": "_pydecimal",
        "encodings": "encodings.mbcs _winapi",
        "io": "_pyio",
        "platform": "_ios_support _android_support plistlib",
        "random": "hashlib",
        "sysconfig": "_osx_support _aix_support",
        "_sysconfig": "_osx_support _aix_support",
        "threading": "_threading_local",
        "types": "_socket",  # for the name of a type
        # it does without: to mark a part of a line, for which this bytecode has no columns
        "traceback": "ast",
    }.items()
}
"""Imports that are not followed: the modules, and what is in them."""

LIBRARIES: Mapping[str, str] = {
    "bzip2": r"libbz2",
    "libedit": r"libedit",
    "libffi": r"libffi",
    "libuuid": r"libuuid",
    "ncurses": r"libncursesw|libpanelw",
    "openssl": r"libssl|libcrypto",
    "sqlite": r"libsqlite3",
    "xz": r"liblzma",
    "zlib": r"libz",
    "zstd": r"libzstd",
}
"""The components that are libraries, and how their files in lib/ begin."""
FEW, SHARES = 64, 4
"""Files that one process reads as quickly as several do, and processes at most."""
CERTIFICATES, READER, PLACE = "cacert", "_ssl", "etc/ssl"
"""The component that is none, the module that reads it, and where it is."""


def graph(root: Path, series: str) -> Modules:
    """Return what each module of the standard library imports, as long as its sources are there.

    Args:
        root: an interpreter or environment.
        series: of its Python.
    """
    found: Modules = json.loads(run_python(root, imported.__file__, "library", str(root / "lib" / f"python{series}")))
    return found


def named(root: Path, modules: Modules, paths: Sequence[Path], work: Path) -> frozenset[str]:
    """Return what of the standard library some files name.

    Args:
        root: an interpreter or environment.
        modules: of `graph`.
        paths: sources, shared objects, and wheels.
        work: a directory for files in between.
    """
    known, listed = work / "known.json", work / "listed.json"
    try:
        known.write_text(json.dumps(sorted(modules)), encoding="utf-8")
        listed.write_text(json.dumps([str(path) for path in paths]), encoding="utf-8")
        shares = min(SHARES, -(-len(paths) // FEW))
        argv = (imported.__file__, "uses", str(known), str(listed))
        with process.pool(os.cpu_count() or 1) as threads:
            parts = threads.map(lambda at: run_python(root, *argv, str(at), str(shares)), range(shares))
            return frozenset(name for part in parts for name in json.loads(part))
    finally:
        known.unlink(missing_ok=True)
        listed.unlink(missing_ok=True)


def reached(modules: Modules, uses: Collection[str]) -> frozenset[str]:
    """Return the modules of a standard library that can come to be imported.

    Args:
        modules: of `graph`.
        uses: of `named`.
    """
    found: set[str] = set()
    pending = [*START, *uses, *(name for name in modules if ENCODINGS.fullmatch(name))]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [*ALSO.get(name, ()), *WORDS.get(name, ()), name.rpartition(".")[0]]
            pending += [one for one in modules if name.endswith("*") and one.startswith(name[:-1])]
            pending += _followed(name, modules, uses)
    return frozenset(found & modules.keys())


def _followed(name: str, modules: Modules, uses: Collection[str]) -> list[str]:
    facts = modules.get(name)
    if not facts:
        return []
    gone = UNFOLLOWED.get(name, frozenset())
    aside = [*facts["aside"], f"{name}.__main__"] if f"-{name}" in uses else []
    listed = [*facts["imports"], *aside, *(f".{word}" for word in facts["words"])]
    return [one for one in listed if not any(one == other or one.startswith(f"{other}.") for other in gone)]


def cut(root: Path, series: str, modules: Modules, uses: Collection[str]) -> None:
    """Remove from a bundle the modules that nothing reaches, and the libraries that nothing else needs.

    Args:
        root: the bundle.
        series: of its Python.
        modules: of `graph`.
        uses: of `named`.
    """
    library, stays = root / "lib" / f"python{series}", reached(modules, uses)
    for name in modules.keys() - stays:
        path = library / modules[name]["path"]
        for one in (path, path.with_suffix(".pyc")):
            one.unlink(missing_ok=True)
        if path.name == "__init__.py" and not any(one.startswith(f"{name}.") for one in stays):
            remove_tree(path.parent)  # with the files of other kinds in it
    _drop_empty(library)
    if "pydoc" not in stays:
        for path in (root / "bin").glob("pydoc*"):
            path.unlink()
    _drop_libraries(root, library, stays, uses)


def _drop_empty(library: Path) -> None:
    for folder, _, _ in os.walk(library, topdown=False):
        if folder != str(library) and not os.listdir(folder):  # noqa: PTH208 - hundreds of them
            Path(folder).rmdir()


def _drop_libraries(root: Path, library: Path, stays: Collection[str], uses: Collection[str]) -> None:
    """Remove the libraries that no ELF file that is left needs, and what else comes with them."""
    there = {path.name: path for path in (root / "lib").iterdir() if ".so" in path.name and path.is_file()}
    programs = [root / "bin/python3", *library.rglob("*.so*")]
    pending = {name for path in programs for name in _needed(path)} | {one[1:] for one in uses if one.startswith("/")}
    needed: set[str] = set()
    while pending:
        name = pending.pop()
        if name in there and name not in needed:
            needed.add(name)
            pending |= set(_needed(there[name]))
    for name in there.keys() - needed:
        there[name].unlink()
    gone = [one for one, begin in LIBRARIES.items() if not any(re.match(rf"({begin})\.so", name) for name in needed)]
    if READER not in stays:
        remove_tree(root / PLACE)
        with suppress(OSError):
            (root / PLACE).parent.rmdir()
        gone.append(CERTIFICATES)
    for component in gone:
        for path in (root / "licenses").glob(f"{component}-*"):
            remove_tree(path)


def missing(root: Path) -> frozenset[str]:
    """Return the components of the interpreter that are left out of a bundle."""
    there = [path.name for path in (root / "lib").iterdir() if ".so" in path.name and path.is_file()]
    gone = {one for one, begin in LIBRARIES.items() if not any(re.match(rf"({begin})\.so", name) for name in there)}
    return frozenset(gone if (root / PLACE).is_dir() else gone | {CERTIFICATES})


def _needed(path: Path) -> Iterable[str]:
    elf = inspect(path) if path.is_file() and is_elf(path) else None
    return elf.needed if elf else ()
