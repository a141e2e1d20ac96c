"""Users whom the web server, or a proxy in front of it, has logged in."""

import json
from ipaddress import ip_address, ip_network

import pytest
import webtest
from harness.sources import Groups, Permissions
from repoze.who.interfaces import IMetadataProvider
from repoze.who.plugins.basicauth import BasicAuthPlugin
from webob.exc import HTTPUnauthorized
from zope.interface import implementer

from repoze.what.adapters import SourceUnavailable
from repoze.what.middleware import setup_auth
from repoze.what.predicates import has_permission

HEADER = "X-Forwarded-User"
PROXY = "10.0.0.5"


def page(environ, start_response):
    if environ["PATH_INFO"] == "/commit" and not has_permission("commit").is_met(environ):
        return HTTPUnauthorized("Not you.")(environ, start_response)
    credentials = environ.get("repoze.what.credentials", {})
    shown = {
        "user": environ.get("REMOTE_USER"),
        "user id": credentials.get("repoze.what.userid"),
        "groups": sorted(credentials.get("groups", ())),
        "permissions": sorted(credentials.get("permissions", ())),
        "names": sorted(environ),
        "email": environ.get("repoze.who.identity", {}).get("email"),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(shown).encode()]


def site(remote_user, trusted_proxies=None, groups=None, **options):
    app = setup_auth(
        page,
        {"ours": groups or Groups()},
        {"ours": Permissions()},
        remote_user=remote_user,
        trusted_proxies=trusted_proxies,
        **options,
    )
    return webtest.TestApp(app)


def assert_is_visitor(shown):
    assert (shown["user"], shown["user id"], shown["groups"]) == (None, None, [])
    assert "HTTP_X_FORWARDED_USER" not in shown["names"]
    assert "repoze.what.credentials" not in shown["names"]


# The web server's


def test_user_of_the_web_server():
    browser = site("REMOTE_USER")
    rms = {"REMOTE_USER": "rms"}
    shown = browser.get("/", extra_environ=rms).json
    assert shown["user"] == shown["user id"] == "rms"
    assert shown["groups"] == ["admins", "developers"]
    assert shown["permissions"] == ["commit", "edit-site"]
    browser.get("/commit", extra_environ=rms, status=200)
    refusal = browser.get("/commit", extra_environ={"REMOTE_USER": "sballmer"}, status=401)
    assert "WWW-Authenticate" not in refusal.headers
    browser.get("/commit", status=401)


@pytest.mark.parametrize("header", ["Remote-User", "REMOTE_USER", "Remote_User", HEADER])
def test_browser_is_not_the_web_server(header):
    assert_is_visitor(site("REMOTE_USER").get("/", headers={header: "rms"}).json | {"names": ()})


@pytest.mark.parametrize("said", ["", "\xe9va", "\u4e00", "(null)", " ", "r\nms"])
def test_what_is_no_user_of_the_web_server(said):
    assert_is_visitor(site("REMOTE_USER").get("/", extra_environ={"REMOTE_USER": said}).json)


def test_user_whose_name_is_not_ascii():
    groups = Groups({"admins": {"éva"}})
    environ = {"REMOTE_USER": "éva".encode().decode("latin-1")}
    shown = site("REMOTE_USER", groups=groups).get("/", extra_environ=environ).json
    assert (shown["user id"], shown["groups"]) == ("éva", ["admins"])


def test_other_remote_user_key():
    """It is where the application has the user, not where a request says who it is."""
    browser = site("REMOTE_USER", remote_user_key="READER")
    shown = browser.get("/", extra_environ={"REMOTE_USER": "rms"}).json
    assert (shown["user id"], shown["user"]) == ("rms", None)
    assert "READER" in shown["names"]
    assert_is_visitor(browser.get("/", extra_environ={"READER": "rms"}).json)


# A proxy's


def ask(browser, address=PROXY, said="rms", path="/", status=None, **environ):
    environ = {"REMOTE_ADDR": address, "HTTP_X_FORWARDED_USER": said, **environ}
    return browser.get(
        path,
        extra_environ={name: value for name, value in environ.items() if value is not None},
        status=status,
    )


@pytest.mark.parametrize(
    ("trusted", "address"),
    [
        ([PROXY], PROXY),
        (PROXY, PROXY),
        (f"192.0.2.1, {PROXY}", PROXY),
        ("192.0.2.1\n10.0.0.0/8", PROXY),
        ({"10.0.0.4/30"}, PROXY),
        (["::1"], "::1"),
        ("2001:db8::/32", "2001:db8::5"),
        ([PROXY], f"::ffff:{PROXY}"),
        (["unix"], ""),
        (["unix"], "localhost"),
        (f"unix {PROXY}", PROXY),
        (ip_network("10.0.0.0/29"), PROXY),
        (ip_address(PROXY), PROXY),
        (f"::ffff:{PROXY}", PROXY),
        ("::ffff:10.0.0.0/125", f"::ffff:{PROXY}"),
    ],
)
def test_user_of_a_trusted_proxy(trusted, address):
    shown = ask(site(HEADER, trusted), address).json
    assert shown["user"] == shown["user id"] == "rms"
    assert shown["groups"] == ["admins", "developers"]
    assert "HTTP_X_FORWARDED_USER" not in shown["names"]


