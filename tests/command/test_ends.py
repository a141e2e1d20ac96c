"""Memberships that end, from the command line: what says when, and what shows it."""

import getpass
import json
import re
import time
from datetime import UTC, datetime

import pytest
from harness.endings import HOUR, let_pass

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
DAY = 24 * HOUR
NO_ROOM = "On the plain layout, who is in a section is in it for good"
LATE = "2999-01-31"


@pytest.fixture
def query():
    return "?namespace=tests&db=0"


@pytest.fixture(autouse=True)
def there(staff, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "tomas")


@pytest.fixture
def raw(groups):
    return groups.db_connection


def shown(text):
    return TIME.sub("TIME", text)


def left(adapter, section, item):
    """For how long the item is in it."""
    return adapter.until_of(section)[item] - datetime.now(UTC)


class TestOptions:
    @pytest.mark.parametrize(
        ("text", "duration"),
        [("2w", 14 * DAY), ("7d", 7 * DAY), ("12h", 12 * HOUR), ("30m", HOUR / 2)],
    )
    def test_for(self, done, groups, permissions, text, duration):
        assert done("groups", "add", "editors", "kim", "lee", "--for", text) == ""
        assert done("permissions", "grant", "sell", "writers", "--for", text) == ""
        for found in (
            left(groups, "editors", "kim"),
            left(groups, "editors", "lee"),
            left(permissions, "sell", "writers"),
        ):
            assert abs(found - duration) < HOUR / 4
        assert groups.until_of("editors").keys() == {"kim", "lee"}

    @pytest.mark.parametrize(
        ("text", "when"),
        [
            (LATE, datetime.fromisoformat(LATE).astimezone(UTC)),
            ("2999-01-31T12:00", datetime.fromisoformat("2999-01-31T12:00").astimezone(UTC)),
            ("2999-01-31T12:00+02:00", datetime(2999, 1, 31, 10, tzinfo=UTC)),
        ],
    )
    def test_until(self, done, groups, permissions, text, when):
        done("groups", "add", "editors", "kim", "--until", text)
        done("permissions", "grant", "sell", "writers", "--until", text)
        assert groups.until_of("editors") == {"kim": when}
        assert permissions.until_of("sell") == {"writers": when}

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["--for", "7"], "none such as 2w, 7d, 12h or 30m. What is such as 2027-01-31 is for"),
            (["--for", "0d"], "none such as 2w"),
            (["--for", "-1d"], "none such as 2w"),
            (["--for", LATE], "none such as 2w"),
            (["--for", "9" * 30 + "w"], "none such as 2w"),
            (["--until", "7d"], "none such as 2027-01-31 or 2027-01-31T12:00. What is such as 7d"),
            (["--until", "0001-01-01T00:00+14:00"], "none such as 2027-01-31"),
            (["--for", "7d", "--until", LATE], "--for and --until do not go together"),
        ],
    )
    def test_what_is_none(self, run, groups, options, problem):
        for command in (
            ("groups", "add", "editors", "kim"),
            ("permissions", "grant", "sell", "writers"),
            ("groups", "until", "editors", "ben"),
        ):
            result = run(*command, *options)
            assert (result.exit_code, result.stdout) == (2, "")
            assert problem in " ".join(result.stderr.split())
        assert groups.get_section_items("editors") == {"ben", "rosa"}

    def test_past(self, refused, groups):
        line = refused("groups", "add", "editors", "kim", "--until", "2001-01-31")
        assert line.startswith("Error: That time is past: at the server it is ")
        assert groups.get_section_items("editors") == {"ben", "rosa"}

    def test_somebody_is_in_it_for_a_time(self, done, refused):
        done("groups", "add", "editors", "kim", "--for", "1h")
        assert refused("groups", "add", "editors", "lee", "kim").endswith(
            "What says anew until when is: groups until.\n"
        )
        done("permissions", "grant", "sell", "writers", "--for", "1h")
        assert refused("permissions", "grant", "sell", "writers").endswith(
            "What says anew until when is: permissions until.\n"
        )

    @pytest.mark.parametrize("option", [["--for", "2d"], ["--until", LATE], ["--for-good"]])
    def test_set_anew(self, done, groups, permissions, option):
        done("groups", "add", "editors", "kim", "--for", "1h")
        done("permissions", "grant", "sell", "writers", "--for", "1h")
        assert done("groups", "until", "editors", "kim", "ben", *option) == ""
        assert done("permissions", "until", "sell", "writers", *option) == ""
        if option == ["--for-good"]:
            assert groups.until_of("editors") == permissions.until_of("sell") == {}
        else:
            assert groups.until_of("editors").keys() == {"kim", "ben"}
            assert left(groups, "editors", "ben") > DAY
            assert left(permissions, "sell", "writers") > DAY
        assert groups.get_section_items("editors") == {"kim", "ben", "rosa"}

    @pytest.mark.parametrize("options", [[], ["--for-good", "--for", "1d"]])
    def test_set_anew_to_what(self, run, options):
        result = run("groups", "until", "editors", "ben", *options)
        assert result.exit_code == 2
        assert "Say one of --for, --until and --for-good." in result.stderr

    def test_set_anew_for_somebody_who_is_not_in_it(self, refused, groups):
        line = refused("groups", "until", "editors", "mina", "ben", "--for", "1d")
        assert "Section 'editors' does not have 'mina'" in line
        assert "It is set" not in line
        assert groups.until_of("editors") == {}
        line = refused("groups", "until", "editors", "ben", "mina", "--for", "1d")
        assert line.endswith("It is set already for: 'ben'.\n")
        assert groups.until_of("editors").keys() == {"ben"}


