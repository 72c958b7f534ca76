"""Terminals on a machine without any terminfo: curses, readline and the REPL, each at a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from typing import TYPE_CHECKING

import pytest
from conftest import elsewhere

if TYPE_CHECKING:
    from pathlib import Path

TERMINALS = ("xterm", "xterm-256color", "screen", "tmux", "linux", "vt100")
TERMINFO = ("/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo")
CURSES = """\
import curses
window = curses.initscr()
curses.noecho()
curses.cbreak()
window.keypad(True)
window.addstr(2, 4, "painted here")
window.refresh()
key = window.getkey()
curses.endwin()
print("pressed", key)
"""
UP = {"linux": b"\x1b[A", "xterm": b"\x1bOA", "vt100": b"\x1bOA"}
"""What the key sends after a program has switched the keypad on."""
PATIENCE = 60
"""Seconds after which a silent program is taken for stuck."""


class Terminal:
    """A program at a pseudo-terminal."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        self._fd, self.seen = ours, b""
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)

    def expect(self, pattern: bytes) -> None:
        """Read on until the pattern has appeared in what was not yet consumed."""
        while not (match := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self._fd], [], [], PATIENCE)
            assert ready, f"waited for {pattern!r}, saw {self.seen!r}"
            try:
                self.seen += os.read(self._fd, 4096)
            except OSError:
                pytest.fail(f"it ended; wanted {pattern!r}, saw {self.seen!r}")
        self.seen = self.seen[match.end() :]

    def send(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def end(self) -> int:
        """Let it say what it has left to say, and return its exit code."""
        while True:
            try:
                if not os.read(self._fd, 4096):
                    break
            except OSError:
                break
        os.close(self._fd)
        return self.process.wait()


def at_terminal(interpreter: Path, *arguments: str, term: str, home: Path, **env: str) -> Terminal:
    start = elsewhere(dict.fromkeys(TERMINFO))
    environment = {"TERM": term, "HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env}
    return Terminal([*start, str(interpreter / "bin/python3"), *arguments], environment)


@pytest.mark.parametrize("term", TERMINALS)
def test_curses_paints_and_reads_keys(term: str, interpreter: Path, tmp_path: Path) -> None:
    terminal = at_terminal(interpreter, "-Ic", CURSES, term=term, home=tmp_path)
    terminal.expect(b"painted here")
    terminal.send(UP.get(term, b"x"))
    terminal.expect(b"pressed KEY_UP" if term in UP else b"pressed x")
    assert terminal.end() == 0


def test_a_terminal_that_nobody_knows_is_an_error_of_curses(interpreter: Path, tmp_path: Path) -> None:
    terminal = at_terminal(interpreter, "-Ic", "import curses; curses.setupterm()", term="no-such-thing", home=tmp_path)
    terminal.expect(b"could not find terminal")
    assert terminal.end() == 1


@pytest.mark.parametrize("term", TERMINALS)
@pytest.mark.parametrize("basic", ["1", ""], ids=["readline", "pyrepl"])
def test_the_prompt_recalls_what_was_typed(basic: str, term: str, interpreter: Path, tmp_path: Path) -> None:
    """With PYTHON_BASIC_REPL it is readline that edits the line, else the REPL of 3.13 and later itself."""
    terminal = at_terminal(interpreter, "-q", term=term, home=tmp_path, PYTHON_BASIC_REPL=basic)
    terminal.expect(b">>> ")
    terminal.send(b"6 * 7\r")
    terminal.expect(b"42")
    terminal.expect(b">>> ")
    terminal.send(b"\x10")  # ctrl-P: the line before, in every binding
    terminal.expect(b"7")
    terminal.send(b"\r")
    terminal.expect(b"42")
    terminal.expect(b">>> ")
    terminal.send(b"\x04")
    assert terminal.end() == 0


HISTORY = """\
import readline, sys
for number in range(1, 9):
    readline.add_history(f"line {number} " + "x" * int(sys.argv[2]))
readline.set_history_length(3)
readline.write_history_file(sys.argv[1])
readline.clear_history()
readline.read_history_file(sys.argv[1])
print(*(readline.get_history_item(at)[:6] for at in (1, 2, 3)), sep=",")
"""


@pytest.mark.parametrize("width", [0, 700, 5000])
def test_a_history_cut_to_its_length_can_be_read_again(interpreter: Path, tmp_path: Path, width: int) -> None:
    """libedit reads and cuts 4096 bytes at a time, and its files begin with a line that tells what they are."""
    command = [interpreter / "bin/python3", "-Ic", HISTORY, tmp_path / "history", str(width)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert found == "line 6,line 7,line 8\n"
