"""`python -m relenv` is the command `relenv`."""

import sys

from relenv.cli import main

if __name__ == "__main__":
    sys.exit(main())
