"""Images of containers: what is in them, what they are built on, and how a base comes from a registry."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import shutil
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from relenv.bundle import zstandard
from relenv.bundle.base import ETC, LIBRARIES, LICENCES, open_base
from relenv.bundle.config import ImageOptions
from relenv.bundle.keys import NO_BASE_USERS
from relenv.bundle.oci import Base, File, Layer, Program, entrypoint, layers_of, write_image
from relenv.bundle.registry import Registry, name_of, parse_reference
from relenv.context import Context
from relenv.download import Fetcher, FetchError
from relenv.errors import CheckError, ChecksumError, ConfigError, SourceError
from relenv.pip_shim.scripts import trampoline
from relenv.platforms import PLATFORMS
from relenv.store import open_cache
from relenv.toolchain import Toolchain
from relenv.ui import PlainUi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LINUX = PLATFORMS["x86_64-linux-gnu"]
LOADER = LINUX.loader.rpartition("/")[2]
TAG = name_of("Example App", "1.0+local")
GLIBC = b"GNU C Library (Debian) stable release version 2.36."


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A tree as a bundle has it."""
    tree = tmp_path / "tree"
    info = tree / "lib/python3.13/site-packages/example-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: Example\nVersion: 1.0\nSummary: an example\nLicense-Expression: MIT\n"
        "Project-URL: Source Code, https://example.org/git\nProject-URL: Chat, https://example.org/chat\n"
    )
    (tree / "bin").mkdir()
    for name, data in {
        "python3": b"\x7fELF",
        "example": trampoline(b"print(1)\n"),
        "loud": trampoline(b"print(1)\n", flags="u"),
        "open": trampoline(b"print(1)\n").replace(b'/python3" -I', b'/python3" -P'),
        "shell": b"#!/bin/sh\necho\n",
    }.items():
        (tree / "bin" / name).write_bytes(data)
        (tree / "bin" / name).chmod(0o755)
    (tree / "README.txt").write_text("read me")
    return Program(
        tree=tree, path="/opt/example", project="example", version="1.0", main="example", options=ImageOptions()
    )


