"""An image layout, or a tar of one: each blob has a digest, each layer that of what it unpacks to as well.

What the parts mean: https://github.com/opencontainers/image-spec, image-layout.md, config.md and layer.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import tarfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from .contents import Contents, Gathered, gather, names_in
from .packing import LAYOUT, MANIFEST, DamagedError, Difference, NotABundleError, Peeked, blob_path, damage_named, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

INDEX, DOCKER = "index.json", "manifest.json"
"""What a layout has besides its blobs; `docker load` goes by the second."""
LARGEST = 1 << 22
"""Bytes: indexes, manifests and configurations of images have fewer."""
DEPTH = 3
"""Indexes in indexes."""
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
"""How the name of a file begins that removes another from the layers below, and the one that removes all beside it."""


@dataclass(frozen=True)
class Layout:
    """An image layout: a directory, or a tar of one."""

    sizes: Mapping[str, int]
    """Its files, with their bytes."""
    open: Callable[[str], BinaryIO]
    twice: Sequence[str] = ()
    """Names that are there more than once."""


@dataclass(frozen=True)
class Blob:
    """A file of a layout, as a descriptor says that it is."""

    digest: str
    size: int
    """Bytes."""

    @property
    def name(self) -> str:
        """Its path in the layout."""
        return blob_path(self.digest)


@dataclass(frozen=True)
class Stack:
    """What an image is made of."""

    top: str
    """The directory of the bundle, from the root of the image, without slashes around it."""
    config: Blob
    layers: Sequence[Blob]
    """The lowest first."""
    diffs: Sequence[str]
    """The digests of what they unpack to, one for each."""


@contextmanager
def layout_of(path: Path) -> Iterator[Layout]:
    """Open an image layout.

    Raises:
        DamagedError: a tar of one cannot be read. OSError: a directory cannot.
    """
    if path.is_dir():
        sizes = {name: (path / name).stat().st_size for name in names_in(os.fspath(path)) if (path / name).is_file()}
        yield Layout(sizes, lambda name: (path / name).open("rb"))
        return
    with damage_named(), tarfile.open(path, "r:") as tar:
        found = [(posixpath.normpath(member.name), member) for member in tar if member.isreg()]
        members, counts = dict(found), Counter(name for name, _ in found)
        sizes = {name: member.size for name, member in members.items()}
        twice = [name for name, count in counts.items() if count > 1]
        yield Layout(sizes, lambda name: cast("BinaryIO", tar.extractfile(members[name])), twice)


def in_image(path: Path) -> Contents:
    """Return what the bundle's directory has in a container.

    Raises:
        NotABundleError: it is an image of something else.
        DamagedError: what is in it cannot be told.
    """
    with layout_of(path) as layout:
        image = Image(layout)
        stack = image.stack()
        found = Gathered()
        layers = [image.layer(blob, diff, stack.top) for blob, diff in zip(stack.layers, stack.diffs)]  # noqa: B905 - as many
        image.compare_docker(stack)
        if None in layers:
            raise DamagedError("its layers cannot be read", image.differences)
        for layer in layers:
            _lay_over(found, *cast("tuple[Gathered, Window]", layer))
        image.tell_what_is_left_over()
    if MANIFEST not in found.manifests:
        raise NotABundleError(f"{path} is an image of something else: /{stack.top} in it has no {MANIFEST}")
    contents = found.contents(path)
    return Contents(files=contents.files, manifest=contents.manifest, odd=contents.odd, around=image.differences)


class Image:
    """An image that is being read, and what is wrong with it.

    Args:
        layout: holds it.
    """

    def __init__(self, layout: Layout) -> None:
        self.differences = [Difference("changed", name, "is there more than once") for name in layout.twice]
        self._layout = layout
        self._seen = {LAYOUT, INDEX, DOCKER}

    def stack(self) -> Stack:
        """Return what the one image that is there is made of.

        Raises:
            DamagedError: that cannot be told. NotABundleError: there are several images.
        """
        with self._sense():
            manifest = self._manifest()
            described = _blob(manifest["config"])
            config = self._document(described)
            layers, diffs = (
                [_blob(one) for one in manifest["layers"]],
                [str(one) for one in config["rootfs"]["diff_ids"]],
            )
            if len(layers) != len(diffs):
                raise DamagedError("its configuration has not as many layers as its manifest")
            stack = Stack(_top(config), described, layers, diffs)
        return stack  # noqa: RET504 - mypy takes it that what is managed may end early

    def layer(self, blob: Blob, diff: str, top: str) -> tuple[Gathered, Window] | None:
        """Return what a layer has; None if it cannot be read.

        Args:
            blob: the layer.
            diff: the digest of what it unpacks to.
            top: the directory, from which names are taken; what is beside it is passed over.
        """
        if blob.name not in self._layout.sizes:
            self._tell("missing", blob.name, "is not there")
            return None
        found, window, reason = Gathered(), Window(top), ""
        with self._layout.open(blob.name) as file:
            unpacked = packed = Peeked(file)
            try:
                with damage_named():
                    unpacked = Peeked(plain(packed))
                    gather(cast("BinaryIO", unpacked), found, window.name)
            except DamagedError as error:
                reason = str(error)
            while packed.read():
                pass
        self._verify(blob, packed.digest.hexdigest())
        if reason:
            self._tell("damaged", blob.name, reason)
            return None
        if f"sha256:{unpacked.digest.hexdigest()}" != diff:
            self._tell("changed", blob.name, "does not unpack to what the configuration says")
        return found, window

    def compare_docker(self, stack: Stack) -> None:
        """Hold what `docker load` goes by against the manifest.

        Raises:
            DamagedError: it cannot be read.
        """
        if DOCKER in self._layout.sizes:
            wanted = [one.name for one in (stack.config, *stack.layers)]
            with self._sense():
                images = json.loads(self._small(DOCKER))
                if [[image["Config"], *image["Layers"]] for image in images] != [wanted]:
                    self._tell("changed", DOCKER, "names other blobs than the manifest")

    def tell_what_is_left_over(self) -> None:
        """Enter the files that nothing has named."""
        for name in sorted(self._layout.sizes.keys() - self._seen):
            self._tell("added", name, "belongs to no image")

    def _tell(self, kind: str, name: str, what: str) -> None:
        self.differences.append(Difference(kind, name, what))

    @contextmanager
    def _sense(self) -> Iterator[None]:
        """Turn what documents lead to that are not of the shape they should be into a sentence."""
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            message = f"its index, manifest or configuration makes no sense ({type(error).__name__}: {error})"
            raise DamagedError(message, self.differences) from None

    def _manifest(self) -> Any:
        json.loads(self._small(LAYOUT))["imageLayoutVersion"]
        document = json.loads(self._small(INDEX))
        for _ in range(DEPTH):
            if "manifests" not in document:
                break
            if len(document["manifests"]) != 1:
                raise NotABundleError(f"the layout has {len(document['manifests'])} images; what relenv writes has one")
            document = self._document(_blob(document["manifests"][0]))
        return document

    def _small(self, name: str) -> bytes:
        if name not in self._layout.sizes:
            self._tell("missing", name, "is not there")
            raise DamagedError(f"{name} is not there", self.differences)
        with self._layout.open(name) as file:
            return file.read(LARGEST)

    def _document(self, blob: Blob) -> Any:
        data = self._small(blob.name)
        self._verify(blob, hashlib.sha256(data).hexdigest())
        try:
            return json.loads(data)
        except ValueError:
            raise DamagedError(f"{blob.name} cannot be read", self.differences) from None

    def _verify(self, blob: Blob, sha256: str) -> None:
        self._seen.add(blob.name)
        size = self._layout.sizes[blob.name]
        if size != blob.size:
            self._tell("changed", blob.name, f"has {size} bytes in place of {blob.size}")
        elif f"sha256:{sha256}" != blob.digest:
            self._tell("changed", blob.name, "does not have the digest that is its name")


def _blob(descriptor: Mapping[str, Any]) -> Blob:
    return Blob(str(descriptor["digest"]), int(descriptor["size"]))


def _top(config: Any) -> str:
    """Return where the bundle is: its programs are found first."""
    variables = dict(one.partition("=")[::2] for one in config["config"].get("Env") or ())
    first: str = variables.get("PATH", "").partition(":")[0]
    return posixpath.dirname(first).strip("/")


class Window:
    """What is seen of a layer from a directory.

    Args:
        top: the directory, from the root of the image, as Stack has it.
    """

    def __init__(self, top: str) -> None:
        self.clears = False
        """Whether nothing of the directory stays as it is in the layers below."""
        self.folders: set[str] = set()
        """The directories in it that the layer names."""
        self._top = top

    def name(self, member: tarfile.TarInfo) -> str:
        """Return under which name a member goes; empty if it is not in the directory."""
        self.clears = self.clears or clears(self._top, member)
        name = _from_root(member.name)
        below = name[len(self._top) + 1 :] if name.startswith(f"{self._top}/") else ""
        if below and member.isdir():
            self.folders.add(below)
        return below


def clears(top: str, member: tarfile.TarInfo) -> bool:
    """Tell whether a member removes a directory of the layers below, or one that it is in, or takes its place.

    Args:
        top: the directory, from the root of the image, as Stack has it.
        member: of a layer.
    """
    folder, name = posixpath.split(_from_root(member.name))
    if name == OPAQUE:
        return not folder or top.startswith(f"{folder}/")
    gone = posixpath.join(folder, name.removeprefix(WHITEOUT))
    return not member.isdir() and f"{top}/".startswith(f"{gone}/")


def _from_root(name: str) -> str:
    return posixpath.normpath(f"/{name}").strip("/")


def _lay_over(below: Gathered, layer: Gathered, window: Window) -> None:
    """Lay what is in a layer over what is in those below (image-spec, layer.md)."""
    gone = {""} if window.clears else set()
    for name in [name for name in layer.files if posixpath.basename(name).startswith(WHITEOUT)]:
        del layer.files[name]
        folder, hidden = posixpath.split(name)
        gone.add(folder if hidden == OPAQUE else posixpath.join(folder, hidden.removeprefix(WHITEOUT)))
    # what is no directory hides all that is in one, and a directory what is none
    gone |= layer.files.keys()
    folders = window.folders.union(*(_upwards(posixpath.dirname(name)) for name in layer.files))
    for one in [one for one in below.files if one in folders or not gone.isdisjoint(_upwards(one))]:
        del below.files[one]
        below.manifests.pop(one, None)
    below.files.update(layer.files)
    below.odd += layer.odd
    below.manifests.update(layer.manifests)


def _upwards(name: str) -> Iterator[str]:
    """Yield a path, each directory that it is in, and an empty one for that from which it is told."""
    while name:
        yield name
        name = posixpath.dirname(name)
    yield ""
