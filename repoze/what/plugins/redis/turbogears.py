"""Groups and permissions for TurboGears' own authentication, which is to be installed besides."""

# The signatures are what TurboGears calls.
# ruff: noqa: ARG002

from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping
from typing import Any

from repoze.what.adapters import (
    as_set,
    check_adapter,
    check_apart,
    find_both,
    find_many,
    finds_with_permissions,
)

from .adapters import RedisGroupAdapter, RedisPermissionAdapter
from .names import encode_known

__all__ = ["RedisAuthMetadata"]

# Where in a request's identity the groups and permissions are that were found at once.
_FOUND = "repoze.what.plugins.redis.found"


class RedisAuthMetadata(ABC):
    """What TurboGears calls ``sa_auth.authmetadata``, with groups and permissions from Redis.

    :param groups: the adapter of the source of groups.
    :param permissions: that of the source of permissions.
    :raises TypeError: if a subclass lacks `authenticate` or `get_user`, or one of the adapters is
        none, or in the place of the other.
    :raises ValueError: if nothing tells the sections of one from those of the other.

    Where passwords and users are, a subclass says. For each request of a user who is logged in,
    TurboGears asks `get_user`, then `get_groups`, then `get_permissions`, each once; each of the
    last two is one question to Redis.
    """

    def __init__(self, groups: RedisGroupAdapter, permissions: RedisPermissionAdapter) -> None:
        check_adapter(groups, "groups", "groups")
        check_adapter(permissions, "permissions", "permissions")
        check_apart(groups, permissions, "groups and permissions")
        self.groups = groups
        self.permissions = permissions

    @abstractmethod
    def authenticate(
        self, environ: MutableMapping[str, Any], identity: MutableMapping[str, Any]
    ) -> str | None:
        """Return the id of the user who logs in, or None where name or password is wrong.

        :param environ: the WSGI environment of the request.
        :param identity: what came with the login form, under ``login`` and ``password``.
        """

    @abstractmethod
    def get_user(self, identity: Mapping[str, Any], userid: str) -> Any:
        """Return the user, or None where there is none of that id any longer.

        :param identity: what is known of whoever sent the request.
        :param userid: what `authenticate` returned at the login.

        It becomes ``request.identity["user"]``. A user that is false in Python has no groups.
        """

    def get_groups(self, identity: Mapping[str, Any], userid: str) -> list[str]:
        """Return the groups of the user, in no particular order.

        :param identity: not used.
        :param userid: the user's id, as the group source has it.
        :raises SourceError: where the source cannot be asked, or refuses.
        """
        credentials = {"repoze.what.userid": userid}
        if not finds_with_permissions(self.groups):
            return list(as_set(self.groups.find_sections(credentials)))
        groups, permissions = find_both(self.groups, credentials, self.permissions)
        if isinstance(identity, MutableMapping):
            identity[_FOUND] = groups, permissions
        return list(groups)

    def get_permissions(self, identity: Mapping[str, Any], userid: str) -> list[str]:
        """Return what any of the groups is permitted, in no particular order.

        :param identity: its ``groups`` are what `get_groups` returned, that of a subclass included.
        :param userid: not used.
        :raises SourceError: where the source cannot be asked, or refuses.
        """
        given, (groups, permissions) = as_set(identity["groups"]), identity.get(_FOUND, (None, ()))
        if isinstance(identity, MutableMapping):
            identity.pop(_FOUND, None)
        if groups is None or encode_known(groups) != encode_known(given):
            # A subclass has found others.
            permissions = find_many(self.permissions, given)
        return list(as_set(permissions))
