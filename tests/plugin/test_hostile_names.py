"""Names that somebody chose to break something, or to be taken for somebody else's."""

# ruff: noqa: RUF001 - names that look the same are what this is about

import io
import logging
import random
import re
import unicodedata
from urllib.parse import quote

import fakeredis
import pytest
import redis
import webob
from harness import servers
from harness.proxy import CUT_REPLY, Proxy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from plugin.test_model import Sources, text

from repoze.what.adapters import AdapterError, SourceError, SourceUnavailable
from repoze.what.middleware import setup_auth
from repoze.what.plugins.redis import (
    CopyError,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    copy_sections,
)
from repoze.what.predicates import has_permission

HOSTILE = (
    # Patterns, and what they match
    *("*", "?", "[a-z]", "[^a]", "h?llo", "hello", "h*o", "\\*", "\\", "\\\\", "^", "-", "a-z"),
    # The end of a line, of a string, of a name; blanks
    *("rms", "rms\n", "rms\r", "rms\r\n", "\nrms", "rms\0", "rms\0admins", "r\0ms", "rms "),
    *(" rms", "rms\t", "rms\x0b", "rms\x1a", "rms\x7f", "rms\x85", "rms\u2028", "rms\u2029"),
    *(" ", "\n", "\r\n", "\0", "\0\0", "\t", "\u00a0", "\u3000", "x\n2026 FORGED granted"),
    # Braces, which Redis Cluster looks at
    *("{}", "{", "}", "{tests}", "{other}", "}{", "{tests}:groups:item:rms"),
    *("{tests}:groups:sections", "{tests}:permissions:section:rms"),
    # What a server is sent, and answers
    *("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\ny\r\n", "x\r\nSELECT 0\r\nSET x y\r\n", "+OK\r\n"),
    *("$-1\r\n", "*-1\r\n", "-ERR\r\n", ":1\r\n", "_\r\n", "~1\r\n+x\r\n", "FLUSHALL"),
    *("-NOSCRIPT x", "WRONGTYPE x", "COUNT", "MATCH", "0"),
    # Lua
    *("'..redis.call('FLUSHALL')..'", '"..redis.call("FLUSHALL").."', "]]", "[[", "--", "--[["),
    *("]=]", "%a+", "%d", "%1", "(.*)", "nil", "false", "ARGV[1]", "\\0", "\\10"),
    # What is put in the place of something
    *("%s", "%(password)s", "%n", "{0}", "{0.__class__}", "{item!r}", "$HOME", "${x}", "`id`"),
    # What keys and members of ours are called
    *("sections", "section:", "section:rms", "item:", "item:rms", "done:", "done:0", "done"),
    *("begun", ":", ":rms", ":x", "x", "x:", "a:b", "groups", "section present", "items absent"),
    *("format", "format:", "history", "history:"),
    # Names that begin like another
    *("admin", "admins", "admins:", "admins2", "admi", "Admins", "ADMINS", "admin\u015f"),
    # The same to a reader
    *("é", "e\u0301", "ﬁ", "fi", "Å", "A\u030a", "\u212b", "ß", "ss", "SS", "ẞ", "İ", "i̇", "ı"),
    *("i", "I", "a", "\u0430", "\uff41", "a\u200b", "a\u200d", "\u202ea", "a\u202c", "\ufeffa"),
    *("a\ufe0f", "\U000e0061", "root", "r\u043e\u043et", "roo\u0442", "ʀoot", "𝗋𝗈𝗈𝗍", "ｒｏｏｔ"),
    # Numbers
    *(1, "01", "+1", "1.0", "１", "١", "¹", "1 ", "0x1", "1e0", -1, "−1", "-0", "True", "None"),
    *(2**64, 2**64 + 1, -(2**63), 10**4299, "1" + "0" * 4298, "null", "nan"),
    # Bytes that are no text, and text that looks like them
    *(b"\xff", b"\xfe", b"\xff\xff", "ÿ", b"\xc3", b"\xc3\x28", b"\xed\xa0\x80", "\\xff"),
    *("\udcfe\udcff", "Ã©", b"\xe9", "café", b"caf\xe9", "b'rms'", "'rms'", "\U0001f600"),
)
OF_OTHER_TYPES = (
    *(None, True, False, 1.0, float("nan"), 1j, ("rms",), ["rms"], {"rms"}, {"rms": 1}),
    *(bytearray(b"rms"), memoryview(b"rms"), object(), str, RedisGroupAdapter),
)
NO_TEXT = (
    *("", b"", "\ud800", "rms\udfff", "\ud83d\ude00", "\udcc3\udca9", "\udce2\udc82\udcac"),
    *("\udc72ms", 10**4300, -(10**4300)),
)
# The longest message names an operation, six names, a place and some advice.
LONGEST_MESSAGE = 2000


