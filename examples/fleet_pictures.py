"""Pictures of the console, by a headless Chromium, where there is one."""

import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_runtime.console import say

_PROGRAMS = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 60_000  # a machine that plays a whole fleet is slow to answer


class Camera:
    """Takes pictures of a console that it has signed in to; without a browser it takes none, and says so once."""

    def __init__(self, folder: Path, page: Any = None, url: str = "") -> None:
        self.folder, self._page, self._url = folder, page, url
        self.taken: dict[str, str] = {}

    def take(self, name: str, where: str, caption: str, *, width: int = 1280, height: int = 900) -> None:
        """Write ``folder/NAME.png``, the console's page `where`; what goes wrong costs the picture alone."""
        if self._page is None:
            return
        from PIL import Image
        from playwright.sync_api import Error

        page = self._page
        try:
            page.set_viewport_size({"width": width, "height": height})
            page.goto(f"{self._url}/console/#/{where}")
            page.wait_for_timeout(100)
            page.wait_for_selector("main:not([aria-busy])")
            page.wait_for_selector("main [aria-busy]", state="detached")
            page.wait_for_timeout(500)
            shot = Image.open(io.BytesIO(page.screenshot()))
            page.goto("about:blank")  # a page that watches would go on asking
        except Error as error:
            say(f"no picture of {where}: {error.message.splitlines()[0]}")
            return
        few = shot.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE)
        few.save(self.folder / f"{name}.png", optimize=True)
        self.taken[name] = caption


@contextmanager
def camera(folder: Path, url: str, token: str) -> Iterator[Camera]:
    """A camera that has signed in with the token, as long as the block runs."""
    program = next((found for each in _PROGRAMS if (found := shutil.which(each))), "")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        program = ""
    if not program:
        say("no Chromium, or no playwright: the demonstration goes on without pictures of the console")
        yield Camera(folder)
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            page = browser.new_context(ignore_https_errors=True, locale="en-GB").new_page()
            page.set_default_timeout(_PATIENCE_MS)
            page.goto(f"{url}/console/")
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("heading", name="Overview", level=1).wait_for()
            page.goto("about:blank")
        except Error as error:
            say(f"no pictures of the console: {error.message.splitlines()[0]}")
            page = None
        try:
            yield Camera(folder, page, url)
        finally:
            browser.close()
