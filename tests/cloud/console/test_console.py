"""The console in Chromium: every page, every button, wide and narrow, by keyboard alone, and as axe sees it."""

import json
import re
from pathlib import Path

import pytest

from tests.cloud.console.conftest import PAGES, Watched

CONSOLE = Path(__file__).parents[3] / "cloud/console"


def test_a_person_signs_in_and_sees_the_fleet(open_page):
    watched = open_page("viewer")
    page = watched.page
    assert page.locator(".big").first.inner_text() == "300 devices"
    page.get_by_role("link", name="Fleet").click()
    page.get_by_role("heading", name="Fleet").wait_for()
    page.locator("tbody tr").first.wait_for()
    assert page.locator("tbody tr").count() == 100
    watched.check()


def test_the_console_is_written_by_hand_and_asks_nobody_else():
    files = [each for each in CONSOLE.rglob("*") if each.is_file()]
    assert {each.suffix for each in files} == {".html", ".js", ".css", ".svg"}
    assert sum(each.stat().st_size for each in files) < 120_000
    for each in files:
        text = each.read_text("utf-8")
        addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, (each, addresses)
        assert "innerHTML" not in text, f"{each}: text goes in as text"
        assert "style=" not in text, f"{each}: the policy takes no inline style"


def axe(page):
    """What axe finds against WCAG 2.2 A and AA and its own best practices."""
    package = pytest.importorskip("axe_playwright_python")
    page.evaluate((Path(package.__file__).parent / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (each["id"], each["help"], [node["html"][:160] for node in each["nodes"][:3]])
        for each in found["violations"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_every_page_is_clean_for_axe_and_fits(open_page, width, scheme):
    watched = open_page(width=width, scheme=scheme)
    for where in PAGES:
        page = watched.show(where)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            f"{where} is wider than {width}"
        )
        assert page.locator("main h1").count() == 1
        assert not axe(page), (where, axe(page))
    watched.check()


@pytest.mark.slow
def test_the_page_to_sign_in_and_open_dialogs_are_clean_for_axe(browser, site, open_page):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.url}/console/")
    page.get_by_label("Token").wait_for()
    assert not axe(page)
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("the token is unknown or has expired").wait_for()
    assert not axe(page)
    context.close()
    watched = open_page(width=375)
    page = watched.show("rollout/keywords-3")
    page.get_by_role("button", name="Abort").click()
    assert not axe(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Menu").click()
    assert not axe(page)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 375])
def test_every_button_does_something_and_nothing_breaks(open_page, make_site, width):
    """Each button and each control of each page, one after the other; what asks first is answered with yes."""
    watched = open_page(width=width, on=make_site())
    pressed = set()
    for where in PAGES:
        names = watched.show(where).evaluate(BUTTONS)
        assert all(name.strip() for name in names), (where, names)
        for name in dict.fromkeys(names):
            page = watched.show(where)
            if name != "Sign out" and page.evaluate(
                PRESS, name
            ):  # else: what was pressed before took it away
                pressed.add((where, name))
                page.wait_for_timeout(200)
                answer(page)
    watched.wrong = [each for each in watched.wrong if "clipboard" not in each]
    watched.check()
    said = {name for _, name in pressed}
    assert {
        "Report",
        "Probe",
        "Logs",
        "Restart",
        "Revert",
        "Retire",
        "Pause",
        "Abort",
        "Start",
        "Preview",
        "Verify again",
    } <= said
    assert len(pressed) > 60


_SHOWN = """const shown = [...document.querySelectorAll('main button')].filter((b) => b.checkVisibility());
    const called = (b) => b.getAttribute('aria-label') || b.textContent;"""
BUTTONS = f"() => {{ {_SHOWN} return shown.map(called); }}"
PRESS = (
    f"(name) => {{ {_SHOWN} const b = shown.find((each) => called(each) === name); b?.click(); return !!b; }}"
)


def answer(page):
    """Fill what a dialog asks for, press its button for yes, and wait until it is gone."""
    for _ in range(3):
        dialog = page.locator("dialog[open]")
        if not dialog.count():
            break
        for field in dialog.locator("input[required]:not([type=file])").all():
            field.fill("abc")
        if dialog.locator("input[type=file]").count():
            dialog.get_by_role("button", name="Cancel").click()
        else:
            dialog.locator("button[value=yes]").click()
        page.wait_for_timeout(250)
    for close in page.get_by_label("Close this message").all():
        close.click()


@pytest.mark.slow
def test_a_rollout_is_made_previewed_started_paused_resumed_and_aborted(open_page, make_site):
    watched = open_page("operator", on=make_site())
    page = watched.show("library")
    page.get_by_role("link", name="Roll out version 2").last.click()  # of the last model, pump-sound
    page.get_by_role("heading", name="New rollout").wait_for()
    page.get_by_label("Name").fill("pump-again")
    page.get_by_label("Devices", exact=True).fill("site=nobody")
    page.get_by_role("button", name="Preview").click()
    page.get_by_text("No device is selected").wait_for()
    page.get_by_label("Model").select_option("keywords")
    page.get_by_label("Version").select_option("1")
    page.get_by_label("Devices", exact=True).fill("site=pune-lab")
    page.get_by_label("Phases").fill("2, 100 %")
    page.get_by_role("button", name="Preview").click()
    page.get_by_text("16 devices would get it").or_(page.get_by_text("devices would get it")).first.wait_for()
    page.get_by_role("button", name="Make and start").click()
    page.locator("dialog").get_by_role("button", name="Start").click()
    page.get_by_role("heading", name="pump-again").wait_for()
    for action, state in (("Pause", "paused"), ("Resume", "running"), ("Abort", "aborted")):
        page.get_by_role("button", name=action).click()
        reason = page.locator("dialog").get_by_label("Why")
        if reason.count():
            reason.fill("a test")
        page.locator("dialog").get_by_role("button", name=action).click()
        page.locator("h1 .pill", has_text=state).wait_for()  # it comes by the live stream
    page.get_by_text("aborted by otto: a test").wait_for()
    watched.check()


