"""What a request gets where the source of its user's groups or permissions is unavailable."""

import logging
import threading
from time import monotonic
from typing import Any

from repoze.who.api import API, APIFactory
from repoze.who.classifiers import default_challenge_decider
from webob.exc import HTTPServiceUnavailable

from repoze.what.adapters import SourceError

from .process_local import ProcessLocal

UNAVAILABLE = "repoze.what.unavailable"
"""Where in its environment a request has the error that its lookup met."""

CONSEQUENCES = {
    "raise": "The error ends the request of a user who is logged in",
    "refuse": "A user who is logged in gets a 503",
    "anonymous": "A user who is logged in is treated as a visitor",
}
"""What ``on_unavailable`` can be, and what the log says of it."""

_log = logging.getLogger("repoze.what")

# Where repoze.who keeps the application until the user is known: a plugin may replace it there.
_APPLICATION = "repoze.who.application"

# Where a plugin says that it has read the request's body, and how many logins have failed: without
# them a form would be lost, or a login page break.
_NOT_OF_THE_USER = {"webob.is_body_seekable", "wsgi.input_terminated", "repoze.who.logins"}

# In seconds: after how long a client may ask again, and how long no lookup has failed when an
# outage is over.
_PAUSE = 10


class Outage:
    """Logs when lookups begin to fail, and when they work again.

    It is over when a lookup has succeeded and none has failed for `_PAUSE` seconds: some that were
    under way at its end fail late, and while it lasts some succeed without asking the source, those
    of the permissions of no groups for example.
    """

    def __init__(self, consequence: str) -> None:
        self._consequence = consequence
        self._figures = ProcessLocal(_Figures)

    def lookup_failed(self, error: SourceError) -> None:
        """Take note of *error*, and log it if it is the first."""
        figures = self._figures.get()
        with figures.lock:
            ended = figures.end_if_over()
            figures.last_failure = monotonic()
            figures.succeeded_since = False
            figures.failures += 1
            is_first = figures.failures == 1
            if is_first:
                figures.first_failure = figures.last_failure
        self._log_end(ended)
        if is_first:
            _log.error(
                "Groups and permissions cannot be looked up: %r. %s.", error, self._consequence
            )

    def lookup_succeeded(self) -> None:
        """Take note that a lookup has succeeded, and log if an outage is over."""
        figures = self._figures.get()
        if figures.failures:
            with figures.lock:
                figures.succeeded_since = True
                ended = figures.end_if_over()
            self._log_end(ended)

    def _log_end(self, ended: tuple[int, float] | None) -> None:
        if ended is not None:
            _log.warning(
                "Groups and permissions can be looked up again. It failed in %d requests, "
                "within %.0f seconds.",
                *ended,
            )


class _Figures:
    """What an `Outage` has counted in one process.

    Nothing that can block, log or switch to another greenlet is done under the lock. A signal's
    handler may come in between, and look up.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.failures = 0
        self.first_failure = self.last_failure = 0.0
        self.succeeded_since = False

    def end_if_over(self) -> tuple[int, float] | None:
        """Begin anew if the outage is over, and return its failures and its seconds."""
        quiet = monotonic() - self.last_failure
        if not (self.failures and self.succeeded_since and quiet >= _PAUSE):
            return None
        ended = self.failures, self.last_failure - self.first_failure
        self.failures = 0
        return ended


class UnavailabilityAPIFactory(APIFactory):  # type: ignore[misc]
    """repoze.who's factory, of `_API`."""

    def __init__(self, *, refuse: bool, **plugins: Any) -> None:
        super().__init__(**plugins)
        self.refuse = refuse

    def __call__(self, environ: dict[str, Any]) -> Any:
        """Return the API of the request, which *environ* keeps."""
        if "repoze.who.api" not in environ:
            environ["repoze.who.api"] = _API(environ, **vars(self))
        return environ["repoze.who.api"]


class _API(API):  # type: ignore[misc]
    """repoze.who's API for one request, to which a user whose lookup fails is a visitor.

    :param refuse: whether the application is not called then.
    """

    def __init__(
        self, environ: dict[str, Any], *, refuse: bool, challenge_decider: Any, **plugins: Any
    ) -> None:
        super().__init__(environ, challenge_decider=self._decide, **plugins)
        self._refuse = refuse
        self._decide_as_ever = challenge_decider

    def authenticate(self) -> Any:
        environ = self.environ
        if UNAVAILABLE in environ:
            return None
        application = environ.get(_APPLICATION)
        before = set(environ)
        try:
            return super().authenticate()
        except SourceError as error:
            if environ.get(UNAVAILABLE) is not error:
                raise
            if self._refuse and application is None:
                # It is the application that asks, and it has begun to answer.
                del environ[UNAVAILABLE]
                raise
        self._forget_user(before)
        # A page that a plugin gives in place of the application's belongs to a login or logout.
        if self._refuse or environ.get(_APPLICATION) is not application:
            environ[_APPLICATION] = _service_unavailable()
        return None

    def _forget_user(self, before: set[str]) -> None:
        environ = self.environ
        # Plugins lay down what they know of the user, auth_tkt REMOTE_USER_TOKENS for example.
        added = set(environ) - before - _NOT_OF_THE_USER
        identity = {"repoze.who.identity", self.remote_user_key, "repoze.what.adapters"}
        for name in (added | identity) - {UNAVAILABLE}:
            environ.pop(name, None)
        environ["repoze.what.credentials"] = {}

    def _decide(self, environ: dict[str, Any], status: str, headers: Any) -> Any:
        refused = UNAVAILABLE in environ and default_challenge_decider(environ, status, headers)
        return refused or self._decide_as_ever(environ, status, headers)

    def challenge(self, status: str = "403 Forbidden", app_headers: Any = ()) -> Any:
        # Whoever has logged in must not lose that, nor be asked for it again.
        if UNAVAILABLE in self.environ:
            return _service_unavailable()
        return super().challenge(status, app_headers)


def _service_unavailable() -> HTTPServiceUnavailable:
    return HTTPServiceUnavailable(retry_after=_PAUSE, cache_control="no-store")
