"""The access-control data of three real organisations, through the middleware, on real Redis."""

import gzip
from collections import defaultdict
from pathlib import Path

import pytest

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import Adapters, RedisGroupAdapter, RedisPermissionAdapter

DATA = Path(__file__).parents[1] / "organisations"


def pairs(name):
    """Return what each first column of the table *name* is paired with."""
    found = defaultdict(set)
    with gzip.open(DATA / f"{name}.tsv.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            key, value = line.rstrip("\n").split("\t")
            found[key].add(value)
    return found


@pytest.fixture
def organisation(request, thorough):
    """Its name. The largest has more of what the others have, and nothing else."""
    if request.param == "americas_large" and not thorough:
        pytest.skip("only with --thorough")
    return request.param


def load(adapter, sections):
    for section, items in sections.items():
        adapter.create_section(section)
        adapter.include_items(section, items)


@pytest.mark.parametrize(
    ("organisation", "number_of_users"),
    [("hc", 46), ("apj", 2044), ("americas_large", 3485)],
    indirect=["organisation"],
)
def test_organisation(organisation, server, options, number_of_users, thorough):
    group_source, permission_source = (
        RedisGroupAdapter(server.client(), **options),
        RedisPermissionAdapter(server.client(), **options),
    )
    users_of = pairs(f"{organisation}.groups")
    load(group_source, users_of)
    load(permission_source, pairs(f"{organisation}.permissions"))
    groups_of = defaultdict(set)
    for group, users in users_of.items():
        for user in users:
            groups_of[user].add(group)
    expected = pairs(f"{organisation}.expected")
    assert len(groups_of) == number_of_users

    metadata = AuthorizationMetadata({"redis": group_source}, {"redis": permission_source})
    users = sorted(groups_of.keys() | expected.keys())
    if not thorough:
        # Without an index, each looks at all sections.
        users = users[:: 1 + len(users) // (500 if options else 40)]
    for user in users:
        environ, identity = {}, {"repoze.who.userid": user}
        metadata.add_metadata(environ, identity)
        credentials = environ["repoze.what.credentials"]
        assert set(credentials["groups"]) == groups_of[user]
        assert set(credentials["permissions"]) == expected.get(user, set())

    pair = Adapters(group_source, permission_source)
    users_with = defaultdict(set)
    for user, permissions in expected.items():
        for permission in permissions:
            users_with[permission].add(user)
    permissions = sorted(permission_source.get_section_names())
    if not thorough:
        permissions = permissions[:: 1 + len(permissions) // 200]
    for permission in permissions:
        assert pair.users_with(permission) == users_with[permission]
        for user in users[:5]:
            assert pair.can(user, permission) is (user in users_with[permission])
            assert pair.why(user, permission) <= groups_of[user]


@pytest.mark.parametrize(
    ("organisation", "place"),
    [
        *(("hc", place) for place in ({}, {"namespace": "tests"}, {"db": 3, "namespace": "tests"})),
        ("apj", {}),
        ("apj", {"db": 3, "namespace": "tests"}),
        ("americas_large", {"db": 3, "namespace": "tests"}),
    ],
    indirect=["organisation"],
)
def test_groups_are_renamed_and_deleted(organisation, server, place):
    """Nobody has more or less by a new name, and nobody anything by a group that has gone."""
    pair = Adapters(
        RedisGroupAdapter(server.client(), **place),
        RedisPermissionAdapter(server.client(), **place),
    )
    groups, permissions = pairs(f"{organisation}.groups"), pairs(f"{organisation}.permissions")
    load(pair.groups, groups)
    load(pair.permissions, permissions)
    names = sorted(groups)
    for number, group in enumerate(names[:: 1 + len(names) // 20]):
        granted = {permission for permission, having in permissions.items() if group in having}
        if number % 2:
            assert pair.delete_group(group) == granted
            del groups[group]
        else:
            assert pair.rename_group(group, f"{group} of old") == granted
            groups[f"{group} of old"] = groups.pop(group)
        for permission in granted:
            permissions[permission].remove(group)
            if number % 2 == 0:
                permissions[permission].add(f"{group} of old")
    assert pair.groups.get_all_sections() == groups
    assert pair.permissions.get_all_sections() == permissions
    for adapter in pair:
        assert adapter.check() == []
    for permission in sorted(permissions)[:: 1 + len(permissions) // 100]:
        assert pair.users_with(permission) == {
            user for group in permissions[permission] for user in groups.get(group, ())
        }
