"""From the options of the command line to the adapters of both sources."""

import os
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, update_wrapper
from typing import Any, TypeVar

import click

from repoze.what.plugins.redis.adapters import (
    RedisAdapter,
    RedisGroupAdapter,
    RedisPermissionAdapter,
)
from repoze.what.plugins.redis.pair import Adapters, adapters_from_settings
from repoze.what.plugins.redis.settings.urls import URL_VARIABLE

from .failures import Failure, NotThere

Command = TypeVar("Command", bound=Callable[..., Any])

KINDS = ("groups", "permissions")
"""The sources, in the order in which they are written: no group has a right before it is there."""

_IS_IT_THERE = "Is that where the application has them?"
# A replica may not know yet what has just been changed, and nor may a near cache.
_OF_APPLICATIONS = frozenset({"read_from", "near_cache", "max_staleness", "max_age"})


url_option = click.option(
    "--url",
    help="The server's URL, such as redis://localhost:6379. Without it, what REPOZE_WHAT_REDIS_URL "
    "in the environment says. Do not write a password here: everybody on the machine can see "
    "command lines.",
)


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

    url_name = "--url"
    """What the command line calls the URL."""

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
            message = str(error).replace("--url", self.url_name)
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

    def no_groups(self, names: Collection[str]) -> set[str]:
        """Return those of *names* that are no groups."""
        return set(names) - self.groups.get_many_section_items(names).keys()

    def expect_something(self, *kinds: str) -> None:
        """Return where there is anything: an answer then is about these sources.

        Of two, one may be empty. That is said, on the standard error, where the number of its
        database is of an option: it may be mistyped.

        :param kinds: what is asked about, of `KINDS`; without any, both.
        :raises NotThere: where there is nothing, as with a namespace or a number that is mistyped.
        """
        asked = {kind: self.by_kind()[kind] for kind in kinds or KINDS}
        empty = {kind: each for kind, each in asked.items() if not each.get_section_names()}
        if not empty:
            return
        if empty == asked:
            raise NotThere(f"{_nothing_in(empty)} {_IS_IT_THERE}")
        for kind in filter(self._is_named, empty):
            self._tell_empty(kind)

    def tell_if_nothing(self, *kinds: str) -> None:
        """Say, on the standard error, what `expect_something` says: it may be to come."""
        try:
            self.expect_something(*kinds)
        except NotThere as nothing:
            click.echo(nothing.format_message(), err=True)

    def tell_if_mistyped(self, kind: str) -> None:
        """Say, on the standard error, where an option names a database of *kind* that is empty."""
        if self._may_be_mistyped(kind):
            self._tell_empty(kind)

    def expect_permissions(self, advice: str, *, accepted: bool) -> None:
        """Return unless there may be permissions somewhere else, which nobody would look at.

        :param advice: what to do where there are none.
        :param accepted: whether that has been done.
        :raises NotThere: where an option says in which database they are, there are none, and there
            are groups.
        """
        if (
            not accepted
            and self._may_be_mistyped("permissions")
            and self.groups.get_section_names()
        ):
            nothing = _nothing_in({"permissions": self.permissions})
            raise NotThere(f"{nothing} {_IS_IT_THERE} If it is, {advice}.")

    def _may_be_mistyped(self, kind: str) -> bool:
        return self._is_named(kind) and not self.by_kind()[kind].get_section_names()

    def _is_named(self, kind: str) -> bool:
        return self._settings[f"--{kind}.db"] is not None

    def _tell_empty(self, kind: str) -> None:
        click.echo(_nothing_in({kind: self.by_kind()[kind]}), err=True)


def accept_source_options(command: click.Command) -> None:
    """Have *command*, and those in it, take the options of the program after its name, too.

    One that has an option of the same name keeps its own. Help shows the program's alone.
    """
    own = {name for parameter in command.params for name in parameter.opts}
    for option in _options_of_program():
        if own.isdisjoint(option.opts):
            option.hidden, option.expose_value, option.callback = True, False, _say_of_program
            command.params.append(option)
    if isinstance(command, click.Group):
        for each in command.commands.values():
            accept_source_options(each)


def _options_of_program() -> list[click.Option]:
    @click.command()
    @url_option
    @source_options
    def program(**_: Any) -> None:
        """Have the options, and nothing else."""

    return [option for option in program.params if isinstance(option, click.Option)]


def _say_of_program(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None:
        ctx.find_root().params[str(parameter.name)] = value


def pass_sources(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have *command* get the sources, where the options say, as its first argument."""

    @click.pass_context
    def with_sources(ctx: click.Context, /, *arguments: Any, **options: Any) -> Any:
        return command(Sources(**ctx.find_root().params), *arguments, **options)

    return update_wrapper(with_sources, command)


def _nothing_in(empty: Mapping[str, RedisAdapter]) -> str:
    places = " and ".join(dict.fromkeys(_described_place(each) for each in empty.values()))
    nothing = "neither groups nor permissions" if len(empty) > 1 else f"no {', '.join(empty)}"
    return f"There are {nothing} in {places}."


def _described_place(adapter: RedisAdapter) -> str:
    namespace = "" if adapter.namespace is None else f", namespace {adapter.namespace!r}"
    return adapter.place + namespace


def _without_shortcuts(url: str) -> str:
    address, separator, query = url.partition("?")
    pairs = [pair for pair in query.split("&") if pair.split("=")[0] not in _OF_APPLICATIONS]
    return address + (separator + "&".join(pairs) if any(pairs) else "")
