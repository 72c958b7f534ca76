"""What a bundle can do without: one row of CUTS each, with the reason.

`safe` removes nothing that an app could need: what only serves to compile and to install, unless something in the
bundle names it; and bytecode that is hardly ever read. `max` goes on to what some apps do need; which
modules of the standard library it leaves out is told by `relenv.bundle.reach`.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.bundle.keys import PRUNE
from relenv.inside import run_python
from relenv.relocate import bytecode
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

NONE, SAFE, MAX = PRUNE

LIBRARY = r"lib/python3\.\d+"
SITE = rf"{LIBRARY}/site-packages"
PIP = rf"{SITE}/pip(-[^/]+\.dist-info)?|bin/pip(3(\.\d+)?)?|licenses/pip-[^/]+"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Something that goes."""

    name: str
    level: str
    """From which on."""
    pattern: str = ""
    """A regular expression that a path, or one above it, must match. For bytecode it is the path of the source."""
    modules: str = ""
    """In its place, names of modules of the standard library: each stays that a package imports."""
    why: str
    bytecode: bool = False
    """Whether only bytecode goes: the module still works, from source."""
    compiling: bool = False
    """Whether it stays where something compiles as it runs, see COMPILES."""
    interpreter: bool = True
    """Whether something of it may be in an interpreter, to which nothing was installed."""
    unless: str = ""
    """What keeps it, in the sources of anything else: a regular expression."""

    def rule(self, keep: Collection[str] = ()) -> str:
        """Return the regular expression, without the modules that are kept."""
        names = [name for name in self.modules.split() if f"import {name}" not in keep]
        return _modules(*names) if self.modules else self.pattern


def _modules(*names: str) -> str:
    return rf"{LIBRARY}/({'|'.join(names) or '(?!)'})(\.py)?"


def _imports(names: str) -> str:
    """Return a regular expression for statements that import one of some modules, also as one of several."""
    return rf"^[ \t]*(from[ \t]+|import[ \t]+([\w. \t]+,[ \t]*)*)({names})\b"


def _runs(names: str) -> str:
    """Return a regular expression for commands that run one of some modules."""
    # A list of words, or a text for a shell. What packages tell their users to run begins with the word python.
    words = rf"['\"]-\w*m['\"],\s*['\"]({names})['\"]"
    text = rf"(['\"]|executable\b.*[ \t])-\w*m[ \t]+({names})\b"
    return rf"{words}|{text}|\b(import_module|run_module|__import__)\(\s*['\"]({names})\b"


IMPORTS = re.compile(
    rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|.*)|import[ \t]+([\w., \t]+))", re.MULTILINE
)
AT_ONCE = re.compile(rb"^(?:import|from)[ \t]+\w+(?![\w.]).*$", re.MULTILINE)
"""What a module imports when it is imported itself, but for parts of packages: that would keep the whole of one."""
FAMILIES = re.compile(
    rf"({SITE}/)?(.+/)?(pygments/(lexers|styles|formatters)|faker/providers|django/conf/locale)"
    r"/(?!(__init__|_mapping)\b)\w+(\.py)?"
)
"""Packages that are loaded by name, one or two of hundreds."""
SOURCES = "sources for compilers"
TESTS = rf"{SITE}/([^/]+/)+(tests?/(.+/)?(test_\w+|\w+_test|setup)|conftest)\.pyc?"
TOOLS = rf"{SITE}/(pip|setuptools|wheel|Cython|pyximport|mesonbuild|scikit_build_core)"
NUMPY_TOOLS = rf"{SITE}/numpy/(distutils|f2py)|bin/f2py"
COMPILERS = (
    rf"{TOOLS}|{NUMPY_TOOLS}|{SITE}/numpy/(testing|_pyinstaller|(__init__|_pytesttester|conftest)\.py)"
    rf"|{SITE}/cffi|{SITE}/(.+/)?tests?"
)
"""What has such sources for those who ask for them; who does that speaks for himself."""