def digests(tree: Path) -> dict[str, str]:
    files = (path for path in sorted(tree.rglob("*")) if path.is_file())
    return {path.relative_to(tree).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def image(into: Path, program: Program, base: Base, layers: list[Layer]) -> Path:
    with into.open("w+b") as out:
        write_image(out, base, layers, program, architecture="amd64", reference=TAG, level=6)
    return into


@dataclass
class Read:
    """An image as any reader finds it, from index.json down, each digest verified."""

    members: dict[str, bytes]

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        data = self.members[f"blobs/{descriptor['digest'].replace(':', '/')}"]
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == descriptor["digest"]
        assert len(data) == descriptor["size"]
        return data

    @property
    def manifest(self) -> Any:
        (entry,) = json.loads(self.members["index.json"])["manifests"]
        return json.loads(self.blob(entry))

    @property
    def config(self) -> Any:
        return json.loads(self.blob(self.manifest["config"]))

    def layers(self) -> list[list[tarfile.TarInfo]]:
        """Return what is in each layer, once its diff_id is seen to be right."""
        found = []
        diffs = self.config["rootfs"]["diff_ids"]
        for descriptor, diff in zip(self.manifest["layers"], diffs, strict=True):
            assert descriptor["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
            plain = gzip.decompress(self.blob(descriptor))
            assert f"sha256:{hashlib.sha256(plain).hexdigest()}" == diff
            with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
                found.append(tar.getmembers())
        return found


def read(path: Path) -> Read:
    with tarfile.open(path, "r:") as tar:
        members = {one.name: file.read() for one in tar if (file := tar.extractfile(one))}
    assert json.loads(members["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    return Read(members)


# --- what is in an image ----------------------------------------------------------------------------------


def test_each_part_is_a_layer_and_directories_are_named(program: Program, tmp_path: Path) -> None:
    all_files = digests(program.tree)
    interpreter = {"bin/python3": all_files["bin/python3"], "README.txt": "another"}
    below = (interpreter, interpreter | {"bin/loud": all_files["bin/loud"]})
    layers = layers_of(program, all_files, below, Base())
    assert [[file.name for file in layer.files] for layer in layers[:2]] == [
        ["opt", "opt/example", "opt/example/bin", "opt/example/bin/python3"],
        ["opt/example", "opt/example/bin", "opt/example/bin/loud"],
    ]
    assert "opt/example/README.txt" in {file.name for file in layers[2].files}
    found = read(image(tmp_path / "a.tar", program, Base(), layers))
    assert [[one.name for one in layer] for layer in found.layers()] == [
        [file.name for file in layer.files] for layer in layers
    ]
    modes = {one.name: (one.isdir(), one.mode, one.uid, one.mtime) for layer in found.layers() for one in layer}
    assert modes["opt"] == modes["opt/example/bin"] == (True, 0o755, 0, 1577836800)
    assert modes["opt/example/bin/example"] == (False, 0o755, 0, 1577836800)
    assert modes["opt/example/README.txt"] == (False, 0o644, 0, 1577836800)


def test_empty_directories_are_there(program: Program, tmp_path: Path) -> None:
    (program.tree / "var/spool").mkdir(parents=True)
    layers = layers_of(program, digests(program.tree), (), Base())
    found = read(image(tmp_path / "a.tar", program, Base(), layers)).layers()[-1]
    assert [(one.name, one.mode) for one in found if one.name.startswith("opt/example/var")] == [
        ("opt/example/var", 0o755),
        ("opt/example/var/spool", 0o755),
    ]
    assert len({one.name for one in found}) == len(found)


def test_what_the_base_has_is_left_as_it_is(program: Program) -> None:
    layers = layers_of(program, digests(program.tree), (), Base(names=frozenset({"opt"})))
    assert [file.name for file in layers[0].files][:2] == ["opt/example", "opt/example/README.txt"]
    layers = layers_of(program, digests(program.tree), (), Base(names=frozenset({"opt", "opt/example"})))
    assert "opt/example" not in [file.name for file in layers[0].files]
    assert "opt/example/bin" in [file.name for file in layers[0].files]


@pytest.mark.parametrize("path", ["/home/nonroot/app", "/home/nonroot", "/tmp"])  # noqa: S108 - of an image
def test_a_home_without_a_base_stays_its_owners(
    program: Program, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    toolchain = Toolchain(name="ppbt-1", triplet="x", key="", root=tmp_path / "toolchain")
    for name in (
        *(f"x/sysroot/lib/{one}" for one in (*LIBRARIES, LOADER)),
        *(f"share/licenses/{one}" for one in LICENCES),
    ):
        (toolchain.root / name).parent.mkdir(parents=True, exist_ok=True)
        (toolchain.root / name).touch()
    toolchain.tool("strip").parent.mkdir()
    toolchain.tool("strip").write_text('#!/bin/sh\ncp "$4" "$3"\n')
    toolchain.tool("strip").chmod(0o755)
    monkeypatch.setattr(Context, "toolchain", lambda _: toolchain)
    program = dataclasses.replace(program, path=path)
    with open_base(context, "none", glibc="2.17") as base:
        layers = layers_of(program, digests(program.tree), (), base)
        found = read(image(tmp_path / "a.tar", program, base, layers)).layers()
    owners = {one.name: (one.mode, one.uid) for layer in found for one in layer}
    assert (owners["home/nonroot"], owners["tmp"]) == ((0o700, 65532), (0o1777, 0))
    assert owners[f"{path.strip('/')}/bin/example"] == (0o755, 0)


def test_a_name_that_means_removal_is_refused(program: Program) -> None:
    (program.tree / "bin/.wh.example").touch()
    with pytest.raises(CheckError, match=r"bin/.wh.example: in an image"):
        layers_of(program, digests(program.tree), (), Base())
    (program.tree / "bin/.wh.example").unlink()
    (program.tree / ".wh.folder").mkdir()
    (program.tree / ".wh.folder/file").touch()
    with pytest.raises(CheckError, match=r".wh.folder/file: in an image"):
        layers_of(program, digests(program.tree), (), Base())


def test_the_same_tree_gives_the_same_bytes(program: Program, tmp_path: Path) -> None:
    other = dataclasses.replace(program, tree=shutil.copytree(program.tree, tmp_path / "other", symlinks=True))
    (other.tree / "README.txt").touch()
    made = [
        image(tmp_path / f"{at}.tar", one, Base(), layers_of(one, digests(one.tree), (), Base())).read_bytes()
        for at, one in enumerate((program, other))
    ]
    assert made[0] == made[1]


def test_docker_and_containerd_find_their_names(program: Program, tmp_path: Path) -> None:
    found = read(image(tmp_path / "a.tar", program, Base(), layers_of(program, digests(program.tree), (), Base())))
    (entry,) = json.loads(found.members["index.json"])["manifests"]
    assert entry["annotations"] == {
        "io.containerd.image.name": "docker.io/library/example-app:1.0-local",
        "org.opencontainers.image.ref.name": "1.0-local",
    }
    (docker,) = json.loads(found.members["manifest.json"])
    assert docker["RepoTags"] == ["example-app:1.0-local"]
    assert {docker["Config"], *docker["Layers"]} <= set(found.members)
    config = found.config
    assert (config["created"], config["os"], config["architecture"]) == ("2020-01-01T00:00:00Z", "linux", "amd64")
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"])
    assert config["config"]["Labels"] == {
        "org.opencontainers.image.title": "example",
        "org.opencontainers.image.version": "1.0",
        "org.opencontainers.image.description": "an example",
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.source": "https://example.org/git",
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["python3", "-I", "example"]),
        (["loud", "a b"], ["python3", "-Iu", "loud", "a b"]),
        (["open"], ["python3", "-P", "open"]),
        (["python3", "-m", "x"], ["python3", "-m", "x"]),
        (["shell"], ["shell"]),
    ],
)
def test_a_script_is_run_by_python_itself(program: Program, words: list[str], expected: list[str]) -> None:
    program = dataclasses.replace(program, options=ImageOptions(entrypoint=tuple(words)))
    names = {path.name for path in (program.tree / "bin").iterdir()}
    found = entrypoint(program, with_shell=True)
    assert [
        one.removeprefix("/opt/example/bin/") if one.rpartition("/")[2] in names else one for one in found
    ] == expected
    assert found[0].startswith("/opt/example/bin/")


def test_without_scripts_python_is_isolated_unless_another_is_asked_for(program: Program) -> None:
    program = dataclasses.replace(program, main="python3", flags="-I")
    assert entrypoint(program, with_shell=False) == ["/opt/example/bin/python3", "-I"]
    asked = dataclasses.replace(program, options=ImageOptions(entrypoint=("python3", "-c", "1")))
    assert entrypoint(asked, with_shell=False) == ["/opt/example/bin/python3", "-c", "1"]


def test_an_entry_point_that_cannot_be(program: Program) -> None:
    options = ImageOptions(entrypoint=("shell",))
    with pytest.raises(CheckError, match="bin/shell is a script that needs a shell"):
        entrypoint(dataclasses.replace(program, options=options), with_shell=False)
    options = ImageOptions(entrypoint=("exampel",))
    with pytest.raises(ConfigError, match=r"the bundle has no bin/exampel"):
        entrypoint(dataclasses.replace(program, options=options), with_shell=True)
    options = ImageOptions(entrypoint=("/bin/sh", "-c"))
    assert entrypoint(dataclasses.replace(program, options=options), with_shell=False) == ["/bin/sh", "-c"]


# --- what it is built on ----------------------------------------------------------------------------------


def system(*, version: bytes = GLIBC, loader: str = LINUX.loader) -> Layer:
    files = {"usr/bin/sh": b"sh", loader: b"ld", "lib/x86_64-linux-gnu/libc.so.6": version}
    return Layer(
        what="a system",
        files=(
            File(name="opt", content=None, mode=0o711),
            *(File(name=name, content=data, mode=0o755) for name, data in files.items()),
        ),
    )


@pytest.fixture
def layout(program: Program, tmp_path: Path) -> Path:
    """A system as an image layout, with things to be inherited in its config."""
    options = ImageOptions(
        entrypoint=("/usr/bin/sh",), cmd=("-c",), user="7", ports=("22",), labels={"a": "b"}, workdir="/w"
    )
    return image(tmp_path / "base.tar", dataclasses.replace(program, options=options), Base(), [system()])


@pytest.fixture
def context(tmp_path: Path) -> Context:
    environ = {"RELENV_DATA": str(tmp_path / "data"), "HOME": str(tmp_path / "home")}
    return Context(environ=environ, ui=PlainUi(Console(file=io.StringIO())), jobs=1)


def unpacked(layout: Path) -> Path:
    folder = layout.with_suffix("")
    with tarfile.open(layout) as tar:
        tar.extraction_filter = tarfile.data_filter
        tar.extractall(folder)  # noqa: S202 - our own
    return folder


@pytest.mark.parametrize("kind", ["tar", "directory"])
def test_an_image_on_a_layout(program: Program, layout: Path, context: Context, tmp_path: Path, kind: str) -> None:
    path = layout if kind == "tar" else unpacked(layout)
    options = ImageOptions(user="8:9", ports=("8080", "53/udp"), labels={"c": "d"}, cmd=("--help",))
    program = dataclasses.replace(program, options=options)
    with open_base(context, str(path), glibc="2.36") as base:
        assert {"opt", "usr/bin/sh"} <= base.names
        layers = layers_of(program, digests(program.tree), (), base)
        found = read(image(tmp_path / "on.tar", program, base, layers))
    below = read(layout)
    assert found.manifest["layers"][0] == below.manifest["layers"][0]
    assert len(found.layers()) == len(found.config["history"]) == 2
    assert "opt" not in [one.name for one in found.layers()[1]]
    run = found.config["config"]
    before = below.config["config"]["Env"][0].removeprefix("PATH=")
    assert run["Env"] == [f"PATH=/opt/example/bin:{before}"]
    assert (run["User"], run["WorkingDir"], run["Cmd"]) == ("8:9", "/opt/example", ["--help"])
    assert run["ExposedPorts"] == {"22/tcp": {}, "8080/tcp": {}, "53/udp": {}}
    assert (run["Labels"]["a"], run["Labels"]["c"]) == ("b", "d")


def test_what_the_base_says_holds_but_for_its_cmd(
    program: Program, layout: Path, context: Context, tmp_path: Path
) -> None:
    with open_base(context, str(layout), glibc="2.17") as base:
        layers = layers_of(program, digests(program.tree), (), base)
        run = read(image(tmp_path / "on.tar", program, base, layers)).config["config"]
    assert run["User"] == "7"
    assert "Cmd" not in run
    assert run["Entrypoint"] == ["/opt/example/bin/python3", "-I", "/opt/example/bin/example"]


def refusal(context: Context, path: Path, glibc: str = "2.17") -> str:
    with pytest.raises((CheckError, ConfigError, SourceError)) as caught, open_base(context, str(path), glibc=glibc):
        pass
    return caught.value.message


def test_those_who_have_a_name_without_a_base_are_listed() -> None:
    for file in ("passwd", "group"):
        assert [line.partition(":")[0] for line in ETC[file].splitlines()] == list(NO_BASE_USERS)


def test_a_base_that_a_bundle_cannot_run_on(program: Program, layout: Path, context: Context, tmp_path: Path) -> None:
    assert refusal(context, layout, "2.38") == f"the bundle needs glibc 2.38, and the base {layout} has 2.36"
    musl = image(tmp_path / "musl.tar", program, Base(), [system(loader="lib/ld-musl-x86_64.so.1")])
    assert refusal(context, musl) == f"the base {musl} has no glibc for x86_64"
    folder = unpacked(layout)
    index = json.loads((folder / "index.json").read_text())
    index["manifests"][0]["platform"]["architecture"] = "riscv64"
    (folder / "index.json").write_text(json.dumps(index))
    assert refusal(context, folder).endswith("has no image for linux/amd64; it has: linux/riscv64")


def test_the_one_for_the_machine_is_chosen_of_an_index_in_an_index(layout: Path, context: Context) -> None:
    folder = unpacked(layout)
    inner = (folder / "index.json").read_bytes()
    other = json.loads(inner)["manifests"][0] | {
        "platform": {"os": "linux", "architecture": "s390x"},
        "digest": "sha256:0",
    }
    digest = hashlib.sha256(inner).hexdigest()
    (folder / "blobs/sha256" / digest).write_bytes(inner)
    outer = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": f"sha256:{digest}", "size": len(inner)}
    (folder / "index.json").write_text(json.dumps({"manifests": [other, outer]}))
    with open_base(context, str(folder), glibc="2.17") as base:
        assert len(base.blobs) == 1


def test_a_layer_of_zstandard(program: Program, layout: Path, context: Context, tmp_path: Path) -> None:
    """As buildkit writes them when asked for."""
    folder = unpacked(layout)
    found = read(layout)
    manifest = found.manifest
    packed = io.BytesIO()
    with zstandard.compressing(packed, "fast") as out:
        out.write(gzip.decompress(found.blob(manifest["layers"][0])))
    place(folder, manifest, "layers", packed.getvalue(), "application/vnd.oci.image.layer.v1.tar+zstd")
    with open_base(context, str(folder), glibc="2.17") as base:
        assert "usr/bin/sh" in base.names
        layers = layers_of(program, digests(program.tree), (), base)
        made = read(image(tmp_path / "on.tar", program, base, layers))
    assert made.blob(made.manifest["layers"][0]) == packed.getvalue()


def place(folder: Path, manifest: dict[str, Any], where: str, data: bytes, media: str) -> None:
    """Put another blob into a layout, and a manifest that names it."""
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs/sha256" / digest).write_bytes(data)
    manifest[where][0] = {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}
    text = json.dumps(manifest).encode()
    digest = hashlib.sha256(text).hexdigest()
    (folder / "blobs/sha256" / digest).write_bytes(text)
    index = json.loads((folder / "index.json").read_text())
    index["manifests"][0] |= {"digest": f"sha256:{digest}", "size": len(text)}
    (folder / "index.json").write_text(json.dumps(index))


def test_a_base_that_is_damaged(program: Program, layout: Path, context: Context, tmp_path: Path) -> None:
    folder = unpacked(layout)
    layer = folder / "blobs" / read(layout).manifest["layers"][0]["digest"].replace(":", "/")
    content = layer.read_bytes()
    layer.write_bytes(content[:4] + b"time" + content[8:])  # unpacks to the same, and is another
    with open_base(context, str(folder), glibc="2.17") as base:
        layers = layers_of(program, digests(program.tree), (), base)
        with pytest.raises(ChecksumError, match="is what it should be"):
            image(tmp_path / "on.tar", program, base, layers)
    layer.write_bytes(content[:-20] + bytes(20))
    assert "cannot be unpacked" in refusal(context, folder)
    layer.write_bytes(content[:-1])
    assert f"has {len(content) - 1} bytes, where its manifest says {len(content)}" in refusal(context, folder)
    layer.unlink()
    assert "it has no layer 1 of 1" in refusal(context, folder)
    manifest = (
        folder / "blobs" / json.loads((folder / "index.json").read_text())["manifests"][0]["digest"].replace(":", "/")
    )
    manifest.write_bytes(manifest.read_bytes() + b" ")
    assert "is something else" in refusal(context, folder)
    (folder / "index.json").write_text("{}")
    assert "its manifest makes no sense" in refusal(context, folder)


def rewrite(folder: Path, descriptor: dict[str, Any], change: Callable[[Any], None]) -> dict[str, Any]:
    """Put a changed blob of JSON into a layout, and return its descriptor."""
    value = json.loads((folder / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes())
    change(value)
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs/sha256" / digest).write_bytes(data)
    return descriptor | {"digest": f"sha256:{digest}", "size": len(data)}


def rewritten(layout: Path, manifest: Callable[[Any], None], config: Callable[[Any], None]) -> Path:
    """Return a layout with another manifest and another config, each where its digest says."""
    folder = unpacked(layout)
    index = json.loads((folder / "index.json").read_bytes())

    def changed(value: Any) -> None:
        value["config"] = rewrite(folder, value["config"], config)
        manifest(value)

    index["manifests"] = [rewrite(folder, index["manifests"][0], changed)]
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"digest": 5}, "5 is no digest by sha256"),
        ({"digest": None}, "None is no digest by sha256"),
        ({"digest": "sha256:../../index.json"}, "is no digest by sha256"),
        ({"size": 7}, "bytes, where its manifest says 7"),
        ({"size": "7"}, "bytes, where its manifest says 7"),
        ({"mediaType": []}, "its manifest or its configuration makes no sense"),
    ],
)
def test_a_layer_that_is_not_as_the_manifest_says(
    layout: Path, context: Context, change: dict[str, Any], said: str
) -> None:
    folder = rewritten(layout, lambda manifest: manifest["layers"][0].update(change), lambda _: None)
    assert said in refusal(context, folder)


