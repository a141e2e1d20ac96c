"""What a request asks for, in its query and in its form: read for certain, or not at all.

A predicate that reads another value than the application allows what it should refuse, and parsers
differ in what they make of a form that is not quite right. So what WebOb, Werkzeug and Django could
read differently is not read.
"""

import os
import re
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote

from webob import Request
from webob.request import DisconnectionError

__all__ = ["UnclearFormError", "read_form", "read_query"]

_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"

# To WebOb a ; is an &, and one digit behind a % will do.
_MALFORMED_QUERY = re.compile(r";|%(?![0-9A-Fa-f]{2})")
# What is called a token, as what is not quoted is: at another character Werkzeug stops reading.
_UNQUOTED = r"[\w!#$%&'*+.^`|~-]+"
_PARAMETER = re.compile(rf';[ \t]*([\w*-]+)=(?:"([^"\\]*)"|({_UNQUOTED}))[ \t]*', re.ASCII)
_BOUNDARY = re.compile(r"[^\s\"\\;,\x00-\x1f\x7f-\U0010ffff]{1,70}")
_HEADER = re.compile(rf"({_UNQUOTED}):[ \t]*([^\x00-\x1f\x7f-\x9f\u2028\u2029]*)", re.ASCII)

# RFC 8187: a charset, a language, and what is encoded.
_EXTENDED_NAME = re.compile(r"(?i:utf-8)'[\w-]*'([^']+)", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)

# In bytes. Those of a browser have some hundred.
_LONGEST_HEADERS = 8_192
_CHUNK = 65_536
# Werkzeug and Django take as many.
_MOST_PARTS = 1_000


class UnclearFormError(ValueError):
    """Two programs could read it differently."""


