"""What goes wrong, told in one line and by the exit status."""

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
import redis
from click.exceptions import Exit, NoArgsIsHelpError

from repoze.what.adapters import AdapterError
from repoze.what.printable import printable

from . import INTERRUPTED, NOT_POSSIBLE
from .output import tell

_NOT_THERE = 3


class Failure(click.ClickException):
    """A command could not do what it was told; the text says why, and what to do."""

    exit_code = NOT_POSSIBLE

    def format_message(self) -> str:
        """Return the text in one line, without what a terminal would take for commands."""
        return printable(" ".join(self.message.split()))


class NotThere(Failure):
    """A command was asked about what is not there, which is another thing than a no."""

    exit_code = _NOT_THERE


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Raise `Failure` for the errors of adapters and files, and end for those of the keyboard."""
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        raise click.UsageError(_without_urls(error.format_message()), error.ctx) from None
    except BrokenPipeError as error:
        # Nobody reads on, or nobody reads that it was interrupted.
        is_interrupted = isinstance(error.__context__, KeyboardInterrupt)
        raise Exit(INTERRUPTED if is_interrupted else NOT_POSSIBLE) from None
    except OSError as error:
        where = "standard output"
        if error.filename is not None:
            where = _without_urls(str(error.filename)) or "''"
        # What is said then of the socket that `main` opens in its place.
        reason = "it is closed" if error.errno == errno.ENOTCONN else error.strerror or error
        raise Failure(f"{where}: {reason}") from error
    except (AdapterError, redis.RedisError) as error:
        raise Failure(str(error)) from error
    except sqlite3.Error as error:
        raise Failure(f"The temporary file cannot be used: {error}") from error
    except (KeyboardInterrupt, click.Abort):
        # Nobody may wait for it.
        with suppress(KeyboardInterrupt):
            tell("Interrupted.")
        raise Exit(INTERRUPTED) from None


def _without_urls(text: str) -> str:
    # What is not understood is quoted: a URL that stands in the wrong place, perhaps, with a
    # password; or a part of one, or one with a blank in it. A single letter before the colon is a
    # drive of Windows.
    return re.sub(r"(\w\w\s*:\s*/|:(?=\S*@)).*", r"\1...", text, flags=re.DOTALL)