@pytest.mark.parametrize(
    "change",
    [
        {"config": [1]},
        {"config": {"Env": [3]}},
        {"config": {"Env": {"A": "b"}}},
        {"config": {"Labels": ["a"]}},
        {"config": {"ExposedPorts": ["80/tcp"]}},
        {"history": {"a": "b"}},
        {"rootfs": []},
        {"rootfs": {"diff_ids": [3]}},
    ],
)
def test_a_config_that_makes_no_sense(layout: Path, context: Context, change: dict[str, Any]) -> None:
    folder = rewritten(layout, lambda _: None, lambda config: config.update(change))
    assert "its manifest or its configuration makes no sense" in refusal(context, folder)


def test_a_layer_that_unpacks_to_something_else(layout: Path, context: Context) -> None:
    other = f"sha256:{'0' * 64}"
    folder = rewritten(layout, lambda _: None, lambda config: config["rootfs"].update(diff_ids=[other]))
    assert f"where its configuration says {other}" in refusal(context, folder)


def test_what_follows_the_tar_of_a_layer_belongs_to_it(
    program: Program, layout: Path, context: Context, tmp_path: Path
) -> None:
    found = read(layout)
    plain = gzip.decompress(found.blob(found.manifest["layers"][0])) + bytes(100_000)
    diff = f"sha256:{hashlib.sha256(plain).hexdigest()}"
    folder = rewritten(layout, lambda _: None, lambda config: config["rootfs"].update(diff_ids=[diff]))
    (entry,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    manifest = json.loads((folder / "blobs" / entry["digest"].replace(":", "/")).read_bytes())
    place(folder, manifest, "layers", gzip.compress(plain), "application/vnd.oci.image.layer.v1.tar+gzip")
    with open_base(context, str(folder), glibc="2.17") as base:
        layers = layers_of(program, digests(program.tree), (), base)
        assert len(read(image(tmp_path / "on.tar", program, base, layers)).layers()) == 2


def test_a_layout_that_was_cut_short(layout: Path, context: Context) -> None:
    whole = layout.read_bytes()
    with tarfile.open(layout) as tar:
        members = {member.name: member for member in tar}
    for name in ("oci-layout", "index.json"):
        layout.write_bytes(whole[: members[name].offset_data + 1])
        assert "it is no whole tar" in refusal(context, layout)
    layout.write_bytes(whole[: members["index.json"].offset + 1])
    assert "it has no index.json" in refusal(context, layout)


def test_what_is_no_layout(context: Context, tmp_path: Path) -> None:
    assert refusal(context, tmp_path / "none.tar").startswith(
        f"oci.base: {tmp_path}/none.tar is no image layout (No such"
    )
    (tmp_path / "text.tar").write_text("text")
    assert "neither a tar nor a directory" in refusal(context, tmp_path / "text.tar")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    assert refusal(context, tmp_path / "empty.tar").endswith("empty.tar is no image layout")


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "full", "manifest"),
    [
        ("debian", "docker.io/library/debian", "https://registry-1.docker.io/v2/library/debian/manifests/latest"),
        ("debian:12", "docker.io/library/debian:12", "https://registry-1.docker.io/v2/library/debian/manifests/12"),
        ("a/b", "docker.io/a/b", "https://registry-1.docker.io/v2/a/b/manifests/latest"),
        ("gcr.io/x/y:1", "gcr.io/x/y:1", "https://gcr.io/v2/x/y/manifests/1"),
        ("localhost/x", "localhost/x", "http://localhost/v2/x/manifests/latest"),
        ("localhost:5000/x", "localhost:5000/x", "http://localhost:5000/v2/x/manifests/latest"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x", "http://127.0.0.1:5000/v2/x/manifests/latest"),
        ("reg:5000/x", "reg:5000/x", "https://reg:5000/v2/x/manifests/latest"),
        ("http://reg.lan/x:1", "reg.lan/x:1", "http://reg.lan/v2/x/manifests/1"),
    ],
)
def test_references_are_read_as_docker_reads_them(text: str, full: str, manifest: str) -> None:
    reference = parse_reference(text, what="oci.base")
    assert str(reference) == full
    assert reference.manifest() == manifest


