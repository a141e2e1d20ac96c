"""The commands ``groups ...``."""

import io
import json
from contextlib import suppress
from functools import partialmethod

import pytest

from repoze.what.adapters import (
    ItemPresentError,
    NonExistingSectionError,
    SourceUnavailable,
)
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

pytestmark = pytest.mark.usefixtures("url")


@pytest.fixture(params=["plain", "indexed", "in one database"])
def query(request):
    """What the URL has after the address: in one database, a group is renamed in one step."""
    return {"plain": "", "indexed": "?namespace=tests", "in one database": "/0?namespace=tests"}[
        request.param
    ]


class Keyboard(io.BytesIO):
    """Somebody at a terminal who types something."""

    def isatty(self):
        return True


def test_list(done, staff):
    assert done("groups", "list") == "editors\ninterns\nwriters\n"
    assert json.loads(done("groups", "list", "--json")) == ["editors", "interns", "writers"]


def test_show(done, staff):
    assert done("groups", "show", "editors") == (
        "members:\n  ben\n  rosa\npermissions:\n  publish\n  write\n"
    )
    assert done("groups", "show", "interns") == "members:\n  (none)\npermissions:\n  (none)\n"
    assert json.loads(done("groups", "show", "editors", "--json")) == {
        "group": "editors",
        "members": ["ben", "rosa"],
        "permissions": ["publish", "write"],
        "until": {"members": {}, "permissions": {}},
    }


def test_show_no_group(refused):
    assert refused("groups", "show", "ghosts").startswith(
        "Error: There is no section 'ghosts' (Redis "
    )


def test_create(done, groups):
    assert done("groups", "create", "editors") == ""
    assert groups.get_all_sections() == {"editors": set()}


def test_create_again(refused, staff):
    assert "There is a section 'editors' already" in refused("groups", "create", "editors")


def test_create_under_a_name_with_permissions(refused, done, staff, groups, permissions):
    permissions.include_items("sell", ["ghosts"])
    permissions.include_items("publish", ["ghosts"])
    assert refused("groups", "create", "ghosts") == (
        "Error: 'ghosts' is no group, but it still has permissions: 'publish', 'sell'. Its members "
        "would have them at once. Revoke them first, or say --inherit.\n"
    )
    assert "ghosts" not in groups.get_all_sections()
    assert done("groups", "create", "ghosts", "--inherit") == ""
    assert "ghosts" in groups.get_all_sections()


def test_add_and_remove(done, staff, groups):
    assert done("groups", "add", "interns", "kim", "7") == ""
    assert groups.get_section_items("interns") == {"kim", "7"}
    assert done("groups", "remove", "interns", "kim", "7") == ""
    assert groups.get_section_items("interns") == set()


def test_add_and_remove_all_or_none(refused, staff, groups):
    assert "already" in refused("groups", "add", "editors", "kim", "rosa")
    assert "does not have 'kim'" in refused("groups", "remove", "editors", "kim", "rosa")
    assert groups.get_section_items("editors") == {"rosa", "ben"}


def test_rename(done, staff, groups, permissions):
    assert done("groups", "rename", "editors", "redaction") == (
        "Permissions that go along: 'publish', 'write'\n"
    )
    assert groups.get_all_sections().keys() == {"redaction", "interns", "writers"}
    assert permissions.find_sections("redaction") == {"publish", "write"}
    assert permissions.find_sections("editors") == set()


def test_rename_without_permissions(done, staff, groups):
    assert done("groups", "rename", "interns", "trainees") == ""
    assert done("groups", "rename", "trainees", "interns", "--leave-permissions") == ""


def test_rename_and_leave_permissions(done, staff, groups, permissions):
    assert done("groups", "rename", "editors", "redaction", "--leave-permissions") == (
        "Permissions of whoever is called 'editors' next: 'publish', 'write'\n"
    )
    assert permissions.find_sections("redaction") == set()
    assert permissions.find_sections("editors") == {"publish", "write"}


