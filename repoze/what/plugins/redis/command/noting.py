"""By whom, and with what note, a command makes changes: for the history of the sources."""

import getpass
from collections.abc import Callable
from contextlib import suppress
from functools import update_wrapper
from typing import Any

import click

from repoze.what.acting import acting_as


def noted(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have *command* take ``--by`` and ``--note``, and make its changes so."""

    def with_note(*arguments: Any, by: str | None, note: str | None, **options: Any) -> Any:
        with acting_as(by or _login_name(), note):
            return command(*arguments, **options)

    update_wrapper(with_note, command)
    for option in (
        click.option(
            "--note",
            metavar="TEXT",
            callback=refuse_empty,
            help="What there is to say of it in the history, such as the number of a ticket.",
        ),
        click.option(
            "--by",
            metavar="NAME",
            callback=refuse_empty,
            help="Who does it, for the history. Without it, your login name.",
        ),
    ):
        with_note = option(with_note)
    return with_note


def refuse_empty(_context: click.Context, _option: click.Parameter, text: str | None) -> Any:
    """Return the *text* of an option, which is not empty.

    :raises click.BadParameter: where it is.
    """
    if text == "":
        raise click.BadParameter("it is empty.")
    return text


def _login_name() -> str | None:
    # Up to Python 3.12 it is one of the first two where nobody knows, as in some containers.
    with suppress(KeyError, ImportError, OSError):
        return getpass.getuser() or None
    return None
