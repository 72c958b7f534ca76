"""Trying the scripts of a bundle: why one cannot start, and what to do about it."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest
from running import ends

from relenv import process
from relenv.bundle import trial
from relenv.bundle.trial import smoke, try_scripts
from relenv.bundle.unstarted import Failure, Ground, failure_of, hint, reason
from relenv.errors import CheckError
from relenv.interpreter import Interpreter
from relenv.ui import QuietUi, Work

if TYPE_CHECKING:
    from pathlib import Path

SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Lay out a bundle with a script `tool`, whose interpreter is that of the tests."""
    root, project = tmp_path / "a place" / "tool", tmp_path / "project"
    site = root / "lib" / f"python{SERIES}" / "site-packages"
    for folder in (site / "tool", root / "bin", project):
        folder.mkdir(parents=True)
    base = sys._base_executable  # type: ignore[attr-defined]
    (root / "bin/python3").symlink_to(base)
    (root / "pyvenv.cfg").write_text(f"home = {base.rpartition('/')[0]}\n")
    (root / "bin/tool").touch()
    (site / "tool/__init__.py").touch()
    return Ground(
        root=root, project=project, interpreter=Interpreter(root=root, version=f"{SERIES}.0", triplet="", key="")
    )


def refused(ground: Ground, source: str, value: str = "tool.start:main") -> tuple[str, str]:
    """Try a script whose module has this source; return why it was refused, without its beginning, and the hint."""
    (ground.root / "lib" / f"python{SERIES}" / "site-packages/tool/start.py").write_text(source)
    with pytest.raises(CheckError) as caught:
        try_scripts([EntryPoint("tool", value, "console_scripts")], ground)
    beginning = f"the script tool ({value}) cannot start in the bundle: "
    assert caught.value.message.startswith(beginning)
    return caught.value.message.removeprefix(beginning), caught.value.hint


def test_one_that_starts(ground: Ground) -> None:
    (ground.root / "lib" / f"python{SERIES}" / "site-packages/tool/start.py").write_text("def main(): pass\n")
    assert {path.name for path in try_scripts([EntryPoint("tool", "tool.start:main", "")], ground)} >= {"start.py"}


def test_one_that_ends_well_when_it_is_imported_starts(ground: Ground) -> None:
    (ground.root / "lib" / f"python{SERIES}" / "site-packages/tool/start.py").write_text("import sys; sys.exit()\n")
    assert try_scripts([EntryPoint("tool", "tool.start:main", "")], ground) == set()


ENV = "no variables of yours"
HERE = " (tool/start.py, line 1)"


@pytest.mark.parametrize(
    ("source", "said", "advice"),
    [
        ('raise RuntimeError("no DB_URL\\nset it")', f"RuntimeError: no DB_URL set it{HERE}", ENV),
        ("import os; os.environ['DB_URL']", f"KeyError: 'DB_URL'{HERE}", ENV),
        ("def main(:", f"SyntaxError: invalid syntax{HERE}", f"Python {SERIES}.0: is that"),
        ("import sys; sys.exit('no')", f"SystemExit: no{HERE}", "ends the program as soon as it is imported"),
        ("raise KeyboardInterrupt", f"KeyboardInterrupt{HERE}", ENV),
        ("import rlnv_nothing.x", f"ModuleNotFoundError: No module named 'rlnv_nothing'{HERE}", "project.dependencies"),
        ("from tool import nothing", "cannot import name 'nothing' from 'tool' (lib/python", "--debug"),
        ("import tool.nothing", f"No module named 'tool.nothing'{HERE}", "not in its wheel"),
        ("import helper", f"No module named 'helper'{HERE}", "not in its wheel"),
        ("import other.nothing", f"'other' is not a package{HERE}", "`other` is there: has another version"),
        ("", "AttributeError: module 'tool.start' has no attribute 'main'", "to call tool.start:main: is that spelled"),
        ("import os; os._exit(3)", "exit 3", "what it printed"),
        ("import os; print('so', flush=True); os.kill(os.getpid(), 9)", "killed by SIGKILL: so", "what it printed"),
        # what it prints as well, and replaces, does not hide the reason
        ("import sys; print('x\\n' * 99); sys.stdout = None; 1 / 0", f"ZeroDivisionError: division by zero{HERE}", ENV),
        # nor do threads that go on
        ("import threading as t, time; t.Thread(target=time.sleep, args=(99,)).start(); 1 / 0", "ZeroDivision", ENV),
        (
            "class Bad(Exception):\n    def __str__(self): 1 / 0\nraise Bad",
            "tool.start.Bad (tool/start.py, line 3)",
            ENV,
        ),
    ],
)
def test_why_one_cannot_start_is_told(ground: Ground, source: str, said: str, advice: str) -> None:
    (ground.project / "src").mkdir()
    (ground.project / "src/helper.py").touch()
    (ground.root / "lib" / f"python{SERIES}" / "site-packages/other.py").touch()
    why, tip = refused(ground, source)
    assert said in why
    assert advice in tip
    assert ("project.dependencies" in tip) == ("rlnv_nothing" in source)
    assert str(ground.root) not in why


