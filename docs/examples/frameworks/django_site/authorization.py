"""Authorization for a Django project, behind the middleware and with Django's own login."""

import functools

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
        return self.get_response(request)

    def process_exception(self, request, exception):
        if isinstance(exception, NotAuthorizedError):
            status = 403 if not_anonymous().is_met(request.environ) else 401
            return HttpResponse(str(exception), status=status, content_type="text/plain")
        if isinstance(exception, SourceError):
            return HttpResponse("Please try again.", status=503, headers={"Retry-After": "10"})
        return None


def require(predicate):
    """Let a view be called only where the predicate is met."""

    def decorate(view):
        @functools.wraps(view)
        def protected(request, *args, **kwargs):
            predicate.check_authorization(request.environ)
            return view(request, *args, **kwargs)

        return protected

    return decorate


class RedisBackend(BaseBackend):
    """Answers ``user.has_perm("newspaper.print")`` from Redis."""

    def get_group_permissions(self, user_obj, obj=None):
        if not user_obj.is_active or obj is not None:
            return set()
        # Django makes the user anew for each request.
        if not hasattr(user_obj, "permissions_in_redis"):
            credentials = {"repoze.what.userid": user_obj.get_username()}
            groups = settings.GROUPS.find_sections(credentials)
            user_obj.permissions_in_redis = settings.PERMISSIONS.find_sections_many(groups)
        return user_obj.permissions_in_redis

    def has_module_perms(self, user_obj, app_label):
        names = self.get_group_permissions(user_obj)
        return any(name.startswith(f"{app_label}.") for name in names)
