"""The command ``repoze-what-redis``: its options, and the commands that it has."""

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click
from click.exceptions import Exit
from click.shell_completion import add_completion_class

from . import NOT_POSSIBLE
from .completion import Bash, Fish, Zsh
from .failures import told_in_one_line
from .sources import accept_source_options, source_options, url_option

# Each is imported when it is asked for: all together, they take as long as what one of them does.
_COMMANDS = {
    "groups": ".groups:groups",
    "permissions": ".permissions:permissions",
    "users": ".users:users",
    "who": ".lookups:who",
    "can": ".lookups:can",
    "who-can": ".lookups:who_can",
    "history": ".history:history",
    "undo": ".undoing:undo",
    "check": ".review:check",
    "repair": ".review:repair",
    "export": ".transfer:export",
    "import": ".transfer:import_",
    "diff": ".reconciling:diff",
    "apply": ".reconciling:apply",
    "copy": ".copying:copy",
    "watch": ".watching:watch",
}


class Program(click.Group):
    """The group of all commands, which tells errors of adapters, files and Ctrl-C in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - it is click's
        """Return the names of the commands, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, if there is one."""
        if cmd_name in _COMMANDS and cmd_name not in self.commands:
            module, _, name = _COMMANDS[cmd_name].partition(":")
            command = getattr(import_module(module, __package__), name)
            accept_source_options(command)
            self.add_command(command)
        return super().get_command(ctx, cmd_name)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command line, up to the command."""
        with told_in_one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. What click itself raises is told by click."""
        with told_in_one_line():
            return super().invoke(ctx)


for _shell in (Bash, Fish, Zsh):
    add_completion_class(_shell)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@url_option
@source_options
@click.version_option(package_name="repoze.what.plugins.redis")
def program(**_: Any) -> None:
    """Look at the groups and permissions that are kept in Redis, and change them.

    The exit status is 0 where it is done or the answer is yes, 1 where the answer is no, or
    something was found, 2 where it was not possible, and 3 where what it was asked about is not
    there. These options may stand after the command, too.
    """


def run() -> NoReturn:
    """Run the command line and exit with its status, which after Ctrl-C is not click's 1."""
    try:
        # click completes for a shell before it makes a context.
        with told_in_one_line():
            status = program.main(prog_name="repoze-what-redis", standalone_mode=False)
    except Exit as ended:
        status = ended.exit_code
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        status = error.exit_code
    except SystemExit as ended:
        # Of what completes for a shell, and of which 1 is no answer.
        status = NOT_POSSIBLE if ended.code else 0
    sys.exit(status)
