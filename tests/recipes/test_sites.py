"""What all sites of the recipes have in common: who may open a page that needs a permission."""

from importlib import import_module, reload

import pytest
import webtest
from harness.proxy import CUT_REPLY

# Of Pyramid, where setuptools is one that warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:.*pkg_resources")

PASSWORDS = {"rosa": "headline", "ben": "notebook"}


class Site:
    """An application of a recipe, and what it answers to whom it refuses."""

    framework: str
    module: str
    page = "/publish"
    permission = "publish"
    fixtures = ()
    status_for_visitor = 401
    status_for_refused = 403

    def __init__(self, groups, permissions):
        self.application = self.make(import_module(self.module), groups, permissions)

    def make(self, module, groups, permissions):
        return module.make_site(groups, permissions)

    def user_id(self, user):
        return user

    def browser(self, user=None, password=None):
        browser = webtest.TestApp(self.application)
        if user is not None:
            self.log_in(browser, user, password or PASSWORDS[user])
        return browser

    def log_in(self, browser, user, password):
        browser.authorization = ("Basic", (user, password))


class WSGI(Site):
    framework = "repoze.who"
    module = "wsgi_site"
    status_for_refused = 401


class Flask(Site):
    framework = "flask"
    module = "flask_site"


class Django(Site):
    framework = "django"
    module = "django_site.wsgi"
    fixtures = ("django_settings",)

    def make(self, module, groups, permissions):
        return reload(module).application


class DjangoLogin(Django):
    page = "/print"
    permission = "newspaper.print"
    fixtures = ("django_settings", "django_users")
    status_for_visitor = 302

    def make(self, module, groups, permissions):
        return module.get_wsgi_application()

    def user_id(self, user):
        user = import_module("django.contrib.auth.models").User.objects.get(username=user)
        return import_module("django_site.authorization").user_id_of(user)

    def log_in(self, browser, user, password):
        visitor = import_module("django.test").Client()
        if visitor.login(username=user, password=password):
            browser.set_cookie("sessionid", visitor.cookies["sessionid"].value)


class LoginForm(Site):
    status_for_visitor = 302

    def log_in(self, browser, user, password):
        form = browser.get("/login").form
        form["login"], form["password"] = user, password
        form.submit()


class Pyramid(LoginForm):
    framework = "pyramid"
    module = "pyramid_site"


class TurboGears(LoginForm):
    framework = "tg"
    module = "newspaper"


class TurboGearsBehindSetupAuth(Site):
    framework = "tg"
    module = "behind_setup_auth"


@pytest.fixture(
    params=[WSGI, Flask, Django, DjangoLogin, Pyramid, TurboGears, TurboGearsBehindSetupAuth]
)
def site(request, groups, permissions):
    pytest.importorskip(request.param.framework)
    for name in request.param.fixtures:
        request.getfixturevalue(name)
    return request.param(groups, permissions)


def test_everybody_sees_the_first_page(site, proxy):
    for browser in (site.browser(), site.browser("rosa"), site.browser("ben")):
        assert "Welcome" in browser.get("/", status=200).text


def test_visitor_is_asked_to_log_in(site, proxy):
    with proxy.counted(0):
        response = site.browser().get(site.page, status=site.status_for_visitor)
    if site.status_for_visitor == 302:
        assert "/login" in response.location


def test_wrong_password_does_not_log_in(site):
    browser = site.browser("rosa", password="notebook")
    browser.get(site.page, status=site.status_for_visitor)


def test_page_is_for_those_who_have_the_permission(site):
    site.browser("rosa").get(site.page, status=200)
    site.browser("ben").get(site.page, status=site.status_for_refused)


def test_change_counts_at_the_next_request(site, groups, permissions):
    rosa, ben = site.browser("rosa"), site.browser("ben")
    ben.get(site.page, status=site.status_for_refused)
    groups.include_item("editors", site.user_id("ben"))
    ben.get(site.page, status=200)
    groups.exclude_item("editors", site.user_id("ben"))
    ben.get(site.page, status=site.status_for_refused)
    rosa.get(site.page, status=200)
    permissions.exclude_item(site.permission, "editors")
    rosa.get(site.page, status=site.status_for_refused)


def test_no_cache_may_show_the_page_to_others(site):
    page = site.browser("rosa").get(site.page, status=200)
    # With no-cache, TurboGears' own, the site is asked each time.
    assert {"private", "no-cache"}.intersection(page.headers["Cache-Control"].split(", "))


def test_request_is_one_round_trip(site, proxy, questions_of_a_request):
    rosa = site.browser("rosa")
    rosa.get(site.page, status=200)
    with proxy.counted(questions_of_a_request):
        rosa.get(site.page, status=200)


def test_source_that_fails(site, proxy):
    rosa = site.browser("rosa")
    rosa.get(site.page, status=200)
    # A lookup is tried twice.
    proxy.arm(CUT_REPLY, CUT_REPLY)
    response = rosa.get(site.page, status=503)
    assert response.headers["Retry-After"] == "10"
    assert not proxy.is_armed
    rosa.get(site.page, status=200)
    proxy.lose_server()
    rosa.get(site.page, status=503)
    site.browser().get("/", status=200)
