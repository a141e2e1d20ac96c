"""The class for TurboGears' own authentication, without TurboGears."""

import subprocess
import sys

import pytest

from repoze.what.plugins.redis.turbogears import RedisAuthMetadata


class AuthMetadata(RedisAuthMetadata):
    def authenticate(self, environ, identity):
        return identity["login"]

    def get_user(self, identity, userid):
        return userid


def test_turbogears_is_not_imported():
    check = "import sys, repoze.what.plugins.redis.turbogears; sys.exit('tg' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_groups_and_permissions(groups, permissions, proxy):
    groups.create_section("writers")
    groups.include_item("writers", "rosa")
    authorization = AuthMetadata(groups, permissions)
    identity = {"user": "rosa"}
    with proxy.counted(2):
        identity["groups"] = authorization.get_groups(identity, "rosa")
        identity["permissions"] = authorization.get_permissions(identity, "rosa")
    assert sorted(identity["groups"]) == ["editors", "writers"]
    assert sorted(identity["permissions"]) == ["newspaper.print", "publish"]


def test_user_without_groups(groups, permissions, proxy):
    authorization = AuthMetadata(groups, permissions)
    with proxy.counted(1):
        assert authorization.get_groups({}, "ben") == []
        assert authorization.get_permissions({"groups": []}, "ben") == []


@pytest.mark.parametrize("missing", ["authenticate", "get_user"])
def test_class_that_lacks_what_the_application_says(groups, permissions, missing):
    given = {"authenticate": AuthMetadata.authenticate, "get_user": AuthMetadata.get_user}
    del given[missing]
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (RedisAuthMetadata,), given)(groups, permissions)