def test_until_it_ends(done, groups, raw):
    done("groups", "add", "writers", "kim", "--for", "1h")
    done("permissions", "grant", "sell", "writers", "--for", "2h")
    assert shown(done("groups", "show", "writers")) == (
        "members:\n  kim (until TIME)\n  rosa\npermissions:\n  sell (until TIME)\n  write\n"
    )
    assert shown(done("permissions", "show", "sell")) == "groups:\n  writers (until TIME)\n"
    assert shown(done("who", "kim")) == (
        "groups:\n  writers (until TIME)\n"
        "permissions:\n  sell (writers until TIME)\n  write (writers)\n"
    )
    let_pass(raw, HOUR)
    assert shown(done("groups", "show", "writers")) == (
        "members:\n  rosa\npermissions:\n  sell (until TIME)\n  write\n"
    )
    assert done("who", "kim") == "groups:\n  (none)\npermissions:\n  (none)\n"
    assert shown(done("who", "rosa")) == (
        "groups:\n  editors\n  writers\npermissions:\n  publish (editors)\n"
        "  sell (writers until TIME)\n  write (editors, writers)\n"
    )


def test_json(done, groups, permissions):
    done("groups", "add", "writers", "kim", "--until", "2999-01-31T12:00+00:00")
    done("permissions", "grant", "sell", "writers", "--until", "2999-02-28T12:00+00:00")
    kim, sell = "2999-01-31T12:00:00.000+00:00", "2999-02-28T12:00:00.000+00:00"
    assert json.loads(done("groups", "show", "writers", "--json")) == {
        "group": "writers",
        "members": ["kim", "rosa"],
        "permissions": ["sell", "write"],
        "until": {"members": {"kim": kim}, "permissions": {"sell": sell}},
    }
    assert json.loads(done("permissions", "show", "sell", "--json")) == {
        "permission": "sell",
        "groups": ["writers"],
        "until": {"groups": {"writers": sell}},
    }
    assert json.loads(done("who", "kim", "--json")) == {
        "user": "kim",
        "groups": ["writers"],
        "permissions": {"sell": ["writers"], "write": ["writers"]},
        "until": {"groups": {"writers": kim}, "permissions": {"sell": {"writers": sell}}},
    }


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Lima"])
def test_last_of_all_times(done, groups, monkeypatch, zone):
    """In Tokyo it is after all that Python knows."""
    groups.include_item("writers", "kim", until=datetime.max.replace(tzinfo=UTC))
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        assert "kim (until 9999-12-31T" in done("groups", "show", "writers")
    time.tzset()


