"""The pip shim: stock pip, then scripts that find their interpreter beside themselves.

This package is laid into environments as `lib/python3.X/relenv_pip` and runs there on CPython 3.11 to 3.14.
Hence: the standard library only, nothing of relenv's, and relative imports.

- `scripts`: bytes in, bytes out: which shebang is a Python's, and the trampoline that takes its place
- `records`: finds such scripts in an environment, rewrites them, mends RECORD
- `adopt`: makes `bin/pip*` and `python -m pip` come through here
- `cli`: what those two run
- `interrupted`: takes away what a pip that was killed left behind
- `repair`: all of it, for an environment that another tool wrote into

And, for bundles:

- `packing`: which format a bundle has, and the streams to read it by
- `contents`, `image`: what is in one
- `verify`: holds that against its manifest
"""

from .adopt import adopt_pip
from .cli import heal
from .records import Note, Report, reconcile

__all__ = ["Note", "Report", "adopt_pip", "heal", "reconcile"]
