"""Copying a source from one adapter to another, of whatever kind they are."""

from collections.abc import Callable, Iterable

from repoze.what.adapters import AdapterError, BaseSourceAdapter, NonExistingSectionError

from .adapters import RedisAdapter
from .names import decode, described, encode

_SECTIONS_AT_A_TIME = 100


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
) -> int:
    """Copy every section of *source*, with its items, to *target*, and return how many there are.

    A section that *target* has in part is completed, so a copy that was stopped can be run again.
    One that has items there which it does not have in *source* may be somebody else's: it is left
    as it is, and reported in the end. Sections that only *target* has stay.

    :param source: is read about 100 sections at a time, where it is in Redis; another adapter
        gives all at once.
    :param progress: called with the number of sections that have been gone through and the number
        of all, after each hundred or so.
    :raises CopyError: where a section could not be copied; where that is because an adapter
        failed, its error is the cause.
    """
    _check(source, target)
    copied, left_alone, total = 0, [], 0
    try:
        names, read = _reader(source)
        total = len(names)
        for start in range(0, total, _SECTIONS_AT_A_TIME):
            page = names[start : start + _SECTIONS_AT_A_TIME]
            for section, items in read(page).items():
                if _complete(target, section, items):
                    copied += 1
                else:
                    left_alone.append(section)
            if progress is not None:
                progress(start + len(page), total)
    except AdapterError as error:
        raise CopyError(
            f"Stopped when {copied:,} of {total:,} sections were copied: {error}", copied
        ) from error
    if left_alone:
        raise CopyError(
            f"{copied:,} of {total:,} sections are copied. Those left have items in the target "
            f"that they do not have in the source: {described(left_alone)}",
            copied,
        )
    return copied


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
) -> tuple[list[str], Callable[[Iterable[str]], dict[str, set[str]]]]:
    if isinstance(source, RedisAdapter):
        return sorted(source.get_section_names()), source.get_many_section_items
    sections = {
        _text(section): set(map(_text, items))
        for section, items in source.get_all_sections().items()
    }
    return sorted(sections), lambda names: {name: sections[name] for name in names}


def _text(name: object) -> str:
    # Other adapters may give numbers or bytes. What can name nothing, the target refuses.
    encoded = encode(name)
    return "" if encoded is None else decode(encoded)


def _complete(target: BaseSourceAdapter, section: str, items: set[str]) -> bool:
    """Give *section* of *target* all of *items*, and return whether those are all it has then."""
    try:
        present = set(map(_text, target.get_section_items(section)))
    except NonExistingSectionError:
        target.create_section(section)
        present = set()
    if present - items:
        return False
    if items - present:
        target.include_items(section, items - present)
    return True
