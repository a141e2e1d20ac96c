"""The commands on a Redis Cluster, which has database 0 only and wants a namespace."""

import json
from functools import cache

import pytest
from harness import cluster, servers

from repoze.what.plugins.redis.command import watching


@cache
def running(executable):
    """A cluster of one node, for here it does not matter who holds a slot."""
    node = cluster.Node(executable)
    node.ask("CLUSTER", "ADDSLOTS", *range(cluster.SLOTS))
    servers.wait_until(node.is_well)
    return node


@pytest.fixture
def address(executable):
    node = running(executable)
    node.ask("FLUSHALL")
    return f"redis+cluster://{servers.HOST}:{node.port}"


@pytest.fixture
def query():
    return "?namespace=tests"


def test_commands(done, run, *, staff, groups, address, tmp_path):
    assert done("groups", "list") == "editors\ninterns\nwriters\n"
    assert done("who", "ben") == "groups:\n  editors\npermissions:\n  publish (editors)\n" + (
        "  write (editors)\n"
    )
    assert run("can", "ben", "sell").exit_code == 1
    assert done("groups", "rename", "editors", "redaction") == (
        "Permissions that go along: 'publish', 'write'\n"
    )
    assert run("groups", "delete", "writers", "--yes").exit_code == 0
    assert done("check") == ""
    file = tmp_path / "staff.json"
    done("export", "json", str(file))
    document = json.loads(file.read_text())
    assert document == {
        "groups": {"interns": [], "redaction": ["ben", "rosa"]},
        "permissions": {"publish": ["redaction"], "sell": [], "write": ["redaction"]},
    }
    groups.exclude_items("redaction", ["ben"])
    assert done("import", "json", str(file)).startswith(
        "groups: 0 new, 1 completed, 1 as before; 1 member added\n"
    )
    assert done("copy", f"{address}?namespace=elsewhere").endswith("permissions: 3 copied\n")
    assert json.loads(done("--namespace", "elsewhere", "export", "json")) == document
    done("groups", "add", "interns", "kim", "--until", "2999-01-31T12:00+00:00")
    document = json.loads(done("export", "json"))
    assert document["until"] == {"groups": {"interns": {"kim": "2999-01-31T12:00:00.000+00:00"}}}
    done("groups", "remove", "interns", "kim")
    done("import", "json", "-", stdin=json.dumps(document))
    assert json.loads(done("export", "json")) == document


def test_watch(run, url, groups, monkeypatch):
    """The history is where the source is."""
    waited = []

    def wait(seconds):
        if waited:
            raise KeyboardInterrupt
        waited.append(seconds)
        groups.create_section("watched")

    monkeypatch.setattr(watching.time, "sleep", wait)
    result = run("watch")
    assert result.exit_code == 0
    assert result.stdout.endswith(": group 'watched': created\n")


def test_without_a_namespace(refused, address):
    assert "On a Redis Cluster, give the adapter a namespace and no db." in refused(
        "--url", address, "groups", "list"
    )


def test_nobody_at_home(refused):
    assert "cannot be reached" in refused("--url", "redis+cluster://127.0.0.1:1", "groups", "list")
