"""The command line: parse, dispatch, and THE error boundary. Nothing else in relenv prints errors or exits."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from relenv import __version__, interrupts, process
from relenv.commands import COMMANDS
from relenv.commands.options import Parser, looks
from relenv.errors import FULL, CacheError, OutputError, RelenvError, UsageError, disk_full, first_of

# What takes time to import is imported inside the boundary: ctrl-C may come while it is.
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relenv.context import Context

INTERRUPTED = 130
"""Exit code after ctrl-C, as shells have it: 128 + SIGINT."""

IN_CACHE: dict[int | None, str] = {
    errno.EACCES: "is it another user's? RELENV_DATA names another cache",
    errno.ENOENT: "something removed it meanwhile: run relenv again",
}
"""What to do about an error of the system's with something in the cache."""

EPILOG = """\
environment:
  RELENV_DATA        the cache directory (default: relenv in the user's cache directory)
  RELENV_TOOLCHAIN   what Pythons are built with (default: `toolchain` in [build] of the configuration)
  RELENV_FETCH_FROM  where prebuilt Pythons are: a URL or directory (default: `from` in [fetch] of the configuration)
  RELENV_FETCH_KEY   the minisign public key of who publishes there (default: `key`)

The exit codes are listed in README.md.
"""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: the arguments, in place of sys.argv.
        environ: in place of os.environ.

    Returns:
        The exit code.
    """
    _open_streams()
    context: Context | None = None
    debug = "--debug" in (sys.argv if argv is None else argv)
    try:
        interrupts.listen(again=process.kill)
        words = sys.argv[1:] if argv is None else argv
        args = _parsed(words)
        _stand_somewhere()
        context = _context(args, os.environ if environ is None else environ)
        code: int = args.run(args, context)
        _flush()
    except KeyboardInterrupt as error:
        return _interrupted(str(error))
    except Exception as error:  # noqa: BLE001 - the boundary
        if interrupts.is_behind(error):
            return _interrupted()
        return _refused(error, context.data if context else None, debug=debug)
    return code


def _interrupted(meanwhile: str = "") -> int:
    _say(f"interrupted; {meanwhile}" if meanwhile else "interrupted")
    return INTERRUPTED


def _refused(error: Exception, cache: Path | None, *, debug: bool) -> int:
    match error:
        case RelenvError():
            return _report(error, debug=debug)
        case BrokenPipeError():
            # whoever read our output has gone: nothing to say, and nobody to say it to
            _drop_output()
            return 1
        case OSError():
            return _report(_from_os(error, cache), debug=debug)
    _say(f"internal error: {type(error).__name__}: {error}")
    _say("this is a bug in relenv; run again with --debug, and report what it shows", kind="hint")
    if debug:
        traceback.print_exc()
    return 70


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; what follows an option may still belong to a list that began before it."""
    parser = _parser(words)
    args, rest = parser.parse_known_args(words)
    if rest:
        if not hasattr(args, "rest") or any(word.startswith("-") for word in rest):
            args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
        setattr(args, args.rest, [*getattr(args, args.rest), *rest])
    return args


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_output()
        raise OutputError(f"standard output cannot be written to: {error.strerror}") from error


def _drop_output() -> None:
    """Let what is still to be written lead nowhere: Python would complain when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="relenv",
        description="Ship Python applications with their own relocatable Python, compiled from source.",
        epilog=EPILOG,
        parents=[looks(default=False)],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"relenv {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    # to import a command takes longer than many a one runs: only help needs them all
    first = next((word for word in words if not word.startswith("-")), "")
    for name in [first] if first in COMMANDS else COMMANDS:
        module = import_module(f"relenv.commands.{name}")
        sub = commands.add_parser(name, parents=[looks()], help=module.SUMMARY, description=module.DESCRIPTION)
        module.configure(sub)
        sub.set_defaults(run=module.run, parser=sub)
    return parser


def _context(args: argparse.Namespace, environ: Mapping[str, str]) -> Context:
    from relenv.context import Context  # noqa: PLC0415 - see above
    from relenv.ui import open_ui  # noqa: PLC0415

    jobs = getattr(args, "jobs", None)
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, not {jobs}")
    source_dirs: list[Path] = getattr(args, "source_dirs", [])
    for folder in source_dirs:
        if not folder.is_dir():
            raise UsageError(f"--source-dir {folder} is not a directory")
    return Context(
        environ=environ,
        ui=open_ui(quiet=args.quiet, verbose=args.verbose),
        jobs=jobs or len(os.sched_getaffinity(0)),
        source_dirs=tuple(source_dirs),
        keep_build=getattr(args, "keep_build", False),
        asked_toolchain=getattr(args, "toolchain", ""),
        offline=getattr(args, "offline", False),
    )


def _open_streams() -> None:
    """Let what a caller has closed (`>&-`) lead nowhere: else the next file to be opened would take its place.

    Names of files are bytes, and are printed as those where they are not of the terminal's encoding.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stderr
        os.set_inheritable(number, True)  # noqa: FBT003 - its only parameter
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as we live
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")


def _stand_somewhere() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current directory does not exist any more", hint="cd into one that does") from None


def _from_os(error: OSError, cache: Path | None) -> RelenvError:
    error = first_of(error)
    place = error.filename or (f"a file below {cache} or elsewhere" if cache else "a file")
    if error.errno in IN_CACHE and cache and str(place).startswith(f"{cache.resolve()}{os.sep}"):
        return CacheError(f"{place}: {error.strerror}", hint=IN_CACHE[error.errno])
    if error.errno in FULL:
        return disk_full(place)
    return OutputError(f"{place}: {error.strerror or error}")


def _report(error: RelenvError, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    if error.detail:
        _print(error.detail, style="dim")
    _say(error.message)
    if error.hint:
        _say(error.hint, kind="hint")
    return error.exit_code


def _say(text: str, *, kind: str = "error") -> None:
    _print(text, label=f"{kind}: ", style="bold red" if kind == "error" else "cyan")


def _print(text: str, *, label: str = "", style: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415

    shown = Text.assemble((label, style), text) if label else Text(text, style=style)
    Console(stderr=True, highlight=False, soft_wrap=True).print(shown)
