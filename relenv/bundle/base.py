"""What an image is built on: nothing but a glibc, an image layout that lies here, or an image of a registry."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import tarfile
import tempfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from relenv import process
from relenv.bundle import zstandard
from relenv.bundle.keys import NO_BASE, is_path
from relenv.bundle.oci import INDEXES, LAYER, LAYERS, MANIFEST_TYPE, MANIFESTS, Base, Blob, File, Layer
from relenv.bundle.registry import DIGEST, LARGEST, Registry, parse_reference
from relenv.errors import CheckError, ChecksumError, ConfigError, SourceError
from relenv.pip_shim.packing import blob_path
from relenv.relocate.elf import GLIBC_FLOOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from relenv.context import Context
    from relenv.platforms import Platform
    from relenv.toolchain import Toolchain

LIBC = re.compile(r"libc\.so\.6|libc-2\.\d+\.so")
GLIBC_BASES = 'name one that has it: base = "debian:12-slim" in [tool.relenv.oci], or gcr.io/distroless/cc-debian12'
LAYOUTS = "`skopeo copy docker://debian:12-slim oci-archive:base.tar` makes one, of what docker has docker-daemon:"
DEPTH = 3
"""Indexes in indexes."""
RUN = {"Env": list, "Labels": dict, "ExposedPorts": dict}
"""What an image config has, or has not, of what is added to."""
CHUNK = 1 << 20

LIBRARIES = (
    *("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libnsl.so.1"),
    *("libresolv.so.2", "libnss_files.so.2", "libnss_dns.so.2"),  # these are opened by name
    *("libgcc_s.so.1", "libstdc++.so.6", "libatomic.so.1"),
)
"""What the interpreter and wheels may ask of the system: PEP 599, as far as glibc and GCC have it."""
LICENCES = ("glibc/COPYING", "glibc/COPYING.LIB", "glibc/LICENSES", "gcc/COPYING3", "gcc/COPYING.RUNTIME")
SOURCES = """\
The libraries in /lib64 are those of glibc 2.17 (LGPL-2.1-or-later) and GCC 11.2.0 (GPL-3.0-or-later WITH
GCC-exception-3.1), as the compiler {toolchain} has them, without debug symbols. Where their sources are:

    https://ftp.gnu.org/gnu/glibc/glibc-2.17.tar.xz
    https://ftp.gnu.org/gnu/gcc/gcc-11.2.0/gcc-11.2.0.tar.xz
    https://github.com/crosstool-ng/crosstool-ng   (how they were built; the patches, in packages/)
"""
ETC = {
    "passwd": (
        "root:x:0:0:root:/root:/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
    ),
    "group": "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n",
}
NONROOT = 65532
OLD = (
    "the image has glibc 2.17 of 2012, which lacks fixes of security holes since (in looking up names for one, "
    "CVE-2015-0235); name a `base` in [tool.relenv.oci] for what talks to a network"
)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where an image is read from."""

    name: str
    """For messages."""
    top: bytes
    """The index or manifest to begin with."""
    document: Callable[[str], bytes]
    """Returns a manifest or index by its digest."""
    config: Callable[[str], bytes]
    """Returns a config by its digest."""
    layer: Callable[[str, str], BinaryIO]
    """Opens a layer by its digest; takes what to call it as well."""
    remote: str = ""
    """Its reference, if others can get it by one."""


@contextmanager
def open_base(context: Context, base: str, *, glibc: str, offline: bool = False) -> Iterator[Base]:
    """Give the base of an image, verified as far as it can be before its layers are copied.

    Args:
        context: the edges.
        base: "none", the path of an image layout, or a reference to an image of a registry.
        glibc: what the bundle needs.
        offline: do without a network.

    Raises:
        ConfigError: there is no such layout. SourceError: it cannot be had, or is damaged. ChecksumError: it is
        another. CheckError: the bundle cannot run on it.
    """
    if base == NO_BASE:
        yield _none(context, glibc)
    elif is_path(base):
        with _layout(Path(base)) as place:
            yield _read(place, context.platform, glibc)
    else:
        yield _read(_pulled(context, base, offline=offline), context.platform, glibc)


