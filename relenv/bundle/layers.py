"""The parts of a bundle that stay the same from one run to the next, kept in the store, ready to be linked.

    interpreter ──► trimmed: without what a bundle can do without ──► layer: with the dependencies

A layer is kept by what is in it: the dependencies' checksums, and what was done to them. The project itself is in none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relenv import relocate
from relenv.bundle import content, imported, origins, reach, symbols, uniform
from relenv.bundle import prune as pruning
from relenv.bundle.archive import Pack, codec, pack_tree, walk
from relenv.bundle.content import forget_missing
from relenv.bundle.formats import DEFLATE
from relenv.bundle.keys import KEYS
from relenv.bundle.spare import SPARE, lend, put_back
from relenv.bundle.symbols import drop_debugging
from relenv.bundle.unharmed import TREE, unharmed
from relenv.checksums import sha256_of
from relenv.environment import Environment, copy_tree, create, link_file
from relenv.errors import CacheError, CheckError
from relenv.plan import KEY_LENGTH
from relenv.relocate.bytecode import CACHE
from relenv.relocate.elf import GLIBC_FLOOR, file_floor, is_elf
from relenv.store import remove_tree, write_text
from relenv.ui import slowly, working

if TYPE_CHECKING:
    import os

    from relenv.context import Context
    from relenv.interpreter import Interpreter

INDEX, MODULES = "index.json", "modules.json"
WRITTEN = "written-to"
"""The name of a file that says so, see `Layer.is_written_to`."""
BELOW = {**DEFLATE, "default": 10}
"""For what is squeezed once and kept: it may take three times as long for two percent."""
PATIENCE = 64_000_000
"""Bytes of contents up to which that holds: it takes two seconds. What is larger makes the first bundle wait."""
HASHERS = 2
"""Threads: reading and hashing take turns."""

Fill = Callable[[Environment], Mapping[str, str]]
"""Installs into an environment; returns `sha256:...` of the file that each was installed from, by names."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A part of a bundle in the store."""

    root: Path
    digests: Mapping[str, str]
    """The sha256 of each file of `tree`, by its path there."""
    below: Layer | None = None
    """What it was made on."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """`sha256:...` of the file that something in it was installed from, by normalised names, where it is known."""
    until: float = math.inf
    """When to look anew whether that is still the right thing to install, in seconds since 1970."""
    added: int = 0
    """Bytes of its contents that the layers below it have not."""
    floors: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The oldest glibc that a file of it runs on, by its path, where that is newer than the interpreter's."""
    uses: frozenset[str] = frozenset()
    """What of the standard library it names (`relenv.bundle.reach`), where something of that is left out."""
    usual: Layer | None = None
    """The part of most bundles that it is nearly the same as."""

    @property
    def tree(self) -> Path:
        """The files."""
        return self.root / TREE

    @property
    def layers(self) -> tuple[Layer, ...]:
        """This one and those below it, the lowest first."""
        return (*(self.below.layers if self.below else ()), self)

    @property
    def is_written_to(self) -> bool:
        """Whether a script was seen to write to what is in it."""
        return (self.root / WRITTEN).exists()

    def mark_written_to(self) -> None:
        """Note that."""
        (self.root / WRITTEN).touch()

    def modules(self) -> reach.Modules:
        """Return what each module of the standard library imports, where some are left out."""
        found: reach.Modules = json.loads((self.layers[0].root / MODULES).read_bytes())
        return found


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What is done to everything in a bundle."""

    prune: str
    """One of `relenv.bundle.prune.LEVELS`."""
    bytecode: bool
    keep: frozenset[str] = frozenset()
    """Cuts that the project itself speaks against."""

    @property
    def key(self) -> str:
        """What tells it from others."""
        return json.dumps([self.prune, self.bytecode, sorted(self.keep), _code()])


@cache
def _code() -> str:
    """Return a hash of the code that decides what is in a layer."""
    ours = (pruning, symbols, reach, imported, origins, uniform, content)
    files = [Path(__file__), *(Path(str(one.__file__)) for one in ours), *(Path(relocate.__path__[0]).glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


def trimmed(context: Context, interpreter: Interpreter, treatment: Treatment) -> Layer:
    """Return an interpreter as bundles have it, from the store or made now.

    Where it is not what most bundles have, the bytecode is taken from theirs.
    """
    keep = pruning.of_interpreter(treatment.keep, treatment.prune)
    if treatment.prune == pruning.SAFE:
        keep = pruning.with_what_they_import(keep, interpreter.root / "lib" / f"python{interpreter.series}")
    treatment = dataclasses.replace(treatment, keep=keep)
    most = Treatment(prune=pruning.SAFE, bytecode=treatment.bytecode)
    differs = treatment != most and treatment.prune != pruning.NONE
    usual = trimmed(context, interpreter, most) if differs else None

    def make(root: Path) -> None:
        tree = root / TREE
        copy_tree(interpreter.root, tree, share=True)
        _resolve_links(tree)
        pruning.prune(tree, treatment.prune, treatment.keep)
        if treatment.prune == pruning.MAX:
            write_text(root / MODULES, json.dumps(reach.graph(tree, interpreter.series)) + "\n")
        if treatment.prune != pruning.NONE:
            library = tree / "lib" / f"python{interpreter.series}"
            sources = _take_bytecode(usual, tree, treatment) if usual else sorted(library.iterdir())
            pruning.compile_for(tree, treatment.prune, *sources)
            pruning.prune(tree, treatment.prune, treatment.keep)
            if pruning.UNFROZEN not in treatment.keep:
                pruning.forget_frozen(tree, interpreter.series)
        _seal(root, treatment.keep)

    root = _entry(context, "trimmed", interpreter, treatment.key)
    bundles = "bundles like this one" if differs else "bundles"
    with _making(context, root, make, f"Preparing Python {interpreter.version} for {bundles}"):
        index = _index(root)
        return Layer(root=root, digests=index["digests"], added=index["added"], usual=usual)


def _take_bytecode(usual: Layer, tree: Path, treatment: Treatment) -> list[Path]:
    """Give an interpreter the bytecode that the usual part has; return the sources of which that has none."""
    alone = treatment.prune == pruning.MAX  # it is in the place of its source then
    for stale in sorted(tree.rglob(CACHE)):
        remove_tree(stale)
    for name in usual.digests:
        package, cached, file = name.partition(f"/{CACHE}/")
        source = tree / package / f"{file.partition('.')[0]}.py"
        if not cached or not source.exists():
            continue
        target = source.with_suffix(".pyc") if alone else tree / name
        target.parent.mkdir(exist_ok=True)
        link_file(usual.tree / name, target)
        if alone:
            source.unlink()

    def is_left(name: str) -> bool:
        cold = pruning.is_cold(name, treatment.prune, treatment.keep)
        # what the usual part has no bytecode of, though it could, is frozen
        return alone or (not cold and (name not in usual.digests or pruning.is_cold(name, pruning.SAFE)))

    return [tree / name for name in sorted(name for name, _ in walk(tree)) if name.endswith(".py") and is_left(name)]


def layer(
    context: Context, interpreter: Interpreter, treatment: Treatment, *, key: str, fill: Fill, work: Path
) -> Layer:
    """Return all that a bundle has besides its project, from the store or made now.

    Args:
        context: the edges.
        interpreter: the Python.
        treatment: of what is in it.
        key: tells what `fill` installs from all else; empty if nobody can know: then nothing is kept.
        fill: installs the dependencies.
        work: a directory that is removed after the bundle is made.
    """

    def make(root: Path) -> None:
        _make_layer(context, interpreter, treatment, fill, root)

    if key:
        root = _entry(context, "layer", interpreter, treatment.key, key)
        with _making(context, root, make):
            index = _index(root)
    else:
        root = work / "layer"
        root.mkdir()
        make(root)
        index = _index(root)
    below = trimmed(context, interpreter, dataclasses.replace(treatment, keep=frozenset(index["keep"])))
    facts = {name: index[name] for name in ("digests", "origins", "added", "floors")}
    return Layer(root=root, below=below, uses=frozenset(index["uses"]), **facts)


def _make_layer(context: Context, interpreter: Interpreter, treatment: Treatment, fill: Fill, root: Path) -> None:
    environment = create(interpreter, root / "environment", share=True)
    with unharmed(context.cache, interpreter):
        files = fill(environment)
    own_files(interpreter, environment.root)
    uniform.settle(environment)
    added, gone = _changes(interpreter.root, environment.root)
    tops = sorted({path for name in added if (path := _top(environment, name))})
    keep = treatment.keep | pruning.kept(pruning.texts(environment.root, tops), treatment.prune)
    below = trimmed(context, interpreter, dataclasses.replace(treatment, keep=keep))
    uses: frozenset[str] = frozenset()
    if treatment.prune == pruning.MAX:
        stays = [environment.root / name for name in added if not pruning.goes(name, treatment.prune, keep)]
        uses = reach.named(environment.root, below.modules(), stays, root)
    tree = root / TREE
    copy_tree(below.tree, tree, share=True)
    for name in (*added, *gone):
        remove_tree(tree / name)
        _remove_empty((tree / name).parent)
    for name in added:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (environment.root / name).rename(tree / name)
    installed = [tree / top.relative_to(environment.root) for top in tops]
    if treatment.prune != pruning.NONE:
        drop_debugging(tree, installed, context.toolchain())
    pruning.prune_aside(tree, treatment.prune, keep)
    finish(tree, treatment, keep, installed)
    remove_tree(environment.root)
    _seal(root, keep, below, uses, files)


def finish(
    tree: Path, treatment: Treatment, keep: frozenset[str], tops: Sequence[Path], own: Collection[str] = ()
) -> None:
    """Give what was installed its bytecode, and take away what a bundle can do without.

    Args:
        tree: the bundle.
        treatment: what is to be done.
        keep: cuts that are not made.
        tops: what was installed: files and directories in site-packages.
        own: names of scripts that stay, though another's of that name would go: a project may call its own `pip`.
    """
    if treatment.bytecode:
        pruning.compile_for(tree, treatment.prune, *tops, keep=keep)
    programs = [path for path in sorted(tree.glob("bin/*")) if path.name not in own]
    pruning.prune(tree, treatment.prune, keep, [*tops, *programs])
    if treatment.prune != pruning.NONE:
        forget_missing(tree)


def link(layer: Layer, root: Path) -> None:
    """Make a bundle's tree of a layer: its files are the store's, and must be replaced, not written to."""
    lend(layer.tree, layer.root / SPARE, root)


def give_back(layer: Layer, root: Path) -> None:
    """Have the next bundle made of the same tree; one that something else may still write to is not for others.

    Nor is one of copies, where the file system has no hard links.
    """
    python = "bin/python3"
    with suppress(OSError):  # the bundle is made
        if not layer.is_written_to and (layer.tree / python).samefile(root / python):
            put_back(root, layer.root / SPARE)


def packs(context: Context, layer: Layer, compression: str, *, patient: bool = False) -> tuple[Pack, ...]:
    """Return the contents of a layer and of those below it squeezed, kept from one time to the next.

    Args:
        context: the edges.
        layer: the uppermost.
        compression: how hard.
        patient: whether size matters more than the time that the first bundle takes.
    """
    if compression == "store":
        return ()
    found: list[Pack] = []
    for one in layer.layers:
        if one.usual:  # it need not have been squeezed
            with suppress(CacheError):
                found.append(Pack.open(_pack(one.usual, effort(one.usual, compression, patient=patient))))
        level = effort(one, compression, patient=patient)
        path = _pack(one, level)
        with context.cache.lock(one.root.name, context.ui):
            try:
                found.append(Pack.open(path))
            except CacheError:
                what = "what the project needs" if one.below else "Python"
                with working(context.ui, f"Compressing {what}, once"):
                    made = pack_tree(one.tree, path, level=level, jobs=context.jobs, but=found, digests=one.digests)
                found.append(made)
    return tuple(found)


def effort(layer: Layer, compression: str, *, patient: bool) -> int:
    """Return libdeflate's level for what a layer adds to those below it."""
    return (BELOW if patient or layer.added <= PATIENCE else DEFLATE)[compression]


