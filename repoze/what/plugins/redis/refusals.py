"""Why something is not done, whether a script of the server finds that or a step."""

from collections.abc import Collection

from repoze.what.adapters import (
    ExistingSectionError,
    ItemPresentError,
    NonExistingSectionError,
    SourceError,
)

from .names import described, some


class EndPastError(SourceError):
    """A membership was to end at a time that is past, by the clock of the server.

    Nothing was written.
    """


def no_group(group: str) -> NonExistingSectionError:
    """Return the error that says that *group* is none."""
    return NonExistingSectionError(f"There is no group {described(group)}.")


def group_present(group: str) -> ExistingSectionError:
    """Return the error that says that the name of *group* is taken."""
    return ExistingSectionError(f"There is a group {described(group)} already.")


def still_permitted(group: str, permissions: Collection[str], advice: str) -> ItemPresentError:
    """Return the error that says that *group*, which is none, has *permissions*.

    :param advice: what else to do about it, than to revoke them.
    """
    return ItemPresentError(
        f"{described(group)} is no group, but it still has permissions: {some(permissions)}. Its "
        f"members would have them at once. Revoke them first, or {advice}."
    )
