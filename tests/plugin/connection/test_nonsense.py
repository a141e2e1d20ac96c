"""A server that answers nonsense: an error that says so, and never a grant."""

from functools import cache
from inspect import signature

import pytest
import redis
from harness.covering import covering_array
from harness.fake_server import HANDSHAKE, HOST, FakeServer
from harness.operations import LOOKUPS, REVIEWS, WRITES
from harness.virtual_time import VirtualTime, virtual_time_client
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.connection import DefaultParser
from redis.utils import HIREDIS_AVAILABLE

from repoze.what.adapters import AdapterError, SourceError, SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter

OPERATIONS = LOOKUPS | WRITES | REVIEWS

# None of them answers any operation.
NONSENSE = {
    "integer": b":1\r\n",
    "zero": b":0\r\n",
    "negative integer": b":-1\r\n",
    "integer that is none": b":one\r\n",
    "big number": b"(123456789012345678901234567890\r\n",
    "simple string": b"+OK\r\n",
    "bulk string": b"$4\r\nedit\r\n",
    "empty string": b"$0\r\n\r\n",
    "long string": b"$1000000\r\n%b\r\n" % (b"edit" * 250_000),
    "string of negative length": b"$-2\r\n",
    "verbatim string": b"=8\r\ntxt:edit\r\n",
    "nil of RESP3": b"_\r\n",
    "true": b"#t\r\n",
    "double": b",1.5\r\n",
    "map": b"%1\r\n$4\r\nedit\r\n$4\r\nread\r\n",
    "map with an array for a key": b"%1\r\n*0\r\n:1\r\n",
    "array of integers": b"*2\r\n:1\r\n:2\r\n",
    "array with nil": b"*2\r\n$4\r\nedit\r\n*-1\r\n",
    "array with nil of RESP3": b"*2\r\n$4\r\nedit\r\n_\r\n",
    "array with true": b"*2\r\n$4\r\nedit\r\n#t\r\n",
    "array with an error": b"*2\r\n$4\r\nedit\r\n-ERR no\r\n",
    "array with a map": b"*2\r\n$4\r\nedit\r\n%1\r\n$4\r\nedit\r\n$4\r\nread\r\n",
    "array of arrays of integers": b"*2\r\n*1\r\n:1\r\n*1\r\n:1\r\n",
    "array of arrays of arrays": b"*2\r\n*1\r\n*1\r\n$4\r\nedit\r\n*1\r\n*1\r\n$4\r\nedit\r\n",
    "deep array": b"*1\r\n" * 5000 + b":1\r\n",
    "unknown type": b"?what\r\n",
    "web page": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x28\r\n",
    "nothing": b"\r\n",
}
# To redis-py's parser in C, where that is installed, this is text, too.
READ_AS_TEXT = {"big number"} if HIREDIS_AVAILABLE else set()
NAMES = b"*2\r\n$4\r\nedit\r\n$4\r\nread\r\n"
OF_NAMES = {"find_sections", "find_sections_many", "get_section_items"}
# What answers some operations, each with those.
MISPLACED = {
    "no names": (b"*0\r\n", OF_NAMES),
    # Which is an empty one to redis-py where it speaks RESP3.
    "nil array": (b"*-1\r\n", OF_NAMES),
    "names": (NAMES, OF_NAMES),
    "page of names": (b"*2\r\n$1\r\n0\r\n*1\r\n$4\r\nedit\r\n", {"get_section_names"}),
    "page that is not the last": (b"*2\r\n$1\r\n7\r\n*0\r\n", set()),
    "page with an integer": (b"*2\r\n$1\r\n0\r\n*1\r\n:1\r\n", set()),
    "page of sections": (
        b"*3\r\n$1\r\n0\r\n$4\r\nedit\r\n*1\r\n$5\r\nstaff\r\n",
        {"get_all_sections"},
    ),
    "page of sections of integers": (b"*3\r\n$1\r\n0\r\n$4\r\nedit\r\n*1\r\n:1\r\n", set()),
    "half a page of sections": (b"*2\r\n$1\r\n0\r\n$4\r\nedit\r\n", OF_NAMES),
    "done": (b"*1\r\n$4\r\ndone\r\n", {*OF_NAMES, *WRITES}),
    "done to an integer": (b"*2\r\n$4\r\ndone\r\n:5\r\n", set()),
    "unknown outcome": (b"*2\r\n$5\r\nmaybe\r\n$4\r\nedit\r\n", OF_NAMES),
    "refusal without a reason": (b"*1\r\n$10\r\nno section\r\n", OF_NAMES),
    "unknown problem": (b"*3\r\n$7\r\nstrange\r\n$4\r\nedit\r\n$5\r\nstaff\r\n", OF_NAMES),
    "half a problem": (b"*2\r\n$11\r\nnot indexed\r\n$4\r\nedit\r\n", OF_NAMES),
}


