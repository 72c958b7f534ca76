"""Build backends that relenv's own hands on to. Nothing but the standard library: build environments import this."""

from __future__ import annotations

DEFAULT = "setuptools.build_meta"
OURS = "relenv.backend"
HANDS_ON = 'which hands on to another: name that, such as "hatchling.build"'
"""Why ours is not one to hand on to."""
PROVIDERS = {
    "setuptools.build_meta": "setuptools",
    "setuptools.build_meta:__legacy__": "setuptools",
    "hatchling.build": "hatchling",
    "flit_core.buildapi": "flit_core",
    "poetry.core.masonry.api": "poetry-core",
    "pdm.backend": "pdm-backend",
    "uv_build": "uv_build",
}
"""The distribution that a backend comes from, for those that need not be named beside relenv.

Others ask for more once they are there (cmake, ninja), and a frontend asks only once.
"""
EDITABLES = dict.fromkeys(("hatchling.build", "pdm.backend"), ("editables",))
"""What they ask for besides, to be installed in editable form."""

CODE = ("setup.py", "hatch_build.py")
"""Files of a project with code that builds it."""
HATCH = "hatch.toml"
"""A file that says what [tool.hatch] says otherwise, and counts more."""
ASKS_GIT = "poetry.core.masonry.api"
"""The backend that leaves out what git ignores."""
DAY = 86400
"""Seconds for which an environment to build in holds: newer releases of what is in it are looked for after that."""
PLAIN: dict[str, tuple[str, frozenset[str]]] = {
    "flit_core.buildapi": ("flit", frozenset()),
    "hatchling.build": ("hatch", frozenset({"hooks"})),
    "poetry.core.masonry.api": ("poetry", frozenset({"build"})),
    "setuptools.build_meta": ("setuptools", frozenset({"cmdclass", "dynamic", "ext-modules"})),
    "uv_build": ("uv", frozenset()),
}
"""Backends that do what the project has configured and no more, where it has no code for them: the table of [tool] that
each reads, and what in it brings in code, or what only code can tell."""
