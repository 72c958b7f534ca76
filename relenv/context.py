"""What a command acts with: made once in `relenv.cli` from the environment and the options, then passed in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from relenv import toolchain as toolchains
from relenv.build import Workshop
from relenv.errors import CacheError, SourceError
from relenv.platforms import Platform, host_platform
from relenv.settings import FILE as SETTINGS
from relenv.settings import Settings, load
from relenv.sources import Sources
from relenv.store import Cache, open_cache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relenv.download import Fetcher
    from relenv.recipes.model import Source
    from relenv.toolchain import Toolchain
    from relenv.ui import Ui


@dataclass(frozen=True, kw_only=True)
class Context:
    """The edges of one run of relenv. Nothing is touched before it is asked for."""

    environ: Mapping[str, str]
    ui: Ui
    jobs: int
    source_dirs: tuple[Path, ...] = ()
    keep_build: bool = False
    asked_toolchain: str = ""
    """The toolchain that the command line names."""
    offline: bool = False
    """Whether to do without a network."""

    @cached_property
    def platform(self) -> Platform:
        """The machine's platform."""
        return host_platform()

    @property
    def data(self) -> Path:
        """Where the cache is, or is to be: $RELENV_DATA, else in the user's cache directory."""
        chosen = self.environ.get("RELENV_DATA")
        return Path(chosen) if chosen else platformdirs.user_cache_path("relenv", appauthor=False)

    @cached_property
    def settings(self) -> Settings:
        """What the user has configured."""
        return load(self.settings_file, self.environ)

    @property
    def settings_file(self) -> Path:
        """Where the user's configuration is, or would be."""
        return platformdirs.user_config_path("relenv", appauthor=False) / SETTINGS

    @cached_property
    def fetcher(self) -> Fetcher:
        """What fetches over HTTP."""
        # mostly nothing is fetched, and its libraries take longer to import than all of ours
        from relenv.download import Fetcher  # noqa: PLC0415

        return Fetcher(environ=self.environ)

    @cached_property
    def cache(self) -> Cache:
        """The cache directory, opened."""
        return open_cache(self.data)

    @cached_property
    def sources(self) -> Sources:
        """Where tarballs come from."""
        return Sources(
            cache=self.cache,
            source_dirs=self.source_dirs,
            fetcher=_Web(context=self),
            environ=self.environ,
            ui=self.ui,
            offline=self.offline,
        )

    def toolchain(self, key: str = "") -> Toolchain:
        """Return a toolchain that is here by its key, or the pinned one, which is downloaded when it is missing.

        Raises:
            CacheError: it is not the pinned one, and not here any more.
            SourceError: it is to be downloaded, and cannot be.
        """
        if key in ("", toolchains.key_for(self.platform)):
            first = toolchains.pinned(self.platform, self.cache)
            if self.offline and not first.root.is_dir():
                raise SourceError(
                    f"the toolchain {first.name} is not here, and --offline asks no network for it",
                    hint="`relenv toolchain download` gets it",
                )
            return toolchains.ensure(self.platform, cache=self.cache, ui=self.ui, environ=self.environ)
        for one in toolchains.present(self.platform, self.cache):
            if key == one.key:
                self.cache.use(one.root)
                return one
        raise CacheError(f"the toolchain {key} is gone from the cache", hint="run relenv again: it chooses anew")

    def compiler_for(self, python: str) -> Toolchain:
        """Return the toolchain that a version of Python is to be built with: the one asked for, else the best.

        It need not be here if it is the pinned one.

        Raises:
            UsageError: the one asked for is not here.
        """
        asked = self.asked_toolchain or self.settings.build_toolchain
        return toolchains.choose(self.platform, self.cache, python=python, asked=asked)

    def workshop(self) -> Workshop:
        """Return what a build acts with."""

        def tarball(source: Source) -> Path:
            return self.sources.obtain(source).path

        return Workshop(
            cache=self.cache,
            ui=self.ui,
            environ=self.environ,
            jobs=self.jobs,
            toolchain=self.toolchain,
            tarball=tarball,
            keep=self.keep_build,
        )


@dataclass(frozen=True, kw_only=True)
class _Web:
    """A fetcher that is made once something is to be fetched."""

    context: Context

    def fetch(self, url: str, into: Path, *, sha256: str, ui: Ui, label: str) -> None:
        """Fetch a file with this checksum, or raise FetchError."""
        self.context.fetcher.fetch(url, into, sha256=sha256, ui=ui, label=label)
