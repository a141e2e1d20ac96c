import io
import json
import logging
from collections import UserString
from functools import partial, wraps
from types import MappingProxyType

import pytest
import redis
import webtest
from harness import servers
from harness.sources import Groups, Permissions
from redis.sentinel import Sentinel
from repoze.who.classifiers import default_challenge_decider, default_request_classifier
from repoze.who.interfaces import IAuthenticator, IIdentifier, IMetadataProvider
from repoze.who.middleware import PluggableAuthenticationMiddleware
from repoze.who.plugins.auth_tkt import AuthTktCookiePlugin
from repoze.who.plugins.basicauth import BasicAuthPlugin
from repoze.who.plugins.redirector import RedirectorPlugin
from webob.dec import wsgify
from zope.interface import implementer
from zope.interface.verify import verifyClass, verifyObject

from repoze.what.adapters import SourceError, SourceUnavailable
from repoze.what.middleware import AuthorizationMetadata, setup_auth
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.predicates import NotAuthorizedError, has_permission, is_anonymous, not_anonymous


def site(environ, start_response):
    """Say who the user is; ``/commit`` is for those who have that permission."""
    try:
        if environ["PATH_INFO"] == "/commit":
            has_permission("commit").check_authorization(environ)
    except NotAuthorizedError as refusal:
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [str(refusal).encode()]
    identity = environ.get("repoze.who.identity", {})
    credentials = environ.get("repoze.what.credentials", {})
    page = {
        "user": environ.get("REMOTE_USER"),
        "user id": credentials.get("repoze.what.userid"),
        "groups": sorted(credentials.get("groups", ())),
        "permissions": sorted(credentials.get("permissions", ())),
        "identity": [sorted(identity.get("groups", ())), sorted(identity.get("permissions", ()))],
        "anonymous": is_anonymous().is_met(environ),
        "known": not_anonymous().is_met(environ),
        "adapters": {k: list(v) for k, v in environ.get("repoze.what.adapters", {}).items()},
        "classification": environ["repoze.who.api"].classification,
        "plugins": sorted(environ["repoze.who.plugins"]),
        "email": identity.get("email"),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(page).encode()]


@implementer(IAuthenticator)
class Passwords:
    """Authenticates who gives his own name as the password."""

    def authenticate(self, environ, identity):
        login = identity.get("login")
        return login if login and login == identity.get("password") else None


@implementer(IMetadataProvider)
class Addresses:
    def add_metadata(self, environ, identity):
        identity["email"] = f"{identity['repoze.who.userid']}@example.org"


BASIC = ("basicauth", BasicAuthPlugin("site"))
TICKET = ("auth_tkt", AuthTktCookiePlugin("secret"))
PASSWORDS = ("passwords", Passwords())
WHO = {"identifiers": [BASIC], "authenticators": [PASSWORDS], "challengers": [BASIC]}


def make_site(groups=None, permissions=None, **who_args):
    groups = {"all_groups": Groups()} if groups is None else groups
    permissions = {"all_permissions": Permissions()} if permissions is None else permissions
    return webtest.TestApp(setup_auth(site, groups, permissions, **{**WHO, **who_args}))


def log_in(app, login):
    app.authorization = ("Basic", (login, login))


# A site behind it


def test_groups_and_permissions_of_a_user():
    app = make_site()
    log_in(app, "rms")
    page = app.get("/").json
    assert page["user"] == page["user id"] == "rms"
    assert page["groups"] == ["admins", "developers"]
    assert page["permissions"] == ["commit", "edit-site"]
    assert page["identity"] == [page["groups"], page["permissions"]]
    assert page["known"]
    assert not page["anonymous"]
    assert page["adapters"] == {"groups": ["all_groups"], "permissions": ["all_permissions"]}
    app.get("/commit", status=200)


def test_user_without_the_permission_is_challenged():
    app = make_site()
    log_in(app, "sballmer")
    assert app.get("/").json["permissions"] == ["see-site"]
    assert "WWW-Authenticate" in app.get("/commit", status=401).headers


def test_user_of_no_group():
    app = make_site()
    log_in(app, "éva")
    page = app.get("/").json
    assert (page["user id"], page["groups"], page["permissions"]) == ("éva", [], [])
    assert page["known"]


