"""Systemd units and desktop entries, and the scripts in sh that install them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from relenv.backend.sdist import complete
from relenv.bundle.config import AppConfig, DesktopOptions, ServiceOptions
from relenv.bundle.desktop import Entry, entry
from relenv.bundle.integration import Program, entries, integrate, services
from relenv.bundle.service import Service, unit
from relenv.commands.keys import flags
from relenv.errors import ConfigError

AWKWARD = "we %i $HOME & |x \"q\\ `ü' #;"
"""Characters that mean something to sed, sh, systemd or the menu."""
SHELLS = ["dash", "bash", "busybox ash", "mksh"]


def program(**scripts: str) -> Program:
    points = tuple(EntryPoint(name, "m:f", f"{group}_scripts") for name, group in sorted(scripts.items()))
    return Program(name="app", project="App", summary="What it does", entry_points=points)


def config(root: Path = Path(), **values: Any) -> AppConfig:
    return AppConfig(root=root, **values)


def lines(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


# --- texts ----------------------------------------------------------------------------------------------


def test_a_unit_in_full() -> None:
    options = ServiceOptions(
        arguments=("-x", 'a "b" \\ 5%', "$HOME", "{root}/etc", "l\nm"),
        description="It is 100% \\",
        user="me",
        environment={"A": "{root} $x 5%"},
        after=("network-online.target", "a.service"),
        wanted_by=("a.target", "b.target"),
        settings={"ReadWritePaths": "{root}/x %S"},
    )
    assert unit(Service(name="web", script="run web", options=options, description="")) == (
        "[Unit]\n"
        "Description=It is 100%% \n"
        "Wants=network-online.target\n"
        "After=network-online.target a.service\n"
        "\n"
        "[Service]\n"
        "Type=simple\n"
        'ExecStart=/bin/sh "@ROOT_IN_WORD@/bin/run web" "-x" '
        '"a \\"b\\" \\\\ 5%%" "$$HOME" "@ROOT_IN_WORD@/etc" "l\\x0am"\n'
        "Restart=on-failure\n"
        "User=me\n"
        "SyslogIdentifier=web\n"
        'Environment="A=@ROOT_IN_VALUE@ $x 5%%"\n'
        "ReadWritePaths=@ROOT_IN_LINE@/x %S\n"
        "\n"
        "[Install]\n"
        "WantedBy=a.target b.target\n"
    )


def test_a_oneshot_is_not_restarted() -> None:
    options = ServiceOptions(type="oneshot", wanted_by=(), after=())
    text = unit(Service(name="once", script="once", options=options, description="Once"))
    assert lines(text, "Restart") == ["no"]
    assert "[Install]" not in text
    assert "After=" not in text


def test_an_entry_in_full() -> None:
    options = DesktopOptions(
        keywords=("a;b", "c"),
        categories=("Office", "Chart"),
        mime_types=("text/plain",),
        arguments=("a b", '"`$\\', "5%"),
        settings={"StartupWMClass": "x"},
    )
    one = Entry(script="show", icon="share/icons/show.png", terminal=False, options=options, name="A\\B", comment="")
    assert entry(one) == (
        "[Desktop Entry]\n"
        "Type=Application\n"
        "Version=1.0\n"
        "Name=A\\\\B\n"
        'Exec=/bin/sh "@ROOT_IN_WORD@/bin/show" "a b" "\\\\"\\\\`\\\\$\\\\\\\\" "5%%" %F\n'
        "TryExec=@ROOT_IN_TEXT@/bin/show\n"
        "Icon=@ROOT_IN_TEXT@/share/icons/show.png\n"
        "Terminal=false\n"
        "Categories=Office;Chart;\n"
        "Keywords=a\\\\;b;c;\n".replace("\\\\;", "\\;")
        + "MimeType=text/plain;\n"
        "StartupWMClass=x\n"
    )


def test_addresses_are_opened_as_such() -> None:
    options = DesktopOptions(mime_types=("text/plain", "x-scheme-handler/mine"))
    one = Entry(script="s", icon="", terminal=True, options=options, name="n", comment="c")
    assert lines(entry(one), "Exec")[0].endswith(" %U")
    assert lines(entry(one), "Terminal") == ["true"]
    assert lines(entry(one), "Icon") == []


# --- which ones -----------------------------------------------------------------------------------------


def test_the_script_of_a_service() -> None:
    made = program(app="console", web="console", a="console")
    plain, named, said = ServiceOptions(), {"web": ServiceOptions()}, {"x": ServiceOptions(script="a")}
    assert [(one.name, one.script) for one in services(made, config(services={"": plain}))] == [("app", "app")]
    assert [(one.name, one.script) for one in services(made, config(services=named))] == [("web", "web")]
    assert [(one.name, one.script) for one in services(made, config(services=said))] == [("x", "a")]
    (one,) = services(program(b="console", c="gui"), config(services={"": plain}))
    assert (one.name, one.script, one.description) == ("app", "b", "What it does")
    with pytest.raises(ConfigError, match=r"tool.relenv.service.w: `script` names wbe") as caught:
        services(made, config(services={"w": ServiceOptions(script="wbe")}))
    assert caught.value.hint == "did you mean `web`?"
    with pytest.raises(ConfigError, match="names no script"):
        services(program(), config(services={"": plain}))


def test_what_the_menu_shows() -> None:
    made = program(app="gui", other="gui", tool="console")
    assert entries(program(tool="console"), config()) == []
    assert [(one.script, one.name) for one in entries(program(app="gui"), config())] == [("app", "App")]
    assert [(one.script, one.name) for one in entries(made, config())] == [("app", "app"), ("other", "other")]
    desktop = {
        "": DesktopOptions(icon="a/b.svg"),
        "tool": DesktopOptions(name="T"),
        "app": DesktopOptions(terminal=True),
    }
    found = {one.script: (one.terminal, one.icon, one.options.name) for one in entries(made, config(desktop=desktop))}
    assert found == {"app": (True, "", ""), "other": (False, "share/icons/other.svg", ""), "tool": (True, "", "T")}
    with pytest.raises(ConfigError, match="has no gui scripts"):
        entries(program(tool="console"), config(desktop={"": DesktopOptions()}))
    with pytest.raises(ConfigError, match="names tol, which the bundle lacks"):
        entries(made, config(desktop={"": DesktopOptions(), "tol": DesktopOptions()}))


def test_entries_without_a_name_of_their_own() -> None:
    with pytest.raises(ConfigError, match="desktop: 日本 cannot be a desktop entry's name"):
        entries(program(日本="gui"), config())
    with pytest.raises(ConfigError, match="a b and a-b would have the same desktop entry, a-b"):
        entries(program(**{"a b": "gui", "a-b": "gui"}), config())
    both = program(**{"a b": "gui", "a-b": "console"})
    assert [one.script for one in entries(both, config())] == ["a b"]
    with pytest.raises(ConfigError, match="would have the same desktop entry"):
        entries(both, config(desktop={"": DesktopOptions(), "a-b": DesktopOptions()}))


def test_what_is_in_the_way(tmp_path: Path) -> None:
    _scripts(tmp_path, "app")
    (tmp_path / "share/systemd").mkdir(parents=True)
    (tmp_path / "share/systemd/app.service").write_text("mine")
    with pytest.raises(ConfigError, match=r"the bundle has a share/systemd/app.service already"):
        integrate(tmp_path, program(app="console"), config(services={"": ServiceOptions()}))
    (tmp_path / "bin/app").write_bytes(b"\x7fELF")
    with pytest.raises(ConfigError, match="bin/app cannot be a service"):
        integrate(tmp_path, program(app="console"), config(services={"": ServiceOptions()}))


# --- the scripts in bin/ --------------------------------------------------------------------------------


def _scripts(root: Path, *names: str) -> None:
    (root / "bin").mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / "bin" / name).write_text("#!/bin/sh\n")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    words: list[str] = request.param.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]} here")
    return words


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with two services and a gui script, at an awkward place."""
    root = tmp_path / AWKWARD / "app"
    _scripts(root, "app", "work")
    (tmp_path / "icon.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    desktop = {"": DesktopOptions(icon="icon.png", mime_types=("text/plain",))}
    units = {
        "app": ServiceOptions(
            arguments=("{root}/etc",), user="me", environment={"A": "{root}"}, settings={"WorkingDirectory": "{root}"}
        ),
        "app.work": ServiceOptions(script="work"),
    }
    made = integrate(root, program(app="gui", work="console"), config(tmp_path, services=units, desktop=desktop))
    assert made == ("app-service", "app-desktop")
    return root


def call(
    shell: list[str], *words: str | Path, code: int = 0, cwd: Path | None = None, **env: str | Path
) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.defpath, **{name: str(value) for name, value in env.items()}}
    path = shutil.which(shell[0]) or shell[0]
    done = subprocess.run([path, *shell[1:], *words], env=environ, cwd=cwd, check=False, capture_output=True, text=True)
    assert done.returncode == code, done.stderr + done.stdout
    return done


