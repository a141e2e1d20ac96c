"""Taking back what was done: `undo`."""

import json
import re

import pytest

from repoze.what.acting import acting_as
from repoze.what.plugins.redis import Adapters
from repoze.what.plugins.redis.command.completion import _changes
from repoze.what.plugins.redis.command.sources import Sources

TOKEN = re.compile(r"^\S+ ([0-9a-f]{12}) ", re.MULTILINE)


@pytest.fixture
def query():
    return "?namespace=tests&db=0"


@pytest.fixture
def latest(done):
    """Return what the latest change of the group is called."""

    def latest():
        lines = done("history", "--group", "writers").splitlines(keepends=True)
        return next(TOKEN.findall(line)[0] for line in lines if ": permission" not in line)

    return latest


@pytest.fixture
def sources(groups, permissions):
    return lambda: (groups.get_all_sections(), permissions.get_all_sections())


@pytest.fixture
def writers(done, url):
    for line in (
        "groups create writers",
        "groups add writers rosa",
        "permissions create publish",
        "permissions grant publish writers",
    ):
        done(*line.split(), "--by", "tomas")


@pytest.mark.usefixtures("writers")
class TestOne:
    def test_it_is_undone_and_told_of(self, done, groups, latest):
        done("groups", "add", "writers", "kim", "--by", "tomas", "--note", "ticket 12")
        change = latest()
        printed = done("undo", change, "--by", "eva", "--note", "no")
        assert printed == "Undone: tomas: group 'writers': 'kim' added (ticket 12)\n"
        assert groups.get_section_items("writers") == {"rosa"}
        line = done("history", "--group", "writers").splitlines()[0]
        assert line.endswith(f"eva: undo of {change}: group 'writers': 'kim' removed (no)")
        undo = json.loads(done("history", "--by", "eva", "--json"))[0]
        assert undo["undoes"].startswith(change)
        assert undo["effect"] == "changed"

    def test_undo_of_an_undo(self, run, done, groups, latest):
        run("groups", "delete", "writers", "--leave-permissions", "--yes", "--by", "tomas")
        done("undo", latest(), "--leave-permissions", "--by", "eva")
        line = done("history", "--group", "writers").splitlines()[0]
        assert line.endswith(": group 'writers': created, with 'rosa'")
        printed = done("undo", latest(), "--leave-permissions")
        assert re.fullmatch(
            r"Undone: eva: undo of [0-9a-f]{12}: group 'writers': created, with 'rosa'\n", printed
        )
        assert groups.get_section_names() == set()

    def test_permission(self, done, permissions):
        done("permissions", "revoke", "publish", "writers", "--by", "tomas")
        printed = done("undo", next(permissions.history()).token)
        assert printed == "Undone: tomas: permission 'publish': 'writers' removed\n"
        assert permissions.get_section_items("publish") == {"writers"}

    def test_group_without_permissions(self, done, groups):
        done("groups", "create", "interns")
        done("undo", next(groups.history()).token)
        assert groups.get_section_names() == {"writers"}

    @pytest.mark.parametrize("length", [6, 12, 32])
    def test_beginning_of_it(self, done, groups, length):
        token = next(groups.history()).token
        done("undo", token[:length].upper())
        assert groups.get_section_items("writers") == set()

    def test_too_short(self, refused, latest):
        assert "too short for a change: say 6 characters" in refused("undo", latest()[:5])

    def test_none_by_that_name(self, run):
        result = run("undo", "x" * 12)
        assert (result.exit_code, result.stdout) == (3, "")
        assert "There is no change 'xxxxxxxxxxxx'" in result.stderr

    def test_several_by_that_name(self, refused, groups):
        raw = groups.db_connection
        [[_, fields]] = raw.xrevrange("{tests}:groups:history", count=1)
        for end in (b"1", b"2"):
            raw.xadd("{tests}:groups:history", {**fields, b"token": b"abcdef" + end})
        assert "'abcdef1', 'abcdef2'. Say more" in refused("undo", "abcdef")

    def test_what_is_in_the_way(self, done, refused, latest, sources):
        added = latest()
        done("groups", "remove", "writers", "rosa", "--by", "eva")
        before = sources()
        told = refused("undo", added)
        assert "exclude_items (section 'writers', 'rosa' removed) by 'eva'" in told
        assert f"change {latest()}. Undo that first" in told
        assert sources() == before

    @pytest.mark.parametrize("line", ["groups rename writers desk", "groups delete writers --yes"])
    @pytest.mark.parametrize("kind", ["groups", "permissions"])
    def test_group_and_its_permissions(self, run, done, sources, line, kind):
        before = sources()
        run(*line.split(), "--by", "tomas")
        token = next(
            each["token"]
            for each in json.loads(done("history", "--json"))
            if each["source"] == kind
        )
        printed = done("undo", token).splitlines()
        assert [text.partition(": ")[2].split()[1] for text in printed] == ["group", "permission"]
        assert sources() == before

    def test_plain_layout(self, refused, address, monkeypatch):
        monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", address)
        assert "plain layout has no history" in refused("undo", "abcdefgh")
        assert "plain layout has no history" in refused("undo", "--all-with-note", "x")

    def test_completion(self, latest, groups, url):
        assert latest() in set(_changes(Sources(url)))


