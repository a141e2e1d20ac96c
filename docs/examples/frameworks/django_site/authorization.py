"""Authorization for a Django project, behind the middleware and with Django's own login."""

import functools

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.http import HttpResponse
from django.utils.cache import patch_cache_control, patch_vary_headers

from repoze.what.adapters import SourceError
from repoze.what.predicates import NotAuthorizedError, not_anonymous


class AuthorizationMiddleware:
    """Makes a 401 or 403 of a refusal, a 503 of a source that fails, and a user's pages private."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        try:
            response = self.get_response(request)
        except* Unavailable:
            # Also in a group of errors, as asyncio.TaskGroup raises.
            response = HttpResponse("Please try again.", status=503, headers={"Retry-After": "10"})
        if response.streaming:
            # It is made when nothing here can answer for it any more.
            cut_off = acut_off_in_outage if response.is_async else cut_off_in_outage
            response.streaming_content = cut_off(response.streaming_content)
            # Nor does Django's session know yet whether it is going to be asked.
            patch_vary_headers(response, ["Cookie"])
        is_of_user = "repoze.what.credentials" in request.META or request.session.accessed
        if response.streaming or is_of_user:
            # A cache would still show it to the user when the right is revoked.
            patch_cache_control(response, private=True)
        return response

    def process_exception(self, request, exception):
        if isinstance(exception, NotAuthorizedError):
            is_known = request.user.is_authenticated or not_anonymous().is_met(request.META)
            status = 403 if is_known else 401
            return HttpResponse(str(exception), status=status, content_type="text/plain")
        if ExceptionGroup("", [exception]).split(SourceError)[1] is None:
            raise Unavailable from exception
        return None


class Unavailable(BaseException):
    """Redis cannot be asked. No Exception, for a template's {% if %} takes any for False."""


def cut_off_in_outage(content):
    """Yield what is streamed. In an outage it ends with an Exception, which every server takes."""
    try:
        yield from content
    except* Unavailable as outage:
        raise SourceError("Redis cannot be asked.") from outage


async def acut_off_in_outage(content):
    """Yield what is streamed, as `cut_off_in_outage` does."""
    try:
        async for part in content:
            yield part
    except* Unavailable as outage:
        raise SourceError("Redis cannot be asked.") from outage


def user_id_of(user):
    """Return what a user of Django's is called in Redis. A name can be changed, and taken again."""
    # As text that no two have in common, whatever the field: Django's own sessions take this, too.
    return f"django:{user._meta.pk.value_to_string(user)}"


def credentials_of(user):
    """Return what predicates ask for of a user of Django's, who is made anew for each request."""
    if not user.is_active or user.pk is None:
        return {}
    user_id = user_id_of(user)
    # What was found before may be of another: an object can be given another key.
    if getattr(user, "credentials_in_redis", {}).get("repoze.what.userid") != user_id:
        credentials = {"repoze.what.userid": user_id}
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
            if "repoze.what.credentials" not in environ:
                # Not kept there: the view may log another user in.
                environ = {**environ, "repoze.what.credentials": credentials_of(request.user)}
            predicate.check_authorization(environ)
            response = view(request, *args, **kwargs)
            # No cache may show it to others, nor one that cache_page puts around the view.
            patch_cache_control(response, private=True)
            return response

        return protected

    return decorate


class RedisBackend(BaseBackend):
    """Answers ``user.has_perm("newspaper.print")`` from Redis."""

    def get_group_permissions(self, user_obj, obj=None):
        return set() if obj is not None else credentials_of(user_obj).get("permissions", set())

    def has_module_perms(self, user_obj, app_label):
        names = self.get_group_permissions(user_obj)
        return any(name.startswith(f"{app_label}.") for name in names)

    async def aget_group_permissions(self, user_obj, obj=None):
        return await sync_to_async(self.get_group_permissions)(user_obj, obj)

    async def ahas_module_perms(self, user_obj, app_label):
        return await sync_to_async(self.has_module_perms)(user_obj, app_label)