@pytest.mark.parametrize("credentials", [None, ("rms", "wrong"), ("", "")])
def test_anonymous(credentials):
    app = make_site()
    app.authorization = credentials and ("Basic", credentials)
    page = app.get("/").json
    assert page["anonymous"]
    assert not page["known"]
    assert (page["user id"], page["groups"], page["adapters"]) == (None, [], {})
    app.get("/commit", status=401)


def test_change_counts_from_the_next_request():
    groups = Groups()
    app = make_site({"all_groups": groups})
    log_in(app, "linus")
    app.get("/commit", status=200)
    groups.exclude_item("developers", "linus")
    app.get("/commit", status=401)


def test_cookie():
    redirector = ("redirector", RedirectorPlugin("/login"))
    app = make_site(
        identifiers=[TICKET, BASIC],
        authenticators=[TICKET, PASSWORDS],
        challengers=[redirector],
    )
    assert app.get("/commit", status=302).location.startswith("http://localhost/login?came_from=")
    environ = webtest.TestRequest.blank("/").environ
    headers = TICKET[1].remember(environ, {"repoze.who.userid": "rms"})
    app.set_cookie("auth_tkt", headers[0][1].split('"')[1])
    assert app.get("/").json["groups"] == ["admins", "developers"]
    app.get("/commit", status=200)


@pytest.mark.parametrize("broken", ["groups", "permissions"])
def test_source_that_is_down_ends_the_request(broken):
    class Down:
        def find_sections(self, hint):
            raise SourceUnavailable("gone")

    app = make_site(**{broken: {"ours": Down()}})
    log_in(app, "rms")
    with pytest.raises(SourceUnavailable, match="gone"):
        app.get("/")


# setup_auth's arguments


def test_without_groups_and_permissions():
    app = webtest.TestApp(setup_auth(site, **WHO))
    log_in(app, "rms")
    page = app.get("/").json
    assert (page["groups"], page["permissions"]) == ([], [])
    assert page["user id"] == "rms"
    assert page["adapters"] == {"groups": [], "permissions": []}


def test_application_alone():
    app = setup_auth(site)
    assert isinstance(app, PluggableAuthenticationMiddleware)
    assert webtest.TestApp(app).get("/").json["anonymous"]


def test_defaults_are_those_of_repoze_who():
    factory = setup_auth(site, classifier=None, challenge_decider=None).api_factory
    assert factory.request_classifier is default_request_classifier
    assert factory.challenge_decider is default_challenge_decider


@pytest.mark.parametrize("name", ["classifier", "request_classifier"])
def test_classifier(name):
    app = make_site(**{name: lambda environ: "robot"})
    assert app.get("/").json["classification"] == "robot"


def test_challenge_decider():
    app = make_site(challenge_decider=lambda environ, status, headers: status.startswith("200"))
    app.get("/", status=401)


def test_other_metadata_providers():
    app = make_site(mdproviders=[("addresses", Addresses())])
    log_in(app, "rms")
    page = app.get("/").json
    assert page["email"] == "rms@example.org"
    assert page["groups"]
    assert page["plugins"] == ["addresses", "authorization_md", "basicauth", "passwords"]


@pytest.mark.parametrize("skip", [True, False])
def test_lists_of_the_caller_are_not_changed(skip):
    who_args = {**WHO, "mdproviders": [("addresses", Addresses())]}
    expected = {kind: list(plugins) for kind, plugins in who_args.items()}
    setup_auth(site, {}, {}, skip_authentication=skip, **who_args)
    assert who_args == expected


def test_plugins_in_a_tuple():
    app = make_site(**{kind: tuple(plugins) for kind, plugins in WHO.items()})
    log_in(app, "rms")
    assert app.get("/").json["user id"] == "rms"


def test_unknown_argument():
    with pytest.raises(TypeError, match="identifyers"):
        setup_auth(site, identifyers=[])


def test_both_classifiers():
    with pytest.raises(ValueError, match="request_classifier and classifier"):
        setup_auth(
            site,
            classifier=default_request_classifier,
            request_classifier=default_request_classifier,
        )


# What cannot work


