"""What an import does where something is there already, is stopped, or is large."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness import servers
from harness.proxy import HOLD_REPLY, Action, Fault, Point, Proxy

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

LOOK = (
    "Error: Nothing was written. Look whose that is, or say --merge to let it stay and add what is "
    "to come.\n"
)
GONE = "The server is gone."
AGAIN = "What is written stays: run it again to complete it."
# What the pages of a large import take, beside what a small one takes.
MEGABYTES = 30


@pytest.fixture
def import_(run):
    def import_(groups=None, permissions=None, *options):
        document = {"groups": groups or {}, "permissions": permissions or {}}
        return run("import", "json", "-", *options, stdin=json.dumps(document))

    return import_


def test_what_is_there_in_part_is_completed(import_, staff, groups, permissions):
    result = import_(
        {"editors": ["rosa", "ben", "kim"], "sellers": ["mina"]}, {"sell": ["sellers"]}
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "groups: 1 new, 1 completed, 0 as before; 2 members added\n"
        "permissions: 0 new, 1 completed, 0 as before; 1 grant added\n"
    )
    assert groups.get_all_sections() == {
        "editors": {"rosa", "ben", "kim"},
        "writers": {"rosa"},
        "interns": set(),
        "sellers": {"mina"},
    }
    assert permissions.get_section_items("sell") == {"sellers"}
    assert groups.check() == permissions.check() == []


def test_conflict(import_, staff, groups, permissions):
    before = groups.get_all_sections()
    new = {"editors": ["rosa", "kim"], "interns": ["kim"]}, {"write": ["interns"]}
    result = import_(*new)
    assert (result.exit_code, result.stdout) == (2, "")
    conflicts = (
        "groups: 'editors' is there already, with 1 other\n"
        "permissions: 'write' is there already, with 2 others\n"
    )
    assert result.stderr == conflicts + LOOK
    assert groups.get_all_sections() == before
    result = import_(*new, "--merge")
    assert (result.exit_code, result.stderr) == (0, conflicts)
    assert groups.get_section_items("editors") == {"rosa", "ben", "kim"}
    assert permissions.get_section_items("write") == {"editors", "writers", "interns"}


def test_many_conflicts(import_, groups):
    for number in range(25):
        groups.create_section(f"group-{number:02}")
        groups.include_items(f"group-{number:02}", ["rosa"])
    result = import_({f"group-{number:02}": [] for number in range(25)})
    *conflicts, more, _ = result.stderr.splitlines()
    assert conflicts[-1] == "groups: 'group-19' is there already, with 1 other"
    assert (len(conflicts), more) == (20, "... and 5 more")


def test_new_group_does_not_inherit(import_, staff, groups, permissions):
    permissions.include_items("sell", ["sellers", "others"])
    permissions.include_items("publish", ["sellers"])
    new = {"sellers": ["mina"]}, {"sell": ["sellers", "others"]}
    result = import_(*new)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"groups: 'sellers' is not there, but permissions for that name are: 'publish'\n{LOOK}"
    )
    assert "sellers" not in groups.get_all_sections()
    assert import_(*new, "--merge").exit_code == 0
    assert permissions.find_sections("sellers") == {"publish", "sell"}


def test_new_group_where_there_are_no_permissions(run, staff, tmp_path, groups):
    """The number of their database is mistyped, and what an earlier group has left is not seen."""
    file = tmp_path / "new.json"
    file.write_text('{"groups": {"sellers": ["mallory"]}}')
    words = ("--permissions-db", "8", "import", "json", str(file))
    result = run(*words)
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: There are no permissions in Redis at 127.0.0.1:")
    assert result.stderr.endswith(" If it is, say --merge.\n")
    assert "sellers" not in groups.get_section_names()
    assert run(*words, "--merge").exit_code == 0


WAITING = "'editors' -> 'redaction' (being renamed)"


@pytest.mark.parametrize("group", ["editors", "redaction"])
def test_new_group_whose_renaming_was_interrupted(import_, staff, groups, permissions, group):
    """To go on with that would give its new members what is set aside."""
    permissions.rename_item("editors", WAITING)
    groups.delete_section("editors")
    result = import_({group: ["mallory"]}, {})
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f'Error: Kept for "{WAITING}", which was interrupted: ')
    assert groups.get_section_names() == {"interns", "writers"}


def test_new_group_has_what_the_file_gives_it(import_, staff, permissions):
    """As where its permissions were imported before, by themselves."""
    permissions.include_items("sell", ["sellers"])
    result = import_({"sellers": ["mina"]}, {"sell": ["sellers"]})
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("option", ["--dry-run", "--json"])
def test_permissions_of_no_group(import_, staff, permissions, option):
    permissions.include_items("sell", ["sellers"])
    grants = {"sell": ["sellers", "ghosts", "writers", "buyers"], "buy": ["ghosts", "buyers"]}
    result = import_({"buyers": []}, grants, "--merge", option)
    assert (result.exit_code, result.stderr) == (
        0,
        "permissions: granted to what is no group here: 'ghosts', 'sellers'. Whoever makes one has "
        "them.\n",
    )


def test_dry_run(import_, staff, groups):
    before = groups.get_all_sections()
    result = import_(
        {"sellers": ["mina"], "interns": ["kim"], "writers": ["rosa"]}, {}, "--dry-run"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("groups: 1 new, 1 completed, 1 as before; 2 members added\n")
    assert groups.get_all_sections() == before
    assert import_({"editors": []}, {}, "--dry-run").exit_code == 2


def test_as_json(import_, staff):
    result = import_({"sellers": ["mina"], "interns": ["kim"]}, {}, "--json")
    assert json.loads(result.stdout) == {
        "groups": {"new": 1, "completed": 1, "unchanged": 0, "items": 2},
        "permissions": {"new": 0, "completed": 0, "unchanged": 0, "items": 0},
    }


def test_larger_than_a_page(import_, groups):
    many = [f"user-{number}" for number in range(2500)]
    groups.create_section("some")
    groups.include_items("some", many[500:1700])
    assert import_({"some": many, "all": many}).stdout.startswith(
        "groups: 1 new, 1 completed, 0 as before; 3,800 members added\n"
    )
    assert groups.get_all_sections() == {"some": set(many), "all": set(many)}


@pytest.mark.parametrize("error", [SourceUnavailable, KeyboardInterrupt])
def test_stopped_and_run_again(import_, groups, permissions, monkeypatch, error):
    sections = {f"group-{number}": ["rosa", "ben"] for number in range(10)}
    grants = {"publish": ["group-1", "group-2"]}
    include_items = RedisGroupAdapter.include_items
    calls = []

    def include_some_items(adapter, section, items):
        calls.append(section)
        if len(calls) == 5:
            raise error(GONE)
        include_items(adapter, section, items)

    with monkeypatch.context() as patch:
        patch.setattr(RedisGroupAdapter, "include_items", include_some_items)
        result = import_(sections, grants)
    assert result.exit_code == (2 if error is SourceUnavailable else 130)
    assert AGAIN in result.stderr
    assert len(groups.get_all_sections()) == 5
    assert permissions.get_all_sections() == {}
    assert import_(sections, grants).stdout == (
        "groups: 5 new, 1 completed, 4 as before; 12 members added\n"
        "permissions: 1 new, 0 completed, 0 as before; 2 grants added\n"
    )
    assert groups.get_all_sections() == {name: set(items) for name, items in sections.items()}


@pytest.mark.parametrize("kinds", [["groups", "permissions"], ["permissions"]])
def test_group_that_goes_and_is_granted_something(
    run, *, staff, permissions, tmp_path, monkeypatch, kinds
):
    """What was none before has been told of, and is no error."""
    texts = {"groups": "[interns]\n", "permissions": "[sell]\ninterns\nnobody\n"}
    options = []
    for kind in kinds:
        path = tmp_path / f"{kind}.ini"
        path.write_text(texts[kind])
        options += [f"--{kind}", str(path)]
    include_items = RedisPermissionAdapter.include_items

    def delete_and_include(adapter, *arguments):
        run("groups", "delete", "interns", "--yes")
        include_items(adapter, *arguments)

    monkeypatch.setattr(RedisPermissionAdapter, "include_items", delete_and_include)
    result = run("import", "ini", *options)
    assert result.exit_code == 2
    assert result.stderr.endswith(
        "Error: All is written, but meanwhile somebody has deleted or renamed groups that "
        "permissions are granted to: 'interns'. Revoke them, or whoever makes a group of that name "
        "has them.\n"
    )
    assert permissions.find_sections("interns") == {"sell"}
    monkeypatch.setattr(RedisPermissionAdapter, "include_items", include_items)
    assert run("import", "ini", *options, "--merge").exit_code == 0


def test_server_that_refuses_to_compare(server, run):
    """As one that is looked at by somebody who may not."""
    client = server.client()
    client.acl_setuser(
        "importer", enabled=True, nopass=True, keys="*", commands=["+@all", "-sismember"]
    )
    url = f"redis://importer@127.0.0.1:{server.port}?namespace=tests&protocol=2"
    try:
        RedisGroupAdapter(client, namespace="tests").create_section("editors")
        result = run("--url", url, "import", "json", "-", stdin='{"groups": {"editors": ["x"]}}')
        assert result.exit_code == 2
        assert "Permit the command and the key" in result.stderr
    finally:
        client.acl_deluser("importer")


def test_full_temporary_folder(refused, tmp_path, groups):
    file = tmp_path / "large.json"
    file.write_text(json.dumps({"groups": {"all": [f"{n:01000}" for n in range(30_000)]}}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        line = refused("import", "json", str(file))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert line.startswith("Error: The temporary file cannot be used: ")
    assert groups.get_all_sections() == {}


# Prints the most memory that it took, in kilobytes, after what the command prints.
MEASURED = """
import atexit, re
from pathlib import Path
from repoze.what.plugins.redis.command import main
atexit.register(
    lambda: print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
)
main()
"""


def started(url, file):
    """Start an import whose lines are not counted.

    While it counts them, coverage has a lock now and then which it does not release where it is
    interrupted just then, and it would wait for that for ever.
    """
    environment = {name: os.environ[name] for name in os.environ if "COVERAGE" not in name}
    return subprocess.Popen(
        [sys.executable, "-c", MEASURED, "import", "json", str(file)],
        env=environment | {"REPOZE_WHAT_REDIS_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Return what the process printed, and the megabytes that it took."""
    stdout, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, "")
    *printed, kilobytes = stdout.splitlines()
    return printed, int(kilobytes) // 1024


