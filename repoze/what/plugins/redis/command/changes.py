"""Changes of the sources, in words."""

import json
import os
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import click

from repoze.what.plugins.redis.names import described

from .times import as_json, in_words

SECTION_OF = {"groups": "group", "permissions": "permission"}
ITEMS_OF = {"groups": "members", "permissions": "groups"}
_ITEM_OF = {"groups": "member", "permissions": "group"}
# The sign and the colour of what happens.
_SHOWN_AS = {
    **dict.fromkeys(("created", "added"), ("+", "green")),
    **dict.fromkeys(("deleted", "removed"), ("-", "red")),
    "changed": ("~", "yellow"),
}


class Change(NamedTuple):
    """What happened to a section, or to an item of it."""

    source: str
    section: str
    change: str
    """``created`` or ``deleted``, for the section; ``added`` or ``removed``, for the item."""
    item: str | None = None


class Difference(NamedTuple):
    """What would happen to a section, or to an item of it, for a source to be as a file says."""

    source: str
    section: str
    change: str
    """As of `Change`; or ``changed``, where an item is in it until another time."""
    item: str | None = None
    until: datetime | None = None
    """Until when it is in it then; `None` is for good."""
    until_before: datetime | None = None
    """Until when it was; `None` is for good."""

    def __str__(self) -> str:
        """Return it in words."""
        section = f"{SECTION_OF[self.source]} {described(self.section)}"
        if self.item is None:
            return section
        item = f"{section}: {_ITEM_OF[self.source]} {described(self.item)}"
        if self.change == "changed":
            return f"{item} {in_words(self.until)}, not {in_words(self.until_before)}"
        end = self.until if self.change == "added" else self.until_before
        return item if end is None else f"{item} {in_words(end)}"

    def as_json(self) -> dict[str, str | None]:
        """Return it as JSON has it: with times only where something ends."""
        found: dict[str, str | None] = dict(zip(self._fields, self[:4], strict=False))
        if self.change == "changed" or self.until:
            found["until"] = as_json(self.until)
        if self.change == "changed" or self.until_before:
            found["until_before"] = as_json(self.until_before)
        return found


def echo_changes(changes: Iterable[Difference], *, err: bool = False) -> None:
    """Print *changes*, one on a line, as ``diff`` does: with its signs, at a terminal its colours.

    :param err: whether to print them on the standard error.
    """
    # click has no colours where there is no terminal. It does not know of this variable.
    color = False if os.environ.get("NO_COLOR") else None
    for change in changes:
        sign, colour = _SHOWN_AS[change.change]
        click.echo(click.style(f"{sign} {change}", fg=colour), err=err, color=color)


def echo_changes_as_json(changes: Iterable[Difference]) -> None:
    """Print *changes* as one line of JSON, a list, however many they are."""
    before = "["
    for change in changes:
        click.echo(f"{before}{json.dumps(change.as_json())}", nl=False)
        before = ", "
    click.echo("[]" if before == "[" else "]")