def test_rename_to_a_name_with_permissions(refused, staff, groups, permissions):
    permissions.include_items("sell", ["redaction"])
    assert refused("groups", "rename", "editors", "redaction") == (
        "Error: 'redaction' is no group, but it still has permissions: 'sell'. Its members would "
        "have them at once. Revoke them first, or choose another name.\n"
    )
    assert groups.get_section_items("editors") == {"rosa", "ben"}
    assert permissions.find_sections("editors") == {"publish", "write"}


def test_rename_to_a_group_that_is_there(refused, staff, groups):
    for name in ("writers", "editors"):
        assert refused("groups", "rename", "editors", name) == (
            f"Error: There is a group '{name}' already.\n"
        )


def test_rename_of_no_group(refused, staff):
    assert refused("groups", "rename", "ghosts", "writers") == (
        "Error: There is no group 'ghosts'.\n"
    )


WAITING = "'editors' -> 'redaction' (being renamed)"
GONE = "The server is gone."
AGAIN = f'Run it again: until then its permissions may be kept for "{WAITING}".'
STEPS = [
    (RedisPermissionAdapter, "rename_item", 1),
    (RedisGroupAdapter, "edit_section", 1),
    (RedisPermissionAdapter, "rename_item", 2),
]


def interrupt(monkeypatch, step, error, *, is_done):
    """Have a step of `STEPS` raise *error* before it is done, or after."""
    adapter_class, name, number = step
    operation = getattr(adapter_class, name)
    calls = []

    def interrupted(adapter, *arguments):
        calls.append(arguments)
        if len(calls) != number:
            return operation(adapter, *arguments)
        if is_done:
            operation(adapter, *arguments)
        raise error

    monkeypatch.setattr(adapter_class, name, interrupted)


