"""The command ``watch``."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import termios
import textwrap
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
import redis
from harness import servers
from harness.interruptions import press_ctrl_c
from harness.proxy import Proxy

from repoze.what.acting import acting_as
from repoze.what.plugins.redis import RedisGroupAdapter
from repoze.what.plugins.redis.command import notifications, watching
from repoze.what.plugins.redis.command.history import change_as_json
from repoze.what.plugins.redis.command.program import program

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ")
EVERY = ("--every", "0.1")


@pytest.fixture
def address(server):
    return f"redis://127.0.0.1:{server.port}"


@pytest.fixture
def query():
    """On the plain layout, the server has to announce what is written."""
    return ""


@pytest.fixture
def announcing(server):
    """A server that announces changes, until the test is over."""
    server.client().config_set("notify-keyspace-events", "Ksg")
    yield server
    server.client().config_set("notify-keyspace-events", "")


@pytest.fixture
def watch(url, monkeypatch):
    """Return what watches in this process while something is done.

    It returns the status, the first so many *lines* that were printed, and what was said besides.
    """

    def watch(do, lines, *options):
        printed = []
        with ExitStack() as stack:
            ends = {}
            for name in ("stdout", "stderr"):
                reader, writer = os.pipe()
                ends[name] = stack.enter_context(os.fdopen(reader))
                stream = stack.enter_context(os.fdopen(writer, "w"))
                monkeypatch.setattr(sys, name, stream)

            def act():
                if ends["stderr"].readline() == "Watching. Ctrl-C ends it.\n":
                    do()
                    printed.extend(ends["stdout"].readline() for _ in range(lines))
                    if lines:
                        press_ctrl_c(os.getpid())

            thread = threading.Thread(target=act)
            thread.start()
            # What is missing then is never going to come.
            too_late = threading.Timer(60, os.kill, (os.getpid(), signal.SIGINT))
            too_late.start()
            with pytest.raises(SystemExit) as ended:
                program.main(["watch", *options])
            too_late.cancel()
            # Where nothing is to come any more, nobody waits for it.
            sys.stdout.close()
            sys.stderr.close()
            thread.join()
            said = ends["stderr"].read()
            monkeypatch.undo()
        return ended.value.code, printed, said

    return watch


def unread(reader):
    """Return how many bytes are in a pipe."""
    return int.from_bytes(fcntl.ioctl(reader, termios.FIONREAD, bytes(4)), sys.byteorder)


def changes(printed):
    assert all(TIME.match(line) for line in printed)
    return [TIME.sub("", line).rstrip("\n") for line in printed]


@pytest.mark.usefixtures("announcing", "staff")
@pytest.mark.parametrize("options", [(), EVERY], ids=["announced", "compared"])
def test_changes(watch, groups, permissions, options):
    def do():
        groups.create_section("sellers")
        groups.include_items("editors", ["kim", "mina"])
        groups.exclude_items("writers", ["rosa"])
        groups.delete_section("interns")
        permissions.include_items("sell", ["sellers"])
        permissions.edit_section("publish", "print")

    status, printed, said = watch(do, 10, *options)
    assert (status, said) == (0, "")
    assert sorted(changes(printed)) == sorted(
        [
            "group 'sellers': created",
            "group 'editors': 'kim' added",
            "group 'editors': 'mina' added",
            "group 'writers': 'rosa' removed",
            "group 'interns': deleted",
            "permission 'sell': 'sellers' added",
            "permission 'print': created",
            "permission 'print': 'editors' added",
            "permission 'publish': 'editors' removed",
            "permission 'publish': deleted",
        ]
    )


def test_names_that_are_strange(announcing, watch, groups):
    def do():
        groups.create_section("\x1b[31m")
        groups.include_items("\x1b[31m", ["\udcff"])

    status, printed, _ = watch(do, 2)
    assert (status, changes(printed)) == (
        0,
        [r"group '\x1b[31m': created", r"group '\x1b[31m': '\udcff' added"],
    )


def test_as_json(announcing, watch, staff, groups):
    # To the second, as the time of a change is.
    before = datetime.now().astimezone().replace(microsecond=0)
    status, printed, _ = watch(lambda: groups.include_items("interns", ["kim"]), 1, "--json")
    (change,) = map(json.loads, printed)
    assert before <= datetime.fromisoformat(change.pop("time")) <= datetime.now().astimezone()
    assert change == {
        "source": "groups",
        "section": "interns",
        "change": "added",
        "item": "kim",
    }
    assert status == 0


def test_only_what_lies_there(announcing, watch, staff, groups, address):
    """Other keys of the server change, too."""

    def do():
        other = redis.Redis.from_url(address, db=7)
        other.sadd("editors", "mallory")
        redis.Redis.from_url(address, db=1).set("{tests}:groups:remark", "what is this?")
        redis.Redis.from_url(address, db=1).set("remark", "what is this?")
        groups.create_section("sellers")

    status, printed, _ = watch(do, 1)
    assert (status, changes(printed)) == (0, ["group 'sellers': created"])


def test_a_silent_server_is_asked(announcing, watch, groups, monkeypatch):
    monkeypatch.setattr(notifications, "_SECONDS_OF_SILENCE", 0.1)
    ping, asked = redis.client.PubSub.ping, threading.Event()

    def ping_patiently(subscription):
        monkeypatch.setattr(notifications, "_SECONDS_OF_SILENCE", 60)
        ping(subscription)
        asked.set()

    monkeypatch.setattr(redis.client.PubSub, "ping", ping_patiently)

    def do():
        asked.wait()
        groups.create_section("sellers")

    status, printed, _ = watch(do, 1)
    assert (status, changes(printed)) == (0, ["group 'sellers': created"])


def test_server_that_falls_silent(executable, query, watch, monkeypatch):
    get_message, frozen = redis.client.PubSub.get_message, threading.Event()

    def get_message_or_silence(subscription, timeout):
        """Wait for the message for as long as it takes, and for a moment where none can come."""
        while True:
            is_silent = frozen.is_set()
            message = get_message(subscription, timeout=0.1)
            if message is not None or is_silent:
                return message

    monkeypatch.setattr(redis.client.PubSub, "get_message", get_message_or_silence)
    server = servers.RedisServer(executable, "--notify-keyspace-events", "KA")
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", f"redis://127.0.0.1:{server.port}{query}")

    def do():
        server.freeze()
        frozen.set()

    status, _, said = watch(do, 0)
    server.thaw()
    server.stop()
    assert status == 2
    assert "\nError: watch(): Redis at " in said
    assert "did not answer in time" in said


def test_server_that_goes(executable, query, watch, monkeypatch):
    server = servers.RedisServer(executable, "--notify-keyspace-events", "KA")
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", f"redis://127.0.0.1:{server.port}{query}")
    status, _, said = watch(server.kill, 0)
    server.stop()
    assert status == 2
    nothing, told = said.splitlines()
    assert nothing.startswith("There are neither groups nor permissions in Redis at ")
    assert told.startswith("Error: watch(): Redis at ")


@pytest.mark.parametrize("is_there", [True, False])
def test_setting_that_a_server_does_not_tell(watch, server, groups, monkeypatch, is_there):
    """Whether it announces anything is not known then."""
    server.client().config_set("notify-keyspace-events", "KA")
    if not is_there:
        monkeypatch.setattr(redis.Redis, "config_get", lambda *_: {})
    _, printed, _ = watch(lambda: groups.create_section("sellers"), 1)
    server.client().config_set("notify-keyspace-events", "")
    assert changes(printed) == ["group 'sellers': created"]


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "1e10"])
def test_time_that_nobody_can_wait(run, url, seconds):
    result = run("watch", "--every", seconds)
    assert result.exit_code == 2
    assert "Error: Invalid value for '--every': " in result.stderr


def test_server_that_announces_nothing(refused, server, url):
    line = refused("watch")
    assert line == (
        "Error: The server does not announce changes. Have it do so, with redis-cli CONFIG SET "
        "notify-keyspace-events Kgs; or have the sources compared from time to time: "
        "watch --every 5\n"
    )


@pytest.mark.parametrize(("flags", "wanted"), [("KEx", "EKgsx"), ("EA", "AEKgs"), ("Kg", "Kgs")])
def test_server_that_announces_something_else(refused, announcing, url, flags, wanted):
    announcing.client().config_set("notify-keyspace-events", flags)
    assert f"CONFIG SET notify-keyspace-events {wanted};" in refused("watch")


def test_user_who_may_not_look_at_the_configuration(announcing, watch, url, monkeypatch):
    client = announcing.client()
    client.acl_setuser(
        "watcher",
        enabled=True,
        nopass=True,
        keys="*",
        channels="*",
        commands=["+@all", "-config"],
    )
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", url.replace("//", "//watcher@"))
    database = redis.Redis.from_url(url, db=1)
    try:
        status, printed, _ = watch(lambda: database.sadd("sellers", ""), 1)
    finally:
        client.acl_deluser("watcher")
    assert status == 0
    assert changes(printed) == ["group 'sellers': created"]


def test_user_who_may_not_listen(announcing, refused, url):
    client = announcing.client()
    client.acl_setuser(
        "deaf", enabled=True, nopass=True, keys="*", commands=["+@all", "-psubscribe"]
    )
    try:
        line = refused("--url", url.replace("//", "//deaf@"), "watch")
    finally:
        client.acl_deluser("deaf")
    assert "Permit the command and the key" in line


def test_no_server(refused):
    for options in ((), EVERY):
        assert "cannot be reached" in refused("--url", "redis://127.0.0.1:1", "watch", *options)


def told(printed):
    """The changes of the history that were printed, but for when and their tokens."""
    return [change.partition(" ")[2] for change in changes(printed)]


class TestHistory:
    """With a namespace, it is the history that tells."""

    @pytest.fixture
    def query(self):
        return "?namespace=tests"

    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch):
        monkeypatch.setattr(watching, "_SECONDS_BETWEEN_LOOKS", 0.2)

    @pytest.mark.usefixtures("staff")
    def test_who_did_it(self, watch, groups, permissions):
        def do():
            with acting_as("tomas", note="ticket 12"):
                groups.include_items("editors", ["kim"])
            groups.edit_section("writers", "authors")
            permissions.include_items("sell", ["editors"])

        _, printed, _ = watch(do, 3)
        assert sorted(told(printed)) == [
            "somebody: group 'writers': renamed 'authors'",
            "somebody: permission 'sell': 'editors' added",
            "tomas: group 'editors': 'kim' added (ticket 12)",
        ]

    @pytest.mark.usefixtures("staff")
    def test_as_json(self, watch, groups):
        _, printed, _ = watch(lambda: groups.include_items("interns", ["kim"]), 1, "--json")
        [change] = groups.history(item="kim")
        assert json.loads(printed[0]) == json.loads(json.dumps(change_as_json("groups", change)))

    @pytest.mark.usefixtures("staff")
    def test_compared(self, watch, server, groups):
        """So it tells of what is not in the history, too."""
        silent = RedisGroupAdapter(server.client(), namespace="tests", history=0)
        _, printed, _ = watch(lambda: silent.create_section("sellers"), 1, *EVERY)
        assert changes(printed) == ["group 'sellers': created"]

    def test_server_that_goes_and_comes_back(self, server, query, watch, monkeypatch, groups):
        groups.create_section("editors")
        with Proxy(server.port) as proxy:
            monkeypatch.setenv(
                "REPOZE_WHAT_REDIS_URL", f"redis://127.0.0.1:{proxy.port}{query}&socket_timeout=30"
            )
            said, waited = [], []
            monkeypatch.setattr(watching, "tell", said.append)
            sleep = watching.time.sleep

            def wait(seconds):
                # It has said so of both, and tries in vain once more.
                if len(said) == 2:
                    waited.append(seconds)
                    if len(waited) == 2:
                        groups.include_item("editors", "kim")
                        proxy.find_server(server.port)
                sleep(seconds)

            monkeypatch.setattr(watching.time, "sleep", wait)
            _, printed, _ = watch(proxy.lose_server, 1)
        assert told(printed) == ["somebody: group 'editors': 'kim' added"]
        assert "Trying again." in said[0]
        assert said[2] == "The groups can be read again."

    def test_history_that_lacks_something(self, watch, server, groups):
        groups.create_section("editors")
        raw = groups.db_connection

        def do():
            raw.eval(
                "redis.call('DEL', KEYS[1]); return redis.call('XADD', KEYS[1], '*', unpack(ARGV))",
                1,
                "{tests}:groups:history",
                *(text for pair in fields.items() for text in pair),
            )

        fields = raw.xrange("{tests}:groups:history")[0][1] | {b"token": b"another"}
        _, printed, said = watch(do, 1)
        assert told(printed) == ["somebody: group 'editors': created"]
        assert "The history of the groups lacks some changes: they are not told here.\n" in said

    @pytest.mark.parametrize(("moment", "status"), [("sleep", 0), ("poll", 130)])
    def test_ctrl_c(self, run, url, monkeypatch, moment, status):
        """While it waits, that is how it ends. While it looks, something may not be told."""

        def interrupted(*_):
            raise KeyboardInterrupt

        owner = {"sleep": watching.time, "poll": watching.Follower}[moment]
        monkeypatch.setattr(owner, moment, interrupted)
        assert run("watch").exit_code == status


class TestProcess:
    """What a process is that watches."""

    @pytest.fixture
    def process(self, announcing, url):
        process = subprocess.Popen(
            [sys.executable, "-m", "repoze.what.plugins.redis.command", "watch"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr.readline() == "Watching. Ctrl-C ends it.\n"
        assert process.stderr.readline().startswith("There are neither groups nor permissions in ")
        too_late = threading.Timer(60, process.kill)
        too_late.start()
        yield process
        too_late.cancel()
        process.kill()
        process.communicate()

    def test_ctrl_c(self, process, groups):
        groups.create_section("sellers")
        assert changes([process.stdout.readline()]) == ["group 'sellers': created"]
        press_ctrl_c(process.pid)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0

    @pytest.mark.parametrize(
        ("moment", "options"),
        [
            ("Notifications.__init__", []),
            ("Notifications._message", []),
            ("watching.Snapshot.look_at", []),
            ("watching.Snapshot.look_at_all", ["--every", "0.1"]),
        ],
    )
    def test_ctrl_c_as_it_looks(self, announcing, url, groups, moment, options):
        """What has changed by then is not told, so that is no good end either."""
        program = f"""
            import os, signal, sys
            from repoze.what.plugins.redis.command import main, watching
            from repoze.what.plugins.redis.command.notifications import Notifications

            look, waiting = {moment}, Notifications._wait

            def interrupted(self, *arguments):
                # Unless it only waits.
                if not getattr(self, "waits", False):
                    os.kill(os.getpid(), signal.SIGINT)
                return look(self, *arguments)

            def wait(self):
                self.waits = True
                try:
                    return waiting(self)
                finally:
                    self.waits = False

            {moment}, Notifications._wait = interrupted, wait
            sys.argv[1:] = ["watch", *{options}]
            main()
        """
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            too_late = threading.Timer(60, process.kill)
            too_late.start()
            line = process.stderr.readline()
            if line == "Watching. Ctrl-C ends it.\n":
                groups.create_section("editors")
            told, complaint = process.communicate()
            too_late.cancel()
        assert (process.returncode, told) == (130, "")
        assert (line + complaint).endswith("Interrupted.\n")

    @pytest.mark.each_value
    @pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
    @pytest.mark.parametrize("then", ["leaves", "reads on", "waits"])
    def test_ctrl_c_where_nobody_has_read_all(self, announcing, url, groups, unbuffered, then):
        """Of what has changed, some is not told, or not known to be: that is no good end."""
        groups.create_section("editors")
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        with subprocess.Popen(
            [sys.executable, "-m", "repoze.what.plugins.redis.command", "watch", "--json"],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            os.close(writer)
            # One that goes on is not waited for.
            too_late = threading.Timer(60, process.kill)
            too_late.start()
            assert process.stderr.readline() == "Watching. Ctrl-C ends it.\n"
            groups.include_items("editors", [f"member-{number}" for number in range(200)])
            # It has no place for another line.
            servers.wait_until(lambda: unread(reader) > 3700)
            press_ctrl_c(process.pid)
            assert process.stderr.readline() == "Interrupted.\n"
            if then == "reads on":
                while os.read(reader, 4096):
                    continue
            elif then == "waits":
                press_ctrl_c(process.pid)
                process.wait(60)
            os.close(reader)
            assert process.wait(60) == 130
            too_late.cancel()
            assert process.stderr.read() == ""

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="nothing tells it here")
    def test_it_does_next_to_nothing(self, process):
        def seconds():
            times = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")

        before = seconds()
        time.sleep(0.5)
        assert seconds() - before < 0.1
