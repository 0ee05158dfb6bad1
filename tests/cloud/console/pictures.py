"""The pictures of docs/console.md: `python -m tests.cloud.console.pictures` writes docs/pictures/console_*.png."""

import io
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from cloud.api import create_app
from cloud.database import Database
from cloud.home import Home
from cloud.identity import Authority
from tests.cloud.console.conftest import CHROMIUM, Watched
from tests.cloud.seed import Shelf, fill

PICTURES = Path(__file__).parents[3] / "docs/pictures"
WIDE = (  # name, page, colours, height
    ("overview", "overview", "light", 900),
    ("map", "fleet?view=map", "dark", 880),
    ("fleet", "fleet?selector=site=nagoya-plant", "light", 860),
    ("device", "device/hamburg-port-00", "light", 1000),
    ("rollout", "rollout/keywords-3", "light", 1000),
    ("models", "library", "light", 900),
    ("runs", "runs", "dark", 700),
    ("audit", "audit", "light", 760),
)
PHONE = ("overview", "rollout/keywords-3", "device/hamburg-port-00", "alerts")


def serve(root: Path) -> tuple[str, dict[str, str]]:
    """A server over the believable fleet: its address, and the tokens by role."""
    Authority.create(root / "ca")
    home, now = Home(root), time.time()
    database = Database(home.database_url)
    database.migrate()
    tokens = fill(database, now)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(home, database, log=False, repository=Shelf(now)), port=8799, log_level="error"
        )
    )
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.1)
    return "http://127.0.0.1:8799", tokens


def write(name: str, content: Image.Image) -> None:
    """Few colours are enough, and keep the file small."""
    content.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE).save(
        PICTURES / f"console_{name}.png", optimize=True
    )


def main() -> None:
    """Write all of them."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        url, tokens = serve(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM or None, args=["--no-sandbox"])
        for name, where, scheme, height in WIDE:
            context = browser.new_context(
                viewport={"width": 1280, "height": height}, color_scheme=scheme, locale="en-GB"
            )
            page = Watched(context, url).enter(tokens["admin"])
            page.show(where).wait_for_timeout(600)
            write(name, Image.open(io.BytesIO(page.page.screenshot())))
            context.close()
        shots = []
        for where in PHONE:
            context = browser.new_context(
                viewport={"width": 375, "height": 760},
                device_scale_factor=1.5,
                locale="en-GB",
                color_scheme="dark" if where.startswith("rollout") else "light",
            )
            page = Watched(context, url).enter(tokens["admin"])
            page.show(where).wait_for_timeout(600)
            shots.append(Image.open(io.BytesIO(page.page.screenshot())))
            context.close()
        width, gap = shots[0].width, 24
        whole = Image.new("RGB", (len(shots) * (width + gap) - gap, shots[0].height), "white")
        for i, shot in enumerate(shots):
            whole.paste(shot, (i * (width + gap), 0))
        write("phone", whole)
        browser.close()


if __name__ == "__main__":
    main()
