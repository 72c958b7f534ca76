"""The keys of [tool.relenv]: the same in pyproject.toml, on the command line, in the JSON schema and in the docs."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from validate_pyproject.api import Validator
from validate_pyproject.error_reporting import ValidationError
from validate_pyproject.plugins import PluginWrapper

from relenv.bundle.config import ImageOptions, Include, ServiceOptions, load_config
from relenv.bundle.formats import FORMATS, LEVELS
from relenv.bundle.keys import KEYS, OCI
from relenv.bundle.schema import tool_schema
from relenv.commands.keys import add_keys, overrides
from relenv.errors import ConfigError, UsageError

PROJECT = '[project]\nname = "example"\nversion = "1"\n'
DOCS = Path(__file__).parents[2] / "docs" / "bundle.md"

GOOD: dict[str, list[Any]] = {
    "python": ["3.13", "3.13.15"],
    "name": ["shown", "with blank"],
    "output": ["dist/"],
    "format": ["zip", ["zip", "run"]],
    "scripts": [["one"], {"one": "module.sub:function.call"}],
    "extras": [["web"]],
    "groups": [["deploy"]],
    "index-url": ["https://example.org", "http://me:x@127.0.0.1:80/simple", "file:///srv/simple"],
    "extra-index-url": [["https://example.org"]],
    "find-links": [["wheels", "https://example.org"]],
    "only-binary": [[":all:"], ["numpy", "ruamel.yaml"]],
    "lock": ["none", "locks/pylock.toml"],
    "installer": ["uv"],
    "prune": ["none", "max"],
    "isolated": [False],
    "glibc": ["2.28"],
    "include": [[{"from": "a"}], [{"from": "a", "to": "b/c"}]],
    "exclude": [["lib/*"]],
    "bytecode": [False],
    "env": [{"A": "b", "C": ""}],
    "compression": ["small"],
    "build-backend": ["hatchling.build", "setuptools.build_meta:__legacy__", "relenv.backends", "relenv_backend"],
    "licenses": [False],
    "sbom": [False],
    "smoke": [["one --version"]],
    "oci": [{}, {"base": "none", "ports": ["80"]}],
    "service": [{}, {"user": "me", "web": {"script": "one"}}],
    "desktop": [{}, {"icon": "a/b.png", "one two": {"terminal": True}}],
}
BAD: dict[str, list[Any]] = {
    "python": [3.13, "3.x", ""],
    "name": ["a/b", 1, "", ".", "..", " a", "a ", "a\\b"],
    "output": ["", 1],
    "format": ["rar", [], ["zip", "rar"], 1],
    "scripts": ["one", {"one": "module"}, {"a/b": "m:f"}, {"python3": "m:f"}, [1]],
    "extras": ["web", [1]],
    "groups": ["deploy"],
    "index-url": ["", "example.org/simple", "https://", "ftp://example.org", "https://a b"],
    "extra-index-url": ["https://example.org", ["example.org"], [1]],
    "find-links": ["wheels"],
    "only-binary": [":all:", ["a b"], [":some:"], ["numpy,scipy"]],
    "lock": ["", True],
    "installer": ["conda", ["pip"]],
    "prune": ["all", False],
    "isolated": ["no"],
    "glibc": ["3.1", 2.28, "2.5", "2.16"],
    "include": [
        "a",
        [{"to": "b"}],
        [{"from": "../a"}],
        [{"from": "/a"}],
        [{"from": ""}],
        [{"from": "a", "to": "b/.."}],
        [{"from": "a", "x": "b"}],
    ],
    "exclude": ["lib", ["../x"], ["/x"], ["a/../b"], [""]],
    "bytecode": ["yes"],
    "env": [["A=b"], {"A": 1}, {"": "x"}, {"A=B": "x"}, {"1A": "x"}, {"A B": "x"}],
    "compression": ["best", 9],
    "build-backend": ["a-b", "", 1, "relenv.backend", "relenv.backend:load"],
    "licenses": ["MIT"],
    "sbom": ["spdx"],
    "smoke": ["one"],
    "oci": ["none", ["base"]],
    "service": [True, ["one"]],
    "desktop": ["one", False],
}


def valid(name: str, value: Any) -> bool:
    return Draft7Validator(tool_schema()).is_valid({name: value})


@pytest.mark.parametrize("name", KEYS)
def test_values_are_taken_and_refused(name: str) -> None:
    shape = KEYS[name].shape
    for value in GOOD[name]:
        assert shape.accept(value), value
        assert valid(name, value), value
    for value in BAD[name]:
        assert not shape.accept(value), value
        assert not valid(name, value), value


@pytest.mark.parametrize("name", KEYS)
def test_the_example_and_the_default_are_values(name: str) -> None:
    key = KEYS[name]
    value = tomllib.loads(f"x = {key.example}")["x"]
    assert key.shape.accept(value)
    assert valid(name, value)


@pytest.mark.parametrize("name", KEYS)
def test_each_key_is_documented(name: str) -> None:
    docs, key = DOCS.read_text(encoding="utf-8"), KEYS[name]
    for inner, one in key.shape.keys.items():
        assert f"| `{inner}` | `--{name}-{one.option or inner}`" in docs
    assert key.shape.keys or f"| `{name}` | `--{key.option or name}`" in docs


IMAGES: dict[str, tuple[list[Any], list[Any]]] = {
    "base": (["none", "debian:12", "./base"], ["", 1]),
    "tag": (["app", "app:1.0", "ghcr.io/me/app", "localhost:5000/app:dev"], ["App", "app:", "a b", ""]),
    "path": (["/opt/app", "/app", "/a/..b"], ["opt", "/", "/a/../b", "/a/..", "/opt/", "/a b", ""]),
    "entrypoint": ([["app", "--x"], []], ["app", [1]]),
    "cmd": ([["--x"]], ["--x"]),
    "user": (["1000", "me:us", "1:2"], ["a b", ":1", 1000]),
    "workdir": (["/data"], ["data"]),
    "ports": ([["80", "53/udp"]], [["0"], ["65536"], ["80/xyz"], [80], "80"]),
    "labels": ([{"a": "b"}], [["a=b"], {"a": 1}]),
}


@pytest.mark.parametrize("name", OCI)
def test_what_an_image_may_be(tmp_path: Path, name: str) -> None:
    good, bad = IMAGES[name]
    for value in good:
        assert OCI[name].shape.accept(value), value
        assert valid("oci", {name: value}), value
    for value in bad:
        with pytest.raises(ConfigError, match=f"tool.relenv.oci: `{name}` must be "):
            loaded(tmp_path, f"[tool.relenv.oci]\n{name} = {toml(value)}\n")
    assert valid("oci", {name: tomllib.loads(f"x = {OCI[name].example}")["x"]})


SERVICES: dict[str, tuple[list[Any], list[Any]]] = {
    "script": (["one", "one two"], ["", "a/b", 1]),
    "arguments": ([["--x", "a\nb"], []], ["--x", [1]]),
    "description": (["What it does"], ["", "a\nb", 1]),
    "user": (["www-data", "1000", "me$"], ["a b", "", 1000, "me:us"]),
    "restart": (["always", "no"], [True, "never"]),
    "type": (["notify"], ["Simple", 1]),
    "environment": ([{"A": "b"}], [["A=b"], {"A": 1}, {"A B": "x"}, {"1A": "x"}, {"Ä": "x"}]),
    "after": (
        [["a.service", "dev-sda\\x2d1.device", "g@1.service"], []],
        ["a.service", ["a"], ["a b.service"], ["größe.service"]],
    ),
    "wanted-by": ([["graphical.target"]], ["graphical.target", ["multi-user"], ["größe.target"]]),
    "settings": ([{"LimitNOFILE": "1", "ReadWritePaths": ""}], [{"A": 1}, {"A B": "c"}, {"A": "b\nC=d"}, ["A=b"]]),
}
ENTRIES: dict[str, tuple[list[Any], list[Any]]] = {
    "name": (["Mein Programm"], ["", "a\nb", 1]),
    "comment": (["Does things"], ["", "a\tb"]),
    "icon": (["icon.png", "a/..b/icon.svg"], ["icon.jpg", "/icon.png", "../icon.png", "a/../icon.png", ".png", 1]),
    "categories": ([["Office", "X-Mine"], []], ["Office", ["A;B"], [""]]),
    "keywords": ([["a;b", "ö"]], ["a", ["a\nb"]]),
    "terminal": ([True], ["yes", 1]),
    "mime-types": ([["image/png", "x-scheme-handler/mine"]], ["image/png", ["png"], ["a/b;"]]),
    "arguments": ([["--x", "a b"]], ["--x", ["a\nb"]]),
    "settings": ([{"StartupWMClass": "x", "X-Mine": "y"}], [{"A_B": "c"}, {"A": "b\nExec=d"}, "A=b"]),
}


@pytest.mark.parametrize("table", ["service", "desktop", "service.web", "desktop.one"])
def test_what_a_service_and_the_menu_may_have(tmp_path: Path, table: str) -> None:
    (tmp_path / "icon.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    which, _, name = table.partition(".")
    samples = {"service": SERVICES, "desktop": ENTRIES}[which]
    keys = KEYS[which].shape.keys
    assert samples.keys() == keys.keys()
    for key, (good, bad) in samples.items():
        for value in [*good, tomllib.loads(f"x = {keys[key].example}")["x"]]:
            assert keys[key].shape.accept(value), value
            assert valid(which, {name: {key: value}} if name else {key: value}), value
        for value in bad:
            with pytest.raises(ConfigError, match=f"tool.relenv.{table}: `{key}` must be "):
                loaded(tmp_path, f"[tool.relenv.{table}]\n{key} = {toml(value)}\n")


def test_services_by_name_have_what_all_have(tmp_path: Path) -> None:
    text = (
        '[tool.relenv.service]\nuser = "all"\ntype = "notify"\n'
        '[tool.relenv.service.web]\nscript = "web"\nuser = "web"\n'
        '[tool.relenv.service.work]\narguments = ["-v"]\n'
        '[tool.relenv.target.x86_64-linux-gnu.service.work]\nrestart = "always"\n'
    )
    services = loaded(tmp_path, text).services
    assert services == {
        "web": ServiceOptions(script="web", user="web", type="notify"),
        "work": ServiceOptions(arguments=("-v",), user="all", type="notify", restart="always"),
    }
    services = loaded(tmp_path, text, **given("--service-user", "me", "--service-argument=-x")).services
    assert {(one.user, one.arguments) for one in services.values()} == {("me", ("-x",))}
    assert loaded(tmp_path, "").services == {}
    assert loaded(tmp_path, "[tool.relenv.service]\n").services == {"": ServiceOptions()}
    assert loaded(tmp_path, "", **given("--service-after", "a.service")).services == {
        "": ServiceOptions(after=("a.service",))
    }


@pytest.mark.parametrize(
    ("output", "formats"),
    [
        ("it.run", ("run",)),
        ("a/It.TGZ", ("tar.gz",)),
        ("it.oci.tar", ("oci",)),
        ("it", ("zip",)),
        ("", ("zip",)),
        ("new.run/", ("zip",)),
        ("there.run", ("zip",)),
    ],
)
def test_a_name_says_the_format_where_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, formats: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.run").mkdir()
    options = ("--output", output) if output else ()
    assert loaded(tmp_path, "", **given(*options)).formats == formats
    assert loaded(tmp_path, '[tool.relenv]\nformat = "dir"\n', **given(*options)).formats == ("dir",)


def test_mistakes_in_tables_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tool.relenv.service.web has an unknown key `usre`") as caught:
        loaded(tmp_path, '[tool.relenv.service.web]\nusre = "x"\n')
    assert caught.value.hint == "did you mean `user`?"
    for text in (
        'usre = "x"',
        '"a b" = { user = "x" }',
        '"größe" = { user = "x" }',
        'web = { script = "a", table = {} }',
    ):
        with pytest.raises(ConfigError, match="has an unknown key"):
            loaded(tmp_path, f"[tool.relenv.service]\n{text}\n")
    with pytest.raises(ConfigError, match=r"tool.relenv.service.web.restart is not possible: with type = oneshot and"):
        loaded(tmp_path, '[tool.relenv.service.web]\ntype = "oneshot"\nrestart = "always"\n')
    with pytest.raises(ConfigError, match=r"tool.relenv.service has an unknown key `setings`") as caught:
        loaded(tmp_path, "[tool.relenv.service.setings]\n")
    assert caught.value.hint == "did you mean `settings`?"
    assert set(loaded(tmp_path, "[tool.relenv.desktop.game]\n").desktop) == {"", "game"}


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        (
            'user = "app"\n',
            (),
            r"pyproject.toml: tool.relenv.oci.user names `app`, and with base = none there is",
        ),
        ('user = "1:app"\n', (), r"pyproject.toml: tool.relenv.oci.user names `app`, and"),
        ("", ("--oci-user", "app"), r"the command line: --oci-user names `app`, and"),
        ('base = "x.tar"\nuser = "app:app"\n', (), ""),
        ('user = "1:1"\n', (), ""),
        ('user = "nonroot:nobody"\n', (), ""),
    ],
)
def test_few_have_a_name_in_an_image_without_a_base(
    tmp_path: Path, lines: str, options: tuple[str, ...], said: str
) -> None:
    text = f"[tool.relenv.oci]\n{lines}"
    if not said:
        assert loaded(tmp_path, text).oci.user
        return
    with pytest.raises(UsageError if options else ConfigError, match=said):
        loaded(tmp_path, text, **given(*options))


def test_icons_are_there_and_what_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "it.svg").write_text("<?xml version='1.0'?><svg/>")
    (tmp_path / "it.png").write_text("<svg/>")
    assert loaded(tmp_path, '[tool.relenv.desktop]\nicon = "it.svg"\n').desktop[""].icon == "it.svg"
    for name, why in (("it.png", "is no PNG"), ("no.svg", "is not there")):
        with pytest.raises(ConfigError, match=f"tool.relenv.desktop.one.icon names `{name}`, which {why}"):
            loaded(tmp_path, f'[tool.relenv.desktop.one]\nicon = "{name}"\n')


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--service-setting", "ExecStart=x"), "--service-setting sets ExecStart, which relenv writes itself"),
        (("--desktop-setting", "Exec=x"), "--desktop-setting sets Exec, which relenv writes itself"),
        (("--desktop-icon", "no.svg"), "--desktop-icon names `no.svg`, which is not there"),
        (("--service-user", "a b"), "the command line, service: `user` must be"),
        (
            ("--service-type", "oneshot", "--service-restart", "always"),
            "--service-restart is not possible: with type = oneshot and restart = always",
        ),
    ],
)
def test_what_the_command_line_says_is_not_looked_for_in_the_file(
    tmp_path: Path, options: tuple[str, ...], what: str
) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        loaded(tmp_path, "", **given(*options))
    assert "pyproject.toml" not in caught.value.message


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(one)}" for name, one in value.items()) + "}"
    return json.dumps(value)


def test_the_table_of_images_is_merged_key_by_key(tmp_path: Path) -> None:
    text = (
        '[tool.relenv.oci]\nbase = "./layout"\ntag = "a"\nuser = "1"\n'
        '[tool.relenv.target.x86_64-linux-gnu.oci]\nuser = "2"\nports = ["80"]\n'
    )
    options = loaded(tmp_path, text, **given("--oci-tag", "b:c", "--oci-label", "x=y", "--oci-entrypoint", "app")).oci
    assert options == ImageOptions(
        base=f"{tmp_path}/layout", tag="b:c", user="2", ports=("80",), labels={"x": "y"}, entrypoint=("app",)
    )
    with pytest.raises(ConfigError, match=r"tool.relenv.oci has an unknown key `bsae`") as caught:
        loaded(tmp_path, '[tool.relenv.oci]\nbsae = "x"\n')
    assert caught.value.hint == "did you mean `base`?"
    with pytest.raises(UsageError, match=r"the command line, oci: `path` must be an absolute path"):
        loaded(tmp_path, "", **given("--oci-path", "opt"))


def test_formats_and_levels_are_those_that_exist() -> None:
    for name in FORMATS:
        assert KEYS["format"].shape.accept(name)
    for name in LEVELS:
        assert KEYS["compression"].shape.accept(name)


def given(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_keys(parser)
    return dict(overrides(parser.parse_args(words)))


def test_every_key_has_an_option() -> None:
    assert given() == {}
    assert given("--format", "zip", "--format", "run") == {"format": ["zip", "run"]}
    assert given("--no-bytecode", "--name", "x") == {"bytecode": False, "name": "x"}
    assert given("--env", "A=b=c", "--env", "D=") == {"env": {"A": "b=c", "D": ""}}
    assert given("--script", "one", "--script", "two") == {"scripts": ["one", "two"]}
    assert given("--script", "one=m:f") == {"scripts": {"one": "m:f"}}
    assert given("--include", "a:b", "--include", "c") == {"include": [{"from": "a", "to": "b"}, {"from": "c"}]}
    assert given("-o", "x.zip", "--extra", "web") == {"output": "x.zip", "extras": ["web"]}
    with pytest.raises(UsageError, match="--env: 'A' is not NAME=VALUE"):
        given("--env", "A")


def loaded(tmp_path: Path, text: str, **overridden: Any) -> Any:
    (tmp_path / "pyproject.toml").write_text(PROJECT + text, encoding="utf-8")
    return load_config(tmp_path, overridden, triplet="x86_64-linux-gnu")


def test_a_target_wins_and_the_command_line_over_it(tmp_path: Path) -> None:
    text = (
        '[tool.relenv]\nglibc = "2.17"\nname = "a"\n'
        '[tool.relenv.target.x86_64-linux-gnu]\nglibc = "2.28"\n[tool.relenv.target.aarch64-linux-gnu]\nname = "b"\n'
    )
    config = loaded(tmp_path, text)
    assert (config.glibc, config.name) == ("2.28", "a")
    assert loaded(tmp_path, text, glibc="2.31").glibc == "2.31"
    with pytest.raises(ConfigError, match="unknown kind of machine `x86-linux`"):
        loaded(tmp_path, "[tool.relenv.target.x86-linux]\n")
    for name, meant in {"x86_64": "x86_64-linux-gnu", "arm64": "arm64-macos"}.items():
        with pytest.raises(ConfigError) as caught:
            loaded(tmp_path, f"[tool.relenv.target.{name}]\n")
        assert caught.value.hint == f"did you mean `{meant}`?"
    with pytest.raises(ConfigError, match=r"target.arm64-macos has an unknown key `nmae`"):
        loaded(tmp_path, '[tool.relenv.target.arm64-macos]\nnmae = "x"\n')


def test_groups_are_resolved(tmp_path: Path) -> None:
    groups = '[dependency-groups]\nbase = ["one>1"]\nDeploy = [{ include-group = "base" }, "two"]\n'
    assert loaded(tmp_path, groups + '[tool.relenv]\ngroups = ["deploy"]\n').group_requires == ("one>1", "two")
    with pytest.raises(ConfigError, match="`deplyo`") as caught:
        loaded(tmp_path, groups + '[tool.relenv]\ngroups = ["deplyo"]\n')
    assert caught.value.hint == "did you mean `Deploy`?"
    broken = '[dependency-groups]\na = [{ include-group = "b" }]\n[tool.relenv]\ngroups = ["a"]\n'
    with pytest.raises(ConfigError, match=r"\[dependency-groups\] is not in order: Dependency group 'b' not found"):
        loaded(tmp_path, broken)


def test_paths_are_meant_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    text = '[tool.relenv]\nfind-links = ["wheels"]\noutput = "out/"\ninclude = [{ from = "data/" }]\n'
    config = loaded(tmp_path, text)
    assert config.find_links == (str(tmp_path / "wheels"),)
    assert config.output == f"{tmp_path}/out/"
    assert config.include == (Include(source="data", target="data"),)
    with pytest.raises(ConfigError, match="include names `date`, which is not there"):
        loaded(tmp_path, '[tool.relenv]\ninclude = [{ from = "date" }]\n')


def test_what_the_schema_calls_defaults_is_valid() -> None:
    for name, key in tool_schema()["properties"].items():
        tables = key.get("properties", {})
        assert "default" not in key or valid(name, key["default"]), name
        for below, one in tables.items():
            assert "default" not in one or valid(name, {below: one["default"]}), f"{name}.{below}"


def test_validate_pyproject_knows_the_table() -> None:
    validator = Validator(extra_plugins=[PluginWrapper("relenv", tool_schema)])
    project = {"name": "example", "version": "1"}
    validator({"project": project, "tool": {"relenv": {"python": "3.13", "format": ["zip"]}}})
    with pytest.raises(ValidationError):
        validator({"project": project, "tool": {"relenv": {"pyhton": "3.13"}}})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('include = [{ from = "../m", to = "x" }]', "has an entry whose `from` leads out of the project: '../m'"),
        ('include = [{ from = "src" }, { from = "src", to = "../x" }]', "`to` leads out of the bundle: '../x'"),
        ('include = [{ from = "src", to = "/x" }]', "`to` leads out of the bundle: '/x'"),
        ('include = [{ from = "src", too = "bin" }]', "has an entry with an unknown key `too`: {'from'"),
        ('include = [{ to = "bin" }]', "has an entry without `from`: {'to': 'bin'}"),
        ('include = [{ from = "" }]', "has an entry whose `from` is no path: ''"),
        ("include = [{ from = 1 }]", "has an entry whose `from` is no path: 1"),
        ('exclude = ["lib/x", "../*"]', "`exclude` leads out of the bundle: '../*'"),
        ('exclude = ["bin/../../precious"]', "`exclude` leads out of the bundle: 'bin/../../precious'"),
        ('exclude = ["/etc"]', "`exclude` leads out of the bundle: '/etc'"),
        ('scripts = { "../x" = "m:f" }', "names a script '../x', which is no file name without slashes"),
        ('scripts = ["a", "b/c"]', "names a script 'b/c', which is no file name without slashes"),
        ('scripts = { python3 = "m:f" }', "names a script 'python3', which is the interpreter itself"),
        ('scripts = { x = "m" }', "has x call 'm', which is not module:function"),
    ],
)
def test_what_of_a_value_is_wrong_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"[tool.relenv]\n{line}\n")
    name = line.partition(" ")[0]
    assert f"tool.relenv: `{name}` " in caught.value.message
    assert sentence in caught.value.message
    assert caught.value.hint == f"`{name}` must be {KEYS[name].shape.what}"


@pytest.mark.parametrize("line", ["include = [1]", 'include = "a"', "scripts = [1, {}]", "scripts = { x = 1 }"])
def test_a_value_of_another_kind_is_shown_whole(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r" must be .*, not "):
        loaded(tmp_path, f"[tool.relenv]\n{line}\n")
