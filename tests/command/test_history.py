"""Who changed what: `history`, and `--by` and `--note` of each command that writes."""

import getpass
import json
import re
from datetime import UTC, datetime, timedelta

import click
import pytest

from repoze.what.acting import acting_as
from repoze.what.plugins.redis.command.program import program

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d [0-9a-f]{12} ", re.MULTILINE)


@pytest.fixture
def query():
    return "?namespace=tests&db=0"


@pytest.fixture(autouse=True)
def login_name(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "tomas")


@pytest.fixture
def told(done):
    """Return what `history` prints, line by line, without times and tokens."""

    def told(*arguments):
        lines = done("history", *arguments).splitlines()
        assert all(map(TIME.match, lines))
        return [TIME.sub("", line) for line in lines]

    return told


@pytest.fixture
def changed(done, url):
    for line in (
        "groups create writers",
        "groups add writers rosa ben",
        "permissions create publish",
        "permissions grant publish writers",
        "groups remove writers ben --by eva",
        "groups rename writers desk",
        "groups create interns",
        "groups add interns rosa",
        "users rename rosa rosalie",
        "permissions rename publish print",
        "groups add desk kim",
    ):
        done(*line.split())


def test_everything(told, changed, run):
    run("groups", "delete", "desk", "--yes", "--note", "the end\n\x1b")
    run("permissions", "delete", "print", "--yes")
    run("groups", "delete", "interns", "--leave-permissions", "--yes")
    lines = told()
    # What is done in one millisecond may come in either order.
    assert [line for line in lines if ": permission" not in line] == [
        "tomas: group 'interns': deleted, with 'rosalie'",
        "tomas: group 'desk': deleted, with 'kim', 'rosalie' (the end\\n\\x1b)",
        "tomas: group 'desk': 'kim' added",
        "tomas: groups 'desk', 'interns': 'rosa' removed, 'rosalie' added",
        "tomas: group 'interns': 'rosa' added",
        "tomas: group 'interns': created",
        "tomas: group 'writers': renamed 'desk'",
        "eva: group 'writers': 'ben' removed",
        "tomas: group 'writers': 'ben', 'rosa' added",
        "tomas: group 'writers': created",
    ]
    assert [line for line in lines if ": permission" in line] == [
        "tomas: permission 'print': deleted",
        "tomas: permission 'print': 'desk' removed (the end\\n\\x1b)",
        "tomas: permission 'publish': renamed 'print'",
        "tomas: permission 'publish': 'writers' removed, 'desk' added",
        "tomas: permission 'publish': 'writers' added",
        "tomas: permission 'publish': created",
    ]


def test_both_sources_in_the_order_of_time(told, groups, permissions):
    names = list(map(str, range(10)))
    for adapter in (groups, permissions) * 5:
        adapter.create_section(names.pop())
        latest = next(adapter.history()).at
        # The next has a time of its own.
        while True:
            seconds, microseconds = adapter.db_connection.time()
            if datetime.fromtimestamp(seconds, UTC) + timedelta(0, 0, microseconds - 1000) > latest:
                break
    assert [line.split("'")[1] for line in told()] == list(map(str, range(10)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--user ben", ["eva: group 'writers': 'ben' removed", "'ben', 'rosa' added"]),
        ("--user ben --by tomas", ["'ben', 'rosa' added"]),
        ("--by eva", ["'ben' removed"]),
        ("--by nobody", []),
        ("--group interns", ["'rosalie' added", "'rosa' added", "created"]),
        ("--group interns --user rosalie", ["'rosalie' added"]),
        ("--permission print", ["renamed 'print'"]),
        ("--permission publish --group desk", ["'writers' removed, 'desk' added"]),
        ("--since 1h --by eva", ["'ben' removed"]),
        ("--since 1m --by eva", ["'ben' removed"]),
        ("--since 2d --by eva", ["'ben' removed"]),
        ("--since 2w --by eva", ["'ben' removed"]),
        ("--since 2020-01-31 --by eva", ["'ben' removed"]),
        ("--since 2999-01-31T12:00", []),
        ("--since 2999-01-31T12:00+01:00", []),
    ],
)
def test_what_is_wanted(told, changed, options, expected):
    lines = told(*options.split())
    assert len(lines) == len(expected)
    assert all(line.endswith(end) for line, end in zip(lines, expected, strict=True))


