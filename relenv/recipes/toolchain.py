"""THE table of what a toolchain is made of: GCC and binutils, compiled with the pinned toolchain, on its sysroot.

The result is a cross compiler by name only: what it runs on and what it compiles for is the same kind of machine. With
two names GCC looks nowhere but in its own tree, and runs nothing that it has compiled.
"""

from __future__ import annotations

from relenv.recipes.libraries import gnu
from relenv.recipes.model import AptPackage, Copy, Recipe, Remove, Replace, Run, Source, Step, Write
from relenv.recipes.pinned import PACKAGE, VERSION, WHEELS

AIM = "gcc"
"""What all others are for."""
HOST = "x86_64-relenv-linux-gnu"
"""What the machine is called on which the compiler runs."""
NAMES = ("--build=" + HOST, "--host=" + HOST, "--target={triplet}")
FLAGS = (("CFLAGS", "-O2 -pipe"), ("CXXFLAGS", "-O2 -pipe"), ("MAKEINFO", "true"))
"""Programs, and no manuals."""
LIBRARY_FLAGS = (
    ("CFLAGS", "-O2 -fPIC -pipe"),
    ("MAKEINFO", "true"),
    # GMP asks for it even where it has no assembly to make of it
    ("gmp_cv_prog_m4", "m4"),
)


def _static(*options: str, make: tuple[str, ...], copies: tuple[tuple[str, str], ...]) -> tuple[Step, ...]:
    """Return the steps of a library that GCC is linked with: nothing of it is left to be found at run time."""
    return (
        Run(
            argv=("./configure", "--prefix={prefix}", "--disable-shared", "--enable-static", "--with-pic", *options),
            env=LIBRARY_FLAGS,
        ),
        Run(argv=("make", *make), env=LIBRARY_FLAGS),
        *(Copy(pattern=pattern, into=into) for pattern, into in copies),
    )


SYSROOT = (
    Recipe(
        name="sysroot",
        source=Source(
            version="2.17",
            filename=f"{PACKAGE}-{VERSION}-{WHEELS['x86_64-linux-gnu'].tag}.whl",
            sha256=WHEELS["x86_64-linux-gnu"].sha256,
            index=f"{PACKAGE}=={VERSION}",
            inner=f"{PACKAGE}/_toolchain/x86_64-linux-gnu.tar.xz",
        ),
        steps=(
            Copy(pattern="{src}/{triplet}/sysroot", into="{out}/{triplet}"),
            Remove(pattern="{out}/{triplet}/sysroot/usr/bin"),
            Remove(pattern="{out}/{triplet}/sysroot/usr/sbin"),
            Remove(pattern="{out}/{triplet}/sysroot/sbin"),
            Remove(pattern="{out}/{triplet}/sysroot/usr/libexec"),
            Remove(pattern="{out}/{triplet}/sysroot/usr/share"),
        ),
        licence="LGPL-2.1-or-later AND GPL-2.0-only WITH Linux-syscall-note",
        licence_files=(
            "share/licenses/glibc/COPYING*",
            "share/licenses/glibc/LICENSES",
            "share/licenses/linux/COPYING",
        ),
        cost=10,
    ),
)
"""glibc's headers and libraries, and the kernel's headers."""

GMP = tuple(
    Recipe(
        name="gmp",
        source=source,
        # its assembly takes m4, which few machines have, and a compiler does not calculate that much
        steps=(
            # Debian's tarball has no manuals
            Write(path="{src}/doc/Makefile.in", text="all:\n"),
            *_static(
                "--disable-assembly",
                make=(),
                copies=(("{src}/.libs/libgmp.a", "{out}/lib"), ("{src}/gmp.h", "{out}/include")),
            ),
        ),
        licence="LGPL-3.0-or-later OR GPL-2.0-or-later",
        licence_files=("COPYING*",),
        cost=60,
    )
    for source in (
        Source(
            version="6.3.0",
            filename="gmp-6.3.0.tar.xz",
            sha256="a3c2b80201b89e68616f4ad30bc66aee4927c3ce50e33929ca819d5c43538898",
            urls=gnu("gmp", "gmp-6.3.0.tar.xz"),
        ),
        Source(
            version="6.3.0",
            filename="gmp_6.3.0+dfsg.orig.tar.xz",
            sha256="bd2966e6d277f79328e894a5a9f3ba3fbf2ed2be81def5f48623e30c23fb1572",
            apt=AptPackage(name="gmp", suites=("trixie",)),
        ),
    )
)

