"""The class for TurboGears' own authentication, without TurboGears."""

import subprocess
import sys
from types import MappingProxyType

import pytest
from harness.sources import Groups

from repoze.what.adapters import SourceError, find_both
from repoze.what.plugins.redis import RedisGroupAdapter
from repoze.what.plugins.redis.turbogears import RedisAuthMetadata


class AuthMetadata(RedisAuthMetadata):
    def authenticate(self, environ, identity):
        return identity["login"]

    def get_user(self, identity, userid):
        return userid


def test_turbogears_is_not_imported():
    check = "import sys, repoze.what.plugins.redis.turbogears; sys.exit('tg' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_groups_and_permissions(groups, permissions, proxy, questions_of_a_request):
    groups.create_section("writers")
    groups.include_item("writers", "rosa")
    authorization = AuthMetadata(groups, permissions)
    identity = {"user": "rosa"}
    authorization.get_groups(identity, "rosa")
    with proxy.counted(questions_of_a_request):
        identity["groups"] = authorization.get_groups(identity, "rosa")
        identity["permissions"] = authorization.get_permissions(identity, "rosa")
    assert sorted(identity["groups"]) == ["editors", "writers"]
    assert sorted(identity["permissions"]) == ["newspaper.print", "publish"]


def test_groups_of_a_subclass(groups, permissions, proxy):
    """What was found at once is for the groups that it was found for."""

    class Renamed(AuthMetadata):
        def get_groups(self, identity, userid):
            return [f"{group} of the day" for group in super().get_groups(identity, userid)]

    permissions.create_section("print")
    permissions.include_item("print", "editors of the day")
    for other in (AuthMetadata(groups, permissions), Renamed(groups, permissions)):
        identity = {"user": "rosa"}
        identity["groups"] = other.get_groups(identity, "rosa")
        found = other.get_permissions(identity, "rosa")
        assert set(found) == (
            {"print"} if isinstance(other, Renamed) else {"newspaper.print", "publish"}
        )
        assert set(identity) == {"user", "groups"}
    unchangeable = MappingProxyType({"groups": ["editors of the day"]})
    assert other.get_permissions(unchangeable, "rosa") == ["print"]
    assert other.get_groups(None, "rosa") == ["editors of the day"]


@pytest.mark.parametrize(
    "given", [iter, tuple, lambda groups: [group.encode() for group in groups]]
)
def test_groups_in_another_form(groups, permissions, given):
    authorization = AuthMetadata(groups, permissions)
    identity = {}
    identity["groups"] = given(authorization.get_groups(identity, "rosa"))
    found = authorization.get_permissions(identity, "rosa")
    assert set(found) == {"newspaper.print", "publish"}


def test_one_name_in_place_of_groups(groups, permissions):
    groups.create_section("e")
    groups.include_item("e", "kim")
    authorization = AuthMetadata(groups, permissions)
    identity = {}
    authorization.get_groups(identity, "kim")
    identity["groups"] = "e"
    with pytest.raises(SourceError, match="Several items are wanted, not the one string 'e'"):
        authorization.get_permissions(identity, "kim")


def test_adapter_of_another_kind(permissions):
    authorization = AuthMetadata(Groups({"editors": {"rosa"}}), permissions)
    identity = {"groups": authorization.get_groups({}, "rosa")}
    assert identity["groups"] == ["editors"]
    found = authorization.get_permissions(identity, "rosa")
    assert set(found) == {"newspaper.print", "publish"}


class InFront:
    """Finds what an adapter does, each by itself."""

    def __init__(self, adapter, found=None):
        self._adapter, self._found = adapter, found

    def find_sections(self, hint):
        return self._found or self._adapter.find_sections(hint)


def test_permissions_of_another_kind(groups, permissions):
    class InOneMore(AuthMetadata):
        def get_groups(self, identity, userid):
            return [*super().get_groups(identity, userid), "writers"]

    permissions.create_section("write")
    permissions.include_item("write", "writers")
    for of_groups in (groups, InFront(groups)):
        authorization = InOneMore(of_groups, InFront(permissions))
        identity = {}
        identity["groups"] = authorization.get_groups(identity, "rosa")
        found = authorization.get_permissions(identity, "rosa")
        assert set(found) == {"newspaper.print", "publish", "write"}


def test_one_name_in_place_of_several(groups, permissions):
    """Its letters would be taken for groups, or permissions."""
    wrong = AuthMetadata(InFront(groups, "ab"), permissions)
    with pytest.raises(SourceError, match="not the one string 'ab'"):
        wrong.get_groups({}, "rosa")
    wrong = AuthMetadata(InFront(groups), InFront(permissions, "ab"))
    with pytest.raises(SourceError, match="not the one string 'ab'"):
        wrong.get_permissions({"groups": ["editors"]}, "rosa")

    class Text(RedisGroupAdapter):
        def find_sections(self, hint):
            return "ab"

    for wrong in (
        AuthMetadata(Text(groups._client), permissions).get_groups,
        lambda _, user: find_both(Text(groups._client), {"repoze.what.userid": user}, permissions),
    ):
        with pytest.raises(SourceError, match="not the one string 'ab'"):
            wrong({}, "rosa")


def test_user_without_groups(groups, permissions, proxy):
    authorization = AuthMetadata(groups, permissions)
    authorization.get_groups({}, "ben")
    with proxy.counted(1):
        assert authorization.get_groups({}, "ben") == []
        assert authorization.get_permissions({"groups": []}, "ben") == []


@pytest.mark.parametrize("missing", ["authenticate", "get_user"])
def test_class_that_lacks_what_the_application_says(groups, permissions, missing):
    given = {"authenticate": AuthMetadata.authenticate, "get_user": AuthMetadata.get_user}
    del given[missing]
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (RedisAuthMetadata,), given)(groups, permissions)
