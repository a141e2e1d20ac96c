"""What goes wrong, told in one line and by the exit status."""

import os
import sqlite3
import sys
from typing import Any

import click
import redis

from repoze.what.adapters import AdapterError

from .output import printable

# 1 is an answer.
_NOT_POSSIBLE = 2
_INTERRUPTED = 130


class Failure(click.ClickException):
    """A command could not do what it was told; the text says why, and what to do."""

    exit_code = _NOT_POSSIBLE

    def format_message(self) -> str:
        """Return the text in one line, without what a terminal would take for commands."""
        return printable(" ".join(self.message.split()))


class Program(click.Group):
    """A group of commands that tells the errors of adapters, files and Ctrl-C in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. What click itself raises is told by click."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Nobody reads on. What is left to write must not fail once more when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(_NOT_POSSIBLE)
        except OSError as error:
            file = f"{error.filename}: " if error.filename else ""
            raise Failure(file + (error.strerror or str(error))) from error
        except (AdapterError, redis.RedisError) as error:
            raise Failure(str(error)) from error
        except sqlite3.Error as error:
            raise Failure(f"The temporary file cannot be used: {error}") from error
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted.", err=True)
            ctx.exit(_INTERRUPTED)
