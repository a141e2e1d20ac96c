"""What commands print, and what they ask."""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol

import click

from repoze.what.printable import printable

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def tell(text: str) -> None:
    """Print *text* on the standard error, if anybody reads it: what is told of it goes before."""
    with suppress(OSError):
        click.echo(text, err=True)


def echo_lines(names: Iterable[str], indent: str = "") -> None:
    """Print *names*, one on a line."""
    for name in names:
        click.echo(indent + printable(name))


def echo_section(title: str, lines: Sequence[str]) -> None:
    """Print *lines* under *title*, or that there are none."""
    click.echo(f"{title}:")
    echo_lines(lines or ["(none)"], "  ")


def echo_json(value: object) -> None:
    """Print *value* as one line of JSON, in ASCII: also names that are not UTF-8 survive in it."""
    click.echo(json.dumps(value))


def count(number: int, singular: str) -> str:
    """Return how many there are of what is called *singular*, as in ``2 groups``."""
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


class Bar(Protocol):
    """A progress bar, so far as it is used here."""

    def update(self, n_steps: int) -> None:
        """Go on by so many steps."""


class _NoBar:
    def update(self, n_steps: int) -> None:
        pass


def progress(label: str, length: int | None) -> AbstractContextManager[Bar]:
    """Return a bar on the standard error, where that is a terminal.

    :param length: the number of all steps; where it is not known there is no bar.
    """
    if length is None or not sys.stderr.isatty():
        return nullcontext(_NoBar())
    return click.progressbar(length=length, label=label, file=sys.stderr)
