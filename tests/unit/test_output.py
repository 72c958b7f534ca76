"""Where a bundle goes: what is there already and may be replaced, and what may not."""

from __future__ import annotations

import dataclasses
import os
import threading
from typing import TYPE_CHECKING

import pytest

from relenv.bundle.config import AppConfig
from relenv.bundle.formats import FORMATS, refuse, refuse_name
from relenv.bundle.keys import ENDINGS
from relenv.bundle.output import fresh, in_turn, try_making
from relenv.bundle.page import refuse_page, write_page
from relenv.bundle.report import Report
from relenv.errors import ConfigError, OutputError, UsageError
from relenv.store import held, hold, partial_name, try_writing
from relenv.ui import open_ui

if TYPE_CHECKING:
    from pathlib import Path


QUIET = open_ui(quiet=True)
GONE = 2**22 + 1
"""No process has this number (proc(5), pid_max)."""


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """As root, a rename would put a file in the place of a device."""
    pipe, link = tmp_path / "pipe.zip", tmp_path / "link.zip"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    (tmp_path / "folder.zip").mkdir()
    for path in (pipe, link, tmp_path / "folder.zip"):
        for form in ("zip", "run"):
            with pytest.raises(OutputError, match="exists already, and is no bundle"):
                refuse(form, path)
    (tmp_path / "page.html").touch()
    (tmp_path / "stdout").symlink_to("page.html")
    for path in (pipe, tmp_path / "stdout"):
        with pytest.raises(OutputError, match="exists already, and is no file"):
            refuse_page(path, config(tmp_path, "it.zip", "zip"))
    refuse_page(tmp_path / "page.html", config(tmp_path, "it.zip", "zip"))


def test_what_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("mine")
    (tmp_path / "empty").touch()
    (tmp_path / "stdout").symlink_to("empty")  # as /dev/stdout is, where a shell has made the file
    for name in ("text", "stdout"):
        with pytest.raises(OutputError, match="exists already, and is no bundle"):
            refuse("zip", tmp_path / name)
    refuse("zip", tmp_path / "empty")
    refuse("zip", tmp_path / "absent")
    (tmp_path / "packed").write_bytes(b"PK\3\4")
    (tmp_path / "current").symlink_to("packed")
    refuse("zip", tmp_path / "current")


def test_a_directory_takes_no_name_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(OutputError, match="exists already"):
            refuse("dir", path)


def config(root: Path, output: str, *formats: str) -> AppConfig:
    return AppConfig(root=root, output=f"{root}/{output}", formats=formats)


def test_a_page_takes_the_place_of_a_report_alone(tmp_path: Path) -> None:
    own = config(tmp_path, "it.zip", "zip")
    facts = {"python": "3.13.5", "triplet": "x86_64-linux-gnu", "glibc": "2.17", "relenv": "1"}
    report = Report(project="it", version="1", packages=(), **facts)
    for name, text in {"pyproject.toml": "[project]\n", "own.html": "<!doctype html>\n<title>mine</title>\n"}.items():
        (tmp_path / name).write_text(text)
        for replace in (lambda path: refuse_page(path, own), lambda path: write_page(report, path)):
            with pytest.raises(OutputError, match=f"{name} exists already, and is no report"):
                replace(tmp_path / name)
        assert (tmp_path / name).read_text() == text
    (tmp_path / "empty").touch()
    for name in ("empty", "absent"):
        for _ in range(2):
            refuse_page(tmp_path / name, own)
            write_page(report, tmp_path / name)
        assert b"<title>it 1: where" in (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("output", "formats", "page"),
    [("it.zip", ["zip"], "sub/../it.zip"), ("", ["zip", "run"], "it.run"), ("it", ["dir"], "it")],
)
def test_a_page_goes_elsewhere_than_the_bundle(tmp_path: Path, output: str, formats: list[str], page: str) -> None:
    (tmp_path / "sub").mkdir()
    own = dataclasses.replace(config(tmp_path, output, *formats), name="it")
    with pytest.raises(OutputError, match=f"{page} is where the bundle goes"):
        refuse_page(tmp_path / page, own)
    refuse_page(tmp_path / f"{page}.html", own)


@pytest.mark.parametrize(
    ("output", "formats", "called"),
    [
        ("x.zip", ["run"], "zip, and the format is run"),
        ("x.zip", ["dir"], "zip, and the format is dir"),
        ("x.tar.gz", ["zip"], "tar.gz, and the format is zip"),
        ("x.TGZ", ["tar.zst"], "tar.gz, and the format is tar.zst"),
        ("x.oci.tar", ["zip"], "oci, and the format is zip"),
        ("both.zip", ["run", "zip"], "zip, and several formats go into a directory: run, zip"),
    ],
)
def test_a_name_of_another_format_is_refused(tmp_path: Path, output: str, formats: list[str], called: str) -> None:
    own = config(tmp_path, output, *formats)
    form = called.partition(",")[0]
    with pytest.raises(ConfigError, match=f"toml: output {output} has the ending of {called}") as refused:
        refuse_name(own)
    assert refused.value.hint.startswith(f'format = "{form}" writes ')
    for given in ("output", "format"):
        with pytest.raises(UsageError, match=f"^{tmp_path}/{output} has the ending of {called}") as misused:
            refuse_name(dataclasses.replace(own, given=("extras", given)))
        assert misused.value.hint.startswith(f"--format {form} writes ")


