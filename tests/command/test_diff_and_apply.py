"""The commands ``diff`` and ``apply``: a file under version control, and the sources."""

import json
import re
from contextlib import contextmanager
from functools import partial

import click
import pytest
from harness.operations import create_sections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.command import applying
from repoze.what.plugins.redis.command.program import program
from repoze.what.plugins.redis.renaming import name_while_renamed

STAFF = {
    "groups": {"editors": ["ben", "rosa"], "interns": [], "writers": ["rosa"]},
    "permissions": {
        "publish": ["editors"],
        "sell": [],
        "write": ["editors", "writers"],
    },
}
# A group comes, another goes, and so does a permission; one changes of each.
WANTED = {
    "groups": {"editors": ["kim", "rosa"], "interns": [], "sellers": ["mina"]},
    "permissions": {"buy": ["sellers"], "publish": [], "sell": ["sellers", "interns"]},
}
COMES = [
    "+ group 'editors': member 'kim'",
    "+ group 'sellers'",
    "+ group 'sellers': member 'mina'",
    "+ permission 'buy'",
    "+ permission 'buy': group 'sellers'",
    "+ permission 'sell': group 'interns'",
    "+ permission 'sell': group 'sellers'",
]
GOES = [
    "- group 'editors': member 'ben'",
    "- group 'writers'",
    "- group 'writers': member 'rosa'",
    "- permission 'publish': group 'editors'",
    "- permission 'write'",
    "- permission 'write': group 'editors'",
    "- permission 'write': group 'writers'",
]
NOTE = "What is marked - is not in {}. It stays with apply, and goes with apply --prune.\n"
STAYS = (
    "Not in standard input, and left as it is: 1 group, 2 members, 1 permission, 3 grants. "
    "--prune takes it away.\n"
)
DONE = (
    "groups: 1 made, 1 gone; 2 members added, 2 removed\n"
    "permissions: 1 made, 1 gone; 3 grants added, 3 removed\n"
)
AGAIN = "What is written stays: run it again to complete it."
GONE = "The server is gone."
WRITES = (
    *("create_section", "edit_section", "delete_section", "include_items", "exclude_items"),
    *("set_section_items", "remove_item", "rename_item"),
)
HOSTILE = ["\x1b[31m", "a\nb", "\udcff", "\u202eevil", "-x", "'\"", " ", "é", "a: b"]


def as_sets(document):
    return {
        kind: {name: set(items) for name, items in document.get(kind, {}).items()}
        for kind in ("groups", "permissions")
    }


STAFF_AS_SETS, WANTED_AS_SETS = map(as_sets, (STAFF, WANTED))


def rights_in(state):
    """Who is in which group, and may do what."""
    return {(user, group) for group, users in state["groups"].items() for user in users} | {
        (user, "may", permission)
        for permission, groups in state["permissions"].items()
        for group in groups
        for user in state["groups"].get(group, ())
    }


@pytest.fixture
def diff(run):
    def diff(document, *options):
        return run("diff", "-", *options, stdin=json.dumps(document))

    return diff


@pytest.fixture
def apply(run):
    def apply(document, *options):
        return run("apply", "-", *options, stdin=json.dumps(document))

    return apply


class There:
    """All that is there."""

    def __init__(self, groups, permissions):
        self.groups = groups
        self.permissions = permissions

    def state(self):
        return {
            "groups": self.groups.get_all_sections(),
            "permissions": self.permissions.get_all_sections(),
        }

    def fill(self, document):
        """Put *document* in its place."""
        for kind, adapter in (("groups", self.groups), ("permissions", self.permissions)):
            for section in adapter.get_section_names():
                adapter.delete_section(section)
            create_sections(adapter, document[kind])


@pytest.fixture
def there(groups, permissions):
    return There(groups, permissions)


def between(before, write, after):
    def do(*arguments):
        before()
        write(*arguments)
        after()

    return do


@pytest.fixture
def at_each_write(monkeypatch):
    """Return what has something done before and after each write of an adapter, in its block."""

    @contextmanager
    def at_each_write(before=lambda: None, after=lambda: None):
        with monkeypatch.context() as patch:
            for kind in (RedisGroupAdapter, RedisPermissionAdapter):
                for name in WRITES:
                    patch.setattr(kind, name, between(before, getattr(kind, name), after))
            yield

    return at_each_write