MPFR = (
    Recipe(
        name="mpfr",
        source=Source(
            version="4.2.2",
            filename="mpfr-4.2.2.tar.xz",
            sha256="b67ba0383ef7e8a8563734e2e889ef5ec3c3b898a01d00fa0a6869ad81c6ce01",
            urls=gnu("mpfr", "mpfr-4.2.2.tar.xz"),
            apt=AptPackage(name="mpfr4", suites=("trixie",)),
        ),
        steps=_static(
            make=("-C", "src"),
            copies=(("{src}/src/.libs/libmpfr.a", "{out}/lib"), ("{src}/src/mpf*r.h", "{out}/include")),
        ),
        needs=("gmp",),
        licence="LGPL-3.0-or-later",
        licence_files=("COPYING*",),
        cost=60,
    ),
)

MPC = (
    Recipe(
        name="mpc",
        source=Source(
            version="1.3.1",
            filename="mpc-1.3.1.tar.gz",
            sha256="ab642492f5cf882b74aa0cb730cd410a81edcdbec895183ce930e706c1c759b8",
            urls=gnu("mpc", "mpc-1.3.1.tar.gz"),
            apt=AptPackage(name="mpclib3", suites=("trixie",)),
        ),
        steps=_static(
            make=("-C", "src"),
            copies=(("{src}/src/.libs/libmpc.a", "{out}/lib"), ("{src}/src/mpc.h", "{out}/include")),
        ),
        needs=("gmp", "mpfr"),
        licence="LGPL-3.0-or-later",
        licence_files=("COPYING*",),
        cost=20,
    ),
)

ISL = (
    Recipe(
        name="isl",
        source=Source(
            version="0.27",
            filename="isl-0.27.tar.xz",
            sha256="6d8babb59e7b672e8cb7870e874f3f7b813b6e00e6af3f8b04f7579965643d5c",
            urls=("https://libisl.sourceforge.io/isl-0.27.tar.xz",),
            apt=AptPackage(name="isl", suites=("trixie",)),
        ),
        steps=_static(
            make=(),
            copies=(("{src}/.libs/libisl.a", "{out}/lib"), ("{src}/include/isl", "{out}/include")),
        ),
        needs=("gmp",),
        licence="MIT",
        licence_files=("LICENSE",),
        cost=120,
    ),
)

BINUTILS = tuple(
    Recipe(
        name="binutils",
        source=source,
        steps=(
            Run(
                argv=(
                    "./configure",
                    "--prefix={prefix}",
                    *NAMES,
                    "--with-sysroot={prefix}/{triplet}/sysroot",
                    "--enable-plugins",
                    "--enable-deterministic-archives",
                    "--enable-default-hash-style=gnu",
                    "--enable-new-dtags",
                    "--disable-gdb",
                    "--disable-gdbserver",
                    "--disable-gold",
                    "--disable-gprof",
                    "--disable-gprofng",
                    "--disable-multilib",
                    "--disable-nls",
                    "--disable-sim",
                    "--disable-werror",
                    "--without-debuginfod",
                    "--without-msgpack",
                    "--without-zstd",
                ),
                env=FLAGS,
            ),
            Run(argv=("make", "MAKEINFO=true"), env=FLAGS),
            Run(argv=("make", "-j1", "MAKEINFO=true", "install-strip", "DESTDIR={work}/dest"), env=FLAGS),
            Copy(pattern="{work}/dest{prefix}/bin", into="{out}"),
            Copy(pattern="{work}/dest{prefix}/{triplet}", into="{out}"),
        ),
        licence="GPL-3.0-or-later",
        licence_files=("COPYING*",),
        cost=400,
    )
    for source in (
        Source(
            version="2.44",
            filename="binutils-2.44.tar.xz",
            sha256="ce2017e059d63e67ddb9240e9d4ec49c2893605035cd60e92ad53177f4377237",
            urls=gnu("binutils", "binutils-2.44.tar.xz"),
        ),
        Source(
            version="2.44",
            filename="binutils_2.44.orig.tar.xz",
            sha256="c41a0272424f41bb01bf828e7ffef1b2d59d1788064fd6b5f1d971717e9320b8",
            apt=AptPackage(name="binutils", suites=("trixie",)),
        ),
    )
)

_TARGET_TOOLS = tuple(
    (f"{name}_FOR_TARGET", f"{{deps}}/bin/{{triplet}}-{name.lower()}")
    for name in ("AR", "AS", "LD", "NM", "OBJCOPY", "OBJDUMP", "RANLIB", "READELF", "STRIP")
)
_TARGET_FLAGS = "-O2 -pipe -ffile-prefix-map={work}={prefix}/src/gcc"
_GCC_ENV = (
    *FLAGS,
    *_TARGET_TOOLS,
    ("CFLAGS_FOR_TARGET", _TARGET_FLAGS),
    ("CXXFLAGS_FOR_TARGET", _TARGET_FLAGS),
)


_NO_MANUALS = ("MAKEINFO=true", "GENERATED_MANPAGES=")


