"""The command line, ``repoze-what-redis``. It needs the distribution's ``cli`` extra.

Without it this module can be imported all the same, and `main` says what is missing.
"""

import os
import socket
import sys
from contextlib import suppress
from importlib import import_module
from io import RawIOBase, TextIOWrapper
from typing import TextIO, cast

EXTRAS = {"click": "cli", "sqlalchemy": "cli,sql"}
NOT_POSSIBLE = 2
"""The exit status where a command could not do what it was told. That of an answer is 1."""
INTERRUPTED = 130
"""That after Ctrl-C."""


def main() -> None:
    """Run the command that the command line names, and exit with its status.

    That is 0 where it is done, or the answer is yes; 1 where the answer is no, or `check`, `repair`
    or `diff` found something; 2 where it was not possible, and 3 where it was asked about what is
    not there, which is then said on the standard error; 130 where it was interrupted.
    """
    _open_closed_streams()
    sys.stdout, sys.stderr = map(_that_writes_all, (sys.stdout, sys.stderr))
    # Nor is it an answer where nothing says how it ended.
    status: str | int | None = NOT_POSSIBLE
    try:
        _run()
    except SystemExit as ended:
        status = ended.code
    except KeyboardInterrupt:
        # Nobody may wait for it.
        with suppress(OSError, KeyboardInterrupt):
            sys.stderr.write("Interrupted.\n")
        status = INTERRUPTED
    except Exception:  # noqa: BLE001 - Python would end with 1 then, and that is an answer
        sys.excepthook(*sys.exc_info())
    what_went_wrong = _write_the_rest(sys.stdout)
    _write_the_rest(sys.stderr)
    if isinstance(what_went_wrong, KeyboardInterrupt):
        status = INTERRUPTED
    elif what_went_wrong and status != INTERRUPTED:
        status = NOT_POSSIBLE
    sys.exit(status)


def _run() -> None:
    # Nothing else of the distribution is imported before: what cannot be imported is a failure, and
    # Ctrl-C is Ctrl-C then, too.
    try:
        program = import_module(".program", __package__)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"Error: {missing(error)}\n")
        sys.exit(NOT_POSSIBLE)
    program.run()


def missing(error: ModuleNotFoundError) -> str:
    """Return what to do about *error*, which is raised again where it is not of an extra."""
    if error.name not in EXTRAS:
        raise error
    return (
        f"{error.name} is not installed. "
        f"Run: pip install 'repoze.what.plugins.redis[{EXTRAS[error.name]}]'"
    )


def _open_closed_streams() -> None:
    # Python has None for what is closed, as by >&-. And a file or a connection that is opened then
    # would take its number, and get what is written there.
    sys.stdin = sys.stdin or _open_closed("r")
    sys.stdout = sys.stdout or _open_closed("w")
    if not sys.stderr:
        _open_closed("w")
        # Nobody can be told that nobody can be told.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _open_closed(mode: str) -> TextIO:
    # A socket that is not connected fails as what is closed does: when it is used, and also where
    # it is opened anew by a name such as /dev/stdout. Of each kind, either end says ENOTCONN.
    family = socket.AF_INET if mode == "r" else socket.AF_UNIX
    number = socket.socket(family).detach()
    return _opened(number, mode, "utf-8")


def _opened(number: int, mode: str, encoding: str) -> TextIO:
    # By lines: whoever wants no buffer wants each line at once.
    return cast(TextIO, open(number, mode, 1, encoding=encoding, closefd=False))


def _that_writes_all(stream: TextIO) -> TextIO:
    text = cast(TextIOWrapper, stream)
    if isinstance(text.buffer, RawIOBase):
        # So it is with PYTHONUNBUFFERED. It may write a part, and nobody would write the rest.
        text = cast(TextIOWrapper, _opened(text.fileno(), "w", text.encoding))
    # What a terminal's encoding does not have is no reason to fail.
    text.reconfigure(errors="backslashreplace")
    return text


def _write_the_rest(stream: TextIO) -> BaseException | None:
    """Write what *stream* has kept back, and return why it cannot, if that is so."""
    try:
        stream.flush()
    except (OSError, KeyboardInterrupt) as error:
        # When Python ends it would try once more, and wait, or change the exit status.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None
