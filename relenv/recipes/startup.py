"""What makes CPython start sooner than upstream's own: less to look for on the disk, and memory in larger pieces."""

from __future__ import annotations

from importlib.resources import files

from relenv.recipes.model import Run, Step, Write

_ENCODINGS = ("encodings", "encodings.aliases", "encodings.utf_8")

FROZEN: dict[str, tuple[str, ...]] = {
    "3.11": _ENCODINGS,
    "3.12": _ENCODINGS,
    # python -c shows lines of the command in tracebacks
    "3.13": (*_ENCODINGS, "linecache"),
    "3.14": (*_ENCODINGS, "linecache"),
}
"""Modules that every start imports, by series, beside those that upstream freezes: they become part of the program,
and no directory is read for them. `-X frozen_modules=off` has them read from their files all the same. Upstream left
`encodings` out only because building all of its modules printed too much (freeze_modules.py says so)."""
_PACKAGES = frozenset({"encodings"})

# Each is entered after `stat`, which every series freezes, in the release's own tables: freeze NAME FILE IS_PACKAGE
_FREEZE = r"""
freeze() {
    header=Python/frozen_modules/$1.h
    awk -v header="$header" \
        '{ print } $1 == "Python/frozen_modules/stat.h" && $2 == "\\" { print "\t\t" header " \\" }' \
        Makefile.pre.in > Makefile.new
    printf '%s: %s $(FREEZE_MODULE_DEPS)\n\t$(FREEZE_MODULE) %s $(srcdir)/%s %s\n' \
        "$header" "$2" "$1" "$2" "$header" >> Makefile.new
    data=_Py_M__$(echo "$1" | tr . _)
    awk -v entry="    {\"$1\", $data, (int)sizeof($data), $3}," -v header="frozen_modules/$1.h" \
        '/End includes/ { print "#include \"" header "\"" } { print } $1 == "{\"stat\"," { print entry }' \
        Python/frozen.c > frozen.new
    grep -q "$data" frozen.new
    touch -r Makefile.pre.in Makefile.new
    touch -r Python/frozen.c frozen.new
    mv Makefile.new Makefile.pre.in
    mv frozen.new Python/frozen.c
}
"""

# Where the size of an arena is said has changed from 3.11 to 3.12. The call stays on its line: a profile knows a
# function by where it is.
_HUGE_ARENAS = r"""
sed -i 's/^#define ARENA_BITS  *20 .*/#define ARENA_BITS 21/' \
    $(grep -l 'define ARENA_BITS' Objects/obmalloc.c Include/internal/*.h)
map='relenv_map_arena(void *, size_t, int, int, int, off_t)'
sed -i "s/ptr = mmap(NULL, size,/extern void *$map; ptr = relenv_map_arena(NULL, size,/" Objects/obmalloc.c
grep -q relenv_map_arena Objects/obmalloc.c
sed -i 's|^\t\tPython/asdl.o |\t\tPython/relenv_arenas.o &|' Makefile.pre.in
grep -q relenv_arenas.o Makefile.pre.in
"""
_ARENAS: tuple[Step, ...] = (
    Write(
        path="{src}/Python/relenv_arenas.c",
        text=(files("relenv.recipes") / "cpython_arenas.c").read_text(encoding="utf-8"),
    ),
    Run(argv=("sh", "-ec", _HUGE_ARENAS)),
)


def startup_steps(series: str) -> tuple[Step, ...]:
    """Return what is done to the sources of CPython before configure, so that it starts sooner."""
    calls = []
    for name in FROZEN[series]:
        path = f"Lib/{name.replace('.', '/')}{'/__init__' if name in _PACKAGES else ''}.py"
        calls.append(f"freeze {name} {path} {str(name in _PACKAGES).lower()}")
    return (Run(argv=("sh", "-ec", _FREEZE + "\n".join(calls))), *_ARENAS)
