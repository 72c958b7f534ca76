"""Get a prebuilt interpreter or toolchain from a release location: what `--output` writes, offered by any server.

<location>/<version>-<triplet>.tar.xz
<location>/toolchain-<version>-<triplet>.tar.xz
<location>/SHA256SUMS            says which tarballs there are, and what is in each
<location>/SHA256SUMS.minisig    its signature, where the publisher signs
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.version import InvalidVersion, Version

from relenv.checksums import mismatch, sha256_of
from relenv.errors import FULL, CacheError, ChecksumError, HostError, SignatureError, SourceError, UsageError, disk_full
from relenv.interpreter import Interpreter, Wanted, preferred
from relenv.manifest import FORMAT, MANIFEST
from relenv.plan import KEY_LENGTH
from relenv.recipes.toolchain import AIM
from relenv.release import SUMS, TOOLCHAIN
from relenv.texts import shown
from relenv.toolchain import describe
from relenv.ui import working
from relenv.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relenv.context import Context
    from relenv.platforms import Platform
    from relenv.store import Cache
    from relenv.toolchain import Toolchain

SIGNATURE = f"{SUMS}.minisig"
LINE = re.compile(r"([0-9A-Fa-f]{64}) [ *](\S.*)")
"""Of sha256sum(1)."""
SMALL = 1 << 20
"""Bytes that a list of checksums or a signature may have."""
SCHEMES = ("http", "https", "file")
SIGNED = "-signed-"


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where tarballs are offered."""

    place: str
    """A URL without a slash at its end, or a directory."""
    key: str = ""
    """The minisign public key with which its list must be signed; empty if it need not be."""

    @property
    def remote(self) -> bool:
        """Whether it is reached over HTTP."""
        return "://" in self.place

    @property
    def shown(self) -> str:
        """What to call it in a message."""
        return shown(self.place) if self.remote else self.place


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A tarball that a location offers."""

    name: str
    version: str
    sha256: str
    label: str
    """What it is: `Python 3.13.15`."""


def location_for(context: Context, place: str = "", key: str = "") -> Location | None:
    """Return the location asked for, else the configured one; None if there is neither.

    Raises:
        UsageError: it is none. ConfigError: the configuration is not in order.
    """
    place, key = place or context.settings.fetch_from, key or context.settings.fetch_key
    if not place:
        return None
    if "://" not in place:
        return Location(place=str(Path(place).absolute()), key=key)
    try:
        url = urlsplit(place)
        _ = url.port
    except ValueError as error:
        raise UsageError(f"{place} is no address: {error}", hint="such as https://example.org/pythons") from error
    if url.scheme not in SCHEMES:
        raise UsageError(
            f"a release location is a directory or the address of a web server, not {shown(place)}",
            hint="http:// and https:// are understood; object stores and release pages have such addresses, too",
        )
    if url.scheme == "file" and url.netloc not in ("", "localhost"):
        raise UsageError(f"{place} names a host, {url.netloc}, and a directory there", hint="file:///PATH is one here")
    if url.scheme == "file":
        return Location(place=unquote(url.path), key=key)
    if url.query or url.fragment or not url.hostname:
        raise UsageError(f"{shown(place)} cannot be a release location: the names of files are added to its end")
    return Location(place=place.rstrip("/"), key=key)


def find_fetched(cache: Cache, wanted: Wanted, key: str, triplet: str) -> Interpreter | None:
    """Return the newest interpreter fetched before that would do.

    Args:
        cache: where they are.
        wanted: what would do.
        key: where one is configured, only what was signed with it will do.
        triplet: the kind of machine: several may share a home directory.
    """
    found = {
        interpreter.version: interpreter for interpreter in all_fetched(cache, key) if interpreter.triplet == triplet
    }
    for version in preferred(_newest_first(found, wanted)):
        interpreter = found[version]
        cache.use(interpreter.root)
        if interpreter.root.is_dir():
            return interpreter
    return None


def all_fetched(cache: Cache, key: str = "") -> Iterator[Interpreter]:
    """Yield every interpreter that was fetched; with a key, those that were signed with it.

    Raises:
        CacheError: what one of them says of itself cannot be read.
    """
    for root in sorted(cache.store.glob(f"fetched-*{_signed(key)}")):
        name = re.match(r"fetched-([^-]+)-([0-9a-f]+)", root.name)
        if name and (root / MANIFEST).is_file():
            yield Interpreter(root=root, version=name[1], triplet=_triplet(root), key=name[2])


def _triplet(root: Path) -> str:
    try:
        return str(json.loads((root / MANIFEST).read_text(encoding="utf-8"))["triplet"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CacheError(f"{root / MANIFEST} is damaged", hint=f"remove {root}, and fetch it again") from error


def fetch_interpreter(context: Context, location: Location, wanted: Wanted) -> Interpreter:
    """Return what a location offers, fetched and unpacked into the store if it is not there.

    Raises:
        SourceError: the location cannot be reached, or offers nothing that would do.
        SignatureError: its list is not signed with the key. ChecksumError: a tarball is not what the list says.
        UnsafeError: a tarball would write outside of its place. HostError: signatures cannot be verified here.
    """
    offer = _choose(_offers(context, location, "", "Python"), location, wanted, context.platform.triplet)
    key = offer.sha256[:KEY_LENGTH]
    root = context.cache.store / f"fetched-{offer.version}-{key}{_signed(location.key)}"
    interpreter = Interpreter(root=root, version=offer.version, triplet=context.platform.triplet, key=key)
    context.cache.use(root)
    if root.is_dir():
        return interpreter
    _ensure(context, location, offer, root, _recognise)
    return interpreter


def fetch_toolchain(context: Context, location: Location) -> Toolchain:
    """Return the newest toolchain that a location offers, fetched and unpacked into the cache if it is not there.

    Raises:
        As `fetch_interpreter`.
    """
    offers = _offers(context, location, TOOLCHAIN, "toolchain")
    if not offers:
        raise SourceError(
            f"{location.shown} offers no toolchain for {context.platform.triplet}",
            hint="whoever publishes there makes one with: relenv toolchain build --output DIR",
        )
    offer = max(offers, key=lambda offer: Version(offer.version))
    name = f"{AIM}-{offer.version}-{context.platform.triplet}-{offer.sha256[:KEY_LENGTH]}"
    root = context.cache.toolchains / f"{name}{_signed(location.key)}"
    context.cache.use(root)
    if not root.is_dir():
        _ensure(context, location, offer, root, _recognise_toolchain)
    found = describe(root, context.platform)
    if found is None:
        raise SourceError(f"{root} is damaged", hint="remove that directory, and fetch it again")
    return found


def _ensure(
    context: Context, location: Location, offer: Offer, root: Path, recognise: Callable[[Path, Offer, Platform], None]
) -> None:
    with context.cache.lock(root.name, context.ui):
        if not root.is_dir():
            try:
                _lay_out(context, location, offer, root, recognise)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                raise disk_full(f"{offer.label} cannot be put into {context.cache.root}") from error


def _lay_out(
    context: Context, location: Location, offer: Offer, root: Path, recognise: Callable[[Path, Offer, Platform], None]
) -> None:
    tarball = context.cache.downloads / f"{offer.sha256[:KEY_LENGTH]}-{offer.name}"
    # a prune takes what is in downloads under the lock of its own name; and with another key it is the same file
    with context.cache.lock(tarball.name, context.ui):
        # whole, when it could not be unpacked the last time
        if not tarball.is_file() or sha256_of(tarball) != offer.sha256:
            _obtain(context, location, offer, tarball)
        label = offer.label
        with (
            context.cache.beside(root) as partial,
            working(context.ui, f"Unpacking {label}", f"{label} is ready", unit="bytes") as work,
        ):
            unpack(tarball, partial, work)
            recognise(partial, offer, context.platform)
        tarball.unlink()


def _signed(key: str) -> str:
    """Return the end of the name of what was signed with a key."""
    return f"{SIGNED}{hashlib.sha256(key.encode()).hexdigest()[:KEY_LENGTH]}" if key else ""


def _newest_first(versions: Iterator[str] | dict[str, Interpreter], wanted: Wanted) -> list[str]:
    return sorted(filter(wanted.admits, versions), key=Version, reverse=True)


def _offers(context: Context, location: Location, beginning: str, what: str) -> list[Offer]:
    """Return the tarballs for this machine that a location offers, by its list, whose signature is verified first.

    Args:
        context: the edges.
        location: where.
        beginning: of their names.
        what: what to call one.
    """
    with working(context.ui, f"Asking {location.shown} what it offers"):
        data = _read(context, location, SUMS)
        if location.key:
            _verify(data, _signature(context, location), location)
    if not location.key and _in_the_clear(location):
        context.ui.warn(
            f"{location.shown}: anybody in between can change what is fetched over plain http without a key"
        )
    ending = f"-{context.platform.triplet}.tar.xz"
    found = {
        name: (name.removeprefix(beginning).removesuffix(ending), digest)
        for name, digest in _parse(data, f"{location.shown}/{SUMS}").items()
        if name.startswith(beginning) and name.endswith(ending)
    }
    return [
        Offer(name=name, version=version, sha256=digest, label=f"{what} {version}")
        for name, (version, digest) in found.items()
        if _is_version(version)
    ]


def _in_the_clear(location: Location) -> bool:
    url = urlsplit(location.place)
    try:
        return url.scheme == "http" and not ipaddress.ip_address(url.hostname or "").is_loopback
    except ValueError:
        return url.hostname != "localhost"


def _read(context: Context, location: Location, name: str) -> bytes:
    place = f"{location.place}/{name}"
    # of a FIFO nobody knows when it can be read
    if not location.remote and Path(place).exists() and not Path(place).is_file():
        raise SourceError(f"{place} is no file", hint=WHAT_IT_IS)
    try:
        if location.remote:
            return context.fetcher.read(place, limit=SMALL)
        with Path(place).open("rb") as file:
            return file.read(SMALL)
    except OSError as error:
        raise SourceError(f"{place}: {error.strerror}", hint=WHAT_IT_IS) from error
    except SourceError as error:
        error.hint = error.hint or WHAT_IT_IS
        raise


WHAT_IT_IS = f"a release location holds {SUMS} and tarballs, as `relenv build --output DIR` writes them"


def _parse(data: bytes, what: str) -> dict[str, str]:
    """Return the sha256 of each file in a list.

    Raises:
        SourceError: it is no such list.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        match = LINE.fullmatch(line)
        if not line.strip():
            continue
        if match is None or found.setdefault(match[2], match[1].lower()) != match[1].lower():
            raise SourceError(f"{what} is no list of checksums: line {number} is {line[:60]!r}", hint=WHAT_IT_IS)
    return found


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return "-" not in text


