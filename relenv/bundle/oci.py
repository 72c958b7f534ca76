"""Images of containers: an OCI image layout in a tar, which `docker load` reads as well.

    base ──► its layers, as they are ──┐
    tree ──► one layer a kind of file ─┴─► config ──► manifest ──► index.json, and manifest.json for docker

The format is the OCI image specification 1.1 (https://github.com/opencontainers/image-spec); manifest.json is that of
`docker save` (https://github.com/moby/docker-image-spec), without which docker before 25 does not know what to load.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from packaging.utils import canonicalize_name

from relenv import process
from relenv.bundle.archive import plain_mode, walk
from relenv.bundle.tar import EPOCH, gzipping
from relenv.errors import CheckError, ChecksumError, ConfigError
from relenv.pip_shim.image import WHITEOUT
from relenv.pip_shim.packing import blob_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from relenv.bundle.config import ImageOptions
    from relenv.bundle.registry import Reference

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEXES = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")
LAYERS = {
    LAYER: LAYER,
    f"{LAYER}+gzip": f"{LAYER}+gzip",
    f"{LAYER}+zstd": f"{LAYER}+zstd",
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{LAYER}+gzip",
}
"""What the layers of a base can be, and what a manifest of ours calls them: the bytes are the same."""
CREATED = datetime.fromtimestamp(EPOCH, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
PARTS = ("the interpreter and its libraries", "the dependencies", "the program")
"""What the layers on top of a base hold, the one that changes least first."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for in an image that does not say: what docker and podman assume."""
CHUNK = 1 << 20
TRAMPOLINE = re.compile(rb"#!/bin/sh\n(?:.*\n){0,8}?exec \"[^\"\n]*/python3\" (-[A-Za-z]+) \"\$0\" \"\$@\"\n")
"""How a script of ours begins, with the options that it gives to Python."""
LABELS = {"Summary": "description", "License-Expression": "licenses", "Author": "authors", "Home-page": "url"}
"""What is called how as a label (image-spec, annotations.md), by fields of a project's metadata."""
LINKS = {
    "homepage": "url",
    "documentation": "documentation",
    "docs": "documentation",
    "source": "source",
    "sourcecode": "source",
    "repository": "source",
    "github": "source",
}
"""The same by the normalized labels of Project-URL (https://packaging.python.org/en/latest/specifications/well-known-project-urls)."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file or directory in a layer."""

    name: str
    """Without a slash at its beginning."""
    content: Path | bytes | None
    """None for a directory."""
    mode: int
    owner: int = 0
    """User and group."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer that is to be written."""

    what: str
    """For the image's history."""
    files: tuple[File, ...]


@dataclass(frozen=True, kw_only=True)
class Blob:
    """Something that an image layout holds by its digest: a descriptor without annotations."""

    media: str
    digest: str
    """`sha256:...`."""
    size: int
    """Bytes."""

    def descriptor(self) -> dict[str, Any]:
        """Return it as in a manifest."""
        return {"mediaType": self.media, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, kw_only=True)
class Base:
    """What an image is built on."""

    name: str = ""
    """As in `org.opencontainers.image.base.name`; empty if it has none."""
    digest: str = ""
    """Of its manifest."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its image config."""
    blobs: tuple[Blob, ...] = ()
    """Its layers, the lowest first."""
    open: Callable[[str], BinaryIO] | None = None
    """Opens a layer by its digest."""
    own: tuple[Layer, ...] = ()
    """Layers that are to be made."""
    names: frozenset[str] = frozenset()
    """What there is in its layers."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is in an image on top of its base."""

    tree: Path
    path: str
    """Where the tree goes: `/opt/myproject`."""
    project: str
    version: str
    main: str
    """The program in bin/ that is run."""
    flags: str = ""
    """What it is given first, if nothing else is said to be run."""
    options: ImageOptions