def credentials(userid):
    return {"repoze.what.userid": userid}


def stored(name):
    return text(name).encode("utf-8", "surrogateescape")


def keys(adapter):
    """What lies in the adapter's database, but for what tells of its writes."""
    raw = adapter.db_connection
    return {
        key: raw.smembers(key)
        for key in raw.keys()  # noqa: SIM118 - a client is no dict
        if not re.match(rb"\{[^}]*\}:\w+:(done|format|history)$", key)
    }


def test_hostile_names_are_distinct():
    """What the other tests stand on."""
    assert len({stored(name) for name in HOSTILE}) == len(HOSTILE) > 150


def each_with_the_next(names):
    return {
        text(name): {text(name), text(following)}
        for name, following in zip(names, [*names[1:], names[0]], strict=True)
    }


def having(source, item):
    return {section for section, items in source.items() if text(item) in items}


class TestEveryName:
    """All of them in one source, as sections and as items: each in that of its own name."""

    @pytest.fixture
    def adapter(self, server, options):
        return RedisPermissionAdapter(server.client(), **options)

    @pytest.fixture
    def source(self, adapter):
        source = each_with_the_next(HOSTILE)
        for name in HOSTILE:
            adapter.create_section(name)
            adapter.include_items(name, source[text(name)])
        return source

    def check(self, adapter, source):
        assert adapter.get_all_sections() == source
        assert adapter.get_section_names() == source.keys()
        for name in HOSTILE:
            assert adapter.find_sections(name) == having(source, name)
        assert adapter.find_sections_many(HOSTILE) == {name for name in source if source[name]}
        assert adapter.check() == []

    def test_it_is_found_where_it_is(self, adapter, source):
        self.check(adapter, source)
        assert adapter.get_many_section_items(HOSTILE) == source
        for name in HOSTILE:
            assert adapter.get_section_items(name) == source[text(name)]
            assert adapter._section_exists(name)
            assert adapter._item_is_included(name, name)
            assert not adapter._item_is_included(name, "somebody")

    def test_nothing_else_is_written(self, server, adapter, source):
        expected = {stored(name): set(map(stored, items)) for name, items in source.items()}
        if adapter.namespace is not None:
            prefix = b"{tests}:permissions:"
            in_index = {}
            for section, items in expected.items():
                for item in items:
                    in_index.setdefault(prefix + b"item:" + item, set()).add(section)
            expected = {
                prefix + b"sections": set(expected),
                **{prefix + b"section:" + section: items for section, items in expected.items()},
                **in_index,
            }
        assert keys(adapter) == expected
        assert server.client().info("keyspace").keys() == {"db2"}

    def test_it_is_taken_out(self, adapter, source):
        for name in HOSTILE[::2]:
            sections = having(source, name)
            assert adapter.remove_item(name) == sections
            for section in sections:
                source[section].remove(text(name))
        self.check(adapter, source)
        for name in HOSTILE[1::2]:
            adapter.exclude_items(name, source[text(name)])
            source[text(name)] = set()
        self.check(adapter, source)
        for name in HOSTILE:
            adapter.delete_section(name)
            del source[text(name)]
        self.check(adapter, source)
        assert keys(adapter) == {}

    def test_it_is_renamed(self, adapter, source):
        for name, new in zip(HOSTILE, range(10_000, 20_000), strict=False):
            sections = having(source, name)
            assert adapter.rename_item(name, new) == sections
            for section in sections:
                source[section] ^= {text(name), text(new)}
            adapter.edit_section(name, new)
            source[text(new)] = source.pop(text(name))
        assert adapter.get_all_sections() == source
        for name, new in zip(HOSTILE, range(10_000, 20_000), strict=False):
            assert adapter.find_sections(name) == having(source, name) == set()
            adapter.rename_item(new, name)
            adapter.edit_section(new, name)
        self.check(adapter, each_with_the_next(HOSTILE))

    def test_it_is_repaired(self, adapter, source):
        for key in keys(adapter):
            if adapter.namespace is None:
                adapter.db_connection.sadd(key, "")
            elif key.startswith(b"{tests}:permissions:item:"):
                adapter.db_connection.delete(key)
        found = adapter.repair()
        assert {finding.section for finding in found} == source.keys()
        self.check(adapter, source)

    def test_it_is_copied(self, adapter, source):
        target = RedisGroupAdapter(fakeredis.FakeRedis(), namespace="target")
        assert copy_sections(adapter, target) == len(source)
        assert target.get_all_sections() == source

    def test_answer_of_a_write_that_is_sent_again(self, server, options):
        """It comes from where the token is stored, among marks of our own."""
        with Proxy(server.port) as proxy:
            client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=60)
            adapter = RedisPermissionAdapter(client, namespace="tests")
            for name in HOSTILE:
                adapter.create_section(name)
                adapter.include_item(name, "rms")
            adapter.create_section("of nobody")
            everywhere = set(map(text, HOSTILE))
            proxy.arm(CUT_REPLY)
            assert adapter.rename_item("rms", "done") == everywhere
            assert adapter.find_sections("done") == everywhere
            proxy.arm(CUT_REPLY)
            assert adapter.remove_item("done") == everywhere
            assert adapter.find_sections("done") == set()


