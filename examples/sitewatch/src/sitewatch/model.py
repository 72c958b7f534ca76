"""The values that everything else passes around."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How one site did, once."""

    url: str
    at: str
    """UTC, ISO 8601, to the second: text that sorts by time."""
    status: int | None
    """The HTTP status; None when there was no answer."""
    milliseconds: float
    """From opening the connection to the head of the answer."""
    expires: str | None
    """When the certificate does, as `at`."""
    error: str
    """Why there was no answer; empty when there was one."""

    @property
    def up(self) -> bool:
        """Whether the site works for its visitors."""
        return self.status is not None and self.status < 400  # noqa: PLR2004 - where HTTP's errors begin


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How one site did over time."""

    url: str
    checks: int
    up: int
    """How many of the checks found it up."""
    mean: float | None
    """Milliseconds, over the answers that came; None when none did."""
    latest: Measurement

    @property
    def availability(self) -> float:
        """The share of checks that found it up, 0 to 1."""
        return self.up / self.checks