CUTS: tuple[Cut, ...] = (
    Cut(
        name="headers",
        compiling=True,
        level=SAFE,
        pattern=rf"include|{LIBRARY}/config-[^/]+|lib/pkgconfig|bin/python3[^/]*-config",
        why="headers and their like, to compile against this interpreter, unless something does that as it runs",
    ),
    Cut(
        name="pip",
        level=SAFE,
        pattern=PIP,
        why="installs packages; what needs it as a library declares that",
        unless=rf"{_imports('pip')}|{_runs('pip')}|^Requires-Dist: pip\b",
    ),
    Cut(
        name="ensurepip",
        level=SAFE,
        pattern=_modules("ensurepip"),
        why="puts pip into virtual environments",
        unless=rf"{_imports('venv|ensurepip')}|{_runs('venv|ensurepip')}",
    ),
    Cut(
        name="bytecode: development",
        level=SAFE,
        bytecode=True,
        modules=(
            "pydoc_data pydoc pdb bdb cmd code codeop doctest unittest trace profile cProfile pstats timeit pickletools"
            " tabnanny pyclbr symtable compileall py_compile modulefinder venv zipapp idlelib lib2to3 turtle turtledemo"
            " antigravity this __hello__ __phello__ _pyrepl rlcompleter ensurepip"
        ),
        why="what is used to develop",
    ),
    Cut(
        name="bytecode: substitutes",
        level=SAFE,
        bytecode=True,
        modules=(
            "_pydecimal _pyio _pydatetime _py_abc ntpath nturl2path _aix_support _android_support _apple_support"
            " _ios_support _osx_support"
        ),
        why="what stands in for modules in C, which are there, or is for other systems",
    ),
    Cut(
        name="bytecode: encodings",
        level=SAFE,
        bytecode=True,
        pattern=rf"{LIBRARY}/encodings/"
        r"(cp(?!1252|437|65001)\w+|mac_\w+|iso8859_(?!1\.|15\.)\w+|koi8_\w+|kz1048|ptcp154|tis_620|palmos|hp_roman8"
        r"|big5\w*|euc_\w+|gb\w+|hz|iso2022_\w+|johab|shift_jis\w*|uu_codec|rot_13|quopri_codec)\.py",
        why="the many small encodings, of which an app uses one or none",
    ),
    Cut(
        name="bytecode: families",
        level=SAFE,
        bytecode=True,
        pattern=FAMILIES.pattern,
        why="likewise pygments' lexers, of which many are there and few are used",
    ),
    Cut(
        name="bytecode: the old ones",
        level=SAFE,
        bytecode=True,
        modules=(
            "mailbox imaplib poplib nntplib telnetlib ftplib xmlrpc wave sunau aifc chunk cgi cgitb mailcap crypt pipes"
            " nis msilib uu xdrlib asynchat asyncore smtpd imghdr sndhdr imp distutils"
        ),
        why="modules for protocols and files of yesterday",
    ),
    Cut(
        name="programs for Windows",
        level=SAFE,
        pattern=rf"{SITE}/((pip/_vendor/)?distlib/[tw]\d+(-arm)?|setuptools/(cli|gui)(-\w+)?)\.exe",
        why="launchers that pip, distlib and setuptools carry for use on Windows",
    ),
    Cut(
        name="bytecode: build tools",
        level=SAFE,
        bytecode=True,
        pattern=TOOLS,
        why="what builds packages, and is often depended on without being used at run time",
    ),
    Cut(
        name="pip, depended on",
        level=MAX,
        pattern=PIP,
        why="what installs packages, even if a package depends on it",
        unless=_imports("pip"),
    ),
    Cut(
        name="setuptools",
        level=MAX,
        interpreter=False,
        pattern=rf"{SITE}/(setuptools|pkg_resources|_distutils_hack|wheel)(-[^/]+\.dist-info)?"
        rf"|{SITE}/distutils-precedence\.pth|bin/wheel",
        why="what builds packages, even if a package depends on it, unless something imports it",
        unless=_imports("setuptools|pkg_resources|distutils|wheel"),
    ),
    Cut(
        name="numpy's build tools",
        level=MAX,
        interpreter=False,
        compiling=True,
        pattern=NUMPY_TOOLS,
        why="what builds packages that use numpy, unless something compiles as it runs",
    ),
    Cut(
        name="tests",
        level=MAX,
        # not the whole directory: what is called so may be something else
        pattern=TESTS,
        why="tests that packages ship",
    ),
    Cut(
        name="data of tests",
        level=MAX,
        pattern=rf"{SITE}/([^/]+/)+tests?/data",
        why="what those tests read, unless a source of the package outside them names the directory",
    ),
    Cut(
        name="stubs",
        level=MAX,
        # what type checkers are made of is none of these
        pattern=rf"{SITE}/(?!.*typeshed/).+\.pyi|{SITE}/.+/py\.typed",
        why="what type checkers read, unless one is in the bundle",
        unless=r"^Name: (mypy|pyrefly|pyre-check|basedpyright|pytype|ty|zuban)\s*$",
    ),
    Cut(
        name=SOURCES,
        level=MAX,
        pattern=rf"{SITE}/.+\.(pyx|pxd|c|cc|cpp|h|hpp|f|f90|a)",
        why="what compilers read; in a package without anything compiled it is for something else",
    ),
    Cut(name="manuals", level=MAX, pattern=r"share/(man|doc)|man", why="manuals"),
)

