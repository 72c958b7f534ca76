"""What an interrupt does, in a program that is like relenv's."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relenv.cli import main

ROOT = Path(__file__).parents[2]

BEGIN = """\
import signal, sys, time
from relenv import interrupts, process
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored
process.GRACE = 0.5
interrupts.listen(again=process.kill)
def pid(name):
    return ["sh", "-c", f"trap '' TERM; echo $$ > {name}; sleep 99; sleep 99"]
"""
ALONE = """\
process.run(pid("a"))
"""
POOL = """\
with process.pool(2) as pool:
    list(pool.map(process.run, [pid("a"), pid("b")]))
"""


def begin(code: str, place: Path, *names: str) -> subprocess.Popen[str]:
    """Start a program, and wait until what it runs has written these files."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", BEGIN + code]
    begun = subprocess.Popen(argv, cwd=place, env=environ, stderr=subprocess.PIPE, text=True)
    for name in names:
        while not (place / name).is_file() or not (place / name).read_text().strip():
            time.sleep(0.01)
    return begun


def gone(place: Path, *names: str) -> bool:
    return not any((Path("/proc") / (place / name).read_text().strip()).exists() for name in names)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("pauses", [(), (0.0,), (0.0, 1.1)], ids=["once", "twice", "once more later"])
@pytest.mark.parametrize(("code", "names"), [(ALONE, ("a",)), (POOL, ("a", "b"))], ids=["one", "pool"])
def test_an_interrupt_leaves_no_process(
    code: str, names: tuple[str, ...], pauses: tuple[float, ...], number: signal.Signals, tmp_path: Path
) -> None:
    begun = begin(code, tmp_path, *names)
    begun.send_signal(number)
    for pause in pauses:
        time.sleep(pause)
        begun.send_signal(number)
    _, errors = begun.communicate(timeout=30)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert gone(tmp_path, *names)


def test_an_interrupt_while_a_process_starts_waits_until_it_is_known(tmp_path: Path) -> None:
    code = """\
import os, subprocess
start = subprocess.Popen
def slow(*args, **options):
    child = start(*args, **options)
    while not os.path.exists("a"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    return child
subprocess.Popen = slow
process.run(pid("a"))
"""
    begun = begin(code, tmp_path, "a")
    _, errors = begun.communicate(timeout=30)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert gone(tmp_path, "a")


WRAPPED = """\
import os
from relenv import cli
def broken(words):
    try:
        {signal}
    except KeyboardInterrupt as error:
        {error}
cli._parsed = broken
sys.exit(cli.main([]))
"""
OURS = 'from relenv.errors import CheckError; raise CheckError("it does not fit")'


@pytest.mark.parametrize(
    ("sent", "error", "code", "said"),
    [
        ("os.kill(os.getpid(), 2)", 'raise RuntimeError("__set_name__") from error', 130, "error: interrupted\n"),
        ("os.kill(os.getpid(), 15)", "[][0]", 130, "error: interrupted\n"),
        ("os.kill(os.getpid(), 2)", OURS, 130, "error: interrupted\n"),
        # nobody has sent a signal
        ("raise KeyboardInterrupt", 'raise RuntimeError("x") from error', 70, r"error: internal error: .*\nhint: .*\n"),
    ],
)
def test_an_interrupt_in_the_place_of_which_something_else_is_raised(
    sent: str, error: str, code: int, said: str, tmp_path: Path
) -> None:
    begun = begin(WRAPPED.format(signal=sent, error=error), tmp_path)
    _, errors = begun.communicate(timeout=30)
    assert re.fullmatch(said, errors), errors
    assert begun.returncode == code


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        main(["versions", "-q"], {"RELENV_DATA": str(tmp_path)})
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
