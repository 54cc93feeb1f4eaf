"""The page in a real browser: it fits, it looks as it should, and it asks for nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from listener.overview.finding import Finding
from listener.overview.report.gather import gather
from listener.overview.report.page import render
from listener.overview.report.palette import PAPERS
from listener.state.journal import Journal
from tests.cli.commands import THEN, done, failed, new, waiting
from tests.overview.report.browser import Page, chromium
from tests.overview.report.test_gather import KILLED, RUNNING
from tests.overview.report.test_page import HOSTILE

LONG = "cloudify.a_plugin_with_a_long_name." * 4

FITS = "table => table.scrollWidth <= table.clientWidth"
"""A phone shows a table without scrolling sideways."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all that one can have, of which much is long or hostile."""
    path = tmp_path_factory.mktemp("report") / "page.html"
    with closing(Journal(None)) as journal:
        for number, run in enumerate((done(), failed(HOSTILE, LONG), waiting(LONG), KILLED, RUNNING)):
            about: dict[str, Any] = {
                "execution": f"e-{number}",
                "deployment_id": LONG,
                "received_at": THEN + number,
            }
            journal.accept(new("done", event_type="workflow_started", **about))
            journal.accept(new(run.state, runs=(done(), run), **about))
        row = {"destination": f"https://{LONG}", "sent": 7, "failed": 0, "last sent": "never"}
        path.write_text(
            render(
                gather(journal, THEN, THEN + 3600),
                lines=[("state", f"/var/{LONG}")],
                destinations=[row],
                findings=[Finding(LONG, HOSTILE, LONG)],
            )
        )
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_fits_its_window_has_its_colours_and_asks_for_nothing(
    browser: Page, page: Path, width: int, scheme: str
) -> None:
    browser.requests.clear()
    browser.open(page, width=width, scheme=scheme)
    assert browser.value("document.querySelectorAll('details').length") == 5
    browser.value("document.querySelectorAll('summary').forEach(row => row.click())")
    assert browser.value("document.querySelectorAll('details[open]').length") == 5
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert width > 400 or browser.value(f"[...document.querySelectorAll('.scroll')].every({FITS})")
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    hex_digits = getattr(PAPERS["paper"], scheme)[1:]
    assert paper == f"rgb{tuple(bytes.fromhex(hex_digits))}"
    assert browser.requests == [page.as_uri()]
    assert browser.complaints == []


def test_the_way_from_a_failure_to_its_execution_opens_it(browser: Page, page: Path) -> None:
    browser.open(page, width=1280)
    browser.value("document.querySelector('.failure a').click()")
    assert browser.value("document.querySelectorAll('details[open]').length") == 1


def test_the_page_can_be_printed_in_the_dark_on_white(browser: Page, page: Path) -> None:
    browser.open(page, width=1280, scheme="dark", media="print")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert base64.b64decode(browser.do("Page.printToPDF")["data"]).startswith(b"%PDF-")
