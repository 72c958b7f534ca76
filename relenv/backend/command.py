"""`python setup.py bdist_relenv`: a bundle, for projects that live in setup.py."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from setuptools import Command

from relenv.backend.bundle import bundle


class bdist_relenv(Command):  # type: ignore[misc]  # noqa: N801 - commands are called as they are named
    """Bundle the distribution with its own Python."""

    description = "bundle the project with its own Python, by relenv"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = [
        ("dist-dir=", "d", "where to put the bundle (default: dist/relenv)"),
        ("options=", "o", "options of `relenv bundle`, without dashes: format=run smoke='app --version'"),
    ]

    def initialize_options(self) -> None:
        """Begin with nothing."""
        self.dist_dir = ""
        self.options = ""

    def finalize_options(self) -> None:
        """Fill in what was not given."""
        self.dist_dir = self.dist_dir or "dist/relenv"
        try:
            self.words = shlex.split(self.options)
        except ValueError as error:
            raise SystemExit(f"relenv: --options {self.options}: {error}") from error

    def run(self) -> None:
        """Build the wheel, and the bundle of it."""
        with tempfile.TemporaryDirectory() as folder:
            wheels = self.get_finalized_command("bdist_wheel")
            wheels.dist_dir = folder
            wheels.run()
            (wheel,) = Path(folder).glob("*.whl")
            settings: dict[str, Any] = {}
            for word in self.words:
                name, _, value = word.partition("=")
                settings.setdefault(name, []).append(value or "true")
            bundle(wheel, Path(self.dist_dir).absolute(), settings)