def test_several_in_one_section(groups):
    groups.create_section("admins")
    groups.include_items("admins", HOSTILE)
    assert groups.get_section_items("admins") == set(map(text, HOSTILE))
    groups.set_section_items("admins", HOSTILE[::2])
    assert groups.get_section_items("admins") == set(map(text, HOSTILE[::2]))
    for name in HOSTILE:
        expected = {"admins"} if name in HOSTILE[::2] else set()
        assert groups.find_sections(credentials(name)) == expected
    groups.exclude_items("admins", HOSTILE[::2])
    assert groups.get_all_sections() == {"admins": set()}
    assert groups.check() == []


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_normal_forms_are_not_taken_for_one_another(groups, form):
    for name in HOSTILE:
        if isinstance(name, str):
            other = unicodedata.normalize(form, name)
            if other != name:
                groups.create_section(name)
                groups.include_item(name, name)
                expected = {other} if groups._section_exists(other) else set()
                assert groups.find_sections(credentials(other)) == expected
                groups.remove_item(name)


def test_one_name_in_several_types(groups):
    groups.create_section("1")
    for one in (1, "1", b"1"):
        groups.include_item(one, one)
        for other in (1, "1", b"1"):
            assert groups.find_sections(credentials(other)) == {"1"}
            assert groups.get_section_items(other) == {"1"}
        groups.exclude_item(one, one)
    for other in (True, 1.0, None, "1.0", "01", "１"):
        assert groups.find_sections(credentials(other)) == set()


@pytest.mark.parametrize("name", [*NO_TEXT, *OF_OTHER_TYPES], ids=lambda name: str(type(name)))
def test_what_is_no_name(groups, permissions, name):
    """It is nobody's, and where it would be written it is refused in one line."""
    for adapter in (groups, permissions):
        adapter.create_section("rms")
        adapter.include_items("rms", ["rms", "1", "é", "€", "None", "True", b"\xc3\xa9"])
        assert not adapter._section_exists(name)
        for write in (
            lambda: adapter.create_section(name),  # noqa: B023
            lambda: adapter.include_items("rms", ["ada", name]),  # noqa: B023
            lambda: adapter.rename_item("rms", name),  # noqa: B023
        ):
            with pytest.raises(SourceError, match="cannot name") as raised:
                write()
            assert is_one_short_line(raised.value)
        assert len(adapter.get_all_sections()["rms"]) == 6
    assert groups.find_sections(credentials(name)) == set()
    assert permissions.find_sections(name) == set()


