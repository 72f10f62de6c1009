"""Opens pages in a real browser for tests, and remembers what these asked for and complained of."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Error, sync_playwright

from tests.browser.prepare import FLAGS, REQUIRED, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PATIENCE_MS = 60_000


@contextmanager
def started() -> Iterator[Browser]:
    """A browser; the test is skipped with a word where there is none, unless one is required."""
    required = os.environ.get(REQUIRED) == "required"
    found = program()
    if found is None and not required:
        pytest.skip("no Chromium is here; `make browser` installs one")
    with ExitStack() as opened:
        try:
            playwright = opened.enter_context(sync_playwright())
            browser = playwright.chromium.launch(executable_path=found, args=FLAGS, timeout=PATIENCE_MS)
        except (Error, OSError) as error:
            if required:
                raise
            pytest.skip(f"Chromium does not start here: {str(error).splitlines()[0]}")
        opened.callback(browser.close)
        yield browser


class Opened:
    """A page with what it asked for and complained of."""

    def __init__(self, browser: Browser, **settings: Any) -> None:
        self._context = browser.new_context(**settings)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def at(self, path: Path, *, part: str = "") -> Page:
        self.page.goto(path.as_uri() + part)
        self.page.wait_for_selector("html[data-searchable]", state="attached")
        return self.page

    def close(self) -> None:
        self._context.close()
