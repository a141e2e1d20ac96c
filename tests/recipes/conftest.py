"""The examples of the manual, imported from their folders as a reader has them."""

import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import redis
from harness.proxy import Proxy

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
sys.path += [str(folder) for folder in (EXAMPLES, EXAMPLES / "frameworks", EXAMPLES / "turbogears")]

# With Basic authentication each request checks the password, which is slow on purpose.
authentication = import_module("authentication")
authentication.hash_password = cache(authentication.hash_password)


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def groups(proxy, options):
    """Rosa is an editor, behind a proxy; Ben is nothing."""
    groups = RedisGroupAdapter(redis.Redis(host="127.0.0.1", port=proxy.port), **options)
    groups.create_section("editors")
    groups.include_item("editors", "rosa")
    return groups


@pytest.fixture
def permissions(proxy, options, groups):
    """What editors are permitted."""
    client = redis.Redis(host="127.0.0.1", port=proxy.port)
    permissions = RedisPermissionAdapter(client, **options)
    for permission in ("publish", "newspaper.print"):
        permissions.create_section(permission)
        permissions.include_item(permission, "editors")
    # So that no later lookup has to send the script along.
    groups.find_with_permissions({"repoze.what.userid": "rosa"}, permissions)
    return permissions


@pytest.fixture
def django_settings(groups, permissions):
    pytest.importorskip("django")
    settings = import_module("django_site.wsgi").settings
    settings.GROUPS, settings.PERMISSIONS = groups, permissions
    return settings


@pytest.fixture(scope="session")
def django_tables():
    """Rosa and Ben in Django's table of users, with passwords that are hashed fast."""
    pytest.importorskip("django")
    settings = import_module("django_site.wsgi").settings
    settings.DATABASES["default"]["NAME"] = ":memory:"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    import_module("django.core.management").call_command("migrate", verbosity=0)
    users = import_module("django.contrib.auth.models").User.objects
    users.create_user("rosa", password="headline")
    users.create_user("ben", password="notebook")
    yield
    import_module("django.db").connections.close_all()


@pytest.fixture
def django_user_id(django_settings, django_tables):
    """Return what tells what a user of Django's table is called in Redis."""
    users = import_module("django.contrib.auth.models").User.objects
    user_id_of = import_module("django_site.authorization").user_id_of
    return lambda name: user_id_of(users.get(username=name))


@pytest.fixture
def django_users(django_user_id, groups):
    """Rosa of Django's table is an editor, and Ben there is nothing."""
    groups.include_item("editors", django_user_id("rosa"))
