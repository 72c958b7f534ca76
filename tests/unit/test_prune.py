"""What a bundle can do without: what goes with which level, and what keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relenv.bundle.keys import PRUNE
from relenv.bundle.prune import CUTS, MAX, SAFE, goes, is_cold, kept, of_interpreter, prune, with_what_they_import

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = "lib/python3.13"
SITE = f"{LIBRARY}/site-packages"
GOES = {
    "include/python3.13/Python.h": SAFE,
    "bin/python3.13-config": SAFE,
    f"{LIBRARY}/config-3.13-x86_64-linux-gnu/Makefile": SAFE,
    f"{SITE}/pip/__init__.py": SAFE,
    f"{SITE}/pip-26.2.dist-info/METADATA": SAFE,
    "bin/pip3": SAFE,
    "licenses/pip-26.2/LICENSE.txt": SAFE,
    f"{LIBRARY}/ensurepip/__init__.py": SAFE,
    f"{SITE}/setuptools/cli-32.exe": SAFE,
    f"{LIBRARY}/__pycache__/pdb.cpython-313.pyc": SAFE,
    f"{LIBRARY}/unittest/__pycache__/mock.cpython-313.pyc": SAFE,
    f"{LIBRARY}/encodings/__pycache__/cp037.cpython-313.pyc": SAFE,
    f"{SITE}/pygments/lexers/__pycache__/lisp.cpython-313.pyc": SAFE,
    f"{SITE}/setuptools/__pycache__/__init__.cpython-313.pyc": SAFE,
    f"{SITE}/setuptools/__init__.py": MAX,
    f"{SITE}/numpy/_core/tests/test_it.py": MAX,
    f"{SITE}/numpy/_core/tests/data/values.csv": MAX,
    f"{SITE}/numpy/_core/tests/examples/cython/setup.py": MAX,
    f"{SITE}/numpy/conftest.py": MAX,
    f"{SITE}/app/py.typed": MAX,
    f"{SITE}/app/core.pyx": MAX,
    f"{SITE}/numpy/f2py/rules.py": MAX,
    "bin/f2py": MAX,
    "bin/wheel": MAX,
    "share/man/man1/app.1": MAX,
}
COMPILING = {"headers", "numpy's build tools"}
STAYS = (
    "bin/python3",
    "bin/pipx",
    "licenses/cpython-3.13.15/LICENSE",
    "lib/libz.so.1",
    f"{LIBRARY}/ssl.py",
    f"{LIBRARY}/hashlib.py",
    f"{LIBRARY}/lib-dynload/_lzma.cpython-313-x86_64-linux-gnu.so",
    f"{LIBRARY}/pdb.py",
    f"{LIBRARY}/json/__pycache__/decoder.cpython-313.pyc",
    f"{LIBRARY}/encodings/__pycache__/utf_8.cpython-313.pyc",
    f"{LIBRARY}/encodings/__pycache__/cp1252.cpython-313.pyc",
    f"{LIBRARY}/encodings/__pycache__/iso8859_15.cpython-313.pyc",
    f"{SITE}/pipeline/__init__.py",
    f"{SITE}/pygments/lexers/__pycache__/__init__.cpython-313.pyc",
    f"{SITE}/unittest/__pycache__/own.cpython-313.pyc",
    f"{SITE}/app/testing.py",
    f"{SITE}/app/include/data.txt",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (*GOES, *STAYS):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("level", PRUNE)
def test_each_level_takes_its_own_and_those_before(tree: Path, level: str) -> None:
    prune(tree, level, frozenset())
    left = {name for name, of in GOES.items() if PRUNE.index(of) > PRUNE.index(level)}
    assert files(tree) == left | set(STAYS)


def test_nothing_empty_is_left(tree: Path) -> None:
    prune(tree, MAX, frozenset())
    assert not [path for path in tree.rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_only_where_it_is_told_to(tree: Path) -> None:
    prune(tree, SAFE, frozenset(), [tree / SITE / "pip", tree / SITE / "app"])
    assert not (tree / SITE / "pip").exists()
    assert (tree / "include").exists()


def test_what_is_kept_stays(tree: Path) -> None:
    prune(tree, SAFE, frozenset({"pip"}))
    assert (tree / "bin/pip3").exists()
    assert not (tree / LIBRARY / "ensurepip").exists()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import pip\n", {"pip", "pip, depended on"}),
        ("if x:\n    from pip._internal import main\n", {"pip", "pip, depended on"}),
        ("Name: app\nRequires-Dist: pip>=20\n", {"pip"}),
        ("Requires-Dist: pipeline\n# import pip is needed\nimport pipeline", set()),
        ("import venv\n", {"ensurepip", "import venv"}),
        ("run([sys.executable, '-m', 'venv', where])\n", {"ensurepip"}),
        ("from unittest import mock\n", {"import unittest"}),
        ("def f():\n    import os, mailbox as m\n", {"import mailbox"}),
        ("from pygments.lexers.lisp import X\n", {"import pygments.lexers.lisp"}),
        ("import setuptools\n", {"setuptools"}),
        ("import os as o, pip\n", {"pip", "pip, depended on"}),
        ("import pipes_of_mine, os\n", set()),
        ("\tfrom pip import x\n", {"pip", "pip, depended on"}),
        ("run([sys.executable, '-m', 'pip', 'install', plugin])\n", {"pip"}),
        ("run([sys.executable, '-Im', 'pip', 'install', plugin])\n", {"pip"}),
        ("run(f'{sys.executable} -m pip install x', shell=True)\n", {"pip"}),
        ("run([sys.executable, *shlex.split('-m pip install x')])\n", {"pip"}),
        ("run(sys.executable + ' -Im venv ' + where, shell=True)\n", {"ensurepip"}),
        ("import importlib\nimportlib.import_module('pip').main()\n", {"pip"}),
        ("runpy.run_module(\n    'pip', run_name='__main__')\n", {"pip"}),
        ("raise ImportError('not here: python -m pip install lxml')\n", set()),
        ("print('Install it with `pip install x` or python3 -m pip install x')\n", set()),
        ("LAUNCHER = 'x'\n\n#include <Python.h>\n", COMPILING),
        ("from distutils.sysconfig import get_python_inc\n", {*COMPILING, "import distutils", "setuptools"}),
        ('x = sysconfig.get_paths(scheme=scheme)["include"]\n', COMPILING),
        ('x = sysconfig.get_path("purelib")\n', set()),
        ("lib = ffi.verify('int f(void);')\n", COMPILING),
        ("import pyximport; pyximport.install()\n", COMPILING),
        ("from numpy.f2py import compile\n", COMPILING),
        ("key.verify(signature)\n", set()),
    ],
)
def test_sources_speak_for_what_they_use(text: str, names: set[str]) -> None:
    assert kept([("app/a.py", text.encode())]) == names


@pytest.mark.parametrize(
    "path", ["numpy/f2py/rules.py", "numpy/__init__.py", "cffi/verifier.py", "setuptools/x.py", "a/tests/test_x.py"]
)
def test_what_compiles_for_others_does_not_speak_for_headers(path: str) -> None:
    assert kept([(f"{SITE}/{path}", b"#include <Python.h>")]) == frozenset()


def test_bytecode_stays_of_what_is_imported(tree: Path) -> None:
    prune(tree, SAFE, frozenset({"import pdb", "import pygments.lexers.lisp"}))
    assert (tree / LIBRARY / "__pycache__/pdb.cpython-313.pyc").exists()
    assert (tree / SITE / "pygments/lexers/__pycache__/lisp.cpython-313.pyc").exists()
    assert not (tree / LIBRARY / "unittest/__pycache__").exists()


def test_members_of_a_family_speak_once_one_is_named() -> None:
    family = [
        (f"{SITE}/pygments/lexers/lisp.py", b"from pygments.lexers.scheme import x"),
        (f"{SITE}/pygments/lexers/other.py", b"import pygments.lexers.third"),
    ]
    assert kept(family) == frozenset()
    assert kept([*family, ("app.py", b"import pygments.lexers.lisp")]) >= {"import pygments.lexers.scheme"}
    assert "import pygments.lexers.third" not in kept([*family, ("app.py", b"import pygments.lexers.lisp")])


def test_what_goes_does_not_speak() -> None:
    """setuptools imports venv: that keeps it only if something keeps setuptools."""
    inside = (f"{SITE}/setuptools/test.py", b"import venv\nimport setuptools\n")
    assert kept([inside]) == frozenset()
    assert kept([inside, (f"{SITE}/app.py", b"import setuptools")]) == {"setuptools", "ensurepip"}


def test_each_row_has_a_name_of_its_own() -> None:
    assert len({cut.name for cut in CUTS}) == len(CUTS)
    assert {cut.level for cut in CUTS} == {SAFE, MAX}


def test_what_goes_is_told_before_it_does() -> None:
    assert goes(f"{SITE}/numpy/_core/tests/test_it.py", MAX, frozenset())
    assert not goes(f"{SITE}/numpy/_core/tests/test_it.py", SAFE, frozenset())
    assert not goes(f"{SITE}/setuptools/__init__.py", MAX, frozenset({"setuptools"}))
    assert not goes(f"{LIBRARY}/pdb.py", MAX, frozenset())


def test_what_is_called_test_need_not_be_one() -> None:
    for name in ("test_it.py", "deep/test_it.pyc", "it_test.py", "conftest.py"):
        assert goes(f"{SITE}/app/tests/{name}", MAX, frozenset())
    for name in ("tests/__init__.py", "test/core.py", "tests/data.json", "test_it.py"):
        assert not goes(f"{SITE}/app/{name}", MAX, frozenset())


def test_data_of_tests_stay_if_something_else_reads_them(tree: Path) -> None:
    reads, tests = b"path = HERE / 'tests' / 'data' / 'x.csv'", f"{SITE}/app/tests/test_it.py"
    assert kept([(tests, reads), (f"{SITE}/app/tests/util.py", reads)], MAX) == frozenset()
    assert kept([(tests, reads), (f"{SITE}/app/a.py", reads)], MAX) == {"file app/data"}
    for package in ("app", "other"):
        (tree / SITE / package / "tests/data").mkdir(parents=True)
        (tree / SITE / package / "tests/data/x.csv").touch()
    prune(tree, MAX, frozenset({"file app/data"}))
    assert (tree / SITE / "app/tests/data/x.csv").exists()
    assert not (tree / SITE / "other").exists()
    assert "file app/worker.py" not in kept([(tests, b"run('worker.py')")], MAX)
    assert "file app/worker.py" in kept([(f"{SITE}/app/a.py", b"run('worker.py')")], MAX)


def test_launchers_for_windows_go_and_no_other_programs() -> None:
    for name in ("pip/_vendor/distlib/t64-arm.exe", "distlib/w32.exe", "setuptools/cli-64.exe", "setuptools/gui.exe"):
        assert goes(f"{SITE}/{name}", SAFE, frozenset())
    assert not goes(f"{SITE}/app/agents/agent.exe", MAX, frozenset())


def test_sources_of_a_package_without_anything_compiled_are_data(tmp_path: Path) -> None:
    for name in ("pure/template.c", "pure/a.pyi", "fast/core.c", "fast/core.so"):
        (tmp_path / SITE / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / SITE / name).touch()
    prune(tmp_path, MAX, frozenset(), sorted((tmp_path / SITE).iterdir()))
    left = {path.relative_to(tmp_path / SITE).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"pure/template.c", "fast/core.so"}


def test_a_file_that_its_package_names_stays() -> None:
    sources = [("app/__init__.py", b"open(here / 'template.c'); run('_child.py', 'setup.py')"), ("other/a.py", b"pass")]
    assert kept(sources) == frozenset()
    keep = kept(sources, MAX)
    assert keep == {"file app/template.c", "file app/_child.py"}
    assert not goes(f"{SITE}/app/deep/template.c", MAX, keep)
    assert goes(f"{SITE}/app/other.c", MAX, keep)
    assert goes(f"{SITE}/other/template.c", MAX, keep)
    assert not goes(f"{SITE}/mypy/typeshed/stdlib/builtins.pyi", MAX, frozenset())


def test_a_stub_stays_that_is_read_at_run_time() -> None:
    keep = kept([("app/__init__.py", b"__getattr__, *_ = lazy.attach_stub(__name__, __file__)")], MAX)
    assert not goes(f"{SITE}/app/data/__init__.pyi", MAX, keep)
    assert goes(f"{SITE}/app/other.pyi", MAX, keep)
    assert goes(f"{SITE}/other/__init__.pyi", MAX, keep)


def test_stubs_stay_with_a_type_checker() -> None:
    assert kept([("mypy-1.dist-info/METADATA", b"Metadata-Version: 2.4\nName: mypy\nVersion: 1\n")]) == {"stubs"}
    assert kept([("a-1.dist-info/METADATA", b"Name: mypy-extensions\nRequires-Dist: mypy; extra == 'x'\n")]) == set()


def test_frozen_modules_can_be_turned_off_where_something_does() -> None:
    keep = kept([("app/a.py", b"run([python, '-Xfrozen_modules=off'])")], MAX)
    assert keep == of_interpreter(keep, MAX) == {"frozen modules"}
    assert of_interpreter(keep, SAFE) == set()  # the sources are there


def test_what_has_no_bytecode_is_told_before_it_goes() -> None:
    mailbox, lisp = f"{LIBRARY}/mailbox.py", f"{SITE}/pygments/lexers/lisp.py"
    assert is_cold(mailbox, SAFE)
    assert is_cold(lisp, SAFE)
    assert is_cold(f"{LIBRARY}/xmlrpc/client.py", SAFE, frozenset({"import mailbox"}))
    assert not is_cold(mailbox, SAFE, frozenset({"import mailbox"}))
    assert not is_cold(lisp, SAFE, frozenset({"import pygments.lexers.lisp"}))
    assert not is_cold(f"{LIBRARY}/json/decoder.py", SAFE)


def test_what_is_imported_along_has_bytecode_as_well(tmp_path: Path) -> None:
    (tmp_path / "pdb.py").write_text(
        "import os, bdb\nfrom code import interact\nfrom lib2to3.main import x\n\ndef help():\n    import pydoc\n"
    )
    (tmp_path / "code.py").write_text("import codeop\n")
    (tmp_path / "unittest").mkdir()
    (tmp_path / "unittest/__init__.py").write_text("from trace import Trace\n")
    (tmp_path / "unittest/mock.py").write_text("import doctest\n")

    def kept_with(*names: str) -> set[str]:
        keep = frozenset(f"import {name}" for name in names)
        return {one.removeprefix("import ") for one in with_what_they_import(keep, tmp_path)}

    assert kept_with("pdb", "no_module_of_ours") == {"pdb", "bdb", "code", "codeop", "no_module_of_ours"}
    assert kept_with("unittest") == {"unittest", "trace"}
    assert kept_with() == set()


def test_what_packages_need_of_one_another_is_none_of_the_interpreters_business() -> None:
    kept_back = {"pip", "import mailbox", "import pip._vendor.pygments.lexers.python"}
    keep = frozenset({*kept_back, "import pygments.lexers.lisp", "setuptools"})
    assert of_interpreter(keep, SAFE) == kept_back
    assert of_interpreter(keep, MAX) == frozenset()  # pip goes, and what is rarely read has bytecode
    assert of_interpreter(keep | {"pip, depended on"}, MAX) == {"pip", "pip, depended on"}
