"""The interpreter that somebody wants, from where it is to be had soonest: the store, a release location, a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relenv.errors import ChecksumError, ConfigError, SourceError, UsageError
from relenv.fetch import fetch_interpreter, find_fetched, location_for
from relenv.interpreter import Interpreter, Wanted, build_interpreter, built, releases_for

if TYPE_CHECKING:
    from relenv.context import Context
    from relenv.recipes.model import Recipe


def obtain_interpreter(context: Context, wanted: Wanted) -> Interpreter:
    """Return an interpreter: one in the store, else one fetched if a location is configured, else one built.

    Raises:
        UsageError, ConfigError: there is no such Python. ChecksumError: what was fetched is not what it should be;
            that is never passed over in silence. SourceError, BuildError: it can be neither fetched nor built.
    """
    if interpreter := present(context, wanted):
        return interpreter
    releases, unknown = _releases(wanted)
    if (location := location_for(context)) and not (context.offline and location.remote):
        try:
            return fetch_interpreter(context, location, wanted)
        except ChecksumError:
            raise
        except SourceError as error:
            if unknown:
                raise
            context.ui.note(f"it cannot be fetched ({error.message}): it is built instead")
    if unknown:
        raise unknown
    return build_interpreter(context, releases, requires=wanted.requires)


def present(context: Context, wanted: Wanted) -> Interpreter | None:
    """Return the interpreter that `obtain_interpreter` returns if it is in the store, else nothing."""
    releases, _ = _releases(wanted)
    if releases and (interpreter := built(context, releases)):
        return interpreter
    location = location_for(context)
    key = location.key if location else context.settings.fetch_key
    return find_fetched(context.cache, wanted, key, context.platform.triplet)


def _releases(wanted: Wanted) -> tuple[tuple[Recipe, ...], UsageError | ConfigError | None]:
    """Return what can be built; or nothing and why: it may be had prebuilt nevertheless."""
    try:
        return releases_for(wanted), None
    except (UsageError, ConfigError) as error:
        return (), error
