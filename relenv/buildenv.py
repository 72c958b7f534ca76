"""The environment variables with which extensions are built for a tree, with the pinned toolchain.

What a build of theirs needs reaches it in three ways, so that packages have as little as possible to write down:

- PATH begins with a directory of compilers under their plain names. Each is a script that adds the headers and
  libraries of the tree as the last that are looked in: what a package brings itself comes first, as it has to.
- pkg-config, CMake and openssl-sys are told where the tree is, in place of the machine's libraries.
- No flag variable (CFLAGS, LDFLAGS, ...) is set: autoconf takes them in place of its own -O2, setuptools puts them
  before a package's own directories, others record them. What the caller has in them goes on being heeded.

Nothing is set for finding libraries at run time. `bin/python3` has a DT_RPATH, which ld.so(8) consults for whatever is
loaded into its process, however deep in site-packages it lies.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.errors import CacheError, HostError, UsageError
from relenv.host import BINUTILS, COMPILERS
from relenv.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relenv.store import Cache
    from relenv.toolchain import Toolchain
    from relenv.ui import Ui

TREE = "RELENV_BUILDENV"
"""The variable from which the compilers know the tree."""

RUST_TARGETS = {"x86_64-linux-gnu": "x86_64-unknown-linux-gnu", "aarch64-linux-gnu": "aarch64-unknown-linux-gnu"}
"""What Rust calls a platform, by its triplet."""

PLAIN = re.compile(r"[A-Za-z0-9/._+@-]+")
"""A path that no build tool stumbles over: pkg-config escapes what is not ASCII byte by byte, configure scripts split
at spaces, search paths at colons, -Wl at commas."""

COMPILER = """\
#!/bin/sh
# A compiler of relenv's for the tree $RELENV_BUILDENV, which `relenv buildenv DIR` sets.
if ! [ -d "${RELENV_BUILDENV:-}/include" ]; then
    echo "${0##*/}: ${RELENV_BUILDENV:-RELENV_BUILDENV} is no tree of relenv's; run \\`relenv buildenv DIR\\` again" >&2
    exit 1
fi
# they would come before the tree, or bring in what is the machine's
unset CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LD_RUN_PATH COMPILER_PATH GCC_EXEC_PREFIX