class TestHistory:
    def test_in_words(self, done, groups):
        done("groups", "add", "interns", "kim", "lee", "--for", "7d", "--by", "eva")
        done("groups", "until", "interns", "kim", "--for-good")
        done("groups", "until", "interns", "kim", "--until", LATE)
        done("groups", "until", "interns", "kim", "--for", "1d")
        done("groups", "remove", "interns", "kim")
        groups.rename_item("lee", "li")
        lines = shown(done("history", "--group", "interns")).splitlines()[:6]
        # Without the time and the name of the change.
        assert [line.split(" ", 2)[2] for line in lines] == [
            "somebody: group 'interns': 'lee' removed, 'li' added",
            "tomas: group 'interns': 'kim' removed",
            "tomas: group 'interns': 'kim' until TIME, not until TIME",
            "tomas: group 'interns': 'kim' until TIME, not for good",
            "tomas: group 'interns': 'kim' for good, not until TIME",
            "eva: group 'interns': 'kim', 'lee' added until TIME",
        ]

    def test_set_section_items(self, done, groups):
        groups.include_item("interns", "kim", until=HOUR)
        groups.set_section_items("interns", ["lee"])
        line = done("history", "--user", "lee").splitlines()[0]
        assert line.endswith("group 'interns': 'kim' removed, 'lee' added")

    def test_json(self, done):
        done("groups", "add", "interns", "kim", "--until", "2999-01-31T12:00+00:00")
        done("groups", "until", "interns", "kim", "--for-good")
        for_good, added = json.loads(done("history", "--user", "kim", "--json"))
        assert (added["until"], added["until_before"]) == ({"kim": KIM}, {})
        assert (for_good["until"], for_good["until_before"]) == ({"kim": None}, {"kim": KIM})


class TestPlainLayout:
    @pytest.fixture
    def query(self):
        return ""

    def test_no_room_for_it(self, refused, groups, permissions):
        for command in (
            ("groups", "add", "writers", "kim", "--for", "7d"),
            ("groups", "until", "writers", "rosa", "--for-good"),
            ("permissions", "grant", "sell", "writers", "--until", LATE),
            ("permissions", "until", "write", "writers", "--for", "1d"),
        ):
            line = refused(*command)
            assert NO_ROOM in line
            assert "the command copy. Nothing was written" in line
        assert groups.get_section_items("writers") == {"rosa"}
        assert permissions.get_section_items("sell") == set()


class TestCopy:
    @pytest.fixture(autouse=True)
    def ending(self, groups, permissions):
        groups.include_item("writers", "kim", until=HOUR)
        permissions.include_item("sell", "writers", until=2 * HOUR)

    def test_they_are_kept(self, done, address, groups, permissions):
        for _ in range(2):
            done("copy", f"{address}?namespace=target&db=5")
            for adapter, kind in (
                (groups, RedisGroupAdapter),
                (permissions, RedisPermissionAdapter),
            ):
                target = kind.from_url(f"{address}?namespace=target&db=5")
                for section in adapter.get_section_names():
                    assert target.until_of(section) == adapter.until_of(section)

    def test_to_where_there_is_no_room(self, refused, done, address, groups):
        options = address, "--groups-db", "6", "--permissions-db", "7"
        target = RedisGroupAdapter.from_url(address, db=6)
        line = refused("copy", *options)
        assert line.startswith("Error: groups: 'writers' has items for a time only: 'kim'.")
        assert "with --only-for-good" in line
        assert target.get_all_sections() == {}
        groups.exclude_item("writers", "kim")
        assert "permissions: 'sell' has items" in refused("copy", *options)
        assert target.get_all_sections() == {}
        groups.include_item("writers", "kim", until=HOUR)
        done("copy", *options, "--only-for-good")
        assert target.get_section_items("writers") == {"rosa"}
        assert RedisPermissionAdapter.from_url(address, db=7).get_section_items("sell") == set()


KIM, SELL = "2999-01-31T12:00:00.000+00:00", "2999-02-28T12:00:00.500+00:00"
STAFF = {
    "groups": {"editors": ["ben", "rosa"], "interns": [], "writers": ["rosa"]},
    "permissions": {"publish": ["editors"], "sell": [], "write": ["editors", "writers"]},
}
ENDS = {
    "groups": {"interns": {"lee": KIM}, "writers": {"kim": KIM}},
    "permissions": {"sell": {"writers": SELL}},
}


