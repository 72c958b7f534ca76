"""THE table of libraries. A new library is one entry; what CPython builds with it follows from `feeds`."""

from __future__ import annotations

from importlib.resources import files

from relenv.recipes.faster_zlib import FASTER, FLAGS
from relenv.recipes.model import AptPackage, Copy, Recipe, Replace, Run, Source, Step, Write

HARVEST = Copy(pattern="{work}/dest{prefix}/*", into="{out}")
"""What `make install DESTDIR={work}/dest` laid down is the artifact."""


def _install(*targets: str) -> tuple[Step, ...]:
    # -j1: install rules are the part of a makefile that is least often run in parallel
    return (Run(argv=("make", "-j1", *(targets or ("install",)), "DESTDIR={work}/dest")), HARVEST)


SMALL = "-Os -pipe"
"""For what waits for a user's keys."""


def _autotools(*options: str, make: tuple[str, ...] = (), env: dict[str, str] | None = None) -> tuple[Step, ...]:
    """Return the steps of a package with an autoconf configure script."""
    configure = Run(
        argv=(
            "./configure",
            "--prefix={prefix}",
            "--libdir={prefix}/lib",
            "--build={triplet}",
            "--host={triplet}",
            *options,
        ),
        env=tuple((env or {}).items()),
    )
    return (configure, Run(argv=("make", *make)), *_install())


def gnu(project: str, filename: str) -> tuple[str, ...]:
    """Return where a file of the GNU project is."""
    return (
        f"https://ftpmirror.gnu.org/gnu/{project}/{filename}",
        f"https://ftp.gnu.org/gnu/{project}/{filename}",
    )


def _family(
    name: str,
    sources: tuple[Source, ...],
    steps: tuple[Step, ...],
    *,
    licence: str,
    licence_files: tuple[str, ...],
    cpe: str,
    cost: float,
    feeds: tuple[str, ...] = (),
    needs: tuple[str, ...] = (),
) -> tuple[Recipe, ...]:
    """Return releases, newest first, that are all built the same way."""
    return tuple(
        Recipe(
            name=name,
            source=source,
            steps=steps,
            needs=needs,
            feeds=feeds,
            licence=licence,
            licence_files=licence_files,
            cpe=cpe,
            cost=cost,
        )
        for source in sources
    )


ZLIB = _family(
    "zlib",
    (
        Source(
            version="1.3.2",
            filename="zlib-1.3.2.tar.gz",
            sha256="bb329a0a2cd0274d05519d61c667c062e06990d72e125ee2dfa8de64f0119d16",
            urls=(
                "https://github.com/madler/zlib/releases/download/v1.3.2/zlib-1.3.2.tar.gz",
                "https://zlib.net/fossils/zlib-1.3.2.tar.gz",
            ),
        ),
        Source(
            version="1.3.1",
            filename="zlib_1.3.dfsg+really1.3.1.orig.tar.gz",
            sha256="60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb",
            apt=AptPackage(name="zlib", suites=("trixie",)),
        ),
    ),
    (
        *FASTER,
        Run(argv=("./configure", "--prefix={prefix}"), env=(("CFLAGS", FLAGS),)),
        Run(argv=("make", "shared", "zlib.pc")),
        Copy(pattern="{src}/libz.so*", into="{out}/lib"),
        Copy(pattern="{src}/z[lc]*.h", into="{out}/include"),
        Copy(pattern="{src}/zlib.pc", into="{out}/lib/pkgconfig"),
    ),
    licence="Zlib",
    licence_files=("LICENSE", "README"),
    cpe="zlib:zlib",
    feeds=("zlib", "binascii"),
    cost=9,
)

