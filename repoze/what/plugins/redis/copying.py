"""Copying a source from one adapter to another, of whatever kind they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from operator import itemgetter

from more_itertools import chunked

from repoze.what.adapters import AdapterError, BaseSourceAdapter, NonExistingSectionError

from .adapters import RedisAdapter
from .names import decode, described, encode, some
from .refusals import EndPastError

Memberships = Mapping[str, datetime | None]
"""The items of a section, each with when it is out of it; `None` is that it is in it for good."""

_SECTIONS_AT_A_TIME = 100
_NEVER = datetime.max.replace(tzinfo=UTC)


class CopyError(AdapterError):
    """Not all sections could be copied; the text says which were not, and why.

    :param copied: the number of sections that are in the target as they are in the source, which
        the error keeps as ``copied``.
    """

    def __init__(self, text: str, copied: int = 0) -> None:
        # Pickle makes it of the text alone, and then sets what it keeps.
        super().__init__(text)
        self.copied = copied


def copy_sections(
    source: BaseSourceAdapter,
    target: BaseSourceAdapter,
    progress: Callable[[int, int], object] | None = None,
    *,
    only_for_good: bool = False,
) -> int:
    """Copy every section of *source*, with its items, to *target*, and return how many there are.

    A section that *target* has in part is completed, so a copy that was stopped can be run again.
    One that has items there which it does not have in *source*, or has them for longer, may be
    somebody else's: it is left as it is, and reported in the end. Sections that only *target* has
    stay.

    Items that are in a section for a time are so in *target*, until the same time. That takes two
    adapters of the indexed layout.

    :param source: is read about 100 sections at a time, where it is in Redis; another adapter
        gives all at once.
    :param progress: called with the number of sections that have been gone through and the number
        of all, after each hundred or so.
    :param only_for_good: whether to leave out whatever is in a section for a time only. It has to
        be, where *target* cannot keep when that ends.
    :raises CopyError: where a section could not be copied; where that is because an adapter
        failed, its error is the cause. Where *target* cannot keep an end, nothing is copied.
    """
    _check(source, target)
    copied, left_alone, total = 0, [], 0
    try:
        names, read = _reader(source)
        total = len(names)
        if not only_for_good:
            check_ends(source, target)
        gone_through = 0
        for page in chunked(names, _SECTIONS_AT_A_TIME):
            for section, items in sorted(read(page).items(), key=itemgetter(0)):
                wanted = _for_good(items) if only_for_good else items
                _refuse_ends(target, section, wanted)
                if _complete(target, section, items, wanted):
                    copied += 1
                else:
                    left_alone.append(section)
            gone_through += len(page)
            if progress is not None:
                progress(gone_through, total)
    except AdapterError as error:
        raise CopyError(
            f"Stopped when {copied:,} of {total:,} sections were copied: {error}", copied
        ) from error
    if left_alone:
        raise CopyError(
            f"{copied:,} of {total:,} sections are copied. Those left have items in the target "
            "that they do not have in the source, or have there for a shorter time: "
            f"{described(left_alone)}",
            copied,
        )
    return copied


def check_ends(source: BaseSourceAdapter, target: BaseSourceAdapter) -> None:
    """Return where *target* can keep when memberships of *source* end, or none of them does.

    :raises CopyError: where it cannot, and there are such.
    """
    # Others have no ends.
    if isinstance(source, RedisAdapter) and source.keeps_ends and not _keeps_ends(target):
        names, read = _reader(source)
        for page in chunked(names, _SECTIONS_AT_A_TIME):
            for section, items in sorted(read(page).items(), key=itemgetter(0)):
                _refuse_ends(target, section, items)


def _refuse_ends(target: BaseSourceAdapter, section: str, items: Memberships) -> None:
    if not _keeps_ends(target):
        ending = items.keys() - _for_good(items).keys()
        if ending:
            raise CopyError(
                f"{described(section)} has items for a time only: {some(ending)}. There is no room "
                "for when that ends in the target, where they would be in it for good. Copy to an "
                "adapter with a namespace; or leave such items out, with only_for_good."
            )


def _keeps_ends(adapter: BaseSourceAdapter) -> bool:
    return isinstance(adapter, RedisAdapter) and adapter.keeps_ends


def _for_good(items: Memberships) -> Memberships:
    return {item: until for item, until in items.items() if until is None}


def _check(source: BaseSourceAdapter, target: BaseSourceAdapter) -> None:
    for adapter in (source, target):
        if isinstance(adapter, RedisAdapter) and adapter.reads_from_replica:
            raise CopyError(
                f"{adapter!r} may not see the latest writes: make one without read_from to copy.", 0
            )
    if (
        isinstance(source, RedisAdapter)
        and isinstance(target, RedisAdapter)
        and source.namespace != target.namespace
        and source.mixes_with(target)
    ):
        raise CopyError(
            f"Both sources lie in one database ({source.place}). Without a namespace, each set "
            "there is a section, and so the keys of the other are: give one of them another db.",
            0,
        )


def _reader(
    source: BaseSourceAdapter,
) -> tuple[list[str], Callable[[Iterable[str]], Mapping[str, Memberships]]]:
    if isinstance(source, RedisAdapter):
        return sorted(source.get_section_names()), source.get_many_sections_until
    sections: dict[str, Memberships] = {
        _text(section): dict.fromkeys(map(_text, items))
        for section, items in source.get_all_sections().items()
    }
    return sorted(sections), lambda names: {name: sections[name] for name in names}


def _text(name: object) -> str:
    # Other adapters may give numbers or bytes. What can name nothing, the target refuses.
    encoded = encode(name)
    return "" if encoded is None else decode(encoded)


def _complete(
    target: BaseSourceAdapter, section: str, items: Memberships, wanted: Memberships
) -> bool:
    """Give *section* of *target* what it lacks of *wanted*.

    :return: whether it has then what *items* says, and nothing for longer.
    """
    present = _present(target, section)
    if present is None:
        target.create_section(section)
        present = {}
    if any(
        item not in items or _ends_before(items[item], until) for item, until in present.items()
    ):
        return False
    lacking: dict[datetime | None, list[str]] = {}
    for item, until in wanted.items():
        if item not in present:
            lacking.setdefault(until, []).append(item)
        elif _ends_before(present[item], until) and isinstance(target, RedisAdapter):
            # In the meantime that may have come, and the item is as gone as it is in the source.
            with suppress(EndPastError):
                target.set_until(section, item, until)
    for until, names in lacking.items():
        _include(target, section, names, until)
    return True


def _present(target: BaseSourceAdapter, section: str) -> Memberships | None:
    if isinstance(target, RedisAdapter):
        found = target.get_many_sections_until([section])
        return next(iter(found.values()), None)
    try:
        return dict.fromkeys(map(_text, target.get_section_items(section)))
    except NonExistingSectionError:
        return None


def _include(
    target: BaseSourceAdapter, section: str, names: Sequence[str], until: datetime | None
) -> None:
    if until is None or not isinstance(target, RedisAdapter):
        target.include_items(section, set(names))
        return
    with suppress(EndPastError):
        target.include_items(section, names, until)


def _ends_before(one: datetime | None, other: datetime | None) -> bool:
    return (one or _NEVER) < (other or _NEVER)