class TestDiff:
    def test_no_difference(self, done, staff, tmp_path):
        path = tmp_path / "staff.json"
        path.write_text(json.dumps(STAFF))
        assert done("diff", str(path)) == ""
        assert done("diff", "-", "--json", stdin=json.dumps(STAFF)) == "[]\n"
        assert done("diff", "-", stdin=done("export", "json")) == ""

    def test_difference(self, diff, staff, there):
        result = diff(WANTED)
        assert result.exit_code == 1
        assert result.stdout.splitlines() == sorted(COMES + GOES, key=lambda line: line[2:])
        assert result.stderr == NOTE.format("standard input")
        assert there.state() == STAFF_AS_SETS

    @pytest.mark.parametrize("kind", ["groups", "permissions"])
    def test_difference_of_one_kind(self, diff, staff, kind):
        result = diff({**STAFF, kind: WANTED[kind]})
        assert result.exit_code == 1
        wanted = [line for line in COMES + GOES if line[2:].startswith(kind.removesuffix("s"))]
        assert sorted(result.stdout.splitlines()) == sorted(wanted)

    def test_only_what_comes(self, diff, staff):
        result = diff({**STAFF, "groups": {**STAFF["groups"], "sellers": []}})
        assert (result.exit_code, result.stdout, result.stderr) == (1, "+ group 'sellers'\n", "")

    def test_as_json(self, diff, staff):
        result = diff(WANTED, "--json")
        assert result.exit_code == 1
        assert result.stdout.count("\n") == 1
        found = json.loads(result.stdout)
        assert found[:2] == [
            {"source": "groups", "section": "editors", "change": "removed", "item": "ben"},
            {"source": "groups", "section": "editors", "change": "added", "item": "kim"},
        ]
        assert {
            "source": "groups",
            "section": "writers",
            "change": "deleted",
            "item": None,
        } in found
        assert {
            "source": "permissions",
            "section": "buy",
            "change": "created",
            "item": None,
        } in found
        assert len(found) == len(COMES + GOES)

    def test_hostile_names(self, diff, groups, permissions):
        for name in HOSTILE:
            groups.create_section(name)
            groups.include_items(name, HOSTILE)
        result = diff({"permissions": {name: [] for name in HOSTILE}}, "--only", "groups")
        lines = result.stdout.split("\n")
        assert all(line.isprintable() for line in lines)
        assert len(lines) == 1 + len(HOSTILE) * (1 + len(HOSTILE))
        assert r"- group '\x1b[31m': member 'a\nb'" in lines
        result = diff({"groups": dict.fromkeys(HOSTILE, HOSTILE)}, "--json")
        assert result.stdout == "[]\n"

    def test_hostile_name_of_the_file(self, run, staff, tmp_path):
        path = tmp_path / "\x1b[31m"
        path.write_text("{}")
        result = run("diff", str(path))
        assert "\x1b" not in result.stderr
        assert NOTE.format(f"{tmp_path}/\\x1b[31m") in result.stderr

    def test_colours(self, run_at_terminal, staff, tmp_path, monkeypatch):
        monkeypatch.delenv("NO_COLOR", raising=False)
        path = tmp_path / "wanted.json"
        path.write_text(json.dumps(WANTED))
        status, shown = run_at_terminal("diff", str(path))
        assert status == 1
        assert f"\x1b[32m{COMES[0]}\x1b[0m" in shown
        assert f"\x1b[31m{GOES[0]}\x1b[0m" in shown
        monkeypatch.setenv("NO_COLOR", "1")
        status, shown = run_at_terminal("diff", str(path))
        assert status == 1
        assert "\x1b" not in shown.partition("+ group")[2]
        assert COMES[0] in shown

    def test_empty_sources(self, diff, url):
        """That may be meant, or a namespace be mistyped."""
        result = diff({"groups": {"editors": []}})
        assert (result.exit_code, result.stdout) == (1, "+ group 'editors'\n")
        assert "There are neither groups nor permissions in Redis at" in result.stderr
        result = diff({})
        assert (result.exit_code, result.stdout) == (0, "")

    def test_file_that_lacks_a_kind(self, diff, staff):
        result = diff({"groups": STAFF["groups"]})
        assert result.exit_code == 1
        assert result.stdout.count("- permission 'sell'\n") == 1
        assert result.stderr.endswith(
            "standard input has no permissions: that all of them go takes --empty, too.\n"
        )
        result = diff({"groups": STAFF["groups"]}, "--only", "groups")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")

    def test_only_groups(self, diff, staff):
        """A group that goes loses its permissions, also where these are not compared."""
        result = diff(WANTED, "--only", "groups")
        assert result.stdout.splitlines() == [
            *sorted((line for line in COMES + GOES if " group '" in line[:9]), key=lambda x: x[2:]),
            "- permission 'write': group 'writers'",
        ]

    def test_only_permissions(self, diff, staff):
        result = diff(WANTED, "--only", "permissions")
        wanted = [line for line in COMES + GOES if line[2:].startswith("permission")]
        assert sorted(result.stdout.splitlines()) == sorted(wanted)

    @pytest.mark.parametrize("command", ["diff", "apply"])
    def test_failures(self, refused, nowhere, tmp_path, command):
        assert refused(command, "no-such-file") == (
            "Error: no-such-file: No such file or directory\n"
        )
        assert refused(command, str(tmp_path)) == f"Error: {tmp_path}: Is a directory\n"
        assert "line 1, column 1" in refused(command, "-", stdin="")
        assert "'a' comes twice" in refused(command, "-", stdin='{"groups": {"a": [], "a": []}}')
        assert "cannot be reached" in refused(command, "-", stdin="{}")

    def test_larger_than_a_page(self, diff, apply, groups):
        many = {
            "groups": {
                **{f"group-{number:04}": ["rosa"] for number in range(250)},
                "all": [f"user-{number:04}" for number in range(2500)],
            }
        }
        assert diff(many).stdout.count("\n") == 3001
        assert apply(many).exit_code == 0
        assert diff(many).exit_code == 0
        result = apply({"groups": {"all": []}}, "--prune", "--yes")
        assert result.exit_code == 0
        assert result.stderr.count("\n") == 21
        assert result.stderr.endswith("... and 2,980 more\n")
        assert groups.get_all_sections() == {"all": set()}


