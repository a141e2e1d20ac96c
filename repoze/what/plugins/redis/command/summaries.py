"""What an import or export does, and what it leaves to somebody to decide, in words."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from itertools import islice

import click

from repoze.what.plugins.redis.names import described, some
from repoze.what.printable import printable

from .failures import Failure
from .output import count, echo_json

ITEM_OF = {"groups": "member", "permissions": "grant"}
SHOWN = 20
"""How many of what may be very many are printed."""


@dataclass
class Summary:
    """What is done to one source: numbers of sections, and of the items that come into them."""

    new: int = 0
    completed: int = 0
    unchanged: int = 0
    items: int = 0

    def count(self, *, is_new: bool, items: int) -> None:
        """Count a section that is new, or not, and that so many items come into."""
        self.items += items
        if is_new:
            self.new += 1
        elif items:
            self.completed += 1
        else:
            self.unchanged += 1


def echo_summaries(summaries: Mapping[str, Summary], *, as_json: bool) -> None:
    """Print *summaries*, by kind."""
    if as_json:
        echo_json({kind: asdict(summary) for kind, summary in summaries.items()})
        return
    for kind, summary in summaries.items():
        click.echo(
            f"{kind}: {summary.new:,} new, {summary.completed:,} completed, "
            f"{summary.unchanged:,} as before; {count(summary.items, ITEM_OF[kind])} added"
        )


def in_conflict(kind: str, section: str, others: int) -> str:
    """Return that *section*, where it is to be written, has so many *others* for items."""
    return f"{kind}: {described(section)} is there already, with {count(others, 'other')}"


def tell_unknown_groups(groups: Collection[str]) -> None:
    """Say, on the standard error, which *groups* permissions are granted to and are none."""
    if groups:
        click.echo(
            f"permissions: granted to what is no group here: {some(groups)}. Whoever makes one has "
            "them.",
            err=True,
        )


def tell_some(lines: Collection[str]) -> None:
    """Print *lines* on the standard error, so many as somebody may read, and how many more."""
    for line in islice(lines, SHOWN):
        click.echo(printable(line), err=True)
    if len(lines) > SHOWN:
        click.echo(f"... and {len(lines) - SHOWN:,} more", err=True)


def refuse(problems: Collection[str], advice: str, *, accepted: bool) -> None:
    """Print *problems* on the standard error.

    :raises Failure: where there are any, and they are not *accepted*.
    """
    tell_some(problems)
    if problems and not accepted:
        raise Failure(f"Nothing was written. {advice}")
