"""Adapters of sources in memory, written as the manual of 1.0 has it."""

from repoze.what.adapters import BaseSourceAdapter


class Groups(BaseSourceAdapter):
    def __init__(self, sections=None, writable=True):
        super().__init__(writable)
        if sections is None:
            sections = {
                "admins": {"rms"},
                "developers": {"rms", "linus"},
                "trolls": {"sballmer"},
                "python": set(),
                "php": set(),
            }
        self.source = sections

    def _get_all_sections(self):
        return self.source

    def _get_section_items(self, section):
        return self.source[section]

    def _find_sections(self, credentials):
        return self.sections_with(credentials["repoze.what.userid"])

    def _include_items(self, section, items):
        self.source[section] |= items

    def _exclude_items(self, section, items):
        self.source[section] -= items

    def _item_is_included(self, section, item):
        return item in self.source[section]

    def _create_section(self, section):
        self.source[section] = set()

    def _edit_section(self, section, new_section):
        self.source[new_section] = self.source.pop(section)

    def _delete_section(self, section):
        del self.source[section]

    def _section_exists(self, section):
        return section in self.source

    def sections_with(self, item):
        return {section for section, items in self.source.items() if item in items}


class Permissions(Groups):
    def __init__(self, sections=None, writable=True):
        if sections is None:
            sections = {
                "see-site": {"trolls"},
                "edit-site": {"admins", "developers"},
                "commit": {"developers"},
            }
        super().__init__(sections, writable)

    def _find_sections(self, group):
        return self.sections_with(group)