class TestApply:
    def test_without_prune(self, apply, diff, staff, there):
        result = apply(WANTED)
        assert (result.exit_code, result.stderr) == (0, STAYS)
        assert result.stdout == (
            "groups: 1 made, 0 gone; 2 members added, 0 removed\n"
            "permissions: 1 made, 0 gone; 3 grants added, 0 removed\n"
        )
        before, now = STAFF_AS_SETS, there.state()
        for kind, sections in before.items():
            for name, items in sections.items():
                assert now[kind][name] == items | WANTED_AS_SETS[kind].get(name, set())
        assert diff(WANTED).stdout.splitlines() == GOES

    def test_prune(self, apply, diff, done, staff, there):
        result = apply(WANTED, "--prune", "--yes")
        assert (result.exit_code, result.stdout) == (0, DONE)
        assert result.stderr.splitlines() == GOES
        assert there.state() == WANTED_AS_SETS
        assert there.groups.check() == there.permissions.check() == []
        result = diff(WANTED)
        assert (result.exit_code, result.stdout) == (0, "")
        assert as_sets(json.loads(done("export", "json"))) == WANTED_AS_SETS
        result = apply(WANTED, "--prune")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == re.sub(r"\d", "0", DONE)

    def test_as_json(self, apply, staff):
        assert json.loads(apply(WANTED, "--prune", "--yes", "--json").stdout) == {
            "groups": {"created": 1, "deleted": 1, "added": 2, "removed": 2, "changed": 0},
            "permissions": {"created": 1, "deleted": 1, "added": 3, "removed": 3, "changed": 0},
        }

    def test_dry_run(self, apply, staff, there, at_each_write):
        with at_each_write(before=partial(pytest.fail, "that is a write")):
            result = apply(WANTED, "--dry-run")
            assert (result.exit_code, result.stderr) == (0, STAYS)
            assert result.stdout.splitlines() == COMES
            result = apply(WANTED, "--dry-run", "--prune")
            assert (result.exit_code, result.stderr) == (0, "")
            assert result.stdout.splitlines() == sorted(COMES + GOES, key=lambda line: line[2:])
            result = apply(WANTED, "--dry-run", "--prune", "--json")
            assert len(json.loads(result.stdout)) == len(COMES + GOES)
        assert there.state() == STAFF_AS_SETS

    def test_nobody_to_ask(self, apply, staff, there):
        result = apply(WANTED, "--prune")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines() == [
            *GOES,
            "Error: Nothing was done: there is nobody to ask. Say --yes if you want it.",
        ]
        assert there.state() == STAFF_AS_SETS

    def test_question(self, run_at_terminal, staff, there, tmp_path):
        path = tmp_path / "wanted.json"
        path.write_text(json.dumps(WANTED))
        status, shown = run_at_terminal("apply", str(path), "--prune", typed="n\n")
        assert (status, "Go on? [y/N]" in shown) == (2, True)
        assert there.state() == STAFF_AS_SETS
        status, shown = run_at_terminal("apply", str(path), "--prune", typed="y\n")
        assert (status, "writing" in shown) == (0, True)
        assert there.state() == WANTED_AS_SETS

    @pytest.mark.usefixtures("staff")
    @pytest.mark.parametrize(
        ("document", "missing", "advice"),
        [
            ({}, "no groups and no permissions", "Say --empty if that is what you want."),
            ({"groups": {}}, "no groups and no permissions", "Say --empty if that is what"),
            ({"groups": STAFF["groups"]}, "no permissions", "Say --only groups to leave the perm"),
            (
                {"permissions": STAFF["permissions"], "groups": {}},
                "no groups",
                "Say --only permissions to leave the groups as they are, or --empty to have none.",
            ),
        ],
    )
    def test_file_that_lacks_a_kind(self, apply, there, document, missing, advice):
        for options in (["--prune"], ["--prune", "--yes"], ["--prune", "--dry-run"]):
            result = apply(document, *options)
            assert (result.exit_code, result.stdout) == (2, "")
            assert f"Error: standard input has {missing}: all that are there would go." in (
                result.stderr
            )
            assert advice in result.stderr
        assert apply(document).exit_code == 0
        assert there.state() == STAFF_AS_SETS
        words = ["--prune", "--yes", "--empty", "--unknown-groups"]
        assert apply(document, *words).exit_code == 0
        assert there.state() == as_sets(document)

    def test_file_that_lacks_what_is_not_there(self, apply, groups):
        groups.create_section("editors")
        assert apply({"groups": {"writers": []}}, "--prune", "--yes").exit_code == 0
        assert groups.get_section_names() == {"writers"}

    def test_only_groups(self, apply, staff, there):
        """What a group was permitted goes with it, and all else of the permissions stays."""
        result = apply({"groups": {"editors": ["kim"]}}, "--only", "groups", "--prune", "--yes")
        assert result.exit_code == 0
        assert there.state() == {
            "groups": {"editors": {"kim"}},
            "permissions": {"publish": {"editors"}, "sell": set(), "write": {"editors"}},
        }
        result = apply({}, "--only", "groups", "--prune", "--yes")
        assert result.exit_code == 2
        assert result.stderr.endswith("Say --empty if that is what you want.\n")

    def test_only_permissions(self, apply, staff, there):
        result = apply(
            {"permissions": {"publish": ["writers", "ghosts"]}},
            *("--only", "permissions", "--prune", "--yes"),
        )
        assert result.exit_code == 0
        assert result.stderr.startswith(
            "permissions: granted to what is no group here: 'ghosts'. Whoever makes one has them.\n"
        )
        assert there.state() == {
            "groups": STAFF_AS_SETS["groups"],
            "permissions": {"publish": {"writers", "ghosts"}},
        }

    def test_group_that_goes_and_is_still_granted(self, apply, diff, staff, there):
        document = {**STAFF, "groups": {"editors": ["ben", "rosa"], "interns": []}}
        result = apply(document, "--prune", "--yes")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "permissions: standard input still grants them to groups that it does not have, and "
            "that go: 'writers'. Whoever makes one has them.\n"
            "Error: Nothing was written. Have standard input grant them nothing, or say "
            "--unknown-groups.\n"
        )
        assert there.state() == STAFF_AS_SETS
        assert apply(document, "--prune", "--yes", "--unknown-groups").exit_code == 0
        assert there.state() == as_sets(document)
        assert diff(document).exit_code == 0
        assert apply(document, "--prune", "--yes").exit_code == 0

    def test_new_group_does_not_inherit(self, apply, staff, there):
        there.permissions.include_items("sell", ["sellers"])
        there.permissions.include_items("publish", ["sellers"])
        before = there.state()
        document = {"groups": {"sellers": ["mina"]}, "permissions": {"sell": ["sellers"]}}
        result = apply(document)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.endswith(
            "groups: 'sellers' is not there, but permissions for that name are: 'publish'\n"
            "Error: Nothing was written. Revoke them first, or have standard input grant them, or "
            "say --inherit.\n"
        )
        assert apply(document, "--only", "groups", "--prune", "--yes").exit_code == 2
        assert there.state() == before
        assert apply(document, "--inherit").exit_code == 0
        assert there.permissions.find_sections("sellers") == {"publish", "sell"}

    def test_what_a_new_group_would_inherit_goes(self, apply, staff, there):
        there.permissions.include_items("publish", ["sellers"])
        assert apply(WANTED, "--prune", "--yes").exit_code == 0
        assert there.state() == WANTED_AS_SETS

    def test_new_group_where_there_are_no_permissions(self, run, staff, tmp_path, groups):
        """The number of their database is mistyped, and what an earlier group left is unseen."""
        path = tmp_path / "new.json"
        path.write_text('{"groups": {"sellers": ["mallory"]}}')
        words = ("--permissions-db", "8", "apply", str(path))
        result = run(*words)
        assert result.exit_code == 3
        assert "Error: There are no permissions in Redis at 127.0.0.1:" in result.stderr
        assert result.stderr.endswith(" If it is, say --inherit.\n")
        assert "sellers" not in groups.get_section_names()
        assert run(*words, "--inherit").exit_code == 0

    @pytest.mark.parametrize("group", ["editors", "redaction"])
    def test_renaming_that_was_interrupted(self, apply, staff, there, group):
        """To go on with that would give its new members what is set aside."""
        there.permissions.rename_item("editors", "'editors' -> 'redaction' (being renamed)")
        there.groups.delete_section("editors")
        before = there.state()
        result = apply({"groups": {group: ["mallory"]}})
        assert (result.exit_code, result.stdout) == (2, "")
        assert "which was interrupted: " in result.stderr
        assert there.state() == before

    def test_hostile_names(self, apply, diff, done, url, there):
        document = {"groups": dict.fromkeys(HOSTILE, HOSTILE)}
        document["permissions"] = document["groups"]
        assert apply(document).exit_code == 0
        assert there.state() == as_sets(document)
        rest = {kind: {HOSTILE[0]: [HOSTILE[0]]} for kind in document}
        result = apply(rest, "--prune", "--yes")
        assert result.exit_code == 0
        assert all(line.isprintable() for line in result.stderr.split("\n"))
        assert there.state() == as_sets(rest)

    @pytest.mark.parametrize("databases", [("3", "4"), ("4", "3")])
    def test_where_the_sources_are_two(self, run, address, tmp_path, databases):
        path = tmp_path / "wanted.json"
        path.write_text(json.dumps(WANTED))
        words = ("--groups-db", databases[0], "--permissions-db", databases[1])
        assert run("--url", address, "apply", str(path), *words).exit_code == 0
        result = run("--url", address, "diff", str(path), *words)
        assert (result.exit_code, result.output) == (0, "")


