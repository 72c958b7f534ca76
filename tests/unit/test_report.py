"""Where the bytes of a bundle are: whose each file is, and a page that holds whatever packages are called."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from relenv.bundle.page import embedded, render, write_page
from relenv.bundle.report import Report, deflated, described, make_report, table
from relenv.bundle.startup import Module, Start, parse

if TYPE_CHECKING:
    from pathlib import Path

SITE = "lib/python3.13/site-packages"
EVIL = "</script><script>alert(1)</script>"
MANIFEST = {
    "python": "3.13.15",
    "triplet": "x86_64-linux-gnu",
    "glibc": "2.17",
    "relenv": "1.0",
    "components": [{"name": "cpython", "licence": "PSF-2.0"}, {"name": "zlib", "licence": "Zlib", "source": "z.tar"}],
    "bundle": {"project": "Shown", "version": "1.0", "scripts": [], "glibc": "2.28"},
}
FILES = {
    "relenv.json": json.dumps(MANIFEST),
    "bin/python3": "x" * 5000,
    "bin/shown": "#!/bin/sh\n",
    "lib/libz.so.1": "z" * 3000,
    "lib/python3.13/os.py": "import sys\n",
    f"{SITE}/shown.py": "pass\n",
    f"{SITE}/__pycache__/shown.cpython-313.pyc": "byte code",
    f"{SITE}/shown-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: Shown\nVersion: 1.0\nLicense: MIT\n",
    f"{SITE}/shown-1.0.dist-info/RECORD": "shown.py,,\nshown-1.0.dist-info/METADATA,,\n../../../bin/shown,,\n",
    f"{SITE}/evil/written-later.txt": EVIL,
    f"{SITE}/evil/__init__.py": "",
    f"{SITE}/evil-2.dist-info/METADATA": f"Metadata-Version: 2.1\nName: evil\nVersion: 2\nLicense: {EVIL}\n",
    f"{SITE}/evil-2.dist-info/RECORD": 'evil/__init__.py,,\n"evil-2.dist-info/METADATA",,\n',
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "shown" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "shown"


@pytest.fixture
def report(root: Path) -> Report:
    return make_report(root, deflated(root, jobs=2))


def test_each_file_is_somebodys(report: Report) -> None:
    owned = {package.name: {file.path for file in package.files} for package in report.packages}
    assert owned["Shown"] == {"bin/shown", *(name for name in FILES if "shown" in name.removeprefix(SITE))} - {
        f"{SITE}/x"
    }
    assert f"{SITE}/evil/written-later.txt" in owned["evil"]
    assert owned["Python"] == {"bin/python3"}
    assert owned["libraries of Python"] == {"lib/libz.so.1"}
    assert owned["standard library"] == {"lib/python3.13/os.py"}
    assert sum(len(one) for one in owned.values()) == len(FILES)


def test_sizes_and_licences(report: Report) -> None:
    by_name = {package.name: package for package in report.packages}
    assert by_name["Python"].size == 5000
    assert by_name["Python"].packed < 100
    assert (by_name["Shown"].licence, by_name["Shown"].spdx, by_name["Shown"].project) == ("MIT", True, True)
    assert (by_name["evil"].spdx, by_name["evil"].project) == (False, False)
    assert by_name["libraries of Python"].licence == "Zlib"
    assert report.glibc == "2.28"
    lines = table(report)
    assert len({len(line) for line in lines}) == 1
    assert lines[-1].startswith("in all")
    assert described(report)["packages"]


class Page(HTMLParser):
    """The elements of a page, and what is in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append("")
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1] += data


def test_the_page_is_one_file_and_no_name_becomes_markup(report: Report) -> None:
    text = render(report)
    page = Page(text)
    assert len(page.scripts) == 2
    assert page.addresses == []
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", re.sub(r"/\*.*?\*/", "", text))
    data = json.loads(page.scripts[0])
    assert EVIL in {one["licence"] for one in data["packages"]}
    assert "default-src 'none'" in text
    assert render(report) == text


def test_data_cannot_end_its_element() -> None:
    text = embedded({"a": "</script><!-- & \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028"}


def test_the_page_appears_whole(report: Report, tmp_path: Path) -> None:
    write_page(report, tmp_path / "page.html")
    with (tmp_path / "page.html").open("a") as page:
        page.write("old")
    write_page(report, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().endswith("</html>\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "shown"]


def test_what_a_start_imports_is_read(root: Path) -> None:
    output = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       100 |        100 |   zlib\n"
        "import time:        20 |         20 |     evil.gone\n"
        "said by the program itself\n"
        f"import time:       300 |        420 | shown\n\nrelenv: where modules come from\nzlib\tbuilt-in\n"
        f"shown\t{root}/{SITE}/shown.py\nevil\t{root}/{SITE}/evil/__init__.py\n"
    )
    modules = parse(output, root)
    assert [(one.name, one.own, one.total, one.path, one.compiled) for one in modules] == [
        ("zlib", 100, 100, "", True),
        ("evil.gone", 20, 20, f"{SITE}/evil/__init__.py", False),
        ("shown", 300, 420, f"{SITE}/shown.py", True),
    ]
    start = Start(script="shown", target="shown:main", modules=modules)
    assert start.total == 420
    whole = make_report(root, {}, [start])
    names = [whole.packages[at].name for at in whole.imports(start)]
    assert names == ["Shown", "Python", "evil"]
    assert [one["script"] for one in described(whole)["starts"]] == ["shown"]  # type: ignore[attr-defined]
    assert Module(name="a", own=1, total=1, path="").compiled
