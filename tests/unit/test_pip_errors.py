"""What is made of what pip prints when it fails."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from relenv.errors import ChecksumError, InstallError, OutputError
from relenv.pip_errors import BUILT, INDEXES, NO_INDEX, refusal
from relenv.process import CommandError

if TYPE_CHECKING:
    from pathlib import Path

LACKING = """\
Looking in indexes: https://one.invalid/simple
WARNING: Location 'file:///x/idna/' is ignored: it is neither a file nor a directory.
ERROR: Could not find a version that satisfies the requirement idna==99 (from versions: {versions})
ERROR: No matching distribution found for idna==99"""
CONFLICT = """\
Processing ./b-1.0-py3-none-any.whl
ERROR: Cannot install a==1.0 and b==1.0 because these package versions have conflicting dependencies.

The conflict is caused by:
    a 1.0 depends on c==1
    b 1.0 depends on c==2

To fix this you could try to:
1. loosen the range of package versions you've specified

ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/"""
BROKEN = """\
  error: subprocess-exited-with-error

  \u00d7 Getting requirements to build wheel did not run successfully.
  \u2502 exit code: 1
  \u2570\u2500> [1 lines of output]
      no compiler for you
      [end of output]

  note: This error originates from a subprocess, and is likely not a problem with pip."""
CLONE = """\
  fatal: unable to access 'https://one.invalid/x/': Could not resolve host
  error: subprocess-exited-with-error

  \u00d7 git clone --quiet https://one.invalid/x did not run successfully.
ERROR: Failed to build 'x' when git clone --quiet https://one.invalid/x"""


@pytest.mark.parametrize(
    ("tail", "reason", "hint", "shown"),
    [
        (LACKING.format(versions="none"), "No matching distribution found for idna==99", INDEXES, ""),
        (
            LACKING.format(versions="3.1, 3.2, 3.3, 3.4"),
            "No matching distribution found for idna==99; there are ..., 3.2, 3.3, 3.4",
            INDEXES,
            "",
        ),
        (
            CONFLICT,
            "Cannot install a==1.0 and b==1.0 because these package versions have conflicting dependencies",
            "loosen one of these requirements",
            "The conflict is caused by:\n    a 1.0 depends on c==1\n    b 1.0 depends on c==2",
        ),
        (BROKEN, "Getting requirements to build wheel did not run successfully", BUILT, "      no compiler for you"),
        (
            "one\n  two\n  [end of output]\nerror: metadata-generation-failed",
            "pip failed (exit 1)",
            BUILT,
            "one\n  two",
        ),
        ("error: subprocess-exited-with-error", "pip failed (exit 1)", BUILT, None),
        (
            f"{BROKEN}\nERROR: Failed to build 'x' when it was",
            "Failed to build 'x' when it was",
            BUILT,
            "      no compiler for you",
        ),
        (
            CLONE,
            "Failed to build 'x' when git clone --quiet https://one.invalid/x",
            "",
            "  fatal: unable to access 'https://one.invalid/x/': Could not resolve host",
        ),
        ("ERROR: Invalid wheel filename: 'x'", "Invalid wheel filename: 'x'", "", ""),
        ("ERROR: ResolutionImpossible: see", "pip failed (exit 1)", "loosen one of these requirements", None),
        ("what?", "pip failed (exit 1)", INDEXES, "what?"),
    ],
)
def test_one_sentence_and_what_adds_to_it(tail: str, reason: str, hint: str, shown: str | None) -> None:
    error = refusal("it", CommandError(["pip"], 1, tail), environ={})
    assert type(error) is InstallError
    assert error.message == f"it cannot be installed: {reason}"
    assert error.hint == hint
    assert error.detail == (tail if shown is None else shown)


def test_where_no_index_is_asked_the_hint_says_so() -> None:
    failed = CommandError(["pip"], 1, LACKING.format(versions="none"))
    assert refusal("it", failed, environ={"PIP_NO_INDEX": "1"}).hint == NO_INDEX
    assert refusal("it", failed, environ={"PIP_NO_INDEX": "0"}).hint == INDEXES


def test_another_file_than_is_locked() -> None:
    tail = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    x from https://one.invalid/x"
    assert isinstance(refusal("it", CommandError(["pip"], 1, tail), environ={}), ChecksumError)


def test_a_full_disk_is_not_blamed_on_the_network(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    tail = "\u00d7 Download failed after 6 attempts because not enough bytes were received"

    def failed(size: str) -> type:
        text = f"{tail} (1.0 MB/{size})\nnote: This is an issue with network connectivity, not pip."
        return type(refusal("it", CommandError(["pip"], 1, text), environ={"TMPDIR": str(tmp_path)}))

    assert failed(f"{free / 1e9 + 1:.1f} GB") is OutputError
    assert failed("0.1 kB") is InstallError
    full = CommandError(["pip"], 1, "ERROR: Could not install packages due to an OSError: No space left on device")
    assert type(refusal("it", full, environ={})) is OutputError