def fetch_base(context: Context, base: str, *, offline: bool = False) -> None:
    """Have a base in the cache, and know that a bundle can run on it, before anything is built; as `open_base`."""
    if base != NO_BASE:
        with open_base(context, base, glibc=".".join(map(str, GLIBC_FLOOR)), offline=offline):
            pass


# --- from somewhere ---------------------------------------------------------------------------------------


def _read(place: _Place, platform: Platform, glibc: str) -> Base:
    digest, manifest = _chosen(place, platform.architecture)
    try:
        blobs = tuple(_blob(one, place.name) for one in manifest["layers"])
        config = json.loads(place.config(_digest(manifest["config"], place.name)))
        machine = (config.get("os"), config.get("architecture"))
        diffs = _diffs(config)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(place.name, "its manifest or its configuration makes no sense") from error
    if machine != ("linux", platform.architecture):
        raise CheckError(f"the base {place.name} is for {'/'.join(map(str, machine))}")
    if len(blobs) != len(diffs):
        raise _damaged(place.name, "its configuration has not as many layers as its manifest")
    calls = {blob.digest: f"layer {at} of {len(blobs)}" for at, blob in enumerate(blobs, 1)}

    def opened(digest: str) -> BinaryIO:
        return place.layer(digest, calls[digest])

    names = _names(place.name, list(zip(blobs, diffs, strict=True)), opened, platform, glibc)
    return Base(name=place.remote, digest=digest, config=config, blobs=blobs, open=opened, names=names)


def _chosen(place: _Place, architecture: str) -> tuple[str, Mapping[str, Any]]:
    """Return the digest and the content of the manifest for a machine, through as many indexes as there are."""
    data = place.top
    for _ in range(DEPTH):
        try:
            document = json.loads(data)
            if "manifests" not in document:
                return f"sha256:{hashlib.sha256(data).hexdigest()}", {"layers": document["layers"], **document}
            entries = [
                one for one in document["manifests"] if one.get("mediaType", MANIFEST_TYPE) in INDEXES + MANIFESTS
            ]
            machines = {_machine(one.get("platform") or {}): one for one in reversed(entries)}
            entry = machines.get(f"linux/{architecture}") or machines.get("")
            if entry is None:
                has = ", ".join(sorted(machines)) or "none at all"
                raise SourceError(f"the base {place.name} has no image for linux/{architecture}; it has: {has}")
            data = place.document(_digest(entry, place.name))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _damaged(place.name, "its manifest makes no sense") from error
    raise _damaged(place.name, "its indexes do not end")


def _machine(platform: Mapping[str, str]) -> str:
    return "/".join(platform[name] for name in ("os", "architecture") if name in platform)


def _blob(descriptor: Mapping[str, Any], name: str) -> Blob:
    media = descriptor["mediaType"]
    if media not in LAYERS:
        raise SourceError(f"the base {name} has a layer of a kind that cannot be copied: {media}")
    return Blob(media=LAYERS[media], digest=_digest(descriptor, name), size=descriptor["size"])


def _digest(descriptor: Mapping[str, Any], name: str) -> str:
    digest = descriptor["digest"]
    if not isinstance(digest, str) or not re.fullmatch(DIGEST, digest):
        raise _damaged(name, f"{digest!r} is no digest by sha256")
    return digest


def _diffs(config: Mapping[str, Any]) -> list[str]:
    """Return the digests of what the layers unpack to.

    Raises:
        TypeError, LookupError, AttributeError: the config, or what will be added to in it, is not what it should be.
    """
    run, diffs = config.get("config") or {}, config["rootfs"]["diff_ids"]
    parts = [(diffs, list), (config.get("history") or [], list), (run, dict)]
    parts += [(run.get(name) or kind(), kind) for name, kind in RUN.items()]
    if not all(isinstance(part, kind) for part, kind in parts):
        raise TypeError
    if not all(isinstance(one, str) for one in (*diffs, *(run.get("Env") or ()))):
        raise TypeError
    return list(diffs)


