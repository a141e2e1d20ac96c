"""From the options of the command line to the adapters of both sources."""

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import click

from repoze.what.plugins.redis.adapters import (
    RedisAdapter,
    RedisGroupAdapter,
    RedisPermissionAdapter,
)
from repoze.what.plugins.redis.pair import Adapters, adapters_from_settings
from repoze.what.plugins.redis.settings.urls import URL_VARIABLE

from .failures import Failure

Command = TypeVar("Command", bound=Callable[..., Any])

KINDS = ("groups", "permissions")
"""The sources, in the order in which they are written: no group has a right before it is there."""

# A replica may not know yet what has just been changed, and nor may a near cache.
_OF_APPLICATIONS = frozenset({"read_from", "near_cache", "max_staleness", "max_age"})


def source_options(command: Command) -> Command:
    """Add the options that say where on a server the sources lie."""
    for option in (
        click.option(
            "--permissions-db", type=int, metavar="NUMBER", help="That of permissions; 2."
        ),
        click.option("--groups-db", type=int, metavar="NUMBER", help="That of groups; 1."),
        click.option(
            "--db", type=int, metavar="NUMBER", help="One database for both, with a namespace."
        ),
        click.option(
            "--namespace", metavar="NAME", help="The namespace of both, if they have one."
        ),
    ):
        command = option(command)
    return command


class Sources:
    """The groups, and the permissions that these have, where the options say.

    Nothing is looked at before an adapter is asked for: help needs no server.

    :param url: as ``from_url`` takes it; `None` is what the environment says.
    """

    def __init__(
        self,
        url: str | None,
        namespace: str | None = None,
        db: int | None = None,
        groups_db: int | None = None,
        permissions_db: int | None = None,
    ) -> None:
        self._url = url
        self._settings = {
            "--namespace": namespace,
            "--db": db,
            "--groups.db": groups_db,
            "--permissions.db": permissions_db,
        }

    @cached_property
    def adapters(self) -> Adapters:
        """The adapters, which ask the primary even where the URL has lookups go elsewhere.

        :raises Failure: where there are no such sources.
        """
        text = os.environ.get(URL_VARIABLE, "") if self._url is None else self._url
        url = _without_shortcuts(text)
        settings = {
            **self._settings,
            "--url": self._url if url == text else url,
            "--decode_responses": False,
        }
        try:
            return adapters_from_settings(settings, "--")
        except (TypeError, ValueError) as error:
            message = str(error)
            for kind in KINDS:
                message = message.replace(f"--{kind}.db", f"--{kind}-db")
            raise Failure(message) from None

    @property
    def groups(self) -> RedisGroupAdapter:
        """The adapter of the groups."""
        return self.adapters.groups

    @property
    def permissions(self) -> RedisPermissionAdapter:
        """The adapter of the permissions."""
        return self.adapters.permissions

    def by_kind(self) -> dict[str, RedisAdapter]:
        """Return both adapters, by what their sections are: those of `KINDS`, in that order."""
        return {"groups": self.groups, "permissions": self.permissions}


pass_sources = click.make_pass_decorator(Sources)


def exists(adapter: RedisAdapter, section: str) -> bool:
    """Return whether there is such a section."""
    return section in adapter.get_many_section_items([section])


def _without_shortcuts(url: str) -> str:
    address, separator, query = url.partition("?")
    pairs = [pair for pair in query.split("&") if pair.split("=")[0] not in _OF_APPLICATIONS]
    return address + (separator + "&".join(pairs) if any(pairs) else "")