BZIP2 = _family(
    "bzip2",
    (
        Source(
            version="1.0.8",
            filename="bzip2-1.0.8.tar.gz",
            sha256="ab5a03176ee106d3f0fa90e381da478ddae405918153cca248e682cd0c4a2269",
            urls=("https://sourceware.org/pub/bzip2/bzip2-1.0.8.tar.gz",),
            apt=AptPackage(name="bzip2", suites=("bookworm",)),
        ),
    ),
    (
        # the release's own Makefile-libbz2_so knows no LDFLAGS and links its test program without them
        Write(
            path="{src}/Makefile.relenv",
            text=(
                "OBJS = blocksort.o huffman.o crctable.o randtable.o compress.o decompress.o bzlib.o\n"
                "libbz2.so.1.0.8: $(OBJS)\n"
                "\t$(CC) -shared -Wl,-soname,libbz2.so.1.0 $(LDFLAGS) -o $@ $(OBJS)\n"
                "\tln -sf $@ libbz2.so.1.0\n"
                "\tln -sf $@ libbz2.so\n"
            ),
        ),
        Run(
            argv=("make", "-f", "Makefile.relenv"),
            env=(("CFLAGS", "-O2 -fPIC -pipe -D_FILE_OFFSET_BITS=64"),),
        ),
        Copy(pattern="{src}/libbz2.so*", into="{out}/lib"),
        Copy(pattern="{src}/bzlib.h", into="{out}/include"),
    ),
    licence="bzip2-1.0.6",
    licence_files=("LICENSE",),
    cpe="bzip:bzip2",
    feeds=("_bz2",),
    cost=5,
)

XZ = _family(
    "xz",
    (
        Source(
            version="5.8.3",
            filename="xz-5.8.3.tar.gz",
            sha256="3d3a1b973af218114f4f889bbaa2f4c037deaae0c8e815eec381c3d546b974a0",
            urls=("https://github.com/tukaani-project/xz/releases/download/v5.8.3/xz-5.8.3.tar.gz",),
        ),
        Source(
            version="5.8.1",
            filename="xz-5.8.1.tar.xz",
            sha256="0b54f79df85912504de0b14aec7971e3f964491af1812d83447005807513cd9e",
            urls=("https://github.com/tukaani-project/xz/releases/download/v5.8.1/xz-5.8.1.tar.xz",),
            apt=AptPackage(name="xz-utils", suites=("trixie", "trixie-security")),
        ),
    ),
    _autotools(
        "--disable-static",
        "--disable-doc",
        "--disable-nls",
        "--disable-xz",
        "--disable-xzdec",
        "--disable-lzmadec",
        "--disable-lzmainfo",
        "--disable-scripts",
    ),
    licence="0BSD",
    licence_files=("COPYING", "COPYING.0BSD"),
    cpe="tukaani:xz",
    feeds=("_lzma",),
    cost=28,
)

ZSTD = _family(
    "zstd",
    (
        Source(
            version="1.5.7",
            filename="zstd-1.5.7.tar.gz",
            sha256="eb33e51f49a15e023950cd7825ca74a4a2b43db8354825ac24fc1b7ee09e6fa3",
            urls=("https://github.com/facebook/zstd/releases/download/v1.5.7/zstd-1.5.7.tar.gz",),
        ),
        Source(
            version="1.5.7",
            filename="libzstd_1.5.7+dfsg.orig.tar.xz",
            sha256="0c092ef267edce57ba7f3f2645c861f72eaf5e76273c6c3632869423464b90a5",
            apt=AptPackage(name="libzstd", suites=("trixie",)),
        ),
    ),
    (
        Run(
            argv=("make", "-C", "lib", "libzstd-mt", "PREFIX={prefix}"),
            env=(("CFLAGS", "-O3 -fPIC -pipe"),),
        ),
        Run(
            argv=(
                "make",
                "-j1",
                "-C",
                "lib",
                "install-shared",
                "install-includes",
                "PREFIX={prefix}",
                "DESTDIR={work}/dest",
            ),
            env=(("CFLAGS", "-O3 -fPIC -pipe"),),
        ),
        HARVEST,
    ),
    licence="BSD-3-Clause",
    licence_files=("LICENSE",),
    cpe="facebook:zstandard",
    feeds=("_zstd",),
    cost=40,
)

