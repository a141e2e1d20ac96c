"""The newspaper's site as a whole: the application, with repoze.what around it."""

import re
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from webob import Request, Response
from webob.exc import HTTPBadRequest

from repoze.what.middleware import setup_auth
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

from .application import Application
from .sessions import authentication

# The names of this machine for itself. With any other, a page of another site could ask this one in
# the name of its own: it only has to have that name resolved to this machine (DNS rebinding).
_HOST = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?")

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


# What is for everybody stays outside of `setup_auth`, which looks up whoever is logged in. So it
# costs no lookup, and is not waited for while Redis does not answer.
_FILES = {
    "/style.css": Response(
        files(__package__).joinpath("style.css").read_bytes(),
        content_type="text/css",
        charset="utf-8",
    )
}

_WRONG_HOST = HTTPBadRequest("This site is at localhost and 127.0.0.1 alone.")


class Site:
    """A WSGI application: the newspaper's pages, each for those whom its predicate lets in.

    While Redis cannot be asked, everybody is a visitor: the pages that are for everyone stay open,
    and each of the others is a 503.

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
            on_unavailable="anonymous",
            **authentication(htpasswd),
        )

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request."""
        request = Request(environ)
        if not _HOST.fullmatch(request.host):
            application = _WRONG_HOST
        else:
            application = _FILES.get(environ["PATH_INFO"], self._protected)
        response = request.get_response(application)
        response.headers.update(_SECURITY_HEADERS)
        answer: Iterable[bytes] = response(environ, start_response)
        return answer
