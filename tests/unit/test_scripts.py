"""relenv.pip_shim.scripts: what is recognised, what takes its place, and that it runs."""

from __future__ import annotations

import ast
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from relenv.pip_shim import scripts

OLD = "/old/env/bin/python3.13"
SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"], ["mksh"], ["zsh"]]


def ours(path: str) -> bool:
    return path.startswith("/old")


def lay(folder: Path, name: str, data: bytes) -> Path:
    """Put a script beside an interpreter, as in an environment's bin/."""
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "python3"
    if not python.exists():
        python.symlink_to(Path(sys.executable).resolve())
    script = folder / name
    script.parent.mkdir(exist_ok=True)
    script.write_bytes(data)
    script.chmod(0o755)
    return script


def run(*words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def change(body: str | bytes, shebang: str = f"#!{OLD}\n") -> bytes:
    script = scripts.rewrite(shebang.encode() + (body.encode() if isinstance(body, str) else body), ours)
    assert script is not None
    return script


QUOTES = "'''"


# --- recognising

SHEBANGS = {
    "pip": f"#!{OLD}\n",
    "blank after the mark": f"#! {OLD}\n",
    "carriage return": f"#!{OLD}\r\n",
    "option": f"#!{OLD} -E\n",
    "pip's data scripts, path with blanks": "#!/old env/with python 3/bin/python3.13\n",
    "the same with an option": "#!/old env/bin/python3.13 -I\n",
    "setuptools, path with blanks": '#!"/old env/bin/python3"\n',
    "setuptools, option": '#!"/old env/bin/python3" -sE\n',
    "distlib, long path": f"#!/bin/sh\n'''exec' {OLD} \"$0\" \"$@\"\n' '''\n",
    "distlib, path with blanks": "#!/bin/sh\n'''exec' \"/old env/bin/python\" \"$0\" \"$@\"\n' '''\n",
    "distlib, option": f"#!/bin/sh\n'''exec' {OLD} -E \"$0\" \"$@\"\n' '''\n",
    "distlib, newline": "#!/bin/sh\n'''exec' \"/old\nenv/bin/python\" \"$0\" \"$@\"\n' '''\n",
    "installer": "#!/bin/sh\n'''exec' '/old env/bin/python' \"$0\" \"$@\"\n' '''\n",
    "installer, quote in the path": "#!/bin/sh\n'''exec' '/old'\"'\"'s/bin/python' \"$0\" \"$@\"\n' '''\n",
    "uv, relocatable": (
        "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n"
    ),
    "older relenv": '#!/bin/sh\n\'\'\'exec\' "$(dirname "$(readlink -f "$0")")/python3" "$0" "$@"\n\' \'\'\'\n',
    "an earlier trampoline": "#!/bin/sh\n''':'\nrelenv_here=${0%/*}\nexec \"$relenv_here/python3\" \"$0\"\n'''\n",
    "wheel": "#!python\n",
    "wheel, gui": "#!pythonw\n",
    "free-threaded": "#!/old/bin/python3.13t\n",
}


@pytest.mark.parametrize("shebang", SHEBANGS.values(), ids=SHEBANGS)
def test_what_installers_write_is_replaced(shebang: str) -> None:
    assert change("print(1)\n", shebang) == scripts.header() + b"; __doc__ = None\nprint(1)\n"


@pytest.mark.parametrize(
    "data",
    [
        b"#!/usr/bin/env python3\nprint(1)\n",
        b"#!/usr/bin/env -S /old/bin/python3\nprint(1)\n",
        b"#!/usr/bin/python3\nprint(1)\n",
        b"#!bin/python3\nprint(1)\n",
        b"#!/old/bin/python2.7\nprint(1)\n",
        b"#!/old/bin/python3-config\nprint(1)\n",
        b"#!/old/bin/pypy3\nprint(1)\n",
        b"#!/bin/sh\necho /old/bin/python3\n",
        b"#!/bin/sh\n'''exec' /usr/bin/python3 \"$0\" \"$@\"\n' '''\nprint(1)\n",
        b"#!/bin/sh\n'''exec' /old/bin/python3 \"$0\"\n' '''\nprint(1)\n",
        b"#!/bin/sh\n'''exec' \"/old/bin/python3 \"$0\" \"$@\"\n' '''\nprint(1)\n",
        b"#!/bin/sh\n'''exec'  \"$0\" \"$@\"\n' '''\nprint(1)\n",
        b"#!/bin/sh\n'''exec' /old/bin/python3",
        b"#!/bin/sh\n'''exec' /old/bin/python3 \"$0\" \"$@\"",
        b"#!/bin/sh\n''':'\nexec python3 \"$0\"\n'''\nprint(1)\n",
        b"#!/usr/bin/perl\nprint 1;\n",
        b"#!/usr/bin/perl\n# caf\xe9\n",
        b"#!\n",
        b"#!",
        b"",
        b"\x7fELF\x02\x01#!/old/bin/python3\n",
        b"\xef\xbb\xbf#!/old/bin/python3\n",
        b"# /old/bin/python3\nprint(1)\n",
    ],
)
def test_everything_else_is_left_alone(data: bytes) -> None:
    assert scripts.rewrite(data, ours) is None


def test_is_ours_is_asked_for_the_path_alone() -> None:
    asked: list[str] = []
    scripts.rewrite(b"#!/a b/python3 c/bin/python3.13 -u\n", lambda path: bool(asked.append(path)))
    assert asked == ["/a b/python3", "/a b/python3 c/bin/python3.13"]


def test_a_path_that_sh_reads_otherwise_is_read_as_it_is() -> None:
    asked: list[str] = []
    for path in ('/a "b/python3', '/a "b" c/python3', "/a $b/python3"):
        body = f'#!/bin/sh\n{QUOTES}exec\' "{path}" "$0" "$@"\n\' {QUOTES}\nprint(1)\n'
        scripts.rewrite(body.encode(), lambda path: bool(asked.append(path)))
        assert path in asked
    assert scripts.rewrite(body.encode(), "/a $b/python3".__eq__) == scripts.trampoline(b"print(1)\n")


def test_a_path_with_a_newline_is_found_if_it_is_that_of_the_running_python() -> None:
    running = "/a\nb/bin/python3"
    data = f"#!{running}\nprint(1)\n".encode()
    assert scripts.rewrite(data, running.__eq__) is None
    assert scripts.rewrite(data, running.__eq__, running=running) == scripts.trampoline(b"print(1)\n")


def test_a_link_of_another_name_is_an_interpreter(tmp_path: Path) -> None:
    link = tmp_path / "py"
    link.symlink_to("bin/python3")
    data = f"#!{link}\nprint(1)\n".encode()
    assert scripts.rewrite(data, str(link).__eq__) == scripts.trampoline(b"print(1)\n")
    link.unlink()
    assert scripts.rewrite(data, str(link).__eq__) is None


def test_path_that_is_not_utf8_reaches_is_ours_as_the_system_has_it() -> None:
    asked: list[str] = []
    scripts.rewrite(b"#!/caf\xe9/bin/python3\n", lambda path: bool(asked.append(path)))
    assert [os.fsencode(path) for path in asked] == [b"/caf\xe9/bin/python3"]


@pytest.mark.parametrize(
    ("options", "flags"),
    [("-u", "u"), ("-Eu", "u"), ("-sEPI", ""), ("-OO", "OO"), ("-X utf8", ""), ("-Wignore", ""), ("-", "")],
)
def test_flags_that_isolation_does_not_imply_are_kept(options: str, flags: str) -> None:
    script = change("print(1)\n", f"#!{OLD} {options}\n")
    assert script.startswith(scripts.header(flags=flags))
    assert scripts.rewrite(script, ours) is None


@pytest.mark.parametrize("interpreter", ["", "/abs/python3", "my python", 'a"b', "$x", "a'''b", "a\nb", "é"])
def test_interpreter_that_would_need_quoting_is_refused(interpreter: str) -> None:
    with pytest.raises(ValueError, match="plain relative path"):
        scripts.header(interpreter)


def test_flags_that_are_no_letters_are_refused() -> None:
    with pytest.raises(ValueError, match="flags"):
        scripts.header(flags="u; x")


# --- what the script itself sees

BODIES = {
    "plain": "print(1)\n",
    "empty": "",
    "comment": "# nothing else",
    "docstring": '"""The doc.\n\n  indented é\n"""\nx = 1\n',
    "docstring below comments": "# Copyright\n\n'doc'\nx = 1\n",
    "docstring in parentheses": '("the " "doc")\n',
    "docstring with escapes": '"""a\\n\\t\\x41 \\\'\'\'\' {b}"""\n',
    "raw docstring": 'r"""\\d"""\nx = 1\n',
    "docstring and more on the line": '"doc"; x = 1\n',
    "no docstring but a string": 'x = 1\n"""no doc"""\n',
    "bytes are no docstring": 'b"no doc"\n',
    "f-string is no docstring": 'f"no doc"\n',
    "future": "from __future__ import annotations\n",
    "futures": "from __future__ import annotations\nfrom __future__ import division as d; x = 1\n",
    "future in parentheses": "from __future__ import (\n    annotations,\n)  # why\nx = 1\n",
    "future and docstring": '"""The doc.\n\nmore é\n"""\n\nfrom __future__ import annotations\nx = 1\n',
    "future on the line of a docstring": '"é" ; from __future__ import annotations; x = 1\n',
    "future below a comment": '"doc" # comment\n# é\nfrom __future__ import annotations # c\n',
    "quotes in the docstring of a future": "'''it's \\'\\'\\' \"\"\" \\\\ ''' \nfrom __future__ import annotations\n",
    "carriage returns": '"""The doc.\r\nmore"""\r\nfrom __future__ import annotations\r\nx = 1\r\n',
    "old carriage returns": '"""The doc.\rmore"""\rfrom __future__ import annotations\rx = 1\r',
    "form feed": '"""The doc.\x0c\nmore\u2028é"""\nfrom __future__ import annotations\nx = 1\n',
    "sets its doc": "__doc__ = 'mine'\n",
    "sets its doc after a future": "from __future__ import annotations\n__doc__ = 'mine'\n",
    "utf-8 cookie": "# -*- coding: utf-8 -*-\n'é'\nimport re\n",
    "backslashes": "\\\n'doc'\nfrom __future__ import \\\n  annotations\n",
    "warns": '"doc"\nx = "\\d"\nx is 1\n',
}


def namespace(source: bytes) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(source, "x", "exec", dont_inherit=True), names)  # noqa: S102 - to see what a script sees
    del names["__builtins__"]
    doc = names.get("__doc__")
    if sys.version_info >= (3, 13) and isinstance(doc, str):
        doc = inspect.cleandoc(doc)  # what it does itself to docstrings, but not to assigned ones
    return {name: str(value) for name, value in names.items()} | {"__doc__": doc}


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_script_has_the_same_namespace_as_before(body: str) -> None:
    before = namespace(f"#!{OLD}\n{body}".encode())
    assert namespace(change(body)) == before


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_body_keeps_its_lines(body: str) -> None:
    lines = [len(re.findall(rb"\r\n|\r|\n", text)) for text in (change(body), scripts.header(), body.encode())]
    assert lines[0] == lines[1] + 1 + lines[2]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_rewriting_again_changes_nothing(body: str) -> None:
    assert scripts.rewrite(change(body), ours) is None


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_other_version_of_the_trampoline_is_replaced_and_back(body: str) -> None:
    script = change(body)
    other = scripts.rewrite(script, ours, interpreter="../bin/python3")
    assert other is not None
    assert b"/../bin/python3" in other
    assert namespace(other) == namespace(script)
    assert scripts.rewrite(other, ours) == script


