"""Names of groups, permissions and users for a shell to complete, asked of the server."""

import os
import re
from collections.abc import Callable, Iterable
from itertools import islice

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from repoze.what.adapters import AdapterError
from repoze.what.plugins.redis.undoing import short

from .failures import Failure
from .sources import Sources

Completion = Callable[[click.Context, click.Parameter, str], list[str]]

# A shell takes the others for commands, patterns, variables or its own syntax, and whoever may name
# a group or a user could have somebody else's shell run something. Nor can a name be an option.
_LITERAL = re.compile(r"[A-Za-z0-9_./\u0080-\U0010ffff][A-Za-z0-9_./:@+\u0080-\U0010ffff-]*")

# What is undone is mostly what was done just now.
_MOST_CHANGES = 100


def is_literal(name: str) -> bool:
    """Return whether *name* is to every shell, unquoted, just itself."""
    return bool(_LITERAL.fullmatch(name)) and name.isprintable()


def _completion(names_in: Callable[[Sources], Iterable[str]]) -> Completion:
    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        # While a shell completes, no command runs that would tell what is wrong.
        try:
            names = set(names_in(Sources(**ctx.find_root().params)))
        except (Failure, AdapterError):
            return []
        return sorted(name for name in names if name.startswith(incomplete) and is_literal(name))

    return complete


def _users(sources: Sources) -> Iterable[str]:
    return set().union(*sources.groups.get_all_sections().values())


def _changes(sources: Sources) -> Iterable[str]:
    for adapter in sources.by_kind().values():
        for change in islice(adapter.history(), _MOST_CHANGES):
            yield short(change.token)


complete_changes = _completion(_changes)
complete_groups = _completion(lambda sources: sources.groups.get_section_names())
complete_permissions = _completion(lambda sources: sources.permissions.get_section_names())
complete_users = _completion(_users)


def complete_members(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the members of the group that has been named that begin so."""
    group = ctx.params["group"]
    members = _completion(lambda sources: sources.groups.get_section_items(group))
    return members(ctx, parameter, incomplete)


class _OfShell(ShellComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the arguments before the one that is completed, and that one."""
        try:
            return self._arguments()
        except (IndexError, KeyError, ValueError):
            raise Failure(
                "COMP_WORDS and COMP_CWORD are not what a shell sets that completes."
            ) from None

    def _arguments(self) -> tuple[list[str], str]:
        return super().get_completion_args()


class Fish(_OfShell, FishComplete):
    """Fish's completion."""


class Zsh(_OfShell, ZshComplete):
    """Zsh's completion."""


class Bash(_OfShell, BashComplete):
    """Bash's completion of words that have an @ or a colon in them.

    Bash makes words of their parts, and completes the last of these. So click's own, which asks for
    these words, sees other arguments than there are.
    """

    source_template = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            dir|file) compopt -o default ;;
        esac
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_CWORD="$2" \\
        %(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def _arguments(self) -> tuple[list[str], str]:
        line, self._part = os.environ["COMP_WORDS"], os.environ["COMP_CWORD"]
        _, *arguments = split_arg_string(line)
        return (arguments, "") if line[-1:].isspace() else (arguments[:-1], arguments[-1])

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return what Bash is to put in the place of the part that it completes."""
        before = len(incomplete) - len(self._part) if incomplete.endswith(self._part) else 0
        items = super().get_completions(args, incomplete)
        for item in items:
            if item.value.startswith(incomplete):
                item.value = item.value[before:]
        return items
