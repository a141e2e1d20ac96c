"""The rules for users of the server, as the manual has them: enough, and nothing beyond that.

They are read from the section "Commands" of `docs/connections.rst`.
"""

import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from harness import cluster, servers
from harness.operations import (
    AFTER,
    ANSWERS,
    BEFORE,
    LOOKUPS,
    WRITES,
    create_sections,
    restore,
)
from redis.crc import key_slot
from redis.sentinel import Sentinel

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis import (
    Adapters,
    Finding,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    copy_sections,
)

MANUAL = Path(__file__).parents[3] / "docs" / "connections.rst"
NAMESPACE = "newspaper"
PATTERNS = {"plain": "~*", "indexed": "~{newspaper}:*"}
KINDS = {"groups": RedisGroupAdapter, "permissions": RedisPermissionAdapter}
LOGIN = {"username": "guest", "password": "s3cret"}
# What redis-py says of itself when it connects, and does not mind to be refused.
CLIENT_INFO = {"client", "client|setinfo"}
# By those who are not permitted the other, a script that only reads is run as any script.
FOR_READING = {"evalsha_ro", "eval_ro"}


def section():
    text = MANUAL.read_text(encoding="utf-8")
    _, label, rest = text.partition(".. _acl:\n")
    assert label, f"{MANUAL} has no section with the label acl"
    return rest.partition("\n.. _")[0]


def documented(layout, role):
    """The rules in the one line that *role* has for *layout*."""
    lines = re.findall(rf"^    ACL SETUSER {role} (.+)$", section(), re.MULTILINE)
    rules = [line.split() for line in lines if PATTERNS[layout] in line.split()]
    assert len(rules) == 1, f"{MANUAL} has {len(rules)} lines for {role} on the {layout} layout"
    return rules[0]


def newer(layout, role):
    """The same rules as the manual has them for Redis 7.0 and newer."""
    old, new = ["+evalsha", "+eval"], ["+evalsha_ro", "+eval_ro"]
    text = " ".join(section().split())
    assert f"put ``{' '.join(new)}`` in the place of ``{' '.join(old)}`` for the ``site``" in text
    rules = documented(layout, role)
    if old[0] not in rules:
        return rules
    return [*(rule for rule in rules if role not in READERS or rule not in old), *new]


def documented_for(what):
    """The commands in the first literal after *what*, which are those that it needs."""
    found = re.search(rf"{re.escape(what)}[^.`]*``(\+[^`]+)``", " ".join(section().split()))
    assert found, f"{MANUAL} does not say which commands {what} needs"
    return found[1].split()


def commands(rules):
    return {rule.removeprefix("+") for rule in rules if rule.startswith("+")}


def without(rules, *left_out):
    assert set(left_out) <= set(rules)
    return [rule for rule in rules if rule not in left_out]


def replaced(rules, old, new):
    assert old in rules
    return [new if rule == old else rule for rule in rules]


def set_user(client, rules):
    rules = replaced(rules, ">PASSWORD", f">{LOGIN['password']}")
    client.execute_command("ACL", "SETUSER", LOGIN["username"], *rules)


def hints(adapter, *names):
    """What *adapter* is asked about the items *names*."""
    if isinstance(adapter, RedisGroupAdapter):
        return [{"repoze.what.userid": name} for name in names]
    return list(names)


FIND = {
    "find_sections": lambda adapter: adapter.find_sections(*hints(adapter, "staff")),
    "find_sections_many": lambda adapter: adapter.find_sections_many(
        hints(adapter, "staff", "admins")
    ),
}
READ = {
    **LOOKUPS,
    **FIND,
    "_section_exists": lambda adapter: adapter._section_exists("edit"),
    "_item_is_included": lambda adapter: adapter._item_is_included("edit", "staff"),
}
REVIEW = {
    "check": lambda adapter: set(adapter.check()),
    "repair": lambda adapter: set(adapter.repair()),
}
ROLES = {"site": FIND, "reader": READ, "admin": {**READ, **WRITES}, "operator": REVIEW}
READERS = {"site", "reader"}
RESULTS = {
    **ANSWERS,
    "_section_exists": True,
    "_item_is_included": True,
    "remove_item": {"edit"},
    "rename_item": {"edit"},
}