def _pack(layer: Layer, level: int) -> Path:
    return layer.root / f"pack-{re.sub(r'[^a-z0-9.]+', '-', codec(level))}"


def prepare(context: Context, interpreter: Interpreter) -> None:
    """Have in the store what most bundles hold of an interpreter, squeezed: with the usual settings, and with `max`."""
    usual: dict[str, Any] = {name: KEYS[name].default for name in ("prune", "bytecode", "compression")}
    for level in (usual["prune"], pruning.MAX):
        below = trimmed(context, interpreter, Treatment(prune=level, bytecode=usual["bytecode"]))
        packs(context, below, usual["compression"])


def digests(tree: Path, layer: Layer) -> dict[str, str]:
    """Return the sha256 of every file in a tree, by its path there; those of a layer are known."""
    found: dict[str, str] = {}
    rest: list[str] = []
    same = {name: _file_of(entry) for name, entry in walk(layer.tree)} if layer.digests else {}
    for name, entry in walk(tree):
        if name in layer.digests and _file_of(entry) == same.get(name):
            found[name] = layer.digests[name]
        elif entry.is_file():
            rest.append(name)
    with ThreadPoolExecutor(HASHERS) as pool:
        found |= zip(rest, pool.map(lambda name: sha256_of(tree / name), rest), strict=True)
    return dict(sorted(found.items()))