def _choose(offers: list[Offer], location: Location, wanted: Wanted, triplet: str) -> Offer:
    by_version = {offer.version: offer for offer in offers}
    versions = preferred(_newest_first(iter(by_version), wanted))
    if not versions:
        asked = f"Python {wanted.python}" if wanted.python else "Python"
        required = f" that {wanted.project} admits ({wanted.requires})" if wanted.requires else ""
        offered = ", ".join(sorted(by_version, key=Version, reverse=True))
        raise SourceError(
            f"{location.shown} offers no {asked}{required} for {triplet}",
            hint=f"it offers {offered}" if offered else f"its {SUMS} names none for this kind of machine",
        )
    return by_version[versions[0]]


def _obtain(context: Context, location: Location, offer: Offer, tarball: Path) -> None:
    label = offer.label
    try:
        if location.remote:
            url = f"{location.place}/{offer.name}"
            context.fetcher.fetch(url, tarball, sha256=offer.sha256, ui=context.ui, label=label)
            return
        source = Path(location.place) / offer.name
        tarball.parent.mkdir(parents=True, exist_ok=True)
        with working(context.ui, f"Copying {label}"):
            try:
                shutil.copyfile(source, tarball)
            except (FileNotFoundError, IsADirectoryError, shutil.SpecialFileError) as error:
                raise SourceError(f"{location.shown} has no {offer.name}, though its {SUMS} names it") from error
            found = sha256_of(tarball)
        if found != offer.sha256:
            tarball.unlink()
            raise mismatch(source, found=found, pinned=offer.sha256)
    except ChecksumError as error:
        error.message = error.message.replace("is pinned", f"is what {SUMS} says")
        error.hint = "whoever publishes there has to put it right; nothing was unpacked"
        raise