class Source:
    """A source of the owner of *server*, whom everything is permitted."""

    def __init__(self, server, layout, kind="permissions"):
        self.server = server
        self.kind = KINDS[kind]
        self.options = {"namespace": NAMESPACE} if layout == "indexed" else {}
        self.client = server.client()
        self.adapter = self.kind(self.client, **self.options)

    @property
    def raw(self):
        return self.adapter.db_connection

    @property
    def prefix(self):
        """What the keys of the indexed layout begin with."""
        return f"{{{self.options['namespace']}}}:{self.kind.source_kind}:".encode()

    def client_of_guest(self, rules, **settings):
        set_user(self.client, rules)
        return self.server.client(**LOGIN, **settings)

    def adapter_of_guest(self, rules, **settings):
        return self.kind(self.client_of_guest(rules, **settings), **self.options)

    def fill(self, name=None):
        """Make it `BEFORE`, with something for the operation *name* to find."""
        self.client.flushall()
        restore(self.adapter)
        if "namespace" in self.options:
            # The next write sets it.
            self.raw.delete(self.prefix + b"format")
        if name not in REVIEW:
            return
        if "namespace" in self.options:
            self.raw.srem(self.prefix + b"item:staff", "edit")
            self.raw.sadd(self.prefix + b"item:mallory", "edit")
        else:
            self.raw.sadd("edit", "")

    def findings(self):
        if "namespace" in self.options:
            return {
                Finding("not indexed", "edit", "staff"),
                Finding("only indexed", "edit", "mallory"),
            }
        return {Finding("mark beside items", "edit", "")}

    def stored(self):
        """Everything in the database, but for the tokens of writes."""
        return {
            key: self.raw.dump(key)
            for key in self.raw.keys()  # noqa: SIM118 - a client is no dict
            if not key.endswith(b":done")
        }

    def prepare(self, name, operation, *, has_script):
        """Fill it, and let the server have the script of *operation* or no script at all."""
        if has_script:
            self.fill(name)
            operation(self.adapter)
            self.fill(name)
        else:
            self.fill(name)
            self.client.script_flush()

    def check(self, guest, name, operation):
        """Check what the adapter *guest* does, with the server's having the script and without."""
        for has_script in (False, True):
            self.prepare(name, operation, has_script=has_script)
            answer = operation(guest)
            assert answer == (self.findings() if name in REVIEW else RESULTS.get(name)), name
            if name != "check":
                assert self.adapter.get_all_sections() == AFTER.get(name, BEFORE), name
                assert self.adapter.check() == []

    def check_all(self, guest, operations):
        for name, operation in operations.items():
            self.check(guest, name, operation)

    def is_refused(self, guest, name, operation):
        """Whether the adapter *guest* is refused it, with the server's having no script or with."""
        return any(
            self._is_refused(guest, name, operation, has_script) for has_script in (False, True)
        )

    def _is_refused(self, guest, name, operation, has_script):
        self.prepare(name, operation, has_script=has_script)
        before = self.stored()
        try:
            operation(guest)
        except SourceError as error:
            assert "server's ACL" in str(error)  # noqa: PT017
            assert isinstance(error.__cause__, redis.RedisError)  # noqa: PT017
            # A repair goes key by key, and what is repaired stays so.
            assert name == "repair" or self.stored() == before
            return True
        return False


@pytest.fixture(params=PATTERNS)
def layout(request):
    return request.param


@pytest.fixture
def source(server, layout):
    yield Source(server, layout)
    server.client().acl_deluser(LOGIN["username"])


def members(source, category):
    """The commands of a category of the server's access control list."""
    found = source.server.client(decode_responses=True).acl_cat(category)
    assert "debug" in found
    return set(found)


# Redis 6.2 does not tell which there are.
SUBCOMMANDS_OF_CLIENT = (
    *("id", "info", "list", "kill", "getname", "setname", "getredir", "no-evict", "pause", "reply"),
    *("unpause", "unblock", "tracking", "trackinginfo", "caching"),
)


def commands_of(client):
    """The commands of a server, but for those that are for everybody, each with its arity."""
    for name, command in client.command().items():
        subcommands = command.get("subcommands", ())
        if name == "client" and not subcommands:
            subcommands = [(b"client|%s" % each.encode(), 2) for each in SUBCOMMANDS_OF_CLIENT]
        for subcommand, arity, *_ in subcommands:
            yield subcommand.decode().split("|"), arity
        if not subcommands and name not in {"auth", "hello", "quit", "reset"}:
            yield [name], command["arity"]


def only_since(executable, version):
    if int(re.search(r"-(\d+)", servers.version(executable))[1]) < version:
        pytest.skip(f"Redis has it since {version}.0")


