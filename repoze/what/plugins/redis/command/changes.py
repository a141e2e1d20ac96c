"""Changes of the sources, in words."""

import json
import os
from collections.abc import Iterable
from typing import NamedTuple

import click

from repoze.what.plugins.redis.names import described

SECTION_OF = {"groups": "group", "permissions": "permission"}
_ITEM_OF = {"groups": "member", "permissions": "group"}
_TAKEN = frozenset(("deleted", "removed"))


class Change(NamedTuple):
    """What happened to a section, or to an item of it."""

    source: str
    section: str
    change: str
    """``created`` or ``deleted``, for the section; ``added`` or ``removed``, for the item."""
    item: str | None = None


def echo_changes(changes: Iterable[Change], *, err: bool = False) -> None:
    """Print *changes*, one on a line, as ``diff`` does: with its signs, at a terminal its colours.

    :param err: whether to print them on the standard error.
    """
    # click has no colours where there is no terminal. It does not know of this variable.
    color = False if os.environ.get("NO_COLOR") else None
    for change in changes:
        is_taken = change.change in _TAKEN
        line = f"{'-' if is_taken else '+'} {SECTION_OF[change.source]} {described(change.section)}"
        if change.item is not None:
            line = f"{line}: {_ITEM_OF[change.source]} {described(change.item)}"
        click.echo(click.style(line, fg="red" if is_taken else "green"), err=err, color=color)


def echo_changes_as_json(changes: Iterable[Change]) -> None:
    """Print *changes* as one line of JSON, a list, however many they are."""
    before = "["
    for change in changes:
        click.echo(f"{before}{json.dumps(change._asdict())}", nl=False)
        before = ", "
    click.echo("[]" if before == "[" else "]")