def _recognise_toolchain(root: Path, offer: Offer, platform: Platform) -> None:
    """Refuse what is not the toolchain that its name says.

    Raises:
        SourceError: it is something else.
    """
    found = describe(root, platform)
    if found is None or found.name != f"{AIM}-{offer.version}":
        raise SourceError(f"{offer.name} is no toolchain {AIM}-{offer.version} of relenv's for {platform.triplet}")


def _recognise(root: Path, offer: Offer, platform: Platform) -> None:
    """Refuse what is not the interpreter that its name says.

    Raises:
        SourceError: it is something else.
    """
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        found = (manifest["format"], manifest["python"], manifest["triplet"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(f"{offer.name} is no interpreter of relenv's: it has no {MANIFEST} at its root") from error
    if found != (FORMAT, offer.version, platform.triplet):
        raise SourceError(
            f"{offer.name} holds Python {found[1]} for {found[2]}, in format {found[0]} of its {MANIFEST}",
            hint="" if found[0] == FORMAT else f"this relenv knows format {FORMAT}",
        )
    if not (root / "bin" / "python3").is_file():
        raise SourceError(f"{offer.name} has no bin/python3")


def _signature(context: Context, location: Location) -> bytes:
    try:
        return _read(context, location, SIGNATURE)
    except SourceError as error:
        raise SignatureError(
            f"{location.shown}: there is no signature for {SUMS}, and a key is configured ({error.message})",
            hint=f"its publisher signs with: minisign -Sm {SUMS}",
        ) from error


def _verify(data: bytes, signature: bytes, location: Location) -> None:
    """Verify a list's signature (https://jedisct1.github.io/minisign/).

    Raises:
        SignatureError: it is not by the key. UsageError: the key is none. HostError: py-minisign is missing.
    """
    try:
        import minisign  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise HostError(
            "verifying a signature needs py-minisign, which is not installed", hint="pip install 'relenv[signed]'"
        ) from error
    try:
        key = minisign.PublicKey.from_base64(location.key)
    except ValueError as error:
        raise UsageError(
            f"{location.key!r} is no public key of minisign's: {error}",
            hint="it is the second line of minisign.pub, and begins with RW",
        ) from error
    try:
        key.verify(data, minisign.Signature.from_bytes(signature))
    except ValueError as error:  # minisign's own errors are such
        raise SignatureError(
            f"{location.shown}/{SIGNATURE} does not vouch for {SUMS}: {error}",
            hint="nothing was fetched; ask the publisher, or see whether the key is theirs",
        ) from error
