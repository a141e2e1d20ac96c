"""What the manual has for those who operate the server, done to real ones."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis
import webtest
from harness.servers import HOST, RedisServer, free_port, wait_until

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis import RedisGroupAdapter

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "operations"
sys.path.append(str(EXAMPLES))
import health  # noqa: E402
from watch_server import CONDITIONS, troubles  # noqa: E402

HAS_NO_FILE, HAS_NO_REPLICA, IS_CUT_OFF = (
    next(trouble for trouble in CONDITIONS if part in trouble)
    for part in ("no append-only file", "no replica", "cut off")
)


@pytest.fixture
def start(executable):
    """Start servers that go when the test ends."""
    started = []

    def start(*options):
        started.append(RedisServer(executable, "--repl-diskless-sync-delay", "0", *options))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def test_health_check(groups, permissions, proxy):
    browser = webtest.TestApp(health.make_health_check(groups, permissions))
    assert browser.get("/").text == "All is well"
    proxy.lose_server()
    browser.get("/", status=503)


def test_check_for_cron(server):
    url = f"redis://{HOST}:{server.port}"
    groups = RedisGroupAdapter.from_url(url, namespace="newspaper")
    groups.create_section("editors")
    groups.include_item("editors", "rosa")

    def run():
        command = [sys.executable, str(EXAMPLES / "check_sources.py")]
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "REPOZE_WHAT_REDIS_URL": url},
        )

    found = run()
    assert (found.returncode, found.stderr) == (0, "")
    groups.db_connection.sadd("{newspaper}:groups:item:mallory", "editors")
    found = run()
    assert found.returncode == 1
    assert "'mallory' is found in section 'editors', but not in it." in found.stderr


def test_troubles_of_a_server(start):
    primary = start("--appendonly", "yes")
    replica = start("--appendonly", "yes")
    replica.client().replicaof(HOST, primary.port)
    wait_until(lambda: troubles(replica.client()) == [])
    wait_until(lambda: troubles(primary.client()) == [])
    primary.client().config_set("appendonly", "no")
    assert troubles(primary.client()) == [HAS_NO_FILE]
    replica.client().replicaof("NO", "ONE")
    wait_until(lambda: troubles(primary.client()) == [HAS_NO_FILE, HAS_NO_REPLICA])
    replica.client().replicaof(HOST, free_port())
    wait_until(lambda: troubles(replica.client()) == [IS_CUT_OFF])


def test_trouble_with_memory(start):
    server = start("--maxmemory-policy", "allkeys-random")
    client = server.client()
    client.set("filler", "x" * 100_000)
    client.config_set("maxmemory", client.info("memory")["used_memory"] * 11 // 10)
    assert any("almost full" in trouble for trouble in troubles(client))
    client.config_set("maxmemory", "1mb")
    for number in range(100):
        try:
            client.set(f"filler {number}", "x" * 100_000)
        except redis.OutOfMemoryError:
            break
    assert any("thrown keys away" in trouble for trouble in troubles(client))


def test_restoring_a_backup(start, options, tmp_path):
    """The manual's steps, on a server with an append-only file."""
    server = start("--appendonly", "yes")
    groups = RedisGroupAdapter(server.client(), **options)
    groups.create_section("editors")
    groups.include_items("editors", ["rosa", "mallory"])
    server.client().save()
    shutil.copy(Path(server.folder, "dump.rdb"), tmp_path)
    groups.exclude_item("editors", "mallory")

    server.halt()
    for path in Path(server.folder).glob("append*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(tmp_path / "dump.rdb", server.folder)
    server.resume("--appendonly", "no")
    # The revocation has been undone.
    assert groups.get_section_items("editors") == {"rosa", "mallory"}
    groups.exclude_item("editors", "mallory")
    assert groups.check() == []
    server.client().config_set("appendonly", "yes")
    wait_until(
        lambda: (
            not server.client().info("persistence")["aof_rewrite_in_progress"]
            and not server.client().info("persistence")["aof_rewrite_scheduled"]
        )
    )
    assert server.client().info("persistence")["aof_last_bgrewrite_status"] == "ok"
    server.halt()
    server.resume()
    assert groups.get_section_items("editors") == {"rosa"}


def test_changing_servers(start, options):
    """The manual's steps: lookups go on all the while, and no write is lost."""
    old, new = start(), start()
    old.client().acl_setuser("site", enabled=True, nopass=True, keys="*", commands=["+@all"])
    settings = {"username": "site", "password": "any", "protocol": 2}
    groups = RedisGroupAdapter(old.client(**settings), **options)
    groups.create_section("editors")

    new.client().replicaof(HOST, old.port)
    wait_until(lambda: new.client().info("replication")["master_link_status"] == "up")
    groups.include_item("editors", "rosa")

    old.client().acl_setuser("site", enabled=True, commands=["-sadd", "-srem", "-del", "-rename"])
    with pytest.raises(SourceError):
        groups.include_item("editors", "ben")
    assert groups.find_sections({"repoze.what.userid": "rosa"}) == {"editors"}
    wait_until(
        lambda: (
            new.client().info("replication")["slave_repl_offset"]
            >= old.client().info("replication")["master_repl_offset"]
        )
    )
    new.client().replicaof("NO", "ONE")
    moved = RedisGroupAdapter(new.client(), **options)
    assert moved.get_all_sections() == groups.get_all_sections() == {"editors": {"rosa"}}
    assert moved.check() == []
    moved.include_item("editors", "ben")


def test_snapshot_is_not_read_where_there_is_to_be_an_append_only_file(start):
    server = start()
    server.client().set("key", "value")
    server.client().save()
    server.halt()
    server.resume("--appendonly", "yes")
    assert server.client().dbsize() == 0


def test_history_is_copied(server, tmp_path):
    """From where it was left, whenever it is started."""
    url = f"redis://{HOST}:{server.port}?namespace=newspaper"
    groups, log = RedisGroupAdapter.from_url(url), tmp_path / "groups.jsonl"

    def copied():
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    groups.create_section("the last that was copied")
    [change] = groups.history()
    log.write_text(json.dumps({"token": change.token}) + "\n")
    for section in ("editors", "writers"):
        groups.create_section(f"{section} 2")
        with subprocess.Popen(
            [sys.executable, str(EXAMPLES / "copy_history.py"), url, str(log)]
        ) as copying:
            groups.include_item(f"{section} 2", "rosa")
            last = [f"{section} 2"], ["rosa"]
            wait_until(lambda: (copied()[-1].get("groups"), copied()[-1].get("added")) == last)  # noqa: B023
            copying.kill()
        if section == "editors":
            groups.exclude_item("editors 2", "rosa")
    told = [(change["operation"], change["groups"]) for change in copied()[1:]]
    assert told == [
        ("create_section", ["editors 2"]),
        ("include_items", ["editors 2"]),
        ("exclude_items", ["editors 2"]),
        ("create_section", ["writers 2"]),
        ("include_items", ["writers 2"]),
    ]