def _file_of(entry: os.DirEntry[str]) -> tuple[int, int]:
    status = entry.stat(follow_symlinks=False)
    return status.st_dev, status.st_ino


def _entry(context: Context, kind: str, interpreter: Interpreter, *parts: str) -> Path:
    key = hashlib.sha256(json.dumps([interpreter.key, *parts]).encode()).hexdigest()[:KEY_LENGTH]
    return context.cache.store / f"{kind}-{interpreter.root.name}-{key}"


@contextmanager
def _making(context: Context, root: Path, make: Callable[[Path], None], text: str = "") -> Iterator[None]:
    """Have an entry of the store made if it is missing; it is in use from here on."""
    context.cache.use(root)
    if not root.is_dir():
        with context.cache.lock(root.name, context.ui):
            if not root.is_dir():
                with context.cache.beside(root) as partial, slowly(context.ui if text else None, text):
                    make(partial)
    yield


def _seal(
    root: Path,
    keep: frozenset[str],
    below: Layer | None = None,
    uses: frozenset[str] = frozenset(),
    origins: Mapping[str, str] | None = None,
) -> None:
    tree, known = root / TREE, below or Layer(root=root, digests={})
    found = digests(tree, known)
    old = frozenset(known.digests.values())
    new = {digest: name for name, digest in found.items() if digest not in old}
    added = sum((tree / name).stat().st_size for name in new.values())
    fresh = [name for name, digest in found.items() if known.digests.get(name) != digest]
    index = {
        "keep": sorted(keep),
        "uses": sorted(uses),
        "origins": origins or {},
        "added": added,
        "floors": floors(tree, fresh if below else ()),  # what the interpreter needs is told for all bundles
        "digests": found,
    }
    write_text(root / INDEX, json.dumps(index) + "\n")


