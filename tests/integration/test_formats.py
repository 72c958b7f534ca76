"""Every format of a bundle, and what the keys of [tool.relenv] do to what is in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from conftest import AWKWARD, EXAMPLE, Outcome, say
from wheels import make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Relenv


@pytest.fixture(scope="session")
def bundles(relenv: Relenv, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in every format."""
    folder = tmp_path_factory.mktemp("bundles") / "of all formats"
    project = shutil.copytree(
        EXAMPLE, folder.parent / "sitewatch", ignore=shutil.ignore_patterns("build", "*.egg-info")
    )
    options = [word for name in ("zip", "tar.gz", "tar.zst", "dir", "run") for word in ("--format", name)]
    made = json.loads(relenv("bundle", project, "--json", "-o", f"{folder}/", *options).stdout)
    assert [file["format"] for file in made["files"]] == ["zip", "tar.gz", "tar.zst", "dir", "run"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "sitewatch",
        "sitewatch.run",
        "sitewatch.tar.gz",
        "sitewatch.tar.zst",
        "sitewatch.zip",
    ]
    return folder


def test_all_hold_the_same(bundles: Path, tmp_path: Path) -> None:
    for name, command in {
        "zip": ["unzip", "-q", bundles / "sitewatch.zip"],
        "tar": ["tar", "-xzf", bundles / "sitewatch.tar.gz"],
        "run": [bundles / "sitewatch.run", "--extract", "sitewatch"],
    }.items():
        place = tmp_path / f"{AWKWARD} {name}"
        place.mkdir()
        subprocess.run(command, cwd=place, check=True)
        same = ["diff", "-r", bundles / "sitewatch", place / "sitewatch"]
        assert subprocess.run(same, check=False, capture_output=True).returncode == 0
        assert say(place / "sitewatch/bin/sitewatch", "--help").startswith("usage: sitewatch")
    assert not [path for path in (bundles / "sitewatch").rglob("*") if path.is_symlink()]


