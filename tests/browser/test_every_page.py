import json
import re

import pytest

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="the extra 'browser' is not installed"
)

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NARROW = {"width": 320, "height": 640}
WIDE = {"width": 1280, "height": 800}
# A name that nothing in it allows to be broken.
LONG_NAME = "x" * 80

# The text spacing of WCAG 2.1, 1.4.12.
TEXT_SPACING = """* {
    line-height: 1.5 !important;
    letter-spacing: 0.12em !important;
    word-spacing: 0.16em !important;
}
p { margin-bottom: 2em !important; }"""

STATES = {
    "start of a visitor": (None, "/"),
    "start": ("rosa", "/"),
    "start without groups": ("kim", "/"),
    "login": (None, "/payroll"),
    "page": ("rosa", "/newsroom"),
    "refusal": ("kim", "/front-page"),
    "administration": ("tomas", "/admin"),
    "administration after a change": ("tomas", "/admin?changed=groups-interns#groups-interns"),
    "no such page": (None, "/nowhere"),
}


@pytest.fixture(params=[*STATES, "failed login", "conflict", "start without Redis", "no Redis"])
def state(request) -> str:
    return request.param


@pytest.fixture
def show(state, reader, groups, request):
    """Open the window of a reader who sees a page in the state."""

    def shown(**settings):
        if state in STATES:
            user, path = STATES[state]
            someone = reader(user, **settings)
            someone.open(path)
        elif state == "failed login":
            someone = reader(**settings)
            someone.log_in("nobody")
        elif state == "conflict":
            someone = reader("tomas", **settings)
            someone.open("/admin")
            groups.include_item("editors", "kim")
            someone.add("kim", "editors")
            someone.sees("Somebody was faster")
        else:
            server = request.getfixturevalue("stoppable")
            someone = reader("rosa", **settings)
            server.halt()
            someone.open("/" if state == "start without Redis" else "/newsroom")
        return someone

    return shown


def width_of(page):
    return page.evaluate("document.documentElement.scrollWidth")


def test_axe_finds_nothing_to_object_to(show):
    """Nor is anything missing that it does not know of."""
    page = show().page
    assert page.locator("html").get_attribute("lang") == "en"
    assert re.search(r"\S . The Tideway Gazette$", page.title())
    for scheme, size in (("light", WIDE), ("dark", NARROW)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        found = axe.Axe().run(page, options={"runOnly": WCAG}).response
        # What it could not decide would have to be looked at.
        objections = found["violations"] + found["incomplete"]
        assert found["passes"]
        assert not objections, (scheme, size, json.dumps(objections, indent=1))
        check_landmarks_and_headings(page)


def test_it_fits_on_a_phone_or_at_400_percent(show, groups, permissions):
    groups.create_section(LONG_NAME)
    groups.include_item(LONG_NAME, "rosa")
    permissions.create_section(LONG_NAME)
    permissions.include_item(LONG_NAME, LONG_NAME)
    page = show(viewport=NARROW, bypass_csp=True).page
    assert width_of(page) == NARROW["width"]
    page.add_style_tag(content=TEXT_SPACING)
    assert width_of(page) == NARROW["width"]


def check_landmarks_and_headings(page):
    for role in ("banner", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1
    for name in ("Session", "Pages"):
        assert page.get_by_role("navigation", name=name).count() == 1
    assert page.get_by_role("main").get_by_role("heading", level=1).count() == 1
    # Browsers have taken a table that is laid out as something else for no table.
    for table in page.locator("table").all():
        snapshot = table.aria_snapshot()
        columns = table.locator("thead th").count()
        assert snapshot.count("- columnheader ") == columns > 1
        assert snapshot.count("- rowheader ") == table.locator("tbody tr").count() > 0


def test_one_always_sees_where_the_focus_is(show):
    someone = show()
    possible = someone.page.locator("a, button, select, input:not([type=hidden])").count()
    for size in (WIDE, NARROW):
        someone.page.set_viewport_size(size)
        # To the end, also where a field has the focus already, and then once around.
        while someone.tab() is not None:
            pass
        stops = []
        while (stop := someone.tab()) is not None:
            stops.append(stop)
        assert len(stops) == possible


# Once is enough


def test_it_is_as_dark_as_it_was_asked_to_be(reader):
    page = reader("rosa").page
    brightness = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness[scheme] = max(map(int, re.findall(r"\d+", colour)))
    assert brightness["light"] > 240
    assert brightness["dark"] < 40


def test_it_moves_only_for_those_who_do_not_mind(reader):
    page = reader("rosa").page
    durations = """[...document.querySelectorAll("*")].flatMap(element => {
        const style = getComputedStyle(element);
        return [parseFloat(style.transitionDuration), parseFloat(style.animationDuration)];
    })"""
    scrolling = "getComputedStyle(document.documentElement).scrollBehavior"
    assert not any(page.evaluate(durations))
    assert page.evaluate(scrolling) == "auto"
    page.emulate_media(reduced_motion="no-preference")
    assert any(page.evaluate(durations))
    assert page.evaluate(scrolling) == "smooth"


def test_what_is_printed_is_dark_on_light_and_has_no_buttons(reader):
    tomas = reader("tomas", color_scheme="dark")
    tomas.open("/admin")
    tomas.page.emulate_media(media="print", color_scheme="dark")
    assert tomas.page.get_by_role("listitem").filter(has_text="rosa").first.is_visible()
    for unneeded in ("nav", "form", ".skip"):
        for element in tomas.page.locator(unneeded).all():
            assert not element.is_visible()
    ink = tomas.page.evaluate("getComputedStyle(document.body).color")
    assert max(map(int, re.findall(r"\d+", ink))) < 60
