"""A source as an ini file of ``repoze.what.plugins.ini``.

By the manual of that plugin a section is a line ``[NAME]``, and each of its items a line of its own
after it; blank lines count for nothing, nor do blanks around a name and what comes after a ``#``.
Bytes that are not UTF-8 are read and written as they are.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import IO, TextIO

from repoze.what.plugins.redis.names import described

from .exporting import Sections
from .failures import Failure
from .staging import Entry

_ENCODING = ("utf-8", "surrogateescape")


def write_ini(out: TextIO, sections: Sections) -> None:
    """Write *sections*.

    :raises Failure: where such a file cannot have one of the names.
    """
    for section, items in sections:
        for name in (section, *items):
            if name != name.strip() or not {"\n", "\r", "#", "[", "]"}.isdisjoint(name):
                raise Failure(
                    f"An ini file cannot have the name {described(name)}: it has no line breaks, "
                    "# [ or ], nor blanks around it. Export JSON."
                )
        out.writelines(f"{line}\n" for line in (f"[{section}]", *items, ""))


def read_ini(file: IO[bytes], kind: str) -> Iterator[Entry]:
    """Return what is in *file*, which is read as it is asked for.

    :param kind: what its sections are, one of `KINDS`.
    :raises Failure: where it is no such file.
    """
    section = None
    for number, line in enumerate(file, 1):
        text = (line.removeprefix(BOM_UTF8) if number == 1 else line).decode(*_ENCODING)
        entry = text.partition("#")[0].strip()
        if entry.startswith("["):
            section = entry.removeprefix("[").removesuffix("]")
            if not section or not entry.endswith("]"):
                raise Failure(f"Line {number:,} of the ini file of {kind} is no [NAME].")
            yield Entry(kind, section)
        elif entry:
            if section is None:
                raise Failure(f"Line {number:,} of the ini file of {kind} comes before any [NAME].")
            yield Entry(kind, section, entry)
