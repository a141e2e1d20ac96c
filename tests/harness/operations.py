"""Every public operation of an adapter, and what it makes of a small source."""

from contextlib import suppress

from repoze.what.adapters import AdapterError
from repoze.what.plugins.redis import RedisPermissionAdapter

LOOKUPS = {
    "get_all_sections": lambda adapter: adapter.get_all_sections(),
    "get_section_names": lambda adapter: adapter.get_section_names(),
    "get_many_section_items": lambda adapter: adapter.get_many_section_items(["edit", "none"]),
    "get_section_items": lambda adapter: adapter.get_section_items("edit"),
    "find_sections": lambda adapter: adapter.find_sections("staff"),
    "find_sections_many": lambda adapter: adapter.find_sections_many(["staff", "admins"]),
    "get_many_sections_until": lambda adapter: adapter.get_many_sections_until(["edit", "none"]),
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
    "remove_item": lambda adapter: adapter.remove_item("staff"),
    "rename_item": lambda adapter: adapter.rename_item("staff", "a"),
}
REVIEWS = {
    "check": lambda adapter: adapter.check(),
    "repair": lambda adapter: adapter.repair(),
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
    "remove_item": {**BEFORE, "edit": {"admins"}},
    "rename_item": {**BEFORE, "edit": {"a", "admins"}},
}
ANSWERS = {
    "get_all_sections": BEFORE,
    "get_section_names": {"edit", "read"},
    "get_many_section_items": {"edit": {"staff", "admins"}},
    "get_section_items": {"staff", "admins"},
    "find_sections": {"edit"},
    "find_sections_many": {"edit"},
    "get_many_sections_until": {"edit": {"staff": None, "admins": None}},
}


def create_sections(adapter, sections):
    """Give the source of *adapter* these *sections* with their items, and return it."""
    for section, items in sections.items():
        adapter.create_section(section)
        adapter.include_items(section, items)
    return adapter


def fill(client, **options):
    create_sections(RedisPermissionAdapter(client, **options), BEFORE)


def load_scripts(adapter):
    """Run every operation once, so that no later one has to send its script along."""
    for operation in (*LOOKUPS.values(), *WRITES.values(), *REVIEWS.values()):
        with suppress(AdapterError):
            operation(adapter)


def restore(adapter):
    """Undo whichever one of the writes has been done."""
    for section in adapter.get_all_sections():
        adapter.delete_section(section)
    for section, items in BEFORE.items():
        adapter.create_section(section)
        adapter.include_items(section, items)
