"""Source adapters: one interface to wherever groups and permissions are kept.

A *source* is a mapping of *sections* to *items*. In a group source the sections are groups and
their items user ids; in a permission source the sections are permissions and their items the
groups that have them.
"""

from collections.abc import Callable, Iterable
from inspect import isasyncgenfunction, iscoroutinefunction, signature
from typing import Any, ClassVar, Protocol, TypeGuard, cast

__all__ = [
    "AdapterError",
    "BaseSourceAdapter",
    "ExistingSectionError",
    "ItemNotPresentError",
    "ItemPresentError",
    "NonExistingSectionError",
    "SourceAdapter",
    "SourceError",
    "SourceUnavailable",
]


class AdapterError(Exception):
    """What every error of an adapter is."""


class SourceError(AdapterError):
    """The source cannot do it: it is read-only, refuses the name, or is in trouble.

    :param written: what became of the write that was asked for; see the attribute.
    """

    def __init__(self, *args: object, written: bool | None = None) -> None:
        super().__init__(*args)
        self.written = written
        """``False`` where nothing was written, ``True`` where the write took effect all the same.

        ``None`` where nobody knows: look at what is stored before you try again.
        """


class SourceUnavailable(SourceError):  # noqa: N818 - it reads as what it reports
    """The source cannot be reached or does not answer."""


class ExistingSectionError(AdapterError):
    """A section of that name is there already."""


class NonExistingSectionError(AdapterError):
    """There is no section of that name."""


class ItemPresentError(AdapterError):
    """The item is in the section already."""


class ItemNotPresentError(AdapterError):
    """The item is not in the section."""


class SourceAdapter(Protocol):
    """All that the middleware asks of an adapter, be it a `BaseSourceAdapter` or not."""

    def find_sections(self, hint: Any) -> Iterable[str]:
        """Return the sections that belong to ``hint``.

        :param hint: to an adapter of groups, the credentials, a mapping with the user id at
            ``repoze.what.userid``; to one of permissions, a group.
        :raises SourceError: where that cannot be found out.
        """


class JointAdapter(SourceAdapter, Protocol):
    """What the middleware asks of an adapter of groups that can find permissions as well."""

    def find_with_permissions(
        self, hint: Any, permissions: SourceAdapter
    ) -> tuple[Iterable[str], Iterable[str]]:
        """Return the groups that belong to ``hint``, and what any of them is permitted.

        :param hint: the credentials, as for `find_sections`.
        :param permissions: the adapter of permissions, of any kind.
        :raises SourceError: where that cannot be found out.
        """


