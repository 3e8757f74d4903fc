"""A real browser without a window, for tests that open a page."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def browsing(address: str, width: int = 1280, height: int = 900) -> Iterator:
    """Opens a page; fails where it raised an error or asked any host but this machine."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip(f"no browser: none of {', '.join(NAMES)}")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        try:
            page.goto(address)
            yield page
        finally:
            browser.close()
        assert not errors
        beyond = [
            url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
        ]
        assert asked and not beyond