@pytest.mark.parametrize("step", STEPS, ids=["keep", "rename", "hand on"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [SourceUnavailable, KeyboardInterrupt])
def test_rename_that_is_interrupted(
    run, done, *, staff, groups, permissions, monkeypatch, step, is_done, error
):
    with monkeypatch.context() as patch:
        interrupt(patch, step, error(GONE), is_done=is_done)
        result = run("groups", "rename", "editors", "redaction")
    there = groups.get_all_sections()
    # No right is left where a group could yet be made, and nobody has any that was not theirs.
    having = set().union(*permissions.get_all_sections().values())
    assert having <= {*there, WAITING}
    assert permissions.find_sections("writers") == {"write"}
    assert permissions.find_sections("interns") == set()
    if error is SourceUnavailable:
        assert (result.exit_code, result.stderr) == (2, f"Error: {GONE} {AGAIN}\n")
    else:
        assert (result.exit_code, result.stderr) == (130, f"\n{AGAIN}\nInterrupted.\n")
    if step == STEPS[-1] and is_done:
        # That was the last one.
        assert (
            "There is no group 'editors'" in run("groups", "rename", "editors", "redaction").stderr
        )
    else:
        assert done("groups", "rename", "editors", "redaction") == (
            "Permissions that go along: 'publish', 'write'\n"
        )
    assert groups.get_all_sections() == {
        "redaction": {"rosa", "ben"},
        "writers": {"rosa"},
        "interns": set(),
    }
    assert permissions.get_all_sections() == {
        "publish": {"redaction"},
        "write": {"redaction", "writers"},
        "sell": set(),
    }


@pytest.mark.parametrize("step", STEPS, ids=["keep", "rename", "hand on"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("again", ["write", "publish"])
def test_rename_that_is_interrupted_and_granted_again(
    run, done, *, staff, groups, permissions, monkeypatch, step, is_done, again
):
    with monkeypatch.context() as patch:
        interrupt(patch, step, SourceUnavailable(GONE), is_done=is_done)
        run("groups", "rename", "editors", "redaction")
    (group,) = groups.get_section_names() & {"editors", "redaction"}
    with suppress(ItemPresentError):
        permissions.include_items(again, [group])
    if (step, is_done) == (STEPS[-1], True):
        return
    assert done("groups", "rename", "editors", "redaction") == (
        "Permissions that go along: 'publish', 'write'\n"
    )
    assert permissions.get_all_sections() == {
        "publish": {"redaction"},
        "write": {"redaction", "writers"},
        "sell": set(),
    }


@pytest.mark.parametrize("granted", [("sell",), ("sell", "publish")])
def test_revoked_while_a_rename_is_completed(
    run, done, *, staff, groups, permissions, monkeypatch, granted
):
    with monkeypatch.context() as patch:
        interrupt(patch, STEPS[1], SourceUnavailable(GONE), is_done=True)
        run("groups", "rename", "editors", "redaction")
    for permission in granted:
        permissions.include_items(permission, ["redaction"])
    merge_item = RedisPermissionAdapter._merge_item

    def merge_too_late(adapter, *names):
        permissions.exclude_item("publish", WAITING)
        return merge_item(adapter, *names)

    monkeypatch.setattr(RedisPermissionAdapter, "_merge_item", merge_too_late)
    assert done("groups", "rename", "editors", "redaction") == (
        "Permissions that go along: 'write'\n"
    )
    assert permissions.find_sections("redaction") == {"write", *granted}


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [SourceUnavailable, KeyboardInterrupt])
def test_what_was_granted_since_is_revoked_while_it_goes_along(
    run, *, staff, groups, permissions, monkeypatch, is_done, error
):
    """It does not come back, whatever is interrupted."""
    permissions.rename_item("editors", WAITING)
    permissions.include_item("sell", "editors")
    rename_item = RedisPermissionAdapter.rename_item

    def revoke_and_rename(adapter, *names):
        try:
            return rename_item(adapter, *names)
        except ItemPresentError:
            # Just now, and a moment too late to be seen.
            permissions.exclude_item("sell", "editors")
            raise

    with monkeypatch.context() as patch:
        patch.setattr(RedisPermissionAdapter, "rename_item", revoke_and_rename)
        interrupt(patch, (RedisPermissionAdapter, "_merge_item", 1), error(GONE), is_done=is_done)
        run("groups", "rename", "editors", "redaction")
    run("groups", "rename", "editors", "redaction")
    assert permissions.get_section_items("sell") == set()
    assert permissions.find_sections("redaction") == {"publish", "write"}


@pytest.mark.parametrize("number", range(6))
def test_what_is_granted_and_revoked_while_a_rename_is_completed(
    run, *, staff, groups, permissions, monkeypatch, number
):
    """Where that was told as done, it does not come back: whichever call it came between."""
    permissions.rename_item("editors", WAITING)
    groups.edit_section("editors", "redaction")
    permissions.include_item("sell", "redaction")
    names = ("find_sections", "rename_item", "_merge_item", "exclude_item", "include_item")
    calls, results = [], []

    def colleague(adapter, operation, *arguments):
        calls.append(arguments)
        command = {number: "grant", number + 1: "revoke"}.get(len(calls) - 1)
        if command:
            with monkeypatch.context() as patch:
                for name, own in operations.items():
                    patch.setattr(RedisPermissionAdapter, name, own)
                results.append(run("permissions", command, "publish", "redaction"))
        return operation(adapter, *arguments)

    operations = {name: getattr(RedisPermissionAdapter, name) for name in names}
    for name, operation in operations.items():
        monkeypatch.setattr(RedisPermissionAdapter, name, partialmethod(colleague, operation))
    run("groups", "rename", "editors", "redaction")
    assert calls
    has_it = "redaction" in permissions.get_section_items("publish")
    is_told = any(result.stderr for result in results[1:])
    assert has_it == (len(results) < 2 or is_told)


def test_revoking_what_is_set_aside(run, done, *, staff, groups, permissions, monkeypatch):
    """It would come back when the renaming is completed."""
    with monkeypatch.context() as patch:
        interrupt(patch, STEPS[1], SourceUnavailable(GONE), is_done=True)
        run("groups", "rename", "editors", "redaction")
    for group in ("editors", "redaction"):
        result = run("permissions", "revoke", "publish", group)
        assert (result.exit_code, result.stderr.startswith("Error: Kept for")) == (2, True)
    result = run("permissions", "revoke", "sell", "redaction")
    assert (result.exit_code, "does not have" in result.stderr) == (2, True)
    assert done("permissions", "revoke", "publish", WAITING) == ""
    done("groups", "rename", "editors", "redaction")
    assert permissions.find_sections("redaction") == {"write"}


def test_revoking_what_is_set_aside_and_was_granted_again(
    run, done, *, staff, groups, permissions, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupt(patch, STEPS[1], SourceUnavailable(GONE), is_done=True)
        run("groups", "rename", "editors", "redaction")
    for permission in ("publish", "sell"):
        permissions.include_item(permission, "redaction")
    result = run("permissions", "revoke", "publish", "redaction")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: It is revoked, but would come back. Kept for")
    assert permissions.find_sections("redaction") == {"sell"}
    assert done("permissions", "revoke", "sell", "redaction") == ""


@pytest.mark.parametrize("is_granted_again", [False, True])
def test_revoking_while_a_rename_is_completed(
    run, done, *, staff, groups, permissions, monkeypatch, is_granted_again
):
    """It has come back when what is set aside is looked for, and is told of or revoked."""
    permissions.rename_item("editors", WAITING)
    groups.edit_section("editors", "redaction")
    if is_granted_again:
        permissions.include_item("publish", "redaction")
    exclude_items = RedisPermissionAdapter.exclude_items

    def exclude_and_rename(adapter, *arguments):
        monkeypatch.setattr(RedisPermissionAdapter, "exclude_items", exclude_items)
        try:
            exclude_items(adapter, *arguments)
        finally:
            # A colleague, in the moment after.
            done("groups", "rename", "editors", "redaction")

    monkeypatch.setattr(RedisPermissionAdapter, "exclude_items", exclude_and_rename)
    result = run("permissions", "revoke", "publish", "redaction")
    if is_granted_again:
        assert (result.exit_code, result.stderr) == (
            2,
            "Error: It was revoked, but somebody has given it again meanwhile: to 'redaction'. "
            "Revoke it again, unless that is right.\n",
        )
    else:
        assert (result.exit_code, result.stderr) == (0, "")
    assert permissions.find_sections("redaction") == (
        {"publish", "write"} if is_granted_again else {"write"}
    )


def test_revoking_under_the_name_that_it_is_renamed_from(
    run, done, *, staff, groups, permissions, monkeypatch
):
    """It comes to the other name, before what is set aside is looked for."""
    permissions.rename_item("editors", WAITING)
    permissions.include_item("publish", "editors")
    exclude_items = RedisPermissionAdapter.exclude_items

    def exclude_and_rename(adapter, *arguments):
        monkeypatch.setattr(RedisPermissionAdapter, "exclude_items", exclude_items)
        exclude_items(adapter, *arguments)
        done("groups", "rename", "editors", "redaction")

    monkeypatch.setattr(RedisPermissionAdapter, "exclude_items", exclude_and_rename)
    result = run("permissions", "revoke", "publish", "editors")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: It is revoked, but it was set aside as well. Meanwhile somebody has ended that "
        "renaming, and it is granted to 'redaction'. Revoke it, unless that is right.\n",
    )
    assert permissions.find_sections("redaction") == {"publish", "write"}


@pytest.mark.parametrize("steps", [1, 3])
def test_revoking_what_is_given_again_and_set_aside(
    run, *, staff, groups, permissions, monkeypatch, steps
):
    """A colleague gives it again, and renames the group, in part or wholly."""
    exclude_items = RedisPermissionAdapter.exclude_items

    def exclude_and_rename(adapter, *arguments):
        exclude_items(adapter, *arguments)
        permissions.include_item("publish", "editors")
        permissions.rename_item("editors", WAITING)
        if steps > 1:
            groups.edit_section("editors", "redaction")
            permissions.rename_item(WAITING, "redaction")

    monkeypatch.setattr(RedisPermissionAdapter, "exclude_items", exclude_and_rename)
    result = run("permissions", "revoke", "publish", "editors")
    assert (result.exit_code, result.stderr) == (
        2,
        {
            1: f'Error: It is revoked, but would come back. Kept for "{WAITING}", which was '
            "interrupted: 'publish'. Run that again; or grant it to the group that is to have it, "
            "and revoke it from that name.\n",
            3: "Error: It is revoked, but 'editors' is no group now. Meanwhile somebody has "
            "renamed it, perhaps, and it is granted to 'redaction'. Revoke it, unless that is "
            "right.\n",
        }[steps],
    )


def test_revoking_while_others_are_granted_it(run, done, *, staff, permissions, monkeypatch):
    """That is no matter of the renaming of a group."""
    exclude_items = RedisPermissionAdapter.exclude_items

    def include_and_exclude(adapter, *arguments):
        permissions.include_item("publish", "interns")
        exclude_items(adapter, *arguments)

    monkeypatch.setattr(RedisPermissionAdapter, "exclude_items", include_and_exclude)
    assert done("permissions", "revoke", "publish", "editors") == ""


def test_revoking_what_moves_before_it_is_excluded(run, *, staff, groups, permissions, monkeypatch):
    """It has moved on since the look at who has it, and was given to the old name again."""
    exclude_items = RedisPermissionAdapter.exclude_items

    def rename_and_exclude(adapter, *arguments):
        assert run("groups", "rename", "editors", "redaction").exit_code == 0
        permissions.include_item("publish", "editors")
        exclude_items(adapter, *arguments)

    monkeypatch.setattr(RedisPermissionAdapter, "exclude_items", rename_and_exclude)
    result = run("permissions", "revoke", "publish", "editors")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: It is revoked, but 'editors' is no group now.")


def test_granting_to_a_group_that_somebody_deletes_meanwhile(
    run, done, *, staff, groups, permissions, monkeypatch
):
    permissions.create_section("print")
    include_items = RedisPermissionAdapter.include_items

    def delete_and_include(adapter, *arguments):
        monkeypatch.setattr(RedisPermissionAdapter, "include_items", include_items)
        assert run("groups", "delete", "editors", "--yes").exit_code == 0
        include_items(adapter, *arguments)

    monkeypatch.setattr(RedisPermissionAdapter, "include_items", delete_and_include)
    result = run("permissions", "grant", "print", "editors")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: It is granted, but meanwhile somebody has deleted or renamed 'editors'. Revoke it, "
        "or whoever makes a group of that name has the permission.\n",
    )


def test_rename_to_a_group_that_somebody_makes_meanwhile(
    run, *, staff, groups, permissions, monkeypatch
):
    edit_section = RedisGroupAdapter.edit_section

    def edit_too_late(adapter, group, new_name):
        adapter.create_section(new_name)
        edit_section(adapter, group, new_name)

    before = permissions.get_all_sections()
    monkeypatch.setattr(RedisGroupAdapter, "edit_section", edit_too_late)
    result = run("groups", "rename", "editors", "redaction")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(" The group and its permissions are as before.\n")
    assert permissions.get_all_sections() == before


@pytest.mark.parametrize("new_name", ["", "red"])
def test_rename_that_is_refused(run, done, *, staff, groups, permissions, new_name):
    """Its permissions had been set aside before; the group has them again."""
    raw = groups.db_connection
    if groups.namespace is None:
        raw.set("red", "no set")
    else:
        raw.sadd("{tests}:groups:section:red", "mallory")
    before = groups.get_many_section_items(["editors"]), permissions.get_all_sections()
    for _ in range(2):
        result = run("groups", "rename", "editors", new_name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.endswith(" The group and its permissions are as before.\n")
        assert "Run it again" not in result.stderr
        after = groups.get_many_section_items(["editors"]), permissions.get_all_sections()
        assert after == before
    done("groups", "rename", "editors", "redaction")
    assert permissions.find_sections("redaction") == {"publish", "write"}


def test_rename_that_is_refused_and_cannot_be_looked_at(run, *, staff, permissions, monkeypatch):
    """As where the group has gone meanwhile."""

    def delete_first(adapter, group, _):
        adapter.delete_section(group)
        raise NonExistingSectionError(GONE)

    monkeypatch.setattr(RedisGroupAdapter, "edit_section", delete_first)
    result = run("groups", "rename", "editors", "redaction")
    assert (result.exit_code, result.stderr) == (2, f"Error: {GONE} {AGAIN}\n")
    assert permissions.find_sections(WAITING) == {"publish", "write"}


def test_permission_that_cannot_be_read(run, done, *, staff, groups, permissions):
    """A foreign key among the permissions stops none of the groups' commands."""
    raw = permissions.db_connection
    if permissions.namespace is None:
        raw.set("foreign", "no set")
    else:
        raw.sadd("{tests}:permissions:sections", "foreign")
        raw.set("{tests}:permissions:section:foreign", "no set")
    done("groups", "create", "new")
    done("groups", "rename", "editors", "redaction")
    assert run("groups", "delete", "redaction", "--yes").exit_code == 0
    assert permissions.find_sections("redaction") == set()


@pytest.mark.parametrize(
    ("command", "accept"),
    [
        (("create", "new"), "--inherit"),
        (("rename", "editors", "redaction"), "--leave-permissions"),
        (("delete", "editors", "--yes"), "--leave-permissions"),
    ],
)
def test_no_permissions_at_all(run, groups, staff, command, accept):
    """The number of their database is mistyped: what belongs to the group would stay there."""
    before = groups.get_all_sections()
    result = run("--permissions-db", "8", "groups", *command)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("Error: There are no permissions in Redis at 127.0.0.1:")
    assert result.stderr.endswith(f"the application has them? If it is, say {accept}.\n")
    assert groups.get_all_sections() == before
    assert run("--permissions-db", "8", "groups", *command, accept).exit_code == 0


def test_show_without_permissions(run, staff):
    result = run("--permissions-db", "8", "groups", "show", "editors")
    assert result.exit_code == 0
    assert result.stderr.startswith("There are no permissions in Redis at 127.0.0.1:")


KEPT = (
    f"Kept for \"{WAITING}\", which was interrupted: 'publish', 'write'. Run that again; or grant "
    "it to the group that is to have it, and revoke it from that name.\n"
)


@pytest.mark.parametrize("number", [1, 2])
def test_what_is_kept_is_told(run, done, *, staff, groups, permissions, monkeypatch, number):
    """Where it was interrupted, and groups of these names came or went since."""
    with monkeypatch.context() as patch:
        step = (RedisPermissionAdapter, "rename_item", number)
        interrupt(patch, step, SourceUnavailable(GONE), is_done=number == 1)
        run("groups", "rename", "editors", "redaction")
    result = run("check")
    assert (result.exit_code, result.stdout) == (
        1,
        "".join(
            f"permissions: {KEPT}".replace("'publish', 'write'", f"'{name}'")
            for name in ("publish", "write")
        ),
    )
    result = run("repair", "--yes", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["left"] == [
        {"source": "permissions", "problem": "being renamed", "section": name, "item": WAITING}
        for name in ("publish", "write")
    ]
    groups.create_section("redaction" if number == 1 else "editors")
    result = run("groups", "rename", "editors", "redaction")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: There is a group 'redaction' already. {KEPT}",
    )
    groups.delete_section("editors")
    groups.delete_section("redaction")
    result = run("groups", "rename", "editors", "redaction")
    assert (result.exit_code, result.stderr) == (2, f"Error: There is no group 'editors'. {KEPT}")
    for name in ("publish", "write"):
        done("permissions", "revoke", name, WAITING)
    assert done("check") == ""


@pytest.mark.parametrize(
    "command",
    [
        ("groups", "delete", "editors", "--yes"),
        ("groups", "rename", "editors", "writing"),
        ("groups", "rename", "writers", "editors"),
        ("groups", "rename", "editors", "redaction", "--leave-permissions"),
        ("groups", "create", "redaction"),
    ],
)
def test_what_is_kept_comes_to_nobody_else(run, done, *, staff, permissions, monkeypatch, command):
    with monkeypatch.context() as patch:
        step = (RedisPermissionAdapter, "rename_item", 1)
        interrupt(patch, step, SourceUnavailable(GONE), is_done=True)
        run("groups", "rename", "editors", "redaction")
    result = run(*command)
    assert result.exit_code == 2
    assert KEPT in result.stderr or "already" in result.stderr
    assert permissions.find_sections(WAITING) == {"publish", "write"}
    # Nothing of it is theirs.
    done("groups", "create", "others")
    done("groups", "rename", "editors", "redaction")
    assert permissions.find_sections("redaction") == {"publish", "write"}


def test_group_whose_name_is_like_what_is_kept(done, staff, groups, permissions):
    groups.create_section(WAITING)
    permissions.include_items("sell", [WAITING])
    assert done("check") == ""


def test_rename_where_somebody_waits_for_the_permissions(refused, staff, groups, permissions):
    groups.create_section(WAITING)
    assert refused("groups", "rename", "editors", "redaction") == (
        f'Error: There is a group "{WAITING}" already.\n'
    )
    assert permissions.find_sections("editors") == {"publish", "write"}


@pytest.mark.parametrize(
    "command", [("rename", "editors", "redaction"), ("delete", "editors", "--yes")]
)
@pytest.mark.parametrize("is_made_anew", [False, True])
def test_grant_while_a_name_is_given_up(
    run, *, staff, permissions, monkeypatch, command, is_made_anew
):
    """The permission is told; whoever makes a group of that name knowingly is not in the way."""
    name = {"rename": "edit_section", "delete": "delete_section"}[command[0]]
    operation = getattr(RedisGroupAdapter, name)

    def operate(adapter, *arguments):
        permissions.include_items("sell", ["editors"])
        operation(adapter, *arguments)
        if is_made_anew:
            adapter.create_section("editors")

    monkeypatch.setattr(RedisGroupAdapter, name, operate)
    result = run("groups", *command)
    assert result.exit_code == (0 if is_made_anew else 2)
    told = (
        "Error: That is done, but 'editors' is no group now, and meanwhile somebody has left it "
        "permissions: 'sell'. Revoke them, or the next group of that name will have them.\n"
    )
    assert result.stderr.endswith(told) != is_made_anew


def test_group_that_goes_as_its_permissions_follow(run, staff, groups, permissions, monkeypatch):
    edit_section = RedisGroupAdapter.edit_section

    def edit_and_delete(adapter, *names):
        edit_section(adapter, *names)
        groups.delete_section("redaction")

    monkeypatch.setattr(RedisGroupAdapter, "edit_section", edit_and_delete)
    result = run("groups", "rename", "editors", "redaction")
    assert (result.exit_code, result.stdout) == (
        2,
        "Permissions that go along: 'publish', 'write'\n",
    )
    assert result.stderr == (
        "Error: That is done, but 'redaction' is no group now, and meanwhile somebody has left it "
        "permissions: 'publish', 'write'. Revoke them, or the next group of that name will have "
        "them.\n"
    )


def test_delete(run, staff, groups, permissions):
    result = run("groups", "delete", "editors", "--yes")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        "The group 'editors' goes, with 2 members: 'ben', 'rosa'\n"
        "Permissions that are revoked first: 'publish', 'write'\n"
    )
    assert groups.get_all_sections().keys() == {"interns", "writers"}
    assert permissions.find_sections("editors") == set()


@pytest.mark.parametrize(
    "step",
    [(RedisPermissionAdapter, "remove_item", 1), (RedisGroupAdapter, "delete_section", 1)],
    ids=["revoke", "delete"],
)
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [SourceUnavailable, KeyboardInterrupt])
def test_delete_that_is_interrupted(
    run, *, staff, groups, permissions, monkeypatch, step, is_done, error
):
    with monkeypatch.context() as patch:
        interrupt(patch, step, error(GONE), is_done=is_done)
        result = run("groups", "delete", "editors", "--yes")
    assert result.exit_code == (2 if error is SourceUnavailable else 130)
    having = set().union(*permissions.get_all_sections().values())
    assert having <= groups.get_all_sections().keys()
    run("groups", "delete", "editors", "--yes")
    assert groups.get_all_sections() == {"writers": {"rosa"}, "interns": set()}
    assert permissions.get_all_sections() == {"publish": set(), "write": {"writers"}, "sell": set()}