ASIDE = ("include", "lib/pkgconfig", "share/man", "share/doc", "man")
"""Where wheels bring what CUTS take away, besides site-packages and bin/."""

SPEAKING = re.compile(
    rb"^(?:[ \t]*(?:import|from)[ \t].*|(?:Name|Requires-Dist): .*|.*['\"]-\w*m\b.*(?:\n.*)?"
    rb"|.*\bexecutable\b.*-\w*m[ \t].*|.*\b(?:import_module|run_module|__import__)\(.*(?:\n.*)?)",
    re.MULTILINE,
)
"""The lines that `unless` of a cut may match: each is looked for in these alone, which takes a tenth of the time."""

COMPILES = re.compile(
    rb"\bPython\.h\b|\bget_python_inc\b|\bINCLUDEPY\b|\bget_paths?\(.*['\"](?:plat)?include['\"]"
    rb"|\bffi\.verify\(|\bpyximport\.install\b|\bbuild_ext\b|\bnew_compiler\b|\bf2py\b|\bnumpy\.distutils\b"
)
"""What is in a source that compiles against the interpreter while an app runs, as torch and triton do."""
COMPILING_WORDS = (
    *(b"Python.h", b"sysconfig", b"ffi.verify(", b"pyximport", b"build_ext", b"new_compiler"),
    *(b"f2py", b"numpy.distutils"),
)
"""One of them is in each such source: they are looked for first, which takes a tenth of the time."""

FROZEN = """\
import _imp
print(*(name for name in _imp._frozen_module_names() if _imp.find_frozen(name)))
print("importlib._bootstrap importlib._bootstrap_external")
"""
"""importlib takes the last two from the interpreter, under the names that they have in it."""


NAMED = re.compile(rb"['\"/]([\w-]+\.(?:pyi|pyx|pxd|cc?|cpp|hpp|h|f|f90|a|py))['\"]")
"""A file that a source speaks of: `Path(__file__).with_name("template.c")`."""
STUB = b"attach_stub"
"""In a source that takes what it imports from the stub beside it, by lazy-loader (SPEC 1 of Scientific Python)."""
UNFROZEN = "frozen modules"
UNFREEZES = b"frozen_modules"
"""In what runs `-X frozen_modules=off`, as ipykernel does: without sources that takes their bytecode."""
NAMED_DATA = re.compile(rb"\btests?['\"/].*\bdata\b")
EVERYWHERE = frozenset({"__init__.py", "__main__.py", "setup.py", "conftest.py"})


def kept(sources: Iterable[tuple[str, bytes]], level: str = SAFE) -> frozenset[str]:
    """Return the names of the cuts that some texts speak against.

    Args:
        sources: Python sources and METADATA of packages, with their paths relative to the bundle.
        level: at `max`, the files that a package itself names are among what is returned.
    """
    rules = {cut.name: re.compile(cut.unless.encode(), re.MULTILINE) for cut in CUTS if cut.unless}
    owners = {cut.name: re.compile(cut.pattern) for cut in CUTS if cut.unless and not cut.bytecode}
    tools, compilers, tests = re.compile(TOOLS), re.compile(COMPILERS), re.compile(TESTS)
    inside = re.compile(rf"{SITE}/(.+/)?tests?/")
    compiling = {cut.name for cut in CUTS if cut.compiling}
    cold = {name for cut in CUTS for name in cut.modules.split()}
    found: set[str] = set()
    waiting: dict[frozenset[str], set[str]] = {}
    for path, text in sources:
        if level == MAX and not tests.fullmatch(path):
            found |= {_file(path, name.decode()) for name in NAMED.findall(text)} - {""}
            found |= {_file(path, f"{path.rpartition('/')[2]}i")} if STUB in text else set()
            found |= {UNFROZEN} if UNFREEZES in text else set()
            found |= {_file(path, "data")} if NAMED_DATA.search(text) and not inside.match(path) else set()
        lines = b"\n".join(SPEAKING.findall(text))
        needs = {name for name, rule in rules.items() if rule.search(lines)}
        if not _above(tools, path):
            needs |= {f"import {name}" for name in _cold_imports(text, cold)}
        if any(word in text for word in COMPILING_WORDS) and COMPILES.search(text) and not _above(compilers, path):
            needs |= compiling
        takers = frozenset(name for name, pattern in owners.items() if needs and _above(pattern, path))
        if FAMILIES.fullmatch(path):
            takers |= {f"import {_dotted(path)}"}
        # what a cut would take away speaks only once something else has spoken for it
        waiting.setdefault(takers, set()).update(needs - takers)
    while due := [takers for takers in waiting if takers <= found]:
        for takers in due:
            found |= waiting.pop(takers)
    return frozenset(found)


