"""What of the standard library a bundle can come to import: found in sources and compiled modules, and followed."""

from __future__ import annotations

import bz2
import json
import subprocess
import sys
import sysconfig
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relenv.bundle import imported
from relenv.bundle.reach import ALSO, CHARSETS, START, UNFOLLOWED, WORDS, cut, missing, reached

if TYPE_CHECKING:
    from collections.abc import Mapping

KNOWN = (
    *("json", "json.tool", "logging", "logging.handlers", "sqlite3", "xml", "xml.sax", "encodings.shift_jis", "re"),
    "asyncio",
)


ALL = {*KNOWN, *sys.builtin_module_names, *(f".{word}" for word in imported.WORDS)}
TEXTS = b"It takes what it needs from what is there: " * 6 + b"__main____name____qualname__sqlite3numbers"
"""Of a module that Cython compiled, without what separates them."""


def lzss(text: bytes) -> bytes:
    """Compress as Cython does, yet with plain bytes alone."""
    parts = (text[at : at + 8] for at in range(0, len(text), 8))
    return b"".join(bytes([(1 << len(part)) - 1]) + part for part in parts)


def module(*imports: str, aside: tuple[str, ...] = (), words: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"path": "", "imports": list(imports), "aside": list(aside), "words": list(words)}


def uses(tmp_path: Path, content: str | bytes, name: str = "app.py") -> set[str]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return imported.uses([str(path)], KNOWN)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import json.tool as t, re\n", {"json.tool", "re"}),
        ("def f():\n    if x:\n        from logging import handlers\n", {"logging.handlers", "logging"}),
        ("try: import sqlite3\nexcept ImportError: pass\n", {"sqlite3"}),
        ("importlib.import_module('xml.sax')\n", {"xml.sax", "-xml.sax"}),
        ("CONFIG = {'class': 'logging.handlers.SysLogHandler'}\n", {"logging.handlers"}),
        ("run([sys.executable, '-m', 'json.tool'])\n", {"json.tool", "-json.tool"}),
        ("import json.tool\njson.tool.main()\n", {"json.tool", "-json.tool"}),
        ("from json.tool import main\n", {"json.tool", "-json.tool"}),
        ("data.decode('Shift-JIS')\n", {"encodings.shift_jis"}),
        ("open(x).read().strptime(y)\n", {".strptime"}),
        ("from time import strptime as parse\n", {"time", ".strptime"}),
        ("from unittest import IsolatedAsyncioTestCase\n", {".IsolatedAsyncioTestCase"}),
        ("from unittest import *\n", {".unittest.*"}),
        ("POOL = 'concurrent.futures.ProcessPoolExecutor'\n", {".ProcessPoolExecutor"}),
        ("NAME = 'Manager'\n", set()),
        ("ctypes.CDLL('libz.so.1')\n", {"/libz.so.1"}),
        ("if TYPE_CHECKING:\n    import sqlite3\nelse:\n    import re\n", {"re"}),
        ("from . import json\nfrom .sqlite3 import x\n", set()),
        ("# import sqlite3\n'''it takes json and re'''\n", set()),
        (
            "run([sys.executable, '-c', 'import re, json.tool as t; from xml import sax'])\n",
            {"re", "json.tool", "xml", "xml.sax"},
        ),
        ("CODE = '''\nif x:\n    import sqlite3  # it does\n'''\n", {"sqlite3"}),
        ("CODE = '''\nimport sqlite3\nsqlite3.strptime(x)\n'''\n", {"sqlite3", ".strptime"}),
        ("HELP = 'to import sqlite3 means a lot, as strptime does'\n", set()),
        ("def f():\n    '''\n    import sqlite3\n    '''\n", set()),
        ("print 'old'\nimport sqlite3\n", {"sqlite3", "-sqlite3"}),
    ],
)
def test_what_sources_name(tmp_path: Path, text: str, names: set[str]) -> None:
    assert uses(tmp_path, text) == names


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"\x7fELF\0PyInit_app\0json\0sqlite3\0", {"json", "sqlite3"}),
        (b"\x7fELF\0json\0sqlite3\0", set()),
        (b"\x7fELF\0PyInit_app\0json\0tool\0", {"json", "json.tool"}),
        (b"\x7fELF\0PyInit_app\0mysqlite3\0", set()),
        (b"\x7fELF\0PyInit_app\0__pyx_mysqlite3andmore", {"sqlite3"}),
        (b"\x7fELF\0PyInit_app\0json\0make_archive\0", {"json", ".make_archive"}),
        (b"\x7fELF\0PyInit_app\0__pyx_\0_is_coroutine\0asyncio.coroutines\0", set()),
        (b"\x7fELF\0PyInit_app\0__pyx_\0_is_coroutineasyncioasyncio.coroutines\0", {"asyncio"}),
        (b"\x7fELF\0PyInit_app\0__pyx_\0asyncio.coroutines\0", {"asyncio"}),
        (b"\x7fELF\0PyInit_app\0__pyx_ decompress", ALL),
        (b"\x7fELF\0PyInit_app\0__pyx_ decompress" + zlib.compress(TEXTS), {"sqlite3"}),
        (b"\x7fELF\0PyInit_app\0__pyx_ decompress" + bz2.compress(TEXTS), {"sqlite3"}),
        (b"\x7fELF\0PyInit_app\0__pyx_ decompression".ljust(64, b"\0") + lzss(TEXTS), {"sqlite3"}),
        (b"\x7fELF\0PyInit_app\0__pyx_ decompress" + zlib.compress(b"sqlite3"), ALL),
    ],
)
def test_what_compiled_modules_name(tmp_path: Path, data: bytes, names: set[str]) -> None:
    assert uses(tmp_path, data, "app.cpython-313-x86_64-linux-gnu.so") - {"re", "_re"} == names - {"re", "_re"}


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"\xffabcdefgh\x00\x05\x00", b"abcdefghabc"),
        (b"\xffabcdefgh\x01-\x02\x04", b"abcdefgh-abcdefg"),
        (b"".join([b"\xff12345678"] * 20) + b"\x00\x80\x01", b"12345678" * 20 + b"5678"),
        (b"".join([b"\xff12345678"] * 90) + b"\x00\x80\x84\x03", b"12345678" * 90 + b"345678"),
        (b"\x00\x01\x00", b""),
    ],
)
def test_references_to_what_came_before(stream: bytes, text: bytes) -> None:
    assert imported._lzss(stream, 0, 1000) == text


