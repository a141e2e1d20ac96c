"""A WSGI application without a framework, restricted from outside."""

from authentication import BASIC_AUTHENTICATION
from repoze.who.restrict import PredicateRestriction, authenticated_predicate
from webob import Response

from repoze.what.middleware import setup_auth
from repoze.what.predicates import has_permission

welcome = Response("Welcome", content_type="text/plain")
# No cache in front of the site may show these to others.
account = Response("Your account", content_type="text/plain", cache_control="private")
publish = Response("Publish away", content_type="text/plain", cache_control="private")


def permitted(permission):
    """Return what a restriction asks: a function of the WSGI environment."""
    return has_permission(permission).is_met


PAGES = {
    "/": welcome,
    "/account": PredicateRestriction(account, authenticated_predicate),
    "/publish": PredicateRestriction(publish, permitted, permission="publish"),
}


def site(environ, start_response):
    page = PAGES.get(environ["PATH_INFO"], Response(status=404))
    return page(environ, start_response)


def make_site(groups, permissions):
    return setup_auth(
        site,
        {"redis": groups},
        {"redis": permissions},
        on_unavailable="refuse",
        **BASIC_AUTHENTICATION,
    )
