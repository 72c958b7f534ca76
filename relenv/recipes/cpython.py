"""CPython: its releases, the extension modules each should have, and how it is built."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from relenv.recipes.libraries import LIBRARIES
from relenv.recipes.model import PREFIX, AptPackage, Carried, Copy, Recipe, Replace, Run, Source, Step, Unpack, Write
from relenv.recipes.pinned import NAME as PINNED
from relenv.recipes.profiles import profile_for
from relenv.recipes.startup import startup_steps
from relenv.recipes.unit import one_unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

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
"""The extension modules of the standard library, exactly. Left out: `_tkinter` (needs X11), `_gdbm` (GPL), `_dbm` (its
free backends are under the GPL or the AGPL too; `dbm.sqlite3` and `dbm.dumb` work), `nis` and `_crypt` (LGPL libraries
that current distributions no longer have; both modules are gone from 3.13)."""

LINKED_IN = frozenset(
    [
        "_asyncio",
        "_bisect",
        "_blake2",
        "_contextvars",
        "_csv",
        "_datetime",
        "_decimal",
        "_elementtree",
        "_heapq",
        "_json",
        "_lsprof",
        "_md5",
        "_multiprocessing",
        "_opcode",
        "_pickle",
        "_posixsubprocess",
        "_queue",
        "_random",
        "_sha1",
        "_sha2",
        "_sha256",
        "_sha3",
        "_sha512",
        "_socket",
        "_statistics",
        "_struct",
        "_typing",
        "_zoneinfo",
        "array",
        "cmath",
        "fcntl",
        "grp",
        "math",
        "mmap",
        "pyexpat",
        "resource",
        "select",
        "syslog",
        "termios",
        "unicodedata",
    ]
)
"""Those of EXTENSIONS that are part of the program itself: nothing has to be found and loaded for them, and they are
compiled like the rest of it, not position-independent. All of what needs no library of its own, but for the large
tables of codecs. The others are files in lib-dynload."""


def in_files(series: str) -> frozenset[str]:
    """Return the extension modules of a series that are files in lib-dynload."""
    return EXTENSIONS[series] - LINKED_IN


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


CARRIED: tuple[Carried, ...] = (
    Carried(
        name="expat",
        licence="MIT",
        version="__import__('pyexpat').EXPAT_VERSION.removeprefix('expat_')",
        cpe="libexpat_project:libexpat",
    ),
    Carried(name="mpdecimal", licence="BSD-2-Clause", version="__import__('_decimal').__libmpdec_version__"),
    Carried(name="libb2", licence="CC0-1.0", until=(3, 13)),
    Carried(name="hacl-star", licence="MIT", since=(3, 12)),
    Carried(name="mimalloc", licence="MIT", version="'2.1.2'", since=(3, 13)),
)
"""What is compiled into CPython from sources of its own tarball; Doc/license.rst has the terms of each."""


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


def _files(folder: Traversable, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every file below a folder of a package, in a fixed order."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{place}{entry.name}/")
        else:
            yield f"{place}{entry.name}", entry.read_text(encoding="utf-8")


# What Linux has and the headers of glibc 2.17 do not name yet: each of these includes the real one and adds constants
# of the kernel's interface, and functions that are one system call. They lie before the toolchain's own headers here
# and nowhere else. So CPython offers what they name, and whether it works is up to the kernel that it runs on.
# `bluetooth/` stands in for BlueZ's headers, which are under the GPL.
_NEWER_HEADERS: tuple[Step, ...] = tuple(
    Write(path=f"{{deps}}/include/{name}", text=text) for name, text in _files(files("relenv.recipes") / "linux")
)
# configure looks for functions in libraries only
_NEWER_FUNCTIONS = (
    ("ac_cv_search_login_tty", "none required"),
    *(
        (f"ac_cv_func_{name}", "yes")
        for name in (
            *("close_range", "copy_file_range", "forkpty", "memfd_create"),
            *("openpty", "preadv2", "pwritev2", "sem_clockwait"),
        )
    ),
)

# What is for our own build alone goes into the _NODIST variables: the others reach users' extensions.
_ENV = (
    ("CFLAGS", ""),
    ("OPT", "-O3 -Wall"),
    ("CFLAGS_NODIST", "-pipe -fno-semantic-interposition"),
    ("LDFLAGS", ""),
    # the names in the libraries that CPython carries are not for others to bind to
    (
        "LDFLAGS_NODIST",
        "-Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--disable-new-dtags -Wl,--exclude-libs,libmpdec.a:libexpat.a",
    ),
    *_NEWER_FUNCTIONS,
    # configure tries it on itself, and thinks it broken where that runs as nice as can be
    ("ac_cv_broken_nice", "no"),
)


FLAGS = {
    # by the profile, and packed into vectors, its rounds take 1.2 times as long
    "_blake2": "-fno-branch-probabilities -fno-tree-loop-vectorize -fno-tree-slp-vectorize",
}
"""Further flags for a module of LINKED_IN, where measured."""
# with copies of its loops' tails, which a profile brings along, libmpdec's arithmetic takes 1.4 times as long
_NO_TRACER = Replace(
    path="{src}/Makefile.pre.in",
    old="LIBMPDEC_CFLAGS=@LIBMPDEC_CFLAGS@ ",
    new="LIBMPDEC_CFLAGS=@LIBMPDEC_CFLAGS@ -fno-tracer ",
)

# The release's own list of modules says what each is made of; configure's marks are taken off.
_LINK_IN = "".join(
    (
        "{ echo '*static*'; ",
        "awk -v names=' ",
        " ".join(sorted(LINKED_IN)),
        """ ' 'sub(/^@MODULE_[A-Z0-9_]+_TRUE@/, "") && index(names, " " $1 " ") { """,
        *(f"""$0 = $0 ($1 == "{name}" ? " {flags}" : ""); """ for name, flags in sorted(FLAGS.items())),
        """print }' Modules/Setup.stdlib.in; """,
        "echo '*disabled*'; printf '%s\\n' ",
        " ".join(_DISABLED),
        "; } > Modules/Setup.local",
    )
)

