import io
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
import webtest
from harness import servers
from harness.forks import forked
from harness.sources import Groups, Permissions
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from repoze.who.classifiers import passthrough_challenge_decider
from repoze.who.interfaces import IAuthenticator, IIdentifier, IMetadataProvider
from repoze.who.plugins.auth_tkt import AuthTktCookiePlugin
from repoze.who.plugins.redirector import RedirectorPlugin
from webob import Request, Response
from webob.exc import HTTPFound, HTTPUnauthorized
from zope.interface import implementer

from repoze.what import predicates, unavailability
from repoze.what.adapters import ExistingSectionError, SourceError, SourceUnavailable
from repoze.what.middleware import setup_auth
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.predicates import Predicate, has_permission

MODES = ["raise", "refuse", "anonymous"]


class FullDiskError(SourceError):
    """An error of somebody else's adapter."""


class Source:
    """An adapter of a source that can be made to fail, and to work again."""

    def __init__(self, source):
        self.source = source
        self.error = None

    def find_sections(self, hint):
        # As a generator, which fails when it is read.
        if self.error is not None:
            raise self.error
        yield from self.source.find_sections(hint)


@implementer(IAuthenticator)
class Passwords:
    """Authenticates who gives his own name as the password."""

    def authenticate(self, environ, identity):
        login = identity.get("login")
        return login if login and login == identity.get("password") else None


@implementer(IIdentifier)
class LoginForm:
    """Takes logins and logouts as repoze.who's friendlyform does."""

    def identify(self, environ):
        request = Request(environ)
        form = request.POST
        if environ["PATH_INFO"] == "/unpacked":
            request.body_file = io.BytesIO(request.body)
        if environ["PATH_INFO"] == "/login":
            environ["repoze.who.logins"] = 0
        if environ["PATH_INFO"] == "/login_handler":
            environ["repoze.who.application"] = HTTPFound(location="/")
            return {"login": form["login"], "password": form["password"]}
        if environ["PATH_INFO"] == "/logout_handler":
            environ["repoze.who.application"] = HTTPUnauthorized()
        return None

    def remember(self, environ, identity):
        return TICKET.remember(environ, identity)

    def forget(self, environ, identity):
        return TICKET.forget(environ, identity)


TICKET = AuthTktCookiePlugin("secret", timeout=3600, reissue_time=1800)
WITH_COOKIE = {
    "identifiers": [("form", LoginForm()), ("auth_tkt", TICKET)],
    "authenticators": [("auth_tkt", TICKET), ("passwords", Passwords())],
    "challengers": [("redirector", RedirectorPlugin("/login"))],
}


def page(environ, start_response):
    """Show who the user is; ``/commit`` is for those who have that permission."""
    if environ["PATH_INFO"] == "/commit" and not has_permission("commit").is_met(environ):
        return HTTPUnauthorized("Not you.")(environ, start_response)
    return show(environ, start_response)


def show(environ, start_response):
    identity = environ.get("repoze.who.identity", {})
    shown = {
        "user": environ.get("REMOTE_USER"),
        "identity": identity.get("repoze.who.userid"),
        "credentials": environ.get("repoze.what.credentials"),
        "unavailable": repr(environ.get("repoze.what.unavailable")),
        "names": sorted(environ),
        "form": dict(Request(environ).POST),
    }
    return Response(json_body=shown)(environ, start_response)


def ticket(user):
    identity = {"repoze.who.userid": user, "tokens": ("staff",)}
    [(_, cookie), *_] = TICKET.remember(Request.blank("/").environ, identity)
    return cookie.split('"')[1]


class Site:
    """An application behind `setup_auth`, with sources that can be made to fail.

    ``user`` is a browser with rms's cookie, ``visitor`` one without.
    """

    def __init__(self, on_unavailable, app=page, **who_args):
        self.groups = Source(Groups())
        self.permissions = Source(Permissions())
        self.calls = 0
        self._app = app
        self.middleware = setup_auth(
            self._count,
            {"ours": self.groups},
            {"ours": self.permissions},
            on_unavailable=on_unavailable,
            **{**WITH_COOKIE, **who_args},
        )
        self.visitor = webtest.TestApp(self.middleware)
        self.user = webtest.TestApp(self.middleware)
        self.user.set_cookie("auth_tkt", ticket("rms"))

    def _count(self, environ, start_response):
        self.calls += 1
        return self._app(environ, start_response)

    def fail(self, error=None):
        self.groups.error = error or SourceUnavailable("gone")

    def work(self):
        self.groups.error = self.permissions.error = None


