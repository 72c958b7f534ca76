"""A library."""


def answer():
    return 42
