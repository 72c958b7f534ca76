"""CPython: its releases, the extension modules each should have, and how it is built."""

from __future__ import annotations

from relenv.recipes.libraries import LIBRARIES
from relenv.recipes.model import PREFIX, AptPackage, Copy, Recipe, Replace, Run, Source, Step, Unpack, Write
from relenv.recipes.profiles import PROFILES

DEFAULT_SERIES = "3.13"
"""What is taken where nobody asks for another."""

BASE_EXTENSIONS = frozenset(
    [
        "_asyncio",
        "_bisect",
        "_blake2",
        "_bz2",
        "_codecs_cn",
        "_codecs_hk",
        "_codecs_iso2022",
        "_codecs_jp",
        "_codecs_kr",
        "_codecs_tw",
        "_contextvars",
        "_csv",
        "_ctypes",
        "_curses",
        "_curses_panel",
        "_datetime",
        "_decimal",
        "_elementtree",
        "_hashlib",
        "_heapq",
        "_json",
        "_lsprof",
        "_lzma",
        "_md5",
        "_multibytecodec",
        "_multiprocessing",
        "_opcode",
        "_pickle",
        "_posixshmem",
        "_posixsubprocess",
        "_queue",
        "_random",
        "_sha1",
        "_sha3",
        "_socket",
        "_sqlite3",
        "_ssl",
        "_statistics",
        "_struct",
        "_uuid",
        "_zoneinfo",
        "array",
        "binascii",
        "cmath",
        "fcntl",
        "grp",
        "math",
        "mmap",
        "pyexpat",
        "readline",
        "resource",
        "select",
        "syslog",
        "termios",
        "unicodedata",
        "zlib",
    ]
)
_UNTIL_312 = frozenset({"audioop", "ossaudiodev", "spwd"})
_SINCE_312 = frozenset({"_sha2", "_xxinterpchannels", "_xxsubinterpreters"})

EXTENSIONS: dict[str, frozenset[str]] = {
    "3.11": BASE_EXTENSIONS
    | _UNTIL_312
    | {"_sha256", "_sha512", "_typing", "_xxsubinterpreters", "xxlimited", "xxlimited_35"},
    "3.12": BASE_EXTENSIONS | _UNTIL_312 | _SINCE_312,
    "3.13": BASE_EXTENSIONS | {"_interpchannels", "_interpqueues", "_interpreters", "_sha2"},
    "3.14": BASE_EXTENSIONS
    | {
        "_hmac",
        "_interpchannels",
        "_interpqueues",
        "_interpreters",
        "_remote_debugging",
        "_sha2",
        "_zstd",
    },
}
"""The extension modules in lib-dynload, exactly. Left out: `_tkinter` (needs X11), `_gdbm` (GPL), `_dbm` (its free
backends are under the GPL or the AGPL too; `dbm.sqlite3` and `dbm.dumb` work), `nis` and `_crypt` (LGPL libraries
that current distributions no longer have; both modules are gone from 3.13)."""


def _upstream(version: str, sha256: str, *, package: str = "", suites: tuple[str, ...] = ()) -> Source:
    # the pinned file of 3.11.2 is the one that Debian took
    filename = f"Python-{version}.tar.{'gz' if version == '3.11.2' else 'xz'}"
    return Source(
        version=version,
        filename=filename,
        sha256=sha256,
        urls=(f"https://www.python.org/ftp/python/{version}/{filename.replace('.tar.gz', '.tgz')}",),
        apt=AptPackage(name=package, suites=suites) if package else None,
    )


RELEASES: tuple[Source, ...] = (
    _upstream("3.14.7", "3b48dac8fb59f62eaa67ac83c1eb12bda1b7a08406dd286e252c11a66be27f81"),
    _upstream(
        "3.13.15",
        "1e66a7945a48390ee4c2a4268a0e4185884059a13c4aab6d148aa208deea4a76",
        package="python3.13",
        suites=("forky",),
    ),
    _upstream(
        "3.13.5",
        "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640",
        package="python3.13",
        suites=("trixie",),
    ),
    _upstream("3.12.14", "5c8462af5790baf43a321a1559dbe0db06d1be4300fb85fb53c40060668e548a"),
    _upstream("3.11.16", "91bcdebfdde239a003ae93738a7fce0f9230fee5c4bc2b86f6e6e8c6f98aabe8"),
    _upstream(
        "3.11.2",
        "2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849",
        package="python3.11",
        suites=("bookworm", "bookworm-security"),
    ),
)
"""Every CPython that can be built, newest first: a new one is one line here (and a row of EXTENSIONS for a
new series)."""


def series_of(version: str) -> str:
    """Return the series of a version: `3.13` of `3.13.15`."""
    return ".".join(version.split(".")[:2])


def needs_of(series: str) -> tuple[str, ...]:
    """Return the libraries that feed extension modules of this series."""
    wanted = EXTENSIONS[series]
    return tuple(name for name, releases in LIBRARIES.items() if any(set(recipe.feeds) & wanted for recipe in releases))


_DISABLED = ("_crypt", "_dbm", "_gdbm", "_tkinter", "nis")

_CONFIGURE = (
    "./configure",
    "--prefix={prefix}",
    "--build={triplet}",
    "--host={triplet}",
    "--disable-test-modules",
    "--without-static-libpython",
    "--with-ensurepip=no",
    "--enable-loadable-sqlite-extensions",
    "--with-openssl={deps}",
    "--with-openssl-rpath=no",
    "--with-readline=editline",
    "--with-dbmliborder=",
)

