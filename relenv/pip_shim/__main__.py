"""`python -m relenv_pip` is the environment's pip."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
