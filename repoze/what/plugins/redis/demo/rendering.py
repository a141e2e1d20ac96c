"""From values to HTML."""

from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from webob import Request, Response
from webob.exc import HTTPError

from .pages import PAGES
from .sessions import form_token

_HEADLINES = {
    400: "That cannot be done",
    403: "Refused",
    404: "There is no such page",
    405: "Not in this way",
    409: "Somebody was faster",
    503: "Redis cannot be asked",
}


def quoted(name: str) -> str:
    """Return *name* percent-encoded, fit for an ``id`` and a form.

    A shell can store a name that is not UTF-8, which no page could hold as it is.
    """
    return quote(name, safe="", errors="surrogateescape")


_TEMPLATES = Environment(
    loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined
)
_TEMPLATES.filters["quoted"] = quoted


def is_unavailable(request: Request) -> bool:
    """Return whether the user of *request* could not be looked up, so is treated as a visitor."""
    return "repoze.what.unavailable" in request.environ


def render(request: Request, template: str, **values: Any) -> Response:
    """Return the page that *template* makes of *values*, for whoever sent *request*."""
    text = _TEMPLATES.get_template(template).render(
        values,
        pages=PAGES,
        path=request.environ["PATH_INFO"],
        user=request.remote_user,
        is_unavailable=is_unavailable(request),
        form_token=form_token(request.environ),
    )
    return Response(text.encode(errors="replace"))


def render_problem(request: Request, problem: HTTPError, *, is_page: bool) -> HTTPError:
    """Return *problem* as a page that says what it is; its detail is the explanation.

    :param is_page: whether what was asked for is a page that can be opened again.
    """
    headline = _HEADLINES[problem.code]
    page = render(request, "problem.html", problem=problem, headline=headline, is_page=is_page)
    problem.body = page.body
    return problem