def test_delete_with_nothing(run, staff, groups):
    result = run("groups", "delete", "interns", "--yes")
    assert (result.exit_code, result.stderr) == (0, "The group 'interns' goes, with 0 members.\n")
    assert "interns" not in groups.get_all_sections()


def test_delete_with_many_members(run, groups):
    groups.create_section("everybody")
    groups.include_items("everybody", [f"user-{number}" for number in range(1205)])
    assert run("groups", "delete", "everybody", "--yes").stderr == (
        "The group 'everybody' goes, with 1,205 members: "
        "'user-0', 'user-1', 'user-10', 'user-100', 'user-1000', 1,200 more\n"
    )


def test_delete_and_leave_permissions(run, staff, permissions):
    result = run("groups", "delete", "writers", "--yes", "--leave-permissions")
    assert (result.exit_code, result.stderr) == (
        0,
        "The group 'writers' goes, with 1 member: 'rosa'\n"
        "Permissions of whoever is called 'writers' next: 'write'\n",
    )
    assert permissions.find_sections("writers") == {"write"}


def test_delete_when_a_renaming_is_interrupted_meanwhile(
    run, *, staff, groups, permissions, monkeypatch
):
    def ask_for_long(*_, yes):
        permissions.rename_item("editors", WAITING)

    monkeypatch.setattr("repoze.what.plugins.redis.command.groups.ask", ask_for_long)
    for options in ([], ["--leave-permissions"]):
        result = run("groups", "delete", "editors", *options)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith("Error: Kept for")
        assert "editors" in groups.get_section_names()
        permissions.rename_item(WAITING, "editors")


def test_delete_with_nobody_to_ask(run, staff, groups, permissions):
    result = run("groups", "delete", "editors")
    assert result.exit_code == 2
    assert result.stderr.endswith(
        "Error: Nothing was done: there is nobody to ask. Say --yes if you want it.\n"
    )
    assert "editors" in groups.get_all_sections()
    assert permissions.find_sections("editors") == {"publish", "write"}


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("n\n", 2)])
def test_delete_asks(run, staff, groups, typed, status):
    result = run("groups", "delete", "editors", stdin=Keyboard(typed.encode()))
    assert result.exit_code == status
    assert "Go on? [y/N]" in result.stderr
    assert ("Nothing was done." in result.stderr) == (status == 2)
    assert ("editors" in groups.get_all_sections()) == (status == 2)


def test_delete_of_no_group(refused, staff, permissions):
    permissions.include_items("sell", ["ghosts"])
    assert "There is no section 'ghosts'" in refused("groups", "delete", "ghosts", "--yes")
    assert permissions.find_sections("ghosts") == {"sell"}


def test_name_that_begins_with_a_dash(done, groups):
    done("groups", "create", "--", "--yes")
    assert groups.get_all_sections() == {"--yes": set()}
