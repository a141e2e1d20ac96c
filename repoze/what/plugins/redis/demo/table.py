"""Who may open what, as the running site itself answers."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode

from . import DemoError
from .web_server import LOOPBACK

VISITOR = "visitor"
"""Who has not logged in."""

_SECONDS_TO_ANSWER = 30
_FORM = "application/x-www-form-urlencoded"
_ANSWERS = {HTTPStatus.OK: "yes", HTTPStatus.FORBIDDEN: "no", HTTPStatus.FOUND: "log in"}


def ask(
    port: int, passwords: Mapping[str, str], paths: Sequence[str]
) -> dict[tuple[str, str], str]:
    """Ask the site on *port* for each path: as a visitor, and as every user, logged in for it.

    What comes back is ``"yes"``, ``"no"`` or ``"log in"`` for each pair of path and user id (or
    `VISITOR`). Any other answer of the site is a `DemoError`.
    """
    answers = {}
    for user in (VISITOR, *passwords):
        cookie = _log_in(port, user, passwords[user]) if user in passwords else ""
        for path in paths:
            status, _ = _request(port, "GET", path, {"Cookie": cookie})
            if status not in _ANSWERS:
                raise DemoError(f"The site answered {status} when {user} asked for {path}")
            answers[path, user] = _ANSWERS[HTTPStatus(status)]
    return answers


def table(answers: Mapping[tuple[str, str], str]) -> list[str]:
    """Return *answers* as lines of text: a row for each path, a column for each user."""
    paths = list(dict.fromkeys(path for path, _ in answers))
    users = list(dict.fromkeys(user for _, user in answers))
    return aligned(
        [("", *users), *((path, *(answers[path, user] for user in users)) for path in paths)]
    )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return *rows* as indented lines of text, with their cells one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "   ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _log_in(port: int, user: str, password: str) -> str:
    form = urlencode({"login": user, "password": password})
    status, cookie = _request(port, "POST", "/login", {"Content-Type": _FORM}, form)
    if status != HTTPStatus.SEE_OTHER or cookie is None:
        raise DemoError(f"The site answered {status} when {user} logged in")
    return cookie.partition(";")[0]


def _request(
    port: int, method: str, path: str, headers: Mapping[str, str], body: str | None = None
) -> tuple[int, str | None]:
    """Return the status and the cookie of the site's answer; redirects are not followed."""
    with closing(HTTPConnection(LOOPBACK, port, timeout=_SECONDS_TO_ANSWER)) as connection:
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            response.read()
        except (HTTPException, OSError) as error:
            raise DemoError(f"The site does not answer: {error!r}") from error
        return response.status, response.getheader("Set-Cookie")
