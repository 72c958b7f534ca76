"""Images of the example: run in a root of their own, taken by the tools that run containers, built on a registry's."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import EXAMPLE
from wheels import make_wheel

from relenv.bundle.base import LIBRARIES
from relenv.bundle.config import ImageOptions
from relenv.bundle.oci import Base, File, Layer, Program, write_image
from relenv.bundle.registry import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Outcome, Relenv

HTPASSWD = "me:$2b$04$QandGN/sKGaNKZmS0irsTeRlT35J3tTg/ALbUf1Da04zaBs3r0DQi\n"
"""`secret`, by htpasswd -B."""


def tool(name: str) -> str:
    """Return the path of a program of the machine's, or skip the test."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed here")
    return path


def said(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with a dependency, so that there is a layer of such."""
    folder = tmp_path_factory.mktemp("image")
    make_wheel(folder / "wheels", "rlnvhelper", console={"rlnvhelper": "rlnvhelper:main"})
    project = shutil.copytree(EXAMPLE, folder / "sitewatch", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    text = (project / "pyproject.toml").read_text()
    with (project / "pyproject.toml").open("w") as file:
        file.write(re.sub(r"(?m)^dependencies = \[", 'dependencies = ["rlnvhelper", ', text))
    return project


def built(relenv: Relenv, project: Path, into: Path, *options: str | Path, **env: str) -> tuple[Path, Outcome]:
    links = ("--find-links", project.parent / "wheels")
    outcome = relenv("bundle", project, "--format", "oci", "-o", into, *links, *options, env=env)
    return into, outcome


@pytest.fixture(scope="session")
def image(relenv: Relenv, project: Path) -> Path:
    """The example's image, on nothing."""
    path, outcome = built(relenv, project, project.parent / "sitewatch.oci.tar")
    assert "warning: the image has glibc 2.17 of 2012" in outcome.stderr
    return path


def unpacked(image: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return a root with the layers of an image, one over the other, and its config."""
    with tarfile.open(image) as tar:
        tar.extraction_filter = tarfile.fully_trusted_filter
        tar.extractall(folder / "layout")  # noqa: S202 - our own
    (docker,) = json.loads((folder / "layout/manifest.json").read_text())
    config = json.loads((folder / "layout" / docker["Config"]).read_text())
    for layer in docker["Layers"]:
        with tarfile.open(folder / "layout" / layer) as tar:
            tar.extraction_filter = tarfile.fully_trusted_filter
            tar.extractall(folder / "root")  # noqa: S202
    return folder / "root", config


def inside(root: Path, config: dict[str, Any], *words: str, user: str = "") -> str:
    """Run something in a root as its config says; nothing of this machine is in there but the kernel."""
    if os.geteuid():
        pytest.skip("only root can change its root")
    env = dict(one.split("=", 1) for one in config["config"]["Env"])
    command = ["chroot", *([f"--userspec={user}"] if user else []), str(root)]
    return said(*command, *(words or (*config["config"]["Entrypoint"], "--help")), env=env)


def layers(image: Path) -> list[str]:
    with tarfile.open(image) as tar:
        member = tar.extractfile("manifest.json")
        assert member is not None
        (docker,) = json.loads(member.read())
    return [str(one) for one in docker["Layers"]]


# --- on nothing


def test_it_runs_on_nothing_but_a_kernel(image: Path, tmp_path: Path) -> None:
    root, config = unpacked(image, tmp_path)
    assert {path.name for path in root.iterdir()} == {"etc", "home", "lib64", "opt", "root", "tmp", "usr"}
    assert inside(root, config).startswith("usage: sitewatch")
    code = (
        "import ctypes, os, pwd, sqlite3, ssl, tempfile, threading; ctypes.CDLL('libstdc++.so.6');"
        "threading.Thread(target=print).start();"
        "print(pwd.getpwuid(os.getuid()).pw_name, os.confstr('CS_GNU_LIBC_VERSION'), tempfile.gettempdir())"
    )
    python = "/opt/sitewatch/bin/python3"
    assert inside(root, config, python, "-Ic", code, user="65532:65532").split()[:3] == ["nonroot", "glibc", "2.17"]
    licences = {path.relative_to(root / "usr/share/licenses").as_posix() for path in root.rglob("licenses/g*/*")}
    assert {"glibc/COPYING.LIB", "glibc/SOURCES", "gcc/COPYING.RUNTIME"} <= licences


def test_it_works_in_awkward_places(relenv: Relenv, image: Path, tmp_path: Path) -> None:
    root, _ = unpacked(image, tmp_path)
    report = json.loads(relenv("check", "--run", root / "opt/sitewatch", "--json").stdout)
    assert [one for one in report["findings"] if one["severity"] in ("error", "warning")] == []
    assert relenv("verify", root / "opt/sitewatch", "--strict").code == 0


def test_it_is_verified(relenv: Relenv, image: Path, tmp_path: Path) -> None:
    whole = json.loads(relenv("verify", image, "--strict", "--json").stdout)
    assert (whole["whole"], whole["bundle"]) == (True, "sitewatch 1.0.0")
    shutil.unpack_archive(image, tmp_path / "layout", "tar", filter="data")
    assert json.loads(relenv("verify", tmp_path / "layout", "--json").stdout) == whole | {"path": f"{tmp_path}/layout"}
    damaged = tmp_path / "damaged.tar"
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    outcome = relenv("verify", damaged, check=False)
    assert (outcome.code, "does not have the digest that is its name" in outcome.stdout) == (9, True)


def test_made_again_it_is_the_same(relenv: Relenv, project: Path, image: Path, tmp_path: Path) -> None:
    there = shutil.copytree(project, tmp_path / "another place" / "app")
    shutil.copytree(project.parent / "wheels", there.parent / "wheels")
    again, _ = built(relenv, there, tmp_path / "again.oci.tar")
    assert again.read_bytes() == image.read_bytes()


def test_a_changed_project_changes_its_own_layer_alone(
    relenv: Relenv, project: Path, image: Path, tmp_path: Path
) -> None:
    there = shutil.copytree(project, tmp_path / "app")
    shutil.copytree(project.parent / "wheels", there.parent / "wheels")
    with (there / "src/sitewatch/cli.py").open("a") as file:
        file.write("# changed\n")
    before, after = layers(image), layers(built(relenv, there, tmp_path / "changed.oci.tar")[0])
    assert len(before) == 4
    assert before[:3] == after[:3]
    assert before[3] != after[3]


def test_each_part_is_where_it_belongs(image: Path) -> None:
    found = []
    with tarfile.open(image) as outer:
        for layer in layers(image):
            with tarfile.open(fileobj=outer.extractfile(layer)) as tar:
                names = (name.removeprefix("opt/sitewatch/") for name in tar.getnames())
                found.append({re.sub(r"python3\.\d+/site-packages", "site", name) for name in names})
    _, interpreter, dependencies, program = found
    assert {"bin/python3", "lib/libz.so.1"} <= interpreter
    assert {"bin/rlnvhelper", "lib/site/rlnvhelper.py"} <= dependencies
    assert any(name.startswith("lib/site/__pycache__/rlnvhelper.") for name in dependencies)
    assert {"bin/sitewatch", "lib/site/sitewatch/cli.py", "relenv.json", "README.txt"} <= program
    assert not any("sitewatch" in name.removeprefix("opt/sitewatch") for name in interpreter | dependencies)
    assert not any("rlnvhelper" in name for name in interpreter | program)


# --- with the tools


def test_skopeo_takes_it(relenv: Relenv, image: Path, tmp_path: Path) -> None:
    skopeo = tool("skopeo")
    for kind in ("oci-archive", "docker-archive"):
        found = json.loads(said(skopeo, "inspect", "--config", f"{kind}:{image}"))
        assert found["config"]["Entrypoint"][-1] == "/opt/sitewatch/bin/sitewatch"
    said(skopeo, "--insecure-policy", "copy", f"oci-archive:{image}", f"docker-archive:{tmp_path}/docker.tar")
    said(skopeo, "--insecure-policy", "copy", f"docker-archive:{image}", f"dir:{tmp_path}/dir")
    said(skopeo, "--insecure-policy", "copy", f"oci-archive:{image}", f"oci-archive:{tmp_path}/oci.tar")
    assert relenv("verify", tmp_path / "oci.tar").code == 0


def test_umoci_unpacks_it(image: Path, tmp_path: Path) -> None:
    umoci = tool("umoci")
    (tmp_path / "layout").mkdir()
    said("tar", "-C", tmp_path / "layout", "-xf", image)
    rootless = ["--rootless"] if os.geteuid() else []
    said(umoci, "unpack", *rootless, "--image", f"{tmp_path}/layout:1.0.0", tmp_path / "bundle")
    run = json.loads((tmp_path / "bundle/config.json").read_text())
    assert run["process"]["args"][-1] == "/opt/sitewatch/bin/sitewatch"
    config = {"config": {"Env": run["process"]["env"], "Entrypoint": run["process"]["args"]}}
    assert inside(tmp_path / "bundle/rootfs", config).startswith("usage: sitewatch")


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: those of sockets have 108 bytes at most, and podman allows itself 50."""
    with tempfile.TemporaryDirectory(prefix="oci", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_podman_runs_it(image: Path, short: Path) -> None:
    podman = [tool("podman"), "--storage-driver=vfs", "--root", f"{short}/root", "--runroot", f"{short}/run"]
    podman.append("--cgroup-manager=cgroupfs")
    assert "sitewatch:1.0.0" in said(*podman, "load", "-i", image)
    # the limits that podman asks for are more than some machines allow
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
    run = ["run", "--rm", "--network=none", *limits, "sitewatch:1.0.0", "--help"]
    tries = [[*podman, *options, *run] for options in ([], ["--runtime=runc"])]
    done = [subprocess.run(command, check=False, capture_output=True, text=True) for command in tries]
    if all(one.returncode in (125, 126) for one in done):
        pytest.skip(f"podman can start no container here: {done[0].stderr.strip().splitlines()[-1]}")
    assert any(one.stdout.startswith("usage: sitewatch") for one in done), done


@pytest.fixture
def docker(short: Path) -> Iterator[list[str]]:
    """A docker of our own, and a command that speaks to it."""
    if os.geteuid():
        pytest.skip("dockerd takes root")
    daemon, place = tool("dockerd"), short
    network = ("--bridge=none", "--iptables=false", "--ip-forward=false")
    sock = f"unix://{place}/sock"
    command = [daemon, "--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "-H", sock]
    with (place / "log").open("wb") as log:
        options = ["-p", f"{place}/pid", "--storage-driver=vfs", *network]
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
    client = [tool("docker"), "-H", sock]
    try:
        for _ in range(300):
            if process.poll() is not None:
                pytest.skip(f"dockerd does not start here: {(place / 'log').read_text().splitlines()[-1]}")
            if subprocess.run([*client, "info"], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        yield client
    finally:
        process.terminate()
        process.wait()


def test_docker_runs_it(docker: list[str], image: Path) -> None:
    assert said(*docker, "load", "-i", image) == "Loaded image: sitewatch:1.0.0\n"
    done = subprocess.run(
        [*docker, "run", "--rm", "--network=none", "--user=nonroot", "sitewatch:1.0.0", "--help"],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 125:
        pytest.skip(f"docker can start no container here: {done.stderr.strip()}")
    assert done.stdout.startswith("usage: sitewatch"), done.stderr


# --- on something


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of this machine's sh and glibc."""
    libraries = re.findall(r"/\S+\.so\S*", said("ldd", "/bin/sh"))
    (libc,) = (Path(path) for path in libraries if path.endswith("/libc.so.6"))
    libraries += [str(libc.parent / name) for name in LIBRARIES if (libc.parent / name).exists()]
    content = {path.lstrip("/"): Path(os.path.realpath(path)) for path in ["/bin/sh", *libraries]}
    files = [File(name=name, content=path, mode=0o755) for name, path in content.items()]
    folders = {str(parent) for name in content for parent in list(Path(name).parents)[:-1]}
    layer = [*(File(name=name, content=None, mode=0o755) for name in sorted(folders)), *files]
    options = ImageOptions(entrypoint=("/bin/sh",), user="65534", labels={"from": "below"})
    path = tmp_path_factory.mktemp("base") / "base.tar"
    program = Program(tree=path.parent, path="/", project="base", version="1", main="", options=options)
    with path.open("w+b") as out:
        what = [Layer(what="sh", files=tuple(layer))]
        write_image(out, Base(), what, program, architecture="amd64", reference=name_of("base", "1"), level=1)
    return path


def test_on_a_layout_the_script_runs_with_its_shell(relenv: Relenv, project: Path, base: Path, tmp_path: Path) -> None:
    made, outcome = built(relenv, project, tmp_path / "on.tar", "--oci-base", base, "--oci-path", "/srv/app")
    assert "warning" not in outcome.stderr
    root, config = unpacked(made, tmp_path)
    assert inside(root, config).startswith("usage: sitewatch")
    assert inside(root, config, "/srv/app/bin/sitewatch", "--help").startswith("usage: sitewatch")
    assert inside(root, config, "/bin/sh", "-c", "rlnvhelper") == "rlnvhelper 1.0\n"
    assert config["config"]["User"] == "65534"
    assert config["config"]["Labels"]["from"] == "below"
    assert config["config"]["WorkingDir"] == "/srv/app"
    assert json.loads((tmp_path / "layout/manifest.json").read_text())[0]["Layers"][0] == layers(base)[0]
    # what it is built on is nobody's promise
    report = json.loads(relenv("check", "--run", made, "--json").stdout)
    assert report["files"] == sum(path.is_file() for path in (root / "srv/app").rglob("*"))
    assert [one for one in report["findings"] if one["severity"] in ("error", "warning")] == []


def test_a_base_without_glibc_is_found_out_before_anything_is_built(
    relenv: Relenv, project: Path, tmp_path: Path
) -> None:
    path = tmp_path / "musl.tar"
    program = Program(
        tree=tmp_path, path="/", project="base", version="1", main="", options=ImageOptions(entrypoint=("/bin/sh",))
    )
    with path.open("w+b") as out:
        what = [Layer(what="sh", files=(File(name="lib/ld-musl-x86_64.so.1", content=b"", mode=0o755),))]
        write_image(out, Base(), what, program, architecture="amd64", reference=name_of("base", "1"), level=1)
    outcome = relenv("bundle", project, "--format", "oci", "-o", tmp_path / "x.tar", "--oci-base", path, check=False)
    assert (outcome.code, outcome.errors[0]) == (9, f"error: the base {path} has no glibc for x86_64")
    assert "Building" not in outcome.stderr
    assert not (tmp_path / "x.tar").exists()


@dataclass
class Hub:
    """A registry that runs."""

    host: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def hub(base: Path, tmp_path: Path) -> Iterator[Hub]:
    """A registry with the base in it, for those who are logged in."""
    registry, skopeo = tool("docker-registry"), tool("skopeo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": f"{tmp_path}/registry"}},
        "http": {"addr": host},
        "auth": {"htpasswd": {"realm": "here", "path": f"{tmp_path}/htpasswd"}},
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen([registry, "serve", tmp_path / "config.yml"], stdout=log, stderr=log)
    try:
        push = [skopeo, "--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds=me:secret"]
        for _ in range(100):
            push_to = [*push, f"oci-archive:{base}", f"docker://{host}/team/base:1"]
            if subprocess.run(push_to, check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        yield Hub(host, process)
    finally:
        process.terminate()
        process.wait()


def test_on_an_image_of_a_registry(relenv: Relenv, project: Path, hub: Hub, base: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {hub.host: {"auth": base64.b64encode(b"me:secret").decode()}}})
    )
    options = ("--oci-base", f"{hub.host}/team/base:1")
    refused = relenv(
        "bundle", project, "--format", "oci", *options, env={"DOCKER_CONFIG": str(tmp_path / "no")}, check=False
    )
    assert (refused.code, "whoever has not logged in" in refused.errors[0]) == (4, True)
    assert f"docker login {hub.host}" in refused.errors[1]

    login = {"DOCKER_CONFIG": str(tmp_path)}
    first, _ = built(relenv, project, tmp_path / "first.tar", *options, **login)
    root, config = unpacked(first, tmp_path)
    assert inside(root, config).startswith("usage: sitewatch")
    assert layers(first)[0] == layers(base)[0]
    offline, _ = built(relenv, project, tmp_path / "offline.tar", *options, "--offline")
    hub.process.terminate()
    hub.process.wait()
    later, outcome = built(relenv, project, tmp_path / "later.tar", *options)
    assert "team/base:1 is what it was the last time" in outcome.stderr
    assert first.read_bytes() == offline.read_bytes() == later.read_bytes()


def test_an_image_that_was_never_seen_is_missed_offline(relenv: Relenv, project: Path, tmp_path: Path) -> None:
    options = ("--oci-base", "127.0.0.1:9/never/seen:1", "--offline")
    outcome = relenv("bundle", project, "--format", "oci", "-o", tmp_path / "x.tar", *options, check=False)
    assert outcome.code == 4
    assert outcome.errors[0] == (
        "error: the image 127.0.0.1:9/never/seen:1 cannot be had: without a network it cannot be looked up"
    )
    assert 'base = "none"' in outcome.errors[1]
    assert not (tmp_path / "x.tar").exists()