def test_warnings_about_a_script_are_not_shown(recwarn: pytest.WarningsRecorder) -> None:
    change(BODIES["warns"])
    assert not list(recwarn)


LATIN = "# -*- coding: latin-1 -*-\n'''doc é'''\nfrom __future__ import annotations\nx = 'é'\n".encode("latin-1")


def test_cookie_of_another_encoding_stays_where_python_looks_for_it() -> None:
    script = change(LATIN)
    assert script.splitlines()[1] == b"# -*- coding: latin-1 -*-"
    assert namespace(script)["x"] == "é"
    assert namespace(script)["__doc__"] == "doc é"
    assert scripts.rewrite(script, ours) is None
    again = scripts.rewrite(script, ours, interpreter="python3.13")
    assert again is not None
    assert namespace(again) == namespace(script)


def test_cookie_below_line_two_does_not_count() -> None:
    script = change("# c\n# coding: latin-1\nx = 'é'\n")
    assert script.startswith(scripts.header())
    assert namespace(script)["x"] == "é"


def test_docstring_may_have_what_the_encoding_has_not() -> None:
    script = change(b"# coding: latin-1\n'\\u20ac'\nfrom __future__ import annotations\n")
    assert namespace(script)["__doc__"] == "€"


@pytest.mark.parametrize(
    "body",
    [
        b"print '2'\n",
        b"x = '\xe9'\n",
        b"# coding: nonsense\nx = 1\n",
        b"# coding: hex\nx = 1\n",
        b"# coding: ascii\nx = '\xe9'\n",
        b"x = 1\x00\n",
        b"from __future__ import nonsense\n",
        b"(" * 100_000,
        b"-" * 100_000 + b"1",
    ],
)
def test_what_python_would_refuse_is_reported(body: bytes) -> None:
    with pytest.raises(scripts.ScriptError, match="not valid Python"):
        change(body)


