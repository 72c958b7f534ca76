"""`python -m relenv` is the command `relenv`."""

import sys
from contextlib import suppress
from pathlib import Path

# `python -m` puts the current directory first: a build.py there would be taken for the library of that name
with suppress(FileNotFoundError):  # it may be gone
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]

from relenv.cli import main

if __name__ == "__main__":
    sys.exit(main())