def test_group_with_what_it_was_granted(told, changed):
    assert told("--group", "writers", "--by", "tomas")[0].startswith("tomas: ")
    assert sum("publish" in line for line in told("--group", "writers")) == 2


@pytest.mark.parametrize("since", ["2y", "w", "yesterday", "", "9999999999999w"])
def test_time_that_is_none(run, url, since):
    result = run("history", "--since", since)
    assert result.exit_code == 2
    assert "it is none such as 2w" in result.stderr


def test_user_and_permission(run, url):
    result = run("history", "--user", "ben", "--permission", "publish")
    assert result.exit_code == 2
    assert "do not go together" in result.stderr


def test_json(done, groups, permissions):
    with acting_as("eva", note="ticket 12"):
        groups.create_section("writers")
        groups.include_items("writers", ["rosa", b"\xff"])
        permissions.create_section("publish")
    granted, added, created = json.loads(done("history", "--json"))
    when = datetime.fromisoformat(added.pop("time"))
    assert abs(when - datetime.now(UTC)) < timedelta(minutes=10)
    assert re.fullmatch("[0-9a-f]{32}", added.pop("token"))
    assert added == {
        "source": "groups",
        "operation": "include_items",
        "effect": "changed",
        "sections": ["writers"],
        "new_section": None,
        "added": ["rosa", "\udcff"],
        "removed": [],
        "had_added": [],
        "kept_removed": [],
        "until": {},
        "until_before": {},
        "by": "eva",
        "note": "ticket 12",
        "undoes": None,
    }
    assert (granted["source"], created["operation"]) == ("permissions", "create_section")
    assert json.loads(done("history", "--json", "--by", "nobody")) == []


def test_somebody(told, groups):
    groups.create_section("writers")
    assert told() == ["somebody: group 'writers': created"]


def test_nothing_there(run, url):
    for more in ([], ["--json"]):
        result = run("history", *more)
        assert result.exit_code == 3
        assert "Is that where the application has them?" in result.stderr


def test_plain_layout(refused, address, monkeypatch):
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", address)
    assert "plain layout has no history" in refused("history")


def test_who_it_is(told, done, url, monkeypatch):
    done("groups", "create", "a", "--by", "eva", "--note", "ticket 12")
    done("groups", "create", "b", "--note", "x")

    def nobody():
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nobody)
    done("groups", "create", "c")
    assert told() == [
        "somebody: group 'c': created",
        "tomas: group 'b': created (x)",
        "eva: group 'a': created (ticket 12)",
    ]


@pytest.mark.parametrize("option", ["--by", "--note"])
def test_empty(run, url, option):
    result = run("groups", "create", "a", option, "")
    assert result.exit_code == 2
    assert "it is empty" in result.stderr


def test_import_and_copy(done, told, url, address, tmp_path):
    path = tmp_path / "staff.json"
    path.write_text('{"groups": {"writers": ["rosa"]}}')
    done("import", "json", str(path), "--by", "eva", "--note", "staff.json")
    assert told() == [
        "eva: group 'writers': 'rosa' added (staff.json)",
        "eva: group 'writers': created (staff.json)",
    ]
    to_url = f"{address}?namespace=other&db=0"
    done("copy", to_url, "--by", "eva")
    assert told("--url", to_url) == [
        "eva: group 'writers': 'rosa' added",
        "eva: group 'writers': created",
    ]


def commands(group, before=()):
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


def test_all_that_writes_takes_both():
    taking = {
        name
        for name, command in commands(program)
        if {"by", "note"} <= {parameter.name for parameter in command.params}
    }
    assert taking == {
        *(f"groups {name}" for name in ("create", "rename", "delete", "add", "remove")),
        *(f"permissions {name}" for name in ("create", "rename", "delete", "grant", "revoke")),
        *("groups until", "permissions until"),
        *("users rename", "users delete", "copy", "undo"),
        *(f"import {name}" for name in ("json", "ini", "xml", "sql")),
    }