@pytest.fixture
def ending(groups, permissions):
    """Two users and a grant that end."""
    until = datetime.fromisoformat(KIM)
    groups.include_item("writers", "kim", until=until)
    groups.include_item("interns", "lee", until=until)
    permissions.include_item("sell", "writers", until=datetime.fromisoformat(SELL))


@pytest.fixture
def empty(groups, permissions):
    """Return what takes all away from the sources."""

    def empty():
        for adapter in (groups, permissions):
            for section in adapter.get_section_names():
                adapter.delete_section(section)

    return empty


def state(*adapters):
    return [adapter.get_many_sections_until(adapter.get_section_names()) for adapter in adapters]


class TestJSONFiles:
    @pytest.mark.usefixtures("ending")
    def test_export_and_import(self, done, groups, permissions, empty):
        before = state(groups, permissions)
        text = done("export", "json")
        assert json.loads(text) == {**STAFF, "until": ENDS}
        assert text.splitlines()[11:] == [
            '  "until": {',
            '    "groups": {',
            f'      "interns": {{"lee": "{KIM}"}},',
            f'      "writers": {{"kim": "{KIM}"}}',
            "    },",
            '    "permissions": {',
            f'      "sell": {{"writers": "{SELL}"}}',
            "    }",
            "  }",
            "}",
        ]
        empty()
        assert done("import", "json", "-", stdin=text) == (
            "groups: 3 new, 0 completed, 0 as before; 5 members added\n"
            "permissions: 3 new, 0 completed, 0 as before; 4 grants added\n"
        )
        assert state(groups, permissions) == before
        assert done("import", "json", "-", stdin=text) == (
            "groups: 0 new, 0 completed, 3 as before; 0 members added\n"
            "permissions: 0 new, 0 completed, 3 as before; 0 grants added\n"
        )
        assert done("export", "json") == text

    def test_of_one_kind_only(self, done, groups, permissions):
        permissions.include_item("sell", "writers", until=datetime.fromisoformat(SELL))
        text = done("export", "json")
        assert json.loads(text)["until"] == {"permissions": ENDS["permissions"]}

    def test_nothing_ends(self, done):
        assert json.loads(done("export", "json")) == STAFF

    def test_file_that_begins_with_it(self, done, groups, permissions, empty):
        empty()
        done("import", "json", "-", stdin=json.dumps({"until": ENDS, **STAFF}))
        assert groups.until_of("writers") == {"kim": datetime.fromisoformat(KIM)}

    def test_time_that_is_past(self, run, groups, empty):
        empty()
        past = {"groups": {"writers": {f"user {n}": "2001-01-31T12:00Z" for n in range(7)}}}
        document = json.dumps({**STAFF, "until": past})
        for options in (["--dry-run"], []):
            result = run("import", "json", "-", *options, stdin=document)
            assert result.exit_code == 0
            assert result.stderr == (
                "groups: left out, for their time is past: 'user 0' in 'writers', 'user 1' in "
                "'writers', 'user 2' in 'writers', 'user 3' in 'writers', 'user 4' in 'writers', "
                "2 more\n"
            )
            assert "3 members added" in result.stdout
        assert groups.get_section_items("writers") == {"rosa"}

    def test_time_that_comes_meanwhile(self, done, groups, permissions, empty, monkeypatch):
        empty()
        monkeypatch.setattr(
            RedisGroupAdapter, "server_time", lambda _: datetime(2000, 1, 1, tzinfo=UTC)
        )
        ends = {"groups": {"writers": {"kim": "2001-01-31T12:00Z"}}}
        done("import", "json", "-", stdin=json.dumps({**STAFF, "until": ends}))
        assert groups.get_section_items("writers") == {"rosa"}

    def test_other_ends_stay(self, run, groups, permissions, ending):
        before = state(groups, permissions)
        ends = {"groups": {"writers": {"kim": SELL}, "editors": {"ben": KIM}}}
        document = {
            "groups": {"editors": ["rosa"], "interns": ["lee"], "writers": ["rosa"]},
            "until": ends,
        }
        result = run("import", "json", "-", stdin=json.dumps(document))
        assert result.exit_code == 0
        assert result.stderr.splitlines() == [
            "groups: 'editors' has until another time than here, and keeps so: 'ben'",
            "groups: 'interns' has until another time than here, and keeps so: 'lee'",
            "groups: 'writers' has until another time than here, and keeps so: 'kim'",
        ]
        assert state(groups, permissions) == before

    def test_only_for_good(self, done, groups, empty):
        empty()
        document = json.dumps({**STAFF, "until": ENDS})
        done("import", "json", "-", "--only-for-good", stdin=document)
        assert groups.until_of("writers") == groups.until_of("interns") == {}

    def test_to_where_there_is_no_room(self, refused, done, run, address):
        document = json.dumps({**STAFF, "until": ENDS})
        options = "--groups-db", "6", "--permissions-db", "7", "--url", address
        target = RedisGroupAdapter.from_url(address, db=6)
        line = refused("import", "json", "-", *options, stdin=document)
        assert "groups: some members are to end by themselves, and without a namespace" in line
        assert "Nothing was written." in line
        assert "--only-for-good" in line
        result = run("apply", "-", *options, stdin=document)
        assert (result.exit_code, result.stdout) == (2, "")
        assert target.get_all_sections() == {}
        done("import", "json", "-", *options, "--only-for-good", stdin=document)
        assert target.get_section_items("writers") == {"rosa"}
        # What is there knows no ends, so there is none to compare.
        document = json.dumps({"groups": STAFF["groups"], "until": {}})
        assert run("import", "json", "-", *options, stdin=document).stderr == ""


