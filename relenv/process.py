"""The one runner: a list of arguments, no shell, output into a log, the whole group ended on ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import IO, TYPE_CHECKING

from relenv import interrupts
from relenv.errors import BuildError, HostError, RelenvError, disk_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

TAIL_LINES = 25
GRACE = 3.0
"""Seconds between asking a process group to end and ending it."""


class CommandError(Exception):
    """A command exited with something else than 0. Callers turn it into a RelenvError of their own.

    Args:
        argv: what was run.
        status: its exit status; negative for a signal.
        tail: the last lines of what it printed.
    """

    def __init__(self, argv: Sequence[str], status: int, tail: str) -> None:
        how = f"killed by {_called(-status)}" if status < 0 else f"exit {status}"
        super().__init__(f"{argv[0]} failed ({how})\n{tail}")
        self.argv, self.status, self.tail, self.how = list(argv), status, tail, how

    @property
    def disk_full(self) -> bool:
        """Whether the last it said was that there is no room (ENOSPC, EDQUOT)."""
        return any(text in self.tail for text in ("No space left on device", "Disk quota exceeded"))

    def refusal(self, what: str, place: Path, *, hint: str = "") -> RelenvError:
        """Return the error for users: that the disk is full if that is why, else that a build failed.

        Args:
            what: what was to be made: `Python 3.13.15`.
            place: where.
            hint: what to do if the disk is not full.
        """
        if self.disk_full:
            return disk_full(f"{what} in {place}")
        words = " ".join(self.argv[:2])
        return BuildError(f"{what}: {words} failed ({self.how})", detail=self.tail, hint=hint)


def _called(number: int) -> str:
    """Return the name of a signal; most of those for real time have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class OverdueError(CommandError):
    """A command took longer than it may, and was ended."""

    def __init__(self, argv: Sequence[str], limit: float, tail: str) -> None:
        super().__init__(argv, -signal.SIGTERM, tail)
        self.how = f"not done after {limit:g} s"


_running: set[subprocess.Popen[bytes]] = set()
_guard = threading.Lock()
_stopping = threading.Event()


def run(  # noqa: D417 - cwd is what it always is
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    pass_fds: Sequence[int] = (),
    limit: float | None = None,
    alone: bool = False,
) -> str:
    """Run a command to its end, and return what it printed, stdout and stderr together.

    Args:
        argv: program and arguments.
        env: the whole environment; None hands on our own.
        log: a file that gets the output appended; nothing is returned then.
        pass_fds: file descriptors the command inherits.
        limit: seconds after which it is ended; None lets it run.
        alone: whether it is waited for without what it has started in the background, which is ended with it.

    Raises:
        CommandError: it failed; carries the tail of its output.
        OverdueError: it reached the limit.
        HostError: there is no such program.
        KeyboardInterrupt: `stop` was called meanwhile.
    """
    words = [os.fspath(word) for word in argv]
    check()
    with _sink(log, alone=alone) as sink, _missing_named(words[0], cwd):
        start = partial(_start, words, cwd, env, sink, pass_fds)
        status, output = _complete(start, limit, alone=alone)
        if sink and not log:
            sink.seek(0)
            output = sink.read()
    check()
    if status == 0:
        return output.decode(errors="replace")
    text = tail(log) if log else _last_lines(output)
    if status is None:
        raise OverdueError(words, limit or 0, text)
    raise CommandError(words, status, text)


def _start(
    words: Sequence[str],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    sink: IO[bytes] | None,
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words,
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=sink or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=tuple(pass_fds),
        umask=0o022,
    )


def _sink(log: Path | None, *, alone: bool) -> AbstractContextManager[IO[bytes] | None]:
    """Return the file that output goes to, if not through a pipe: what stays behind would keep that open."""
    if log:
        return log.open("ab")
    return tempfile.TemporaryFile() if alone else nullcontext()


@contextmanager
def _missing_named(program: str, cwd: Path | None) -> Iterator[None]:
    """Let what is not there be the program, unless it is the directory."""
    try:
        yield
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise
        raise HostError(f"cannot run {program}: no such program") from error


def _complete(
    start: Callable[[], subprocess.Popen[bytes]], limit: float | None, *, alone: bool
) -> tuple[int | None, bytes]:
    """Start a process and wait for it; return its exit status, None if it reached the limit, and its output."""
    begun: list[subprocess.Popen[bytes]] = []
    try:
        with interrupts.held():
            begun.append(start())
            with _guard:
                _running.update(begun)
        # whoever called `stop` while the process came to be has not seen it among the running ones
        check()
        waited = _wait(begun[0], limit)
        if alone:
            _end_group(begun[0])
    except BaseException:  # above all KeyboardInterrupt: children sit in sessions of their own
        for process in begun:
            _end(process)
        raise
    else:
        return waited
    finally:
        with _guard:
            _running.difference_update(begun)
        for process in begun:
            if process.stdout:
                process.stdout.close()


def _wait(process: subprocess.Popen[bytes], limit: float | None) -> tuple[int | None, bytes]:
    try:
        output = process.communicate(timeout=limit)[0]
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGTERM)
        try:
            output = process.communicate(timeout=GRACE)[0]
        except subprocess.TimeoutExpired as late:  # what it has started may hold its output open for ever
            output = late.output
        _end(process)
        return None, output or b""
    return process.returncode, output or b""


@contextmanager
def pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads that run commands; an exception in the body, such as an interrupt, ends these commands as well."""
    try:
        with ThreadPoolExecutor(workers) as threads:
            try:
                yield threads
            except BaseException:
                # it waits for its threads on the way out: end what these wait for
                threads.shutdown(wait=False, cancel_futures=True)
                stop()
                raise
    finally:
        resume()


def kill() -> None:
    """End every running command at once: the user has asked more than once. A signal handler may call this."""
    _stopping.set()
    for process in list(_running):  # without the guard, which may be held by what the signal interrupted
        _signal(process, signal.SIGKILL)


def stop() -> None:
    """End every running command and refuse new ones: the user wants out."""
    _stopping.set()
    with _guard:
        running = list(_running)
    for process in running:
        _signal(process, signal.SIGTERM)
    until = time.monotonic() + GRACE
    for process in running:
        _end(process, max(0, until - time.monotonic()))


def check() -> None:
    """Leave a wait of our own when the user wants out.

    Raises:
        KeyboardInterrupt: `stop` was called.
    """
    if _stopping.is_set():
        raise KeyboardInterrupt


def resume() -> None:
    """Allow commands again after `stop`; for callers that outlive an interrupt, as tests do."""
    _stopping.clear()


def _end(process: subprocess.Popen[bytes], grace: float | None = None) -> None:
    _signal(process, signal.SIGTERM)
    try:
        process.wait(timeout=GRACE if grace is None else grace)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()
    # whoever ignored SIGTERM while its leader obeyed
    _signal(process, signal.SIGKILL)


def _end_group(leader: subprocess.Popen[bytes]) -> None:
    """End what a process that has ended itself left behind in its group."""
    _signal(leader, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while _has_group(leader) and time.monotonic() < until:
        time.sleep(0.01)
    _signal(leader, signal.SIGKILL)


def _has_group(leader: subprocess.Popen[bytes]) -> bool:
    try:
        os.killpg(leader.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def alive(pid: int) -> bool:
    """Tell whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log file, empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 32768))
            return _last_lines(file.read(), lines)
    except OSError:
        return ""


def _last_lines(data: bytes, lines: int = TAIL_LINES) -> str:
    return "\n".join(data.decode(errors="replace").rstrip().splitlines()[-lines:])