LIBFFI = _family(
    "libffi",
    (
        Source(
            version="3.4.8",
            filename="libffi-3.4.8.tar.gz",
            sha256="bc9842a18898bfacb0ed1252c4febcc7e78fa139fd27fdc7a3e30d9d9356119b",
            urls=("https://github.com/libffi/libffi/releases/download/v3.4.8/libffi-3.4.8.tar.gz",),
        ),
        Source(
            version="3.4.4",
            filename="libffi-3.4.4.tar.gz",
            sha256="d66c56ad259a82cf2a9dfc408b32bf5da52371500b84745f7fb8b645712df676",
            urls=("https://github.com/libffi/libffi/releases/download/v3.4.4/libffi-3.4.4.tar.gz",),
            apt=AptPackage(name="libffi", suites=("bookworm",)),
        ),
    ),
    _autotools(
        "--disable-static",
        "--disable-docs",
        "--disable-multi-os-directory",
        # 3.4.4 calls a function of its own that no header of it declares, which is an error for GCC 14 and later
        env={"CFLAGS": "-O2 -fPIC -pipe -Wno-error=implicit-function-declaration"},
    ),
    licence="MIT",
    licence_files=("LICENSE",),
    cpe="libffi_project:libffi",
    feeds=("_ctypes",),
    cost=10,
)

# Mozilla's selection of certificate authorities, for machines that have none of their own. It "feeds" _ssl: without
# it that module would trust nobody there.
CACERT = _family(
    "cacert",
    (
        Source(
            version="2026.10.18",
            filename="certifi-2026.10.18-py3-none-any.whl",
            sha256="73191c47aaa79da394e8fee2dbc2ec827432cab56311122c9e47abf79e390f62",
            index="certifi==2026.10.18",
        ),
    ),
    (
        Copy(pattern="{src}/certifi/cacert.pem", into="{out}/etc/ssl"),
        Run(argv=("mv", "cacert.pem", "cert.pem"), cwd="{out}/etc/ssl"),
    ),
    licence="MPL-2.0",
    licence_files=("certifi-*.dist-info/licenses/LICENSE",),
    cpe="certifi:certifi",
    feeds=("_ssl",),
    cost=1,
)

# `no-module` links the legacy provider into libcrypto: as a file it would have to be found by an absolute path.
# Only the shared libraries are made: the static ones would compile every file a second time.
OPENSSL = _family(
    "openssl",
    (
        Source(
            version="3.5.7",
            filename="openssl-3.5.7.tar.gz",
            sha256="a8c0d28a529ca480f9f36cf5792e2cd21984552a3c8e4aa11a24aa31aeac98e8",
            urls=("https://github.com/openssl/openssl/releases/download/openssl-3.5.7/openssl-3.5.7.tar.gz",),
            apt=AptPackage(name="openssl", suites=("trixie-security", "trixie")),
        ),
        Source(
            version="3.5.6",
            filename="openssl-3.5.6.tar.gz",
            sha256="deae7c80cba99c4b4f940ecadb3c3338b13cb77418409238e57d7f31f2a3b736",
            urls=("https://github.com/openssl/openssl/releases/download/openssl-3.5.6/openssl-3.5.6.tar.gz",),
            apt=AptPackage(name="openssl", suites=("trixie",)),
        ),
    ),
    (
        Write(path="{src}/crypto/x509/trust.h", text=(files("relenv.recipes") / "openssl_trust.h").read_text("utf-8")),
        Replace(
            path="{src}/crypto/x509/x509_def.c",
            old="#include <stdio.h>\n",
            new='#define _GNU_SOURCE\n#include <stdio.h>\n#include "trust.h"\n',
        ),
        Replace(path="{src}/crypto/x509/x509_def.c", old="return X509_CERT_FILE;", new="return trusted_file();"),
        Run(
            argv=(
                "perl",
                "./Configure",
                "{openssl_target}",
                "--prefix={prefix}",
                "--openssldir=/etc/ssl",
                "--libdir=lib",
                "shared",
                "no-apps",
                "no-docs",
                "no-module",
                "no-tests",
                "no-makedepend",
            ),
            env=(("CFLAGS", "-O2 -pipe"),),
        ),
        # what every handshake computes, in C alone: one is 1.06 times as quick, for 12 kB
        Run(argv=("sh", "-ec", "echo 'crypto/ml_kem/libcrypto-shlib-ml_kem.o: CFLAGS += -O3' >> Makefile")),
        Run(argv=("make", "build_generated")),
        Run(argv=("make", "libcrypto.so", "libssl.so")),
        Copy(pattern="{src}/lib*.so*", into="{out}/lib"),
        Copy(pattern="{src}/include/openssl/*.h", into="{out}/include/openssl"),
        Run(argv=("make", *(f"exporters/{name}.pc" for name in ("libcrypto", "libssl", "openssl")))),
        Copy(pattern="{src}/exporters/*.pc", into="{out}/lib/pkgconfig"),
    ),
    licence="Apache-2.0",
    licence_files=("LICENSE.txt",),
    cpe="openssl:openssl",
    feeds=("_ssl", "_hashlib"),
    cost=200,
)