class BaseSourceAdapter:
    """What an adapter has in common with any other, for sources of every kind.

    A subclass says how its source is read and written, in the methods that here raise
    ``NotImplementedError``. They are called with arguments that have been checked: a section to
    read is there, an item to include is not. The public methods check, call them, and raise the
    errors of this module.

    :param writable: whether the source may be written. On one that may not, a change that could
        be made otherwise raises `SourceError`.

    ``source_kind`` is ``"groups"`` or ``"permissions"`` in a class that is for one kind of sources:
    the middleware then refuses its adapters in the place of the other kind.

    ``loaded_sections`` holds what has been read since the last change through this adapter, and
    ``all_sections_loaded`` says whether that is all there is: for adapters that look there.
    Nothing is answered from it here, for others change the source too.
    """

    source_kind: ClassVar[str | None] = None

    def __init__(self, writable: bool = True) -> None:
        self.is_writable = writable
        self.loaded_sections: dict[str, set[str]] = {}
        self.all_sections_loaded = False

    # Reading

    def get_all_sections(self) -> dict[str, set[str]]:
        """Return all sections, each with the set of its items."""
        sections = {name: set(items) for name, items in self._get_all_sections().items()}
        self.loaded_sections = {name: set(items) for name, items in sections.items()}
        self.all_sections_loaded = True
        return sections

    def get_section_items(self, section: str) -> set[str]:
        """Return the items of ``section``, or raise `NonExistingSectionError`."""
        self._check_section_existence(section)
        items = set(self._get_section_items(section))
        self.loaded_sections[section] = set(items)
        return items

    def find_sections(self, hint: Any) -> set[str]:
        """Return the sections that belong to ``hint``.

        :param hint: to a group adapter, the credentials: a mapping whose ``repoze.what.userid``
            is the user's id. To a permission adapter, the name of a group.
        """
        return as_set(self._find_sections(hint))

    def find_sections_many(self, hints: Iterable[Any]) -> set[str]:
        """Return the sections that belong to any of ``hints``.

        An adapter that can ask its source about all of them at once overrides this, which
        repoze.what 1.0.9 did not have.
        """
        found: set[str] = set()
        for hint in hints:
            found |= self.find_sections(hint)
        return found

    # Writing

    def set_section_items(self, section: str, items: Iterable[str]) -> None:
        """Make ``items`` the items of ``section``, in place of those it has.

        Raises `NonExistingSectionError`.
        """
        wanted = as_set(items)
        self._check_section_existence(section)
        self._check_writable()
        present = set(self._get_section_items(section))
        # What is taken away goes first: a failure in between leaves nobody with too much.
        if present - wanted:
            self._write(self._exclude_items, section, present - wanted)
        if wanted - present:
            self._write(self._include_items, section, wanted - present)

    def include_item(self, section: str, item: str) -> None:
        """Include one item, as `include_items` does."""
        self.include_items(section, {item})

    def include_items(self, section: str, items: Iterable[str]) -> None:
        """Include ``items`` in ``section``.

        Raises `NonExistingSectionError`, or `ItemPresentError` where one of them is in it.
        """
        wanted = as_set(items)
        self._check_section_existence(section)
        for item in wanted:
            self._confirm_item_not_present(section, item)
        self._check_writable()
        self._write(self._include_items, section, wanted)

    def exclude_item(self, section: str, item: str) -> None:
        """Exclude one item, as `exclude_items` does."""
        self.exclude_items(section, {item})

    def exclude_items(self, section: str, items: Iterable[str]) -> None:
        """Exclude ``items`` from ``section``.

        Raises `NonExistingSectionError`, or `ItemNotPresentError` where one of them is not in it.
        """
        unwanted = as_set(items)
        self._check_section_existence(section)
        for item in unwanted:
            self._confirm_item_is_present(section, item)
        self._check_writable()
        self._write(self._exclude_items, section, unwanted)

    def create_section(self, section: str) -> None:
        """Add an empty section, or raise `ExistingSectionError`."""
        self._check_section_not_existence(section)
        self._check_writable()
        self._write(self._create_section, section)

    def edit_section(self, section: str, new_section: str) -> None:
        """Rename ``section`` to ``new_section``; it keeps its items.

        Raises `NonExistingSectionError`, or `ExistingSectionError` where the new name is taken.
        """
        self._check_section_existence(section)
        self._check_section_not_existence(new_section)
        self._check_writable()
        self._write(self._edit_section, section, new_section)

    def delete_section(self, section: str) -> None:
        """Remove ``section`` and its items, or raise `NonExistingSectionError`."""
        self._check_section_existence(section)
        self._check_writable()
        self._write(self._delete_section, section)

    # Checks

    def _check_writable(self) -> None:
        """Raise `SourceError` on a read-only source."""
        if not self.is_writable:
            raise SourceError("The source is read-only", written=False)

    def _check_section_existence(self, section: str) -> None:
        """Raise `NonExistingSectionError` unless ``section`` is there."""
        if not self._section_exists(section):
            raise NonExistingSectionError(f"There is no section {section!r}")

    def _check_section_not_existence(self, section: str) -> None:
        """Raise `ExistingSectionError` if ``section`` is there."""
        if self._section_exists(section):
            raise ExistingSectionError(f"There is a section {section!r} already")

    def _confirm_item_is_present(self, section: str, item: str) -> None:
        """Raise `ItemNotPresentError` unless ``item`` is in ``section``, which must be there."""
        self._check_section_existence(section)
        if not self._item_is_included(section, item):
            raise ItemNotPresentError(f"{item!r} is not in section {section!r}")

    def _confirm_item_not_present(self, section: str, item: str) -> None:
        """Raise `ItemPresentError` if ``item`` is in ``section``, which must be there."""
        self._check_section_existence(section)
        if self._item_is_included(section, item):
            raise ItemPresentError(f"{item!r} is in section {section!r} already")

    def _write(self, change: Callable[..., object], *arguments: object) -> None:
        # A change that failed may have been made in part.
        try:
            change(*arguments)
        finally:
            self.loaded_sections = {}
            self.all_sections_loaded = False

    # For the subclass

    def _get_all_sections(self) -> dict[str, set[str]]:
        """Return all sections, each with the set of its items."""
        raise NotImplementedError

    def _get_section_items(self, section: str) -> set[str]:
        """Return the items of an existing section."""
        raise NotImplementedError

    def _find_sections(self, hint: Any) -> set[str]:
        """Return the sections that belong to ``hint``; `find_sections` says what that is."""
        raise NotImplementedError

    def _include_items(self, section: str, items: set[str]) -> None:
        """Include items that are not in this existing section."""
        raise NotImplementedError

    def _exclude_items(self, section: str, items: set[str]) -> None:
        """Exclude items that are in this existing section."""
        raise NotImplementedError

    def _item_is_included(self, section: str, item: str) -> bool:
        """Return whether ``item`` is in this existing section."""
        raise NotImplementedError

    def _create_section(self, section: str) -> None:
        """Add an empty section under a name that is free."""
        raise NotImplementedError

    def _edit_section(self, section: str, new_section: str) -> None:
        """Rename an existing section to a name that is free."""
        raise NotImplementedError

    def _delete_section(self, section: str) -> None:
        """Remove an existing section and its items."""
        raise NotImplementedError

    def _section_exists(self, section: str) -> bool:
        """Return whether there is a section of that name."""
        raise NotImplementedError