@pytest.mark.parametrize(
    ("trusted", "address"),
    [
        ([PROXY], "10.0.0.6"),
        ([PROXY], "127.0.0.1"),
        ([PROXY], ""),
        ([PROXY], "localhost"),
        ([PROXY], f"{PROXY}, {PROXY}"),
        ([PROXY], f" {PROXY}"),
        ([PROXY], "::ffff:10.0.0.6"),
        (["::1"], "127.0.0.1"),
        ([PROXY], "proxy.example.org"),
        (["unix"], "127.0.0.1"),
        (["unix"], "unix"),
        (["10.0.0.0/30"], PROXY),
    ],
)
def test_others_cannot_say_who_they_are(trusted, address):
    browser = site(HEADER, trusted)
    assert_is_visitor(ask(browser, address).json)
    ask(browser, address, path="/commit", status=401)
    ask(browser, address, path="/commit", status=401, REMOTE_USER="rms")


def test_address_that_is_not_known():
    app = setup_auth(page, remote_user=HEADER, trusted_proxies=[PROXY])
    environ = webtest.TestRequest.blank("/", headers={HEADER: "rms"}).environ
    environ.pop("REMOTE_ADDR", None)
    assert_is_visitor(webtest.TestRequest(environ).get_response(app).json)


@pytest.mark.parametrize(
    "said", [None, "", "rms,linus", "rms, rms", ",", "\xe9va", "\u4e00", "(null)", " "], ids=repr
)
def test_what_is_no_user_of_a_proxy(said):
    assert_is_visitor(ask(site(HEADER, PROXY), said=said).json)


@pytest.mark.parametrize("header", ["Remote-User", "REMOTE_USER", "X-Remote-User", "X-Auth-User"])
def test_other_header(header):
    browser = site(HEADER, PROXY)
    shown = browser.get("/", headers={header: "rms"}, extra_environ={"REMOTE_ADDR": PROXY}).json
    assert_is_visitor(shown)


def test_variable_is_not_believed_where_a_header_is():
    browser = site(HEADER, PROXY)
    assert_is_visitor(ask(browser, said=None, REMOTE_USER="rms").json)
    assert ask(browser, said="linus", REMOTE_USER="rms").json["user"] == "linus"


# Other options


@implementer(IMetadataProvider)
class Addresses:
    def add_metadata(self, environ, identity):
        identity["email"] = f"{identity['repoze.who.userid']}@example.org"


def test_other_metadata():
    browser = site(HEADER, PROXY, mdproviders=[("addresses", Addresses())])
    assert ask(browser).json["email"] == "rms@example.org"


def test_tests_of_an_application():
    """They have no proxy, and its settings otherwise."""
    browser = site(HEADER, PROXY, skip_authentication=True)
    shown = browser.get("/", extra_environ={"REMOTE_USER": "rms"}).json
    assert shown["groups"] == ["admins", "developers"]


class Down(Groups):
    def find_sections(self, hint):
        raise SourceUnavailable("gone")


@pytest.mark.parametrize("mode", ["raise", "refuse", "anonymous"])
def test_source_that_is_down(mode):
    for browser, ask_it in [
        (site(HEADER, PROXY, Down(), on_unavailable=mode), ask),
        (site("REMOTE_USER", None, Down(), on_unavailable=mode), ask_the_server),
    ]:
        if mode == "raise":
            with pytest.raises(SourceUnavailable):
                ask_it(browser)
            continue
        response = ask_it(browser, status={"refuse": 503, "anonymous": 200}[mode])
        if mode == "anonymous":
            shown = response.json
            assert (shown["user"], shown["user id"]) == (None, None)
            assert "HTTP_X_FORWARDED_USER" not in shown["names"]
            assert "repoze.what.unavailable" in shown["names"]
            ask_it(browser, path="/commit", status=503)


def ask_the_server(browser, **options):
    return ask(browser, said=None, REMOTE_USER="rms", **options)


BASIC = ("basic", BasicAuthPlugin("site"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"remote_user": HEADER}, "trusted_proxies is missing: anybody can send X-Forwarded-User"),
        ({"remote_user": HEADER, "trusted_proxies": []}, "trusted_proxies is missing"),
        ({"remote_user": HEADER, "trusted_proxies": " , "}, "trusted_proxies is missing"),
        ({"trusted_proxies": [PROXY]}, "trusted_proxies is there, but no remote_user"),
        (
            {"remote_user": "REMOTE_USER", "trusted_proxies": PROXY},
            "trusted_proxies is for a header",
        ),
        ({"remote_user": "X_Forwarded_User", "trusted_proxies": PROXY}, "nor the name of a header"),
        ({"remote_user": "HTTP_X_USER", "trusted_proxies": PROXY}, "nor the name of a header"),
        (
            {"remote_user": "remote_user", "trusted_proxies": PROXY},
            "remote_user is neither REMOTE_U",
        ),
        ({"remote_user": "", "trusted_proxies": PROXY}, "nor the name of a header"),
        ({"remote_user": "X User", "trusted_proxies": PROXY}, "nor the name of a header"),
        (
            {"remote_user": HEADER, "trusted_proxies": "proxy"},
            "trusted_proxies are addresses, ne",
        ),
        (
            {"remote_user": HEADER, "trusted_proxies": "10.0.0.5/8"},
            "networks that begin with their first address",
        ),
        ({"remote_user": HEADER, "trusted_proxies": b"10.0.0.1"}, "trusted_proxies are addresses"),
        ({"remote_user": "REMOTE_USER", "identifiers": [BASIC]}, "leave out the identifiers"),
        ({"remote_user": "REMOTE_USER", "authenticators": [BASIC]}, "leave out the authenticators"),
        ({"remote_user": "REMOTE_USER", "challengers": [BASIC]}, "leave out the challengers"),
        (
            {"remote_user": "REMOTE_USER", "challenge_decider": max},
            "leave out the challenge_decider",
        ),
    ],
)
def test_what_makes_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        setup_auth(page, **options)