class Lazy:
    """A text that is made when it is first looked at, as Django has them."""

    def __init__(self, text):
        self._text = text

    def __getattr__(self, name):
        return getattr(self._text, name)

    def __iter__(self):
        return iter(self._text)


class OtherAdapter:
    """One that does not say which kind of sources it is for."""

    def find_sections(self, hint):
        return ()


class OfPermissions(Permissions):
    source_kind = "permissions"


NOWHERE = redis.Redis(host=servers.HOST, port=1, password="open sesame")
OF_GROUPS, OF_PERMISSIONS = RedisGroupAdapter(NOWHERE), RedisPermissionAdapter(NOWHERE)
NO_ADAPTERS = [
    ([OF_GROUPS], [OF_PERMISSIONS], "group_adapters is a dict of adapters, .* not a list"),
    (None, {OF_PERMISSIONS}, "permission_adapters is a dict of adapters, .* not a set"),
    (OF_GROUPS, OF_PERMISSIONS, "group_adapters is a dict of .*, not a RedisGroupAdapter"),
    ({"one": NOWHERE}, None, r"group_adapters\['one'\] is no adapter: Redis has no find_sections"),
    ({"one": None}, None, "NoneType has no find_sections"),
    (None, {"one": "redis://localhost"}, r"permission_adapters\['one'\] is no adapter: str has"),
    ({"one": RedisGroupAdapter}, None, "is the class RedisGroupAdapter, and no adapter of that cl"),
    (
        {"one": OtherAdapter(), "two": OF_PERMISSIONS},
        {"one": OF_GROUPS},
        r"group_adapters\['two'\] is a RedisPermissionAdapter, an adapter of permissions",
    ),
    (
        None,
        {"one": OF_GROUPS},
        "is a RedisGroupAdapter, an adapter of groups, in the place of perm",
    ),
    ({"one": OfPermissions()}, None, "is a OfPermissions, an adapter of permissions, in the place"),
]


@pytest.mark.parametrize(
    ("group_options", "permission_options"),
    [
        ({"db": 3}, {"db": 3}),
        ({"db": 2}, {}),
        ({"db": 3}, {"db": 3, "namespace": "site"}),
        ({"db": 3, "namespace": "site"}, {"db": 3}),
    ],
)
def test_adapters_that_nothing_tells_apart(group_options, permission_options):
    groups = RedisGroupAdapter(NOWHERE, **group_options)
    permissions = RedisPermissionAdapter(NOWHERE, **permission_options)
    with pytest.raises(ValueError, match=r"group_adapters\['a'\] and permission_adapters\['c'\] l"):
        setup_auth(
            site,
            {"other": OtherAdapter(), "a": groups},
            {"b": RedisPermissionAdapter(NOWHERE, 9), "c": permissions},
        )


def test_one_place_by_other_names():
    clients = {
        "name": redis.Redis(host="LOCALHOST.", port=1),
        "address": redis.Redis(host="127.0.0.1", port=1),
    }
    groups = RedisGroupAdapter(clients["name"], 3)
    for permissions in (
        RedisPermissionAdapter(clients["address"], 3),
        RedisPermissionAdapter(clients["address"], "default", read_from=clients["name"]),
    ):
        if permissions.reads_from_replica:
            groups = RedisGroupAdapter(clients["name"], 2)
        with pytest.raises(ValueError, match="lie in one place"):
            setup_auth(site, {"redis": groups}, {"redis": permissions})
    socket, same = (
        redis.Redis(unix_socket_path=path) for path in (b"/run/./r.sock", "/run/r.sock")
    )
    with pytest.raises(ValueError, match=r"Redis at /run/\./r.sock"):
        setup_auth(site, {"": RedisGroupAdapter(socket, 3)}, {"": RedisPermissionAdapter(same, 3)})


def test_services_of_one_name_that_are_two():
    groups, permissions = (
        kind(Sentinel([(host, 1)]).master_for("mymaster"), 3)
        for kind, host in ((RedisGroupAdapter, "a"), (RedisPermissionAdapter, "b"))
    )
    setup_auth(site, {"redis": groups}, {"redis": permissions})
    with pytest.raises(ValueError, match="lie in one place"):
        setup_auth(
            site,
            {"redis": groups},
            {"redis": RedisPermissionAdapter(Sentinel([("a", 1)]).slave_for("mymaster"), 3)},
        )


