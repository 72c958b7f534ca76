"""What the evaluation loop of CPython calls, compiled in one piece with it.

Where the compiler has no link-time optimisation, the calls from one file into another are inlined all the same.
"""

from __future__ import annotations

from relenv.recipes.model import Run, Step, Write

_UNIT = (
    *("Objects/obmalloc.c", "{gc}", "Python/errors.c", "Objects/boolobject.c", "Objects/floatobject.c"),
    *("Objects/longobject.c", "Objects/tupleobject.c", "Objects/listobject.c", "Objects/dictobject.c"),
    *("Objects/setobject.c", "Objects/unicodeobject.c", "Objects/rangeobject.c", "Objects/iterobject.c"),
    *("Objects/enumobject.c", "Objects/sliceobject.c", "Objects/cellobject.c", "Objects/funcobject.c"),
    *("Objects/methodobject.c", "Objects/descrobject.c", "Objects/classobject.c", "Objects/moduleobject.c"),
    *("Objects/weakrefobject.c", "Objects/genobject.c", "Objects/abstract.c", "Objects/call.c"),
    *("Objects/typeobject.c", "Objects/frameobject.c", "Python/frame.c", "Python/bltinmodule.c", "Python/ceval.c"),
    # last: it takes macros away that have functions of the same name
    "Objects/object.c",
)
"""The files, in the order in which they are read. Not among them: what clashes with these in more than static names
(`Python/getargs.c`, `Python/specialize.c`, `Objects/bytesobject.c` of 3.11)."""
_GC = {"3.11": "Modules/gcmodule.c", "3.13": "Python/gc.c"}
"""Where the garbage collector is, by series; those that have been tried can be compiled so."""
_CLASHES = (
    *("_init_global_state", "clear__doc__", "close_doc", "do_argstrip", "do_strip", "dummy"),
    *("ensure_shared_on_resize", "formatfloat", "isdisjoint_doc", "length_hint_doc", "method_get_doc"),
    *("method_getset", "method_repr", "null_error", "pad", "reduce_doc", "send_doc", "setstate_doc"),
    *("sizeof__doc__", "throw_doc", "unicode_eq", "validate_watcher_id"),
)
"""Static names that several of these files have: each file gets its own."""

INLINING = "--param inline-unit-growth=60 --param inline-min-speedup=5 --param max-inline-insns-auto=80"
"""What link-time optimisation would have inlined is more than GCC by default has a unit grow by."""
# a list of objects may end with one of those that go
_EDIT = rf"""
$1 == "Python/ceval.o" && $2 == "\\" {{ print "\t\tPython/unit.o \\"; next }}
$2 == "\\" && index(gone, " " $1 " ") {{ next }}
NF == 1 && index(gone, " " $1 " ") {{ print ""; next }}
{{ print }}
END {{ print "Python/unit.o: PY_CORE_CFLAGS += {INLINING}" }}
"""


def one_unit(series: str) -> tuple[Step, ...]:
    """Return what puts these files together before configure; nothing for a series without a unit."""
    if series not in _GC:
        return ()
    paths = [path.format(gc=_GC[series]) for path in _UNIT]
    lines = []
    for number, path in enumerate(paths):
        lines += [f"#define {name} {name}_{number}" for name in _CLASHES]
        lines.append(f'#include "{path}"')
        lines += [f"#undef {name}" for name in _CLASHES]
    objects = " ".join(path.replace(".c", ".o") for path in paths)
    edit = (
        f"awk -v gone=' {objects} ' '{_EDIT}' Makefile.pre.in > Makefile.new"
        " && touch -r Makefile.pre.in Makefile.new && mv Makefile.new Makefile.pre.in"
    )
    return (Write(path="{src}/Python/unit.c", text="\n".join(lines) + "\n"), Run(argv=("sh", "-ec", edit)))