def test_a_source_speaks_for_what_was_compiled_of_it(tmp_path: Path) -> None:
    assert uses(tmp_path, b"\x7fELF\0PyInit_app\0json\0", "app.so") == {"json"}
    (tmp_path / "app.py").write_text("import sqlite3\n")
    assert imported.uses([str(tmp_path / "app.py"), str(tmp_path / "app.so")], KNOWN) == {"sqlite3"}


@pytest.mark.parametrize(
    ("first", "names"),
    [
        ("#!python\n", {"sqlite3"}),
        ("#!/usr/bin/env python3\n", {"sqlite3"}),
        ("#!/bin/sh\n'''exec' python3 \"$0\" \"$@\"\n' '''\n", {"sqlite3"}),
        ("#!/bin/sh\n", set()),
        ("", set()),
    ],
)
def test_programs_need_no_suffix(tmp_path: Path, first: str, names: set[str]) -> None:
    assert uses(tmp_path, f"{first}import sqlite3\n", "tool") == names
    with zipfile.ZipFile(tmp_path / "app.whl", "w") as archive:
        archive.writestr("app-1.data/scripts/tool-3.13", f"{first}import sqlite3\n")
        archive.writestr("app/tool-3.13", "#!python\nimport json\n")
    assert imported.uses([str(tmp_path / "app.whl")], KNOWN) == names


def test_words_of_languages_are_no_modules(tmp_path: Path) -> None:
    (tmp_path / "pygments/lexers").mkdir(parents=True)
    assert uses(tmp_path, "import re\nWORDS = ('sqlite3',)\n", "pygments/lexers/sql.py") == {"re"}


def test_a_wheel_is_looked_into(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "app.whl", "w") as archive:
        archive.writestr("app/a.py", "import sqlite3\n")
        archive.writestr("app/data.txt", "import json\n")
    assert imported.uses([str(tmp_path / "app.whl")], KNOWN) == {"sqlite3"}


def test_files_are_shared_among_processes(tmp_path: Path) -> None:
    names = ("json", "sqlite3", "xml", "re")
    for number in range(400):
        (tmp_path / f"{number:03}.py").write_text(f"import {names[number % 4]}\n")
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    assert [imported.uses(paths, KNOWN, at, 4) for at in range(4)] == [{name} for name in names]
    assert imported.uses(paths, KNOWN) == {*names}