class TestInBetween:
    def test_no_right_in_between(self, apply, staff, there, at_each_write):
        rights = rights_in(STAFF_AS_SETS) | rights_in(WANTED_AS_SETS)
        seen = []

        def look():
            found = rights_in(there.state())
            assert found <= rights
            seen.append(found)

        with at_each_write(after=look):
            assert apply(WANTED, "--prune", "--yes").exit_code == 0
        assert len(seen) > 8
        assert seen[-1] == rights_in(WANTED_AS_SETS)

    def test_member_and_permission_that_change_places(self, apply, there, at_each_write):
        """Neither of the two has, at any moment, what the other had."""
        before = {"groups": {"a": ["u"], "b": ["v"]}, "permissions": {"p": ["a"], "q": ["b"]}}
        after = {"groups": {"a": ["v"], "b": ["u"]}, "permissions": {"p": ["b"], "q": ["a"]}}
        there.fill(before)
        rights = rights_in(as_sets(before)) | rights_in(as_sets(after))

        def look():
            assert rights_in(there.state()) <= rights

        with at_each_write(after=look):
            assert apply(after, "--prune", "--yes").exit_code == 0
        assert there.state() == as_sets(after)

    @pytest.mark.parametrize("error", [SourceUnavailable, KeyboardInterrupt])
    def test_interrupted_at_each_write(self, apply, there, at_each_write, error):
        rights = rights_in(STAFF_AS_SETS) | rights_in(WANTED_AS_SETS)
        left = 0

        def stop():
            nonlocal left
            left -= 1
            if left == 0:
                raise error(GONE)

        for number in range(1, 50):
            there.fill(STAFF)
            left = number
            with at_each_write(before=stop):
                result = apply(WANTED, "--prune", "--yes")
            if left > 0:
                assert result.exit_code == 0
                break
            assert result.exit_code == (2 if error is SourceUnavailable else 130)
            assert AGAIN in result.stderr
            assert rights_in(there.state()) <= rights
            assert apply(WANTED, "--prune", "--yes").exit_code == 0
            assert there.state() == WANTED_AS_SETS
        assert number > 8


