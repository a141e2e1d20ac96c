"""What the pair of adapters answers: who is in what, who may do what, and why."""

import pytest
import redis
from harness import cluster, servers
from harness.operations import create_sections
from harness.proxy import CUT_REPLY, GARBLE_REPLY, Proxy

from repoze.what.adapters import ItemNotPresentError, NonExistingSectionError, SourceError
from repoze.what.plugins.redis import Adapters, RedisGroupAdapter, RedisPermissionAdapter

GROUPS = {
    "editors": {"rosa", "ben"},
    "writers": {"rosa"},
    "readers": {"ada", "rosa"},
    "none": set(),
    "idle": {"kim"},
}
PERMISSIONS = {
    "publish": {"editors"},
    "write": {"writers", "editors"},
    "read": {"readers", "gone"},
    "nothing": set(),
    "empty": {"none", "gone"},
}
USERS = {"rosa", "ben", "ada", "kim"}
STRANGERS = ("nobody", "editors", "", None, 7, b"\xff")


def groups_of(user):
    return {group for group, users in GROUPS.items() if user in users}


def why(user, permission):
    return groups_of(user) & PERMISSIONS.get(permission, set())


def users_with(permission):
    return {user for user in USERS if why(user, permission)}


def fill(pair):
    create_sections(pair.groups, GROUPS)
    create_sections(pair.permissions, PERMISSIONS)
    return pair


def check_all(pair):
    """Check every answer about every user, group and permission."""
    for user in (*USERS, *STRANGERS):
        assert pair.groups_of(user) == groups_of(user)
        assert pair.permissions_of(user) == {each for each in PERMISSIONS if why(user, each)}
        for permission in (*PERMISSIONS, *STRANGERS):
            assert pair.why(user, permission) == why(user, permission)
            assert pair.can(user, permission) is bool(why(user, permission))
    for group, users in GROUPS.items():
        assert pair.users_in(group) == users
    for permission in PERMISSIONS:
        assert pair.users_with(permission) == users_with(permission)
    for name in STRANGERS:
        with pytest.raises(NonExistingSectionError):
            pair.users_in("nobody" if name == "editors" else name)
        with pytest.raises(NonExistingSectionError):
            pair.users_with(name)


def connect(client, other=None, **options):
    return Adapters(
        RedisGroupAdapter(client, **options),
        RedisPermissionAdapter(other or client, **options),
    )


def test_answers(client, options):
    check_all(fill(connect(client, **options)))


@pytest.mark.parametrize("options", [{"db": 3, "namespace": "tests"}], ids=["indexed"])
def test_answers_in_one_database(client, options):
    check_all(fill(connect(client, **options)))


def test_answers_in_two_questions(server, options):
    check_all(fill(connect(server.client(), server.client(socket_timeout=17), **options)))


def test_answers_of_two_layouts(server):
    groups = RedisGroupAdapter(server.client(), 0, namespace="tests")
    check_all(fill(Adapters(groups, RedisPermissionAdapter(server.client()))))


def test_answers_on_a_cluster(executable):
    whole = cluster.running(executable)
    whole.empty()
    pair = fill(connect(whole.client(), namespace="tests"))
    check_all(pair)
    server = servers.running(executable)
    server.empty()
    groups = RedisGroupAdapter(server.client(), namespace="tests")
    create_sections(groups, GROUPS)
    check_all(Adapters(groups, pair.permissions))
    assert not RedisGroupAdapter(server.client()).mixes_with(pair.permissions)


def test_answers_with_near_caches(server):
    pair = fill(connect(server.client(), namespace="tests", near_cache=True))
    with pair.groups, pair.permissions:
        check_all(pair)
        check_all(pair)
        assert pair.groups.near_cache_info().hits > 0
        pair.groups.exclude_item("editors", "ben")
        assert not pair.can("ben", "publish")


def test_names_of_every_kind(client, options):
    pair = connect(client, **options)
    for name in ("Zürich", b"\xff\xfe", "a\nb", "a\0b", "{x}", "*", 7):
        create_sections(pair.groups, {name: [name]})
        create_sections(pair.permissions, {name: [name]})
        text = name if isinstance(name, str) else {7: "7"}.get(name, "\udcff\udcfe")
        assert pair.why(name, name) == {text}
        assert pair.can(name, name)
        assert pair.users_with(name) == {text}
        assert pair.can(text, text)


def test_what_has_the_empty_name_is_nothing(server, options):
    """Somebody else wrote it."""
    pair = fill(connect(server.client(), **options))
    of_groups, of_permissions = pair.groups.db_connection, pair.permissions.db_connection
    if options:
        of_groups.sadd("{tests}:groups:item:nobody", "")
        of_groups.sadd("{tests}:groups:section:", "mallory")
        of_permissions.sadd("{tests}:permissions:section:publish", "")
    else:
        of_groups.sadd("", "nobody", "mallory")
        of_permissions.sadd("publish", "")
    assert pair.why("nobody", "publish") == set()
    assert not pair.can("nobody", "publish")
    assert pair.users_with("publish") == {"rosa", "ben"}


@pytest.mark.parametrize("options", [{"db": 3}, {}], ids=["one database", "two"])
def test_index_and_sections_have_to_say_so(server, options):
    """Where they differ, nothing is granted that a lookup would not find."""
    pair = fill(connect(server.client(), namespace="tests", **options))
    of_permissions, of_groups = pair.permissions.db_connection, pair.groups.db_connection
    of_permissions.srem("{tests}:permissions:sections", "publish")
    pair.permissions.repair()
    of_permissions.delete("{tests}:permissions:item:writers")
    of_groups.srem("{tests}:groups:sections", "readers")
    for user in USERS:
        for permission in PERMISSIONS:
            found = {
                group
                for group in pair.groups_of(user)
                if permission in pair.permissions.find_sections(group)
            }
            assert pair.why(user, permission) == found
            assert pair.can(user, permission) is (permission in pair.permissions_of(user))
    assert pair.users_with("read") == set()


