# mypy: disable-error-code="import-untyped,import-not-found"
"""Engines that have everything in the memory of the process that asks."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import cedarpy

from .organisation import Organisation
from .peer import Peer
from .peers import fast_enforcer

# A permission is what its groups are in, as these are what their users are in. With a policy for
# each permission Cedar would have to go through them all; this is the fastest that we found.
_CEDAR_POLICY = (
    'permit (principal, action == Action::"use", resource) when { principal in resource };'
)


def engines(organisation: Organisation, folder: Path) -> list[Peer]:
    """Return them, with the data of *organisation*; *folder* is for their files."""
    return [
        Peer(
            "pycasbin's FastEnforcer, in memory", None, fast_enforcer(folder, organisation).enforce
        ),
        _cedar(organisation),
    ]


def _cedar(organisation: Organisation) -> Peer:
    entities = [
        *_entities("Permission", _parents((), organisation.groups), ""),
        *_entities("Group", _parents(organisation.grants, organisation.users), "Permission"),
        *_entities("User", _parents(organisation.memberships, ()), "Group"),
    ]
    # Parsed once, as its documentation advises.
    policies = cedarpy.PolicySet.from_str(_CEDAR_POLICY)
    loaded = cedarpy.Entities.from_json_str(json.dumps(entities))
    action = {"type": "Action", "id": "use"}

    def can(user: str, permission: str) -> bool:
        request = {
            "principal": {"type": "User", "id": user},
            "action": action,
            "resource": {"type": "Permission", "id": permission},
        }
        return bool(cedarpy.is_authorized(request, policies, loaded).allowed)

    return Peer("Cedar (cedarpy), in memory", None, can)


def _parents(pairs: Iterable[tuple[str, str]], also: Iterable[str]) -> dict[str, list[str]]:
    parents: defaultdict[str, list[str]] = defaultdict(list, {name: [] for name in also})
    for name, parent in pairs:
        parents[name].append(parent)
    return parents


def _entities(kind: str, parents: dict[str, list[str]], kind_of_parents: str) -> list[object]:
    return [
        {
            "uid": {"type": kind, "id": name},
            "attrs": {},
            "parents": [{"type": kind_of_parents, "id": parent} for parent in of_name],
        }
        for name, of_name in parents.items()
    ]