class TestChangedMeanwhile:
    """Somebody else writes when all is compared."""

    @pytest.fixture
    def apply_when(self, apply, monkeypatch):
        def apply_when(changed):
            write = applying.Applier.write

            def change_and_write(applier, bar):
                changed()
                write(applier, bar)

            with monkeypatch.context() as patch:
                patch.setattr(applying.Applier, "write", change_and_write)
                return apply(WANTED, "--prune", "--yes")

        return apply_when

    @pytest.mark.usefixtures("staff")
    def test_renaming_that_is_interrupted(self, apply_when, there, permissions):
        """What it has set aside would come to the new group."""
        kept = name_while_renamed("team", "sellers")
        result = apply_when(lambda: permissions.include_item("write", kept))
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith("Error: Kept for")
        assert there.state()["groups"] == STAFF_AS_SETS["groups"]

    @pytest.mark.parametrize("command", [("delete", "--yes"), ("rename", "staff")])
    @pytest.mark.usefixtures("staff")
    def test_group_that_goes_and_is_granted_something(self, apply, run, permissions, command):
        name, *more = command
        include_items = RedisPermissionAdapter.include_items

        def change_and_include(adapter, section, items):
            if b"interns" in items:
                assert run("groups", name, "interns", *more).exit_code == 0
            include_items(adapter, section, items)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RedisPermissionAdapter, "include_items", change_and_include)
            result = apply(WANTED, "--prune", "--yes")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == (
            "Error: All is written, but meanwhile somebody has deleted or renamed groups that "
            "permissions are granted to: 'interns'. Revoke them, or whoever makes a group of that "
            "name has them."
        )
        assert permissions.find_sections("interns") == {"sell"}

    @pytest.mark.usefixtures("staff")
    def test_group_that_goes_with_what_it_is_granted(self, apply, run):
        """Nothing is left to anybody."""
        include_items = RedisPermissionAdapter.include_items

        def include_and_delete(adapter, section, items):
            include_items(adapter, section, items)
            if b"interns" in items:
                assert run("groups", "delete", "interns", "--yes").exit_code == 0

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RedisPermissionAdapter, "include_items", include_and_delete)
            assert apply(WANTED, "--prune", "--yes").exit_code == 0

    @pytest.mark.parametrize(
        ("source", "change", "told"),
        [
            ("groups", ("create_section", "sellers"), "'sellers'"),
            ("groups", ("include_items", "editors", ["kim"]), "'kim'"),
            ("groups", ("exclude_items", "editors", ["ben"]), "'ben'"),
            ("groups", ("delete_section", "writers"), "'writers'"),
            ("groups", ("delete_section", "editors"), "'editors'"),
            ("permissions", ("create_section", "buy"), "'buy'"),
            ("permissions", ("include_items", "sell", ["interns"]), "'interns'"),
            ("permissions", ("exclude_items", "publish", ["editors"]), "'editors'"),
            ("permissions", ("delete_section", "write"), "'write'"),
            ("groups", ("include_items", "writers", ["kim"]), "put into it: 'kim'. "),
            ("permissions", ("include_items", "write", ["interns"]), "put into it: 'interns'. "),
            ("permissions", ("include_items", "publish", ["writers"]), "name are: 'publish'. "),
            ("permissions", ("include_items", "publish", ["sellers"]), "name are: 'publish'. "),
        ],
    )
    @pytest.mark.usefixtures("staff")
    def test_it_is_told(self, apply_when, there, source, change, told):
        operation, *arguments = change
        adapter = getattr(there, source)
        result = apply_when(lambda: getattr(adapter, operation)(*arguments))
        assert (result.exit_code, result.stdout) == (2, "")
        assert told in result.stderr.splitlines()[-1]
        assert result.stderr.endswith(f" {AGAIN}\n")
        assert apply_when(lambda: None).exit_code == 0
        assert there.state() == WANTED_AS_SETS