# What a program's first argument says of its place may be wrong: `exec -a`, a login shell's `-python3`, another Python
# of that name in PATH. The kernel knows better (proc(5)). A link that leads to a tree of ours, and a virtual
# environment, are heeded as ever.
_WHERE = """\
if not py_setpath and not config.get('executable'):
    try:
        here = realpath('/proc/self/exe')
        if here != executable and isfile(joinpath(dirname(dirname(here)), 'relenv.json')):
            try:
                there = realpath(executable) if executable else ''
            except OSError:
                there = ''
            if there != here and not (
                there and isfile(joinpath(dirname(dirname(there)), 'relenv.json'))
            ) and not (executable and isfile(joinpath(dirname(dirname(executable)), VENV_LANDMARK))):
                executable = here
    except OSError:
        pass

"""
# A virtual environment with a copy of the interpreter in it still starts when the Python that it was made of is gone.
_LOST = """\
        if not any(isfile(joinpath(prefix, f)) for f in STDLIB_LANDMARKS):
"""
_VENV_OF = """\
            if venv_prefix:
                warn(f'{venv_prefix} is a virtual environment of the Python in {executable_dir}, which is not there.')
                warn('Make it anew: DIR/bin/python3 -m venv --clear, with DIR being where that Python is now.')
"""
# "Only works on macOS", says the manual of PYTHONEXECUTABLE, and the other is for Windows as well; but on Linux they
# are heeded, with -I too.
_EVERYWHERE = "if ENV_PYTHONEXECUTABLE or ENV___PYVENV_LAUNCHER__:\n"
_ONLY_ELSEWHERE = "if os_name != 'posix' and (ENV_PYTHONEXECUTABLE or ENV___PYVENV_LAUNCHER__):\n"
_UNKNOWN = "if not executable:\n    executable = ''\n"