def assert_is_503(response):
    assert response.status == "503 Service Unavailable"
    assert response.headers["Retry-After"] == "10"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers
    assert "WWW-Authenticate" not in response.headers


# What a request gets

each_error = pytest.mark.parametrize(
    "error", [SourceError("no"), SourceUnavailable("gone"), FullDiskError("full")], ids=repr
)
each_source = pytest.mark.parametrize("source", ["groups", "permissions"])
each_mode = pytest.mark.parametrize("mode", MODES)


@each_error
@each_source
def test_raise(source, error):
    site = Site("raise")
    getattr(site, source).error = error
    with pytest.raises(SourceError) as caught:
        site.user.get("/")
    assert caught.value is error
    assert site.calls == 0


@each_error
@each_source
def test_refuse(source, error):
    site = Site("refuse")
    getattr(site, source).error = error
    assert_is_503(site.user.get("/", status=503))
    assert site.calls == 0


@each_error
@each_source
def test_anonymous(source, error):
    site = Site("anonymous")
    getattr(site, source).error = error
    shown = site.user.get("/").json
    assert shown["unavailable"] == repr(error)
    assert shown["credentials"] == {}
    assert (shown["user"], shown["identity"]) == (None, None)
    assert_is_503(site.user.get("/commit", status=503))


def test_anonymous_is_what_a_visitor_gets():
    """The ids and tokens of the ticket, which auth_tkt lays down, are not left over either."""
    site = Site("anonymous")
    visitor = site.visitor.get("/").json
    user = site.user.get("/").json
    assert {"AUTH_TYPE", "REMOTE_USER_TOKENS", "repoze.what.adapters"} <= set(user["names"])
    site.fail()
    names = set(site.user.get("/").json["names"])
    added = names - set(visitor["names"])
    assert added == {"HTTP_COOKIE", "repoze.what.credentials", "repoze.what.unavailable"}


def test_refusal_has_no_body_where_none_is_wanted():
    site = Site("refuse")
    site.fail()
    response = site.user.head("/", status=503)
    assert_is_503(response)
    assert response.body == b""


@each_mode
def test_source_that_works(mode):
    shown = Site(mode).user.get("/commit", status=200).json
    assert sorted(shown["credentials"]["groups"]) == ["admins", "developers"]
    assert (shown["user"], shown["identity"]) == ("rms", "rms")
    assert "repoze.what.unavailable" not in shown["names"]


@each_mode
def test_visitors_are_not_looked_up(mode):
    site = Site(mode)
    expected = site.visitor.get("/").json
    site.fail()
    assert site.visitor.get("/").json == expected
    assert site.visitor.get("/commit", status=302).location.startswith("http://localhost/login?")


def test_default_is_to_raise():
    groups = Source(Groups())
    groups.error = SourceUnavailable("gone")
    app = setup_auth(page, {"ours": groups}, skip_authentication=True)
    with pytest.raises(SourceUnavailable):
        webtest.TestApp(app).get("/", extra_environ={"REMOTE_USER": "rms"})


@pytest.mark.parametrize("value", ["", "Refuse", "ignore", None, True, 503, ["refuse"]])
def test_value_that_is_no_mode(value):
    message = "on_unavailable is none of raise, refuse, anonymous"
    with pytest.raises(ValueError, match=message):
        setup_auth(page, on_unavailable=value)


# Other errors


@each_mode
@pytest.mark.parametrize("error", [ExistingSectionError("?"), ZeroDivisionError(), KeyError("id")])
def test_error_that_is_no_source_error(mode, error, caplog):
    site = Site(mode)
    site.fail(error)
    with pytest.raises(type(error)) as caught:
        site.user.get("/")
    assert caught.value is error
    assert caplog.messages == []