NAMES = st.sampled_from(["a", "b", "c", "\n", "\udcff", "7"])
DOCUMENTS = st.fixed_dictionaries(
    {
        kind: st.dictionaries(NAMES, st.lists(NAMES, unique=True, max_size=4), max_size=4)
        for kind in ("groups", "permissions")
    }
)


def test_what_is_applied_is_there(apply, diff, done, there, thorough):
    sure = ["--yes", "--empty", "--unknown-groups"]

    @settings(max_examples=200 if thorough else 20)
    @given(before=DOCUMENTS, after=DOCUMENTS)
    def check(before, after):
        there.fill(before)
        result = apply(after, "--inherit")
        assert result.exit_code == 0
        now = there.state()
        for kind, sections in as_sets(before).items():
            for name in sections.keys() | after[kind].keys():
                assert now[kind][name] == sections.get(name, set()) | set(after[kind].get(name, ()))
        there.fill(before)
        assert apply(after, "--prune", *sure).exit_code == 0
        assert there.state() == as_sets(after)
        result = diff(after)
        assert (result.exit_code, result.stdout) == (0, "")
        if after["groups"] or after["permissions"]:
            exported = json.loads(done("export", "json"))
            assert as_sets(exported) == as_sets(after)

    check()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(before=DOCUMENTS, after=DOCUMENTS)
def test_no_right_in_between(apply, there, at_each_write, before, after):
    there.fill(before)
    rights = rights_in(as_sets(before)) | rights_in(as_sets(after))

    def look():
        assert rights_in(there.state()) <= rights

    with at_each_write(after=look):
        result = apply(after, "--prune", "--yes", "--empty", "--unknown-groups")
    assert result.exit_code == 0


def test_completion(nowhere):
    def complete(words):
        line = f"repoze-what-redis {words}"
        result = click.testing.CliRunner().invoke(
            program,
            prog_name="repoze-what-redis",
            env={
                "_REPOZE_WHAT_REDIS_COMPLETE": "bash_complete",
                "COMP_WORDS": line,
                "COMP_CWORD": line.rpartition(" ")[2],
            },
        )
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout.splitlines()

    assert complete("di") == ["plain,diff"]
    assert complete("apply st") == ["file,st"]
    assert complete("apply --pr") == ["plain,--prune"]
    assert complete("diff --only ") == ["plain,groups", "plain,permissions"]