def floors(tree: Path, names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return the oldest glibc that files run on, by their paths: of those that need a newer one than the interpreter.

    Args:
        tree: where they are.
        names: theirs, relative to it.
    """
    found = {name: file_floor(path) for name in names if is_elf(path := tree / name)}
    return {name: floor for name, floor in found.items() if floor > GLIBC_FLOOR}


def _index(root: Path) -> dict[str, Any]:
    try:
        index = json.loads((root / INDEX).read_bytes())
        return {name: index[name] for name in ("keep", "uses", "origins", "added", "floors", "digests")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CacheError(f"{root} is damaged", hint="remove it; it is made anew when needed") from error


def _changes(before: Path, after: Path) -> tuple[list[str], list[str]]:
    """Return what is new or another file in a copy that shared its files, and what is gone from it."""
    old = {name: entry.inode() for name, entry in walk(before) if not name.endswith("/")}
    new = {name: entry.inode() for name, entry in walk(after) if not name.endswith("/")}
    links = {name for name in old.keys() & new.keys() if (before / name).is_symlink() and (after / name).is_symlink()}

    def same(name: str) -> bool:
        # a file system without hard links has copied everything
        return name in links or old.get(name) == new[name] or (name in old and _alike(before / name, after / name))

    return [name for name in sorted(new) if not same(name)], sorted(old.keys() - new.keys())


def _remove_empty(folder: Path) -> None:
    """Remove a directory and those above it as far as they are empty."""
    with suppress(OSError):
        while True:
            folder.rmdir()
            folder = folder.parent


def _alike(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _top(environment: Environment, name: str) -> Path | None:
    """Return the file or directory of site-packages that holds a file of an environment."""
    path = environment.root / name
    site = environment.site_packages
    return site / path.relative_to(site).parts[0] if path.is_relative_to(site) else None


def _resolve_links(root: Path) -> None:
    """Leave no symbolic link: not every program that unpacks a zip makes them.

    Other names of what lies in the same directory go (`python3.13`, `libz.so`): nothing at run time asks for
    them. Any other link becomes a copy of what it points to.
    """
    for path in sorted(root.rglob("*")):
        if not path.is_symlink():
            continue
        target = path.resolve()
        path.unlink()
        if not target.exists() or not target.is_relative_to(root.resolve()) or target.parent == path.parent.resolve():
            continue
        if target.is_dir():
            shutil.copytree(target, path)
        else:
            shutil.copy2(target, path)


def own_files(interpreter: Interpreter, root: Path) -> None:
    """Have what is the interpreter's as it was, and relenv's own names free, whatever a package has put there.

    Raises:
        CheckError: it has put a script in the place of the interpreter itself.
    """
    _own_python(interpreter, root)
    for name in (*content.TOLD, content.README):
        path, ours = root / name, interpreter.root / name
        if path.exists() and not (path.is_file() and ours.is_file() and _alike(path, ours)):
            content.drop(root, [path])
            if ours.is_file():
                link_file(ours, path)


def _own_python(interpreter: Interpreter, root: Path) -> None:
    for name in ("python3", "python", f"python{interpreter.series}"):
        ours, theirs = interpreter.root / "bin" / name, root / "bin" / name
        if theirs.is_file() and theirs.read_bytes() != ours.read_bytes():
            raise CheckError(f"a package installed a script named {name}, which is the interpreter's own name")
