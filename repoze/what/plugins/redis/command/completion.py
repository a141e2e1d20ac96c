"""Names of groups and permissions for a shell to complete, asked of the server."""

from collections.abc import Callable

import click

from repoze.what.adapters import AdapterError

from .failures import Failure
from .sources import Sources

Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def _completion(kind: str) -> Completion:
    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        # While a shell completes, no command runs, the one that makes the sources included.
        try:
            names = Sources(**ctx.find_root().params).by_kind()[kind].get_section_names()
        except (Failure, AdapterError):
            return []
        # A line each, and no shell quotes them.
        return sorted(
            name
            for name in names
            if name.startswith(incomplete) and name.isprintable() and " " not in name
        )

    return complete


complete_groups = _completion("groups")
complete_permissions = _completion("permissions")