def with_what_they_import(keep: frozenset[str], library: Path) -> frozenset[str]:
    """Add to what `kept` says of modules of the standard library what these import in turn: pdb imports bdb.

    Args:
        keep: what that returned.
        library: where they are: lib/python3.13.
    """
    cold = {name for cut in CUTS if cut.bytecode for name in cut.modules.split()}
    found = set(keep)
    waiting = [name for name in sorted(cold) if f"import {name}" in keep]
    while waiting:
        path = library / waiting.pop()
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not source.is_file():  # not each version has all of them
            continue
        at_once = b"\n".join(AT_ONCE.findall(source.read_bytes()))
        more = {name for name in _cold_imports(at_once, cold) if f"import {name}" not in found}
        found |= {f"import {name}" for name in more}
        waiting += sorted(more)
    return frozenset(found)


def _cold_imports(source: bytes, cold: Collection[str]) -> Iterator[str]:
    """Yield what a source imports, wherever in it, of that for which bytecode might be left out."""
    for found in IMPORTS.finditer(source):
        package, names, alone = (part.decode() if part else "" for part in found.groups())
        listed = [name.split()[0] for name in re.split(r"[,()\s]+", names or alone) if name.strip()]
        for name in [package, *(f"{package}.{one}" for one in listed)] if package else listed:
            if name.partition(".")[0] in cold:
                yield name.partition(".")[0]
            elif FAMILIES.fullmatch(f"{name.replace('.', '/')}.py"):
                yield name


def _file(path: str, name: str) -> str:
    """Return what speaks for a file of some name in the package that a path is in."""
    package = path.rpartition("site-packages/")[2].partition("/")[0]
    return "" if name in EVERYWHERE else f"file {package}/{name}"


