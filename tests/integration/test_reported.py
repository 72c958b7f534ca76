"""`relenv bundle --report`: a page about a bundle, which it changes nothing of."""

from __future__ import annotations

import json
import re
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Relenv


def test_a_report(relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path) -> None:
    plain, page = tmp_path / "plain.zip", tmp_path / "page.html"
    project = sample("example")
    relenv("bundle", project, "-o", plain)
    reported = tmp_path / "reported.zip"
    outcome = relenv("bundle", project, "-o", reported, "--report", page, "--json")
    assert reported.read_bytes() == plain.read_bytes()
    facts = json.loads(outcome.stdout)["report"]
    with zipfile.ZipFile(plain) as archive:
        members = [one for one in archive.infolist() if not one.is_dir()]
    assert sum(one["packed"] for one in facts["packages"]) == sum(one.compress_size for one in members)
    assert sum(one["files"] for one in facts["packages"]) == len(members)
    assert facts["starts"][0]["script"] == "sitewatch"
    assert facts["starts"][0]["imports"] > 1000
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    assert {one["name"] for one in json.loads(text)["packages"]} == {one["name"] for one in facts["packages"]}
    assert re.search(r"^in all +\d+\.\d MB 100.0%", outcome.stderr, re.MULTILINE)


def test_without_a_zip(relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path) -> None:
    options = ("--format", "dir", "--sizes")
    outcome = relenv("bundle", sample("example"), "-o", tmp_path / "made", *options)
    assert re.search(r"^standard library", outcome.stderr, re.MULTILINE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "projects"]


def test_a_place_where_no_page_can_be(relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path) -> None:
    for place, words in ((tmp_path, "is a directory"), (tmp_path / "no/such/page.html", "there is no directory")):
        outcome = relenv("bundle", sample("example"), "-o", tmp_path / "it.zip", "--report", place, check=False)
        assert outcome.code == 10
        assert words in outcome.errors[0]
        assert "Building" not in outcome.stderr
        (tmp_path / "projects").rename(tmp_path / f"done-{words[0]}")
