"""The files of the chat page, as they are served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import server.web
from server.web import page

STATIC = Path(server.web.__file__).parent / "static"
SCRIPTS = sorted(path.name for path in STATIC.glob("*.js"))
FILES = {
    "index.html": "text/html; charset=utf-8",
    "chat.css": "text/css; charset=utf-8",
    **dict.fromkeys(SCRIPTS, "text/javascript; charset=utf-8"),
}


def text(name: str) -> str:
    found = page(name)
    assert found is not None
    return found[0].decode()


@pytest.mark.parametrize(("name", "content_type"), FILES.items())
def test_each_file_has_its_type(name: str, content_type: str) -> None:
    """Browsers that are told not to guess refuse a script of the wrong type."""
    found = page(name)

    assert found is not None
    assert found[0]
    assert found[1] == content_type


def test_every_file_that_is_there_is_served() -> None:
    """One that is forgotten breaks the page, one that nobody asks for is waste."""
    assert {path.name for path in STATIC.iterdir()} == FILES.keys()


def test_scripts_are_had_in_one_round_trip() -> None:
    """Each is named in the page: else a browser hears of the last only after all before it."""
    linked = re.findall(r'<link rel="modulepreload" href="([^"]+)">', text("index.html"))
    imported = {name for script in SCRIPTS for name in re.findall(r'from "\./([^"]+)"', text(script))}

    assert sorted([*linked, "chat.js"]) == SCRIPTS
    assert imported == set(linked)


@pytest.mark.parametrize("path", ["", "/", "/index.html"])
def test_the_root_is_the_page(path: str) -> None:
    """People type the server's address and nothing else."""
    assert page(path) == page("index.html")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "__init__.py",
            "../__init__.py",
            "static/chat.js",
            "chat.js/",
            "/../chat.js",
            "..",
            ".",
            "//chat.js",
        ),
        *("/etc/passwd", "chat.js\0", "CHAT.JS", "index.html?x", "favicon.ico"),
    ],
)
def test_no_other_path_leads_anywhere(path: str) -> None:
    """The package's sources, and the machine's files, are nobody's business."""
    assert page(path) is None


def test_the_page_needs_nothing_that_a_strict_policy_forbids() -> None:
    """Inline code is what a Content-Security-Policy is there to stop."""
    html = text("index.html")

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert re.findall(r"<script[^>]*>", html) == ['<script type="module" src="chat.js">']


def test_the_page_works_offline() -> None:
    """Servers stand in networks without the internet; and visitors are nobody else's business."""
    everything = "".join(text(name) for name in FILES).replace("http://www.w3.org/2000/svg", "")

    assert not re.search(r"https?://|@import|url\(", everything)
    assert set(re.findall(r'(?:href|src)="([^":]+)"', text("index.html"))) == FILES.keys() - {"index.html"}


def test_what_others_wrote_is_never_parsed_as_html() -> None:
    """One `innerHTML` would let any visitor run scripts in everybody's browser."""
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|srcdoc|setHTML|new Function"
    for script in SCRIPTS:
        assert not re.search(forbidden, text(script)), script


def test_the_script_finds_what_it_looks_for() -> None:
    """A renamed id breaks the page without a word."""
    ids = set(re.findall(r'\bid="([^"]+)"', text("index.html")))

    for script in SCRIPTS:
        assert set(re.findall(r'\$\("([^"]+)"\)', text(script))) <= ids, script


def test_every_control_has_a_label() -> None:
    """Screen readers read those; a placeholder is none."""
    html = text("index.html")
    labelled = {*re.findall(r'<label[^>]* for="([^"]+)"', html)}
    for label in re.findall(r"<label.*?</label>", html, re.DOTALL):
        labelled |= {*re.findall(r'<(?:input|select)[^>]* id="([^"]+)"', label)}

    controls = {*re.findall(r'<(?:input|select|textarea)[^>]* id="([^"]+)"', html)}
    assert controls <= labelled