@pytest.fixture
def server():
    with FakeServer(lambda _: b"") as server:
        yield server


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def protocol(request):
    return request.param


@pytest.fixture
def adapter(server, options, protocol):
    return adapter_at(server, options, protocol=protocol)


def adapter_at(server, options, **settings):
    client = redis.Redis(host=HOST, port=server.port, **{"socket_timeout": 60, **settings})
    return RedisPermissionAdapter(client, **options)


def adapter_in_virtual_time(server):
    time = VirtualTime(lambda _: False)
    return time, RedisPermissionAdapter(virtual_time_client(server.port, time))


def check_refusal(name, adapter, kind=SourceError):
    with pytest.raises(kind) as raised:
        OPERATIONS[name](adapter)
    message = str(raised.value)
    assert raised.value.__cause__ is not None
    assert message.startswith(name.removesuffix("_many"))
    assert f"Redis at {HOST}" in message
    assert raised.value.written is (None if name in {*WRITES, "repair"} else False)


@cache
def few():
    """The cases of a run that is not thorough."""
    return covering_array(OPERATIONS, ["plain", "indexed"], [2, 3], NONSENSE)


@pytest.fixture
def kinds(name, options, protocol, thorough):
    """Of `NONSENSE`, what the operation *name* is answered."""
    case = name, "indexed" if options else "plain", protocol
    return [kind for kind in NONSENSE if thorough or (*case, kind) in few()]


@pytest.mark.parametrize("name", OPERATIONS)
def test_reply_that_answers_nothing(server, adapter, name, kinds):
    for kind in kinds:
        server.answer = lambda _, reply=NONSENSE[kind]: reply
        check_refusal(name, adapter)


@pytest.mark.parametrize("kind", MISPLACED)
def test_reply_that_answers_something_else(server, adapter, kind):
    reply, answered = MISPLACED[kind]
    server.answer = lambda _: reply
    for name in OPERATIONS.keys() - answered:
        check_refusal(name, adapter)


def test_question_whether_it_is_there(server, adapter):
    """Which the base class asks on behalf of some applications."""
    for kind, reply in NONSENSE.items():
        server.answer = lambda _, reply=reply: reply
        for question, *names in (
            (adapter._section_exists, "edit"),
            (adapter._item_is_included, "edit", "staff"),
        ):
            try:
                answer = question(*names)
            except SourceError as error:
                assert error.__cause__ is not None  # noqa: PT017 - some of these are answers
            else:
                # Or the type of a key: one that is not that of a section.
                assert answer is (kind == "integer")
                assert kind in {"integer", "zero"} or kind in READ_AS_TEXT or "string" in kind


@pytest.mark.parametrize("name", OPERATIONS)
def test_connection_that_answered_nonsense_is_left(server, adapter, name):
    """It may have been the answer to the question before, and the next would get this one's."""
    server.answer = lambda _: b"*1\r\n:1\r\n"
    for number in range(3):
        check_refusal(name, adapter)
        assert len(server.asked) == number + 1


@pytest.mark.parametrize("reply", [b"*2\r\n$4\r\nedit\r\n$4\r\nre", b"*2\r\n$", b"*2\r\n:1\r"])
def test_reply_that_is_cut_short(server, adapter, reply):
    server.answer = lambda _: reply
    server.closes = True
    for name in OPERATIONS:
        check_refusal(name, adapter, SourceUnavailable)


@pytest.mark.parametrize("reply", [b"*2\r\n$4\r\nedit\r\n", b"*1\r\n$9\r\nedit\r\n"])
def test_reply_that_announces_more_than_comes(server, reply):
    time, adapter = adapter_in_virtual_time(server)
    server.answer = lambda _: reply
    for number, name in enumerate(("find_sections", "exclude_items"), start=1):
        time.is_late = lambda _, number=number: server.answered == number
        check_refusal(name, adapter, SourceUnavailable)
        assert time.now == number * 60


@pytest.mark.parametrize("reply", [b"$-9\r\n", b"$-1\r\n"])
def test_reply_of_a_negative_length(server, reply):
    """Some of redis-py's parsers wait for more, others refuse it at once."""
    time, adapter = adapter_in_virtual_time(server)
    server.answer = lambda _: reply
    for name in ("find_sections", "exclude_items"):
        answered = server.answered
        time.is_late = lambda _, answered=answered: server.answered > answered
        check_refusal(name, adapter)


def test_reply_too_many(server, adapter):
    """The second is not taken for the answer to the next question."""
    server.answer = lambda _: NAMES + b"*1\r\n$6\r\nsecret\r\n"
    for _ in range(3):
        assert adapter.find_sections("staff") == {"edit", "read"}


