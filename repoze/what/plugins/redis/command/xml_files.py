"""A source as an XML file of ``repoze.what.plugins.xml``.

By the manual of that plugin it is ``<groups>`` with a ``<group name="...">`` for each group, which
has a ``<member name="..."/>`` for each user; or ``<permissions>``, ``<permission name="...">`` and
``<group name="..."/>``. A document type declaration is refused, and with it all entities that
somebody could define: nothing is expanded, and no other file or address is read.
"""

import re
from collections.abc import Iterator
from typing import IO, NoReturn, TextIO
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from repoze.what.plugins.redis.names import described

from .exporting import Sections
from .failures import Failure
from .staging import Entry

_ELEMENTS = {
    "groups": ("groups", "group", "member"),
    "permissions": ("permissions", "permission", "group"),
}
# Production 2 of XML 1.0.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BYTES_AT_A_TIME = 1 << 16


def write_xml(out: TextIO, kind: str, sections: Sections) -> None:
    """Write *sections*, which are *kind*: groups or permissions.

    :raises Failure: where XML cannot have one of the names.
    """
    source, section_element, item_element = _ELEMENTS[kind]
    out.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<{source}>\n')
    for section, items in sections:
        out.write(f"  <{section_element} name={_quoted(section)}>\n")
        out.writelines(f"    <{item_element} name={_quoted(item)}/>\n" for item in items)
        out.write(f"  </{section_element}>\n")
    out.write(f"</{source}>\n")


def _quoted(name: str) -> str:
    if _FORBIDDEN.search(name):
        raise Failure(
            f"XML cannot have the name {described(name)}: it has neither control characters nor "
            "what is not UTF-8. Export JSON."
        )
    return quoteattr(name)


def read_xml(file: IO[bytes], kind: str) -> Iterator[Entry]:
    """Return what is in *file*, which is read as it is asked for.

    :param kind: what its sections are, one of `KINDS`.
    :raises Failure: where it is no such file.
    """
    reader = _Reader(kind)
    try:
        while block := file.read(_BYTES_AT_A_TIME):
            reader.parser.Parse(block)
            yield from reader.found
            reader.found.clear()
        reader.parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise Failure(f"That is no XML, or not all of it: {error}") from error


class _Reader:
    def __init__(self, kind: str) -> None:
        self.found: list[Entry] = []
        self.parser = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._kind = kind
        self._depth = 0
        self._section = ""

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        wanted = _ELEMENTS[self._kind][self._depth : self._depth + 1]
        if wanted != (element,):
            self._refuse(f"<{' or '.join(wanted)}>" if wanted else "no element", f"<{element}>")
        self._depth += 1
        if self._depth > 1:
            name = attributes.get("name")
            if not name:
                self._refuse("a name", f"none, for <{element}>")
            if self._depth == len(_ELEMENTS[self._kind]):
                self.found.append(Entry(self._kind, self._section, name))
            else:
                self._section = name
                self.found.append(Entry(self._kind, name))

    def _end(self, _: str) -> None:
        self._depth -= 1

    def _text(self, text: str) -> None:
        if text.strip():
            self._refuse("no text", described(text))

    def _refuse_doctype(self, *_: object) -> NoReturn:
        self._refuse("no document type declaration", "<!DOCTYPE>")

    def _refuse(self, wanted: str, found: str) -> NoReturn:
        raise Failure(
            f"Line {self.parser.CurrentLineNumber:,} of the XML of {self._kind}: {wanted} is "
            f"wanted there, not {found}."
        )