def test_the_place_is_spelled_as_systemd_reads_it(bundle: Path, shell: list[str]) -> None:
    text = call(shell, bundle / "bin/app-service", "print", "app").stdout
    escaped = str(bundle).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    word = escaped.replace("$", "$$")
    assert lines(text, "ExecStart") == [f'/bin/sh "{word}/bin/app" "{word}/etc"']
    assert lines(text, "Environment") == [f'"A={escaped}"']
    assert lines(text, "WorkingDirectory") == [str(bundle).replace("%", "%%")]
    assert "@" not in text
    assert lines(text, "User") == ["me"]


def test_the_place_is_spelled_as_a_menu_reads_it(bundle: Path, shell: list[str]) -> None:
    text = call(shell, bundle / "bin/app-desktop", "print").stdout
    for key, rest in (("TryExec", "/bin/app"), ("Icon", "/share/icons/app.png")):
        assert lines(text, key) == [str(bundle).replace("\\", "\\\\") + rest]
    (command,) = lines(text, "Exec")
    command = command.replace("\\\\", "\\")  # the escapes of a text come first; then quotes as those of sh
    words = call(["dash"], "-c", f"printf '%s\\n' {command}").stdout.replace("%%", "%").splitlines()
    assert words == ["/bin/sh", f"{bundle}/bin/app", "%F"]


