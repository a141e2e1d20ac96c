"""The configuration files of the manual, in a folder of the test's own, and what is behind them."""

import logging
import shutil
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import webtest
from harness import servers
from paste.deploy import loadapp

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "paste"
sys.path.append(str(EXAMPLES))

# With Basic authentication each request checks the password, which is slow on purpose.
magazine = import_module("magazine")
magazine.hash_password = cache(magazine.hash_password)

FILTER = """
[app:main]
use = call:magazine:make_app
filter-with = authorization

[filter:authorization]
use = egg:repoze.what.plugins.redis
"""


@pytest.fixture(autouse=True)
def _no_url_in_the_environment(monkeypatch):
    monkeypatch.delenv("REPOZE_WHAT_REDIS_URL", raising=False)
    monkeypatch.delenv("AUTH_LOG", raising=False)


@pytest.fixture
def folder(tmp_path):
    """A copy of the folder with the examples."""
    return shutil.copytree(EXAMPLES, tmp_path / "site", ignore=shutil.ignore_patterns("__*"))


@pytest.fixture
def load(folder):
    """Loads a configuration file of the folder, or one whose filter has certain lines."""
    loaded = []

    def load(*lines, file="site.ini", default=()):
        if lines or default:
            text = "\n".join(["[DEFAULT]", *default, FILTER, *lines])
            (folder / file).write_text(text, encoding="utf-8")
        loaded.append(loadapp(f"config:{file}", relative_to=str(folder)))
        return webtest.TestApp(loaded[-1])

    yield load
    for app in loaded:
        for handler in app.logger.handlers if app.logger else ():
            if isinstance(handler, logging.StreamHandler) and handler.stream is not sys.stdout:
                handler.stream.close()


@pytest.fixture
def url(folder, server):
    """The URL of a server, which the configuration files of the folder have instead of theirs."""
    url = f"redis://{servers.HOST}:{server.port}"
    for file in folder.glob("*.ini"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("redis://localhost:6379", url), encoding="utf-8")
    return url


@pytest.fixture
def fill(server):
    """Lets rosa, an editor, publish; returns the adapters."""

    def fill(**options):
        groups = RedisGroupAdapter(server.client(), **options)
        permissions = RedisPermissionAdapter(server.client(), **options)
        groups.create_section("editors")
        groups.include_item("editors", "rosa")
        permissions.create_section("publish")
        permissions.include_item("publish", "editors")
        return groups, permissions

    return fill
