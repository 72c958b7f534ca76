"""The error boundary: what kind an error of the system's is, and the exit code that goes with it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relenv.cli import _from_os, _parser, main
from relenv.errors import CacheError, OutputError, RelenvError, UsageError
from relenv.store import open_cache, write_text


@pytest.mark.parametrize(
    ("number", "place", "kind"),
    [
        (errno.EACCES, "cache/locks/x.lock", CacheError),
        (errno.ENOENT, "cache/store/layer/tree/x", CacheError),
        (errno.ENOENT, "relenv/out.zip", OutputError),
        (errno.EACCES, "relenv/out.zip", OutputError),
        (errno.EACCES, "cache-of-another/x", OutputError),
        (errno.ENOSPC, "cache/store/x", OutputError),
        (errno.EROFS, "cache/store/x", OutputError),
    ],
)
def test_an_error_of_the_system_has_its_kind(number: int, place: str, kind: type[RelenvError], tmp_path: Path) -> None:
    error = _from_os(OSError(number, os.strerror(number), str(tmp_path / place)), tmp_path / "cache")
    assert type(error) is kind
    assert place in error.message


def test_a_file_that_there_is_no_room_for_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, text: str, **how: Any) -> int:  # noqa: ARG001 - its signature
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", write)
    for attempt in (lambda: write_text(tmp_path / "x", ""), lambda: open_cache(tmp_path / "cache")):
        with pytest.raises(OSError, match="No space left") as caught:
            attempt()
        assert str(caught.value.filename).startswith(str(tmp_path))
    assert _from_os(OSError(errno.ENOSPC, ""), tmp_path).message.startswith(f"a file below {tmp_path} or elsewhere: ")


def gathered(number: int, *names: str) -> shutil.Error:
    """Return what copytree raises for files that it could not copy from one directory to another."""
    text = str(OSError(number, os.strerror(number), "/from/x"))
    return shutil.Error([(f"/from/{name}", f"/to/{name}", text) for name in names])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_of_all_the_files_for_which_there_is_no_room_one_is_named(number: int) -> None:
    error = _from_os(gathered(number, *map(str, range(1000))), None)
    assert (type(error), error.message) == (OutputError, "/to/0: the disk is full")
    assert "make room" in error.hint


def test_of_all_the_files_that_cannot_be_copied_one_is_named(tmp_path: Path) -> None:
    error = _from_os(gathered(errno.EACCES, "x", "y"), None)
    assert error.message == "/from/x: Permission denied"
    strange = shutil.SpecialFileError("`/from/p` is a named pipe")
    assert _from_os(shutil.Error([("/from/p", "/to/p", str(strange))]), None).message.endswith("is a named pipe")
    assert "`x`" in _from_os(shutil.Error("`x` is `x`"), None).message
    # as copytree raises it
    (tmp_path / "from/deep").mkdir(parents=True)
    os.mkfifo(tmp_path / "from/deep/pipe")
    with pytest.raises(shutil.Error) as caught:
        shutil.copytree(tmp_path / "from", tmp_path / "to")
    message = _from_os(caught.value, None).message
    assert "deep/pipe" in message
    assert "[(" not in message


@pytest.mark.parametrize("words", ["-q versions", "versions -q", "-q toolchain list", "toolchain list -q"])
def test_how_it_speaks_may_stand_before_a_command_or_after_it(words: str) -> None:
    parsed = _parser(words.split()).parse_args(words.split())
    assert (parsed.quiet, parsed.verbose, parsed.debug) == (True, False, False)


@pytest.mark.parametrize("place", ["http://localhost:abc/", "http://localhost:99999", "http://[::1"])
def test_an_address_that_is_none_is_said_to_be_none(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--from", place], {"RELENV_DATA": str(tmp_path / "cache")}) == UsageError.exit_code
    assert capsys.readouterr().err.startswith(f"error: {place} is no address: ")


def test_before_the_cache_is_known(tmp_path: Path) -> None:
    error = _from_os(PermissionError(errno.EACCES, "no", str(tmp_path)), None)
    assert isinstance(error, OutputError)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_streams_that_are_closed_lead_nowhere(closed: str, tmp_path: Path) -> None:
    script = f"{sys.executable} -m relenv versions --json {closed}"
    environ = {**os.environ, "RELENV_DATA": str(tmp_path / "cache")}
    done = subprocess.run(["sh", "-c", script], env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "internal" not in done.stderr
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"CACHEDIR.TAG", "locks", "relenv-cache.json"}


def test_a_directory_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && {sys.executable} -m relenv create x"
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the current directory does not exist any more\nhint: ")


def test_a_full_standard_output_is_named() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        argv = [sys.executable, "-m", "relenv", "toolchain", "list", "--json"]
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(argv, env=environ, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == OutputError.exit_code
    assert done.stderr == "error: standard output cannot be written to: No space left on device\n"


def test_a_name_that_is_no_text_is_printed_as_it_is(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(place)  # noqa: PTH102 - no text
    environ = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    argv = [sys.executable, "-m", "relenv", "repair", "--dry-run", place]
    (tmp_path / os.fsdecode(b"\xff/lib/python3.13/relenv_pip")).mkdir(parents=True)
    (tmp_path / os.fsdecode(b"\xff/lib/python3.13/encodings")).mkdir()
    (tmp_path / os.fsdecode(b"\xff/lib/python3.13/relenv_pip/__init__.py")).touch()
    (tmp_path / os.fsdecode(b"\xff/relenv.json")).write_text("{}")
    script = tmp_path / os.fsdecode(b"\xff/bin/\xfe")
    script.parent.mkdir()
    script.write_text("#!/opt/x/python3\n")
    script.chmod(0o755)
    done = subprocess.run(argv, env=environ, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"bin/\xfe finds its interpreter beside itself\n" in done.stdout


def test_what_a_bundle_rarely_takes_is_not_imported() -> None:
    code = "import sys, relenv.cli, relenv.commands.bundle, relenv.context, relenv.ui; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    late = {"requests", "urllib3", "rich", "elftools", "cyclonedx", "relenv.download", "relenv.bundle.report"}
    assert not late & set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("bundle --outptu=x", "unrecognized arguments: --outptu=x", "did you mean `--output`?"),
        ("bundle --formt=zip", "unrecognized arguments: --formt=zip", "did you mean `--format`?"),
        ("bundle --qqqq", "unrecognized arguments: --qqqq", "`relenv bundle --help` shows how it is called"),
        ("versions x", "unrecognized arguments: x", "`relenv versions --help` shows how it is called"),
        ("bundle --format", "argument --format: expected one argument", "`relenv bundle --help` shows how"),
        ("bundel", "argument COMMAND: invalid choice: 'bundel'", "did you mean `bundle`?"),
        ("cache pruen", "invalid choice: 'pruen'", "did you mean `prune`?"),
        ("", "the following arguments are required: COMMAND", "`relenv --help` shows how it is called"),
    ],
)
def test_a_command_line_that_is_wrong_is_a_sentence_and_a_hint(
    words: str, said: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split(), {"RELENV_DATA": str(tmp_path / "cache")}) == UsageError.exit_code
    error, tip = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert tip.startswith(f"hint: {hint}")