def layers_of(
    program: Program, digests: Mapping[str, str], below: Sequence[Mapping[str, str]], base: Base
) -> list[Layer]:
    """Divide a tree into layers: what is in a part of it goes with that part, as long as it is the same.

    Args:
        program: what goes into the image.
        digests: of each of its files, by path.
        below: those of the parts that the tree is made of, the interpreter first.
        base: what has the directories above the program's, or has not.

    Raises:
        CheckError: a file has a name that images cannot hold.
    """
    top = program.path.strip("/")
    parts: list[list[str]] = [[] for _ in PARTS]
    for name, digest in sorted(digests.items()):
        if any(part.startswith(WHITEOUT) for part in name.split("/")):
            raise CheckError(f"{name}: in an image, `{WHITEOUT}` begins the name of what is removed", hint="rename it")
        at = next((at for at, known in enumerate(below) if known.get(name) == digest), len(PARTS) - 1)
        parts[at].append(name)
    parts[-1] += [name for name, _ in walk(program.tree) if name.endswith("/")]
    above = [folder for folder in _above(f"{top}/") if folder not in base.names]
    layers = []
    for what, names in zip(PARTS, parts, strict=True):
        if names:
            files = (_file(program.tree, top, name) for name in names)
            layers.append(Layer(what=what, files=tuple(_with_folders(files, top, above, base.names))))
            above = [folder for folder in above if folder == top]
    return layers


def _above(name: str) -> list[str]:
    """Return the directories that a path goes through: `opt`, `opt/myproject` for `opt/myproject/README.txt`."""
    return [name[:at] for at, letter in enumerate(name) if letter == "/" and at]


def _file(tree: Path, top: str, name: str) -> File:
    path = tree / name
    return File(name=f"{top}/{name}", content=path, mode=plain_mode(path.stat().st_mode))


def _with_folders(files: Iterable[File], top: str, above: Sequence[str], there: frozenset[str]) -> Iterator[File]:
    """Yield files, and before them each directory that they are in: some programs give those not named mode 0600.

    A name that ends in a slash is that of an empty directory. What is there already keeps its owner and its mode.
    """
    made = set(there)
    for folder in above:
        yield File(name=folder, content=None, mode=0o755)
    for file in files:
        for folder in _above(file.name):
            if len(folder) > len(top) and folder not in made:
                made.add(folder)
                yield File(name=folder, content=None, mode=0o755)
        if not file.name.endswith("/"):
            yield file


def write_image(
    out: BinaryIO,
    base: Base,
    layers: Sequence[Layer],
    program: Program,
    *,
    architecture: str,
    reference: Reference,
    level: int,
) -> None:
    """Write an image; the same arguments give the same bytes.

    Args:
        out: an empty file that can be sought in.
        base: what it is built on.
        layers: what goes on top.
        program: what it runs.
        architecture: as Go calls it.
        reference: its name.
        level: zlib's.

    Raises:
        ChecksumError: a layer of the base is not what it should be.
    """
    layout = _Layout(out)
    layout.add("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    for blob in base.blobs:
        layout.copy(blob, base)
    own = [(layer.what, *layout.layer(layer, level)) for layer in (*base.own, *layers)]
    config = layout.put(CONFIG, _config(base, own, program, architecture))
    blobs = [*base.blobs, *(blob for _, blob, _ in own)]
    manifest = layout.put(
        MANIFEST_TYPE,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor(),
            "layers": [blob.descriptor() for blob in blobs],
            **({"annotations": _origin(base)} if base.name else {}),
        },
    )
    # the names by which skopeo and podman (the tag), and containerd (all of it) know what they import
    names = {"io.containerd.image.name": str(reference), "org.opencontainers.image.ref.name": reference.tag}
    platform = {"architecture": architecture, "os": "linux"}
    entry = manifest.descriptor() | {"annotations": names, "platform": platform}
    layout.add("index.json", _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}))
    layout.add("manifest.json", _json([_for_docker(config, blobs, reference)]))
    layout.end()