SQLITE_OPTIONS = (
    "ENABLE_FTS3",
    "ENABLE_FTS3_PARENTHESIS",
    "ENABLE_FTS3_TOKENIZER",
    "ENABLE_FTS4",
    "ENABLE_FTS5",
    "ENABLE_RTREE",
    "ENABLE_GEOPOLY",
    "ENABLE_DBSTAT_VTAB",
    "ENABLE_COLUMN_METADATA",
    "ENABLE_SESSION",
    "ENABLE_PREUPDATE_HOOK",
    "ENABLE_MATH_FUNCTIONS",
    "ENABLE_STMTVTAB",
    "ENABLE_UNLOCK_NOTIFY",
    "MAX_VARIABLE_NUMBER=250000",
    "USE_URI",
)
SQLITE_FLAGS = " ".join(("-O2 -fPIC -pipe", *(f"-DSQLITE_{option}" for option in SQLITE_OPTIONS)))
SQLITE = _family(
    "sqlite",
    (
        Source(
            version="3.53.4",
            filename="sqlite-autoconf-3530400.tar.gz",
            sha256="0e9483900e92cd5de8fd48d16bf9200145a61f7fd5be542a5ac81d8a9516eb9c",
            urls=("https://sqlite.org/2026/sqlite-autoconf-3530400.tar.gz",),
        ),
        # the full tree: it writes the amalgamation itself, with the small Tcl that it carries
        Source(
            version="3.53.4",
            filename="sqlite3_3.53.4.orig.tar.xz",
            sha256="05366adc8ee80c6b1faa71285b49d133c2121238ca58934b077fdeb95934abd4",
            apt=AptPackage(name="sqlite3", suites=("forky",)),
        ),
    ),
    (
        Run(
            argv=(
                "./configure",
                "--prefix={prefix}",
                "--build={triplet}",
                "--host={triplet}",
                "--disable-static",
                "--disable-rpath",
                "--disable-readline",
                "--soname=legacy",
                "--disable-tcl",
            ),
            env=(("CFLAGS", SQLITE_FLAGS),),
        ),
        Run(argv=("make", "libsqlite3.so")),
        Copy(pattern="{src}/libsqlite3.so", into="{out}/lib"),
        Run(argv=("mv", "{out}/lib/libsqlite3.so", "{out}/lib/libsqlite3.so.0")),
        Run(argv=("ln", "-s", "libsqlite3.so.0", "{out}/lib/libsqlite3.so")),
        Copy(pattern="{src}/sqlite3.h", into="{out}/include"),
        Copy(pattern="{src}/**/sqlite3ext.h", into="{out}/include"),
        Copy(pattern="{src}/sqlite3.pc", into="{out}/lib/pkgconfig"),
    ),
    licence="blessing",
    licence_files=("LICENSE.md", "README*"),
    cpe="sqlite:sqlite",
    feeds=("_sqlite3",),
    cost=60,
)

