"""The command ``repoze-what-redis``: its options, and the commands that it has."""

from typing import Any

import click

from .copying import copy
from .failures import Program
from .groups import groups
from .lookups import can, who
from .permissions import permissions
from .review import check, repair
from .sources import Sources, source_options
from .transfer import export, import_
from .users import users
from .watching import watch


@click.group(cls=Program)
@click.option(
    "--url",
    help="The server's URL, such as redis://localhost:6379. Without it, what REPOZE_WHAT_REDIS_URL "
    "in the environment says. Do not write a password here: everybody on the machine can see "
    "command lines.",
)
@source_options
@click.version_option(package_name="repoze.what.plugins.redis")
@click.pass_context
def program(ctx: click.Context, /, **options: Any) -> None:
    """Look at the groups and permissions that are kept in Redis, and change them.

    The exit status is 0 where it is done or the answer is yes, 1 where the answer is no, and 2
    where it was not possible.
    """
    ctx.obj = Sources(**options)


for _command in (
    groups,
    permissions,
    users,
    who,
    can,
    check,
    repair,
    export,
    import_,
    copy,
    watch,
):
    program.add_command(_command)