def _names(
    base: str,
    layers: Sequence[tuple[Blob, str]],
    opened: Callable[[str], BinaryIO],
    platform: Platform,
    glibc: str,
) -> frozenset[str]:
    """Return what there is in layers, once it is known that they are in order, and have the glibc that is needed."""
    names: set[str] = set()
    found = ""
    for blob, diff in layers:
        with opened(blob.digest) as packed:
            size = packed.seek(0, os.SEEK_END)
            if size != blob.size:
                raise _damaged(base, f"{blob.digest} has {size} bytes, where its manifest says {blob.size}")
            packed.seek(0)
            try:
                there, version, digest = _content(blob, packed)
            except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
                raise _damaged(base, f"{blob.digest} cannot be unpacked ({error})") from error
        if digest != diff:
            raise _damaged(base, f"{blob.digest} unpacks to {digest}, where its configuration says {diff}")
        names |= there
        found = version or found
    if not any(name.endswith(f"/{Path(platform.loader).name}") for name in names):
        raise CheckError(f"the base {base} has no glibc for {platform.machine}", hint=GLIBC_BASES)
    if found and _version(found) < _version(glibc):
        raise CheckError(f"the bundle needs glibc {glibc}, and the base {base} has {found}", hint=GLIBC_BASES)
    return frozenset(names)


