"""The vocabulary of an audit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    ERROR = "error"
    """A promise is broken: something will not work elsewhere, or tells where it was made."""
    WARNING = "warning"
    """It may not work on every machine; mostly a matter of the package."""
    NOTE = "note"
    """Worth knowing."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something in a tree that is not as promised."""

    severity: Severity
    check: str
    """Which one found it: a short name that does not change, for programs."""
    file: str
    """Relative to the tree; of findings that were put together, the first file; `.` for the tree itself."""
    what: str
    hint: str = ""
    """How to mend it."""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The oldest glibc, or libstdc++, that every file can be loaded with."""

    version: str
    """`2.17`."""
    file: str
    """The first of the files that ask for it."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an audit found."""

    python: str
    files: int
    binaries: int
    """How many of the files are ELF files."""
    floor: Floor | None
    """None when no file needs a version of glibc."""
    cxx: Floor | None
    """The same of libstdc++ (GLIBCXX), be it in the tree or the host's."""
    needs: Mapping[str, Mapping[str, str]]
    """What each file asks for: by its path, `GLIBC` and `GLIBCXX` and the highest version of each."""
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> Counter[Severity]:
        """How many findings there are of each severity."""
        return Counter(finding.severity for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether there are no errors."""
        return not self.counts[Severity.ERROR]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and by whom relenv is run: what no file may tell."""

    home: Path | None
    cache: Path | None
    user: str
    host: str