def read_query(environ: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the variables of the query."""
    query = environ.get("QUERY_STRING") or ""
    if _MALFORMED_QUERY.search(query):
        raise UnclearFormError("The query has a ; or a % that is not encoded")
    content_type = environ.get("CONTENT_TYPE") or ""
    if query and "charset" in content_type.lower():
        # To Django it is that of the query, too, be there a body or not.
        media_type, rest = _split(content_type)
        if '"' in media_type:
            raise UnclearFormError("The type of the request cannot be read")
        _check_charset(_parameters(rest))
    try:
        return _read_urlencoded(query.encode("latin-1"))
    except UnicodeError:
        raise UnclearFormError("The query is not UTF-8") from None


def read_form(environ: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the fields of the form; there are none if the request has no form.

    The application can still read the body, from its beginning.
    """
    request = Request(environ)
    if not _may_have_form(request):
        return []
    size = _make_seekable(request)
    if size == 0:
        if environ.get("HTTP_TRANSFER_ENCODING"):
            # It may have been read before, and nobody says how long it was.
            raise UnclearFormError("The form is not there to be read")
        return []
    try:
        return _read_body(request, size)
    finally:
        request.environ["wsgi.input"].seek(0)


def _may_have_form(request: Request) -> bool:
    media_type = _split(request.environ.get("CONTENT_TYPE"))[0].strip().lower()
    # To WebOb, what is posted without a type is a form; to Werkzeug, up to 2.3, any url-encoded.
    return (
        "form" in media_type
        or "url-encoded" in media_type
        or (not media_type and request.method == "POST")
    )


def _make_seekable(request: Request) -> int:
    """Have the body where it can be read again, and return its size."""
    if "wsgi.input" not in request.environ:
        raise UnclearFormError("The form is not there to be read")
    length = _length(request.environ)
    if length == 0:
        return 0
    try:
        request.make_body_seekable()
    except DisconnectionError:
        raise UnclearFormError("The form ends early") from None
    body: BinaryIO = request.environ["wsgi.input"]
    body.seek(0, os.SEEK_END)
    size = body.tell()
    body.seek(0)
    if length is not None and size != length:
        raise UnclearFormError("The form is not as long as it says")
    return size


def _read_body(request: Request, size: int) -> list[tuple[str, Any]]:
    media_type, rest = _split(request.environ.get("CONTENT_TYPE"))
    # Some take these for a form, and some do not.
    if media_type not in {_URLENCODED, _MULTIPART} or request.method in {"GET", "HEAD"}:
        raise UnclearFormError("It is not clear whether there is a form")
    parameters = _parameters(rest)
    _check_charset(parameters)
    if media_type == _MULTIPART:
        return _read_multipart(request, size, parameters.get("boundary", ""))
    try:
        return _read_urlencoded(request.environ["wsgi.input"].read())
    except UnicodeError:
        raise UnclearFormError("The form is not UTF-8") from None


def _read_urlencoded(encoded: bytes) -> list[tuple[str, str]]:
    return parse_qsl(encoded.decode(), keep_blank_values=True, errors="strict")


def _length(environ: dict[str, Any]) -> int | None:
    """Return the length of the body, or None where it ends by itself."""
    declared = str(environ.get("CONTENT_LENGTH") or "")
    terminated = environ.get("wsgi.input_terminated")
    if environ.get("HTTP_TRANSFER_ENCODING") and not terminated:
        raise UnclearFormError("The server does not say where the form ends")
    if not declared:
        return None if terminated else 0
    # Where it has been read, WebOb says how long it was.
    if environ.get("HTTP_TRANSFER_ENCODING") and not Request(environ).is_body_seekable:
        raise UnclearFormError("The form says in two ways where it ends")
    if not _LENGTH.fullmatch(declared):
        raise UnclearFormError("The form's length is no number")
    return int(declared)


def _split(header: str | None) -> tuple[str, str]:
    value, semicolon, rest = (header or "").partition(";")
    return value, semicolon + rest


def _parameters(text: str) -> dict[str, str]:
    """Return what follows the value of a header, as in ``; charset=utf-8``."""
    parameters: dict[str, str] = {}
    end = 0
    while found := _PARAMETER.match(text, end):
        end = found.end()
        name = found[1].lower()
        # To some, boundary*=utf-8''x and boundary*0=x are other ways to say boundary=x (RFC 2231).
        if "*" in name and name != "filename*":
            raise UnclearFormError("A header of the form says something in an unusual way")
        if name in parameters:
            raise UnclearFormError("A header of the form says something twice")
        parameters[name] = found[2] if found[3] is None else found[3]
    if text[end:].strip(" \t") not in {"", ";"}:
        raise UnclearFormError("A header of the form cannot be read")
    return parameters


def _check_charset(parameters: dict[str, str]) -> None:
    if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise UnclearFormError("The request is not UTF-8")


# Forms of several parts


def _read_multipart(request: Request, size: int, boundary: str) -> list[tuple[str, Any]]:
    # Werkzeug takes %22 for a quotation mark.
    if not _BOUNDARY.fullmatch(boundary) or "%22" in boundary:
        raise UnclearFormError("The form's boundary cannot be read")
    body: BinaryIO = request.environ["wsgi.input"]
    fields = [
        _read_field(body, start, end)
        for start, end in _parts(body, size, b"--" + boundary.encode())
    ]
    # WebOb has objects for files, and keeps them for the application. Where none was chosen, it has
    # the bytes of nothing.
    items: list[tuple[str, Any]] = list(request.POST.items())
    read = [
        (name, "" if isinstance(value, bytes) and not value else value) for name, value in items
    ]
    if fields != [(name, value if isinstance(value, str) else None) for name, value in read]:
        raise UnclearFormError("The form cannot be read for certain")
    return read


def _parts(body: BinaryIO, size: int, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each part begins and ends.

    Between them is the delimiter on a line of its own, and it is nowhere else: some look for it at
    the beginnings of lines, others everywhere.
    """
    found = list(_occurrences(body, delimiter))
    if not found or not (found[0] == 0 or _text(body, 0, found[0]) == b"\r\n"):
        raise UnclearFormError("The form does not begin with its boundary")
    if _text(body, found[-1] + len(delimiter), size) not in {b"--", b"--\r\n"}:
        raise UnclearFormError("The form does not end with its boundary")
    for previous, following in pairwise(found):
        start, end = previous + len(delimiter) + 2, following - 2
        if (
            start > end
            or _text(body, start - 2, start) != b"\r\n"
            or _text(body, end, following) != b"\r\n"
        ):
            raise UnclearFormError("The form's boundary is not on a line of its own")
        yield start, end


def _occurrences(body: BinaryIO, delimiter: bytes) -> Iterator[int]:
    body.seek(0)
    read = b""
    begin = count = 0
    while chunk := body.read(_CHUNK):
        read += chunk
        position = read.find(delimiter)
        while position >= 0:
            count += 1
            if count > _MOST_PARTS + 1:
                raise UnclearFormError("The form has too many parts")
            yield begin + position
            position = read.find(delimiter, position + 1)
        kept = len(delimiter) - 1
        begin += max(len(read) - kept, 0)
        read = read[-kept:]


def _text(body: BinaryIO, start: int, end: int) -> bytes:
    body.seek(start)
    return body.read(end - start)


def _read_field(body: BinaryIO, start: int, end: int) -> tuple[str, str | None]:
    """Return name and value of the part between *start* and *end*; a file has None for a value."""
    text, empty_line, _ = _text(body, start, min(end, start + _LONGEST_HEADERS)).partition(
        b"\r\n\r\n"
    )
    if not empty_line:
        raise UnclearFormError("A part of the form has no headers")
    start += len(text) + len(empty_line)
    headers = _headers(text)
    disposition, rest = _split(headers.get("content-disposition"))
    named = _parameters(rest)
    name = named.pop("name", "")
    is_file = _is_file(named)
    # Django strips names, and Werkzeug takes %22 for a quotation mark.
    if (
        disposition.strip().lower() != "form-data"
        or name != name.strip()
        or not name
        or "%22" in name
        or named.keys() - {"filename", "filename*"}
        # As a browser sends it where no file is chosen.
        or ("filename" in named and not is_file and start != end)
    ):
        raise UnclearFormError("A part of the form has no clear name")
    media_type, rest = _split(headers.get("content-type"))
    media_type = media_type.strip().lower()
    parameters = _parameters(rest)
    encoding = headers.get("content-transfer-encoding", "binary").lower()
    # What is a form, a message or encoded itself, WebOb reads as that, and a file's name in its
    # charset.
    if (
        media_type == _URLENCODED
        or media_type.startswith(("multipart/", "message/"))
        or encoding not in {"7bit", "8bit", "binary"}
        or headers.get("content-length", str(end - start)) != str(end - start)
    ):
        raise UnclearFormError("A part of the form is encoded")
    _check_charset(parameters)
    if is_file:
        return name, None
    if "filename" in named and parameters:
        # WebOb fails.
        raise UnclearFormError("A part of the form that is no file says how it is encoded")
    try:
        return name, _text(body, start, end).decode()
    except UnicodeError:
        raise UnclearFormError("The form is not UTF-8") from None


def _is_file(named: dict[str, str]) -> bool:
    """Whether a part is a file: one that has a name for all who read it, in each way it is given.

    Of a name Django leaves out folders and what cannot be printed. Where nothing is left it takes
    the part for a text, or for nothing.
    """
    names = [named.get("filename", "")]
    if "filename*" in named:
        extended = _EXTENDED_NAME.fullmatch(named["filename*"])
        if not extended:
            raise UnclearFormError("A header of the form says something in an unusual way")
        names.append(unquote(extended[1], errors="replace"))
    elif not names[0]:
        return False
    for each in names:
        base = re.split(r"[/\\]", unescape(each))[-1]
        if "".join(filter(str.isprintable, base)).strip(" .") == "":
            raise UnclearFormError("A file of the form has no name")
    return True


def _headers(text: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    try:
        lines = text.decode().split("\r\n")
    except UnicodeError:
        raise UnclearFormError("The form is not UTF-8") from None
    for line in lines:
        found = _HEADER.fullmatch(line)
        if not found or found[1].lower() in headers:
            raise UnclearFormError("A header of the form cannot be read")
        headers[found[1].lower()] = found[2].rstrip(" \t")
    return headers