def test_adapters_that_something_tells_apart():
    elsewhere = redis.Redis(host=servers.HOST, port=2)
    groups = {
        "plain": RedisGroupAdapter(NOWHERE, 3),
        "named": RedisGroupAdapter(NOWHERE, 0, namespace="site"),
    }
    permissions = {
        "other": OtherAdapter(),
        "elsewhere": RedisPermissionAdapter(elsewhere, 3),
        "named": RedisPermissionAdapter(NOWHERE, 0, namespace="site"),
    }
    setup_auth(site, groups, permissions)


class AwaitedGroups:
    async def find_sections(self, hint):
        return set()


class AwaitedPermissions:
    def find_sections(self, hint):
        return set()

    async def find_sections_many(self, hints):
        return set()


class NothingOfMany(AwaitedPermissions):
    find_sections_many = None


class YieldedGroups:
    async def find_sections(self, hint):
        yield "editors"


class AwaitedByCall:
    class Find:
        async def __call__(self, hint):
            return set()

    find_sections = Find()


class AwaitedJointly(Groups):
    async def find_with_permissions(self, hint, permissions):
        return (), ()


class OfNoPermissions(Groups):
    def find_with_permissions(self, hint):
        return (), ()


class NothingJointly(Groups):
    find_with_permissions = None


class OfNoHint:
    def find_sections(self):
        return set()


NO_ADAPTERS += [
    ({"one": AwaitedGroups()}, None, "AwaitedGroups.find_sections is no method, or a coroutine"),
    (None, {"one": AwaitedPermissions()}, "AwaitedPermissions.find_sections_many is no method"),
    (None, {"one": NothingOfMany()}, "NothingOfMany.find_sections_many is no method"),
    ({"one": YieldedGroups()}, None, "YieldedGroups.find_sections is no method, or a coroutine"),
    ({"one": AwaitedByCall()}, None, "AwaitedByCall.find_sections is no method, or a coroutine"),
    ({"one": OfNoHint()}, None, "OfNoHint.find_sections takes no hint"),
    *(
        ({"one": kind()}, None, f"{kind.__name__}.find_with_permissions is no method")
        for kind in (AwaitedJointly, OfNoPermissions, NothingJointly)
    ),
]


@pytest.mark.parametrize("kind", ["identifiers", "authenticators", "challengers", "mdproviders"])
@pytest.mark.parametrize("plugins", [[object()], [(1, object())], ["ab"], [("a", 1, 2)]])
def test_plugins_without_names(kind, plugins):
    with pytest.raises(TypeError, match=f"{kind} are pairs of a name and a plugin, not "):
        setup_auth(site, **{kind: plugins})


@pytest.mark.parametrize(("groups", "permissions", "message"), NO_ADAPTERS)
def test_adapters_that_are_none(groups, permissions, message):
    for make in (partial(setup_auth, site), AuthorizationMetadata):
        with pytest.raises(TypeError, match=message) as raised:
            make(groups, permissions)
        assert "sesame" not in str(raised.value)


def test_adapters_that_do_not_say_what_they_are_for():
    class Peculiar(OtherAdapter):
        source_kind = "rows of a table"

    for adapter in (OtherAdapter(), Groups(), Permissions(), Peculiar()):
        setup_auth(site, {"one": adapter}, {"one": adapter})
    setup_auth(site, MappingProxyType({"one": OF_GROUPS}), {"one": OF_PERMISSIONS})


async def coroutine(scope, receive, send):
    """As ASGI has it."""


async def other_coroutine(one, two):
    """No WSGI application either."""


class Starlette:
    async def __call__(self, scope, receive, send):
        """As Starlette has it."""


def passed_on(scope, receive, send):
    return coroutine(scope, receive, send)


class PassedOn:
    def __call__(self, scope, receive, send):
        return coroutine(scope, receive, send)