@pytest.mark.parametrize("role", ROLES)
class TestRules:
    @pytest.mark.parametrize("kind", KINDS)
    def test_they_are_enough(self, source, layout, kind, role):
        source = Source(source.server, layout, kind)
        guest = source.adapter_of_guest(documented(layout, role))
        source.client.acl_log_reset()
        source.check_all(guest, ROLES[role])
        # Nothing was refused that an adapter would not mind to be refused.
        refused = {entry["object"] for entry in source.client.acl_log()}
        assert refused <= CLIENT_INFO | FOR_READING

    def test_those_of_a_newer_server_are_enough(self, executable, source, layout, role):
        only_since(executable, 7)
        guest = source.adapter_of_guest(newer(layout, role))
        source.client.acl_log_reset()
        source.check_all(guest, ROLES[role])
        assert {entry["object"] for entry in source.client.acl_log()} <= CLIENT_INFO

    def test_none_is_needless(self, source, layout, role):
        rules = documented(layout, role)
        needless = []
        for rule in rules:
            if rule not in {"reset", "on", ">PASSWORD", "resetchannels"}:
                guest = source.adapter_of_guest(without(rules, rule))
                if not any(source.is_refused(guest, *item) for item in ROLES[role].items()):
                    needless.append(rule)
        assert not needless

    def test_none_is_dangerous(self, source, layout, role):
        assert not dangerous(source, documented(layout, role))

    def test_nothing_else_is_permitted(self, source, layout, role):
        assert permitted(source, documented(layout, role)) == commands(documented(layout, role))
        assert source.client.acl_getuser(LOGIN["username"])["channels"] == []


def dangerous(source, rules):
    """Those of the commands in *rules* that are."""
    return commands(rules) & (members(source, "dangerous") | members(source, "admin"))


def permitted(source, rules):
    """What a user who has *rules* may do, whatever he was permitted before."""
    source.client.execute_command(
        *("ACL", "SETUSER", LOGIN["username"], "on", "nopass", "~*", "&*", "+@all")
    )
    set_user(source.client, rules)
    assert len(source.client.acl_getuser(LOGIN["username"])["passwords"]) == 1
    guest = source.server.client(**LOGIN)
    found = set()
    for words, arity in commands_of(source.client):
        try:
            guest.execute_command(*words, *["x"] * (abs(arity) - len(words)))
        except redis.ResponseError as error:
            # What is "not allowed" is so for everybody: DEBUG and MODULE, unless configured.
            if re.search("no permissions to run|command not allowed", str(error)):
                continue
        found.add("|".join(words))
    return found


class TestNearCache:
    """A site that has one, and what others need besides."""

    NEEDED = ("+client|tracking", "+subscribe", "+ping", "&__redis__:invalidate")

    @pytest.fixture
    def layout(self):
        return "indexed"

    @pytest.fixture
    def rules(self):
        return documented("indexed", "cached-site")

    def guest(self, source, rules, **options):
        client = source.client_of_guest(rules)
        return source.kind(client, **source.options, near_cache=True, max_staleness=60, **options)

    def is_told(self, source, guest):
        """Whether memory answers it, and is told what changes. Its lookups are right anyway."""
        source.fill()
        staff, nobody = hints(guest, "staff", "nobody")
        for _ in range(3):
            for operation in FIND.values():
                assert operation(guest) == {"edit"}
        is_tracking = guest.near_cache_info().is_tracking
        assert (guest.near_cache_info().hits > 0) == is_tracking
        source.adapter.exclude_item("edit", "staff")
        servers.wait_until(lambda: guest.find_sections(staff) == set())
        guest.find_sections(nobody)
        assert (guest.near_cache_info().invalidations > 0) == is_tracking
        guest.close()
        return is_tracking

    def test_they_are_those_of_a_site_and_some(self, rules):
        assert set(rules) == {*documented("indexed", "site"), *self.NEEDED}
        (needed,) = re.findall(r"It needs ``(&\S+ [^`]+)``", section())
        assert set(needed.split()) == set(self.NEEDED)

    @pytest.mark.parametrize("kind", KINDS)
    def test_they_are_enough(self, source, layout, rules, kind):
        source = Source(source.server, layout, kind)
        source.client.acl_log_reset()
        assert self.is_told(source, self.guest(source, rules))
        assert {entry["object"] for entry in source.client.acl_log()} <= CLIENT_INFO

    def test_none_is_needless(self, source, rules, caplog):
        for rule in self.NEEDED:
            with caplog.at_level(logging.WARNING, "repoze.what"):
                assert not self.is_told(source, self.guest(source, without(rules, rule)))
            assert len(caplog.records) == 1
            caplog.clear()

    @pytest.mark.parametrize("role", ["reader", "admin"])
    def test_others(self, source, layout, role):
        rules = [*documented(layout, role), *self.NEEDED]
        guest = self.guest(source, rules)
        assert self.is_told(source, guest)
        source.check_all(guest, {name: ROLES[role][name] for name in ROLES[role].keys() - FIND})

    def test_none_is_dangerous(self, source, rules):
        assert not dangerous(source, rules)

    def test_nothing_else_is_permitted(self, source, rules):
        assert permitted(source, rules) == commands(rules)
        guest = source.server.client(**LOGIN)
        for channel in ("x", "__redis__:invalidate:x", "__keyspace@0__:x"):
            with pytest.raises(redis.ResponseError, match="channel"):
                guest.execute_command("SUBSCRIBE", channel)

    def test_reader_who_is_told_the_names_of_all_keys(self, source, rules):
        """As the manual says: those that he may not read, too."""
        set_user(source.client, rules)
        with source.server.client(**LOGIN, single_connection_client=True) as guest:
            connection = guest.connection
            connection.send_command("HELLO", 2)
            hello = connection.read_response()
            number = hello[hello.index(b"id") + 1]
            connection.send_command("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST")
            assert connection.read_response() == b"OK"
            connection.send_command("SUBSCRIBE", "__redis__:invalidate")
            connection.read_response()
            source.client.set("{other}:x", "x")
            assert connection.read_response()[2] == [b"{other}:x"]


