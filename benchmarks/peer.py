"""One way to find out who may do what, and whether it is right."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from .organisation import Organisation


@dataclass(frozen=True)
class Peer:
    """A *name*, what finds the groups and permissions of a user, and whether it has one of these.

    What it cannot be asked is None.
    """

    name: str
    request: Callable[[str], tuple[Collection[str], Collection[str]]] | None
    can: Callable[[str, str], bool] | None

    def is_wrong_about(self, organisation: Organisation) -> str | None:
        """Return what it is wrong about, if anything.

        It is asked for all that each user has, for a permission that each has and one that each
        has not, and for everything that it will be asked for when it is timed.
        """
        for user, groups in organisation.groups_of.items():
            permissions = organisation.expected.get(user, [])
            if self.request:
                found = tuple(map(set, self.request(user)))
                if found != (groups, set(permissions)):
                    return user
            other = next((name for name in organisation.groups if name not in permissions), "none")
            if self.can and self.can(user, other):
                return f"{user} and {other}"
        had = [(user, permissions[-1]) for user, permissions in organisation.expected.items()]
        for user, permission in [*had, *organisation.questions]:
            if self.can and not self.can(user, permission):
                return f"{user} and {permission}"
        return None