def _for_docker(config: Blob, layers: Sequence[Blob], reference: Reference) -> dict[str, object]:
    """Return what `docker load` reads in place of the index."""
    return {
        "Config": blob_path(config.digest),
        "RepoTags": [reference.familiar],
        "Layers": [blob_path(blob.digest) for blob in layers],
    }


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _origin(base: Base) -> dict[str, str]:
    return {"org.opencontainers.image.base.name": base.name, "org.opencontainers.image.base.digest": base.digest}


def _config(base: Base, own: Sequence[tuple[str, Blob, str]], program: Program, architecture: str) -> dict[str, Any]:
    """Return the image config: the base's, and what is ours."""
    history = [{"created": CREATED, "created_by": "relenv bundle", "comment": what} for what, _, _ in own]
    before = base.config.get("history") or []
    diffs = [*base.config.get("rootfs", {}).get("diff_ids", ()), *(diff for _, _, diff in own)]
    kept = ("variant", "os.version", "os.features")
    return {
        **{name: base.config[name] for name in kept if name in base.config},
        "created": CREATED,
        "architecture": architecture,
        "os": "linux",
        "config": _run_config(base, program),
        "rootfs": {"type": "layers", "diff_ids": diffs},
        # all layers have one, or none has
        **({"history": [*before, *history]} if before or not base.blobs else {}),
    }


def _run_config(base: Base, program: Program) -> dict[str, Any]:
    """Return how a container is run: as the base says, but for what the program and [tool.relenv.oci] say."""
    options, inherited = program.options, dict(base.config.get("config") or {})
    inherited.pop("Cmd", None)  # it was meant for the base's own entry point
    variables = dict(one.partition("=")[::2] for one in inherited.get("Env") or ())
    variables["PATH"] = f"{program.path}/bin:{variables.get('PATH', PATH)}"
    ports: dict[str, dict[str, str]] = {port if "/" in port else f"{port}/tcp": {} for port in options.ports}
    return {
        **inherited,
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Entrypoint": entrypoint(program, with_shell=not base.own),
        "WorkingDir": options.workdir or program.path,
        "Labels": {**(inherited.get("Labels") or {}), **_labels(program), **options.labels},
        **({"Cmd": list(options.cmd)} if options.cmd else {}),
        **({"User": options.user} if options.user else {}),
        **({"ExposedPorts": {**(inherited.get("ExposedPorts") or {}), **ports}} if ports else {}),
    }


def entrypoint(program: Program, *, with_shell: bool) -> list[str]:
    """Return what a container runs: Python with the script, as the script's own first lines would have it.

    Without these lines it takes no `sh`, which an image need not have.

    Args:
        program: what is in the image.
        with_shell: whether there may be one.

    Raises:
        ConfigError: there is no such program. CheckError: it needs a shell.
    """
    words = list(program.options.entrypoint) or [program.main, *program.flags.split()]
    if "/" in words[0]:
        return words
    path, place = program.tree / "bin" / words[0], f"{program.path}/bin"
    if not path.is_file():
        there = sorted(one.name for one in path.parent.iterdir())
        raise ConfigError(f"oci.entrypoint: the bundle has no bin/{words[0]}", hint=f"it has: {', '.join(there)}")
    with path.open("rb") as file:
        head = file.read(1000)
    if ours := TRAMPOLINE.match(head):
        return [f"{place}/python3", ours[1].decode(), f"{place}/{words[0]}", *words[1:]]
    if head.startswith(b"#!") and not with_shell:
        raise CheckError(f"bin/{words[0]} is a script that needs a shell, and an image without a base has none")
    return [f"{place}/{words[0]}", *words[1:]]


