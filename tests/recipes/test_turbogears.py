"""A TurboGears application with its own authentication, and behind the middleware."""

import pytest
import redis
import webtest

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.predicates import Predicate, in_group

pytest.importorskip("tg")

import behind_setup_auth
import newspaper
from custom_predicates import allowed_by, from_network
from tg import predicates, require


@pytest.fixture
def rosa(groups, permissions):
    return log_in(newspaper.make_site(groups, permissions), "rosa", "headline")


@pytest.fixture
def ben(groups, permissions):
    return log_in(newspaper.make_site(groups, permissions), "ben", "notebook")


def log_in(site, user, password):
    browser = webtest.TestApp(site)
    form = browser.get("/login").form
    form["login"], form["password"] = user, password
    form.submit(status=302)
    return browser


def test_user_is_that_of_the_application(rosa, ben):
    assert rosa.get("/").text == "Welcome, Rosa Lind"
    assert ben.get("/").text == "Welcome, Ben Acker"


def test_user_of_the_request_acts(groups, permissions, rosa, ben):
    visitor = webtest.TestApp(newspaper.make_site(groups, permissions))
    for browser, user in ((rosa, "rosa"), (visitor, None), (ben, "ben")):
        assert browser.get("/who").text == f"{user} acts"


def test_group_is_asked_for_by_a_controller(rosa, ben, groups):
    assert rosa.get("/archive").text == "The archive"
    ben.get("/archive", status=403)
    groups.include_item("editors", "ben")
    ben.get("/archive", status=200)


def test_adapters_that_are_swapped(groups, permissions):
    for wrong in [(permissions, groups), (groups, groups), ("redis://localhost", permissions)]:
        with pytest.raises(TypeError, match=r"s is a Redis|groups is no adapter"):
            newspaper.make_site(*wrong)


def test_adapters_that_nothing_tells_apart():
    client = redis.Redis()
    with pytest.raises(ValueError, match="groups and permissions lie in one place"):
        newspaper.make_site(RedisGroupAdapter(client, 3), RedisPermissionAdapter(client, 3))


def test_log_out(rosa, proxy):
    rosa.get("/publish", status=200)
    rosa.get("/logout_handler", status=302)
    with proxy.counted(0):
        assert rosa.get("/").text == "Welcome"


def test_user_who_has_gone_is_a_visitor(rosa, proxy, monkeypatch):
    monkeypatch.delitem(newspaper.USERS, "rosa")
    with proxy.counted(0):
        assert rosa.get("/").text == "Welcome"
        assert "/login" in rosa.get("/publish", status=302).location


def test_user_who_has_gone_where_turbogears_lets_him(groups, permissions, monkeypatch):
    """It does where it is not told otherwise, as the example tells it."""
    site = newspaper.make_site(groups, permissions, **{"identity.allow_missing_user": True})
    rosa = log_in(site, "rosa", "headline")
    monkeypatch.delitem(newspaper.USERS, "rosa")
    assert rosa.get("/").text == "Welcome, None"
    rosa.get("/publish", status=403)


def test_error_page_asks_again(groups, permissions, proxy, questions_of_a_request):
    groups.edit_section("editors", "readers")
    rosa = log_in(newspaper.make_site(groups, permissions), "rosa", "headline")
    rosa.get("/archive", status=403)
    with proxy.counted(2 * questions_of_a_request):
        assert rosa.get("/archive", status=403).text == "403 Forbidden"


def test_forged_login(groups, permissions):
    """As the tests of a quickstarted application log in."""
    site = newspaper.make_site(groups, permissions, skip_authentication=True)
    browser = webtest.TestApp(site)
    browser.get("/publish", status=401)
    browser.get("/publish", extra_environ={"REMOTE_USER": "rosa"}, status=200)
    browser.get("/publish", extra_environ={"REMOTE_USER": "ben"}, status=403)


def test_source_that_is_down(rosa, proxy):
    proxy.lose_server()
    assert rosa.get("/publish", status=503).headers["Retry-After"] == "10"


# Predicates


def test_predicate_of_repoze_what(rosa, ben):
    assert (
        rosa.get("/press", extra_environ={"REMOTE_ADDR": "10.1.2.3"}).text == "The press is running"
    )
    rosa.get("/press", extra_environ={"REMOTE_ADDR": "192.0.2.7"}, status=403)
    ben.get("/press", extra_environ={"REMOTE_ADDR": "10.1.2.3"}, status=403)


@pytest.fixture
def environ():
    return {
        "REMOTE_ADDR": "10.1.2.3",
        "repoze.what.credentials": {"repoze.what.userid": "rosa", "groups": ["editors"]},
    }