def test_modules_of_a_library(tmp_path: Path) -> None:
    texts = {
        "a.py": "import b\ndef f():\n    from p import one\ndef _test():\n    import doctest\n",
        "p/__init__.py": "from .one import x\nif __name__ == '__main__':\n    import c\n",
        "p/one.py": "from .. import a\nfrom . import two\n",
        "lib-dynload/_x.cpython-313.so": "",
        "site-packages/other.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = imported.library(tmp_path)
    assert {name: facts["path"] for name, facts in found.items()} == {
        "a": "a.py",
        "p": "p/__init__.py",
        "p.one": "p/one.py",
        "_x": "lib-dynload/_x.cpython-313.so",
    }
    assert found["a"]["imports"] == ["b", "p", "p.one"]
    assert found["a"]["aside"] == ["doctest"]
    assert found["p"]["aside"] == ["c"]
    assert {"p.one", "p.one.x"} <= set(found["p"]["imports"])
    assert {"p", "p.two"} <= set(found["p.one"]["imports"])


def test_what_is_reached_is_followed() -> None:
    modules = {
        "a": module("p.b"),
        "p": module("c"),
        "p.b": module(),
        "c": module("a", aside=("doctest",)),
        "doctest": module(),
        "lonely": module("a"),
    }
    assert reached(modules, ()) == frozenset()
    assert reached(modules, {"a"}) == {"a", "p", "p.b", "c"}
    modules["p.__main__"] = module("lonely")
    assert reached(modules, {"p", "-p"}) >= {"p.__main__", "lonely"}
    assert reached(modules, {"c", "-c"}) == {"a", "p", "p.b", "c", "doctest"}  # it may be run as a program


def test_tables_are_followed() -> None:
    modules = {
        **{
            name: module() for name in ("_pydatetime", "_strptime", "_sysconfigdata__linux", "doctest", "site", "pydoc")
        },
        "datetime": module("_datetime", "_pydatetime"),
        "sysconfig": module(),
        "user": module(words=("strptime",)),
    }
    modules["importlib._bootstrap_external"] = module("importlib.readers", words=("get_resource_reader",))
    modules["importlib.readers"] = modules["resources"] = module()
    modules["reader"] = module("importlib._bootstrap_external", words=("get_resource_reader",))
    both = {"importlib._bootstrap_external", "importlib.readers"}
    assert reached(modules, {"importlib._bootstrap_external"}) == {"site", "importlib._bootstrap_external"}
    assert reached(modules, {"reader"}) == {"site", "reader", *both}
    modules["site"]["imports"] = ["pydoc.help"]
    assert reached(modules, {"datetime"}) == {"site", "datetime", "_strptime"}
    assert reached(modules, {"sysconfig"}) == {"site", "sysconfig", "_sysconfigdata__linux"}
    assert reached(modules, {"user"}) == {"site", "user", "_strptime"}
    assert "_pydatetime" in reached(modules, {"_pydatetime"})


LIBRARY = Path(sysconfig.get_path("stdlib"))
NATIVE = sorted(
    {path.name.partition(".")[0] for path in LIBRARY.glob("lib-dynload/*.so")} | {*sys.builtin_module_names}
)
START_UP = """\
import site, runpy, sys
sys.argv = ["x"]
runpy.run_module("started")
try:
    1 / 0
except ZeroDivisionError:
    sys.excepthook(*sys.exc_info())
b"\\xff".decode("latin-1"), str(10 ** 20000) if not hasattr(sys, "set_int_max_str_digits") else ""
print(*sys.modules)
"""
ONE = "import sys; old = set(sys.modules); __import__(sys.argv[1]); print(*set(sys.modules) - old)"


@pytest.fixture(scope="module")
def modules() -> Mapping[str, Any]:
    # of the Python that runs this: what it imports is what the tables have to know
    return imported.library(LIBRARY)


def test_what_a_start_takes_is_reached(modules: Mapping[str, Any], tmp_path: Path) -> None:
    (tmp_path / "started.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + START_UP
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "frozen_modules=off", "-c", code], capture_output=True, text=True, check=True
    )
    names = set(done.stdout.split()) & modules.keys()
    assert len(names) > 20
    assert names <= reached(modules, ())