class TestNeighbours:
    NAMESPACES = (
        *("tests", "Tests", "test", "tests:", ":tests", "tests:groups", "tests:permissions"),
        *("tests.", "groups", "sections", "section:x", "item", "-", "."),
    )

    def test_none_is_reached(self, server):
        """Names that are whole keys of the others, in one database."""
        client = server.client()
        adapters = [
            kind(client, db=0, namespace=namespace)
            for namespace in self.NAMESPACES
            for kind in (RedisGroupAdapter, RedisPermissionAdapter)
        ]
        for adapter in adapters:
            adapter.create_section("x")
            adapter.include_item("x", "rms")
        names = [*keys(adapters[0])]
        assert len(names) == 3 * len(adapters)
        for number, adapter in enumerate(adapters):
            for name in names:
                adapter.create_section(name)
                adapter.include_items(name, [name, number])
        expected = {"x": {"rms"}} | {text(name): {text(name)} for name in names}
        for number, adapter in enumerate(adapters):
            assert adapter.get_all_sections() == {
                name: items if name == "x" else items | {str(number)}
                for name, items in expected.items()
            }
            found = set(map(text, names))
            for other in range(len(adapters)):
                hint = credentials(other) if isinstance(adapter, RedisGroupAdapter) else other
                assert adapter.find_sections(hint) == (found if other == number else set())
            assert adapter.check() == []

    @pytest.mark.parametrize(
        "namespace",
        [
            *("", "*", "?", "[a]", "a*", "{", "}", "{}", "a}b", "a}:groups:{b", "\\", "\0", "a\0"),
            *("a\n", "\na", "a\r\nSET x y", " ", "a ", "\u212a", "ａ", "١", "é", "e\u0301"),
            *("\ud800", "\udcff", "a/b", "%s", "a'b", 'a"b', "a]]", "--\n", "x" * 10**6 + "\n"),
        ],
        ids=lambda namespace: ascii(namespace)[:20],
    )
    def test_namespace_that_is_refused(self, namespace):
        with pytest.raises(ValueError, match="A namespace is letters") as raised:
            RedisGroupAdapter(redis.Redis(), namespace=namespace)
        assert is_one_short_line(raised.value)

    @pytest.mark.parametrize(
        "namespace",
        [*(name for name in OF_OTHER_TYPES if name is not None), b"tests", 0, 10**5000],
        ids=lambda namespace: str(type(namespace)),
    )
    def test_namespace_of_another_type(self, namespace):
        with pytest.raises(TypeError, match="A namespace is text") as raised:
            RedisGroupAdapter(redis.Redis(), namespace=namespace)
        assert is_one_short_line(raised.value)


def is_one_short_line(error):
    return str(error).isprintable() and len(str(error)) < LONGEST_MESSAGE


LONG = tuple("x" * 1_000_000 + end for end in ("", "y", "\0", "\n", "é", "e\u0301", "\udcff"))


def absent(adapter, name):
    """Each way to be refused where neither section nor item is there."""
    yield lambda: adapter.get_section_items(name)
    yield lambda: adapter.edit_section(name, name)
    yield lambda: adapter.delete_section(name)
    yield lambda: adapter.include_items(name, [name])
    yield lambda: adapter.exclude_items(name, [name])
    yield lambda: adapter.set_section_items(name, [name])
    yield lambda: adapter.remove_item(name)
    yield lambda: adapter.rename_item(name, name)


def present(adapter, name):
    """Each way to be refused where both are there."""
    yield lambda: adapter.create_section(name)
    yield lambda: adapter.edit_section(name, name)
    yield lambda: adapter.rename_item(name, name)


class TestMessages:
    """They can be logged: each is a line, however long the names are."""

    @pytest.mark.parametrize("names", [HOSTILE, LONG[::3]], ids=["hostile", "long"])
    def test_refusals(self, server, options, names):
        adapter = RedisPermissionAdapter(server.client(), **options)
        adapter.create_section("empty")
        self.check(adapter, absent, names)
        self.check_one(lambda: adapter.exclude_items("empty", names))
        adapter.create_section("full")
        adapter.include_items("full", names)
        for name in names:
            adapter.create_section(name)
        self.check(adapter, present, names)
        self.check_one(lambda: adapter.include_items("full", names))

    def check(self, adapter, refusals, names):
        for name in names:
            for refused in refusals(adapter, name):
                self.check_one(refused)

    def check_one(self, refused):
        with pytest.raises(AdapterError) as raised:
            refused()
        assert is_one_short_line(raised.value)

    @pytest.mark.parametrize("names", [HOSTILE, LONG], ids=["hostile", "long"])
    def test_server_that_is_gone(self, options, names):
        client = redis.Redis(host=servers.HOST, port=servers.free_port())
        adapter = RedisPermissionAdapter(client, **options)
        for ask in (
            lambda: adapter.find_sections_many(names),
            lambda: adapter.get_many_section_items(names),
            lambda: adapter.include_items(names[0], names),
            lambda: adapter.rename_item(names[0], names[1]),
        ):
            with pytest.raises(SourceUnavailable) as raised:
                ask()
            assert is_one_short_line(raised.value)

    def test_key_of_another_type(self, plain_groups):
        for name in (*HOSTILE, *LONG):
            plain_groups.db_connection.set(stored(name), "x")
            for refused in (plain_groups.create_section, plain_groups.delete_section):
                with pytest.raises(AdapterError, match=r"WRONGTYPE|holds a string") as raised:
                    refused(name)
                assert is_one_short_line(raised.value)

    def test_copy_that_leaves_sections_alone(self, plain_groups):
        source = RedisGroupAdapter(fakeredis.FakeRedis(), namespace="source")
        for name in (*HOSTILE, *LONG):
            source.create_section(name)
            plain_groups.create_section(name)
            plain_groups.include_item(name, "somebody")
        with pytest.raises(CopyError, match="Those left have items") as raised:
            copy_sections(source, plain_groups)
        assert is_one_short_line(raised.value)

    @pytest.mark.parametrize("contain", [lambda name: name, lambda name: [(name,)]])
    def test_object_that_describes_itself(self, groups, contain):
        """It is not asked: it may forge a line, and what strikes as it does would be lost."""

        class Liar:
            def __repr__(self):
                raise AssertionError

        with pytest.raises(SourceError, match="an object of type") as raised:
            groups.create_section(contain(Liar()))
        assert is_one_short_line(raised.value)


