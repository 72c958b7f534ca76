"""`relenv verify`: hold a bundle against its manifest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.errors import CheckError, UsageError
from relenv.pip_shim.packing import NotABundleError
from relenv.pip_shim.verify import verify

if TYPE_CHECKING:
    import argparse

    from relenv.context import Context

SUMMARY = "verify that a bundle is as it was made"
DESCRIPTION = """\
Hold a bundle against the manifest in it: a zip, tar.gz, tar.zst or run file, an image (a tar or directory), none of
which is unpacked for that, or a bundle's directory. Every file must be there, with its content and mode, and every blob
of an image. Exits with 9 if one is not; what was added is told, and counts with --strict alone. Without relenv, a
bundle verifies itself: bin/python3 -Im relenv_pip.verify
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", type=Path, metavar="FILE", help="a bundle")
    parser.add_argument("--strict", action="store_true", help="let what was added count too")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001 - as of every command
    """Verify, and print what is different."""
    try:
        report = verify(args.path)
    except NotABundleError as error:
        raise UsageError(str(error), hint="name what `relenv bundle` has written") from error
    except OSError as error:
        what = Path(error.filename or args.path)
        hint = "chmod u+rX, or verify as the user whose it is" if isinstance(error, PermissionError) else ""
        raise CheckError(f"{what} cannot be read: {error.strerror or error}", hint=hint) from error
    if args.json:
        sys.stdout.write(json.dumps(report.described(strict=args.strict)) + "\n")
    else:
        sys.stdout.write(report.text(strict=args.strict).encode("utf-8", "backslashreplace").decode())
    return 0 if report.ok(strict=args.strict) else CheckError.exit_code