def test_message_that_nobody_asked_for(server, options):
    """RESP3 allows them before a reply. Up to redis-py 5, hiredis is not told to expect them."""
    server.answer = lambda _: b">2\r\n+message\r\n*1\r\n$6\r\nsecret\r\n" + NAMES
    adapter = adapter_at(server, options, protocol=3)
    expects_them = "push_request" in signature(DefaultParser.read_response).parameters
    for _ in range(3):
        if HIREDIS_AVAILABLE and not expects_them:
            check_refusal("find_sections", adapter)
        else:
            assert adapter.find_sections("staff") == {"edit", "read"}


@pytest.mark.parametrize("command", HANDSHAKE)
def test_nonsense_in_the_handshake(server, options, command):
    """Nothing is asked, then or later, on a connection that has not selected its database."""
    server.answer = lambda _: NAMES
    for reply in NONSENSE.values():
        server.handshake[command] = reply
        adapter = adapter_at(server, options, protocol=3)
        try:
            assert adapter.find_sections("staff") == {"edit", "read"}
        except SourceError as error:
            assert error.__cause__ is not None  # noqa: PT017 - not all of it is looked at
        server.handshake[command] = HANDSHAKE[command]
        assert adapter.find_sections("staff") == {"edit", "read"}
    for commands in server.asked:
        if commands[-1] not in HANDSHAKE:
            assert b"SELECT" in commands


@pytest.mark.parametrize("command", [b"HELLO", b"SELECT"])
def test_nonsense_before_a_write(server, options, command):
    server.handshake[command] = b":1\r\n"
    adapter = adapter_at(server, options, protocol=3)
    with pytest.raises(SourceError, match="Nothing was written"):
        adapter.create_section("edit")


TEXTS = st.binary(min_size=1)
SCALARS = st.one_of(
    st.integers(-2, 2),
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False),
    TEXTS,
    TEXTS.map(lambda text: ("error", text.replace(b"\r", b"").replace(b"\n", b""))),
)
REPLIES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(TEXTS),
        st.lists(inner, max_size=4).map(lambda elements: ("set", elements)),
        st.lists(inner, max_size=4).map(lambda elements: ("map", elements)),
    ),
    max_leaves=12,
)


def encoded(value):  # noqa: PLR0911 - one for each type
    """Return *value* as RESP3 has it."""
    match value:
        case None:
            return b"_\r\n"
        case bool():
            return b"#t\r\n" if value else b"#f\r\n"
        case int():
            return b":%d\r\n" % value
        case float():
            return b",%r\r\n" % value
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case "error", text:
            return b"-ERR %b\r\n" % text
        case "set", elements:
            return b"~%d\r\n" % len(elements) + b"".join(map(encoded, elements))
        case "map", elements:
            pairs = [*elements, *elements]
            return b"%%%d\r\n" % len(elements) + b"".join(map(encoded, pairs))
        case list():
            return b"*%d\r\n" % len(value) + b"".join(map(encoded, value))


def test_any_reply(server, options, thorough):
    """Nothing is granted but by an array, or a set, of names: those names."""
    adapter = adapter_at(server, options, protocol=3)

    @settings(max_examples=20_000 if thorough else 75, deadline=None, database=None)
    @given(REPLIES)
    def check(reply):
        server.answer = lambda _: encoded(reply)
        names = reply[1] if isinstance(reply, tuple) and reply[0] == "set" else reply
        if isinstance(names, list) and all(isinstance(name, bytes) for name in names):
            expected = {name.decode("utf-8", "surrogateescape") for name in names}
            assert adapter.find_sections("staff") == expected
            return
        check_refusal("find_sections", adapter)
        if not (isinstance(reply, tuple) and reply[0] == "error"):
            check_refusal("rename_item", adapter)

    check()


def test_any_bytes(server, options, thorough):
    """Whatever it is, an error says what it is not."""
    adapter = adapter_at(server, options, protocol=3)
    server.closes = True
    pieces = st.one_of(
        st.binary(max_size=8),
        st.sampled_from(b"* $ : + - ~ % > # _ , ( = ! 1 2 9 -1 \r\n \r \n edit done".split(b" ")),
    )

    @settings(max_examples=20_000 if thorough else 75, deadline=None, database=None)
    @given(st.lists(pieces, min_size=1, max_size=20).map(b"".join), st.sampled_from([*OPERATIONS]))
    def check(reply, name):
        server.answer = lambda _: reply
        try:
            OPERATIONS[name](adapter)
        except AdapterError as error:
            assert error.__cause__ is not None or not isinstance(error, SourceError)  # noqa: PT017

    check()