def test_names_that_are_right_or_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "there.zip").mkdir()
    for output, formats in {
        "x.zip": ["zip"],
        "x.tgz": ["tar.gz"],
        "x.oci.tar": ["oci"],
        "x.tar": ["oci"],
        "x-1.0": ["run"],
        "zip": ["dir"],
        "new.zip/": ["run"],
        "there.zip": ["run", "zip"],
        "": ["run"],
    }.items():
        refuse_name(config(tmp_path, output, *formats))


def test_who_writes_into_a_directory_waits_for_its_turn(tmp_path: Path) -> None:
    done: list[str] = []

    def second() -> None:
        with in_turn(tmp_path, QUIET):
            done.append("second")

    other = threading.Thread(target=second)
    with in_turn(tmp_path, QUIET):
        other.start()
        other.join(0.3)
        done.append("first")
    other.join()
    assert done == ["first", "second"]


@pytest.mark.parametrize("error", [OutputError("full"), KeyboardInterrupt()])
def test_a_directory_is_made_for_what_is_put_there_and_goes_with_it(tmp_path: Path, error: BaseException) -> None:
    folder = tmp_path / "new/sub"

    def put(*names: str) -> None:
        with in_turn(folder, QUIET):
            for name in names:
                (folder / name).touch()
            if names != ("it.zip",):
                raise error

    (tmp_path / "there").mkdir()
    with pytest.raises(type(error)):
        put()
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    with pytest.raises(type(error)):
        put("it.zip", "it.run")
    assert sorted(path.name for path in folder.iterdir()) == ["it.run", "it.zip"]  # what is in there may be somebody's
    folder = tmp_path / "there"
    with pytest.raises(type(error)):
        put()
    assert folder.is_dir()
    folder = tmp_path / "other/sub"
    put("it.zip")
    assert (folder / "it.zip").exists()


def test_what_cannot_be_made_is_told_before_and_nothing_is_made_for_that(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "new/sub", tmp_path, tmp_path / "."):
        try_making(folder, hint="")
    for name in ("file", "file/below/it"):
        with pytest.raises(OutputError, match=f"^{tmp_path}/{name} cannot be created: (Not a dir|File ex)") as caught:
            try_making(tmp_path / name, hint="choose another place")
        assert caught.value.hint == "choose another place"
        with pytest.raises(OutputError, match=f"cannot write {tmp_path}/{name}: "), in_turn(tmp_path / name, QUIET):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_that_write_at_once_do_not_get_in_each_others_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # in two containers, processes may have the same number, and the other's may be nobody's here
    page = tmp_path / "page.html"
    with fresh(page) as first:
        first.write(b"first")
        monkeypatch.setattr(os, "getpid", lambda: GONE)
        with fresh(page) as second:
            second.write(b"second, which is longer")
            monkeypatch.undo()
            with fresh(page) as third:
                third.write(b"third")
            assert page.read_bytes() == b"third"
        assert page.read_bytes() == b"second, which is longer"
    assert page.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_what_a_killed_one_left_goes_and_what_is_held_stays(tmp_path: Path) -> None:
    names = (
        ".it.zip.0123abcd.part",
        ".it.zip.4567cdef.part",
        ".it.zip.mine.part",
        ".it.zip.01234567",
        ".other.01234567.part",
    )
    left, ours, *others = (tmp_path / name for name in names)
    for path in (left, ours, *others):
        path.touch()
    lock = hold(ours)
    with fresh(tmp_path / "it.zip"):
        assert not left.exists()
        assert all(path.exists() for path in (ours, *others))
    os.close(lock)
    with fresh(tmp_path / "it.zip"):
        assert not ours.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"it.zip", *(path.name for path in others)}


def test_what_is_taken_away_before_it_is_held_is_made_again(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        path.mkdir()
        made.append(path)
        if len(made) == 1:
            partial_name(tmp_path, ".it.")

    with held(tmp_path, ".it.", make) as path:
        assert made == [path, path]
        partial_name(tmp_path, ".it.")
        assert path.is_dir()
    assert not any(tmp_path.iterdir())


def test_a_directory_that_is_missing_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"there is no directory {tmp_path}/gone") as caught:
        try_writing(tmp_path / "gone", hint="choose another place")
    assert caught.value.hint == "make it, or choose another place"


def test_endings_are_those_of_the_formats() -> None:
    assert {form.suffix: name for name, form in FORMATS.items() if form.suffix} | {".tgz": "tar.gz"} == ENDINGS