def test_trampoline_is_plain_ascii_and_parses_alone() -> None:
    text = scripts.header("../bin/python3").decode("ascii")
    assert "\\" not in text
    assert ast.get_docstring(ast.parse(text)) is not None


# --- running it

SHOW = "import sys\nprint(sys.executable, sys.flags.isolated, sys.argv)\n"


def expect(script: Path, called: str | Path, *arguments: str, python: str = "python3") -> str:
    return f"{script.parent / python} 1 {[str(called), *arguments]}\n"


def env_bin(tmp_path: Path, name: str = "env") -> Path:
    return tmp_path / name / "bin"


@pytest.mark.parametrize("name", ["env", "with blank", "quo'te\"s", "new\nline", "tail\n", "$(x) `y` \\", "é", "-n"])
def test_runs_the_interpreter_beside_it_wherever_it_is(tmp_path: Path, name: str) -> None:
    script = lay(env_bin(tmp_path), "show", change(SHOW))
    (tmp_path / "env").rename(tmp_path / name)
    moved = env_bin(tmp_path, name) / script.name
    assert run(moved, "a b", "", "-c") == expect(moved, moved, "a b", "", "-c")
    (tmp_path / "link").symlink_to(moved)
    assert run(tmp_path / "link", "x") == expect(moved, tmp_path / "link", "x")
    (tmp_path / "folder").symlink_to(moved.parent)
    through = tmp_path / "folder" / "show"
    assert run(through) == expect(through, through)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_every_shell_understands_it(tmp_path: Path, shell: list[str]) -> None:
    if not shutil.which(shell[0]):
        pytest.skip(f"no {shell[0]} here")
    script = lay(env_bin(tmp_path, "a b"), "sh ow", change(SHOW))
    (tmp_path / "l k").symlink_to("a b/bin/sh ow")
    assert run(*shell, script, "x y") == expect(script, script, "x y")
    assert run(*shell, tmp_path / "l k") == expect(script, tmp_path / "l k")
    assert run(*shell, "sh ow", cwd=script.parent) == expect(script, "sh ow")
    assert run(*shell, "bin/sh ow", cwd=script.parent.parent) == expect(script, "bin/sh ow")
    (script.parent / "beside").symlink_to(script.name)
    assert run(*shell, "beside", cwd=script.parent) == expect(script, "beside")