def test_a_unit_is_named_with_its_suffix_or_without(bundle: Path, shell: list[str]) -> None:
    plain = call(shell, bundle / "bin/app-service", "print", "app.work").stdout
    assert lines(plain, "SyslogIdentifier") == ["app.work"]
    assert call(shell, bundle / "bin/app-service", "print", "app.work.service").stdout == plain
    assert call(shell, bundle / "bin/app-desktop", "print", "app.desktop").stdout.count("[Desktop Entry]") == 1


def test_installed_moved_and_removed(bundle: Path, shell: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    units, menu = home / ".config/systemd/user", home / ".local/share/applications"
    said = call(shell, bundle / "bin/app-service", "install", "--user", HOME=home).stdout
    assert "systemctl --user enable --now app.service app.work.service" in said
    call(shell, bundle / "bin/app-desktop", "install", HOME=home)
    assert sorted(path.name for path in units.iterdir()) == ["app.service", "app.work.service"]
    text = (units / "app.service").read_text()
    assert lines(text, "User") == []
    assert lines(text, "WantedBy") == ["default.target"]
    assert text == call(shell, bundle / "bin/app-service", "print", "--user", "app").stdout
    assert (units / "app.service").stat().st_mode & 0o777 == 0o644
    moved = bundle.rename(tmp_path / "moved")
    call(shell, moved / "bin/app-service", "install", "--user", "app", HOME=home)
    call(shell, moved / "bin/app-desktop", "install", HOME=home)
    assert lines((units / "app.service").read_text(), "ExecStart")[0].startswith(f'/bin/sh "{moved}/bin/app"')
    assert str(moved) not in (units / "app.work.service").read_text()
    assert lines((menu / "app.desktop").read_text(), "TryExec") == [f"{moved}/bin/app"]
    call(shell, moved / "bin/app-service", "uninstall", "--user", "app.work", HOME=home)
    assert [path.name for path in units.iterdir()] == ["app.service"]
    call(shell, moved / "bin/app-service", "uninstall", "--user", HOME=home)
    call(shell, moved / "bin/app-desktop", "uninstall", HOME=home)
    assert not list(units.iterdir())
    assert not list(menu.glob("*.desktop"))


def test_into_the_directory_of_another_machine(bundle: Path, shell: list[str], tmp_path: Path) -> None:
    root = tmp_path / "image"
    (root / "opt").mkdir(parents=True)
    there = shutil.copytree(bundle, root / "opt/app")
    done = call(shell, there / "bin/app-service", "install", "--root", root, "app")
    # --now would go to the machine that is running
    assert done.stdout.endswith(f"To start it with the machine: systemctl --root={root} enable app.service\n")
    assert done.stderr == ""
    assert lines((root / "etc/systemd/system/app.service").read_text(), "ExecStart") == [
        '/bin/sh "/opt/app/bin/app" "/opt/app/etc"'
    ]
    call(shell, "opt/app/bin/app-desktop", "install", "--root", ".", cwd=root)
    text = (root / "usr/local/share/applications/app.desktop").read_text()
    assert lines(text, "Exec") == ['/bin/sh "/opt/app/bin/app" %F']
    outside = (bundle / "bin/app-service", "install", "--user", "--root", root, "app")
    told = f"app-service: warning: {root} has no {bundle}, which is what was written: copy the bundle there\n"
    done = call(shell, *outside)
    assert done.stderr == told
    assert f"systemctl --global --root={root} enable app.service\n" in done.stdout
    assert str(tmp_path) in (root / "etc/systemd/user/app.service").read_text()
    shutil.copytree(bundle, f"{root}{bundle}")
    assert call(shell, *outside).stderr == ""


def test_where_it_is_called_from(bundle: Path, shell: list[str], tmp_path: Path) -> None:
    there = bundle.rename(tmp_path / "1.0")
    (tmp_path / "current").symlink_to("1.0")
    (tmp_path / "link").symlink_to(there / "bin/app-service")

    def place(*words: str | Path, cwd: Path = tmp_path) -> str:
        return lines(call(shell, *words, "print", "app", cwd=cwd).stdout, "WorkingDirectory")[0]

    assert place("link") == str(there)
    assert place("current/bin/app-service") == str(tmp_path / "current")
    assert place("app-service", cwd=there / "bin") == str(there)
    assert place("bin/app-service", cwd=there) == str(there)


def test_what_is_not_ours_stays(bundle: Path, shell: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "home/.config/systemd/user"
    folder.mkdir(parents=True)
    (folder / "app.work.service").write_text("[Service]\n")
    for command in ("install", "uninstall"):
        done = call(shell, bundle / "bin/app-service", command, "--user", HOME=tmp_path / "home", code=1)
        assert "app.work.service is " in done.stderr
        assert [path.name for path in folder.iterdir()] == ["app.work.service"]
        assert (folder / "app.work.service").read_text() == "[Service]\n"


def test_what_it_refuses(bundle: Path, shell: list[str], tmp_path: Path) -> None:
    service = bundle / "bin/app-service"
    assert "there is no command start" in call(shell, service, "start", HOME=tmp_path, code=2).stderr
    assert "there is no command --root" in call(shell, service, "--root", tmp_path, "install", code=2).stderr
    assert "there is no option --x" in call(shell, service, "install", "--x", code=2).stderr
    assert "there is no web: the bundle has app.service" in call(shell, service, "install", "web", code=2).stderr
    assert "--root needs a directory" in call(shell, service, "install", "--root", code=2).stderr
    absent = call(shell, service, "install", "--root", "/absent", code=2).stderr
    assert absent == "app-service: /absent is no directory\n"
    assert "HOME is not set" in call(shell, service, "install", "--user", code=1).stderr
    assert "cannot write to" in call(shell, service, "install", "--user", HOME="/proc/x", code=1).stderr
    assert "app-service install [--user]" in call(shell, service, HOME=tmp_path).stdout
    lined = bundle.rename(tmp_path / "a\nb")
    assert "control characters" in call(shell, lined / "bin/app-service", "print", code=1).stderr
    marked = lined.rename(tmp_path / "@ROOT_IN_VALUE@")
    assert "has @ROOT_IN_ in it" in call(shell, marked / "bin/app-service", "print", code=1).stderr
    assert not list(tmp_path.rglob("*.part*"))


def test_shellcheck_has_nothing_to_say(bundle: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here")
    for name in ("app-service", "app-desktop"):
        subprocess.run(["shellcheck", "-S", "warning", bundle / "bin" / name], check=True)


def test_a_nested_switch_is_an_option_without_a_value() -> None:
    assert {"desktop-terminal", "bytecode"} <= flags()
    assert "service-user" not in flags()


def test_an_sdist_gets_the_icons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "icon.svg").write_text("<svg/>")
    text = '[project]\nname = "x"\nversion = "1"\n[tool.relenv.desktop.x]\nicon = "icon.svg"\n'
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with tarfile.open(tmp_path / "x-1.tar.gz", "w:gz") as tar:
        tar.add("pyproject.toml", "x-1/pyproject.toml")
    complete(tmp_path / "x-1.tar.gz", {})
    with tarfile.open(tmp_path / "x-1.tar.gz") as tar:
        assert sorted(tar.getnames()) == ["x-1/icon.svg", "x-1/pyproject.toml"]