async def yielded(environ, start_response):
    yield b""


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (
            coroutine,
            r"app is an ASGI application \(coroutine\), and setup_auth is for those of WSGI",
        ),
        (other_coroutine, "app is an ASGI application"),
        (partial(coroutine), r"app is an ASGI application \(partial\)"),
        (Starlette(), r"app is an ASGI application \(Starlette\)"),
        (Starlette().__call__, "app is an ASGI application"),
        (passed_on, "app is an ASGI application"),
        (PassedOn(), "app is an ASGI application"),
        (None, "app is no WSGI application: NoneType cannot be called"),
        (lambda: site, "app is no WSGI application: <lambda> is not called with an environment"),
        (lambda config, **settings: site, "If it makes the application, call it first"),
        (Starlette, "app is no WSGI application: Starlette is not called"),
        (yielded, "app is an ASGI application"),
        (type("Site", (), {"__init__": lambda self, *_: None}), "Site is not called with an env"),
        ("site:app", "app is no WSGI application: str cannot be called"),
    ],
)
def test_application_that_is_none(app, message):
    with pytest.raises(TypeError, match=message):
        setup_auth(app)


class Answer:
    """An application as PEP 3333 has it too: a class of answers."""

    def __init__(self, environ, start_response):
        start_response("200 OK", [])

    def __iter__(self):
        return iter([])


@wraps(coroutine)
def wrapped(environ, start_response):
    return Answer(environ, start_response)


@pytest.mark.parametrize(
    "app", [site, Answer, wrapped, partial(site), wsgify(lambda request: ""), setup_auth(site), max]
)
def test_application(app):
    setup_auth(app)


async def awaited(environ):
    return "browser"


@implementer(IAuthenticator, IIdentifier)
class Awaited:
    async def authenticate(self, environ, identity):
        return None

    def identify(self, environ):
        return {}

    def remember(self, environ, identity):
        return []

    def forget(self, environ, identity):
        return []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"identifiers": [("ticket", type(TICKET[1]))]}, ValueError, "^ticket: "),
        ({"identifiers": [("ticket", object())]}, ValueError, "^ticket: "),
        ({"challengers": [TICKET]}, ValueError, "^auth_tkt: "),
        ({"challenge_decider": "site:decide"}, TypeError, "challenge_decider is no function"),
        ({"challenge_decider": lambda: True}, TypeError, "challenge_decider is no function of 3"),
        ({"challenge_decider": Lazy}, TypeError, "challenge_decider is no function of 3"),
        ({"request_classifier": awaited}, TypeError, "request_classifier is no function of 1"),
        ({"authenticators": [("a", Awaited())]}, TypeError, "authenticators: a.authenticate is a"),
        ({"identifiers": [("a", Awaited())]}, TypeError, "identifiers: a.authenticate is a corou"),
        ({"request_classifier": "site:classify"}, TypeError, "request_classifier is no function"),
        ({"classifier": 5}, TypeError, "^classifier is no function"),
    ],
)
def test_plugins_that_are_none(options, error, message):
    with pytest.raises(error, match=message):
        setup_auth(site, **options)


# An identifier that authenticates


def test_identifier_that_is_no_authenticator_is_warned_about():
    with pytest.warns(UserWarning, match="'auth_tkt' .*not among the authenticators") as caught:
        make_site(identifiers=[TICKET, BASIC])
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_authenticator_of_the_same_kind_will_do():
    make_site(
        identifiers=[TICKET],
        authenticators=[("ticket", AuthTktCookiePlugin("secret")), PASSWORDS],
    )


def test_identifier_without_authentication_is_not_warned_about():
    make_site(authenticators=[])


# Tests of an application


@pytest.mark.parametrize("skip", [True, "true", "True", " yes ", "on", "1", 1])
def test_forged_login(skip):
    app = make_site(skip_authentication=skip)
    page = app.get("/", extra_environ={"REMOTE_USER": "rms"}).json
    assert page["user"] == page["user id"] == "rms"
    assert page["groups"] == ["admins", "developers"]
    assert page["permissions"] == ["commit", "edit-site"]
    assert "auth_forger" in page["plugins"]
    assert "basicauth" in page["plugins"]
    app.get("/commit", extra_environ={"REMOTE_USER": "rms"}, status=200)


