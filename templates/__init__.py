"""Texts that are laid into what relenv ships; installed as `relenv.templates`."""

from importlib.resources import files


def load(name: str) -> str:
    """Return the text of the template `name`."""
    return (files(__name__) / name).read_text(encoding="utf-8")
