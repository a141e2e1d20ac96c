"""The security policy for Pyramid."""

from importlib import import_module

import authentication
import pytest
import webtest

# Of Pyramid, where setuptools is one that warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:.*pkg_resources")


@pytest.fixture
def browser(groups, permissions):
    pytest.importorskip("pyramid")
    pyramid_site = import_module("pyramid_site")
    browser = webtest.TestApp(pyramid_site.make_site(groups, permissions))
    browser.post("/login", {"login": "rosa", "password": "headline"}, status=302)
    return browser


def test_asks_only_where_a_permission_is_needed(browser, proxy):
    with proxy.counted(0):
        browser.get("/", status=200)
        browser.get("/login", status=200)
    proxy.lose_server()
    browser.get("/", status=200)


def test_logs_out(browser):
    browser.get("/publish", status=200)
    browser.post("/logout", status=302)
    assert browser.get("/publish", status=302).location == "http://localhost/login"


def test_user_who_has_gone_is_a_visitor(browser, proxy, monkeypatch):
    monkeypatch.delitem(authentication.PASSWORDS, "rosa")
    with proxy.counted(0):
        browser.get("/publish", status=302)


def test_login_form_comes_again(browser):
    response = browser.post("/login", {"login": "rosa"}, status=200)
    assert "password" in response.form.fields
    assert "Set-Cookie" not in response.headers