@pytest.mark.slow
def test_what_happens_elsewhere_shows_without_a_reload(open_page, make_site):
    from cloud import alerts

    here = make_site()
    watched = open_page("viewer", on=here)
    page = watched.page
    page.get_by_text("All 4 open alerts").wait_for()
    with here.services.database.begin() as connection:
        alerts.raise_(connection, "critical", "device/oslo-depot-01", "the disk is full")
    page.get_by_text("the disk is full").wait_for()
    page.locator(".badge", has_text="4").wait_for()
    watched.check()


@pytest.mark.slow
def test_secrets_are_shown_once(open_page, make_site):
    watched = open_page(on=make_site())
    page = watched.show("settings")
    form = page.locator("form", has=page.get_by_role("button", name="Make a token"))
    form.get_by_label("Name").fill("grafana")
    form.get_by_role("button", name="Make a token").click()
    token = page.locator("dialog .secret").inner_text()
    assert token.startswith("littoral_")
    page.get_by_role("button", name="Copy token").click()
    assert page.evaluate("navigator.clipboard.readText()") == token
    page.get_by_role("button", name="I have kept it").click()
    assert token not in page.content()
    form = page.locator("form", has=page.get_by_role("button", name="Make a string"))
    form.get_by_label("Device").fill("new-device")
    form.get_by_label("Labels").fill("room=hall, line=2")
    form.get_by_role("button", name="Make a string").click()
    string = page.locator("dialog .secret").inner_text()
    assert string.startswith("https://cloud.test:8443/#")
    assert string in page.locator("dialog pre").last.inner_text()
    page.get_by_role("button", name="I have kept it").click()
    page.get_by_role("rowheader", name="new-device").wait_for()
    watched.check()


@pytest.mark.slow
def test_a_device_is_found_by_keyboard_alone(browser, site):
    context = browser.new_context(viewport={"width": 1280, "height": 820}, locale="en-GB")
    watched = Watched(context, site.url)
    page = watched.page
    page.goto(f"{site.url}/console/")
    page.get_by_label("Token").wait_for()
    page.keyboard.type(site.tokens["operator"])  # the field has the focus
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reach(page, "Fleet")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Fleet").wait_for()
    reach(page, "Search")
    page.keyboard.type("lyon-line-2-07")
    page.locator("tbody tr").nth(1).wait_for(state="detached")
    reach(page, "lyon-line-2-07")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="lyon-line-2-07").wait_for()
    reach(page, "Restart")
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for()
    for _ in range(6):  # the focus stays within, or goes to the browser itself
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    assert page.evaluate("document.activeElement.textContent") == "Restart"
    watched.check()
    context.close()


FOCUSED = """() => {
    const held = document.activeElement;
    const name = held.labels?.[0]?.textContent ?? held.getAttribute('aria-label') ?? held.textContent;
    return [name, getComputedStyle(held).outlineStyle];
}"""


def reach(page, name):
    """Press Tab until what is called so has the focus, and see that one can see where it is."""
    for _ in range(80):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUSED)
        if found[0].strip().startswith(name):
            assert found[1] != "none", f"{name} has the focus, and nobody sees it"
            return
    raise AssertionError(f"{name} is not reached by Tab")


@pytest.mark.slow
def test_the_menu_of_a_phone_opens_and_closes(open_page):
    watched = open_page(width=375)
    page = watched.page
    menu = page.get_by_role("button", name="Menu")
    assert not page.locator("nav").is_visible()
    menu.press("Enter")
    assert menu.get_attribute("aria-expanded") == "true"
    page.get_by_role("link", name="Audit log").press("Escape")
    assert not page.locator("nav").is_visible()
    menu.click()
    page.get_by_role("link", name="Audit log").click()
    page.get_by_role("heading", name="Audit log").wait_for()
    assert not page.locator("nav").is_visible()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "sees", "lacks"),
    [("viewer", (), ("Restart", "Retire")), ("operator", ("Restart",), ("Retire",))],
)
def test_a_role_sees_only_what_it_may_press(open_page, role, sees, lacks):
    page = open_page(role).show("device/hamburg-port-00")
    for name in sees:
        assert page.get_by_role("button", name=name, exact=True).count() == 1
    for name in lacks:
        assert page.get_by_role("button", name=name, exact=True).count() == 0


@pytest.mark.slow
def test_hostile_words_are_shown_as_words(open_page, make_site):
    here = make_site()
    from sqlalchemy import update

    from cloud.database.tables import devices, rollouts, twins

    bad = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    with here.services.database.begin() as connection:
        marked = update(devices).where(devices.c.name == "hamburg-port-01")
        connection.execute(marked.values(labels={"room": bad}, site=bad[:60], target=bad[:60]))
        reported = json.loads(json.dumps({"v": 1, "state": "failed", "error": bad, "agent": bad}))
        connection.execute(update(twins).values(reported=reported).where(twins.c.device == "hamburg-port-01"))
        connection.execute(update(rollouts).values(reason=bad).where(rollouts.c.name == "pump-sound-2"))
    watched = open_page(on=here)
    said = []
    watched.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    for where in (
        "overview",
        "fleet?search=hamburg-port-01",
        "device/hamburg-port-01",
        "rollouts",
        "rollout/pump-sound-2",
    ):
        page = watched.show(where)
        assert page.locator("main img[src=x]").count() == 0
    assert not said
    watched.check()