def test_a_module_of_the_script_that_the_wheel_lacks(ground: Ground) -> None:
    why, tip = refused(ground, "", "tol:main")
    assert why == "ModuleNotFoundError: No module named 'tol'"
    assert tip.startswith("`tol` is the project's own, but not in its wheel")


def test_what_is_said_at_length_is_shortened(ground: Ground) -> None:
    why, _ = refused(ground, "raise ValueError('x' * 9999)")
    assert why == f"ValueError: {'x' * 300} ... (tool/start.py, line 1)"


@pytest.mark.parametrize(
    ("there", "advice"),
    [(False, "the Python that relenv builds has no `tkinter`"), (True, '`prune = "max"` left it out')],
)
def test_what_of_the_standard_library_is_left_out_is_named(
    ground: Ground, *, there: bool, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ground, "lacks", lambda _self, _failure: not there)
    failure = Failure(kind="ModuleNotFoundError", text="", missing="tkinter", standard=True, frames=())
    assert hint(failure, EntryPoint("tool", "tool:main", ""), ground).startswith(advice)


def test_a_python_is_asked_what_it_lacks(ground: Ground) -> None:
    about = {"kind": "ModuleNotFoundError", "text": "", "standard": True, "frames": ()}
    assert not ground.lacks(Failure(missing="xml.dom.minidom", **about))
    assert ground.lacks(Failure(missing="xml.nothing", **about))
    assert ground.lacks(Failure(missing="nothing.at.all", **about))


def test_a_place_in_bytecode_without_a_source(ground: Ground) -> None:
    frames = (("lib/python3.13/site-packages/tool/a.py", 7), ("lib/python3.13/os.py", 9))
    failure = Failure(kind="KeyError", text="'X'", missing="", standard=False, frames=frames)
    assert reason(failure, ground.root) == "KeyError: 'X' (tool/a.py, line 7)"


def test_what_a_script_prints_of_its_own_is_no_failure() -> None:
    assert failure_of("") is None
    assert failure_of("it failed\n") is None


class Heard(QuietUi):
    """Keeps what is said to be under way."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[str] = []

    def work(self, text: str, *, total: float | None = None, unit: str = "") -> Work:
        self.begun.append(text)
        return super().work(text, total=total, unit=unit)


@pytest.mark.parametrize("source", ["import time\ntime.sleep(99)", "import signal\nwhile 1: signal.pause()"])
def test_one_that_does_not_end_is_ended(ground: Ground, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LIMIT", 1.0)
    why, tip = refused(ground, source)
    assert why == "importing tool.start is not done after 1 s (tool/start.py, line 2)"
    assert "belongs into the function" in tip


def test_what_one_has_started_is_ended_too(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it does not care for SIGTERM, and holds the output open."""
    monkeypatch.setattr(process, "GRACE", 0.2)
    number = tmp_path / "number"
    shell = f"trap '' TERM; echo $$ > {number}; while :; do sleep 1; done"
    (ground.root / "lib" / f"python{SERIES}" / "site-packages/tool/start.py").write_text(
        f"import os, subprocess, time\nsubprocess.Popen(['sh', '-c', {shell!r}])\n"
        f"while not os.path.exists({str(number)!r}) or not os.path.getsize({str(number)!r}): time.sleep(0.01)\n"
        "def main(): pass\n"
    )
    try_scripts([EntryPoint("tool", "tool.start:main", "")], ground)
    assert ends(number.read_text())