def write_document(file, groups, members_of_each, length=0):
    with file.open("w") as out:
        out.write('{"groups": {')
        for group in range(groups):
            members = ", ".join(
                f'"user-{(group * 7919 + number * 31) % 1_000_003:0{length}}"'
                for number in range(members_of_each)
            )
            out.write(f'{", " if group else ""}"group-{group}": [{members}]')
        out.write("}}")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing tells it here")
@pytest.mark.parametrize(("query", "is_one_group"), [("", False), ("?namespace=tests", True)])
def test_memory(server, query, tmp_path, thorough, is_one_group):
    """It is what a small import takes, and no more where it is run again."""
    url = f"redis://127.0.0.1:{server.port}{query}"
    # Few with long names take as much to hold as many with short ones.
    memberships, length = (1_000_000, 0) if thorough else (15_000, 1500)
    small, large = tmp_path / "small.json", tmp_path / "large.json"
    write_document(small, 1, 100)
    shape = (1, memberships) if is_one_group else (memberships // 100, 100)
    write_document(large, *shape, length)
    _, least = finish(started(f"redis://127.0.0.1:{server.port}?namespace=small", small))
    printed, taken = finish(started(url, large))
    assert printed[0].endswith(f"{memberships:,} members added")
    assert taken < least + MEGABYTES
    printed, taken = finish(started(url, large))
    assert printed[0].endswith(" 0 members added")
    assert taken < least + MEGABYTES
    sys.stdout.write(f"{memberships:,} memberships: {taken} MB; a small import: {least} MB\n")


def test_interrupted_by_ctrl_c(server, query, tmp_path, thorough):
    groups = RedisGroupAdapter.from_url(f"redis://127.0.0.1:{server.port}{query}")
    file = tmp_path / "large.json"
    write_document(file, 10_000 if thorough else 50, 100)
    wanted = json.loads(file.read_text())["groups"]
    with Proxy(server.port) as proxy:
        # It never has an answer to one of its questions in the middle.
        proxy.arm(*[Fault(Action.DELAY, Point.BEFORE_REPLY)] * len(wanted), HOLD_REPLY)
        process = started(f"redis://127.0.0.1:{proxy.port}{query}", file)
        try:
            servers.wait_until(lambda: not proxy.is_armed)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (process.returncode, stderr.split("\n")) == (130, ["", AGAIN, "Interrupted.", ""])
    assert 0 < len(groups.get_section_names()) < len(wanted)
    finish(started(f"redis://127.0.0.1:{server.port}{query}", file))
    assert groups.get_all_sections() == {name: set(items) for name, items in wanted.items()}
    assert groups.check() == []