# What is for our own build alone goes into the _NODIST variables: the others reach users' extensions.
_ENV = (
    ("CFLAGS", ""),
    ("OPT", "-O3 -Wall"),
    ("CFLAGS_NODIST", "-pipe -fno-semantic-interposition"),
    ("LDFLAGS", ""),
    ("LDFLAGS_NODIST", "-Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--disable-new-dtags"),
)

_COMMON: tuple[Step, ...] = (
    Write(path="{src}/Modules/Setup.local", text="*disabled*\n" + "\n".join(_DISABLED) + "\n"),
    # bytecode is compiled after relocation, with paths relative to the prefix, and only once
    Replace(path="{src}/Makefile.pre.in", old="$(DESTDIR)$(LIBDEST)/compileall.py", new="-c pass"),
)

# distutils in setup.py looks into the host's own directories for headers and libraries
_PATCH_311: tuple[Step, ...] = (
    Replace(
        path="{src}/setup.py",
        old="    def add_multiarch_paths(self):\n",
        new="    def add_multiarch_paths(self):\n        return\n",
    ),
    Replace(path="{src}/setup.py", old="['/lib64', '/usr/lib64', '/lib', '/usr/lib']", new="[]"),
    Replace(path="{src}/setup.py", old="system_include_dirs = ['/usr/include']", new="system_include_dirs = []"),
    Replace(
        path="{src}/setup.py",
        old="            add_dir_to_list(self.compiler.library_dirs, '/usr/local/lib')\n"
        "            add_dir_to_list(self.compiler.include_dirs, '/usr/local/include')\n",
        new="            pass\n",
    ),
    Replace(path="{src}/setup.py", old="curses_includes.append('/usr/include/ncursesw')", new="pass"),
    Replace(path="{src}/setup.py", old="library_dirs=['/usr/lib/termcap'],", new=""),
    # gone from libedit; by sed, since later releases of 3.11 may not name it any more
    Run(argv=("sed", "-i", "s/(VFunction [*])/(rl_compdisp_func_t *)/", "Modules/readline.c")),
)
_ENV_311 = (
    ("CPPFLAGS", "-I{deps}/include"),
    ("LDFLAGS_NODIST", "-L{deps}/lib " + dict(_ENV)["LDFLAGS_NODIST"]),
)

_QUIRKS: dict[str, tuple[tuple[Step, ...], tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "3.11": (_PATCH_311, ("--with-system-ffi",), _ENV_311),
}
"""By series: further steps before configure, further options of it, further environment."""


USE_PROFILE = "-fprofile-use -fprofile-correction -fprofile-partial-training -Wno-missing-profile"
"""Partial training: what the training never reached is optimised as without a profile, not for size."""


def _configured(series: str, *, tests: bool) -> tuple[tuple[Step, ...], tuple[tuple[str, str], ...]]:
    """Return the steps up to a configured tree, and the environment of those and of the ones that follow."""
    steps, options, env = _QUIRKS.get(series, ((), (), ()))
    environment = tuple({**dict(_ENV), **dict(env)}.items())
    configure = tuple(word for word in _CONFIGURE if not (tests and word == "--disable-test-modules"))
    return (*_COMMON, *steps, Run(argv=(*configure, *options), env=environment)), environment


def _compile(version: str, environment: tuple[tuple[str, str], ...]) -> tuple[Step, ...]:
    profile = PROFILES.get(version)
    if profile is None:
        return (Run(argv=("make",), env=environment),)
    return (
        Unpack(package="relenv.recipes.profiles", filename=profile.filename, sha256=profile.sha256),
        # the training run is done: its result was unpacked
        Write(path="{src}/profile-run-stamp", text=""),
        Run(argv=("make", "profile-opt", f"PGO_PROF_USE_FLAG={USE_PROFILE}"), env=environment),
    )


def recipe_for(source: Source) -> Recipe:
    """Return how this release of CPython is built: with its frozen profile, if there is one."""
    series = series_of(source.version)
    configured, environment = _configured(series, tests=False)
    return Recipe(
        name="cpython",
        source=source,
        steps=(
            *configured,
            *_compile(source.version, environment),
            Run(argv=("make", "-j1", "install", "DESTDIR={work}/dest"), env=environment),
            Copy(pattern=f"{{work}}/dest{PREFIX}/*", into="{out}"),
        ),
        needs=needs_of(series),
        # from lib/python3.13/lib-dynload
        shared_rpath="$ORIGIN/../..",
        licence="PSF-2.0",
        licence_files=("LICENSE",),
        cost=220,
    )


def training_for(source: Source, workload: str) -> Recipe:
    """Return how a profile of this release is made; the artifact holds `profile.tar`.

    Args:
        source: the release.
        workload: the text of a program to run besides `-m test --pgo`.
    """
    series = series_of(source.version)
    configured, environment = _configured(series, tests=True)
    return Recipe(
        name="cpython-profile",
        source=source,
        steps=(
            *configured,
            Run(argv=("make", "profile-gen-stamp"), env=environment),
            Run(argv=("./python", "-m", "test", "--pgo"), env=environment),
            Write(path="{work}/workload.py", text=workload),
            Run(argv=("./python", "-I", "{work}/workload.py"), env=environment),
            Run(argv=("sh", "-ec", "find . -name '*.gcda' | sort | tar -cf {out}/profile.tar -T -")),
        ),
        needs=needs_of(series),
        shared_rpath="$ORIGIN/../..",
        licence="PSF-2.0",
        licence_files=("LICENSE",),
        cost=480,
    )


CPYTHON: tuple[Recipe, ...] = tuple(recipe_for(source) for source in RELEASES)
"""A recipe for each release, newest first."""