def finds_with_permissions(adapter: object) -> TypeGuard[JointAdapter]:
    """Return whether *adapter* finds groups and permissions at once, by ``find_with_permissions``.

    That has to go with its ``find_sections``, which has the last word: see `_goes_with`.
    """
    return _goes_with(adapter, "find_with_permissions", "find_sections")


def _goes_with(adapter: object, method: str, other: str) -> bool:
    """Return whether *method* of *adapter* knows of all that its *other* does.

    Where a subclass, or what stands in front of an adapter and passes on what it does not have
    itself, has an *other* of its own alone, it does not.
    """
    for place in (getattr(adapter, "__dict__", {}), *map(vars, type(adapter).__mro__)):
        if method in place:
            return True
        if other in place:
            return False
    return False


def find_many(adapter: SourceAdapter, hints: Iterable[Any]) -> set[str]:
    """Return the sections that belong to any of *hints*, whether *adapter* can ask at once or not.

    :param adapter: one that can has a method ``find_sections_many``.
    """
    several = frozenset(as_set(hints))
    if _goes_with(adapter, "find_sections_many", "find_sections"):
        return as_set(cast(Any, adapter).find_sections_many(several))
    return {section for hint in several for section in as_set(adapter.find_sections(hint))}


def find_both(
    groups: SourceAdapter, hint: Any, permissions: SourceAdapter
) -> tuple[set[str], set[str]]:
    """Return the groups that belong to *hint*, and what any of them is permitted."""
    if finds_with_permissions(groups):
        found, permitted = groups.find_with_permissions(hint, permissions)
        return as_set(found), as_set(permitted)
    found = as_set(groups.find_sections(hint))
    return found, find_many(permissions, found)


def as_set(names: Iterable[Any]) -> set[Any]:
    """Return *names* as a set, or raise `SourceError` for what is one name and not several.

    A set of its letters would be taken for sections, or items.
    """
    if is_one_name(names):
        raise SourceError(f"Several items are wanted, not the one string {names!r}", written=False)
    return set(names)


def is_one_name(names: object) -> bool:
    """Return whether *names* is text or bytes of any kind, and not several names."""
    # It takes a tenth as long to know these by their type.
    if isinstance(names, (set, frozenset, list, tuple)):
        return False
    # Also of a text that is not there before it is looked at, as Django has them.
    if hasattr(names, "encode") or hasattr(names, "decode"):
        return True
    try:
        memoryview(names)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def can_be_called(function: Callable[..., object], *arguments: object) -> bool:
    """Return whether *function* takes so many arguments, as far as Python knows."""
    try:
        signature(function, follow_wrapped=False).bind(*arguments)
    except ValueError:
        # It does not know it of all that is written in C.
        return True
    except TypeError:
        return False
    return True


def is_asynchronous(function: object) -> bool:
    """Return whether what *function* returns is to be awaited, as far as Python knows."""
    return any(
        iscoroutinefunction(each) or isasyncgenfunction(each)
        for each in (function, type(function).__call__)
    )


def check_adapter(adapter: object, kind: str, place: str) -> None:
    """Raise `TypeError` unless *adapter* can be one of sources of *kind*.

    :param adapter: it need not be a `BaseSourceAdapter`.
    :param kind: ``groups`` or ``permissions``.
    :param place: what the error calls it.
    """
    if isinstance(adapter, type):
        raise TypeError(f"{place} is the class {adapter.__name__}, and no adapter of that class")
    name = type(adapter).__name__
    if not callable(getattr(adapter, "find_sections", None)):
        raise TypeError(f"{place} is no adapter: {name} has no find_sections")
    for method in ("find_sections", "find_sections_many"):
        found = getattr(adapter, method, adapter.find_sections)  # type: ignore[attr-defined]
        if not callable(found) or is_asynchronous(found):
            raise TypeError(f"{place} is no adapter: {name}.{method} is no method, or a coroutine")
        if not can_be_called(found, None):
            raise TypeError(f"{place} is no adapter: {name}.{method} takes no hint")
    if kind == "groups" and finds_with_permissions(adapter):
        found = adapter.find_with_permissions
        if not callable(found) or is_asynchronous(found) or not can_be_called(found, None, None):
            raise TypeError(
                f"{place} is no adapter: {name}.find_with_permissions is no method that takes a "
                "hint and an adapter, or a coroutine"
            )
    other = {"groups": "permissions", "permissions": "groups"}[kind]
    if getattr(adapter, "source_kind", None) == other:
        raise TypeError(f"{place} is a {name}, an adapter of {other}, in the place of {kind}")


def check_apart(groups: SourceAdapter, permissions: SourceAdapter, places: str) -> None:
    """Raise `ValueError` if sections of one of the two would be taken for those of the other.

    :param groups: an adapter that may say so has a method ``mixes_with``.
    :param places: what the error calls them.
    """
    mixes_with = getattr(groups, "mixes_with", None)
    if mixes_with is not None and mixes_with(permissions):
        raise ValueError(
            f"{places} lie in one place, where nothing tells groups from permissions. Give each a "
            f"database of its own, or both a namespace: {groups!r}, {permissions!r}"
        )
