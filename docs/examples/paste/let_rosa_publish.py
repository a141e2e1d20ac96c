from pathlib import Path

from paste.deploy import appconfig

from repoze.what.plugins.redis import adapters_from_settings

settings = appconfig(f"config:{Path(__file__).with_name('magazine.ini')}")
groups, permissions = adapters_from_settings(settings)
groups.create_section("editors")
groups.include_item("editors", "rosa")
permissions.create_section("publish")
permissions.include_item("publish", "editors")
