"""A Flask application behind the middleware."""

import functools

from authentication import BASIC_AUTHENTICATION
from flask import Flask, make_response, request
from werkzeug.exceptions import Forbidden, ServiceUnavailable, Unauthorized

from repoze.what.adapters import SourceError
from repoze.what.middleware import setup_auth
from repoze.what.predicates import NotAuthorizedError, has_permission, not_anonymous


def require(predicate):
    """Let a view be called only where the predicate is met."""

    def decorate(view):
        @functools.wraps(view)
        def protected(*args, **kwargs):
            predicate.check_authorization(request.environ)
            response = make_response(view(*args, **kwargs))
            # No cache in front of the site may show it to others.
            response.cache_control.private = True
            return response

        return protected

    return decorate


def refuse(refusal):
    kind = Forbidden if not_anonymous().is_met(request.environ) else Unauthorized
    return kind(str(refusal))


def source_is_unavailable(error):
    return ServiceUnavailable(retry_after=10)


def make_site(groups, permissions):
    site = Flask(__name__)
    site.register_error_handler(NotAuthorizedError, refuse)
    site.register_error_handler(SourceError, source_is_unavailable)

    @site.get("/")
    def welcome():
        return "Welcome"

    @site.get("/publish")
    @require(has_permission("publish"))
    def publish():
        return "Publish away"

    @site.get("/masthead")
    def masthead():
        return ", ".join(sorted(groups.get_section_items("editors")))

    site.wsgi_app = setup_auth(
        site.wsgi_app,
        {"redis": groups},
        {"redis": permissions},
        on_unavailable="refuse",
        **BASIC_AUTHENTICATION,
    )
    return site