@pytest.mark.usefixtures("writers")
class TestLeftovers:
    """What would have permissions, or would get them."""

    def test_group_that_is_gone(self, run, done, refused, permissions):
        done("permissions", "revoke", "publish", "writers")
        change = next(permissions.history()).token
        run("groups", "delete", "writers", "--yes")
        told = refused("undo", change)
        assert "'writers' would have permissions, and is no group" in told
        assert permissions.get_section_items("publish") == set()
        done("undo", change, "--leave-permissions")
        assert permissions.get_section_items("publish") == {"writers"}

    def test_group_that_goes(self, done, refused, groups):
        added, created = (change.token for change in groups.history())
        done("undo", added)
        told = refused("undo", created)
        assert "'writers' has permissions: 'publish'" in told
        done("undo", created, "--leave-permissions")
        assert groups.get_section_names() == set()

    def test_group_that_gets_its_name_back(self, done, refused, groups, permissions):
        groups.edit_section("writers", "desk")
        renamed = next(groups.history()).token
        told = refused("undo", renamed)
        assert "'writers' has permissions: 'publish'" in told
        permissions.remove_item("writers")
        done("undo", renamed)
        assert groups.get_section_names() == {"writers"}


class TestAll:
    @pytest.fixture
    def imported(self, run, writers, tmp_path, sources):
        before = sources()
        path = tmp_path / "staff.json"
        path.write_text(
            '{"groups": {"writers": ["kim"], "desk": ["rosa", "lee"]}, '
            '"permissions": {"publish": ["desk"], "print": ["desk", "writers"]}}'
        )
        run("import", "json", str(path), "--merge", "--note", "staff.json")
        return before

    def test_import(self, run, done, imported, sources):
        result = run("undo", "--all-with-note", "staff.json", "--yes", "--note", "staff.json")
        assert result.exit_code == 0, result.output
        number = int(re.search(r"the latest first: (\d+) changes", result.stderr)[1])
        assert result.stdout == f"{number} changes undone.\n"
        assert f"  and {number - 5} more\n" in result.stderr
        assert sources() == imported
        result = run("undo", "--all-with-note", "staff.json", "--yes")
        assert (result.exit_code, result.stderr) == (0, "All of it is undone already.\n")
        assert sources() == imported

    def test_what_was_undone_already(self, run, done, imported, sources, latest):
        done("undo", latest())
        assert run("undo", "--all-with-note", "staff.json", "--yes").exit_code == 0
        assert sources() == imported

    def test_one_is_refused(self, run, done, imported, groups, sources):
        with acting_as("eva"):
            groups.exclude_item("writers", "kim")
        result = run("undo", "--all-with-note", "staff.json", "--yes")
        assert (result.exit_code, result.stdout) == (2, "")
        told = result.stderr.splitlines()[-1]
        assert re.search(r"\d of \d changes undone, then stopped at [0-9a-f]{12}, ", told)
        assert "'kim' removed) by 'eva'" in told
        done("undo", next(groups.history(item="kim")).token)
        assert run("undo", "--all-with-note", "staff.json", "--yes").exit_code == 0
        assert sources() == imported

    def test_group_that_is_in_both_sources(self, run, groups, permissions, sources, writers):
        before = sources()
        pair = Adapters(groups, permissions)
        with acting_as("eva", note="new names"):
            permissions.create_section("print")
            pair.rename_group("writers", "desk")
            permissions.include_item("print", "desk")
            pair.rename_group("desk", "office")
        assert run("undo", "--all-with-note", "new names", "--yes").exit_code == 0
        assert sources() == before

    def test_group_that_is_none_any_more(self, run, groups, permissions, writers):
        with acting_as("eva", note="x"):
            permissions.exclude_item("publish", "writers")
            groups.create_section("desk")
        groups.delete_section("writers")
        permissions.include_item("publish", "desk")
        result = run("undo", "--all-with-note", "x", "--yes")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "1 of 2 changes undone, then stopped at " in result.stderr
        assert "in its way is delete_section (section 'writers'" in result.stderr
        groups.create_section("writers")
        result = run("undo", "--all-with-note", "x", "--yes", "--leave-permissions")
        assert (result.exit_code, result.stdout) == (0, "1 change undone.\n")

    def test_group_that_is_undone(self, run, groups, permissions, writers):
        with acting_as("eva", note="x"):
            groups.create_section("desk")
        permissions.include_item("publish", "desk")
        result = run("undo", "--all-with-note", "x", "--yes")
        assert (result.exit_code, result.stdout) == (2, "1 change undone.\n")
        assert "what is no group has permissions: 'desk'" in result.stderr
        # It can be what is wanted.
        with acting_as("eva", note="y"):
            permissions.exclude_item("publish", "writers")
        options = ("--all-with-note", "y", "--yes", "--leave-permissions")
        assert run("undo", *options).exit_code == 0

    def test_no_such_note(self, run, writers):
        result = run("undo", "--all-with-note", "staff.json", "--yes")
        assert (result.exit_code, result.stdout) == (3, "")
        assert "no change with the note 'staff.json'" in result.stderr

    def test_it_asks(self, run_at_terminal, run, imported, sources):
        before = sources()
        status, shown = run_at_terminal("undo", "--all-with-note", "staff.json", typed="n\n")
        assert status == 2
        assert "Go on?" in shown
        result = run("undo", "--all-with-note", "staff.json")
        assert result.exit_code == 2
        assert "nobody to ask" in result.stderr
        assert sources() == before


@pytest.mark.parametrize("arguments", [[], ["abcdefgh", "--all-with-note", "x"]])
def test_one_or_all(run, url, arguments):
    result = run("undo", *arguments)
    assert result.exit_code == 2
    assert "Say what to undo: CHANGE, or --all-with-note." in result.stderr


def test_empty_note(run, url):
    result = run("undo", "--all-with-note", "")
    assert result.exit_code == 2
    assert "it is empty" in result.stderr