def test_program_without_a_rule(source):
    """What the tests of the others stand on: a refusal is told from an answer."""
    guest = source.adapter_of_guest(["reset", "on", ">PASSWORD"])
    assert all(source.is_refused(guest, *item) for item in ROLES["admin"].items())


@pytest.mark.parametrize("role", ["site", "reader", "operator"])
def test_reader_cannot_write(source, layout, role):
    guest = source.adapter_of_guest(documented(layout, role))
    for name, write in WRITES.items():
        for has_script in (False, True):
            assert source._is_refused(guest, name, write, has_script), name


@pytest.mark.parametrize("role", ["site", "reader"])
def test_reader_repairs_nothing(source, layout, role):
    guest = source.adapter_of_guest(documented(layout, role))
    source.fill("repair")
    before = source.stored()
    with pytest.raises(SourceError, match="server's ACL"):
        guest.repair()
    assert source.stored() == before


def test_check_alone_needs_no_writing(source, layout):
    rules = [rule for rule in documented(layout, "operator") if rule not in {"+sadd", "+srem"}]
    source.check(source.adapter_of_guest(rules), "check", REVIEW["check"])


@pytest.mark.parametrize("has_script", [True, False])
def test_writer_who_becomes_a_reader(source, layout, has_script):
    """As the manual says to stop a program from writing, which is connected all the while."""
    guest = source.adapter_of_guest(documented(layout, "admin"))
    for name, write in WRITES.items():
        set_user(source.client, documented(layout, "admin"))
        source.check(guest, name, write)
        set_user(source.client, documented(layout, "reader"))
        assert source._is_refused(guest, name, write, has_script), name
        assert guest.get_all_sections() == BEFORE


@pytest.mark.parametrize("role", ["reader", "admin", "operator"])
def test_script_of_a_users_own_permits_nothing_more(source, layout, role):
    rules = documented(layout, role)
    source.adapter_of_guest(rules)
    guest = source.server.client(**LOGIN, db=RedisPermissionAdapter.DB_NAME)
    source.fill()
    source.raw.sadd("{other}:x", "x")
    before = source.stored()
    script = "return redis.call(unpack(ARGV))"
    with pytest.raises(redis.ResponseError):
        guest.eval(script, 0, "KEYS", "*")
    with pytest.raises(redis.ResponseError):
        guest.eval(script, 0, "SADD" if "+sadd" not in rules else "SPOP", "{newspaper}:x", "1")
    if layout == "indexed":
        for command in (["SISMEMBER", "{other}:x", "x"], ["SREM", "{other}:x", "x"]):
            with pytest.raises(redis.ResponseError):
                guest.eval(script, 0, *command)
    else:
        assert guest.eval(script, 0, "SISMEMBER", "{other}:x", "x") == 1
    assert source.stored() == before


