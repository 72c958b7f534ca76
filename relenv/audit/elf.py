"""ELF files: does each find its libraries and symbols, on which glibc, and is it hardened as promised."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

from relenv.audit.binary import Binary, Broken, Symbol
from relenv.audit.closure import Closure, closures, expand
from relenv.audit.grouping import per_package
from relenv.audit.model import Finding, Floor, Severity
from relenv.audit.tree import INCLUDED
from relenv.platforms import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from relenv.audit.tree import Tree

OLDEST_KERNEL = (3, 10)
"""The Linux of the distributions that have it."""

GLIBC = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2"),
    *("libanl.so.1", "libmvec.so.1", "libBrokenLocale.so.1", "libthread_db.so.1", "libnss_*.so.2"),
    *("ld-linux*.so.*", "ld64.so.*", "ld.so.1"),
)
"""What every machine has that runs the interpreter at all. Not libcrypt: distributions have different ones."""

OF_THE_HOST = {
    "libgcc_s.so.1": "a machine without GCC's run time may lack it",
    "libstdc++.so.6": "a machine without GCC's run time may lack it, or have an older one",
    **dict.fromkeys(("libatomic.so.1", "libgomp.so.1"), "it comes with compilers only"),
    **dict.fromkeys(
        (
            *("libX11.so.6", "libXext.so.6", "libXrender.so.1", "libICE.so.6", "libSM.so.6", "libGL.so.1"),
            *("libglib-2.0.so.0", "libgobject-2.0.so.0", "libgthread-2.0.so.0"),
        ),
        "a machine without a desktop lacks it",
    ),
    **dict.fromkeys(("libcrypt.so.1", "libnsl.so.1"), "newer distributions lack it"),
}
"""Libraries that the manylinux policies let a wheel take from the host, and what speaks against it
(https://github.com/pypa/auditwheel, `manylinux-policy.json`). libatomic, libgomp: not by policy, but common."""

UNLINKED = {
    "libdl.so.2": re.compile(r"dl(open|close|sym|vsym|error|addr|info)"),
    "libpthread.so.0": re.compile(r"(pthread|sem)_\w+"),
    "libm.so.6": re.compile(
        r"(a?(sin|cos|tan)h?|atan2|exp2?|expm1|log(10|2|1p|b)?|pow|sqrt|cbrt|hypot|ceil|floor|trunc|l?l?r(int|ound)"
        r"|nearbyint|fmod|remainder|remquo|modf|frexp|ldexp|scalbl?n|ilogb|copysign|nan|next(after|toward)|fdim|fma"
        r"|fmax|fmin|fabs|erfc?|[lt]gamma)[fl]?"
    ),
}
"""What modules use of glibc without being linked with it: bin/python3 has loaded it when they are."""

LOADERS = {(f"EM_{row.machine.upper()}", 64): f"/{row.loader}" for row in PLATFORMS.values() if row.system == "Linux"}
"""Where the programs of a machine and its bits look for their dynamic linker (PT_INTERP)."""

_ANEW = "make the environment anew"
_INCLUDED = "include one for this machine, and what it needs"
_SYMBOLS_SHOWN = 3
_VERSION = re.compile(r"(GLIBC|GLIBCXX|CXXABI|GCC)_(\d+(?:\.\d+)*)")
_RELR = "GLIBC_ABI_DT_RELR"
_SINCE = {_RELR: (2, 36), "GLIBC_ABI_GNU2_TLS": (2, 42), "GLIBC_ABI_GNU_TLS": (2, 42)}
"""Versions that name a feature, and the glibc that came with it."""


def check(tree: Tree, facts: Iterable[Binary | Broken]) -> Iterator[Finding]:
    """Yield what is wrong with the ELF files of a tree."""
    found = tuple(facts)
    yield from _broken(tree, [one for one in found if isinstance(one, Broken)])
    every = [one for one in found if isinstance(one, Binary)]
    yield from _hollow(tree, {one.path for one in found})
    main = _main(tree, every)
    if main is None:
        yield Finding(
            severity=Severity.ERROR,
            check="machine",
            file="bin/python3",
            what="is not an ELF program",
            hint=_ANEW,
        )
        return
    fitting = _fitting(every, main)
    yield from _strangers(tree, [one for one in every if one not in fitting], main)
    yield from _by_rule(tree, fitting)
    yield from _loaders(tree, fitting)
    yield from _search_paths(tree, fitting)
    yield from _versions(tree, fitting)
    found_closures = closures(tree, [one for one in fitting if one.dynamic], main)
    yield from _libraries(tree, found_closures, fitting)
    yield from _symbols(tree, found_closures, main)


def _main(tree: Tree, every: Iterable[Binary]) -> Binary | None:
    return next((one for one in every if one.path == tree.program), None)


def _fitting(every: Iterable[Binary], main: Binary) -> list[Binary]:
    """Return the files that a machine can load on which bin/python3 runs."""
    return [one for one in every if _kind(one) == _kind(main)]


FAMILIES = ("GLIBC", "GLIBCXX")
"""The symbol versions that are told of: those of glibc, and those of libstdc++, the C++ library."""


def needs(tree: Tree, facts: Iterable[Binary | Broken]) -> dict[str, dict[str, str]]:
    """Return the highest version of each of FAMILIES that the files for the tree's machine ask for, by their paths."""
    every = [one for one in facts if isinstance(one, Binary)]
    main = _main(tree, every)
    found = {
        one.path: {family: _spell(version) for family in FAMILIES if (version := _highest(one, family))}
        for one in (_fitting(every, main) if main else every)
    }
    return {path: versions for path, versions in sorted(found.items()) if versions}


def floor(asked_for: Mapping[str, Mapping[str, str]], family: str = FAMILIES[0]) -> Floor | None:
    """Return the oldest version that all files load with, of what `needs` tells, and the first file to ask for it."""
    asked = [
        (tuple(map(int, versions[family].split("."))), path)
        for path, versions in asked_for.items()
        if family in versions
    ]
    if not asked:
        return None
    highest = max(version for version, _ in asked)
    culprit = min(path for version, path in asked if version == highest)
    return Floor(version=_spell(highest), file=culprit)


def _kind(binary: Binary) -> tuple[str, int, bool]:
    return binary.machine, binary.bits, binary.little


def _hint(tree: Tree, path: str, theirs: str) -> str:
    """Return what helps with a file of a package, with one that the project includes, or with one of ours."""
    if path in tree.included:
        return _INCLUDED
    return theirs if tree.package(path) else _ANEW


def _broken(tree: Tree, found: Sequence[Broken]) -> Iterator[Finding]:
    for one in found:
        yield Finding(
            severity=Severity.NOTE if tree.package(one.path) else Severity.ERROR,
            check="elf",
            file=one.path,
            what=f"begins as an ELF file, but cannot be read as one: {one.reason}",
            hint=_hint(tree, one.path, "install its package again"),
        )


def _hollow(tree: Tree, binaries: Collection[str]) -> Iterator[Finding]:
    """Yield what has the name of an extension module and is none: cut short to nothing, or overwritten."""
    for path in tree.readable:
        if fnmatchcase(path, f"{tree.library}/lib-dynload/*.so") and path not in binaries:
            yield Finding(
                severity=Severity.ERROR,
                check="elf",
                file=path,
                what="has the name of an extension module, but is no ELF file",
                hint=_ANEW,
            )


def _strangers(tree: Tree, found: Sequence[Binary], main: Binary) -> Iterator[Finding]:
    """Programs and data for other machines are a package's business; modules are there to be imported."""
    for one in found:
        module = ".so" in one.path.rpartition("/")[2]
        yield Finding(
            severity=Severity.ERROR if module or not tree.package(one.path) else Severity.NOTE,
            check="machine",
            file=one.path,
            what=f"is for {_machine(one)}, but bin/python3 for {_machine(main)}",
            hint=_hint(tree, one.path, "install its package with this environment's own pip3"),
        )


def _machine(binary: Binary) -> str:
    return f"{binary.machine.removeprefix('EM_').lower()} ({binary.bits} bits)"


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """Something that a file alone decides."""

    check: str
    broken: Callable[[Binary], bool]
    what: str
    hint: str
    theirs: Severity | None
    """How bad it is in a package; None when it is not bad at all. In files of ours it is an error."""


_RULES = (
    _Rule(
        check="textrel",
        broken=lambda one: one.textrel,
        what="has text relocations",
        hint="compile it with -fPIC: hardened systems refuse to load it",
        theirs=Severity.WARNING,
    ),
    _Rule(
        check="execstack",
        broken=lambda one: one.execstack,
        what="wants an executable stack",
        hint="link it with -Wl,-z,noexecstack: glibc 2.41 and later refuse to load it",
        theirs=Severity.WARNING,
    ),
    _Rule(
        check="relro",
        broken=lambda one: one.dynamic and not one.relro,
        what="has no RELRO",
        hint="link it with -Wl,-z,relro",
        theirs=Severity.NOTE,
    ),
    _Rule(
        check="bind-now",
        broken=lambda one: one.dynamic and not one.bind_now,
        what="has no BIND_NOW",
        hint="link it with -Wl,-z,now",
        theirs=Severity.NOTE,
    ),
    _Rule(
        check="runpath",
        broken=lambda one: one.runpath is not None,
        what="has a DT_RUNPATH, where DT_RPATH is promised: LD_LIBRARY_PATH would come before it",
        hint="link it with -Wl,--disable-new-dtags, or patchelf --force-rpath",
        theirs=None,
    ),
    _Rule(
        check="kernel",
        broken=lambda one: one.kernel > OLDEST_KERNEL and not one.program,
        what="has an ABI note for a newer Linux than 3.10: glibc before 2.36 does not load it on older ones",
        hint="link it without crt1.o, or objcopy --remove-section .note.ABI-tag",
        theirs=Severity.WARNING,
    ),
)


def _by_rule(tree: Tree, found: Sequence[Binary]) -> Iterator[Finding]:
    for rule in _RULES:
        broken = [one.path for one in found if rule.broken(one)]
        for path in broken:
            if not tree.package(path):
                yield Finding(severity=Severity.ERROR, check=rule.check, file=path, what=rule.what, hint=rule.hint)
        if rule.theirs:
            theirs = [path for path in broken if tree.package(path)]
            yield from per_package(tree, theirs, severity=rule.theirs, check=rule.check, what=rule.what, hint=rule.hint)
    for one in found:
        if one.program and one.kernel > OLDEST_KERNEL and not tree.package(one.path):
            yield Finding(
                severity=Severity.NOTE,
                check="kernel",
                file=one.path,
                what=f"has an ABI note for Linux {_spell(one.kernel)}: older ones start it all the same, unless an "
                "ld.so before 2.36 is given it as an argument",
                hint="objcopy --remove-section .note.ABI-tag",
            )


def _loaders(tree: Tree, found: Sequence[Binary]) -> Iterator[Finding]:
    """Yield the programs that only machines can start which have a dynamic linker where others have none."""
    theirs: dict[str, list[str]] = {}
    for one in found:
        usual = LOADERS.get((one.machine, one.bits), one.interpreter)
        if one.interpreter in ("", usual):
            continue
        if tree.package(one.path) not in ("", INCLUDED):
            theirs.setdefault(one.interpreter, []).append(one.path)
        else:
            yield Finding(
                severity=Severity.ERROR,
                check="loader",
                file=one.path,
                what=f"is started by {one.interpreter}, which other machines lack",
                hint=f"patchelf --set-interpreter {usual}",
            )
    for interpreter, paths in theirs.items():
        yield from per_package(
            tree,
            paths,
            severity=Severity.WARNING,
            check="loader",
            what=f"is started by {interpreter}, which most machines lack",
            hint="have it installed there, or install a version of its package for glibc",
        )


def _search_paths(tree: Tree, found: Sequence[Binary]) -> Iterator[Finding]:
    for one in found:
        for tag, value in (("DT_RPATH", one.rpath), ("DT_RUNPATH", one.runpath)):
            for folder in expand(value, one.path):
                if folder and not folder.startswith(("/", "..", "$")) and _is_relative(value or ""):
                    continue
                yield Finding(
                    severity=Severity.WARNING if tree.package(one.path) else Severity.ERROR,
                    check="rpath",
                    file=one.path,
                    what=f"has the {tag} {value!r}, which leads out of the tree",
                    hint="let it begin with $ORIGIN and stay inside: patchelf --set-rpath",
                )
                break


def _is_relative(value: str) -> bool:
    """Tell whether each directory is relative to the file, not to where a process happens to be."""
    return all(entry.startswith(("$ORIGIN", "${ORIGIN}")) for entry in value.split(":"))


def _glibc(binary: Binary) -> tuple[int, ...]:
    """Return the highest version of glibc that a file needs, empty if none."""
    return _highest(binary, "GLIBC")


def _highest(binary: Binary, family: str) -> tuple[int, ...]:
    return max((_number(need.version, family) for need in binary.requires), default=())


def _number(version: str, family: str) -> tuple[int, ...]:
    if version in _SINCE:
        return _SINCE[version] if family == "GLIBC" else ()
    found = _VERSION.fullmatch(version)
    return tuple(map(int, found[2].split("."))) if found and found[1] == family else ()


def _spell(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _versions(tree: Tree, found: Sequence[Binary]) -> Iterator[Finding]:
    """Yield who raises the floor; what the project includes may raise it as far as the bundle says."""
    raised: dict[tuple[tuple[int, ...], str], list[str]] = {}
    wheel = f"for an older machine, install a version with a wheel for that (manylinux_{_spell(tree.floor)})"
    anew = "build it with relenv's toolchain"
    for one in found:
        version = _glibc(one)
        if any(need.version == "GLIBC_PRIVATE" for need in one.requires):
            yield Finding(
                severity=Severity.WARNING if tree.package(one.path) else Severity.ERROR,
                check="glibc",
                file=one.path,
                what="uses symbols that are private to one build of glibc",
                hint="link it against glibc's public symbols",
            )
        included = one.path in tree.included
        promised = tree.allowed if included else tree.floor
        if version > promised and (included or not tree.package(one.path)):
            yield Finding(
                severity=Severity.ERROR,
                check="glibc",
                file=one.path,
                what=f"needs glibc {_spell(version)}, newer than the promised {_spell(promised)}",
                hint=anew,
            )
        elif version > tree.floor:
            hint = f"for an older machine, {anew}" if included else wheel
            raised.setdefault((version, hint), []).append(one.path)
    for (version, hint), paths in sorted(raised.items()):
        yield from per_package(
            tree,
            paths,
            severity=Severity.NOTE,
            check="glibc",
            what=f"needs glibc {_spell(version)}",
            hint=hint,
        )


@cache
def _allowed(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in GLIBC)


def _libraries(tree: Tree, found: Sequence[Closure], every: Sequence[Binary]) -> Iterator[Finding]:
    """Yield the libraries that nothing leads to."""
    lacking = {(one.path, name): one for closure in found for one, name in closure.missing if not _allowed(name)}
    fatal = {(one.path, name) for closure in found if _must_start(tree, closure) for one, name in closure.missing}
    inside = {one.name: one.path for one in reversed(every)}
    borrowed: dict[tuple[str, str], list[str]] = {}
    for (path, name), one in sorted(lacking.items()):
        if tree.package(path) and name in OF_THE_HOST:
            # GLIBCXX_3.4.29 says more to who has to find a machine than the name of the library
            borrowed.setdefault((name, _newest(one, name)), []).append(path)
        elif name in inside:
            yield Finding(
                severity=Severity.ERROR if (path, name) in fatal or not tree.package(path) else Severity.WARNING,
                check="needed",
                file=path,
                what=f"needs {name}, which is at {inside[name]}, where its search path does not lead",
                hint="it works only after something else has loaded that: patchelf --set-rpath",
            )
        else:
            yield Finding(
                severity=Severity.ERROR,
                check="needed",
                file=path,
                what=f"needs {name}, which is not in the tree",
                hint=_hint(tree, path, "install a wheel that carries it"),
            )
    for (name, version), paths in borrowed.items():
        yield from per_package(
            tree,
            paths,
            severity=Severity.WARNING,
            check="host-library",
            what=f"takes {name}{f' ({version} or newer)' if version else ''} from the host",
            hint=f"{OF_THE_HOST[name]}; have it installed there",
        )


def _must_start(tree: Tree, closure: Closure) -> bool:
    """Tell whether all that a file needs has to be there: programs are included to be started.

    A library may be meant for something that brings the rest, and a program of a package may never be started.
    """
    return closure.members[0].program and closure.members[0].path in tree.included


def _newest(binary: Binary, library: str) -> str:
    """Return the highest version that a file needs of a library, of the first family it has."""
    versions = [need.version for need in binary.requires if need.library == library]
    for family in ("GLIBCXX", "CXXABI", "GCC"):
        if known := [version for version in versions if _number(version, family)]:
            return max(known, key=lambda version: _number(version, family))
    return ""


def _symbols(tree: Tree, found: Sequence[Closure], main: Binary) -> Iterator[Finding]:
    """Yield the symbols that nothing provides which is loaded with a file."""
    outside = _outside(found)
    lacking: dict[str, set[str]] = {}
    fatal: set[str] = set()
    for closure in found:
        if any(not _hosts(name) for _, name in closure.missing):
            continue  # that is the finding; what the library would have provided is not known
        scope = closure.members if closure.members[0].program else (*closure.members, main)
        libraries = {name for one in scope for name in one.needed}
        for one in closure.members:
            for symbol in one.undefined:
                if not _is_provided(symbol, scope) and not _is_outside(symbol, outside, libraries):
                    lacking.setdefault(one.path, set()).add(f"{symbol.name}@{symbol.version}".rstrip("@"))
                    fatal |= {one.path} if _must_start(tree, closure) else set()
    for path, names in sorted(lacking.items()):
        shown = ", ".join(sorted(names)[:_SYMBOLS_SHOWN])
        more = f" and {len(names) - _SYMBOLS_SHOWN} more" if len(names) > _SYMBOLS_SHOWN else ""
        yield Finding(
            severity=Severity.ERROR if path in fatal or not tree.package(path) else Severity.WARNING,
            check="symbols",
            file=path,
            what=f"needs {shown}{more}, which nothing provides that is loaded with it",
            hint=_hint(tree, path, "install a version of its package made for this Python"),
        )


def _is_outside(symbol: Symbol, outside: Mapping[str, set[str]], libraries: set[str]) -> bool:
    """Tell whether a symbol without a version is one of the host's libraries that are loaded anyway."""
    known = {library for library, names in UNLINKED.items() if names.fullmatch(symbol.name)}
    return not symbol.version and bool(libraries & (known | outside.get(symbol.name, set())))


def _outside(found: Sequence[Closure]) -> dict[str, set[str]]:
    """Return the symbols that libraries of the host are known to have, and which.

    They are not here to be read. But what one file was linked against, another one may rely on as well: there are
    modules that leave it to bin/python3 to load libm or libdl.
    """
    known: dict[str, set[str]] = {}
    for one in {member.path: member for closure in found for member in closure.members}.values():
        for symbol in one.undefined:
            if _hosts(symbol.library):
                known.setdefault(symbol.name, set()).add(symbol.library)
    return known


def _hosts(library: str) -> bool:
    return library in OF_THE_HOST or _allowed(library)


def _is_provided(symbol: Symbol, scope: Sequence[Binary]) -> bool:
    if _hosts(symbol.library) and not any(symbol.library == one.soname for one in scope):
        return True  # it is the host's: whether its version is there is a matter of the floor
    versioned = f"{symbol.name}@{symbol.version}"
    return any(
        versioned in one.defined or (symbol.name in one.defined and not (symbol.version and one.versioned))
        for one in scope
    )
