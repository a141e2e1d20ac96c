"""The commands ``export ...`` and ``import ...``: the sources in other forms."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import IO, Any, TextIO, TypeVar

import click

from . import missing
from .asking import yes_option
from .ends import only_for_good_option
from .exporting import EndingSections, Sections, for_good, new_file, sections_of
from .failures import Failure
from .importing import Importer, leave_out_what_cannot_be
from .ini_files import read_ini, write_ini
from .json_files import read_json, write_json
from .noting import noted
from .output import json_option, progress
from .sources import KINDS, Sources, pass_sources
from .staging import Entry, Input, Stage, file_input, temporary_database
from .summaries import echo_summaries, refuse, tell_some, tell_unknown_groups
from .xml_files import read_xml, write_xml

Command = TypeVar("Command", bound=Callable[..., Any])

_merge = click.option(
    "--merge", is_flag=True, help="Also where a group or permission there has others than here."
)
_sql_url = click.argument("database_url", metavar="DATABASE_URL", envvar="REPOZE_WHAT_SQL_URL")


# Whether it can be opened is seen when it is, and told in one line.
_file_type = click.Path()


def _file_options(command: Command) -> Command:
    for kind in ("permissions", "groups"):
        option = click.option(
            f"--{kind}", f"{kind}_file", type=_file_type, help=f"The file of the {kind}."
        )
        command = option(command)
    return command


# Exports


@click.group()
def export() -> None:
    """Write the groups and permissions to files or tables."""


@export.command("json")
@click.argument("file", type=_file_type, default="-")
@yes_option
@pass_sources
def export_json(sources: Sources, file: str, *, yes: bool) -> None:
    """Write groups and permissions to FILE as JSON; without it, to the standard output."""
    sources.expect_something()
    if file == "-":
        write_json(sys.stdout, _read_sources(sources))
        # Later, nobody would be told that it cannot be written.
        sys.stdout.flush()
        return
    with new_file(file, yes=yes) as out:
        write_json(out, _read_sources(sources))


@export.command("ini")
@_file_options
@only_for_good_option
@yes_option
@pass_sources
def export_ini(
    sources: Sources, groups_file: str | None, permissions_file: str | None, **options: bool
) -> None:
    """Write ini files of repoze.what.plugins.ini: one of groups, one of permissions."""

    def write(out: TextIO, _: str, sections: Sections) -> None:
        write_ini(out, sections)

    files = _given(groups_file, permissions_file)
    _export_files(sources, files, write, "An ini file", **options)


@export.command("xml")
@_file_options
@only_for_good_option
@yes_option
@pass_sources
def export_xml(
    sources: Sources, groups_file: str | None, permissions_file: str | None, **options: bool
) -> None:
    """Write XML files of repoze.what.plugins.xml: one of groups, one of permissions."""
    files = _given(groups_file, permissions_file)
    _export_files(sources, files, write_xml, "XML", **options)


@export.command("sql")
@_sql_url
@_merge
@click.option(
    "--skip-unknown", is_flag=True, help="Leave out members who are no users there, and such."
)
@only_for_good_option
@json_option
@pass_sources
def export_sql(  # noqa: PLR0913 - each is an option of its own
    sources: Sources,
    database_url: str,
    *,
    merge: bool,
    skip_unknown: bool,
    only_for_good: bool,
    as_json: bool,
) -> None:
    """Add groups and permissions to the tables of a TurboGears quickstart.

    What is there stays. All is written in one transaction, or nothing. Without DATABASE_URL it is
    what REPOZE_WHAT_SQL_URL in the environment says: a password belongs there.
    """
    tables = _sql_tables()
    with tables.connect(database_url) as connection:
        sources.expect_something()
        found = (
            (kind, for_good(sections, kind, "Such tables", only_for_good=only_for_good))
            for kind, sections in _read_sources(sources)
        )
        summaries, notes = tables.complete_tables(connection, found)
        _refuse_conflicts(notes.conflicts, accepted=merge)
        refuse(
            notes.unknown,
            "Add them to the application, or say --skip-unknown to leave them out.",
            accepted=skip_unknown,
        )
    echo_summaries(summaries, as_json=as_json)


def _read_sources(sources: Sources) -> Iterator[tuple[str, EndingSections]]:
    for kind, adapter in sources.by_kind().items():
        yield kind, sections_of(adapter, kind)


def _export_files(  # noqa: PLR0913 - each is an option of its own
    sources: Sources,
    files: Sequence[tuple[str, str]],
    write: Callable[[TextIO, str, Sections], None],
    form: str,
    *,
    only_for_good: bool,
    yes: bool,
) -> None:
    sources.expect_something(*dict(files))
    for kind, file in files:
        found = sections_of(sources.by_kind()[kind], kind)
        with new_file(file, yes=yes) as out:
            write(out, kind, for_good(found, kind, form, only_for_good=only_for_good))


# Imports


@click.group("import")
def import_() -> None:
    """Add groups and permissions from files or tables.

    What is there stays. Everything is read and compared before anything is written, and an import
    that was stopped can be run again.
    """


def _import_options(command: Command) -> Command:
    dry_run = click.option("--dry-run", is_flag=True, help="Compare, and write nothing.")
    return _merge(dry_run(json_option(command)))


@import_.command("json")
@click.argument("file", type=_file_type)
@_import_options
@only_for_good_option
@noted
@pass_sources
def import_json(sources: Sources, /, file: str, **options: bool) -> None:
    """Add what is in FILE, which is JSON as `export json` writes it; - is the standard input."""
    with click.open_file(file, "rb") as opened:
        _import(sources, [file_input(file, opened, read_json(opened))], **options)


@import_.command("ini")
@_file_options
@_import_options
@noted
@pass_sources
def import_ini(
    sources: Sources,
    /,
    groups_file: str | None,
    permissions_file: str | None,
    **options: bool,
) -> None:
    """Add what is in ini files of repoze.what.plugins.ini."""
    _import_files(sources, groups_file, permissions_file, read_ini, **options)


@import_.command("xml")
@_file_options
@_import_options
@noted
@pass_sources
def import_xml(
    sources: Sources,
    /,
    groups_file: str | None,
    permissions_file: str | None,
    **options: bool,
) -> None:
    """Add what is in XML files of repoze.what.plugins.xml."""
    _import_files(sources, groups_file, permissions_file, read_xml, **options)


@import_.command("sql")
@_sql_url
@_import_options
@noted
@pass_sources
def import_sql(sources: Sources, /, database_url: str, **options: bool) -> None:
    """Add what is in the tables of a TurboGears quickstart.

    Without DATABASE_URL it is what REPOZE_WHAT_SQL_URL in the environment says: a password belongs
    there.
    """
    tables = _sql_tables()
    with tables.connect(database_url) as connection:
        _import(sources, [tables.sql_input(connection)], **options)


def _import(  # noqa: PLR0913 - each is an option of its own
    sources: Sources,
    inputs: Iterable[Input],
    *,
    merge: bool,
    dry_run: bool,
    as_json: bool,
    only_for_good: bool = False,
) -> None:
    with temporary_database() as database:
        staged = Stage(database)
        for found in inputs:
            staged.add(found)
        leave_out_what_cannot_be(staged, sources, KINDS, only_for_good=only_for_good)
        importer = Importer(staged, sources)
        with progress("comparing", staged.length) as bar:
            summaries = importer.compare(bar, merge=merge)
        _refuse_conflicts(importer.conflicts, accepted=merge)
        tell_unknown_groups(importer.unknown_groups())
        tell_some(importer.other_ends)
        if not dry_run:
            with progress("writing", staged.length) as bar:
                importer.write(bar)
    echo_summaries(summaries, as_json=as_json)


def _import_files(
    sources: Sources,
    groups_file: str | None,
    permissions_file: str | None,
    read: Callable[[IO[bytes], str], Iterator[Entry]],
    **options: bool,
) -> None:
    with ExitStack() as stack:
        inputs = []
        for kind, file in _given(groups_file, permissions_file):
            opened = stack.enter_context(click.open_file(file, "rb"))
            inputs.append(file_input(file, opened, read(opened, kind)))
        _import(sources, inputs, **options)


# Both


def _given(groups_file: str | None, permissions_file: str | None) -> list[tuple[str, str]]:
    files = (("groups", groups_file), ("permissions", permissions_file))
    given = [(kind, file) for kind, file in files if file is not None]
    if not given:
        raise click.UsageError("Say --groups FILE, --permissions FILE, or both.")
    if groups_file == permissions_file:
        raise click.UsageError("Groups and permissions cannot be in one file: name two.")
    return given


def _refuse_conflicts(conflicts: list[str], *, accepted: bool) -> None:
    refuse(
        conflicts,
        "Look whose that is, or say --merge to let it stay and add what is to come.",
        accepted=accepted,
    )


def _sql_tables() -> Any:
    try:
        return import_module(".sql_tables", __package__)
    except ModuleNotFoundError as error:
        raise Failure(missing(error)) from error