def _dotted(path: str) -> str:
    """Return the name of the module that a source is, with or without what is above site-packages."""
    return path.rpartition("site-packages/")[2].removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def texts(root: Path, tops: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield what `kept` looks at, in what was installed."""
    for top in tops:
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if (path.suffix == ".py" or path.name == "METADATA") and path.is_file():
                yield path.relative_to(root).as_posix(), path.read_bytes()


def prune(root: Path, level: str, keep: frozenset[str], paths: Sequence[Path] | None = None) -> None:
    """Remove what a bundle can do without.

    Args:
        root: the bundle.
        level: one of PRUNE.
        keep: of `kept`.
        paths: where to look, below the bundle; None for everywhere.
    """
    if level == NONE:
        return
    for path in [root] if paths is None else paths:
        data = level == MAX and not _is_compiled(path)
        whole = _rule(level, keep | {SOURCES} if data else keep, bytecode=False)
        if path != root and _above(whole, path.relative_to(root).as_posix()):
            remove_tree(path)
        elif path.is_dir():
            _prune(root, path, whole, level, keep)


def prune_aside(root: Path, level: str, keep: frozenset[str]) -> None:
    """Remove what goes of what wheels bring besides packages and scripts: headers, manuals."""
    for name in ASIDE:
        path = root / name
        if level != NONE and path.exists() and _above(_rule(level, keep, bytecode=False), name):
            remove_tree(path)
            with suppress(OSError):  # there is something else
                path.parent.rmdir()


def _is_compiled(path: Path) -> bool:
    return path.is_dir() and next(path.rglob("*.so*"), None) is not None


@cache
def _rule(level: str, keep: frozenset[str], *, bytecode: bool) -> re.Pattern[str]:
    """Return what matches the paths that go, or the sources of bytecode that does."""
    cuts = (cut for cut in CUTS if PRUNE.index(cut.level) <= PRUNE.index(level) and cut.name not in keep)
    return re.compile("|".join(cut.rule(keep) for cut in cuts if cut.bytecode is bytecode) or r"(?!)")


def _prune(root: Path, path: Path, whole: re.Pattern[str], level: str, keep: frozenset[str]) -> None:
    seen: list[Path] = []
    for folder, folders, names in os.walk(path):
        here = Path(folder)
        below = "" if here == root else f"{here.relative_to(root).as_posix()}/"
        gone = [name for name in (*folders, *names) if whole.fullmatch(f"{below}{name}")]
        gone = [name for name in gone if _file(below, name) not in keep]
        if below.endswith("/__pycache__/"):
            package = below.removesuffix("__pycache__/")
            sources = {name: f"{package}{name.partition('.')[0]}.py" for name in names}
            gone += [name for name, source in sources.items() if is_cold(source, level, keep)]
        for name in gone:
            remove_tree(here / name)
        folders[:] = [name for name in folders if name not in gone]
        seen.append(here)
    for here in reversed(seen):
        if here != root and not any(here.iterdir()):
            here.rmdir()


def _above(pattern: re.Pattern[str], path: str) -> bool:
    """Tell whether a path matches, or one above it."""
    parts = path.split("/")
    return any(pattern.fullmatch("/".join(parts[:end])) for end in range(len(parts), 0, -1))


LANDMARK = "os"
"""By this module the interpreter finds its library (Modules/getpath.py), though it never reads it."""


def goes(path: str, level: str, keep: frozenset[str]) -> bool:
    """Tell whether a file, not only its bytecode, is left out; its path is relative to the bundle."""
    return _above(_rule(level, keep, bytecode=False), path) and _file(path, path.rpartition("/")[2]) not in keep


def is_cold(path: str, level: str, keep: frozenset[str] = frozenset()) -> bool:
    """Tell whether a source goes without bytecode; its path is relative to the bundle."""
    return _above(_rule(level, keep, bytecode=True), path) and f"import {_dotted(path)}" not in keep


@cache
def of_interpreter(keep: frozenset[str], level: str) -> frozenset[str]:
    """Return what of `kept` makes a difference to the interpreter itself: its library, and pip with what is in that."""
    cuts = [cut for cut in CUTS if cut.interpreter and PRUNE.index(cut.level) <= PRUNE.index(level)]
    # with `max` all that stays has bytecode, in place of its source
    cold = {name for cut in cuts if level != MAX or not cut.bytecode for name in cut.modules.split()}
    made = [cut for cut in cuts if cut.name not in keep]
    # nor does it matter that one does not take what another takes
    names = {cut.name for cut in cuts if not any(cut.pattern and cut.pattern == other.pattern for other in made)}
    names |= {f"import {name}" for name in cold} | ({UNFROZEN} if level == MAX else set())
    return frozenset(one for one in keep if one in names or (level != MAX and one.startswith("import pip.")))


def forget_frozen(root: Path, series: str) -> None:
    """Remove bytecode of what the interpreter itself holds, frozen: it is not read."""
    library = root / "lib" / f"python{series}"
    for name in run_python(root, "-c", FROZEN).split():
        path = library.joinpath(*name.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for one in source.parent.glob(f"__pycache__/{source.stem}.*.pyc"):
            one.unlink()
        if name != LANDMARK and not source.exists():
            source.with_suffix(".pyc").unlink(missing_ok=True)


def compile_for(root: Path, level: str, *paths: Path, keep: frozenset[str] = frozenset()) -> None:
    """Compile what ships: of `safe` on without columns in tracebacks, in `max` in place of the sources.

    A source that its package names stays beside its bytecode: it may be run as a file, or copied.

    Leaving out columns is CPython's own `-X no_debug_ranges`; it makes bytecode a fifth smaller.
    """

    def stays(path: Path) -> bool:
        return _file(path.relative_to(root).as_posix(), path.name) in keep

    bytecode.compile_tree(root, *paths, columns=level == NONE, sourceless=level == MAX, stays=stays)
