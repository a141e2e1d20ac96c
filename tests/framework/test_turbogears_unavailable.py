"""The manual's recipe for TurboGears' own authentication, in a TurboGears application."""

import importlib.util
from pathlib import Path

import pytest
import webtest
from harness.sources import Groups, Permissions

from repoze.what.adapters import SourceUnavailable
from repoze.what.middleware import setup_auth

tg = pytest.importorskip("tg")

from tg import predicates  # noqa: E402
from tg.configuration.auth import TGAuthMetadata  # noqa: E402

RECIPE = (
    Path(__file__).parents[2] / "docs" / "examples" / "turbogears" / "turbogears_unavailable.py"
)
MODES = ["refuse", "anonymous"]


@pytest.fixture(scope="module")
def recipe():
    specification = importlib.util.spec_from_file_location("turbogears_unavailable", RECIPE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class Authorization(TGAuthMetadata):
    """As an application has it that keeps groups and permissions in sources of ours."""

    def __init__(self):
        self.groups, self.permissions = Groups(), Permissions()
        self.down = set()

    def authenticate(self, environ, identity):
        return identity["login"] if identity["login"] == identity["password"] else None

    def get_user(self, identity, userid):
        return userid

    def get_groups(self, identity, userid):
        if "groups" in self.down:
            raise SourceUnavailable("gone")
        return self.groups.find_sections({"repoze.what.userid": userid})

    def get_permissions(self, identity, userid):
        if "permissions" in self.down:
            raise SourceUnavailable("gone")
        return self.permissions.find_sections_many(identity["groups"])


class Requirement:
    """What a page asks for, chosen by the test."""

    predicate = None

    def check_authorization(self, environ):
        self.predicate.check_authorization(environ)


REQUIREMENT = Requirement()


class Root(tg.TGController):
    @tg.expose("json")
    def index(self):
        environ = tg.request.environ
        return {
            "user": environ.get("REMOTE_USER"),
            "identity": tg.request.identity and tg.request.identity["repoze.what.userid"],
            "names": sorted(name for name in environ if isinstance(name, str)),
            "unavailable": str(environ.get("repoze.what.unavailable")),
        }

    @tg.expose("json")
    @tg.require(predicates.has_permission("commit"))
    def commit(self):
        return {"done": True}

    @tg.expose("json")
    @tg.require(REQUIREMENT)
    def guarded(self):
        return {}

    @tg.expose("json")
    def broken(self):
        raise SourceUnavailable("the application's own")


def make_application(configure=lambda configurator: None, **options):
    """Return a TurboGears application, as its maker configures it."""
    configurator = tg.FullStackApplicationConfigurator()
    configurator.update_blueprint(
        {
            "root_controller": Root(),
            "renderers": ["json"],
            "default_renderer": "json",
            "tm.enabled": False,
            "errorpage.enabled": False,
            **options,
        }
    )
    configure(configurator)
    return configurator.make_wsgi_app({}, {})


class Site:
    """An application of TurboGears; ``user`` is a browser with rms's cookie."""

    def __init__(self, configure=lambda configurator: None):
        self.authorization = Authorization()
        options = {
            "sa_auth.enabled": True,
            "sa_auth.cookie_secret": "secret",
            "sa_auth.authmetadata": self.authorization,
            "sa_auth.post_login_url": "/",
            "sa_auth.post_logout_url": "/",
        }
        application = make_application(configure, **options)
        self.visitor = webtest.TestApp(application)
        self.user = webtest.TestApp(application)
        self.user.post("/login_handler", {"login": "rms", "password": "rms"}, status=302)


@pytest.fixture
def make_site(recipe):
    def make(mode):
        def configure(configurator):
            configurator.update_blueprint({"on_unavailable": mode})
            configurator.replace("sa_auth", recipe.Authentication)

        return Site(configure)

    return make


def assert_is_503(response):
    assert response.status == "503 Service Unavailable"
    assert response.headers["Retry-After"] == "10"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers


each_mode = pytest.mark.parametrize("mode", MODES)
each_source = pytest.mark.parametrize("source", ["groups", "permissions"])


def test_without_the_recipe_the_error_passes():
    site = Site()
    assert site.user.get("/commit", status=200).json == {"done": True}
    site.authorization.down = {"groups"}
    with pytest.raises(SourceUnavailable, match="gone"):
        site.user.get("/")


@each_mode
def test_source_that_works(make_site, mode):
    site = make_site(mode)
    shown = site.user.get("/").json
    assert (shown["user"], shown["identity"]) == ("rms", "rms")
    assert "repoze.what.unavailable" not in shown["names"]
    site.user.get("/commit", status=200)
    assert site.visitor.get("/").json["identity"] is None
    assert "/login?" in site.visitor.get("/commit", status=302).location


@each_source
def test_refuse(make_site, source):
    site = make_site("refuse")
    site.authorization.down = {source}
    assert_is_503(site.user.get("/", status=503))
    site.visitor.get("/", status=200)


@each_source
def test_anonymous(make_site, source, caplog):
    site = make_site("anonymous")
    names = site.visitor.get("/").json["names"]
    site.authorization.down = {source}
    caplog.clear()
    shown = site.user.get("/").json
    assert (shown["user"], shown["identity"], shown["unavailable"]) == (None, None, "gone")
    assert set(shown["names"]) - set(names) == {
        "HTTP_COOKIE",
        "repoze.what.credentials",
        "repoze.what.unavailable",
    }
    assert caplog.messages == [
        "Groups and permissions cannot be looked up: SourceUnavailable('gone')"
    ]
    assert_is_503(site.user.get("/commit", status=503))
    assert "/login?" in site.visitor.get("/commit", status=302).location


@each_mode
def test_cookie_survives(make_site, mode):
    site = make_site(mode)
    cookie = site.user.cookies["authtkt"]
    site.authorization.down = {"groups"}
    assert_is_503(site.user.get("/commit", status=503))
    site.authorization.down = set()
    assert site.user.cookies["authtkt"] == cookie
    site.user.get("/commit", status=200)


@pytest.mark.parametrize("down", [False, True])
def test_error_of_the_application(make_site, down):
    site = make_site("anonymous")
    site.authorization.down = {"groups"} if down else set()
    with pytest.raises(SourceUnavailable, match="own"):
        site.user.get("/broken")


def test_value_that_is_no_mode(make_site):
    with pytest.raises(KeyError, match="ignore"):
        make_site("ignore")


PREDICATES = {
    "is_user": predicates.is_user("rms"),
    "in_group": predicates.in_group("admins"),
    "in_all_groups": predicates.in_all_groups("admins", "developers"),
    "in_any_group": predicates.in_any_group("admins", "trolls"),
    "has_permission": predicates.has_permission("commit"),
    "has_all_permissions": predicates.has_all_permissions("commit", "edit-site"),
    "has_any_permission": predicates.has_any_permission("commit", "see-site"),
    "is_anonymous": predicates.is_anonymous(),
    "not_anonymous": predicates.not_anonymous(),
    "Not(in_group)": predicates.Not(predicates.in_group("admins")),
    "Not(not_anonymous)": predicates.Not(predicates.not_anonymous()),
    "All": predicates.All(
        predicates.not_anonymous(), predicates.Not(predicates.in_group("trolls"))
    ),
    "Any": predicates.Any(
        predicates.is_anonymous(), predicates.Not(predicates.has_permission("commit"))
    ),
}


@pytest.mark.parametrize("name", PREDICATES)
def test_anonymous_lets_nobody_in_whom_it_would_refuse_as_a_visitor(make_site, name, monkeypatch):
    monkeypatch.setattr(REQUIREMENT, "predicate", PREDICATES[name])
    site = make_site("anonymous")
    as_user, as_visitor = (
        browser.get("/guarded", expect_errors=True).status_int == 200
        for browser in (site.user, site.visitor)
    )
    assert as_user != as_visitor
    site.authorization.down = {"groups"}
    in_outage = site.user.get("/guarded", status=200 if as_visitor else 503)
    assert (in_outage.status_int == 200) is as_visitor


@pytest.mark.parametrize("name", PREDICATES)
def test_predicates_of_turbogears_behind_our_middleware(name, monkeypatch):
    monkeypatch.setattr(REQUIREMENT, "predicate", PREDICATES[name])

    class Broken:
        def find_sections(self, hint):
            raise SourceUnavailable("gone")

    application = make_application()
    working, broken = (
        webtest.TestApp(
            setup_auth(
                application,
                {"ours": groups},
                {"ours": Permissions()},
                skip_authentication=True,
                on_unavailable="anonymous",
            )
        )
        for groups in (Groups(), Broken())
    )
    rms = {"REMOTE_USER": "rms"}
    as_user = working.get("/guarded", extra_environ=rms, expect_errors=True).status_int == 200
    as_visitor = working.get("/guarded", expect_errors=True).status_int == 200
    assert as_user != as_visitor
    broken.get("/guarded", extra_environ=rms, status=200 if as_visitor else 503)
