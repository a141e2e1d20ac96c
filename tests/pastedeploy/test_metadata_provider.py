"""The metadata provider for configuration files of repoze.who."""

import traceback

import pytest

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins import redis as package
from repoze.what.plugins.redis import make_metadata_provider


def test_groups_and_permissions_of_both_layouts(url, fill, options):
    fill(**options)
    provider = make_metadata_provider(url=url, **options)
    assert isinstance(provider, AuthorizationMetadata)
    environ, identity = {}, {"repoze.who.userid": "rosa"}
    provider.add_metadata(environ, identity)
    assert environ["repoze.what.credentials"] == {
        "repoze.what.userid": "rosa",
        "groups": ("editors",),
        "permissions": ("publish",),
    }


def test_databases_of_their_own(url, fill, server):
    provider = make_metadata_provider(
        **{"url": url, "groups.db": "5", "permissions.db": "6", "writable": "false"}
    )
    assert not provider.group_adapters["redis"].is_writable
    assert provider.permission_adapters["redis"].place.endswith("database 6")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("namespace", "redis.namespace", "There is no setting 'redis.namespace'. There are url, "),
        ("namespace", "name", "There is no setting 'name'. There are url, groups.db, "),
        ("url = ", "url = s3cret", "url has to begin with redis://"),
        ("url", "address", "There is no setting 'address'. There are url, "),
    ],
)
def test_wrong_settings(load, folder, old, new, message):
    file = folder / "who_and_what.ini"
    text = file.read_text(encoding="utf-8")
    head, section, rest = text.partition("[plugin:authorization]")
    file.write_text(head + section + rest.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as raised:
        load(file="behind_who.ini")
    assert len(str(raised.value).splitlines()) == 1
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


def test_name_that_the_package_does_not_have():
    """It has this one's when it is asked for it."""
    assert callable(package.make_metadata_provider)
    with pytest.raises(
        AttributeError, match=r"^module 'repoze.what.plugins.redis' has no attribute"
    ):
        package.make_metadata_providers  # noqa: B018
