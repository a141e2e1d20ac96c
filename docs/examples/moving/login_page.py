"""A login page of the application's own, and a cookie of repoze.who."""

from html import escape

from authentication import is_password_of
from repoze.who.api import get_api
from repoze.who.interfaces import IAuthenticator
from repoze.who.plugins.auth_tkt import AuthTktCookiePlugin
from repoze.who.plugins.redirector import RedirectorPlugin
from webob import Response
from webob.dec import wsgify
from webob.exc import (
    HTTPForbidden,
    HTTPMethodNotAllowed,
    HTTPNotFound,
    HTTPSeeOther,
    HTTPUnauthorized,
)
from zope.interface import implementer

from repoze.what.middleware import setup_auth
from repoze.what.predicates import NotAuthorizedError, has_permission, not_anonymous

FORM = """<!DOCTYPE html>
<html lang="en">
<title>Log in</title>
<form method="post">
<p role="alert">{message}</p>
<p><label>Name <input name="login"></label></p>
<p><label>Password <input name="password" type="password"></label></p>
<input type="hidden" name="came_from" value="{came_from}">
<button>Log in</button>
</form>
"""


@implementer(IAuthenticator)
class Passwords:
    def authenticate(self, environ, identity):
        # It is asked about what a cookie says, too.
        if "login" in identity and is_password_of(identity["login"], identity["password"]):
            return identity["login"]
        return None


def log_in(request):
    came_from = request.params.get("came_from", "")
    message = ""
    if request.method == "POST":
        if is_from_elsewhere(request):
            return HTTPForbidden("The form was sent by another site.")
        credentials = {name: request.POST.get(name, "") for name in ("login", "password")}
        identity, headers = get_api(request.environ).login(credentials, "cookie")
        if identity is not None:
            return HTTPSeeOther(location=page_of_ours(request, came_from), headers=headers)
        message = "The name or the password is wrong."
    return Response(FORM.format(message=message, came_from=escape(came_from)))


def log_out(request):
    if request.method != "POST":
        return HTTPMethodNotAllowed()
    return HTTPSeeOther(location="/", headers=get_api(request.environ).logout("cookie"))


def is_from_elsewhere(request):
    """Return whether the browser says that another site's page sent the form."""
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.host


def page_of_ours(request, url):
    """Return ``url``, or the front page: a link to the form must not lead on to another site."""
    is_ours = (
        url.startswith(f"{request.scheme}://{request.host}/")
        and url.isascii()
        and url.isprintable()
    )
    return url if is_ours else "/"


def publish(request):
    has_permission("publish").check_authorization(request.environ)
    # No cache in front of the site may show it to others.
    return Response("Publish away", cache_control="private")


PAGES = {
    "/": lambda request: Response("Welcome"),
    "/login": log_in,
    "/logout": log_out,
    "/publish": publish,
}


@wsgify
def newspaper(request):
    page = PAGES.get(request.path_info)
    try:
        return page(request) if page else HTTPNotFound()
    except NotAuthorizedError as refusal:
        kind = HTTPForbidden if not_anonymous().is_met(request.environ) else HTTPUnauthorized
        return kind(str(refusal))


def make_site(groups, permissions, secret, **cookie_settings):
    # A copy that somebody has of a cookie is good until then, logged out or not.
    seconds = {"timeout": 8 * 60 * 60, "reissue_time": 60 * 60} | cookie_settings
    cookie = AuthTktCookiePlugin(secret, digest_algo="sha512", samesite="Lax", **seconds)
    return setup_auth(
        newspaper,
        {"redis": groups},
        {"redis": permissions},
        on_unavailable="refuse",
        identifiers=[("cookie", cookie)],
        authenticators=[("cookie", cookie), ("passwords", Passwords())],
        challengers=[("login", RedirectorPlugin("/login"))],
    )