class TestLongNames:
    def test_several_that_differ_in_the_end(self, client, options):
        adapter = RedisPermissionAdapter(client, **options)
        for name in LONG:
            adapter.create_section(name)
            adapter.include_item(name, name)
        assert adapter.get_all_sections() == {name: {name} for name in LONG}
        for name in LONG:
            assert adapter.find_sections(name) == {name}
        assert adapter.find_sections_many(LONG) == set(LONG)
        assert adapter.find_sections("x" * 999_999) == set()
        assert adapter.check() == []
        assert adapter.rename_item(LONG[0], LONG[0] + "z") == {LONG[0]}
        assert adapter.remove_item(LONG[1]) == {LONG[1]}
        for name in LONG:
            adapter.delete_section(name)
        assert adapter.get_all_sections() == {}
        assert keys(adapter) == {}


class TestRequests:
    """A user id from outside, through the whole middleware."""

    # WSGI gives the bytes of a header as characters of Latin-1.
    USERS = [name for name in HOSTILE if isinstance(name, str) and name.isascii()] + [
        stored(name).decode("latin-1") for name in HOSTILE if not stored(name).isascii()
    ]

    @pytest.fixture
    def ask(self, server, options):
        client = server.client()
        groups = RedisGroupAdapter(client, **options)
        permissions = RedisPermissionAdapter(client, **options)
        for user in self.USERS:
            for adapter, section in ((groups, f"group of {user}"), (permissions, f"may {user}")):
                adapter.create_section(section)
            groups.include_item(f"group of {user}", user)
            permissions.include_item(f"may {user}", f"group of {user}")
        log = io.StringIO()

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"yes" if has_permission("may rms").is_met(environ) else b"no"]

        site = setup_auth(
            application,
            {"redis": groups},
            {"redis": permissions},
            skip_authentication=True,
            log_stream=log,
            log_level=logging.INFO,
        )

        def ask(user):
            request = webob.Request.blank("/", environ={"REMOTE_USER": user})
            answer = request.get_response(site)
            return request.environ.get("repoze.what.credentials"), answer.text, log

        return ask

    def test_groups_are_ones_own(self, ask):
        assert len(set(self.USERS)) == len(self.USERS) > 100
        for user in self.USERS:
            found, answer, _ = ask(user)
            assert found["repoze.what.userid"] == user
            assert found["groups"] == (f"group of {user}",)
            assert found["permissions"] == (f"may {user}",)
            assert answer == ("yes" if user == "rms" else "no")

    def test_user_of_a_megabyte(self, ask):
        found, answer, _ = ask("rms" * 333_333)
        assert (found["groups"], found["permissions"], answer) == ((), (), "no")

    def test_log_has_a_line_for_each_message(self, ask):
        for user in self.USERS:
            _, _, log = ask(user)
        lines = log.getvalue().splitlines()
        assert len(lines) > len(self.USERS)
        assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", line) for line in lines)


def is_name(name):
    """Whether *name* can name something; the others are in `NO_TEXT`."""
    if not isinstance(name, str):
        return name != b""
    try:
        return (
            name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == name != ""
        )
    except UnicodeEncodeError:
        return False


