"""A project of one module; flit reads its version from it."""

__version__ = "1.2.3"


def main():
    print(f"backend-flit-core {__version__}: hello from a single module")
