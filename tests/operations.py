"""Every public operation of an adapter, and what it makes of a small source."""

from contextlib import suppress

from repoze.what.adapters import AdapterError
from repoze.what.plugins.redis import RedisPermissionAdapter

LOOKUPS = {
    "get_all_sections": lambda adapter: adapter.get_all_sections(),
    "get_section_items": lambda adapter: adapter.get_section_items("edit"),
    "find_sections": lambda adapter: adapter.find_sections("staff"),
    "find_sections_many": lambda adapter: adapter.find_sections_many(["staff", "admins"]),
}
WRITES = {
    "create_section": lambda adapter: adapter.create_section("new"),
    "edit_section": lambda adapter: adapter.edit_section("edit", "new"),
    "delete_section": lambda adapter: adapter.delete_section("edit"),
    "include_items": lambda adapter: adapter.include_items("edit", ["a", "b"]),
    "include_item": lambda adapter: adapter.include_item("edit", "a"),
    "exclude_items": lambda adapter: adapter.exclude_items("edit", ["staff", "admins"]),
    "exclude_item": lambda adapter: adapter.exclude_item("edit", "staff"),
    "set_section_items": lambda adapter: adapter.set_section_items("edit", ["a"]),
}
BEFORE = {"edit": {"staff", "admins"}, "read": set()}
AFTER = {
    "create_section": {**BEFORE, "new": set()},
    "edit_section": {"new": {"staff", "admins"}, "read": set()},
    "delete_section": {"read": set()},
    "include_items": {**BEFORE, "edit": {"staff", "admins", "a", "b"}},
    "include_item": {**BEFORE, "edit": {"staff", "admins", "a"}},
    "exclude_items": {**BEFORE, "edit": set()},
    "exclude_item": {**BEFORE, "edit": {"admins"}},
    "set_section_items": {**BEFORE, "edit": {"a"}},
}
ANSWERS = {
    "get_all_sections": BEFORE,
    "get_section_items": {"staff", "admins"},
    "find_sections": {"edit"},
    "find_sections_many": {"edit"},
}


def fill(client):
    adapter = RedisPermissionAdapter(client)
    for section, items in BEFORE.items():
        adapter.create_section(section)
        adapter.include_items(section, items)


def load_scripts(adapter):
    """Run every operation once, so that no later one has to send its script along."""
    for operation in (*LOOKUPS.values(), *WRITES.values()):
        with suppress(AdapterError):
            operation(adapter)