def test_subclass_has_the_last_word(server, options):
    class Nothing(RedisGroupAdapter):
        def find_with_permissions(self, hint, permissions):
            return set(), set()

    class Nobody(RedisGroupAdapter):
        def get_many_section_items(self, sections):
            return {}

    class InFront:
        def __init__(self, adapter):
            self._adapter = adapter

        def find_sections(self, hint):
            return set()

        def __getattr__(self, name):
            return getattr(self._adapter, name)

    groups, permissions = fill(connect(server.client(), **options))
    for other in (Nothing(server.client(), **options), InFront(groups)):
        pair = Adapters(other, permissions)
        assert pair.permissions_of("rosa") == set()
        assert not pair.can("rosa", "publish")
        assert pair.why("rosa", "publish") == set()
    assert Adapters(InFront(groups), permissions).users_with("publish") == {"rosa", "ben"}
    nobody = Adapters(Nobody(server.client(), **options), permissions)
    assert nobody.users_with("publish") == set()


def test_keys_of_another_type_are_no_groups(server):
    pair = fill(connect(server.client()))
    pair.groups.db_connection.set("gone", "rosa")
    pair.permissions.db_connection.set("sing", "editors")
    assert pair.why("rosa", "read") == {"readers"}
    assert pair.users_with("read") == {"ada", "rosa"}
    assert not pair.can("rosa", "sing")
    with pytest.raises(NonExistingSectionError):
        pair.users_with("sing")


@pytest.mark.parametrize("number", [4999, 5001, 12_000])
def test_many_groups(server, options, number):
    pair = connect(server.client(), **options)
    names = [f"group {each}" for each in range(number)]
    create_sections(pair.groups, {names[0]: ["rosa"], names[-1]: ["rosa", "ben"]})
    create_sections(pair.permissions, {"publish": names})
    assert pair.users_with("publish") == {"rosa", "ben"}
    assert pair.why("rosa", "publish") == {names[0], names[-1]}


def test_remove_user(client, options):
    pair = fill(connect(client, **options))
    assert pair.remove_user("rosa") == {"editors", "writers", "readers"}
    assert pair.groups_of("rosa") == set()
    with pytest.raises(ItemNotPresentError):
        pair.remove_user("rosa")


QUESTIONS = {
    "groups_of": (lambda pair: pair.groups_of("rosa"), groups_of("rosa")),
    "permissions_of": (lambda pair: pair.permissions_of("rosa"), {"publish", "write", "read"}),
    "can": (lambda pair: pair.can("rosa", "publish"), True),
    "why": (lambda pair: pair.why("rosa", "write"), {"editors", "writers"}),
    "users_in": (lambda pair: pair.users_in("editors"), {"rosa", "ben"}),
    "users_with": (lambda pair: pair.users_with("write"), {"rosa", "ben"}),
}


@pytest.fixture
def proxied(server, options):
    """A proxy, and a pair that is connected to it."""
    pair = fill(connect(server.client(), **options))
    for ask, _ in QUESTIONS.values():
        # So that no later question has to send its script along.
        ask(pair)
    with Proxy(server.port) as proxy:
        pair = connect(redis.Redis(host=servers.HOST, port=proxy.port), **options)
        for adapter in pair:
            adapter._section_exists("nothing")
        yield proxy, pair


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_is_one_round_trip(proxied, question, questions_of_a_request):
    if questions_of_a_request > 1:
        pytest.skip("this server cannot be told that a script only reads")
    proxy, pair = proxied
    ask, answer = QUESTIONS[question]
    with proxy.counted(1):
        assert ask(pair) == answer


@pytest.mark.parametrize("question", QUESTIONS)
def test_lost_connection_is_made_anew(proxied, question):
    proxy, pair = proxied
    ask, answer = QUESTIONS[question]
    ask(pair)
    proxy.arm(CUT_REPLY)
    assert ask(pair) == answer
    assert not proxy.is_armed


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("fault", [CUT_REPLY, GARBLE_REPLY], ids=["lost", "nonsense"])
def test_what_cannot_be_answered_is_said(proxied, question, fault):
    proxy, pair = proxied
    ask, answer = QUESTIONS[question]
    ask(pair)
    proxy.arm(fault, fault)
    with pytest.raises(SourceError, match=f"Redis at {servers.HOST}:{proxy.port}"):
        ask(pair)
    proxy.arm()
    assert ask(pair) == answer


def test_user_who_may_not_ask_at_once(server, options):
    """It takes more questions, with the same answers."""
    pair = fill(connect(server.client(), **options))
    rules = ("reset", "on", ">guest", "~*", "+@all", "-evalsha_ro", "-eval_ro", "-sinter")
    if "redis-6" in server.client().info("server").get("redis_version", ""):
        rules = rules[:5]
    server.client().execute_command("ACL", "SETUSER", "guest", *rules)
    try:
        client = redis.Redis(
            host=servers.HOST, port=server.port, username="guest", password="guest"
        )
        check_all(connect(client, **options))
    finally:
        server.client().acl_deluser("guest")
    assert pair.can("rosa", "publish")