class TestCopying:
    def test_from_a_reader_to_an_admin(self, server, source, layout):
        source.fill()
        copy_options = {**source.options, "db": 7}
        reader = source.adapter_of_guest(documented(layout, "reader"))
        rules = replaced(documented(layout, "admin"), ">PASSWORD", f">{LOGIN['password']}")
        source.client.execute_command("ACL", "SETUSER", "copyist", *rules)
        try:
            target = RedisPermissionAdapter(
                server.client(username="copyist", password=LOGIN["password"]), **copy_options
            )
            source.client.script_flush()
            assert copy_sections(reader, target) == len(BEFORE)
            assert target.get_all_sections() == BEFORE
            assert RedisPermissionAdapter(source.client, **copy_options).check() == []
        finally:
            source.client.acl_deluser("copyist")


class TestKeys:
    """Those of the indexed layout, which are what a user may not go beyond."""

    @pytest.fixture
    def layout(self):
        return "indexed"

    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("other", ["newspaper2", "news", "Newspaper", "newspaper:x", "x"])
    def test_other_namespace(self, source, layout, role, other):
        source.options = {"namespace": other}
        source.adapter = RedisPermissionAdapter(source.client, **source.options)
        guest = source.adapter_of_guest(documented(layout, role))
        for name, operation in ROLES[role].items():
            for has_script in (False, True):
                assert source._is_refused(guest, name, operation, has_script), name

    def test_names_of_keys_are_no_secret(self, source, layout):
        source.client.sadd("{other}:x", "x")
        source.adapter_of_guest(documented(layout, "operator"))
        guest = source.server.client(**LOGIN)
        assert guest.scan()[1] == [b"{other}:x"]
        with pytest.raises(redis.ResponseError):
            guest.smembers("{other}:x")

    def test_groups_alone(self, source, layout):
        assert "``~{newspaper}:groups:*``" in section()
        rules = replaced(documented(layout, "admin"), PATTERNS[layout], "~{newspaper}:groups:*")
        groups = Source(source.server, layout, "groups")
        groups.check_all(groups.adapter_of_guest(rules), ROLES["admin"])
        guest = source.adapter_of_guest(rules)
        assert all(source.is_refused(guest, *item) for item in ROLES["admin"].items())

    def test_groups_and_a_look_at_permissions(self, executable, source, layout):
        only_since(executable, 7)
        (selector,) = re.findall(r"``(\(%R~.+\))``", section())
        rules = replaced(documented(layout, "admin"), PATTERNS[layout], "~{newspaper}:groups:*")
        rules.append(selector)
        groups = Source(source.server, layout, "groups")
        groups.check_all(groups.adapter_of_guest(rules), ROLES["admin"])
        guest = source.adapter_of_guest(rules)
        source.check_all(guest, FIND)
        assert all(source.is_refused(guest, *item) for item in WRITES.items())


CHANGES = {
    "rename_group": lambda pair: pair.rename_group("staff", "everybody"),
    "delete_group": lambda pair: pair.delete_group("staff"),
}