def test_a_directory_has_the_modes_of_the_archives(relenv: Relenv, bundles: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        relenv("bundle", bundles.parent / "sitewatch", "--format", "dir", "-o", tmp_path / "made")
    finally:
        os.umask(before)
    modes = {
        root.name: {str(path.relative_to(root)): path.stat().st_mode for path in root.rglob("*")}
        for root in (tmp_path / "made", bundles / "sitewatch")
    }
    assert modes["made"] == modes["sitewatch"]
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o755


def test_made_again_they_are_the_same(relenv: Relenv, bundles: Path, tmp_path: Path) -> None:
    project = shutil.copytree(bundles.parent / "sitewatch", tmp_path / "another place")
    options = [word for name in ("zip", "tar.gz", "tar.zst", "run") for word in ("--format", name)]
    made = json.loads(relenv("bundle", project, "--json", "-o", f"{tmp_path}/", *options).stdout)
    for file in made["files"]:
        path = tmp_path / f"sitewatch.{file['format']}"
        assert path.read_bytes() == (bundles / path.name).read_bytes(), path.name


UNPACKED = {
    "zip": ["unzip", "-q", "{bundles}/sitewatch.zip"],
    "tar.gz": ["tar", "-xf", "{bundles}/sitewatch.tar.gz"],
    "tar.zst": ["tar", "--zstd", "-xf", "{bundles}/sitewatch.tar.zst"],
    "dir": ["cp", "-a", "{bundles}/sitewatch", "."],
    "run": ["{bundles}/sitewatch.run", "--extract", "sitewatch"],
}


@pytest.mark.parametrize("form", UNPACKED)
def test_each_format_works_in_awkward_places(relenv: Relenv, bundles: Path, tmp_path: Path, form: str) -> None:
    command = [word.format(bundles=bundles) for word in UNPACKED[form]]
    if form == "tar.zst" and shutil.which("zstd") is None:
        pytest.skip("no zstd here")
    subprocess.run(command, cwd=tmp_path, check=True)
    # moved, deep, through a link, read-only, as another user: docs/check.md
    report = json.loads(relenv("check", "--run", tmp_path / "sitewatch", "--json").stdout)
    assert [one for one in report["findings"] if one["severity"] in ("error", "warning")] == []
    # whoever may not write there reads it all the same, and leaves nothing behind
    before = sorted(path for path in (tmp_path / "sitewatch").rglob("*"))
    for path in (tmp_path / "sitewatch", *before):
        path.chmod(path.stat().st_mode & ~0o222)
    assert say(tmp_path / "sitewatch/bin/sitewatch", "--help").startswith("usage: sitewatch")
    assert sorted(path for path in (tmp_path / "sitewatch").rglob("*")) == before
    for path in (tmp_path / "sitewatch", *before):
        path.chmod(path.stat().st_mode | 0o200)


# --- run


def started(program: Path, *words: str, **env: str) -> Outcome:
    path = {"PATH": os.environ["PATH"]}
    done = subprocess.run([program, *words], env=path | env, capture_output=True, text=True, check=False)
    return Outcome(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def test_run_unpacks_once_and_starts(bundles: Path, tmp_path: Path) -> None:
    program = bundles / "sitewatch.run"
    for first in (True, False):
        outcome = started(program, "--help", HOME=str(tmp_path))
        assert outcome.code == 0, outcome.stderr
        assert outcome.stdout.startswith("usage: sitewatch")
        (place,) = (tmp_path / ".cache").glob("relenv-run-*/*")
        mark = place / "mark"
        assert mark.exists() is not first
        mark.touch()
    assert str(place) in started(program, "--info", HOME=str(tmp_path)).stdout
    assert "python: 3." in started(program, "--info", HOME=str(tmp_path)).stdout
    (tmp_path / "linked").symlink_to(program)
    assert started(tmp_path / "linked", "--", "--help", HOME=str(tmp_path)).code == 0
    assert started(program, "--verify").stdout.endswith("sitewatch.run: whole\n")


def test_run_in_awkward_places(bundles: Path, tmp_path: Path) -> None:
    place = tmp_path.joinpath(AWKWARD, *["deep"] * 40, 'it\'s $HOME; "quoted" %s')
    place.mkdir(parents=True)
    program = shutil.copy(bundles / "sitewatch.run", place / "-ünd los.run")
    home = tmp_path / "hö me's"
    assert started(program, "--help", HOME=str(home)).stdout.startswith("usage: sitewatch")
    (tmp_path / "link").symlink_to(program)
    assert started(tmp_path / "link", "--help", HOME=str(home)).code == 0
    assert len(list(home.glob(".cache/relenv-run-*/*"))) == 1
    place.chmod(0o555)
    done = subprocess.run(
        ["./-ünd los.run", "--help"], cwd=place, env={"PATH": os.environ["PATH"], "HOME": str(home)}, check=False
    )
    assert done.returncode == 0
    place.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_run_as_somebody_else(bundles: Path, tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents):
        if path.owner() == "root" and path != path.parent:
            path.chmod(path.stat().st_mode | 0o055)
    program = shutil.copy(bundles / "sitewatch.run", tmp_path / "sitewatch.run")
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": "/tmp"}  # noqa: S108 - where all may write
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program]
    done = subprocess.run([*command, "--help"], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("usage: sitewatch"), done.stderr
    told = subprocess.run([*command, "--info"], env=env, capture_output=True, text=True, check=True).stdout
    assert "/tmp/relenv-run-65534/" in told  # noqa: S108
    subprocess.run(["rm", "-rf", "/tmp/relenv-run-65534"], check=True)  # noqa: S108
    (tmp_path / "closed").mkdir()
    os.chown(tmp_path / "closed", 65534, 65534)
    (tmp_path / "closed").chmod(0o555)
    env["RELENV_RUN_DIR"] = str(tmp_path / "closed")
    done = subprocess.run([*command, "--help"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 126
    assert done.stderr.endswith(f"RELENV_RUN_DIR is {tmp_path}/closed, which cannot be written to\n")


def test_run_without_a_home(bundles: Path, tmp_path: Path) -> None:
    assert started(bundles / "sitewatch.run", "--help", TMPDIR=str(tmp_path)).code == 0
    assert list(tmp_path.glob("relenv-run-*/sitewatch-*"))
    assert started(bundles / "sitewatch.run", "--help", RELENV_RUN_DIR=str(tmp_path / "mine")).code == 0
    assert list(tmp_path.glob("mine/sitewatch-*"))


def test_runs_with_the_same_number_do_not_meet(bundles: Path, tmp_path: Path) -> None:
    """In containers that share a directory, every process may be number 1; and one may have been killed there."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", bundles / "sitewatch.run", "--help"]
    if os.geteuid():
        pytest.skip("takes root")
    env = {"PATH": os.environ["PATH"], "RELENV_RUN_DIR": str(tmp_path / "shared")}
    (tmp_path / "shared/.part.1").mkdir(parents=True)
    (tmp_path / "shared/.part.1.0").mkdir()
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert said[0].startswith("usage: sitewatch")
    assert {path.name for path in (tmp_path / "shared").glob(".part*")} == {".part.1", ".part.1.0"}


def test_four_runs_at_once(bundles: Path, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [bundles / "sitewatch.run", "--help"]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0]
    assert len(set(said)) == 1
    (base,) = (tmp_path / ".cache").iterdir()
    assert len(list(base.iterdir())) == 1


@pytest.mark.parametrize("how", ["cut", "changed", "no room"])
def test_a_run_file_that_cannot_unpack_leaves_nothing(bundles: Path, tmp_path: Path, how: str) -> None:
    data = (bundles / "sitewatch.run").read_bytes()
    program = tmp_path / "sitewatch.run"
    middle = len(data) // 2
    program.write_bytes({"cut": data[:middle], "changed": data[:middle] + b"x" * 9 + data[middle + 9 :]}.get(how, data))
    program.chmod(0o755)
    command = ["sh", "-c", 'ulimit -f 100; "$0" --help', program] if how == "no room" else [program, "--help"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 126)
    assert ("it is cut short" if how == "cut" else "cannot unpack into") in done.stderr
    assert list((tmp_path / "home/.cache").glob("relenv-run-*/*")) == []
    assert list((tmp_path / "home/.cache").glob("relenv-run-*/.part*")) == []
    if how == "changed":
        assert "does not have the checksum" in started(program, "--verify").stderr


def thinned(program: Path, base: Path) -> Path:
    """Return what a program unpacked to: a cleaner has been there, after more than a day without a start."""
    assert started(program, "--help", RELENV_RUN_DIR=str(base)).code == 0
    (home,) = base.iterdir()
    for path in home.rglob("*.py"):
        path.unlink()
    (home / "bin/python3").write_bytes(b"")  # a power cut
    (home / "lib/mine.txt").write_text("mine")
    os.utime(home, (0, 0))
    return home


def same(one: Path, other: Path) -> str:
    """Return what diff(1) says of two directories, bytecode aside."""
    command = ["diff", "-rq", "-x", "__pycache__", one, other]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


SHELLS = ("sh", "dash", "bash --posix", "busybox sh", "mksh", "ksh93", "yash")


@pytest.mark.parametrize("shell", SHELLS)
def test_run_puts_back_what_a_cleaner_has_taken(bundles: Path, tmp_path: Path, shell: str) -> None:
    if not shutil.which(shell.partition(" ")[0]):
        pytest.skip(f"no {shell} here")
    home = thinned(bundles / "sitewatch.run", tmp_path / "place")
    env = {"PATH": os.environ["PATH"], "RELENV_RUN_DIR": str(home.parent)}
    command = [*shell.split(), bundles / "sitewatch.run", "--help"]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].partition(":")[0] for process in running] == ["usage", "usage"]
    assert same(bundles / "sitewatch", home) == f"Only in {home}/lib: mine.txt\n"
    assert home.stat().st_mtime > time.time() + 23 * 3600  # until then nothing is looked at
    assert list(home.parent.iterdir()) == [home]


def test_run_looks_for_what_is_missing_once_a_day(bundles: Path, tmp_path: Path) -> None:
    program, base = bundles / "sitewatch.run", tmp_path / "place"
    assert started(program, "--help", RELENV_RUN_DIR=str(base)).code == 0
    (home,) = base.iterdir()
    (home / "README.txt").unlink()
    os.utime(home, (time.time() + 3600,) * 2)
    assert started(program, "--help", RELENV_RUN_DIR=str(base)).code == 0
    assert not (home / "README.txt").exists()
    before = {path: path.stat() for path in home.rglob("*.py")}
    os.utime(home, (0, 0))
    assert started(program, "--help", RELENV_RUN_DIR=str(base)).code == 0
    assert same(bundles / "sitewatch", home) == ""
    after = {path: path.stat() for path in before}
    assert {path: one.st_mtime_ns for path, one in before.items()} == {p: one.st_mtime_ns for p, one in after.items()}
    assert all(after[path].st_atime_ns > one.st_atime_ns for path, one in before.items())


def test_systemd_tmpfiles_leaves_what_run_has_unpacked(bundles: Path, tmp_path: Path) -> None:
    cleaner, base = shutil.which("systemd-tmpfiles"), tmp_path / "place"
    if cleaner is None:
        pytest.skip("no systemd-tmpfiles here")
    assert started(bundles / "sitewatch.run", "--help", RELENV_RUN_DIR=str(base)).code == 0
    (base / "other").touch()
    rules = tmp_path / "all.conf"
    rules.write_text(f'd "{base}" - - - 0\n')
    subprocess.run([cleaner, "--clean", rules], check=True)
    (home,) = base.iterdir()  # the other file is gone
    assert same(bundles / "sitewatch", home) == ""
    assert json.loads(started(home / "bin/python3", "-Im", "relenv_pip.verify", "--json").stdout)["whole"]


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("relative", "is no full path"),
        ("{tmp}/file", "is no directory"),
        ("{tmp}/file/below", "cannot be made"),
        ("{tmp}/theirs", "belongs to somebody else"),
    ],
)
def test_run_takes_no_other_place_than_the_one_it_is_told(bundles: Path, tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "theirs").mkdir()
    if os.geteuid():
        if "theirs" in place:
            pytest.skip("takes root")
    else:
        os.chown(tmp_path / "theirs", 65534, 65534)
    place = place.format(tmp=tmp_path)
    for argument in ("--help", "--info"):
        home = {"HOME": str(tmp_path), "RELENV_RUN_DIR": place}
        outcome = started(bundles / "sitewatch.run", argument, **home)
        assert outcome.code == 126
        assert outcome.stderr == f"{bundles}/sitewatch.run: cannot unpack: RELENV_RUN_DIR is {place}, which {why}\n"
    assert not (tmp_path / ".cache").exists()


def test_run_where_nothing_may_be_run(bundles: Path, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("takes root")
    script = (
        'mount -t tmpfs -o noexec none "$1" && cd / || exit; "$2" --help; code=$?; ls -A "$1"; '
        'mount -o remount,exec "$1" && "$2" --help; mount -o remount,ro "$1" && "$2" --help; exit $code'
    )
    program = bundles / "sitewatch.run"
    env = {"PATH": os.environ["PATH"], "RELENV_RUN_DIR": f"{tmp_path}/here"}
    command = ["unshare", "-m", "sh", "-c", script, "-", tmp_path, program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if "usage" not in done.stdout and "unshare" in done.stderr + done.stdout:
        pytest.skip("no mount namespaces here")
    assert done.returncode == 126
    assert done.stderr.startswith(f"{program}: cannot run what is in {tmp_path}/here: is it mounted noexec?")
    assert done.stderr.count("\n") == 1
    # what was unpacked before it was mounted read-only will do
    assert done.stdout.count("usage: sitewatch") == 2
    assert done.stdout.startswith("usage: sitewatch")


# --- keys


def bundled(relenv: Relenv, project: Path, tmp_path: Path, *options: str | Path) -> Path:
    tmp_path.mkdir(exist_ok=True)
    relenv("bundle", project, "--format", "dir", "-o", tmp_path / "made", *options)
    return tmp_path / "made"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A project with two scripts, a dependency with one, a group, and data."""
    make_wheel(tmp_path / "wheels", "rlnvhelper", console={"rlnvhelper": "rlnvhelper:main"})
    make_wheel(tmp_path / "wheels", "rlnvtool", console={"rlnvtool": "rlnvtool:main"})
    project = tmp_path / "app"
    (project / "data").mkdir(parents=True)
    (project / "data/text.txt").write_text("hello")
    (project / "app.py").write_text(
        "import os\ndef one():\n    print('one', os.environ.get('APP_DATA'))\ndef two():\n    print('two')\n"
    )
    (project / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1.0"\ndependencies = ["rlnvhelper"]\n'
        'scripts = { one = "app:one", two = "app:two" }\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        "[tool.setuptools]\npy-modules = ['app']\n"
        '[dependency-groups]\ndeploy = ["rlnvtool"]\n'
        '[tool.relenv]\nfind-links = ["../wheels"]\n'
    )
    return project


def test_scripts_env_and_files(relenv: Relenv, app: Path, tmp_path: Path) -> None:
    with (app / "pyproject.toml").open("a") as file:
        file.write(
            'scripts = ["one", "rlnvhelper"]\ngroups = ["deploy"]\nbytecode = false\n'
            'env = { APP_DATA = "{root}/share/app/text.txt" }\n'
            'include = [{ from = "data", to = "share/app" }]\nexclude = ["include", "lib/python3.*/ensurepip"]\n'
            'smoke = ["one", "rlnvhelper"]\n'
        )
    module = app / "app.py"
    module.write_text(f'import os\n\nTAKEN = os.environ["APP_DATA"]\n{module.read_text()}')
    made = bundled(relenv, app, tmp_path)
    programs = {path.name for path in (made / "bin").iterdir()}
    assert {"one", "rlnvhelper"} <= programs
    assert not programs & {"two", "rlnvtool", "pip3"}
    assert list(made.glob("lib/python3.*/site-packages/rlnvtool.py"))
    assert not (made / "include").exists()
    assert not list(made.glob("lib/python3.*/site-packages/__pycache__/app.*"))
    moved = made.rename(tmp_path / AWKWARD)
    assert say(moved / "bin/one") == f"one {moved}/share/app/text.txt\n"
    assert say(moved / "bin/one", env={"APP_DATA": "mine"}) == "one mine\n"
    assert (moved / "share/app/text.txt").read_text() == "hello"
    errors = [
        one for one in json.loads(relenv("check", "--json", moved).stdout)["findings"] if one["severity"] == "error"
    ]
    assert errors == []
    ran = json.loads(relenv("check", "--run", "--json", moved, check=False).stdout)["findings"]
    assert [one for one in ran if one["check"] == "run"] == []


def test_glibc_is_that_of_all_that_is_inside(relenv: Relenv, app: Path, tmp_path: Path) -> None:
    shutil.copy("/bin/true", app / "data/tool")  # of this machine's glibc
    options = ("bundle", app, "--format", "dir", "-o", tmp_path / "made", "--include", "data/tool:bin/tool")
    outcome = relenv(*options, "--glibc", "2.17", check=False)
    assert outcome.code == 9
    assert outcome.errors[0].startswith("error: bin/tool needs glibc 2.")
    outcome = relenv(*options, check=False)
    assert outcome.code == 9
    assert "newer than the promised 2.17" in outcome.errors[-2]
    relenv(*options, "--glibc", "2.99")
    bundle = json.loads((tmp_path / "made/relenv.json").read_text())["bundle"]
    assert bundle["glibc"] not in ("2.17", "2.99")
    assert bundle["include"] == ["bin/tool"]
    # how it is linked, and for which glibc, is the user's choice
    found = json.loads(relenv("check", "--json", tmp_path / "made").stdout)["findings"]
    assert {one["severity"] for one in found if one["file"] == "bin/tool"} == {"note"}


def test_new_scripts(relenv: Relenv, app: Path, tmp_path: Path) -> None:
    made = bundled(relenv, app, tmp_path, "--script", "start=app:two")
    assert say(made / "bin/start") == "two\n"
    assert not {path.name for path in (made / "bin").iterdir()} & {"one", "two", "rlnvhelper", "pip3"}


def test_scripts_that_are_called_as_others(relenv: Relenv, app: Path, tmp_path: Path) -> None:
    file = app / "pyproject.toml"
    file.write_text(
        file.read_text().replace('two = "app:two"', 'pip = "app:two", wheel = "app:two", rlnvhelper = "app:two"')
    )
    said = "warning: the project's script rlnvhelper takes the place of that of rlnvhelper"
    for prune in ("safe", "max"):  # which leave out pip's and wheel's own
        options = ("--format", "dir", "-o", tmp_path / prune, "--prune", prune)
        assert [one for one in relenv("bundle", app, *options).stderr.splitlines() if one.startswith("warning: ")] == [
            said
        ]
        for name in ("pip", "wheel", "rlnvhelper"):
            assert say(tmp_path / prune / "bin" / name) == "two\n"
        relenv("verify", "--strict", tmp_path / prune)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--exclude", "bin/one"], (9, "the bundle has no bin/one, which the project declares")),
        (["--smoke", "two; exit 3"], (9, "smoke: `two; exit 3` failed (exit 3) in the bundle")),
        (["--script", "three"], (3, "no package installs a script `three`")),
        (["--script", "start=app:three"], (9, "the script start (app:three) cannot start in the bundle")),
        (["--exclude", "no/such"], (3, "exclude: nothing in the bundle matches 'no/such'")),
        (["--exclude", "bin/*"], (3, "would leave out the interpreter itself")),
        (["--exclude", "*.json"], (3, "would leave out relenv.json, which says what is inside")),
        (["--exclude", "../*"], (2, "the command line: `exclude` leads out of the bundle: '../*'")),
        (["--wheel", __file__], (2, f"--wheel {__file__} is no wheel")),
        (["--format", "rar"], (2, "`format` must be one of")),
        (["--format", "run"], (2, "has the ending of zip, and the format is run")),
        (["--only-binary", ":all:", "--group", "missing"], (2, "`missing`, which [dependency-groups] lacks")),
    ],
)
def test_what_is_wrong_is_one_sentence(
    relenv: Relenv, app: Path, tmp_path: Path, options: list[str], expected: tuple[int, str]
) -> None:
    outcome = relenv("bundle", app, "-o", tmp_path / "made.zip", *options, check=False)
    assert outcome.code == expected[0], outcome.stderr
    assert expected[1] in outcome.errors[0]
    assert not (tmp_path / "made.zip").exists()


def test_a_directory_is_not_replaced(relenv: Relenv, app: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/app").mkdir()
    outcome = relenv("bundle", app, "--format", "dir", "-o", tmp_path / "made", check=False)
    assert (outcome.code, outcome.errors[0]) == (10, f"error: {tmp_path}/made/app exists already")


def test_wheels_are_chosen_for_an_older_glibc(relenv: Relenv, app: Path, tmp_path: Path) -> None:
    for version, tag in (("1.0", "manylinux_2_17_x86_64"), ("2.0", "manylinux_2_28_x86_64")):
        wheel = make_wheel(tmp_path / "wheels", "rlnvtagged", version)
        wheel.rename(wheel.with_name(f"rlnvtagged-{version}-py3-none-{tag}.whl"))
    with (app / "pyproject.toml").open("a") as file:
        file.write('groups = ["deploy"]\n')
    text = (app / "pyproject.toml").read_text().replace('deploy = ["rlnvtool"]', 'deploy = ["rlnvtagged"]')
    (app / "pyproject.toml").write_text(text)
    for glibc, version in (("2.17", "1.0"), ("2.28", "2.0")):
        made = bundled(relenv, app, tmp_path / glibc, "--glibc", glibc)
        assert list(made.glob(f"lib/python3.*/site-packages/rlnvtagged-{version}.dist-info"))
        assert not list(made.glob("lib/python3.*/site-packages/_manylinux.py"))
