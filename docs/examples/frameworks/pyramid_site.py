"""A Pyramid application with a security policy that asks the adapters."""

from authentication import PASSWORDS, is_password_of
from pyramid.authentication import AuthTktCookieHelper
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPFound, HTTPServiceUnavailable
from pyramid.request import RequestLocalCache
from pyramid.response import Response
from pyramid.security import Allowed, Denied, forget, remember
from pyramid.view import exception_view_config, forbidden_view_config, view_config

from repoze.what.adapters import SourceError


def keep_private(request, response):
    """Have no cache in front of the site show others what this user has been permitted to see."""
    response.cache_control.private = True


class SecurityPolicy:
    def __init__(self, groups, permissions, secret):
        self.groups = groups
        self.permissions = permissions
        # A copy that somebody has of a cookie is good until then, logged out or not.
        self.cookie = AuthTktCookieHelper(secret, http_only=True, timeout=8 * 60 * 60)
        self.identities = RequestLocalCache(self.look_up)

    def look_up(self, request):
        request.add_response_callback(keep_private)
        user_id = self.authenticated_userid(request)
        if user_id is None:
            return None
        credentials = {"repoze.what.userid": user_id}
        groups, permissions = self.groups.find_with_permissions(credentials, self.permissions)
        return {"userid": user_id, "groups": groups, "permissions": permissions}

    def identity(self, request):
        return self.identities.get_or_create(request)

    def authenticated_userid(self, request):
        ticket = self.cookie.identify(request)
        # The cookie of somebody who has gone since counts for nothing.
        return ticket["userid"] if ticket and ticket["userid"] in PASSWORDS else None

    def permits(self, request, context, permission):
        identity = self.identity(request)
        if identity is None:
            return Denied("Nobody is logged in")
        if permission not in identity["permissions"]:
            return Denied("No group of %s may %s", identity["userid"], permission)
        return Allowed("A group of %s may %s", identity["userid"], permission)

    def remember(self, request, userid, **options):
        return self.cookie.remember(request, userid, **options)

    def forget(self, request, **options):
        return self.cookie.forget(request, **options)


@view_config(route_name="welcome")
def welcome(request):
    return Response("Welcome")


@view_config(route_name="publish", permission="publish")
def publish(request):
    return Response("Publish away")


@view_config(route_name="login", request_method="GET")
def login_form(request):
    return Response(
        '<form method="post"><input name="login"><input name="password" type="password">'
        "<button>Log in</button></form>"
    )


@view_config(route_name="login", request_method="POST")
def log_in(request):
    login = request.POST.get("login", "")
    if not is_password_of(login, request.POST.get("password", "")):
        return login_form(request)
    return HTTPFound("/", headers=remember(request, login))


@view_config(route_name="logout", request_method="POST")
def log_out(request):
    return HTTPFound("/", headers=forget(request))


@forbidden_view_config()
def refuse(request):
    return HTTPFound("/login") if request.authenticated_userid is None else HTTPForbidden()


@exception_view_config(SourceError)
def source_is_unavailable(error, request):
    return HTTPServiceUnavailable(retry_after=10)


def make_site(groups, permissions):
    with Configurator() as config:
        config.set_security_policy(SecurityPolicy(groups, permissions, "a long random text"))
        config.add_route("welcome", "/")
        for name in ("publish", "login", "logout"):
            config.add_route(name, f"/{name}")
        config.scan(__name__)
    return config.make_wsgi_app()