_GCC_CONFIGURE = (
    "../src/configure",
    "--prefix={prefix}",
    *NAMES,
    "--with-sysroot={prefix}/{triplet}/sysroot",
    "--with-build-sysroot={deps}/{triplet}/sysroot",
    "--with-glibc-version=2.17",
    "--enable-languages=c,c++,lto",
    "--enable-checking=release",
    "--enable-__cxa_atexit",
    "--enable-linker-build-id=no",
    "--enable-lto",
    "--enable-plugin",
    "--enable-threads=posix",
    "--disable-bootstrap",
    "--disable-fixincludes",
    "--disable-libcc1",
    "--disable-libitm",
    "--disable-libquadmath",
    "--disable-libquadmath-support",
    "--disable-libsanitizer",
    "--disable-libssp",
    "--disable-libvtv",
    "--disable-multilib",
    "--disable-nls",
    "--disable-werror",
    "--with-linker-hash-style=gnu",
    "--with-pkgversion=relenv",
    "--without-zstd",
)


def _gcc(source: Source) -> Recipe:
    build = "{work}/build"
    return Recipe(
        name=AIM,
        source=source,
        steps=(
            # Debian's tarball lacks manuals, and what is left of them is not compared with what it would be made of
            Replace(
                path="{src}/gcc/Makefile.in",
                old="$(RUN_GEN) build/genhooks$(build_exeext) -d \\\n\t\t\t$(srcdir)/doc/tm.texi.in > tmp-tm.texi",
                new="cp $(srcdir)/doc/tm.texi tmp-tm.texi",
            ),
            Run(argv=("mkdir", build)),
            Run(argv=_GCC_CONFIGURE, cwd=build, env=_GCC_ENV),
            Run(argv=("make", "configure-gcc"), cwd=build, env=_GCC_ENV),
            # what `gcc -v` says: where it was built is nobody's concern
            Run(argv=("sed", "-i", "s|{work}|{prefix}/src/gcc|g", "gcc/configargs.h"), cwd=build),
            Run(argv=("make", *_NO_MANUALS), cwd=build, env=_GCC_ENV),
            Run(argv=("make", "-j1", *_NO_MANUALS, "install-strip", "DESTDIR={work}/dest"), cwd=build, env=_GCC_ENV),
            Remove(pattern="{work}/dest{prefix}/share"),
            Remove(pattern="{work}/dest{prefix}/**/install-tools"),
            Remove(pattern="{work}/dest{prefix}/**/*.la"),
            Copy(pattern="{work}/dest{prefix}/*", into="{out}"),
            # by these, ar, nm and ranlib know what is in objects that are to be optimised when they are linked
            Copy(pattern="{work}/dest{prefix}/libexec/gcc/{triplet}/*/liblto_plugin.so", into="{out}/lib/bfd-plugins"),
            Copy(pattern="{deps}/bin/*", into="{out}/bin"),
            Copy(pattern="{deps}/{triplet}/*", into="{out}/{triplet}"),
        ),
        needs=("binutils", "gmp", "isl", "mpc", "mpfr", "sysroot"),
        licence="GPL-3.0-or-later WITH GCC-exception-3.1",
        licence_files=("COPYING*",),
        cost=2400,
    )


GCC = tuple(
    _gcc(source)
    for source in (
        Source(
            version="15.3.0",
            filename="gcc-15.3.0.tar.xz",
            sha256="fa59c1beef8995f27c4d71c1df227587189315d3e6faff1bb4306e61b0c530eb",
            urls=gnu("gcc/gcc-15.3.0", "gcc-15.3.0.tar.xz"),
        ),
        Source(
            version="15.3.0",
            filename="gcc-15_15.3.0.orig.tar.gz",
            sha256="183c7e2323a166ea7838159b75cd1ea6ec3901150c74b2451967b39bc759bf9b",
            apt=AptPackage(name="gcc-15", suites=("forky",)),
            inner="gcc-15-15.3.0/gcc-15.3.0-dfsg.tar.xz",
        ),
        Source(
            version="14.2.0",
            filename="gcc-14.2.0.tar.xz",
            sha256="a7b39bc69cbf9e25826c5a60ab26477001f7c08d85cec04bc0e29cabed6f3cc9",
            urls=gnu("gcc/gcc-14.2.0", "gcc-14.2.0.tar.xz"),
        ),
        Source(
            version="14.2.0",
            filename="gcc-14_14.2.0.orig.tar.gz",
            sha256="e162a5ef3f0077ecae598c6556908d2ab80841532df3398072a96a6df6e6aa29",
            apt=AptPackage(name="gcc-14", suites=("trixie",)),
            inner="gcc-14-14.2.0/gcc-14.2.0-dfsg.tar.xz",
        ),
    )
)

PARTS: dict[str, tuple[Recipe, ...]] = {
    releases[0].name: releases for releases in (SYSROOT, GMP, MPFR, MPC, ISL, BINUTILS, GCC)
}
"""The releases of each part, newest first."""
