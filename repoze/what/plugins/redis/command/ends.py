"""Memberships that end: the options that say when, and what is said of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import Any

import click

from repoze.what.adapters import AdapterError, ItemPresentError
from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.changes import Change
from repoze.what.plugins.redis.names import Name, described, some
from repoze.what.plugins.redis.refusals import EndPastError

from .failures import Failure
from .times import as_json, in_words, read_duration, read_time, told

End = datetime | timedelta | None
"""A time, or how long from now on; `None` is for good."""

Ends = Mapping[str, datetime | None]

_BY_THE_ADAPTER = "What says anew until when is set_until."

only_for_good_option = click.option(
    "--only-for-good",
    is_flag=True,
    help="Leave out who is in a group, or what is granted, for a time only.",
)


def takes_end(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have *command* take ``--for`` and ``--until``, and get what either says as *end*."""

    def with_end_given(
        *arguments: Any, duration: timedelta | None, until: datetime | None, **options: Any
    ) -> Any:
        return command(*arguments, end=_end_of(duration, until), **options)

    return _end_options(update_wrapper(with_end_given, command))


def sets_end(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have *command* take ``--for-good`` as well, of which and the others one has to be said."""

    def with_end_to_set(*arguments: Any, end: End, for_good: bool, **options: Any) -> Any:
        if for_good == (end is not None):
            raise click.UsageError("Say one of --for, --until and --for-good.")
        return command(*arguments, end=end, **options)

    with_for_good = click.option("--for-good", is_flag=True, help="It does not end by itself.")
    return takes_end(with_for_good(update_wrapper(with_end_to_set, command)))


def _end_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--until",
            metavar="TIME",
            callback=_read_until,
            help="Until then, when it ends by itself: 2027-01-31 (when that day begins) or "
            "2027-01-31T12:00.",
        ),
        click.option(
            "--for",
            "duration",
            metavar="DURATION",
            callback=_read_for,
            help="For so long, by the clock of the server: 2w, 7d, 12h or 30m.",
        ),
    ):
        command = option(command)
    return command


def _end_of(duration: timedelta | None, until: datetime | None) -> End:
    if duration is not None and until is not None:
        raise click.UsageError("--for and --until do not go together: either says when it ends.")
    return until if duration is None else duration


def _read_until(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> datetime | None:
    try:
        return None if text is None else read_time(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            "it is none such as 2027-01-31 or 2027-01-31T12:00. What is such as 7d is for --for."
        ) from None


def _read_for(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> timedelta | None:
    if text is None:
        return None
    try:
        found = read_duration(text)
    except OverflowError:
        found = None
    if not found:
        raise click.BadParameter(
            "it is none such as 2w, 7d, 12h or 30m. What is such as 2027-01-31 is for --until."
        )
    return found


@contextmanager
def told_how_to_set(command: str) -> Iterator[None]:
    """Say which *command* sets anew until when somebody is in who is in for a time already."""
    try:
        yield
    except ItemPresentError as error:
        advice = f"What says anew until when is: {command}."
        raise Failure(str(error).replace(_BY_THE_ADAPTER, advice)) from error


def set_ends(adapter: RedisAdapter, section: str, items: Iterable[str], end: End) -> None:
    """Set when each of *items* of *section* ends, one after the other.

    :raises Failure: where that is not possible for one, and is done for those before it.
    """
    done: list[str] = []
    for item in items:
        try:
            adapter.set_until(section, item, end)
        except AdapterError as error:
            if not done:
                raise
            raise Failure(f"{error} It is set already for: {some(done)}.") from error
        done.append(item)


def include_until(
    adapter: RedisAdapter, section: Name, items: Iterable[Name], until: datetime | None
) -> None:
    """Put *items* into *section* until then, unless that has come meanwhile."""
    if until is None:
        adapter.include_items(section, items)
        return
    with suppress(EndPastError):
        adapter.include_items(section, items, until)


def items_until(adapter: RedisAdapter, section: str) -> Ends:
    """Return the items of *section*, each with when it ends.

    :raises NonExistingSectionError: where there is no such section.
    """
    # It tells, and where, if there is no such section.
    adapter.until_of(section)
    return adapter.get_many_sections_until([section]).get(section, {})


def with_end(name: str, until: datetime | None) -> str:
    """Return *name*, and until when that is so if it ends."""
    return name if until is None else f"{name} (until {told(until)})"


def with_ends(ends: Ends) -> list[str]:
    """Return the names in order, each as `with_end` has it."""
    return [with_end(name, until) for name, until in sorted(ends.items())]


def ends_as_json(ends: Ends) -> dict[str, str | None]:
    """Return those that end, and when, as JSON has it."""
    return {name: as_json(until) for name, until in sorted(ends.items()) if until is not None}


def all_ends_as_json(ends: Ends) -> dict[str, str | None]:
    """Return when each ends, as JSON has it: ``null`` is that it is for good."""
    return {name: as_json(until) for name, until in sorted(ends.items())}


def added_in_words(change: Change) -> Iterator[str]:
    """Return what *change* has added, in words: those together that end at the same time."""
    by_end: dict[datetime | None, list[str]] = {}
    # Where sections are many, it has their ends by them. All have one item, or one more.
    is_by_item = change.section is not None
    for item in sorted(change.added):
        by_end.setdefault(change.until.get(item) if is_by_item else None, []).append(item)
    for until, items in sorted(by_end.items(), key=lambda pair: str(pair[0] or "")):
        yield f"{some(items)} added{'' if until is None else ' ' + in_words(until)}"


def set_in_words(change: Change) -> Iterator[str]:
    """Return for what *change* has set anew when it ends, in words."""
    for item, before in sorted(change.until_before.items()):
        now = in_words(change.until.get(item))
        yield f"{described(item)} {now}, not {in_words(before)}"