@pytest.mark.parametrize("name", [name for name in NATIVE if name in ALSO])
def test_what_modules_in_c_import_is_known(modules: Mapping[str, Any], name: str) -> None:
    done = subprocess.run([sys.executable, "-I", "-c", ONE, name], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        assert set(done.stdout.split()) & modules.keys() <= reached(modules, {name})


ALONE = """\
import importlib, json, os, sys
known, stays = (set(one) for one in json.load(sys.stdin))
for name in [name for name in sys.modules if name in known]:
    del sys.modules[name]  # what was imported on the way may not be there

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name in known and name not in stays:
            raise ModuleNotFoundError(f"{name} is cut", name=name)

def broken():
    for name in sorted(one for one in stays if not one.endswith("__main__")):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name in known:
                yield f"{name}: {error}"
        except ImportError:
            pass

sys.meta_path.insert(0, Gone())
sys.stderr.write("\\n".join(broken()))
sys.stderr.flush()
os._exit(0)
"""


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "argparse",
            "asyncio",
            "concurrent.futures",
            "code",
            "cmd",
            "csv",
            "ctypes",
            "dataclasses",
            "datetime",
            "decimal",
            "email",
        ),
        *("hashlib", "http.server", "importlib.metadata", "importlib.resources", "inspect", "json", "logging.config"),
        *("multiprocessing", "pathlib", "pdb", "pickle", "pkgutil", "platform", "random", "runpy", "shutil", "sqlite3"),
        *("ssl", "statistics", "subprocess", "sysconfig", "tempfile", "unittest", "unittest.mock", "urllib.request"),
        *("uuid", "venv", "xml.etree.ElementTree", "xml.sax", "xmlrpc.client", "zipfile", "zoneinfo"),
    ],
)
def test_what_stays_can_be_imported_without_the_rest(modules: Mapping[str, Any], name: str) -> None:
    stays = reached(modules, {name})
    given = json.dumps([sorted(modules), sorted(stays)])
    argv = [sys.executable, "-I", "-W", "ignore", "-c", ALONE]
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["email", "http.client", "urllib.request", "xml.etree.ElementTree", "xml.sax"])
def test_what_reads_texts_of_others_has_their_encodings(modules: Mapping[str, Any], name: str) -> None:
    assert {*CHARSETS} <= reached(modules, {name})
    assert "encodings.cp1250" not in reached(modules, ())


def test_the_tables_name_modules(modules: Mapping[str, Any]) -> None:
    names = {one for names in (*ALSO.values(), *WORDS.values(), START) for one in names if "*" not in one}
    newer = {"concurrent.interpreters", "compression.zstd", "dbm.sqlite3", "zoneinfo._zoneinfo", "dbm.gnu", "_pylong"}
    assert {one for one in names if one not in modules and one not in sys.builtin_module_names} <= newer
    assert {name[1:] for name in WORDS} == imported.WORDS
    assert {one[1:] for names in UNFOLLOWED.values() for one in names if one.startswith(".")} <= imported.WORDS


FILES = (
    *("bin/python3", "bin/pydoc3.13", "lib/libz.so.1", "lib/libssl.so.3", "lib/python3.13/os.pyc"),
    *("lib/python3.13/json/__init__.pyc", "lib/python3.13/json/tool.pyc", "lib/python3.13/site-packages/app.pyc"),
    *("lib/python3.13/pydoc_data/__init__.pyc", "lib/python3.13/pydoc_data/style.css", "etc/ssl/cert.pem"),
    *("licenses/openssl-3.5.7/LICENSE", "licenses/cacert-2026/LICENSE", "licenses/zlib-1.3.1/LICENSE"),
)


def test_what_nothing_reaches_is_cut(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = {
        "os": "os.py",
        "json": "json/__init__.py",
        "json.tool": "json/tool.py",
        "pydoc_data": "pydoc_data/__init__.py",
    }
    modules = {name: {**module(), "path": path} for name, path in paths.items()}
    assert not missing(tmp_path) & {"openssl", "zlib", "cacert"}
    cut(tmp_path, "3.13", modules, {"json", "/libz.so.1"})
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        *("bin/python3", "lib/libz.so.1", "lib/python3.13/os.pyc", "lib/python3.13/json/__init__.pyc"),
        *("lib/python3.13/site-packages/app.pyc", "licenses/zlib-1.3.1/LICENSE"),
    }
    assert not [path for path in tmp_path.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert missing(tmp_path) >= {"openssl", "cacert"}
    assert "zlib" not in missing(tmp_path)


def test_it_runs_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import json\n")
    for name, value in (("known.json", ["json"]), ("listed.json", [str(tmp_path / "app.py")])):
        (tmp_path / name).write_text(json.dumps(value))
    argv = [sys.executable, "-I", imported.__file__, "uses", tmp_path / "known.json", tmp_path / "listed.json"]
    assert json.loads(subprocess.run(argv, capture_output=True, check=True).stdout) == ["json"]