def test_found_on_path_or_in_an_empty_entry_of_it(tmp_path: Path) -> None:
    script = lay(env_bin(tmp_path), "show", change(SHOW))
    path = {"PATH": f"{script.parent}:{os.environ['PATH']}"}
    assert run("sh", "-c", "show", env=path) == expect(script, script)
    assert run("sh", "-c", "show", env={"PATH": ":/usr/bin:/bin"}, cwd=script.parent).startswith(str(script.parent))


def test_runs_as_a_module_of_any_python_too(tmp_path: Path) -> None:
    script = lay(env_bin(tmp_path), "show", change(SHOW))
    assert run(sys.executable, script) == f"{sys.executable} 0 {[str(script)]}\n"


def test_scripts_environment_is_the_callers(tmp_path: Path) -> None:
    body = "import os, json\nprint(json.dumps(sorted(set(os.environ) - {'_', 'PWD', 'OLDPWD', 'SHLVL', 'LC_CTYPE'})))\n"
    script = lay(env_bin(tmp_path), "names", change(body))
    (tmp_path / "link").symlink_to(script)
    assert run(tmp_path / "link", env={"PATH": os.environ["PATH"], "A": "b"}) == '["A", "PATH"]\n'


def test_isolation_holds_against_a_hostile_environment(tmp_path: Path) -> None:
    script = lay(env_bin(tmp_path), "show", change("import json\nprint(json.__file__)\n"))
    (tmp_path / "json.py").write_text("raise SystemExit('hostile')\n")
    hostile = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "x", "PYTHONUSERBASE": str(tmp_path)}
    assert "hostile" not in run(script, cwd=tmp_path, env=hostile)