def test_wrapped_predicate_refuses_as_turbogears_does(environ):
    allowed_by(from_network("10.0.0.0/8")).check_authorization(environ)
    with pytest.raises(predicates.NotAuthorizedError, match='belong to the group "100 %"'):
        allowed_by(in_group("100 %")).check_authorization(environ)
    with pytest.raises(predicates.NotAuthorizedError, match="Not from there"):
        allowed_by(from_network("192.0.2.0/24"), "Not from there").check_authorization(environ)


def test_wrapped_predicates_are_combined(environ):
    here, elsewhere = map(allowed_by, map(from_network, ["10.0.0.0/8", "192.0.2.0/24"]))
    assert predicates.All(predicates.in_group("editors"), here).is_met(environ)
    assert predicates.Any(elsewhere, here).is_met(environ)
    assert predicates.Not(elsewhere).is_met(environ)
    assert not predicates.Not(here).is_met(environ)


class for_article(Predicate):  # noqa: N801 - it is named as what it says
    """A predicate that cannot tell which article the request is about."""

    def evaluate(self, environ, credentials):
        if self.parse_variables(environ)["get"].get("article") != "12":
            self.unmet()


def test_wrapped_predicate_of_a_controller(groups, permissions, monkeypatch):
    monkeypatch.setattr(newspaper.Archive, "allow_only", allowed_by(from_network("10.0.0.0/8")))
    rosa = log_in(newspaper.make_site(groups, permissions), "rosa", "headline")
    rosa.get("/archive", extra_environ={"REMOTE_ADDR": "10.1.2.3"}, status=200)
    rosa.get("/archive", extra_environ={"REMOTE_ADDR": "192.0.2.7"}, status=403)


@pytest.mark.parametrize(
    "required", [allowed_by(for_article()), require(predicates.Not(allowed_by(for_article())))]
)
def test_request_that_is_not_clear(groups, permissions, monkeypatch, required):
    """It is refused by TurboGears' Not, too."""
    monkeypatch.setattr(newspaper.Archive, "allow_only", required)
    rosa = log_in(newspaper.make_site(groups, permissions), "rosa", "headline")
    answer = rosa.get("/archive?article=12&article=13", status=400)
    assert "The archive" not in answer


def test_predicate_that_is_not_wrapped_ends_the_request(groups, permissions, monkeypatch):
    """It lets nobody in, but says so with a 500."""
    monkeypatch.setattr(newspaper.Archive, "allow_only", from_network("10.0.0.0/8"))
    rosa = log_in(newspaper.make_site(groups, permissions), "rosa", "headline")
    rosa.get("/archive", extra_environ={"REMOTE_ADDR": "10.1.2.3"}, status=200)
    rosa.get("/archive", extra_environ={"REMOTE_ADDR": "192.0.2.7"}, status=500)


# Its own authentication off


@pytest.fixture
def browser(groups, permissions):
    return webtest.TestApp(behind_setup_auth.make_site(groups, permissions))


def test_behind_setup_auth(browser, groups, proxy, questions_of_a_request):
    assert browser.get("/").text == "Welcome"
    browser.get("/archive", status=401)
    browser.authorization = ("Basic", ("rosa", "headline"))
    assert browser.get("/").text == "Welcome, Rosa Lind"
    with proxy.counted(questions_of_a_request):
        browser.get("/archive", status=200)
    here, elsewhere = {"REMOTE_ADDR": "10.1.2.3"}, {"REMOTE_ADDR": "192.0.2.7"}
    browser.get("/press", extra_environ=here, status=200)
    with proxy.counted(questions_of_a_request):
        browser.get("/press", extra_environ=elsewhere, status=403)
    groups.exclude_item("editors", "rosa")
    browser.get("/archive", status=403)
    browser.get("/publish", status=403)


def test_behind_setup_auth_the_user_acts(browser):
    assert browser.get("/who").text == "None acts"
    browser.authorization = ("Basic", ("rosa", "headline"))
    assert browser.get("/who").text == "rosa acts"


def test_behind_setup_auth_and_a_proxy(groups, permissions):
    site = behind_setup_auth.make_site(
        groups, permissions, remote_user="X-Forwarded-User", trusted_proxies=["10.0.0.5"]
    )
    browser = webtest.TestApp(site, extra_environ={"REMOTE_ADDR": "10.0.0.5"})
    rosa, ben = {"X-Forwarded-User": "rosa"}, {"X-Forwarded-User": "ben"}
    assert browser.get("/", headers=rosa).text == "Welcome, Rosa Lind"
    browser.get("/archive", headers=rosa, status=200)
    browser.get("/archive", headers=ben, status=403)
    browser.get("/archive", status=401)
    browser.get("/archive", headers=rosa, extra_environ={"REMOTE_ADDR": "192.0.2.7"}, status=401)