def test_a_digest_wins_over_a_tag() -> None:
    digest = f"sha256:{'a' * 64}"
    reference = parse_reference(f"debian:12@{digest}", what="x")
    assert reference.manifest().endswith(f"/manifests/{digest}")
    assert reference.familiar == f"debian:12@{digest}"


@pytest.mark.parametrize("text", ["Debian", "a//b", "a:", ":a", "a@sha256:12", "ftp://a.b/c", "a b", "-a", "a.b/"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ConfigError, match="is no reference to an image"):
        parse_reference(text, what="oci.base")


@pytest.mark.parametrize(
    ("text", "version", "name"),
    [
        ("sitewatch", "1.0", "sitewatch:1.0"),
        ("My App", "1.0+a.1", "my-app:1.0-a.1"),
        ("söme_.name-", "1!2.0", "s-me.name:1-2.0"),
        ("ghcr.io/me/app", "2", "ghcr.io/me/app:2"),
        ("localhost:5000/app:dev", "2", "localhost:5000/app:dev"),
        ("ö", "1", "app:1"),
    ],
)
def test_what_an_image_is_called(text: str, version: str, name: str) -> None:
    assert name_of(text, version).familiar == name


# --- a registry -------------------------------------------------------------------------------------------


@dataclass
class Hub:
    """A registry, as far as pulling goes; its tokens are for one who has logged in, if there is a login."""

    files: dict[str, bytes] = field(default_factory=dict)
    scheme: str = ""
    login: str = ""
    host: str = ""
    broken: bool = False
    asked: list[str] = field(default_factory=list)

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        given = request.headers.get("Authorization", "")
        basic = f"Basic {base64.b64encode(self.login.encode()).decode()}"
        self.asked.append(f"{path} {given.partition(' ')[0]}".strip())
        if self.broken:
            return self.answer(request, 429, b"")
        if path == "/token":
            assert "scope=repository%3Ateam%2Fbase%3Apull" in query
            assert "service=here" in query
            ok = not self.login or given == basic
            return self.answer(request, 200 if ok else 401, b'{"token": "abc"}' if ok else b"")
        if self.scheme and given != (basic if self.scheme == "Basic" else "Bearer abc"):
            scope = 'scope="repository:team/base:pull"'
            challenge = f'{self.scheme} realm="http://{self.host}/token",service="here",{scope}'
            return self.answer(request, 401, b"", challenge)
        found = self.files.get(path)
        return self.answer(request, 200 if found is not None else 404, found or b"")

    def answer(self, request: BaseHTTPRequestHandler, code: int, body: bytes, challenge: str = "") -> None:
        request.send_response(code)
        request.send_header("Content-Length", str(len(body)))
        if challenge:
            request.send_header("WWW-Authenticate", challenge)
        request.end_headers()
        request.wfile.write(body)

    @property
    def reference(self) -> str:
        return f"{self.host}/team/base:1"

    def put(self, layout: Path) -> str:
        """Take an image in, and return the digest of its manifest."""
        members = read(layout).members
        for name, data in members.items():
            digest = name.rpartition("/")[2]
            for kind in ("manifests", "blobs"):
                self.files[f"/v2/team/base/{kind}/sha256:{digest}"] = data
        (entry,) = json.loads(members["index.json"])["manifests"]
        self.files["/v2/team/base/manifests/1"] = members["index.json"]
        return str(entry["digest"])


@pytest.fixture
def hub(layout: Path) -> Iterator[Hub]:
    made = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.serve(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.host = f"127.0.0.1:{server.server_port}"
    made.put(layout)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def registry(hub: Hub, tmp_path: Path, *, reference: str = "", offline: bool = False, **environ: str) -> Registry:
    return Registry(
        parse_reference(reference or hub.reference, what="x"),
        cache=open_cache(tmp_path / "data"),
        fetcher=Fetcher(environ={}, delays=()),
        environ={"HOME": str(tmp_path / "home"), **environ},
        ui=PlainUi(Console(file=io.StringIO())),
        offline=offline,
    )


def log_in(tmp_path: Path, name: str, login: str) -> None:
    (tmp_path / "home/.docker").mkdir(parents=True)
    auth = base64.b64encode(login.encode()).decode()
    (tmp_path / "home/.docker/config.json").write_text(json.dumps({"auths": {name: {"auth": auth}}}))


@pytest.mark.parametrize("way", [("", ""), ("Bearer", ""), ("Bearer", "me:pass:word"), ("Basic", "me:x")])
def test_an_image_is_pulled(hub: Hub, context: Context, layout: Path, tmp_path: Path, way: tuple[str, str]) -> None:
    hub.scheme, hub.login = way
    if hub.login:
        log_in(tmp_path, hub.host, hub.login)
    with open_base(context, hub.reference, glibc="2.17") as base:
        assert base.name == hub.reference
        assert base.digest == json.loads(read(layout).members["index.json"])["manifests"][0]["digest"]
        assert base.open is not None
        with base.open(base.blobs[0].digest) as file:
            assert file.read() == read(layout).blob(read(layout).manifest["layers"][0])
    asked = len(hub.asked)
    with open_base(context, hub.reference, glibc="2.17"):
        # what has a digest is here; what the tag stands for is asked for again
        assert {one.partition(" ")[0] for one in hub.asked[asked:]} <= {"/v2/team/base/manifests/1", "/token"}


@pytest.mark.parametrize("scheme", ["", "Bearer", "Basic"])
def test_a_layer_that_is_missing_is_pulled_though_the_manifest_is_here(
    hub: Hub, context: Context, layout: Path, tmp_path: Path, scheme: str
) -> None:
    hub.scheme, hub.login = scheme, "me:x" if scheme == "Basic" else ""
    if hub.login:
        log_in(tmp_path, hub.host, hub.login)
    pinned = f"{hub.host}/team/base@{hub.put(layout)}"
    with open_base(context, pinned, glibc="2.17") as base:
        layer = base.blobs[0].digest.replace("sha256:", "oci-")
    (tmp_path / "data/downloads" / layer).unlink()
    with open_base(context, pinned, glibc="2.17"):
        assert (tmp_path / "data/downloads" / layer).is_file()


def test_without_a_login_it_is_said_how_to_get_one(hub: Hub, tmp_path: Path) -> None:
    hub.scheme, hub.login = "Bearer", "me:x"
    with pytest.raises(SourceError, match="does not give it to whoever has not logged in") as caught:
        registry(hub, tmp_path).top()
    assert f"docker login {hub.host}" in caught.value.hint
    log_in(tmp_path, hub.host, "me:wrong")
    with pytest.raises(SourceError, match=r"does not give it to the login in docker's config.json"):
        registry(hub, tmp_path).top()


def test_a_name_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has none of this name"):
        registry(hub, tmp_path, reference=f"{hub.host}/team/other").top()


def test_what_is_not_what_its_digest_says(hub: Hub, context: Context, layout: Path, tmp_path: Path) -> None:
    manifest = read(layout).manifest
    digest = manifest["layers"][0]["digest"]
    hub.files[f"/v2/team/base/blobs/{digest}"] += b"x"
    with pytest.raises(ChecksumError), open_base(context, hub.reference, glibc="2.17"):
        pass
    assert not list((tmp_path / "data/downloads").glob(f"oci-{digest.removeprefix('sha256:')}*"))
    pinned = f"{hub.host}/team/base@sha256:{'0' * 64}"
    hub.files[f"/v2/team/base/manifests/sha256:{'0' * 64}"] = b"{}"
    with pytest.raises(ChecksumError):
        registry(hub, tmp_path, reference=pinned).top()


def test_without_a_network_it_is_what_it_was(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="without a network it cannot be looked up") as caught:
        registry(hub, tmp_path, offline=True).top()
    assert 'base = "none"' in caught.value.hint
    top = registry(hub, tmp_path).top()
    hub.asked.clear()
    assert registry(hub, tmp_path, offline=True).top() == top
    assert hub.asked == []
    hub.files.clear()  # the image is not there any more: that is something else than no network
    with pytest.raises(SourceError, match="has none of this name"):
        registry(hub, tmp_path).top()
    hub.broken = True
    assert registry(hub, tmp_path).top() == top


@pytest.mark.parametrize("page", ["<html>log in</html>".encode("utf-16"), b"<html>", b'{"errors": []}', b"[1]"])
def test_a_page_in_place_of_a_manifest_is_not_remembered(hub: Hub, tmp_path: Path, page: bytes) -> None:
    tag = "/v2/team/base/manifests/1"
    index, hub.files[tag] = hub.files[tag], page
    with pytest.raises(FetchError, match="what comes from there is no manifest") as caught:
        registry(hub, tmp_path).top()
    assert 'base = "none"' in caught.value.hint
    hub.files[tag] = index
    assert registry(hub, tmp_path).top() == index
    hub.files[tag] = page
    assert registry(hub, tmp_path).top() == index
    assert registry(hub, tmp_path, offline=True).top() == index


def test_a_manifest_is_kept_as_it_is(hub: Hub, tmp_path: Path) -> None:
    odd = '{"layers": []}'.encode("utf-16")
    hub.files["/v2/team/base/manifests/1"] = odd
    assert registry(hub, tmp_path).top() == odd


def test_a_host_that_is_out_of_reach(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        registry(hub, tmp_path, reference="127.0.0.1:9/team/base").top()
    assert 'base = "none"' in caught.value.hint