TERMINALS = "xterm xterm-256color screen screen-256color tmux tmux-256color linux vt100 vt220 ansi dumb"
NCURSES = _family(
    "ncurses",
    (
        Source(
            version="6.5",
            filename="ncurses-6.5.tar.gz",
            sha256="136d91bc269a9a5785e5f9e980bc76ab57428f604ce3e5a5a90cebc767971cc6",
            urls=gnu("ncurses", "ncurses-6.5.tar.gz"),
        ),
        Source(
            version="6.5+20250216",
            filename="ncurses_6.5+20250216.orig.tar.gz",
            sha256="b37baafa436e7133bb12a185cb8f60e1599b1947e9f0181c76f3190acf28b6eb",
            apt=AptPackage(name="ncurses", suites=("trixie",)),
        ),
    ),
    (
        Run(
            argv=(
                "./configure",
                "--prefix={prefix}",
                "--build={triplet}",
                "--host={triplet}",
                "--with-shared",
                "--enable-widec",
                "--without-normal",
                "--without-debug",
                "--without-cxx",
                "--without-cxx-binding",
                "--without-ada",
                "--without-manpages",
                "--without-tests",
                "--disable-db-install",
                "--disable-stripping",
                "--enable-overwrite",
                "--with-default-terminfo-dir=/usr/share/terminfo",
                "--with-terminfo-dirs=/etc/terminfo:/lib/terminfo:/usr/share/terminfo",
            ),
            # else found out with /dev/null and /dev/tty, which a chroot may lack
            env=(("cf_cv_working_poll", "yes"), ("CFLAGS", SMALL)),
        ),
        # The descriptions of common terminals are compiled in, for machines without terminfo. That takes tic
        # and infocmp: they are built first, without such descriptions, and then the library once more.
        Run(argv=("make", "-C", "include")),
        Run(argv=("make", "-C", "ncurses")),
        Run(argv=("make", "-C", "progs", "tic", "infocmp")),
        Run(
            argv=(
                "sh",
                "-ec",
                "sh ./tinfo/MKfallback.sh /usr/share/terminfo ../misc/terminfo.src"
                ' "$PWD/../progs/tic" "$PWD/../progs/infocmp" ' + TERMINALS + " > fallback.new"
                " && mv fallback.new fallback.c",
            ),
            cwd="{src}/ncurses",
            env=(("LD_LIBRARY_PATH", "{src}/lib"),),
        ),
        Run(argv=("make", "-C", "ncurses")),
        Run(argv=("make", "-C", "panel")),
        Run(argv=("make", "-j1", "-C", "include", "install", "DESTDIR={work}/dest")),
        Run(argv=("make", "-j1", "-C", "ncurses", "install", "DESTDIR={work}/dest")),
        Run(argv=("make", "-j1", "-C", "panel", "install", "DESTDIR={work}/dest")),
        HARVEST,
        # what asks for the narrow library, as libedit's configure does, is served by the wide one
        Run(argv=("ln", "-s", "libncursesw.so", "{out}/lib/libncurses.so")),
    ),
    licence="X11-distribute-modifications-variant",
    licence_files=("COPYING",),
    cpe="gnu:ncurses",
    feeds=("_curses", "_curses_panel"),
    cost=60,
)