@pytest.mark.parametrize("extra_environ", [{}, {"REMOTE_USER": ""}])
def test_no_forged_login(extra_environ):
    app = make_site(skip_authentication=True)
    page = app.get("/", extra_environ=extra_environ).json
    assert page["anonymous"]
    assert page["user"] is None
    log_in(app, "rms")
    assert app.get("/").json["anonymous"]


def test_refusal_of_a_forged_login_is_the_applications():
    app = make_site(skip_authentication=True)
    response = app.get("/commit", extra_environ={"REMOTE_USER": "sballmer"}, status=401)
    assert response.text == 'The user must have the "commit" permission'
    assert "WWW-Authenticate" not in response.headers
    app.get("/commit", status=401)


def test_forged_login_with_other_metadata_and_key():
    app = make_site(
        skip_authentication=True,
        remote_user_key="X_USER",
        mdproviders=[("addresses", Addresses())],
        identifiers=[TICKET],
    )
    page = app.get("/", extra_environ={"X_USER": "linus"}).json
    assert (page["user id"], page["email"]) == ("linus", "linus@example.org")


def test_forged_logout():
    """An application logs out through repoze.who, which asks every identifier."""

    def logout(environ, start_response):
        headers = environ["repoze.who.api"].logout()
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return [b""]

    app = setup_auth(logout, {}, {}, skip_authentication=True, identifiers=[TICKET])
    response = webtest.TestApp(app).get("/", extra_environ={"REMOTE_USER": "rms"})
    assert all("INVALID" in cookie for cookie in response.headers.getall("Set-Cookie"))


@pytest.mark.parametrize("skip", [None, False, "false", "False", "no", " off", "0", 0])
def test_no_forging(skip):
    app = make_site(skip_authentication=skip)
    assert "auth_forger" not in app.get("/").json["plugins"]
    log_in(app, "rms")
    assert app.get("/").json["user id"] == "rms"


@pytest.mark.parametrize("skip", ["", "maybe", "flase", 2, [], ["true"]])
def test_skip_authentication_that_is_neither(skip):
    with pytest.raises(ValueError, match="skip_authentication is neither true nor false"):
        setup_auth(site, skip_authentication=skip)


# The log


@pytest.mark.parametrize(("value", "logs"), [("1", True), ("0", False), ("", False), (None, False)])
def test_auth_log(monkeypatch, capsys, value, logs):
    monkeypatch.delenv("AUTH_LOG", raising=False)
    if value is not None:
        monkeypatch.setenv("AUTH_LOG", value)
    app = make_site()
    app.authorization = ("Basic", ("sballmer", "sballmer"))
    app.get("/commit", status=401)
    output = capsys.readouterr().out
    for line in ("'trolls'", "'see-site'", "Authorization denied: The user must have the"):
        assert (line in output) is logs


def test_auth_log_shows_no_password(monkeypatch, capsys):
    monkeypatch.setenv("AUTH_LOG", "1")
    app = make_site(authenticators=[("anybody", Anybody())])
    app.authorization = ("Basic", ("rms", "open sesame"))
    app.get("/commit", status=200)
    output = capsys.readouterr().out
    assert "Authorization granted" in output
    assert "sesame" not in output


@implementer(IAuthenticator)
class Anybody:
    def authenticate(self, environ, identity):
        return identity["login"]


def test_auth_log_leaves_another_log_alone(monkeypatch, capsys):
    monkeypatch.setenv("AUTH_LOG", "1")
    stream = io.StringIO()
    app = make_site(log_stream=stream, log_level=logging.WARNING)
    log_in(app, "rms")
    app.get("/commit")
    assert (capsys.readouterr().out, stream.getvalue()) == ("", "")


def test_path_forges_no_line_of_the_log():
    stream = io.StringIO()
    app = make_site(log_stream=stream)
    app.get("/x%0AAuthorization granted", status="*")
    assert "x\\nAuthorization granted" in stream.getvalue()
    assert not any(line.startswith("Auth") for line in stream.getvalue().splitlines())


# The metadata provider by itself


def test_it_is_a_metadata_provider():
    assert verifyClass(IMetadataProvider, AuthorizationMetadata)
    assert verifyObject(IMetadataProvider, AuthorizationMetadata())


