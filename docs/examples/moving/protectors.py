"""Protection of controllers, and of their actions, under the names of repoze.what-pylons."""

import functools

from webob.exc import HTTPForbidden, HTTPUnauthorized

from repoze.what.predicates import NotAuthorizedError, not_anonymous


def check(predicate, request):
    try:
        predicate.check_authorization(request.environ)
    except NotAuthorizedError as refusal:
        kind = HTTPForbidden if not_anonymous().is_met(request.environ) else HTTPUnauthorized
        raise kind(str(refusal)) from refusal


class ActionProtector:
    """Lets a method of a controller be called only where a predicate is met."""

    def __init__(self, predicate):
        self.predicate = predicate

    def __call__(self, action):
        @functools.wraps(action)
        def protected(controller, *args, **kwargs):
            check(self.predicate, controller.request)
            response = action(controller, *args, **kwargs)
            # No cache in front of the site may show it to others.
            response.cache_control.private = True
            return response

        return protected


class ControllerProtector:
    """Lets a controller be made for a request only where a predicate is met."""

    def __init__(self, predicate):
        self.predicate = predicate

    def __call__(self, controller):
        make = controller.__init__

        @functools.wraps(make)
        def protected(instance, request, *args, **kwargs):
            check(self.predicate, request)
            make(instance, request, *args, **kwargs)

        controller.__init__ = protected
        return controller