# What makes a name that may be taken for another.
CHANGES = (
    *(lambda name, f=form: unicodedata.normalize(f, name) for form in ("NFC", "NFD", "NFKC")),
    *(str.upper, str.lower, str.casefold, str.swapcase, str.title, str.strip, repr, ascii),
    lambda name: quote(stored(name)),
    *(lambda name, s=sign: name + s for sign in "\n\r\0 :*?]}\\\u200b\u0301\u202e\udcff\ufeff1"),
    *(lambda name, s=sign: s + name for sign in "\n\0 :*?[{%\u200b\ufeff-"),
    *(lambda name, s=start: s + name for start in ("item:", "section:", "done:", "{tests}:")),
    *(
        lambda name: name[:-1],
        lambda name: name[1:],
        lambda name: name[::-1],
        lambda name: 2 * name,
    ),
    lambda name: name.replace("o", "\u043e").replace("a", "\u0430").replace("i", "ı"),
    lambda name: stored(name).decode("latin-1"),
    lambda name: stored(name)[:-1],
    lambda name: stored(name) + b"\xff",
    stored,
)


def changed(name, change):
    """Another name that is like *name*, or *name* itself."""
    other = change(text(name))
    return other if is_name(other) else name


NAMES = st.one_of(
    st.sampled_from(HOSTILE),
    st.builds(changed, st.sampled_from(HOSTILE), st.sampled_from(CHANGES)),
    st.text(min_size=1),
    st.binary(min_size=1),
    st.integers(),
)


class HostileSources(Sources):
    """The model of `test_model`, with names of this module."""

    @rule(target=Sources.names, name=NAMES)
    def name(self, name):
        return name


@pytest.fixture
def machine(server, options):
    """A class of sources on the unix socket of *server*."""

    class Here(HostileSources):
        client = redis.Redis(unix_socket_path=server.unix_socket)

    Here.options = options
    return Here


def test_any_sequence_agrees_with_the_model(machine, thorough):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=500 if thorough else 10,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


class Fuzz:
    """Operations at random on a few hostile names at a time, each an example that is checked."""

    # Many enough to meet, few enough to look for all of them after each operation.
    NAMES = 10
    EXAMPLES_WITH_THEM = 50

    def __init__(self, machine, seed):
        self._machine = machine
        self._at_random = random.Random(seed)
        self.examples = 0
        self.changes = 0

    def run(self, examples):
        while self.examples < examples:
            self._begin()
            for _ in range(self.EXAMPLES_WITH_THEM):
                self._run_example()

    def _begin(self):
        self._sources = self._machine()
        self._names = [self._at_random.choice(HOSTILE)]
        while len(self._names) < self.NAMES:
            self._names.append(self._new_name())
        for name in self._at_random.sample(self._names, 4):
            self._sources.create(name)

    def _new_name(self):
        kind = self._at_random.random()
        if kind < 0.6:
            # Like one that is there, or like that in two ways.
            name = self._at_random.choice(self._names)
            for _ in range(self._at_random.randint(1, 2)):
                name = changed(name, self._at_random.choice(CHANGES))
            return name if len(stored(name)) < 10_000 else "x"
        if kind < 0.9:
            return self._at_random.choice(HOSTILE)
        if kind < 0.95:
            return self._at_random.randbytes(self._at_random.randint(1, 20))
        return "".join(text(self._at_random.choice(HOSTILE)) for _ in range(3))

    def _several(self):
        return self._at_random.choices(self._names, k=self._at_random.choice((0, 1, 1, 1, 2, 3)))

    def _run_example(self):
        sources, name, other = self._sources, *self._at_random.choices(self._names, k=2)
        present = self._at_random.choice([*sources.model, name])
        operation, *arguments = self._at_random.choice(
            [
                (sources.create, name),
                (sources.edit, present, other),
                (sources.delete, name),
                (sources.include, present, self._several()),
                (sources.include, present, self._several()),
                (sources.include, present, self._several()),
                (sources.exclude, present, self._several()),
                (sources.replace, present, self._several()),
                (sources.remove_everywhere, name),
                (sources.rename_everywhere, name, other),
            ]
        )
        before = {section: set(items) for section, items in sources.model.items()}
        try:
            operation(*arguments)
            sources.stored_as_modelled()
            sources.find(self._names)
        except Exception as error:
            example = f"{operation.__name__}{tuple(arguments)!a}"
            raise AssertionError(f"example {self.examples}: {example} of {before!a}") from error
        self.examples += 1
        self.changes += before != sources.model


def test_any_operation_agrees_with_the_model(machine, request, thorough):
    """A figure of the manual: what is stored, and found for every name, after each operation."""
    fuzz = Fuzz(machine, seed=request.node.name)
    fuzz.run(50_000 if thorough else 150)
    # It does not depend on the machine: the seed says what is done.
    assert fuzz.changes > fuzz.examples // 4