def test_link_that_cannot_be_read_is_an_error_not_another_python(tmp_path: Path) -> None:
    script = lay(env_bin(tmp_path), "show", change(SHOW))
    (tmp_path / "link").symlink_to(script)
    evil = tmp_path / "python3"
    evil.write_text("#!/bin/sh\necho evil\n")
    evil.chmod(0o755)
    done = subprocess.run(
        [tmp_path / "link"], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert "evil" not in done.stdout


def test_script_in_a_folder_finds_its_interpreter(tmp_path: Path) -> None:
    lay(env_bin(tmp_path), "any", b"")
    data = scripts.rewrite(f"#!{OLD}\n{SHOW}".encode(), ours, interpreter="../bin/python3")
    assert data is not None
    script = lay(env_bin(tmp_path), "../libexec/show", data)
    assert run(script).startswith(f"{env_bin(tmp_path)}/python3 1 ")


def test_docstring_future_and_encoding_arrive_when_run(tmp_path: Path) -> None:
    body = LATIN + b"import sys\nprint(ascii(__doc__), ascii(x), annotations.compiler_flag != 0)\n"
    script = lay(env_bin(tmp_path), "show", change(body))
    assert run(script) == "'doc \\xe9' '\\xe9' True\n"


def test_traceback_names_the_right_line(tmp_path: Path) -> None:
    data = change('"""The\ndoc."""\nfrom __future__ import annotations\n1 / 0\n')
    script = lay(env_bin(tmp_path), "fails", data)
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    number = data.splitlines().index(b"1 / 0") + 1
    assert f'"{script}", line {number}' in done.stderr


def test_zip_application_runs(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("__main__.py", SHOW)
    script = lay(env_bin(tmp_path), "app", change(archive.getvalue()))
    assert run(script, "x") == expect(script, script, "x")
    assert scripts.rewrite(script.read_bytes(), ours) is None


def test_spawned_processes_can_import_the_script(tmp_path: Path) -> None:
    body = (
        '"""doc"""\nfrom __future__ import annotations\nimport multiprocessing as m\n'
        "def double(x): return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with m.get_context('spawn').Pool(1) as pool: print(pool.map(double, [1, 2]))\n"
    )
    assert run(lay(env_bin(tmp_path), "spawns", change(body))) == "[2, 4]\n"
