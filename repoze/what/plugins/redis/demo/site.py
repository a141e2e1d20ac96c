"""The newspaper's site as a whole: the application, with repoze.what around it."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from webob import Request
from webob.exc import HTTPServiceUnavailable

from repoze.what.adapters import SourceError
from repoze.what.middleware import setup_auth
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

from .application import Application
from .rendering import render_problem
from .sessions import authentication

_LOGGER = logging.getLogger(__name__)

_SECURITY_HEADERS = (
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    # With "no-referrer", browsers would not say where a form was either.
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)


class Site:
    """A WSGI application: the newspaper's pages, each for those whom its predicate lets in.

    :param groups: where the groups are.
    :param permissions: where the permissions are.
    :param htpasswd: the file with the users, as `passwords.write_htpasswd` writes it.
    :param command_line: the beginning of a shell command that talks to the Redis server, to be
        shown where groups and permissions are changed.
    """

    def __init__(
        self,
        groups: RedisGroupAdapter,
        permissions: RedisPermissionAdapter,
        htpasswd: Path,
        command_line: str | None = None,
    ) -> None:
        self._protected = setup_auth(
            Application(groups, permissions, command_line),
            group_adapters={"redis": groups},
            permission_adapters={"redis": permissions},
            **authentication(htpasswd),
        )

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request. Without Redis nobody is let in: the answer is 503."""
        request = Request(environ)
        try:
            response = request.get_response(self._protected)
        except SourceError as error:
            # Not with its traceback: it is no fault of the program.
            _LOGGER.error("%s", error)  # noqa: TRY400
            problem = HTTPServiceUnavailable(
                "The newspaper's Redis server gives no answer, and without it nobody is let in. "
                "Please try again in a moment. If you were changing something, look first "
                "whether it is done.",
                headers=[("Retry-After", "5")],
            )
            response = render_problem(request, problem)
        response.headers.update(_SECURITY_HEADERS)
        answer: Iterable[bytes] = response(environ, start_response)
        return answer