@each_mode
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_error_of_the_application(mode, down, streams, caplog):
    error = SourceUnavailable("the application's own")

    def application(environ, start_response):
        if streams:
            return stream(start_response)
        raise error

    def stream(start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"Once upon"
        raise error

    site = Site(mode, application)
    browser = site.user
    if down:
        # The user would not get to the application in every mode.
        site.fail()
        browser = site.user if mode == "anonymous" else site.visitor
    caplog.clear()
    with pytest.raises(SourceUnavailable) as caught:
        browser.get("/")
    assert caught.value is error
    assert site.calls == 1
    assert repr(error) not in caplog.text


@implementer(IMetadataProvider)
class FailingAddresses:
    def add_metadata(self, environ, identity):
        raise SourceUnavailable("addresses")


@implementer(IAuthenticator)
class FailingPasswords:
    def authenticate(self, environ, identity):
        raise SourceUnavailable("passwords")


@each_mode
@pytest.mark.parametrize(
    "who_args",
    [
        {"mdproviders": [("addresses", FailingAddresses())]},
        {"authenticators": [("auth_tkt", TICKET), ("passwords", FailingPasswords())]},
    ],
    ids="-".join,
)
def test_error_of_another_plugin(mode, who_args, caplog):
    site = Site(mode, **who_args)
    with pytest.raises(SourceUnavailable, match=r"addresses|passwords"):
        site.user.get("/")
    assert caplog.messages == []


# Nobody is logged out


@pytest.mark.parametrize("mode", ["refuse", "anonymous"])
def test_cookie_survives(mode):
    site = Site(mode)
    site.user.get("/commit", status=200)
    cookie = site.user.cookies["auth_tkt"]
    site.fail()
    for _ in range(2):
        assert_is_503(site.user.get("/commit", status=503))
        assert "Set-Cookie" not in site.user.get("/", expect_errors=True).headers
    site.work()
    assert site.user.cookies["auth_tkt"] == cookie
    assert site.user.get("/commit", status=200).json["user"] == "rms"


def test_refusal_outside_an_outage_logs_out_as_ever():
    site = Site("anonymous")
    site.groups.source.exclude_item("developers", "rms")
    response = site.user.get("/commit", status=302)
    assert 'auth_tkt="INVALID"' in response.headers["Set-Cookie"]


def passes_on(environ, start_response):
    return HTTPUnauthorized(headers=[("WWW-Authenticate", "Basic")])(environ, start_response)


def begins_anew(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        environ["nowhere"]
    except KeyError:
        start_response("401 Unauthorized", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"Not you."]


def yields(environ, start_response):
    start_response("401 Unauthorized", [("Content-Type", "text/plain")])
    yield b"Not "
    yield b"you."


@pytest.mark.parametrize("application", [passes_on, begins_anew, yields])
@pytest.mark.parametrize(
    "who_args",
    [{}, {"challenge_decider": passthrough_challenge_decider}, {"skip_authentication": True}],
    ids="-".join,
)
def test_401_is_a_503_however_it_is_given(application, who_args):
    site = Site("anonymous", application, **who_args)
    site.fail()
    response = site.user.get("/", extra_environ=forged(who_args), status=503)
    assert_is_503(response)
    assert "Not you." not in response.text


def forged(who_args):
    return {"REMOTE_USER": "rms"} if who_args.get("skip_authentication") else None


def test_answer_of_the_application_is_closed():
    closed = []

    class Answer(io.BytesIO):
        def close(self):
            closed.append(True)
            super().close()

    def application(environ, start_response):
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return Answer(b"Not you.")

    site = Site("anonymous", application)
    site.fail()
    assert_is_503(site.user.get("/", status=503))
    assert closed


def test_page_that_is_streamed():
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"Once "
        yield b"upon a time"

    site = Site("anonymous", application)
    site.fail()
    assert site.user.get("/").text == "Once upon a time"


@pytest.mark.parametrize("mode", ["refuse", "anonymous"])
def test_decider_that_challenges_whom_it_does_not_know(mode):
    site = Site(mode, challenge_decider=lambda environ, *answer: "REMOTE_USER" not in environ)
    site.visitor.get("/", status=302)
    site.user.get("/", status=200)
    site.fail()
    assert_is_503(site.user.get("/", status=503))
    site.visitor.get("/", status=302)


# Logging in and out during an outage


@pytest.mark.parametrize("mode", ["refuse", "anonymous"])
def test_login_by_a_plugin(mode):
    """Its redirection would lead back to where the login was asked for."""
    site = Site(mode)
    form = {"login": "rms", "password": "rms"}
    site.fail()
    assert_is_503(site.visitor.post("/login_handler", form, status=503))
    site.work()
    site.visitor.post("/login_handler", form, status=302)
    assert site.visitor.get("/commit", status=200).json["user"] == "rms"


@pytest.mark.parametrize("mode", ["refuse", "anonymous"])
def test_logout_by_a_plugin(mode):
    site = Site(mode)
    site.fail()
    assert_is_503(site.user.get("/logout_handler", status=503))
    site.work()
    site.user.get("/logout_handler", status=302)
    assert site.user.get("/").json["user"] is None


def test_login_and_logout_by_the_application():
    def application(environ, start_response):
        api = environ["repoze.who.api"]
        assert api.remember() == ()
        if environ["PATH_INFO"] == "/out":
            headers = api.logout()
        else:
            _, headers = api.login({"login": "linus", "password": "linus"})
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return [b""]

    site = Site("anonymous", application)
    site.fail()
    site.user.get("/in")
    assert "linus" in site.user.cookies["auth_tkt"]
    site.user.get("/out")
    assert "linus" not in site.user.cookies.get("auth_tkt", "")


def test_login_page():
    site = Site("anonymous")
    site.fail()
    assert "repoze.who.logins" in site.user.get("/login").json["names"]


@pytest.mark.parametrize("path", ["/", "/unpacked"])
def test_form_that_a_plugin_has_read(path):
    site = Site("anonymous")
    site.fail()
    form = {"title": "Zażółć"}
    assert site.user.post(path, form).json["form"] == form


# The application asks repoze.who again


@pytest.mark.parametrize("fails_at", ["first", "second"])
@pytest.mark.parametrize("key", ["REMOTE_USER", "X_USER"])
def test_anonymous_stays_anonymous_for_the_request(fails_at, key):
    def application(environ, start_response):
        site.fail()
        assert environ["repoze.who.api"].authenticate() is None
        site.work()
        assert environ["repoze.who.api"].authenticate() is None
        return show(environ, start_response)

    site = Site("anonymous", application, remote_user_key=key)
    if fails_at == "first":
        site.fail()
    shown = site.user.get("/").json
    assert shown["credentials"] == {}
    assert shown["unavailable"] == "SourceUnavailable('gone')"
    assert not {key, "repoze.who.identity", "repoze.what.adapters"} & set(shown["names"])


def test_refuse_where_the_second_lookup_fails():
    """The application was called already: it gets the error that it has provoked."""

    def application(environ, start_response):
        api = environ["repoze.who.api"]
        site.fail()
        with pytest.raises(SourceUnavailable, match="gone"):
            api.authenticate()
        site.work()
        assert api.authenticate()["repoze.who.userid"] == "rms"
        return (passes_on if environ["PATH_INFO"] == "/401" else show)(environ, start_response)

    site = Site("refuse", application)
    shown = site.user.get("/").json
    assert shown["user"] == "rms"
    assert "repoze.what.unavailable" not in shown["names"]
    # A 401 then is about this user, and challenged as ever.
    site.user.get("/401", status=302)


@pytest.mark.parametrize("mode", ["refuse", "anonymous"])
def test_factory_without_the_middleware(mode):
    site = Site(mode, skip_authentication=True)
    environ = Request.blank("/", environ={"repoze.what.forged_userid": "rms"}).environ
    api = site.middleware.api_factory(environ)
    assert site.middleware.api_factory(environ) is api
    site.fail()
    if mode == "refuse":
        with pytest.raises(SourceUnavailable):
            api.authenticate()
        assert "repoze.what.unavailable" not in environ
    else:
        assert api.authenticate() is None
        assert environ["repoze.what.credentials"] == {}
    assert "repoze.who.application" not in environ


# Other arguments of setup_auth


@each_mode
def test_skip_authentication(mode):
    site = Site(mode, skip_authentication="true")
    rms = {"REMOTE_USER": "rms"}
    assert site.visitor.get("/commit", extra_environ=rms).json["user"] == "rms"
    site.visitor.get("/commit", extra_environ={"REMOTE_USER": "sballmer"}, status=401)
    site.fail()
    site.visitor.get("/commit", status=401)
    if mode == "raise":
        with pytest.raises(SourceUnavailable):
            site.visitor.get("/", extra_environ=rms)
        return
    assert_is_503(site.visitor.get("/commit", extra_environ=rms, status=503))
    status = {"refuse": 503, "anonymous": 200}[mode]
    response = site.visitor.get("/", extra_environ=rms, status=status)
    if mode == "anonymous":
        assert (response.json["user"], response.json["identity"]) == (None, None)


@pytest.mark.parametrize("skip", [False, True])
def test_other_remote_user_key(skip):
    site = Site("anonymous", remote_user_key="X_USER", skip_authentication=skip)
    extra_environ = {"X_USER": "rms"} if skip else {}
    assert "X_USER" in site.user.get("/", extra_environ=extra_environ).json["names"]
    site.fail()
    assert "X_USER" not in site.user.get("/", extra_environ=extra_environ).json["names"]


@each_mode
def test_user_whom_the_server_knows_is_not_looked_up(mode):
    site = Site(mode)
    site.fail()
    shown = site.user.get("/", extra_environ={"REMOTE_USER": "somebody"}).json
    assert (shown["user"], shown["credentials"]) == ("somebody", None)


@implementer(IMetadataProvider)
class Account:
    """A metadata provider of the application's, which runs before ours."""

    def add_metadata(self, environ, identity):
        environ["site.account"] = identity["account"] = identity["repoze.who.userid"].upper()


def test_what_other_metadata_providers_laid_down():
    site = Site("anonymous", mdproviders=[("account", Account())])
    assert "site.account" in site.user.get("/").json["names"]
    site.fail()
    assert "site.account" not in site.user.get("/").json["names"]


# Whom it lets in

GROUPS = ["admins", "suspended", "sysadmins"]
PERMISSIONS = ["edit", "publish"]
USERS = ["rosa", "ben"]

group = st.sampled_from(GROUPS)
permission = st.sampled_from(PERMISSIONS)
user_id = st.sampled_from(USERS)
credentials = st.tuples(user_id, st.sets(group), st.sets(permission))


class remote_user(Predicate):  # noqa: N801
    """As somebody writes it who does not ask for the credentials."""

    def evaluate(self, environ, credentials):
        if not environ.get("REMOTE_USER"):
            self.unmet()


class identified(Predicate):  # noqa: N801
    def evaluate(self, environ, credentials):
        if environ.get("repoze.who.identity") is None:
            self.unmet()


class identity_in_group(Predicate):  # noqa: N801
    def __init__(self, group_name):
        super().__init__()
        self.group_name = group_name

    def evaluate(self, environ, credentials):
        if self.group_name not in environ.get("repoze.who.identity", {}).get("groups", ()):
            self.unmet()


class asked_again(Predicate):  # noqa: N801
    def evaluate(self, environ, credentials):
        if environ["repoze.who.api"].authenticate() is None:
            self.unmet()


class has_token(Predicate):  # noqa: N801
    def evaluate(self, environ, credentials):
        if "staff" not in environ.get("REMOTE_USER_TOKENS", ()):
            self.unmet()


class has_account(Predicate):  # noqa: N801
    def evaluate(self, environ, credentials):
        if "site.account" not in environ:
            self.unmet()


def some(predicate_class, names):
    return st.lists(names, max_size=3).map(lambda chosen: predicate_class(*chosen))


SIMPLE = {
    "is_user": user_id.map(predicates.is_user),
    "in_group": group.map(predicates.in_group),
    "in_all_groups": some(predicates.in_all_groups, group),
    "in_any_group": some(predicates.in_any_group, group),
    "is_anonymous": st.builds(predicates.is_anonymous),
    "not_anonymous": st.builds(predicates.not_anonymous),
    "has_permission": permission.map(predicates.has_permission),
    "has_all_permissions": some(predicates.has_all_permissions, permission),
    "has_any_permission": some(predicates.has_any_permission, permission),
    "ours": st.builds(remote_user)
    | st.builds(identified)
    | group.map(identity_in_group)
    | st.builds(asked_again)
    | st.builds(has_token)
    | st.builds(has_account),
}
COMPOUND = {
    "Not": lambda inner: inner.map(predicates.Not),
    "All": lambda inner: some(predicates.All, inner),
    "Any": lambda inner: some(predicates.Any, inner),
}
ABSTRACT = {"Predicate", "CompoundPredicate"}
OTHERS = {"NotAuthorizedError", "PredicateError", "UnclearRequestError", "Variables"}


def test_every_predicate_is_put_to_the_test():
    assert {*SIMPLE, *COMPOUND} - {"ours"} == set(predicates.__all__) - ABSTRACT - OTHERS


def written_out(predicate):
    """Return the predicate as one writes it, for the report of a failure."""
    inner = getattr(predicate, "predicates", None) or [getattr(predicate, "predicate", None)]
    names = [
        written_out(part) if isinstance(part, Predicate) else str(part)
        for part in [*inner, *vars(predicate).values()]
        if isinstance(part, (Predicate, str))
    ]
    return f"{type(predicate).__name__}({', '.join(names)})"


class Answers:
    """An adapter that gives one answer, and fails where it is an error."""

    answer = ()

    def find_sections(self, hint):
        if isinstance(self.answer, SourceError):
            raise self.answer
        return self.answer


class Guarded:
    """A site whose one page a predicate guards."""

    def __init__(self):
        self.groups, self.permissions = Answers(), Answers()
        self.predicate = None
        self._app = setup_auth(
            self._answer,
            {"ours": self.groups},
            {"ours": self.permissions},
            on_unavailable="anonymous",
            mdproviders=[("account", Account())],
            **WITH_COOKIE,
        )

    def _answer(self, environ, start_response):
        status = "200 OK" if self.predicate.is_met(environ) else "401 Unauthorized"
        start_response(status, [("Content-Type", "text/plain")])
        return [b""]

    def admits(self, user=None):
        request = Request.blank("/")
        if user is not None:
            request.headers["Cookie"] = f"auth_tkt={ticket(user)}"
        return request.get_response(self._app).status_int == 200


@pytest.mark.parametrize("outermost", [*SIMPLE, *COMPOUND])
def test_anonymous_lets_nobody_in_whom_it_would_refuse_as_a_visitor(outermost, thorough):
    simple = st.one_of(*SIMPLE.values())
    nested = st.recursive(
        simple, lambda inner: st.one_of(*(make(inner) for make in COMPOUND.values())), max_leaves=12
    )
    chosen = SIMPLE[outermost] if outermost in SIMPLE else COMPOUND[outermost](nested)
    site = Guarded()

    def outcomes(predicate, credentials):
        user, site.groups.answer, site.permissions.answer = credentials
        site.predicate = predicate
        return site.admits(user), site.admits()

    @settings(max_examples=5_000 if thorough else 30)
    @given(chosen, credentials, st.booleans())
    def check(predicate, credentials, groups_fail):
        _, as_visitor = outcomes(predicate, credentials)
        user, groups, _ = credentials
        if groups_fail or not groups:
            site.groups.answer = SourceUnavailable("gone")
        else:
            site.permissions.answer = SourceUnavailable("gone")
        in_outage = site.admits(user)
        assert in_outage == as_visitor, written_out(predicate)

    check()
    # The comparison means nothing where user and visitor never differ.
    find(
        st.tuples(chosen, credentials),
        lambda example: len(set(outcomes(*example))) == 2,
        settings=settings(max_examples=10_000, phases=[Phase.generate]),
    )


def test_suspended_user():
    """As the manual has it: Not() alone lets visitors in, so during an outage everybody."""
    not_suspended = predicates.Not(predicates.in_group("suspended"))
    site = Guarded()
    for site.predicate, visitors_may in [
        (not_suspended, True),
        (predicates.All(predicates.not_anonymous(), not_suspended), False),
    ]:
        site.groups.answer = ("suspended",)
        assert not site.admits("rosa")
        assert site.admits() is visitors_may
        site.groups.answer = SourceUnavailable("gone")
        assert site.admits("rosa") is visitors_may


# The log


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 5_000.0

        def __call__(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(unavailability, "monotonic", clock)
    return clock


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.DEBUG, "repoze.what")
    return caplog


def ask(site, times=1):
    """Have the site asked by a user, whatever comes of it."""
    for _ in range(times):
        with suppress(SourceError):
            site.user.get("/", expect_errors=True)


CONSEQUENCES = {
    "raise": "The error ends the request of a user who is logged in.",
    "refuse": "A user who is logged in gets a 503.",
    "anonymous": "A user who is logged in is treated as a visitor.",
}


@each_mode
def test_outage_is_logged_when_it_begins_and_ends(mode, log, clock):
    site = Site(mode)
    ask(site, 2)
    assert log.records == []
    site.fail(SourceUnavailable("Redis at\nlocalhost"))
    for _ in range(3):
        ask(site, 2)
        clock.now += 30
    begun = (
        r"Groups and permissions cannot be looked up: SourceUnavailable('Redis at\nlocalhost'). "
        + CONSEQUENCES[mode]
    )
    assert log.record_tuples == [("repoze.what", logging.ERROR, begun)]
    site.work()
    ask(site, 2)
    ended = (
        "Groups and permissions can be looked up again. It failed in 6 requests, within 60 seconds."
    )
    assert log.record_tuples[1:] == [("repoze.what", logging.WARNING, ended)]
    site.fail()
    ask(site, 2)
    assert len(log.records) == 3
    assert log.records[2].levelno == logging.ERROR


@each_mode
def test_outage_that_flickers_is_one(mode, log, clock):
    """Some users are known without asking the source, and some requests fail late."""
    site = Site(mode)
    for _ in range(5):
        site.fail()
        ask(site)
        clock.now += 9
        site.work()
        ask(site)
    assert len(log.records) == 1
    clock.now += 1
    ask(site)
    assert len(log.records) == 2


def test_second_outage_is_told_from_the_first_where_nobody_asked_in_between(log, clock):
    site = Site("anonymous")
    site.fail()
    ask(site)
    site.work()
    ask(site)
    clock.now += 3_600
    site.fail(FullDiskError("full"))
    ask(site)
    first, end, second = log.messages
    assert "SourceUnavailable('gone')" in first
    assert "It failed in 1 requests, within 0 seconds" in end
    assert "FullDiskError('full')" in second


def test_long_outage_in_which_hardly_anybody_asks_is_one(log, clock):
    site = Site("anonymous")
    site.fail()
    ask(site)
    site.work()
    ask(site)
    site.fail()
    for _ in range(3):
        ask(site)
        clock.now += 3_600
    assert len(log.records) == 1


def test_visitors_say_nothing_of_an_outage(log, clock):
    site = Site("refuse")
    site.fail()
    ask(site)
    site.work()
    clock.now += 60
    site.visitor.get("/")
    assert len(log.records) == 1


def test_each_setup_logs_its_own(log):
    for site in [Site("refuse"), Site("refuse")]:
        site.fail()
        ask(site, 2)
    assert len(log.records) == 2


@each_mode
def test_many_threads_meet_the_outage_at_once(mode, log, clock):
    threads = 16
    together = threading.Barrier(threads, timeout=60)

    class Together:
        down = True

        def find_sections(self, hint):
            together.wait()
            if self.down:
                raise SourceUnavailable("gone")
            return ()

    source = Together()
    app = setup_auth(page, {"ours": source}, skip_authentication=True, on_unavailable=mode)

    def request(_):
        try:
            Request.blank("/", environ={"REMOTE_USER": "rms"}).get_response(app)
        except SourceUnavailable:
            return mode == "raise"
        return True

    with ThreadPoolExecutor(threads) as pool:
        assert all(pool.map(request, range(threads)))
        assert len(log.records) == 1
        source.down = False
        clock.now += 10
        assert all(pool.map(request, range(threads)))
    assert len(log.records) == 2
    assert f"in {threads} requests" in log.messages[1]


class Held:
    """A step that waits, where it is taken first, until it is let go."""

    def __init__(self, step):
        self._step = step
        self._taken = threading.Lock()
        self.reached = threading.Event()
        self._released = threading.Event()

    def __call__(self, *arguments):
        if self._taken.acquire(blocking=False):
            self.reached.set()
            assert self._released.wait(60)
        return self._step(*arguments)

    @contextmanager
    def held(self, work):
        """Have *work* done by a thread, which waits in the step meanwhile."""
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(work)
            assert self.reached.wait(60)
            try:
                yield
            finally:
                self._released.set()
            done.result()


class Slow(logging.Handler):
    """A log that takes its time for its first line, as one on a network does."""

    def __init__(self):
        super().__init__()
        self.write = Held(self._add)
        self.lines = []

    def _add(self, record):
        self.lines.append(record.getMessage())

    def emit(self, record):
        self.write(record)

    def createLock(self):  # noqa: N802 - it is logging's name
        """Have none: it is not about this one that others wait."""
        self.lock = None


@pytest.fixture
def slow_log():
    handler = Slow()
    logger = logging.getLogger("repoze.what")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@each_mode
def test_no_request_waits_for_the_log_of_another(mode, slow_log, clock):
    site = Site(mode)
    site.fail()
    with slow_log.write.held(lambda: ask(site)):
        for _ in range(3):
            ask(site)
        site.work()
        clock.now += 10
        ask(site)
        assert slow_log.lines == [
            "Groups and permissions can be looked up again. "
            "It failed in 4 requests, within 0 seconds."
        ]
    assert len(slow_log.lines) == 2


def test_fork_while_the_beginning_is_logged(slow_log, clock):
    site = Site("refuse")
    site.fail()

    def work_of_child():
        assert_is_503(site.user.get("/", status=503))
        site.work()
        clock.now += 10
        site.user.get("/", status=200)
        assert [line[:34] for line in slow_log.lines] == [
            "Groups and permissions cannot be l",
            "Groups and permissions can be look",
        ]
        assert "failed in 1 requests" in slow_log.lines[1]

    with slow_log.write.held(lambda: ask(site)), forked(work_of_child, is_measured=True):
        pass
    assert len(slow_log.lines) == 1


def test_fork_while_a_failure_is_counted(monkeypatch, log):
    """Python is not told of this fork, as it is not of those of uWSGI."""
    clock = Held(lambda: 5_000.0)
    monkeypatch.setattr(unavailability, "monotonic", clock)
    site = Site("refuse")
    site.fail()
    with (
        clock.held(lambda: ask(site)),
        forked(lambda: assert_is_503(site.user.get("/", status=503))),
    ):
        pass


def test_lookup_of_a_signal_while_a_failure_is_counted(monkeypatch, log):
    """Its handler runs in the middle of whatever the main thread is at."""
    site = Site("refuse")
    site.fail()
    asked = []

    def clock():
        if not asked:
            asked.append(True)
            ask(site)
        return 5_000.0

    monkeypatch.setattr(unavailability, "monotonic", clock)
    ask(site)
    assert len(log.records) == 1


# On a real server

LOGGED_IN_MODES = {"raise": None, "refuse": 503, "anonymous": 200}


@pytest.fixture(scope="module")
def halting_server(executable):
    server = servers.RedisServer(executable, "--appendonly", "yes")
    yield server
    server.stop()


@each_mode
def test_server_that_is_halted_and_comes_back(mode, halting_server, log, clock):
    client = halting_server.client(socket_timeout=30)
    groups, permissions = RedisGroupAdapter(client), RedisPermissionAdapter(client)
    if "developers" not in groups.get_all_sections():
        groups.create_section("developers")
        groups.include_item("developers", "rms")
        permissions.create_section("commit")
        permissions.include_item("commit", "developers")
    app = setup_auth(
        page, {"redis": groups}, {"redis": permissions}, on_unavailable=mode, **WITH_COOKIE
    )
    headers = {"Cookie": f"auth_tkt={ticket('rms')}"}

    def get(path="/"):
        request = Request.blank(path, headers=headers)
        try:
            return request.get_response(app)
        except SourceUnavailable:
            return None

    assert get("/commit").status_int == 200
    halting_server.halt()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(get, ["/"] * 20))
    assert {answer and answer.status_int for answer in answers} == {LOGGED_IN_MODES[mode]}
    assert all("Set-Cookie" not in answer.headers for answer in answers if answer is not None)
    if mode != "raise":
        assert_is_503(get("/commit"))
    assert len(log.records) == 1
    assert f"{halting_server.port}" in log.text
    halting_server.resume()
    clock.now += 10
    answer = get("/commit")
    assert answer.status_int == 200
    assert answer.json["credentials"] == {
        "repoze.what.userid": "rms",
        "groups": ["developers"],
        "permissions": ["commit"],
    }
    assert log.messages[1].startswith("Groups and permissions can be looked up again.")


def test_password_is_not_logged(halting_server, log):
    halting_server.client().acl_setuser("clerk", enabled=True, passwords=["+right"])
    client = halting_server.client(username="clerk", password="open sesame")
    app = setup_auth(
        page,
        {"redis": RedisGroupAdapter(client)},
        on_unavailable="refuse",
        skip_authentication=True,
    )
    request = Request.blank("/", environ={"REMOTE_USER": "rms"})
    assert_is_503(request.get_response(app))
    assert "username-password" in log.text
    assert "sesame" not in log.text
