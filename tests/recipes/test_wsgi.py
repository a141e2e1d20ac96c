"""Restrictions of a bare WSGI application."""

from pathlib import Path

import authentication
import pytest
import webtest
import wsgi_site

from repoze.what.middleware import setup_auth


@pytest.fixture
def browser(groups, permissions):
    return webtest.TestApp(wsgi_site.make_site(groups, permissions))


def test_restriction_to_who_is_logged_in(browser):
    browser.get("/account", status=401)
    browser.authorization = ("Basic", ("ben", "notebook"))
    assert browser.get("/account").text == "Your account"
    browser.get("/nowhere", status=404)


def test_restriction_asks_a_known_user_to_log_in_too(browser):
    browser.authorization = ("Basic", ("ben", "notebook"))
    response = browser.get("/publish", status=401)
    assert response.headers["WWW-Authenticate"] == 'Basic realm="Newspaper"'


def test_restriction_in_an_ini_file(groups, permissions):
    loadwsgi = pytest.importorskip("paste.deploy.loadwsgi")
    ini = Path(wsgi_site.__file__).with_name("restrict.ini")
    restrict = loadwsgi.loadfilter(f"config:{ini}", "restrict")
    site = setup_auth(
        restrict(wsgi_site.welcome),
        {"redis": groups},
        {"redis": permissions},
        skip_authentication=True,
    )
    browser = webtest.TestApp(site)
    browser.get("/", extra_environ={"REMOTE_USER": "rosa"}, status=200)
    browser.get("/", extra_environ={"REMOTE_USER": "ben"}, status=401)
    browser.get("/", status=401)


def test_identity_without_a_password_is_left_to_others():
    assert authentication.Passwords().authenticate({}, {"tokens": "of a cookie"}) is None
