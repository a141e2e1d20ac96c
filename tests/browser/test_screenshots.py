"""The manual's screenshots of the demo: each run takes them, and ``--screenshots`` keeps them."""

import pytest

pytest.importorskip("playwright", reason="the extra 'browser' is not installed")

LARGEST = 100_000
DESK = {"width": 960, "height": 680}
PHONE = {"width": 320, "height": 700}


@pytest.fixture
def take(images):
    def taken(someone, name):
        path = images / f"demo-{name}.png"
        someone.page.screenshot(path=path)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < LARGEST

    return taken


def test_the_start(reader, take):
    take(reader("rosa", viewport=DESK), "start")


def test_the_login_form(reader, take):
    visitor = reader(viewport=PHONE)
    visitor.open("/payroll")
    take(visitor, "login")


def test_the_refused_page(reader, take):
    kim = reader("kim", viewport=DESK, color_scheme="dark")
    kim.open("/front-page")
    take(kim, "refused")


def test_the_administration(reader, take):
    tomas = reader("tomas", viewport=DESK)
    tomas.open("/admin")
    tomas.add("kim", "editors")
    tomas.sees_status("Now in editors: kim, rosa.")
    tomas.page.evaluate("scrollTo(0, 0)")
    take(tomas, "administration")


def test_the_start_without_redis(reader, take, stoppable):
    mina = reader("mina", viewport=PHONE, color_scheme="dark")
    stoppable.halt()
    mina.open("/")
    take(mina, "without-redis")