_SEEK_KEPT = "\tif (fseeko(tp, (off_t)sizeof(buf) * count + (cp - buf), SEEK_SET) ==\n"
_KEEP_HISTORY_COOKIE = Replace(
    path="{src}/src/readline.c",
    old=_SEEK_KEPT,
    new="""\
\t/* what is cut off begins with the line without which read_history() takes the file for none */
\tif (count > 0 || cp > buf) {
\t\tstatic const char cookie[] = "_HiStOrY_V2_\\n";
\t\tchar first[sizeof(cookie) - 1];

\t\toff = 0;
\t\tif (fread(first, sizeof(first), (size_t)1, fp) == 1 && memcmp(first, cookie, sizeof(first)) == 0)
\t\t\toff = (off_t)sizeof(first);
\t\tif (fseeko(fp, off, SEEK_SET) == (off_t)-1) {
\t\t\tret = errno;
\t\t\tgoto out3;
\t\t}
\t}

"""
    + _SEEK_KEPT,
)
"""readline.set_history_length() would otherwise lose the whole history as soon as it is longer than that."""

LIBEDIT = _family(
    "libedit",
    (
        Source(
            version="20250104-3.1",
            filename="libedit-20250104-3.1.tar.gz",
            sha256="23792701694550a53720630cd1cd6167101b5773adddcb4104f7345b73a568ac",
            urls=("https://thrysoee.dk/editline/libedit-20250104-3.1.tar.gz",),
            apt=AptPackage(name="libedit", suites=("trixie",)),
        ),
        Source(
            version="20240808-3.1",
            filename="libedit-20240808-3.1.tar.gz",
            sha256="5f0573349d77c4a48967191cdd6634dd7aa5f6398c6a57fe037cc02696d6099f",
            urls=("https://thrysoee.dk/editline/libedit-20240808-3.1.tar.gz",),
        ),
    ),
    (_KEEP_HISTORY_COOKIE, *_autotools("--disable-static", "--disable-examples", env={"CFLAGS": SMALL})),
    licence="BSD-3-Clause",
    licence_files=("COPYING",),
    cpe="",
    feeds=("readline",),
    needs=("ncurses",),
    cost=15,
)

LIBUUID = (
    *_family(
        "libuuid",
        (
            Source(
                version="2.41.5",
                filename="util-linux_2.41.5.orig.tar.xz",
                sha256="f586e35d320ff537aab3ffeca37e9ecd482ccbe013590db4429a414d8aa6a728",
                apt=AptPackage(name="util-linux", suites=("trixie", "trixie-security")),
            ),
        ),
        _autotools(
            "--disable-all-programs",
            "--enable-libuuid",
            "--disable-static",
            "--disable-nls",
            "--disable-bash-completion",
            "--disable-gtk-doc",
            "--disable-poman",
            "--without-python",
            "--without-systemd",
            "--without-ncurses",
            "--without-ncursesw",
            "--without-tinfo",
        ),
        licence="BSD-3-Clause",
        licence_files=("libuuid/COPYING", "Documentation/licenses/COPYING.BSD-3-Clause"),
        cpe="kernel:util-linux",
        feeds=("_uuid",),
        cost=25,
    ),
    *_family(
        "libuuid",
        (
            Source(
                version="1.0.3",
                filename="libuuid-1.0.3.tar.gz",
                sha256="46af3275291091009ad7f1b899de3d0cea0252737550e7919d17237997db5644",
                urls=("https://downloads.sourceforge.net/project/libuuid/libuuid-1.0.3.tar.gz",),
            ),
        ),
        _autotools("--disable-static"),
        licence="BSD-3-Clause",
        licence_files=("COPYING",),
        cpe="kernel:util-linux",
        feeds=("_uuid",),
        cost=12,
    ),
)

LIBRARIES: dict[str, tuple[Recipe, ...]] = {
    releases[0].name: releases
    for releases in (
        ZLIB,
        BZIP2,
        XZ,
        ZSTD,
        LIBFFI,
        CACERT,
        OPENSSL,
        SQLITE,
        NCURSES,
        LIBEDIT,
        LIBUUID,
    )
}
"""Each library's releases, the preferred one first."""
