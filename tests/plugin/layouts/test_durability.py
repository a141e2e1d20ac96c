"""What a server that is killed under load finds again in its append-only file."""

import logging
import os
import shutil
from collections import Counter

import pytest
import redis
from harness import servers
from harness.histories import replayed
from harness.load import Load, Reader, Writer, all_items

from repoze.what.plugins.redis import RedisPermissionAdapter

logger = logging.getLogger(__name__)


@pytest.fixture
def durable(executable):
    server = servers.RedisServer(executable, "--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.stop()


def adapter(server, options):
    client = redis.Redis(host=servers.HOST, port=server.port, socket_timeout=30)
    if options:
        # Nothing is cut off.
        options = {**options, "history": 10_000_000}
    return RedisPermissionAdapter(client, **options)


def start_mended(server):
    """Start it from its file, from which its tool has cut off a write that was cut short."""
    cut_off = server.fix_append_only_file()
    if cut_off:
        logger.info("the beginning of a write was cut off: %d bytes", cut_off)
    server.resume()
    servers.wait_until(lambda: not server.client().info("persistence")["loading"])


def start_and_rewrite(server):
    """Start it from its file, and have that written anew from what has been loaded."""
    client = server.client()
    server.resume()
    servers.wait_until(lambda: not client.info("persistence")["loading"])
    client.bgrewriteaof()
    servers.wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"


def test_killed_under_load(durable, options, thorough):
    """No acknowledged write is lost, no refused one is found, and nobody is granted too much.

    Nor is a write without its entry in the history, or an entry without its write.
    """
    kills = 100 if thorough else 4
    source = adapter(durable, options)
    writers = [Writer(f"writer {number}", adapter(durable, options)) for number in range(3)]
    readers = [Reader(writer, adapter(durable, options)) for writer in writers]
    with Load(*writers, *readers) as load:
        for _ in range(kills):
            wait_for_more(writers, readers)
            before = unanswered(readers)
            durable.kill()
            servers.wait_until(lambda before=before: unanswered(readers) > before)
            with load.paused():
                start_mended(durable)
                check(source, writers)
        load.wait_for_success()
    check(source, writers)
    told, read = Counter(), Counter()
    for writer in writers:
        told += writer.counts
    for reader in readers:
        read += reader.counts
        reader.settle()
        assert reader.wrong == []
    logger.info("%d kills; writes: %s; lookups: %s", kills, dict(told), dict(read))
    assert told.keys() <= {"acknowledged", "refused", "unknown", "unanswered"}
    assert read.keys() <= {"right", "unanswered"}


def wait_for_more(writers, readers):
    """Return when each writer has had writes acknowledged, and each reader has had answers."""
    wanted = [
        (worker, kind, worker.counts[kind] + 5)
        for workers, kind in ((writers, "acknowledged"), (readers, "right"))
        for worker in workers
    ]
    servers.wait_until(lambda: all(worker.counts[kind] >= most for worker, kind, most in wanted))


def unanswered(readers):
    return sum(reader.counts["unanswered"] for reader in readers)


def check(source, writers):
    """Compare what is stored with what each of *writers* knows, and go on from there."""
    assert source.check() == []
    found = source.get_all_sections()
    if source.namespace is not None:
        assert replayed(source.history()) == found
    for writer in writers:
        writer.settle(writer.look())
        assert writer.wrong == []
        assert writer.lost() == set()
        assert {name: set(items) for name, items in writer.state.items()} == {
            name: items for name, items in found.items() if name.startswith(f"{writer.name} ")
        }
        for state in writer.states[-3:]:
            for item in all_items(state)[:50]:
                holding = {name for name, items in found.items() if item in items}
                assert source.find_sections(item) == holding
        writer.begin(writer.state)
    assert sum(len(writer.state) for writer in writers) == len(found)


@pytest.mark.parametrize("start", [start_mended, start_and_rewrite])
def test_write_that_is_cut_short(durable, options, thorough, tmp_path, start):
    """Wherever the file ends, a write is there as a whole or not at all, and stays so.

    By itself Redis leaves the beginning of a script's writes in the file, and appends to that what
    comes later. Started once more, it carries the script out in part, or loses what came later.
    """
    source = adapter(durable, options)
    writer = Writer("writer", source)
    source.create_section("to make the file")
    lasting = {durable.append_only_file.stat().st_size: {}}
    while len(lasting) < 40:
        if writer.step():
            lasting[durable.append_only_file.stat().st_size] = writer.state
    durable.kill()
    shutil.copytree(durable.folder, tmp_path / "whole", ignore=shutil.ignore_patterns("*.sock"))
    first, last = min(lasting), max(lasting)
    ends = range(first, last, (last - first) // (60 if thorough else 4))
    for end in ends:
        shutil.rmtree(durable.folder)
        shutil.copytree(tmp_path / "whole", durable.folder)
        os.truncate(durable.append_only_file, end)
        start(durable)
        expected = lasting[max(size for size in lasting if size <= end)]
        assert writer.look() == expected
        assert source.check() == []
        source.create_section("acknowledged")
        durable.kill()
        start(durable)
        assert writer.look() == expected
        assert "acknowledged" in source.get_section_names()
        assert source.check() == []
        durable.kill()
    logger.info("%d ends of a file of %d writes", len(ends), len(lasting))
