"""Asking before something goes."""

import sys

import click

from .failures import Failure

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def ask(question: str, *, yes: bool) -> None:
    """Return where *yes* is true, or somebody at a terminal says so.

    :raises Failure: where the answer is no, or nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure("Nothing was done: there is nobody to ask. Say --yes if you want it.")
    if not click.confirm(question, err=True):
        raise Failure("Nothing was done.")