# a search path without the places in the tree
outside() {
    set -f
    IFS=: kept=
    for place in $1; do
        case $place in "$RELENV_BUILDENV"/*) ;; *) kept=$kept:$place ;; esac
    done
    echo "${kept#:}"
}

# options for the linker, between commas, likewise
without() {
    set -f
    IFS=, kept= option=
    for part in $1; do
        part=$option$part option=
        case $part in
            -rpath|--rpath|-R) option=$part,; continue ;;
            -rpath[,=]*|--rpath[,=]*) places=${part#*rpath?} ;;
            -R*) places=${part#-R} places=${places#,} ;;
            *) kept=$kept,$part; continue ;;
        esac
        rest=$(outside "$places")
        if [ "$rest" = "$places" ]; then
            kept=$kept,$part
        elif [ "$rest" ]; then
            kept=$kept,-rpath,$rest
        fi
    done
    echo "${kept#,}"
}

inputs= links=yes option= handed= place='$ORIGIN/../lib'
for word do
    shift
    case $handed$word in
        -Xlinker) handed=yes; continue ;;
        yes*,*) # -Wl would part it
            set -- "$@" ${option:+"-Wl,${option%,}"} -Xlinker "$word"
            option= handed=; continue ;;
        yes*) word=-Wl,$word handed= ;;
    esac
    case $word in
        -c|-S|-E|-M|-MM|-r|-fsyntax-only) links= ;;
        -shared) place= ;;
        # the machine is asked for glibc and nothing else
        -lstdc++) set -- "$@" -l:libstdc++.a; word=-lm ;;
        -lgcc_s) set -- "$@" -lgcc_eh; word=-lgcc ;;
        -Wl,*)
            word=-Wl,$option${word#-Wl,} option=
            case $word in # libtool has the directory in the next word
                *,-rpath|*,--rpath|*,-R) option=${word##*,}, word=${word%,*} ;;
            esac
            case $word in
                *"$RELENV_BUILDENV"/*)
                    word=$(without "${word#-Wl,}")
                    word=-Wl${word:+,$word} ;;
            esac
            [ "$word" != -Wl ] || continue ;;
        -?*) ;;
        *) inputs=yes ;;
    esac
    set -- "$@" "$word"
done
set -- "$@" ${option:+"-Wl,${option%,}"} ${handed:+-Xlinker} -pthread -isystem "$RELENV_BUILDENV/include" \\
    -ffile-prefix-map="$RELENV_BUILDENV={prefix}"
# without an input, as in `gcc -v`, one for the linker would be taken for one
if [ "$inputs" ] && [ "$links" ]; then
    set -- "$@" -L"$RELENV_BUILDENV/lib" -Xlinker -rpath-link -Xlinker "$RELENV_BUILDENV/lib" \\
        -static-libgcc -static-libstdc++ -Wl,--hash-style=gnu,-z,relro,-z,now \\
        -Wl,--disable-new-dtags ${place:+-Wl,-rpath,"$place"}
fi
exec {compiler} "$@"
"""
"""How an extension's build reaches a compiler.

`-isystem` and `-L` come after the directories that the command line names, wherever they stand on it. A DT_RUNPATH
would keep ld.so from consulting the interpreter's DT_RPATH for that file: whatever a package asks for becomes a
DT_RPATH, but for directories of the tree, which meson asks for and meson-python leaves in the wheel. A program is
taken to be meant for `bin/`. The explicit libraries are what Cython projects and rustc ask for, past
-static-libstdc++ and -static-libgcc; `-pthread` is in sysconfig's CC, which $CC replaces.
"""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """An interpreter or environment that extensions can be built for."""

    root: Path
    """Absolute: where it is now, or a link to that."""
    triplet: str


def open_tree(root: Path) -> Tree:
    """Look at a directory, and return what it is.

    Args:
        root: what `relenv create` or `relenv build` made, wherever it has been moved since.

    Raises:
        UsageError: it is nothing of the kind, or lacks what extensions are built with.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - a symlink that the user named stays
    hint = "name a directory that `relenv create` or `relenv build` made"
    if not root.is_dir():
        raise UsageError(f"{root} is not a directory", hint=hint)
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        triplet = manifest.get("triplet") or manifest["platform"]
    except FileNotFoundError:
        raise UsageError(f"{root} is no environment or interpreter of relenv's: no {MANIFEST}", hint=hint) from None
    except (ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"{root / MANIFEST} is damaged", hint=hint) from error
    # a bundle has no links, and what a linker looks for are links
    if not any(root.glob("include/python3.*/Python.h")) or not (root / "lib/libcrypto.so").exists():
        raise UsageError(
            f"{root} lacks headers or libraries to link with, as bundles do",
            hint="build in an environment that `relenv create` made",
        )
    return Tree(root=root, triplet=triplet)


def lay_name(root: Path, *, cache: Cache) -> Path:
    """Return a name of a directory that every build tool copes with: its own, or that of a link to it in the cache.

    Raises:
        CacheError: the cache has no such name either.
    """
    if PLAIN.fullmatch(str(root)):
        return root
    link = cache.root / "buildenv" / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    if not PLAIN.fullmatch(str(link)):
        raise CacheError(
            f"nothing can be compiled for {root}: build tools do not cope with such a name, nor with {cache.root}",
            hint="set RELENV_DATA to a directory of plain letters",
        )
    link.parent.mkdir(exist_ok=True)
    with suppress(FileExistsError):  # it leads there: its name says so
        link.symlink_to(root)
    return link


def compiler_script(toolchain: Toolchain, tool: str) -> str:
    """Return the text of the script by which a tree's extensions reach a compiler of the toolchain."""
    compiler = shlex.quote(str(toolchain.tool(tool)))
    return COMPILER.replace("{compiler}", compiler).replace("{prefix}", "/relenv")


def lay_compilers(toolchain: Toolchain, *, cache: Cache, ui: Ui) -> Path:
    """Return a directory with the toolchain's programs under their plain names; made if it is not in the cache."""
    scripts = {tool: compiler_script(toolchain, tool) for tool in COMPILERS}
    digest = hashlib.sha256(json.dumps([scripts, BINUTILS, str(toolchain.root)]).encode()).hexdigest()
    final = cache.toolchains / f"{toolchain.root.name}-tools-{digest[:16]}"
    cache.use(final)
    if not final.is_dir():
        with cache.lock(final.name, ui):
            if not final.is_dir():
                with cache.beside(final) as partial:
                    for tool, text in scripts.items():
                        (partial / tool).write_text(text, encoding="utf-8")
                        (partial / tool).chmod(0o755)
                    for tool in BINUTILS:
                        (partial / tool).symlink_to(toolchain.tool(tool))
    return final


def variables(
    tree: Tree, *, toolchain: Toolchain, tools: Path, wheels: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables to set for building extensions.

    Args:
        tree: what they are for.
        toolchain: what they are built with.
        tools: see `lay_compilers`.
        wheels: pip's cache directory in place of the user's.
        environ: the caller's environment.

    Raises:
        HostError: the toolchain is for another kind of machine than the tree.
    """
    if tree.triplet != toolchain.triplet:
        raise HostError(
            f"{tree.root} is for {tree.triplet}, and the toolchain here for {toolchain.triplet}",
            hint="build on a machine of its kind",
        )
    root = str(tree.root)
    configs = str(tree.root / "lib" / "pkgconfig")
    rust = RUST_TARGETS[tree.triplet].upper().replace("-", "_")
    return {
        TREE: root,
        "PATH": _before(str(tools), environ.get("PATH") or os.defpath),
        # Names without a directory: packages record them, numpy.show_config() prints them. They replace the user's own.
        # No LD: `LD ?= $(CC)` is how many a Makefile begins. No LDSHARED: setuptools has it from CC, zlib's configure
        # takes it for a whole command.
        "CC": "gcc",
        "CXX": "g++",
        "AR": "ar",
        "RANLIB": "ranlib",
        "NM": "nm",
        "STRIP": "strip",
        # in place of the machine's directories; the user's own would come before
        "PKG_CONFIG_LIBDIR": configs,
        "PKG_CONFIG_PATH": configs,
        # CMake's find_package; meson hands it on
        "CMAKE_PREFIX_PATH": root,
        **_openssl(tree.root),
        f"CARGO_TARGET_{rust}_LINKER": "gcc",
        # Wheels that pip has built before are used again, also with --no-binary: those of another compiler need a newer
        # glibc, and those of ours libraries that another Python has not.
        "PIP_CACHE_DIR": str(wheels),
    }


def _openssl(root: Path) -> dict[str, str]:
    """Return what openssl-sys reads (https://docs.rs/openssl): all of it, as LIB_DIR and INCLUDE_DIR win over DIR."""
    return {
        "OPENSSL_DIR": str(root),
        "OPENSSL_LIB_DIR": str(root / "lib"),
        "OPENSSL_INCLUDE_DIR": str(root / "include"),
        # even if a package asks for a copy of its own
        "OPENSSL_NO_VENDOR": "1",
    }


def _before(first: str, path: str) -> str:
    """Return a search path that begins with a directory, and has it once."""
    return os.pathsep.join([first, *(place for place in path.split(os.pathsep) if place != first)])


def shell(settings: Mapping[str, str]) -> str:
    """Return lines that a POSIX shell evaluates."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