def _labels(program: Program) -> dict[str, str]:
    """Return what the project's metadata says, as labels."""
    found = {"title": program.project, "version": program.version}
    site = [str(path) for path in program.tree.glob("lib/python3.*/site-packages")]
    wanted = canonicalize_name(program.project)
    metadata = next((one.metadata for one in distributions(path=site) if canonicalize_name(one.name) == wanted), None)
    if metadata is not None:
        for name, label in LABELS.items():
            if name in metadata and (value := metadata[name]) != "UNKNOWN":
                found[label] = value
        for link in metadata.get_all("Project-URL") or ():
            name, _, url = link.partition(",")
            if label := LINKS.get(re.sub(r"[\W_]", "", name).lower(), ""):
                found.setdefault(label, url.strip())
    return {f"org.opencontainers.image.{name}": value for name, value in sorted(found.items())}


# --- a layout ---------------------------------------------------------------------------------------------


class _Measure:
    """A file to write to that counts and hashes what goes by."""

    def __init__(self, out: BinaryIO) -> None:
        self.size, self._out, self._hash = 0, out, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._out.write(data)

    def flush(self) -> None:
        """Do nothing: what is below is flushed when it is closed."""

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class _Layout:
    """An image layout being written as a tar: blobs as they come, each under a name that is known only at its end."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._there: set[str] = set()

    def add(self, name: str, data: bytes) -> None:
        with self._member() as (content, called):
            content.write(data)
            called.append(name)

    def put(self, media: str, value: object) -> Blob:
        """Add a blob of JSON."""
        data = _json(value)
        blob = Blob(media=media, digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))
        self.add(blob_path(blob.digest), data)
        return blob

    def copy(self, blob: Blob, base: Base) -> None:
        """Add a layer of the base."""
        if blob.digest in self._there or base.open is None:  # an empty one may be there twice
            return
        with base.open(blob.digest) as source, self._member() as (content, called):
            while chunk := source.read(CHUNK):
                process.check()
                content.write(chunk)
            if content.digest != blob.digest:
                raise ChecksumError(
                    f"{base.name}: a layer has {content.digest}, but {blob.digest} is what it should be"
                )
            called.append(blob_path(blob.digest))
        self._there.add(blob.digest)

    def layer(self, layer: Layer, level: int) -> tuple[Blob, str]:
        """Add a layer; return it, and the digest of what it unpacks to."""
        with self._member() as (content, called):
            with gzipping(cast("BinaryIO", content), level) as packed:
                plain = _Measure(packed)
                with tarfile.open(fileobj=cast("BinaryIO", plain), mode="w|", format=tarfile.PAX_FORMAT) as tar:
                    for file in layer.files:
                        process.check()
                        _add(tar, file)
            called.append(blob_path(content.digest))
        return Blob(media=f"{LAYER}+gzip", digest=content.digest, size=content.size), plain.digest

    def end(self) -> None:
        """Write what ends a tar."""
        self._out.write(bytes(2 * tarfile.BLOCKSIZE))

    @contextmanager
    def _member(self) -> Iterator[tuple[_Measure, list[str]]]:
        """Give a file to write to, and a list for its name; the header is written last."""
        start = self._out.tell()
        self._out.write(bytes(tarfile.BLOCKSIZE))
        content, called = _Measure(self._out), list[str]()
        yield content, called
        self._out.write(bytes(-content.size % tarfile.BLOCKSIZE))
        end = self._out.tell()
        self._out.seek(start)
        (name,) = called
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = content.size, 0o644, EPOCH
        self._out.write(header.tobuf(tarfile.GNU_FORMAT))
        self._out.seek(end)


def _add(tar: tarfile.TarFile, file: File) -> None:
    member = tarfile.TarInfo(file.name)
    member.mtime, member.mode, member.uid, member.gid = EPOCH, file.mode, file.owner, file.owner
    if file.content is None:
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    elif isinstance(file.content, bytes):
        member.size = len(file.content)
        tar.addfile(member, io.BytesIO(file.content))
    else:
        member.size = file.content.stat().st_size
        with file.content.open("rb") as source:
            tar.addfile(member, source)