class TestGroupsWithTheirPermissions:
    """Renamed and deleted in one step, by who may write both sources."""

    COMMANDS = (
        *("+evalsha", "+smembers", "+sismember", "+sadd", "+srem", "+get", "+set"),
        *("+zadd", "+zrange", "+zremrangebyrank", "+zscore"),
    )

    @pytest.fixture
    def layout(self):
        return "indexed"

    @pytest.fixture
    def pair(self, source):
        source.options["db"] = 0
        return Adapters(*(kind(source.client, **source.options) for kind in KINDS.values()))

    def fill(self, source, pair):
        source.client.flushall()
        create_sections(pair.groups, {"staff": ["rosa"]})
        restore(pair.permissions)
        pair.groups.db_connection.delete(
            *(f"{{{NAMESPACE}}}:{kind}:format" for kind in ("groups", "permissions"))
        )

    def guest(self, source, rules):
        client = source.client_of_guest(rules)
        return Adapters(*(kind(client, **source.options) for kind in KINDS.values()))

    @pytest.mark.parametrize("name", CHANGES)
    def test_admin(self, source, pair, name):
        rules = without(documented("indexed", "admin"), "+select")
        guest = self.guest(source, rules)
        self.fill(source, pair)
        source.client.script_flush()
        source.client.acl_log_reset()
        assert CHANGES[name](guest) == {"edit"}
        assert {entry["object"] for entry in source.client.acl_log()} <= CLIENT_INFO
        assert pair.groups.check() == pair.permissions.check() == []
        for rule in self.COMMANDS:
            guest = self.guest(source, without(rules, rule))
            self.fill(source, pair)
            self.check_refusal(guest, pair, name)

    def test_undo(self, source, pair):
        guest = self.guest(source, without(documented("indexed", "admin"), "+select"))
        source.client.acl_log_reset()
        for change, kind in (
            *((change, "groups") for change in CHANGES.values()),
            *(
                (lambda pair, write=write: write(pair.permissions), "permissions")
                for write in WRITES.values()
            ),
        ):
            self.fill(source, pair)
            change(guest)
            guest.undo(next(getattr(pair, kind).history()))
            assert pair.groups.get_all_sections() == {"staff": {"rosa"}}
            assert pair.permissions.get_all_sections() == BEFORE
        assert {entry["object"] for entry in source.client.acl_log()} <= CLIENT_INFO

    @pytest.mark.parametrize("name", CHANGES)
    @pytest.mark.parametrize("kind", KINDS)
    def test_who_may_write_one_of_them(self, source, pair, kind, name):
        pattern = f"~{{newspaper}}:{kind}:*"
        rules = replaced(documented("indexed", "admin"), PATTERNS["indexed"], pattern)
        self.fill(source, pair)
        self.check_refusal(self.guest(source, rules), pair, name)

    @pytest.mark.parametrize("name", CHANGES)
    @pytest.mark.parametrize("role", ["site", "reader", "operator"])
    def test_who_may_not_write(self, source, pair, role, name):
        self.fill(source, pair)
        self.check_refusal(self.guest(source, documented("indexed", role)), pair, name)

    def check_refusal(self, guest, pair, name):
        with pytest.raises(SourceError, match=r"server's ACL.* Nothing was written") as raised:
            CHANGES[name](guest)
        assert raised.value.written is False
        assert pair.groups.get_all_sections() == {"staff": {"rosa"}}
        assert pair.permissions.get_all_sections() == BEFORE
        assert not pair.groups.db_connection.exists(f"{{{NAMESPACE}}}:groups:format")


class TestReadingAlone:
    """Patterns that permit nothing but reading, which Redis has since 7.0."""

    @pytest.fixture
    def rules(self, executable, layout):
        only_since(executable, 7)
        assert "``%R~``" in section()
        pattern = PATTERNS[layout]
        return {role: replaced(newer(layout, role), pattern, f"%R{pattern}") for role in ROLES}

    def test_those_who_only_read(self, source, layout, rules):
        source.check_all(source.adapter_of_guest(rules["site"]), FIND)
        source.check_all(source.adapter_of_guest(rules["reader"]), READ)

    def test_those_who_do_not(self, source, layout, rules):
        guest = source.adapter_of_guest(rules["admin"])
        assert all(source.is_refused(guest, *item) for item in WRITES.items())
        guest = source.adapter_of_guest(rules["operator"])
        assert source.is_refused(guest, "repair", REVIEW["repair"])


class TestConnecting:
    @pytest.mark.parametrize("settings", [{}, {"protocol": 2}, {"protocol": 3}], ids=str)
    def test_handshake(self, source, layout, settings):
        guest = source.adapter_of_guest(documented(layout, "site"), **settings)
        source.check_all(guest, FIND)

    @pytest.mark.parametrize("protocol", [2, 3])
    def test_database_0(self, source, layout, protocol):
        source.options["db"] = 0
        source.adapter = RedisPermissionAdapter(source.client, **source.options)
        for role, operations in ROLES.items():
            rules = without(documented(layout, role), "+select")
            source.check_all(source.adapter_of_guest(rules, protocol=protocol), operations)

    def test_name_of_the_client(self, source, layout):
        rules = documented(layout, "site")
        guest = source.adapter_of_guest(rules, client_name="site")
        assert source.is_refused(guest, "find_sections", FIND["find_sections"])
        needed = documented_for("``client_name``")
        guest = source.adapter_of_guest([*rules, *needed], client_name="site")
        source.check_all(guest, FIND)

    def test_sentinel(self, executable, layout):
        """It has users of its own."""
        watched = servers.RedisServer(executable)
        watch = servers.sentinel(executable, watched)
        try:
            source = Source(watched, layout)
            source.fill()
            set_user(source.client, documented(layout, "site"))
            for role, command in (("master", "MASTERS"), ("slave", "SLAVES")):
                assert f"``SENTINEL {command}``" in " ".join(section().split())
                sentinel_rules = ["reset", "on", ">PASSWORD", f"+sentinel|{command.lower()}"]
                for rules in (sentinel_rules, sentinel_rules[:-1]):
                    set_user(watch.client(), rules)
                    manager = Sentinel([(servers.HOST, watch.port)], sentinel_kwargs=LOGIN)
                    found = getattr(manager, f"{role}_for")("staff", **LOGIN)
                    adapter = RedisPermissionAdapter(found, **source.options)
                    if rules is sentinel_rules and role == "master":
                        assert adapter.find_sections("staff") == {"edit"}
                    elif rules is sentinel_rules:
                        assert manager.discover_slaves("staff") == []
                    else:
                        with pytest.raises(SourceError):
                            adapter.find_sections("staff")
        finally:
            watch.stop()
            watched.stop()


