"""The middleware: repoze.who's, with a metadata provider that adds groups and permissions."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from configparser import ConfigParser
from inspect import signature
from typing import Any

from repoze.who.api import make_registries
from repoze.who.classifiers import default_challenge_decider, default_request_classifier
from repoze.who.interfaces import IAuthenticator, IIdentifier, IMetadataProvider
from repoze.who.middleware import PluggableAuthenticationMiddleware
from zope.interface import implementer

from repoze.what.adapters import (
    SourceAdapter,
    SourceError,
    as_set,
    can_be_called,
    check_adapter,
    check_apart,
    find_both,
    find_many,
    is_asynchronous,
)

from .acting import ActAsUser
from .printable import printable
from .remote_user import RemoteUser
from .unavailability import CONSEQUENCES, UNAVAILABLE, Outage, UnavailabilityAPIFactory

__all__ = ["AuthorizationMetadata", "setup_auth"]

# The signatures of plugins are repoze.who's.
# ruff: noqa: ARG001, ARG002

_METHODS_OF_PLUGINS = (
    "add_metadata",
    "authenticate",
    "challenge",
    "forget",
    "identify",
    "remember",
)
# Those that repoze.who calls, with so many arguments.
_FUNCTIONS: Mapping[str, tuple[object, ...]] = {
    "challenge_decider": ({}, "", []),
    "request_classifier": ({},),
    "classifier": ({},),
}
_KINDS_OF_PLUGINS = ("identifiers", "authenticators", "challengers", "mdproviders")
# Where the user id that the request says waits for `_Preauthenticated`, out of repoze.who's sight.
_FORGED_USER_ID = "repoze.what.forged_userid"


def setup_auth(  # noqa: PLR0913 - each is an option of its own
    app: Any,
    group_adapters: Mapping[str, SourceAdapter] | None = None,
    permission_adapters: Mapping[str, SourceAdapter] | None = None,
    *,
    skip_authentication: bool | str | None = None,
    remote_user: str | None = None,
    trusted_proxies: str | Iterable[str] | None = None,
    on_unavailable: str = "raise",
    **who_args: Any,
) -> PluggableAuthenticationMiddleware:
    """Return ``app`` behind authentication (repoze.who's) and authorization.

    :param app: the WSGI application.
    :param group_adapters: adapters of the sources of groups, by names of your choice; they are all
        asked. None where groups are not used.
    :param permission_adapters: likewise of the sources of permissions.
    :param skip_authentication: for an application's own tests: whoever ``REMOTE_USER`` names in the
        environment of a request is logged in, with groups and permissions as usual; nothing else
        logs in, and a 401 of the application comes back as it is. Not for a site that others
        reach. As text, as it comes from a configuration file, one of ``true``, ``yes``,
        ``on``, ``1``, ``false``, ``no``, ``off`` and ``0``. None, as from settings that do not
        have it, is false.
    :param remote_user: for a site whose users are logged in by the web server, or by a proxy in
        front of it: ``REMOTE_USER``, if the server sets this variable, or the name of the header
        in which the proxy says who the user is, such as ``X-Forwarded-User``. Nothing else logs
        in, and a 401 of the application comes back as it is. The application has the user id in
        ``REMOTE_USER``; the header is taken away.
    :param trusted_proxies: from whom the header is believed: addresses or networks, compared with
        ``REMOTE_ADDR``, and ``unix`` for whoever comes by a socket in the file system. A list, or a
        text with spaces or commas between. There is no default.
    :param on_unavailable: what a request of a user who is logged in gets where a lookup raises
        `~repoze.what.adapters.SourceError`. ``raise``: the error passes through. ``refuse``: a 503
        with ``Retry-After``, and the application is not called. ``anonymous``: what a visitor who
        is not logged in would get, with ``environ['repoze.what.credentials']`` empty and the
        error in ``environ['repoze.what.unavailable']``; only a 401 becomes that 503, for a login
        would not help. An error of the application's own always passes through.
    :param who_args: arguments for `repoze.who.middleware.PluggableAuthenticationMiddleware`. Those
        that it requires can be left out: ``identifiers``, ``authenticators``, ``challengers`` and
        ``mdproviders`` are empty then, and ``challenge_decider`` and ``request_classifier`` (also
        ``classifier``) repoze.who's own.
    :raises ValueError: if ``skip_authentication`` or ``on_unavailable`` is anything else,
        ``remote_user`` and ``trusted_proxies`` make no sense, there are plugins that log in
        besides, a plugin is none of the kind that it is given as, and where
        `AuthorizationMetadata` raises it.
    :raises TypeError: for an argument that repoze.who does not know, an application that is none,
        is what makes one or is one of ASGI, and where `AuthorizationMetadata` raises it.

    In a request its user is who acts, for a source that keeps a history: see
    `~repoze.what.acting.ActAsUser`.

    With ``AUTH_LOG=1`` in the process' environment, and no ``log_stream`` given, what is decided
    about each request is written to standard output. That lookups fail, and that they work again,
    is logged by the logger ``repoze.what``, once for each outage.
    """
    _check_application(app)
    skip = _is_true(skip_authentication)
    if on_unavailable not in tuple(CONSEQUENCES):
        raise ValueError(f"on_unavailable is none of {', '.join(CONSEQUENCES)}")
    for kind in _KINDS_OF_PLUGINS:
        who_args[kind] = _plugins(kind, who_args.get(kind) or ())
    trusted = _trusted_user(remote_user, trusted_proxies, who_args)
    metadata = _WatchedMetadata(
        group_adapters, permission_adapters, Outage(CONSEQUENCES[on_unavailable])
    )
    who_args["mdproviders"].append(("authorization_md", metadata))
    _check_plugins(who_args)
    if who_args.get("challenge_decider") is None:
        who_args["challenge_decider"] = default_challenge_decider
    if who_args.get("request_classifier") is None and who_args.get("classifier") is None:
        who_args["request_classifier"] = default_request_classifier
    if who_args.get("log_stream") is None and os.environ.get("AUTH_LOG") == "1":
        who_args["log_stream"] = sys.stdout
    app = ActAsUser(app, who_args.get("remote_user_key", "REMOTE_USER"))
    if skip:
        middleware = _PreauthenticatedMiddleware(app, "auth_forger", None, **who_args)
    elif trusted is not None:
        middleware = _PreauthenticatedMiddleware(app, "remote_user", trusted, **who_args)
    else:
        _warn_of_idle_authenticators(who_args["identifiers"], who_args["authenticators"])
        middleware = PluggableAuthenticationMiddleware(app, **who_args)
    if middleware.logger is not None:
        middleware.logger.addFilter(_on_one_line)
    if on_unavailable != "raise":
        # A factory's attributes are its arguments.
        middleware.api_factory = UnavailabilityAPIFactory(
            refuse=on_unavailable == "refuse", **vars(middleware.api_factory)
        )
    return middleware


def _plugins(kind: str, given: Iterable[Any]) -> list[tuple[str, Any]]:
    plugins = list(given)
    for each in plugins:
        match each:
            case (str(), _):
                continue
        raise TypeError(f"{kind} are pairs of a name and a plugin, not {type(each).__name__}")
    return plugins


def _check_plugins(who_args: Mapping[str, Any]) -> None:
    # repoze.who would check them in each request.
    make_registries(*(who_args[kind] for kind in _KINDS_OF_PLUGINS))
    for kind in _KINDS_OF_PLUGINS:
        for name, plugin in who_args[kind]:
            for method in _METHODS_OF_PLUGINS:
                if is_asynchronous(getattr(plugin, method, None)):
                    raise TypeError(f"{kind}: {name}.{method} is a coroutine, and nobody awaits it")
    for name, arguments in _FUNCTIONS.items():
        function = who_args.get(name)
        if function is not None and (
            isinstance(function, type)
            or is_asynchronous(function)
            or not can_be_called(function, *arguments)
        ):
            raise TypeError(f"{name} is no function of {len(arguments)} that answers at once")


def _on_one_line(record: logging.LogRecord) -> bool:
    # repoze.who logs the path as it is.
    record.msg, record.args = printable(record.getMessage()), ()
    return True


def _is_true(skip_authentication: bool | str | None) -> bool:
    if skip_authentication is None:
        return False
    skip = ConfigParser.BOOLEAN_STATES.get(str(skip_authentication).strip().lower())
    if skip is None:
        raise ValueError("skip_authentication is neither true nor false")
    return skip


def _trusted_user(
    remote_user: str | None,
    trusted_proxies: str | Iterable[str] | None,
    who_args: Mapping[str, Any],
) -> RemoteUser | None:
    if remote_user is None:
        if trusted_proxies is not None:
            raise ValueError("trusted_proxies is there, but no remote_user")
        return None
    for kind in ("identifiers", "authenticators", "challengers", "challenge_decider"):
        if who_args.get(kind):
            raise ValueError(f"With remote_user nothing else logs in: leave out the {kind}")
    return RemoteUser(remote_user, trusted_proxies)


def _check_application(app: object) -> None:
    name = getattr(app, "__name__", type(app).__name__)
    if not callable(app):
        raise TypeError(f"app is no WSGI application: {name} cannot be called")
    if is_asynchronous(app) or _parameters(app)[:3] == ["scope", "receive", "send"]:
        raise TypeError(f"app is an ASGI application ({name}), and setup_auth is for those of WSGI")
    # What an instance of a class is made with is known, and what comes of it: an iterable answers.
    is_made = isinstance(app, type) and not hasattr(app, "__iter__")
    if is_made or not can_be_called(app, {}, None):
        raise TypeError(
            f"app is no WSGI application: {name} is not called with an environment and a "
            "start_response. If it makes the application, call it first"
        )


def _parameters(app: Callable[..., object]) -> list[str]:
    try:
        return list(signature(app, follow_wrapped=False).parameters)
    except ValueError:
        # Python does not know it of all that is written in C.
        return []


def _warn_of_idle_authenticators(
    identifiers: Sequence[tuple[str, object]], authenticators: Sequence[tuple[str, object]]
) -> None:
    for name, plugin in identifiers:
        if hasattr(plugin, "authenticate") and not any(
            isinstance(authenticator, type(plugin)) for _, authenticator in authenticators
        ):
            warnings.warn(
                f"The identifier {name!r} ({type(plugin).__name__}) is not among the "
                "authenticators: since repoze.who 2 nobody whom it remembers is logged in. "
                f"Add ({name!r}, the same plugin) to authenticators.",
                stacklevel=3,
            )


@implementer(IMetadataProvider)
class AuthorizationMetadata:
    """The metadata provider that finds a user's groups, and the permissions of those groups.

    :param group_adapters: as for `setup_auth`.
    :param permission_adapters: as for `setup_auth`.
    :raises TypeError: if one of them is no dict of adapters, or of those of the other.
    :raises ValueError: if one of each are in one place, where nothing tells them apart.
    """

    def __init__(
        self,
        group_adapters: Mapping[str, SourceAdapter] | None = None,
        permission_adapters: Mapping[str, SourceAdapter] | None = None,
    ) -> None:
        for kind, argument, adapters in (
            ("groups", "group_adapters", group_adapters),
            ("permissions", "permission_adapters", permission_adapters),
        ):
            if not isinstance(adapters, (Mapping, type(None))):
                raise TypeError(
                    f"{argument} is a dict of adapters, by names of your choice, "
                    f"not a {type(adapters).__name__}"
                )
            for name, adapter in (adapters or {}).items():
                check_adapter(adapter, kind, f"{argument}[{name!r}]")
        for group_name, groups in (group_adapters or {}).items():
            for name, permissions in (permission_adapters or {}).items():
                check_apart(
                    groups,
                    permissions,
                    f"group_adapters[{group_name!r}] and permission_adapters[{name!r}]",
                )
        self.group_adapters = group_adapters
        self.permission_adapters = permission_adapters

    def add_metadata(
        self, environ: MutableMapping[str, Any], identity: MutableMapping[str, Any]
    ) -> None:
        """Lay down the groups and permissions of the user whom ``identity`` is about.

        They are tuples, in no particular order: ``identity['groups']``,
        ``identity['permissions']``, and the same in ``environ['repoze.what.credentials']``, with
        the user id as ``repoze.what.userid``. ``environ['repoze.what.adapters']`` holds the dicts
        of adapters, under ``groups`` and ``permissions``.

        What an adapter raises ends the request: without knowing a user's groups nothing that
        depends on them can be decided.
        """
        group_adapters = self.group_adapters or {}
        permission_adapters = self.permission_adapters or {}
        credentials = {"repoze.what.userid": identity["repoze.who.userid"]}
        groups, permissions = _find(credentials, group_adapters, permission_adapters)
        found = {"groups": tuple(groups), "permissions": tuple(permissions)}
        identity.update(found)
        environ["repoze.what.credentials"] = credentials | found
        environ["repoze.what.adapters"] = {
            "groups": group_adapters,
            "permissions": permission_adapters,
        }
        logger = environ.get("repoze.who.logger")
        if logger is not None:
            logger.info(f"User {identity['repoze.who.userid']!r} has {found!r}")


def _find(
    credentials: Mapping[str, Any],
    group_adapters: Mapping[str, SourceAdapter],
    permission_adapters: Mapping[str, SourceAdapter],
) -> tuple[set[str], set[str]]:
    if len(group_adapters) == len(permission_adapters) == 1:
        [of_groups], [of_permissions] = group_adapters.values(), permission_adapters.values()
        return find_both(of_groups, credentials, of_permissions)
    groups: set[str] = set()
    for adapter in group_adapters.values():
        groups |= as_set(adapter.find_sections(credentials))
    permissions: set[str] = set()
    for adapter in permission_adapters.values():
        permissions |= find_many(adapter, groups)
    return groups, permissions


class _WatchedMetadata(AuthorizationMetadata):
    """The metadata provider of `setup_auth`, whose failures are told from those of others."""

    def __init__(
        self,
        group_adapters: Mapping[str, SourceAdapter] | None,
        permission_adapters: Mapping[str, SourceAdapter] | None,
        outage: Outage,
    ) -> None:
        super().__init__(group_adapters, permission_adapters)
        self._outage = outage

    def add_metadata(
        self, environ: MutableMapping[str, Any], identity: MutableMapping[str, Any]
    ) -> None:
        try:
            super().add_metadata(environ, identity)
        except SourceError as error:
            self._outage.lookup_failed(error)
            environ[UNAVAILABLE] = error
            raise
        self._outage.lookup_succeeded()


class _PreauthenticatedMiddleware(PluggableAuthenticationMiddleware):  # type: ignore[misc]
    """repoze.who's middleware, where the request says who the user is and nothing else logs in."""

    def __init__(
        self, app: Any, name: str, remote_user: RemoteUser | None, **who_args: Any
    ) -> None:
        plugin = (name, _Preauthenticated())
        who_args["identifiers"] = [plugin, *who_args["identifiers"]]
        who_args["authenticators"] = [plugin]
        who_args["challenge_decider"] = _never_challenge
        super().__init__(app, **who_args)
        self._remote_user = remote_user

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        believed = self._remote_user.take(environ) if self._remote_user else None
        # repoze.who does nothing at all, so adds no groups, where somebody is logged in already.
        forged = environ.pop(self.remote_user_key, None)
        environ[_FORGED_USER_ID] = believed if self._remote_user else forged
        return super().__call__(environ, start_response)


def _never_challenge(environ: object, status: object, headers: object) -> bool:
    return False


@implementer(IIdentifier, IAuthenticator)
class _Preauthenticated:
    """The plugin of `_PreauthenticatedMiddleware`."""

    def identify(self, environ: dict[str, Any]) -> dict[str, Any] | None:
        user_id = environ.get(_FORGED_USER_ID)
        return {_FORGED_USER_ID: user_id} if user_id else None

    def authenticate(self, environ: dict[str, Any], identity: dict[str, Any]) -> object:
        return identity.get(_FORGED_USER_ID)

    def remember(self, environ: dict[str, Any], identity: dict[str, Any]) -> None:
        """Do nothing: each request says it anew."""

    def forget(self, environ: dict[str, Any], identity: dict[str, Any] | None) -> list[Any]:
        return []