def test_one_that_takes_long_is_named(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "NOTICE", 0.1)
    site = ground.root / "lib" / f"python{SERIES}" / "site-packages"
    (site / "tool/start.py").write_text("import time; time.sleep(0.5)\ndef main(): pass\n")
    ui = Heard()
    try_scripts([EntryPoint("tool", "tool.start:main", "")], ground, ui)
    assert ui.begun == ["Still importing tool (tool.start)"]


def test_one_that_fails_does_not_wait_for_another(ground: Ground, tmp_path: Path) -> None:
    site = ground.root / "lib" / f"python{SERIES}" / "site-packages"
    (site / "tool/start.py").write_text("import time; time.sleep(0.5); 1 / 0")
    (site / "tool/long.py").write_text(f"import time; time.sleep(20); open({str(tmp_path / 'done')!r}, 'x')")
    (ground.root / "bin/long").touch()
    entries = [EntryPoint(name, value, "") for name, value in (("tool", "tool.start"), ("long", "tool.long"))]
    with pytest.raises(CheckError, match="the script tool "):
        try_scripts(entries, ground)
    assert not (tmp_path / "done").exists()
    assert process.run(["echo", "on"]) == "on\n"


def test_a_smoke_command_that_does_not_end_is_ended(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "SMOKE_LIMIT", 1.0)
    monkeypatch.setattr(process, "GRACE", 0.2)
    command = "echo served; sleep 99"
    with pytest.raises(CheckError) as caught:
        smoke(["true", command], ground.root, tmp_path / "copy")
    assert caught.value.message == f"smoke: `{command}` is not done after 1 s in the bundle"
    assert "timeout 5 COMMAND" in caught.value.hint
    assert caught.value.detail == "served"


def test_what_a_smoke_command_leaves_in_the_background_is_ended(ground: Ground, tmp_path: Path) -> None:
    smoke([f"sleep 99 & echo $! > '{tmp_path}/number'"], ground.root, tmp_path / "copy")
    assert ends((tmp_path / "number").read_text())


def test_what_the_hint_says_works(ground: Ground, tmp_path: Path) -> None:
    smoke(["timeout 0.1 sleep 99 || [ $? = 124 ]"], ground.root, tmp_path / "copy")


def test_a_smoke_command_has_nothing_to_read(ground: Ground, tmp_path: Path) -> None:
    smoke(['[ -z "$(cat)" ] && ! [ -t 0 ] && ! ( : < /dev/tty ) 2> /dev/null'], ground.root, tmp_path / "copy")


def test_a_smoke_command_that_takes_long_is_named(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "NOTICE", 0.1)
    ui = Heard()
    smoke(["true", f"sleep 0.5;\n: {'x' * 99}"], ground.root, tmp_path / "copy", ui)
    assert ui.begun == [f"Still running `sleep 0.5; : {'x' * 47} ...`"]


def test_a_smoke_command_that_is_interrupted_is_named(ground: Ground, tmp_path: Path) -> None:
    begun = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored
    begun.start()
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            smoke(["sleep 99"], ground.root, tmp_path / "copy")
    finally:
        signal.signal(signal.SIGINT, before)
    assert re.fullmatch(r"smoke: `sleep 99` was not done after \d+\.\d s", str(caught.value))


def test_without_scripts_the_interpreter_is_tried(ground: Ground) -> None:
    assert try_scripts([], ground) == set()
    (ground.root / "bin/python3").unlink()
    (ground.root / "bin/python3").write_text("#!/bin/sh\necho no encodings >&2\nexit 1\n")
    (ground.root / "bin/python3").chmod(0o755)
    with pytest.raises(CheckError, match="python3 cannot start in the bundle: no encodings"):
        try_scripts([], ground)
