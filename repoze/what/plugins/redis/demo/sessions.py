"""Sessions: who logs in, the cookie that remembers it, and requests that other sites forge."""

import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from repoze.who.api import get_api
from repoze.who.plugins.auth_tkt import AuthTktCookiePlugin
from repoze.who.plugins.htpasswd import HTPasswdPlugin
from repoze.who.plugins.redirector import RedirectorPlugin
from webob import Request
from webob.exc import HTTPForbidden, HTTPTooManyRequests

from .passwords import check_password

LOGIN_PATH = "/login"

# In seconds: a session ends this long after its last renewal, is renewed at most this often, and
# ends this long after the login in any case.
_TIMEOUT = 60 * 60
_REISSUE_TIME = 10 * 60
_LONGEST = 12 * 60 * 60

# For each name. Whoever guesses thereby keeps the user from logging in, but not from going on with
# a session.
_ATTEMPTS = RateLimitItemPerMinute(5)

# "!" separates the fields of auth_tkt's cookie, which raises ValueError on it.
_USER_ID = re.compile(r"[a-z0-9._@-]{1,64}", re.ASCII)

# Printable ASCII without the backslash, which browsers take for a slash.
_LOCAL_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")

Headers = list[tuple[str, str]]


class SessionCookie(AuthTktCookiePlugin):  # type: ignore[misc]
    """repoze.who's signed cookie, sent back to this very host only and hidden from scripts.

    By itself, a cookie that somebody has kept would outlive the logout. So the sessions that go on
    are known here, and no other cookie counts. A site of several processes keeps them in a
    database, and one that is served with TLS passes ``secure=True`` as well.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # When each session ends at the latest, by its token.
        self._ends: dict[str, float] = {}

    def begin(self, token: str) -> None:
        """Have the session of *token* go on from now on."""
        now = time.time()
        for other, end in list(self._ends.items()):
            if end <= now:
                self._ends.pop(other, None)
        self._ends[token] = now + _LONGEST

    def identify(self, environ: dict[str, Any]) -> dict[str, Any] | None:
        """`IIdentifier`: return what the cookie says, or `None` if its session has ended."""
        identity: dict[str, Any] | None = super().identify(environ)
        is_known = identity and self._ends.get(_token(identity), 0) > time.time()
        return identity if is_known else None

    def remember(self, environ: dict[str, Any], identity: dict[str, Any]) -> Headers:
        """`IIdentifier`: return the headers that set the cookie, or none where it is fresh."""
        return _host_only(super().remember(environ, identity) or [])

    def forget(self, environ: dict[str, Any], identity: dict[str, Any] | None) -> Headers:
        """`IIdentifier`: end the session, and return the headers that delete the cookie."""
        if session := super().identify(environ):
            self._ends.pop(_token(session), None)
        return _host_only(super().forget(environ, identity))


class Passwords(HTPasswdPlugin):  # type: ignore[misc]
    """repoze.who's file of passwords, of which none can be guessed by trying many."""

    def __init__(self, htpasswd: Path) -> None:
        super().__init__(str(htpasswd), check_password)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def authenticate(self, environ: dict[str, Any], identity: dict[str, Any]) -> str | None:
        """`IAuthenticator`: return the user id if the password is right, `None` if it is not.

        `HTTPTooManyRequests` is raised where it is not even looked at.
        """
        if "login" not in identity:
            # It is the cookie's.
            return None
        login = identity["login"]
        # Counted before it is checked, or many at once would get through.
        if not self._limiter.hit(_ATTEMPTS, login):
            raise HTTPTooManyRequests(
                "There were five wrong passwords for that user within a minute. Wait another, "
                "then try again.",
                headers=[("Retry-After", str(_ATTEMPTS.get_expiry()))],
            )
        user: str | None = super().authenticate(environ, identity)
        if user is not None:
            self._limiter.clear(_ATTEMPTS, login)
        return user


def authentication(htpasswd: Path) -> dict[str, Any]:
    """Return the arguments of ``setup_auth`` for the users in the file *htpasswd*.

    The cookies are signed with a new random secret: a restart ends all sessions.
    """
    cookie = SessionCookie(
        secrets.token_hex(32),
        cookie_name="gazette_session",
        timeout=_TIMEOUT,
        reissue_time=_REISSUE_TIME,
        digest_algo="sha512",
        samesite="Lax",
    )
    redirector = RedirectorPlugin(LOGIN_PATH, reason_param=None, reason_header=None)
    return {
        "identifiers": [("cookie", cookie)],
        "authenticators": [
            ("cookie", cookie),
            ("htpasswd", Passwords(htpasswd)),
        ],
        "challengers": [("form", redirector)],
    }


def log_in(environ: dict[str, Any], login: str, password: str) -> Headers:
    """Start a session if *password* is that of *login*, and return the headers that set its cookie.

    If it is not, `HTTPForbidden` is raised. In both cases the session of whoever was logged in
    before ends. `HTTPTooManyRequests` is raised where it is not even looked at.
    """
    token = secrets.token_urlsafe()
    identity, headers = get_api(environ).login(
        {
            "login": login if _USER_ID.fullmatch(login) else "",
            "password": password,
            "userdata": {"form_token": token},
        }
    )
    if identity is not None:
        cookie = environ["repoze.who.plugins"]["cookie"]
        cookie.forget(environ, None)
        cookie.begin(token)
    # Or the middleware renews the cookie of whoever was logged in before.
    for key in ("repoze.who.identity", "REMOTE_USER"):
        environ.pop(key, None)
    if identity is None:
        raise HTTPForbidden(
            "There is no such user, or the password is wrong. Try one of those on this page; small "
            "and capital letters differ.",
            headers=headers,
        )
    found: Headers = headers
    return found


def log_out(environ: dict[str, Any]) -> Headers:
    """End the session, and return the headers that delete the cookie."""
    headers: Headers = get_api(environ).logout()
    return headers


def form_token(environ: dict[str, Any]) -> str | None:
    """Return what a form must send along to change anything, or `None` without a session.

    It is random, and signed into the session's cookie.
    """
    identity = environ.get("repoze.who.identity")
    return _token(identity) if identity else None


def has_form_token(environ: dict[str, Any], token: str) -> bool:
    """Return whether *token*, which a form has sent, is that of the session."""
    expected = form_token(environ)
    return expected is not None and secrets.compare_digest(expected.encode(), token.encode())


def is_from_elsewhere(request: Request) -> bool:
    """Return whether the browser says that a page of another site sent the form in *request*.

    This guards the login form too, which has no session yet whose token it could send.
    """
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.host


def local_path(request: Request, came_from: str) -> str:
    """Return the path on this site to go to after the login, ``/`` if *came_from* is elsewhere.

    :param came_from: a path, or a URL of this site, which is what the redirector sends. Anybody
        can make a link to the login form with something else in it.
    """
    path = came_from.removeprefix(f"{request.scheme}://{request.host}")
    return path if _LOCAL_PATH.fullmatch(path) else "/"


def _token(identity: Mapping[str, Any]) -> str:
    token: str = identity["userdata"]["form_token"]
    return token


def _host_only(headers: Headers) -> Headers:
    return [(name, f"{value}; HttpOnly") for name, value in headers if "; Domain=" not in value]
