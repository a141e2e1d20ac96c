"""A TurboGears application whose groups and permissions are in Redis."""

from authentication import is_password_of
from custom_predicates import allowed_by, from_network
from tg import FullStackApplicationConfigurator, TGController, expose, request, require
from tg.predicates import All, has_permission, in_group
from turbogears_unavailable import Authentication

from repoze.what.acting import ActAsUser, acting
from repoze.what.plugins.redis.turbogears import RedisAuthMetadata

USERS = {"rosa": "Rosa Lind", "ben": "Ben Acker"}

LOGIN_FORM = """
<form method="post" action="/login_handler">
  <label>Name <input name="login" autocomplete="username"></label>
  <label>Password <input name="password" type="password" autocomplete="current-password"></label>
  <button>Log in</button>
</form>
"""


class AuthMetadata(RedisAuthMetadata):
    def authenticate(self, environ, identity):
        login = identity["login"]
        return login if is_password_of(login, identity["password"]) else None

    def get_user(self, identity, userid):
        return USERS.get(userid)


class Archive(TGController):
    allow_only = in_group("editors")

    @expose(content_type="text/plain")
    def index(self):
        return "The archive"


class ErrorController(TGController):
    @expose(content_type="text/plain")
    def document(self):
        return request.environ["tg.original_response"].status


class RootController(TGController):
    archive = Archive()
    error = ErrorController()

    @expose(content_type="text/plain")
    def index(self):
        return f"Welcome, {request.identity['user']}" if request.identity else "Welcome"

    @expose(content_type="text/html")
    def login(self, **what_was_asked_for):
        return LOGIN_FORM

    @expose(content_type="text/plain")
    def who(self):
        return f"{acting().by} acts"

    @expose(content_type="text/plain")
    @require(has_permission("publish"))
    def publish(self):
        return "Publish away"

    @expose(content_type="text/plain")
    @require(All(has_permission("publish"), allowed_by(from_network("10.0.0.0/8"))))
    def press(self):
        return "The press is running"


def make_site(groups, permissions, **settings):
    configurator = FullStackApplicationConfigurator()
    configurator.update_blueprint(
        {
            "root_controller": RootController(),
            "sa_auth.enabled": True,
            "sa_auth.authmetadata": AuthMetadata(groups, permissions),
            "sa_auth.cookie_secret": "a long random text from your settings",
            # A copy that somebody has of a cookie is good until then, logged out or not.
            "sa_auth.authtkt.timeout": 8 * 60 * 60,
            "sa_auth.authtkt.reissue_time": 60 * 60,
            "sa_auth.post_login_url": "/",
            "sa_auth.post_logout_url": "/",
            # A user who is no longer there is a visitor.
            "identity.allow_missing_user": False,
            "on_unavailable": "refuse",
            **settings,
        }
    )
    configurator.replace("sa_auth", Authentication)
    return configurator.make_wsgi_app(wrap_app=ActAsUser)