class TestSavingAndWaiting:
    """What the options of the same names need besides."""

    @pytest.mark.parametrize("save", ["background", "sync"])
    def test_saving(self, source, layout, save, caplog):
        source.fill()
        needed = documented_for(f'``save="{save}"``')
        (command,) = commands(needed)
        assert command in members(source, "dangerous")
        for rules, saves in ((needed, True), ([], False)):
            servers.wait_until(lambda: not source.client.info()["rdb_bgsave_in_progress"])
            source.client.config_resetstat()
            client = source.client_of_guest([*documented(layout, "admin"), *rules])
            guest = source.kind(client, **source.options, save=save)
            with caplog.at_level(logging.WARNING, "repoze.what"):
                guest.include_item("edit", "a" if saves else "b")
            statistics = source.client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})
            assert bool(statistics["calls"]) == saves
            assert bool(caplog.records) != saves
        assert "server's ACL" in caplog.text
        assert source.adapter.get_section_items("edit") == {"staff", "admins", "a", "b"}

    def test_waiting(self, source, layout):
        source.fill()
        needed = documented_for("``wait_replicas``")
        for rules, reason in ((needed, "0 of its replicas"), ([], "server's ACL|no permissions")):
            client = source.client_of_guest([*documented(layout, "admin"), *rules])
            guest = source.kind(client, **source.options, wait_replicas=1)
            with pytest.raises(SourceError, match=reason):
                guest.include_item("edit", "a" if rules else "b")
        assert source.adapter.get_section_items("edit") == {"staff", "admins", "a", "b"}

    def test_history(self, server):
        source = Source(server, "indexed")
        source.fill()
        needed = documented_for("To read the history")
        guest = source.adapter_of_guest([*documented("indexed", "site"), *needed])
        assert [change.operation for change in guest.history()] == [
            *("create_section", "include_items", "create_section")
        ]
        for role in ("site", "reader"):
            guest = source.adapter_of_guest(documented("indexed", role))
            with pytest.raises(SourceError, match="server's ACL"):
                next(guest.history())
        admin = source.adapter_of_guest(documented("indexed", "admin"))
        assert next(admin.history()).section == "read"
        rules = without(documented("indexed", "admin"), "+xadd", "+xrange", "+xrevrange")
        guest = source.kind(source.client_of_guest(rules), **source.options, history=0)
        guest.include_item("edit", "a")
        source.client.acl_deluser(LOGIN["username"])

    def test_none_but_those_that_save_is_dangerous(self, source):
        options = ('``save="background"``', '``save="sync"``', "``wait_replicas``")
        needed = {command for option in options for command in commands(documented_for(option))}
        assert needed & members(source, "dangerous") == {"bgsave", "save"}


def test_replica_has_users_of_its_own(executable, layout):
    primary = servers.RedisServer(executable, "--repl-diskless-sync-delay", "0")
    replica = servers.RedisServer(executable)
    try:
        source = Source(primary, layout)
        source.fill()
        rules = documented(layout, "reader")
        set_user(source.client, rules)
        replica.client().replicaof(servers.HOST, primary.port)
        servers.wait_until(
            lambda: replica.client().info("replication")["master_link_status"] == "up"
        )
        guest = source.kind(replica.client(**LOGIN), **source.options)
        with pytest.raises(SourceError, match="the password of the client"):
            guest.get_all_sections()
        set_user(replica.client(), rules)
        for name, lookup in READ.items():
            assert lookup(guest) == RESULTS[name]
        guest = source.kind(primary.client(), **source.options, read_from=replica.client(**LOGIN))
        for name, lookup in READ.items():
            assert lookup(guest) == RESULTS[name]
    finally:
        replica.stop()
        primary.stop()


