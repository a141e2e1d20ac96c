"""Authorization for a Django project, behind the middleware and with Django's own login."""

import functools

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.http import HttpResponse

from repoze.what.adapters import SourceError
from repoze.what.predicates import NotAuthorizedError, not_anonymous


class AuthorizationMiddleware:
    """Makes a 401 or 403 of a refusal, and a 503 of a source that fails."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        try:
            return self.get_response(request)
        except Unavailable:
            return HttpResponse("Please try again.", status=503, headers={"Retry-After": "10"})

    def process_exception(self, request, exception):
        if isinstance(exception, NotAuthorizedError):
            is_known = request.user.is_authenticated or not_anonymous().is_met(request.META)
            status = 403 if is_known else 401
            return HttpResponse(str(exception), status=status, content_type="text/plain")
        if isinstance(exception, SourceError):
            raise Unavailable from exception
        return None


class Unavailable(BaseException):
    """Redis cannot be asked. No Exception, for a template's {% if %} takes any for False."""


def credentials_of(user):
    """Return what predicates ask for of a user of Django's, who is made anew for each request."""
    if not hasattr(user, "credentials_in_redis"):
        credentials = {"repoze.what.userid": user.get_username()}
        try:
            groups, permissions = settings.GROUPS.find_with_permissions(
                credentials, settings.PERMISSIONS
            )
        except SourceError as error:
            raise Unavailable from error
        user.credentials_in_redis = {**credentials, "groups": groups, "permissions": permissions}
    return user.credentials_in_redis


def require(predicate):
    """Let a view be called only where the predicate is met."""

    def decorate(view):
        @functools.wraps(view)
        def protected(request, *args, **kwargs):
            # With WSGI that is the environment, in which repoze.what's middleware says who it is.
            environ = request.META
            if "repoze.what.credentials" not in environ and request.user.is_authenticated:
                # Not kept there: the view may log another user in.
                environ = {**environ, "repoze.what.credentials": credentials_of(request.user)}
            predicate.check_authorization(environ)
            return view(request, *args, **kwargs)

        return protected

    return decorate


class RedisBackend(BaseBackend):
    """Answers ``user.has_perm("newspaper.print")`` from Redis."""

    def get_group_permissions(self, user_obj, obj=None):
        if not user_obj.is_active or obj is not None:
            return set()
        return credentials_of(user_obj)["permissions"]

    def has_module_perms(self, user_obj, app_label):
        names = self.get_group_permissions(user_obj)
        return any(name.startswith(f"{app_label}.") for name in names)

    async def aget_group_permissions(self, user_obj, obj=None):
        return await sync_to_async(self.get_group_permissions)(user_obj, obj)

    async def ahas_module_perms(self, user_obj, app_label):
        return await sync_to_async(self.has_module_perms)(user_obj, app_label)