def test_forger_is_what_repoze_who_wants():
    app = setup_auth(site, skip_authentication=True)
    [(name, forger)] = app.api_factory.authenticators
    assert name == "auth_forger"
    assert verifyObject(IAuthenticator, forger)
    assert verifyObject(IIdentifier, forger)


class Counted:
    """An adapter of before 1.0: nothing but lookups."""

    def __init__(self, sections):
        self.sections = sections
        self.hints = []

    def find_sections(self, hint):
        self.hints.append(hint)
        return self.sections.get(hint if isinstance(hint, str) else hint["repoze.what.userid"], ())


class CountedAtOnce(Counted):
    def find_sections_many(self, hints):
        self.hints.append(sorted(hints))
        return {section for hint in hints for section in self.sections.get(hint, ())}


PERMISSIONS = {"directors": ["hire", "fire"], "sysadmins": ("hire", "reboot"), "cooks": {"cook"}}


def lookup(adapter_class, groups):
    adapters = {
        "groups": {name: Counted({"rms": groups[name]}) for name in groups},
        "permissions": {"one": adapter_class(PERMISSIONS), "two": adapter_class({})},
    }
    environ, identity = {}, {"repoze.who.userid": "rms"}
    AuthorizationMetadata(adapters["groups"], adapters["permissions"]).add_metadata(
        environ, identity
    )
    assert environ["repoze.what.adapters"] == adapters
    credentials = environ["repoze.what.credentials"]
    assert credentials["repoze.what.userid"] == "rms"
    for kind in adapters:
        assert isinstance(credentials[kind], tuple)
        assert identity[kind] == credentials[kind]
        assert len(set(credentials[kind])) == len(credentials[kind])
    return adapters, set(credentials["groups"]), set(credentials["permissions"])


@pytest.mark.parametrize("adapter_class", [Counted, CountedAtOnce])
@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"a": ("directors", "sysadmins"), "b": ["sysadmins"]}, {"hire", "fire", "reboot"}),
        ({"a": {"nobody"}}, set()),
        ({"a": ()}, set()),
        ({}, set()),
    ],
)
def test_every_adapter_is_asked(adapter_class, groups, expected):
    adapters, found_groups, found_permissions = lookup(adapter_class, groups)
    assert found_groups == set().union(*groups.values())
    assert found_permissions == expected
    for adapter in adapters["groups"].values():
        assert [hint["repoze.what.userid"] for hint in adapter.hints] == ["rms"]


@pytest.mark.parametrize(
    ("kind", "adapter_class", "method"),
    [
        ("groups", Counted, "find_sections"),
        ("permissions", Counted, "find_sections"),
        ("permissions", CountedAtOnce, "find_sections_many"),
        ("groups", Groups, "_find_sections"),
        ("permissions", Groups, "_find_sections"),
    ],
)
@pytest.mark.parametrize("answer", ["admins", b"admins", UserString("admins"), Lazy("admins")])
def test_answer_that_is_one_name_is_no_collection_of_letters(kind, adapter_class, method, answer):
    adapters = {"groups": {"one": Counted({"rms": ["admins"]})}, "permissions": {}}
    adapters[kind]["two"] = adapter_class({})
    setattr(adapters[kind]["two"], method, lambda hint: answer)
    provider = AuthorizationMetadata(adapters["groups"], adapters["permissions"])
    environ, identity = {}, {"repoze.who.userid": "rms"}
    with pytest.raises(SourceError, match="are wanted, not the one"):
        provider.add_metadata(environ, identity)
    assert environ == {}
    assert "groups" not in identity


def test_permission_adapter_is_asked_once():
    adapters, _, _ = lookup(CountedAtOnce, {"a": sorted(PERMISSIONS)})
    for adapter in adapters["permissions"].values():
        assert adapter.hints == [sorted(PERMISSIONS)]


def test_nothing_is_known_without_adapters():
    environ, identity = {}, {"repoze.who.userid": "someone"}
    AuthorizationMetadata().add_metadata(environ, identity)
    assert environ["repoze.what.credentials"] == {
        "repoze.what.userid": "someone",
        "groups": (),
        "permissions": (),
    }
