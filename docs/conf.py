"""How Sphinx builds the manual: HTML, and its examples as doctests."""

import doctest
from configparser import ConfigParser
from pathlib import Path

project = "repoze.what.plugins.redis"
_settings = ConfigParser()
_settings.read(Path(__file__).parents[1] / "setup.cfg")
release = version = _settings["metadata"]["version"]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Groups and permissions for WSGI applications, kept in Redis",
    "page_width": "1000px",
}
html_show_copyright = False
html_copy_source = False

# What the docstrings put between single backticks is the name of something in Python.
default_role = "py:obj"
nitpicky = True
nitpick_ignore = [
    # Named in docstrings of repoze.what.plugins.redis, where they are not documented.
    ("py:obj", "SourceUnavailable"),
    ("py:obj", "TooFewReplicas"),
    ("py:obj", "check"),
    ("py:obj", "names.encode"),
]
# Of other projects: the manual is built without a network.
nitpick_ignore_regex = [("py:(class|obj)", r"(redis|repoze\.who|unittest|webob)\..*")]

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"
autodoc_inherit_docstrings = False

# In an example, a message of an error counts.
doctest_default_flags = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1
doctest_global_setup = """
import shutil

import fakeredis
import redis

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

client = fakeredis.FakeRedis()
groups = RedisGroupAdapter(client)
permissions = RedisPermissionAdapter(client)
"""