class TestOtherForms:
    @pytest.mark.parametrize("form", ["ini", "xml"])
    def test_files(self, refused, done, ending, tmp_path, form):
        groups, permissions = tmp_path / "groups", tmp_path / "permissions"
        options = "export", form, "--groups", str(groups), "--permissions", str(permissions)
        line = refused(*options)
        assert "The group 'interns' has members for a time only: 'lee'. " in line
        assert "cannot say when that ends. Export JSON, or say --only-for-good" in line
        assert not groups.exists()
        done(*options, "--only-for-good")
        assert "rosa" in groups.read_text()
        assert "kim" not in groups.read_text()
        line = refused("export", form, "--permissions", str(permissions), "--yes")
        assert "The permission 'sell' has groups for a time only: 'writers'. " in line


class TestReconciling:
    @pytest.fixture
    def diff(self, run):
        def diff(document, *options):
            return run("diff", "-", *options, stdin=json.dumps(document))

        return diff

    @pytest.fixture
    def apply(self, run):
        def apply(document, *options):
            return run("apply", "-", *options, stdin=json.dumps(document))

        return apply

    def test_no_difference(self, diff, apply, ending, groups, permissions):
        document = {**STAFF, "until": ENDS}
        assert (diff(document).exit_code, diff(document).output) == (0, "")
        before = state(groups, permissions)
        assert "until another time" not in apply(document, "--prune").stdout
        assert state(groups, permissions) == before

    def test_differences(self, diff, apply, ending, groups, permissions):
        document = {
            "groups": {"editors": ["rosa"], "interns": ["lee"], "writers": ["rosa"]},
            "permissions": STAFF["permissions"],
            "until": {
                "groups": {"editors": {"ben": KIM, "eva": KIM}, "writers": {"kim": SELL}},
            },
        }
        result = diff(document)
        assert result.exit_code == 1
        assert shown(result.stdout).splitlines() == [
            "~ group 'editors': member 'ben' until TIME, not for good",
            "+ group 'editors': member 'eva' until TIME",
            "~ group 'interns': member 'lee' for good, not until TIME",
            "~ group 'writers': member 'kim' until TIME, not until TIME",
            "- permission 'sell': group 'writers' until TIME",
        ]
        found = json.loads(diff(document, "--json").stdout)
        ben = {"source": "groups", "section": "editors", "change": "changed", "item": "ben"}
        assert found[0] == {**ben, "until": KIM, "until_before": None}
        assert found[1] == {**ben, "change": "added", "item": "eva", "until": KIM}
        assert found[-1]["until_before"] == SELL
        assert "until" not in found[-1]
        assert "changed" not in apply(document, "--dry-run").stdout
        result = apply(document)
        assert result.stdout == (
            "groups: 0 made, 0 gone; 1 member added, 0 removed, 3 until another time\n"
            "permissions: 0 made, 0 gone; 0 grants added, 0 removed\n"
        )
        kim, sell = datetime.fromisoformat(KIM), datetime.fromisoformat(SELL)
        assert state(groups, permissions) == [
            {
                "editors": {"rosa": None, "ben": kim, "eva": kim},
                "interns": {"lee": None},
                "writers": {"rosa": None, "kim": sell},
            },
            # That would take --prune.
            {
                "publish": {"editors": None},
                "sell": {"writers": sell},
                "write": {"editors": None, "writers": None},
            },
        ]
        apply(document, "--prune", "--yes")
        assert diff(document).exit_code == 0

    def test_only_a_time_differs(self, diff, ending):
        document = {**STAFF, "until": {**ENDS, "permissions": {"sell": {"writers": KIM}}}}
        result = diff(document)
        assert result.exit_code == 1
        assert shown(result.output) == (
            "~ permission 'sell': group 'writers' until TIME, not until TIME\n"
        )

    @pytest.mark.usefixtures("ending")
    def test_new_sections(self, diff, apply, groups, empty):
        empty()
        document = {**STAFF, "until": ENDS}
        assert apply(document).exit_code == 0
        assert diff(document).exit_code == 0
        assert groups.until_of("interns") == {"lee": datetime.fromisoformat(KIM)}

    def test_file_that_says_nothing_of_ends(self, diff, apply, ending, groups, permissions):
        before = state(groups, permissions)
        document = {
            "groups": {**STAFF["groups"], "writers": ["rosa", "kim"], "interns": ["lee"]},
            "permissions": {**STAFF["permissions"], "sell": ["writers"]},
        }
        for result in (diff(document), apply(document), apply(document, "--prune", "--yes")):
            assert result.exit_code == 0
            assert result.stderr == (
                "In standard input, but there for a time only: 2 members, 1 grant. It stays so: "
                'standard input has no "until", so it says nothing of what ends.\n'
            )
        assert state(groups, permissions) == before
        # And nobody goes without being asked.
        result = apply(STAFF)
        assert "Not in standard input, and left as it is: 2 members, 1 grant." in result.stderr
        assert state(groups, permissions) == before
        # It does say so where it says that nothing ends.
        assert apply({**document, "until": {}}).exit_code == 0
        assert groups.until_of("writers") == {}
        assert groups.get_section_items("writers") == {"rosa", "kim"}

    def test_time_that_is_past(self, diff, ending):
        document = {**STAFF, "until": {"groups": {"writers": {"kim": "2001-01-31T12:00Z"}}}}
        result = diff(document)
        assert result.exit_code == 1
        assert "groups: left out, for their time is past: 'kim' in 'writers'\n" in result.stderr
        assert "- group 'writers': member 'kim' until " in result.stdout

    def test_only_for_good(self, diff, apply, groups):
        document = {**STAFF, "until": ENDS}
        assert diff(document, "--only-for-good").exit_code == 0
        assert diff(document).exit_code == 1
        assert apply(document, "--only-for-good").exit_code == 0
        assert groups.until_of("writers") == {}

    def test_only_one_kind(self, diff, ending):
        document = {"permissions": STAFF["permissions"], "until": {**ENDS, "groups": {}}}
        assert diff(document, "--only", "permissions").exit_code == 0

    def test_time_that_comes_meanwhile(self, apply, groups, ending, monkeypatch):
        """What was to be set, or added, until then is as gone as it is to be."""
        monkeypatch.setattr(
            RedisGroupAdapter, "server_time", lambda _: datetime(2000, 1, 1, tzinfo=UTC)
        )
        past = "2001-01-31T12:00Z"
        document = {**STAFF, "until": {"groups": {"writers": {"kim": past, "lee": past}}}}
        assert apply(document, "--only", "groups").exit_code == 0
        assert groups.until_of("writers") == {"kim": datetime.fromisoformat(KIM)}