_COMMON: tuple[Step, ...] = (
    Replace(path="{src}/Modules/getpath.py", old=_EVERYWHERE, new=_ONLY_ELSEWHERE),
    Replace(path="{src}/Modules/getpath.py", old=_UNKNOWN, new=_WHERE + _UNKNOWN),
    Replace(path="{src}/Modules/getpath.py", old=_LOST, new=_LOST + _VENV_OF),
    *_NEWER_HEADERS,
    Run(argv=("sh", "-ec", _LINK_IN)),
    _NO_TRACER,
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
    # and so does configure, for what curses can do
    Run(argv=("sed", "-i", "s| -I/usr/include/ncursesw||", "configure")),
    # gone from libedit; by sed, since later releases of 3.11 may not name it any more
    Run(argv=("sed", "-i", "s/(VFunction [*])/(rl_compdisp_func_t *)/", "Modules/readline.c")),
    # OpenSSL 3.2 and later say otherwise that there are no more certificates in DER; later releases ask as this does
    Run(
        argv=(
            "sed",
            "-i",
            "s/== ASN1_R_HEADER_TOO_LONG)) {/== ASN1_R_HEADER_TOO_LONG || BIO_eof(biobuf))) {/",
            "Modules/_ssl.c",
        )
    ),
)
_ENV_311 = (
    # configure adds it itself only where nobody has set OPT
    ("OPT", f"-fwrapv {dict(_ENV)['OPT']}"),
    ("CPPFLAGS", "-I{deps}/include"),
    ("LDFLAGS_NODIST", "-L{deps}/lib " + dict(_ENV)["LDFLAGS_NODIST"]),
)

