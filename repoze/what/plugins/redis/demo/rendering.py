"""From values to HTML."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from webob import Request, Response
from webob.exc import HTTPError

from .sessions import form_token

_TEMPLATES = Environment(
    loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined
)


def render(request: Request, template: str, **values: Any) -> Response:
    """Return the page that *template* makes of *values*, for whoever sent *request*."""
    text = _TEMPLATES.get_template(template).render(
        values,
        user=request.remote_user,
        form_token=form_token(request.environ),
    )
    return Response(text)


def render_problem(request: Request, problem: HTTPError) -> HTTPError:
    """Return *problem* as a page that says what it is; its detail is the explanation."""
    problem.body = render(request, "problem.html", problem=problem).body
    return problem