class TestCluster:
    """The same rules but for SELECT, on every node; and what redis-py needs to find the nodes."""

    SLOT = key_slot(NAMESPACE.encode())

    @pytest.fixture
    def whole(self, executable):
        shared = cluster.running(executable)
        shared.empty()
        yield shared
        for node in shared.nodes:
            node.ask("ACL", "DELUSER", LOGIN["username"])

    @pytest.fixture
    def source(self, whole):
        return Source(whole, "indexed")

    def rules(self, role):
        needed = documented_for("On a cluster, redis-py itself")
        if redis.__version__.startswith("5.0."):
            needed += documented_for("redis-py 5.0")
        return [*without(documented("indexed", role), "+select"), *needed]

    def set_user(self, whole, rules):
        for node in whole.nodes:
            set_user(node.client(), rules)

    def guest(self, source, rules):
        self.set_user(source.server, rules)
        return source.kind(source.server.client(**LOGIN), **source.options)

    @pytest.mark.parametrize("role", ROLES)
    def test_they_are_enough(self, whole, source, role):
        guest = self.guest(source, self.rules(role))
        for name, operation in ROLES[role].items():
            whole.empty()
            restore(source.adapter)
            answer = operation(guest)
            assert answer == (set() if name in REVIEW else RESULTS.get(name)), name
            assert source.adapter.get_all_sections() == AFTER.get(name, BEFORE), name

    def test_none_is_needless_to_connect(self, source):
        rules = self.rules("site")
        for rule in rules:
            if rule in {"+cluster|slots", "+command", "+info"}:
                with pytest.raises((redis.ResponseError, redis.exceptions.RedisClusterException)):
                    self.guest(source, without(rules, rule))
        assert self.guest(source, rules).find_sections("staff") == set()

    def test_slot_that_is_being_moved(self, whole, source):
        """To the node that it is moved to, ASKING is said before each command."""
        restore(source.adapter)
        rules = self.rules("site")
        guest = self.guest(source, rules)
        refusals = 0
        for _ in whole.move(self.SLOT, whole.other_primary(self.SLOT)):
            assert guest.find_sections("staff") == {"edit"}
            self.set_user(whole, without(rules, "+asking"))
            try:
                assert guest.find_sections("staff") == {"edit"}
            except SourceError as error:
                assert "server's ACL" in str(error)  # noqa: PT017
                refusals += 1
            self.set_user(whole, rules)
        assert refusals
        assert guest.find_sections("staff") == {"edit"}


READ_ENDING = {
    **FIND,
    "find_sections_until": lambda adapter: adapter.find_sections_until(*hints(adapter, "staff")),
    "until_of": lambda adapter: adapter.until_of("edit"),
    "missing_items": lambda adapter: adapter.missing_items("edit", ["staff"]),
    "server_time": lambda adapter: adapter.server_time(),
    **LOOKUPS,
}
WRITE_ENDING = {
    **WRITES,
    "include_item_until": lambda adapter: adapter.include_item("read", "b", timedelta(days=1)),
    "set_until": lambda adapter: adapter.set_until("edit", "staff", timedelta(days=2)),
    "for_good": lambda adapter: adapter.set_until("edit", "staff", None),
}
ROLES_OF_ENDING = {
    "site": FIND,
    "cached-site": FIND,
    "reader": READ_ENDING,
    "admin": {**READ_ENDING, **WRITE_ENDING},
    "operator": REVIEW,
}


class TestMembershipsThatEnd:
    """What the manual adds to the lines where memberships end, and what is refused without it."""

    @pytest.fixture
    def layout(self):
        return "indexed"

    @pytest.fixture
    def fill(self, source):
        def fill():
            source.fill()
            source.adapter.set_until("edit", "staff", timedelta(days=1))

        return fill

    @staticmethod
    def added(role):
        text = " ".join(section().partition("Memberships that end\n")[2].split())
        found = re.search(rf"``(\+[^`]+)`` to (?:that of|the line of) [^+]*?``{role}``", text)
        assert found, f"{MANUAL} does not say what the {role} needs where memberships end"
        return found[1].split()

    @pytest.mark.parametrize("role", ROLES_OF_ENDING)
    def test_they_are_enough(self, source, layout, role, fill):
        rules = [*documented(layout, role), *self.added(role)]
        guest = source.adapter_of_guest(rules)
        for operation in ROLES_OF_ENDING[role].values():
            fill()
            operation(guest)
            assert source.adapter.check() == []

    @pytest.mark.parametrize("role", ["site", "reader", "admin"])
    def test_without_them(self, source, layout, role, fill):
        guest = source.adapter_of_guest(documented(layout, role))
        fill()
        assert guest.find_sections("admins") == {"edit"}
        with pytest.raises(SourceError, match="server's ACL"):
            guest.find_sections("staff")