_QUIRKS: dict[str, tuple[tuple[Step, ...], tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "3.11": (_PATCH_311, ("--with-system-ffi",), _ENV_311),
}
"""By series: further steps before configure, further options of it, further environment."""
_WITH_LTO = frozenset({"gcc"})
"""The kinds of toolchains that have link-time optimisation."""
# what runs only while CPython is built is not worth minutes of optimising
_PLAIN_HELPERS = Replace(
    path="{src}/Makefile.pre.in",
    old="$(LINKCC) $(PY_CORE_LDFLAGS) -o $@ Programs/_freeze_module.o",
    new="$(LINKCC) $(PY_LDFLAGS_NOLTO) -o $@ Programs/_freeze_module.o",
)
# what embeds Python is there to be tested, and takes as long to link as the program itself
_NO_EMBEDDING = Replace(path="{src}/Makefile.pre.in", old="gdbhooks Programs/_testembed", new="gdbhooks")
_LTO_ENV = (
    # --with-lto adds -g
    ("CFLAGS_NODIST", f"{dict(_ENV)['CFLAGS_NODIST']} -g0"),
)


USE_PROFILE = "-fprofile-use -fprofile-correction -fprofile-partial-training -Wno-missing-profile"
"""Partial training: what the training never reached is optimised as without a profile, not for size."""


def _configured(
    series: str, toolchain: str, *, tests: bool, training: bool = False
) -> tuple[tuple[Step, ...], tuple[tuple[str, str], ...]]:
    """Return the steps up to a configured tree, and the environment of those and of the ones that follow."""
    steps, options, env = _QUIRKS.get(series, ((), (), ()))
    environment = {**dict(_ENV), **dict(env)}
    if toolchain.partition("-")[0] not in _WITH_LTO:
        steps = (*steps, *one_unit(series))
    elif not training:  # what is counted is counted before anything is linked
        steps = (*steps, _PLAIN_HELPERS, *(() if tests else (_NO_EMBEDDING,)))
        options = (*options, "--with-lto")
        environment |= dict(_LTO_ENV)
    variables = tuple(environment.items())
    configure = tuple(word for word in _CONFIGURE if not (tests and word == "--disable-test-modules"))
    return (*_COMMON, *startup_steps(series), *steps, Run(argv=(*configure, *options), env=variables)), variables


def _compile(version: str, toolchain: str, environment: tuple[tuple[str, str], ...]) -> tuple[Step, ...]:
    profile = profile_for(version, toolchain)
    if profile is None:
        return (Run(argv=("make",), env=environment),)
    return (
        Unpack(package="relenv.recipes.profiles", filename=profile.filename, sha256=profile.sha256),
        # the training run is done: its result was unpacked
        Write(path="{src}/profile-run-stamp", text=""),
        Run(argv=("make", "profile-opt", f"PGO_PROF_USE_FLAG={USE_PROFILE}"), env=environment),
    )


def recipe_for(source: Source, toolchain: str = PINNED, *, tests: bool = False) -> Recipe:
    """Return how this release of CPython is built: with its frozen profile, if there is one.

    Args:
        source: the release.
        toolchain: the name of what it is compiled with.
        tests: also build the extension modules that are there for CPython's own tests.
    """
    series = series_of(source.version)
    configured, environment = _configured(series, toolchain, tests=tests)
    return Recipe(
        name="cpython",
        source=source,
        steps=(
            *configured,
            *_compile(source.version, toolchain, environment),
            Run(argv=("make", "-j1", "install", "DESTDIR={work}/dest"), env=environment),
            Copy(pattern=f"{{work}}/dest{PREFIX}/*", into="{out}"),
            Copy(pattern="{src}/Modules/expat/COPYING", into="{out}/licenses/expat"),
        ),
        needs=needs_of(series),
        # from lib/python3.13/lib-dynload
        shared_rpath="$ORIGIN/../..",
        licence="PSF-2.0",
        licence_files=("LICENSE", "Doc/license.rst"),
        cpe="python:python",
        cost=220,
    )


def flags_of(recipe: Recipe) -> dict[str, object]:
    """Return what decides how a CPython is compiled: the options of configure and the flags, paths as symbols."""
    runs = [step for step in recipe.steps if isinstance(step, Run)]
    environment = {name: text for run in runs for name, text in run.env if name.isupper() and text}
    options = {word.partition("=")[0]: word.partition("=")[2] for run in runs for word in run.argv if "=" in word}
    profile = {name: text for name, text in options.items() if name == "PGO_PROF_USE_FLAG"}
    configure = next(run.argv[1:] for run in runs if run.argv[0] == "./configure")
    return {"configure": configure, **environment, **profile}


def training_for(source: Source, workload: str, toolchain: str = PINNED) -> Recipe:
    """Return how a profile of this release is made; the artifact holds `profile.tar`.

    Args:
        source: the release.
        toolchain: the name of what it is compiled with.
        workload: the text of a program to run besides `-m test --pgo`.
    """
    series = series_of(source.version)
    configured, environment = _configured(series, toolchain, tests=True, training=True)
    return Recipe(
        name="cpython-profile",
        source=source,
        steps=(
            *configured,
            Run(argv=("make", "profile-gen-stamp"), env=environment),
            # a test that fails now and then, as those of timing do, has counted all the same: CPython's own rule
            Run(argv=("sh", "-c", "./python -m test --pgo || true"), env=environment),
            Write(path="{work}/workload.py", text=workload),
            Run(argv=("./python", "-I", "{work}/workload.py"), env=environment),
            # what setup.py of 3.11 compiles is below build/, under the build's own path: of no use elsewhere
            Run(
                argv=(
                    "sh",
                    "-ec",
                    "find . -path ./build -prune -o -name '*.gcda' -print | sort | tar -cf {out}/profile.tar -T -",
                )
            ),
        ),
        needs=needs_of(series),
        shared_rpath="$ORIGIN/../..",
        licence="PSF-2.0",
        licence_files=("LICENSE",),
        cost=480,
    )


CPYTHON: tuple[Recipe, ...] = tuple(recipe_for(source) for source in RELEASES)
"""A recipe for each release, newest first, for the pinned toolchain."""