class _Hashing:
    """A file to read from that hashes what goes by."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self._hash = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """Return the digest of all of it; what is left is read: a tar may be followed by zeros."""
        while self.read(CHUNK):
            process.check()
        return f"sha256:{self._hash.hexdigest()}"


def _content(blob: Blob, packed: BinaryIO) -> tuple[set[str], str, str]:
    """Return the names of what is in a layer, the version of its glibc or nothing, and the digest of the tar."""
    names, found = set[str](), ""
    with _unpacked(blob, packed) as plain:
        with tarfile.open(fileobj=cast("BinaryIO", plain), mode="r|") as tar:
            for member in tar:
                process.check()
                names.add(member.name.removeprefix("./").rstrip("/"))
                if LIBC.fullmatch(member.name.rpartition("/")[2]) and member.isreg():
                    content = cast("BinaryIO", tar.extractfile(member)).read()
                    version = re.search(rb"release version (\d+\.\d+)", content)
                    found = version[1].decode() if version else found
        return names, found, plain.digest()


@contextmanager
def _unpacked(blob: Blob, packed: BinaryIO) -> Iterator[_Hashing]:
    """Give the tar that a layer is."""
    kind = blob.media.removeprefix(LAYER)
    with ExitStack() as stack:
        if kind == "+gzip":
            packed = cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=packed)))
        elif kind == "+zstd":
            packed = stack.enter_context(zstandard.decompressing(packed))
        yield _Hashing(packed)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _pulled(context: Context, base: str, *, offline: bool) -> _Place:
    reference = parse_reference(base, what="oci.base")
    registry = Registry(
        reference,
        cache=context.cache,
        fetcher=context.fetcher,
        environ=context.environ,
        ui=context.ui,
        offline=offline,
    )
    return _Place(
        name=reference.familiar,
        remote=str(reference),
        top=registry.top(),
        document=registry.document,
        config=lambda digest: registry.layer(digest, "its configuration").read_bytes(),
        layer=lambda digest, what: registry.layer(digest, what).open("rb"),
    )


@contextmanager
def _layout(path: Path) -> Iterator[_Place]:
    """Give an image layout, a directory or a tar of one.

    Raises:
        ConfigError: it is none.
    """
    with _members_of(path) as opened:

        def read(name: str) -> bytes:
            try:
                with opened(name) as file:
                    return file.read(LARGEST)
            except KeyError as error:
                raise _damaged(str(path), f"it has no {name}") from error

        def document(digest: str) -> bytes:
            data = read(blob_path(digest))
            if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
                raise ChecksumError(f"the base {path} is damaged: {digest} is something else")
            return data

        def layer(digest: str, what: str) -> BinaryIO:
            try:
                return opened(blob_path(digest))
            except KeyError as error:
                raise _damaged(str(path), f"it has no {what}") from error

        yield _Place(name=str(path), top=read("index.json"), document=document, config=document, layer=layer)


@contextmanager
def _members_of(path: Path) -> Iterator[Callable[[str], BinaryIO]]:
    """Give what opens a file of a layout by its name, or raises KeyError."""
    if path.is_dir() and (path / "oci-layout").is_file():

        def opened(name: str) -> BinaryIO:
            try:
                return (path / name).open("rb")
            except OSError as error:
                raise KeyError(name) from error

        yield opened
        return
    try:
        tar = tarfile.open(path, mode="r:")  # noqa: SIM115 - closed below
    except (OSError, tarfile.TarError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is neither a tar nor a directory with one"
        raise ConfigError(f"oci.base: {path} is no image layout ({reason})", hint=LAYOUTS) from error
    with tar:
        try:
            members = {member.name.removeprefix("./"): member for member in tar if member.isreg()}
        except tarfile.TarError as error:
            raise _damaged(str(path), f"it is no whole tar ({error})") from error
        if "oci-layout" not in members:
            raise ConfigError(f"oci.base: {path} is no image layout", hint=LAYOUTS)
        yield lambda name: cast("BinaryIO", tar.extractfile(members[name]))


def _damaged(name: str, why: str) -> SourceError:
    return SourceError(f"the base {name} is not in order: {why}")


# --- from nothing -----------------------------------------------------------------------------------------


def _none(context: Context, glibc: str) -> Base:
    if _version(glibc) > GLIBC_FLOOR:
        raise CheckError(f"the bundle needs glibc {glibc}, and an image without a base has 2.17", hint=GLIBC_BASES)
    context.ui.warn(OLD)
    runtime = _runtime(context.toolchain(), context.platform)
    return Base(own=(runtime,), names=frozenset(file.name for file in runtime.files))


def _runtime(toolchain: Toolchain, platform: Platform) -> Layer:
    """Return what an image needs that has nothing else: the libraries of the system, and the least of /etc."""
    sysroot, licences = toolchain.root / toolchain.triplet / "sysroot" / "lib", toolchain.root / "share/licenses"
    loader = Path(platform.loader)
    texts = {f"usr/share/licenses/{name}": (licences / name).read_bytes() for name in LICENCES}
    texts["usr/share/licenses/glibc/SOURCES"] = SOURCES.format(toolchain=toolchain.name).encode()
    texts |= {f"etc/{name}": text.encode() for name, text in ETC.items()}
    files = {f"lib64/{name}": _stripped(toolchain, sysroot / name) for name in LIBRARIES}
    files[platform.loader] = _stripped(toolchain, sysroot / loader.name)
    modes = {"tmp": 0o1777, "root": 0o700, "home/nonroot": 0o700}
    found = [File(name=name, content=data, mode=0o755) for name, data in files.items()]
    found += [File(name=name, content=data, mode=0o644) for name, data in texts.items()]
    inside = (*files, *texts, *(f"{name}/*" for name in modes))
    folders = {str(parent) for name in inside for parent in PurePosixPath(name).parents[:-1]}
    found += [
        File(name=name, content=None, mode=modes.get(name, 0o755), owner=NONROOT if name == "home/nonroot" else 0)
        for name in folders
    ]
    return Layer(what="glibc and the libraries of GCC", files=tuple(sorted(found, key=lambda file: file.name)))


def _stripped(toolchain: Toolchain, library: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / library.name
        process.run([toolchain.tool("strip"), "--strip-debug", "-o", into, library])
        return into.read_bytes()
