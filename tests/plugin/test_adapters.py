"""What the adapters answer and refuse, on every kind of server."""

import pickle
import threading
from array import array

import fakeredis
import pytest
import redis

from repoze.what.adapters import (
    BaseSourceAdapter,
    ExistingSectionError,
    ItemNotPresentError,
    ItemPresentError,
    NonExistingSectionError,
    SourceError,
)
from repoze.what.plugins.redis import (
    Adapters,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    adapters,
)


def credentials(userid):
    return {"repoze.what.userid": userid}


def find_raw(adapter, name):
    """Return whether *name* is stored as these bytes."""
    client = adapter.db_connection
    return any(
        name in client.smembers(key) for key in client.scan_iter() if client.type(key) == b"set"
    )


def test_public_names():
    assert adapters.RedisGroupAdapter is RedisGroupAdapter
    assert adapters.RedisPermissionAdapter is RedisPermissionAdapter
    assert issubclass(RedisGroupAdapter, BaseSourceAdapter)
    assert (RedisGroupAdapter.DB_NAME, RedisPermissionAdapter.DB_NAME) == (1, 2)


class TestSections:
    def test_new_source_is_empty(self, groups):
        assert groups.get_all_sections() == {}

    def test_created_section_is_empty(self, groups):
        groups.create_section("admins")
        assert groups.get_all_sections() == {"admins": set()}
        assert groups.get_section_items("admins") == set()

    def test_section_is_created_once(self, groups):
        groups.create_section("admins")
        groups.include_item("admins", "rms")
        with pytest.raises(ExistingSectionError, match=r"section 'admins' already .*database 1"):
            groups.create_section("admins")
        assert groups.get_all_sections() == {"admins": {"rms"}}

    def test_renamed_section_keeps_its_items(self, groups):
        groups.create_section("admins")
        groups.include_items("admins", ["rms", "linus"])
        groups.edit_section("admins", "trolls")
        assert groups.get_all_sections() == {"trolls": {"rms", "linus"}}

    @pytest.mark.parametrize("taken", ["admins", "trolls"])
    def test_rename_never_swallows_a_section(self, groups, taken):
        groups.create_section("admins")
        groups.create_section("trolls")
        groups.include_item("trolls", "sballmer")
        with pytest.raises(ExistingSectionError, match=taken):
            groups.edit_section("admins", taken)
        assert groups.get_all_sections() == {"admins": set(), "trolls": {"sballmer"}}

    def test_deleted_section_is_gone(self, groups):
        groups.create_section("admins")
        groups.include_item("admins", "rms")
        groups.delete_section("admins")
        assert groups.get_all_sections() == {}
        assert groups.find_sections(credentials("rms")) == set()

    def test_some_of_many_sections(self, groups):
        for number in range(250):
            groups.create_section(number)
        groups.include_item(7, "rms")
        assert groups.get_section_names() == {str(number) for number in range(250)}
        assert groups.get_many_section_items(["7", 8, "nobody", None]) == {"7": {"rms"}, "8": set()}
        assert len(groups.get_many_section_items(range(300))) == 250
        assert groups.get_many_section_items([]) == {}

    @pytest.mark.parametrize(
        "operation",
        [
            lambda adapter: adapter.get_section_items("admins"),
            lambda adapter: adapter.edit_section("admins", "trolls"),
            lambda adapter: adapter.delete_section("admins"),
            lambda adapter: adapter.include_items("admins", []),
            lambda adapter: adapter.include_item("admins", "rms"),
            lambda adapter: adapter.exclude_items("admins", []),
            lambda adapter: adapter.exclude_item("admins", "rms"),
            lambda adapter: adapter.set_section_items("admins", ["rms"]),
        ],
    )
    def test_section_that_is_not_there(self, groups, operation):
        with pytest.raises(NonExistingSectionError, match=r"no section 'admins' .*database 1"):
            operation(groups)
        assert groups.get_all_sections() == {}


class TestItems:
    @pytest.fixture(autouse=True)
    def admins(self, groups):
        groups.create_section("admins")
        groups.include_items("admins", ["rms", "linus"])

    def test_inclusion_is_all_or_nothing(self, groups):
        with pytest.raises(ItemPresentError, match=r"'admins' has '(rms|linus)', '(rms|linus)'"):
            groups.include_items("admins", ["ada", "rms", "linus"])
        assert groups.get_section_items("admins") == {"rms", "linus"}

    def test_exclusion_is_all_or_nothing(self, groups):
        with pytest.raises(ItemNotPresentError, match="'admins' does not have 'ada'"):
            groups.exclude_items("admins", ["rms", "ada"])
        assert groups.get_section_items("admins") == {"rms", "linus"}

    def test_many_refused_items_are_counted(self, groups):
        with pytest.raises(ItemNotPresentError, match=r"does not have ('\d+', ){3}1,997 more"):
            groups.exclude_items("admins", range(2000))

    def test_item_given_twice_is_included_once(self, groups):
        groups.include_items("admins", ["7", 7, b"7"])
        assert groups.get_section_items("admins") == {"rms", "linus", "7"}

    def test_no_items_change_nothing(self, groups):
        groups.include_items("admins", [])
        groups.exclude_items("admins", iter(()))
        assert groups.get_all_sections() == {"admins": {"rms", "linus"}}

    def test_section_whose_last_item_leaves_stays(self, groups):
        groups.exclude_items("admins", {"rms", "linus"})
        assert groups.get_all_sections() == {"admins": set()}
        groups.include_item("admins", "rms")
        assert groups.get_all_sections() == {"admins": {"rms"}}

    def test_items_are_replaced(self, groups):
        groups.set_section_items("admins", ["linus", "ada"])
        assert groups.get_section_items("admins") == {"linus", "ada"}
        groups.set_section_items("admins", [])
        assert groups.get_section_items("admins") == set()

    @pytest.mark.parametrize(
        "items",
        ["rms", b"rms", None, 5, bytearray(b"rms"), memoryview(b"rms"), array("B", b"rms")],
        ids=lambda items: type(items).__name__,
    )
    @pytest.mark.parametrize("operation", ["include_items", "exclude_items", "set_section_items"])
    def test_one_name_is_not_several(self, groups, operation, items):
        with pytest.raises(SourceError, match="Several names are wanted"):
            getattr(groups, operation)("admins", items)
        assert groups.get_section_items("admins") == {"rms", "linus"}


class TestLookups:
    def test_groups_of_a_user(self, groups):
        for group, users in {"admins": ["rms"], "php": ["rms", "ada"], "none": []}.items():
            groups.create_section(group)
            groups.include_items(group, users)
        assert groups.find_sections(credentials("rms")) == {"admins", "php"}
        assert groups.find_sections(credentials("nobody")) == set()
        assert groups.find_sections_many([credentials("ada"), credentials("x")]) == {"php"}

    def test_permissions_of_groups(self, permissions):
        for permission, holders in {"edit": ["a", "b"], "read": ["b"], "stop": []}.items():
            permissions.create_section(permission)
            permissions.include_items(permission, holders)
        assert permissions.find_sections("a") == {"edit"}
        assert permissions.find_sections_many(["a", "b"]) == {"edit", "read"}
        assert permissions.find_sections_many(iter(["c"])) == set()
        assert permissions.find_sections_many([]) == set()

    @pytest.mark.parametrize("nobody", [None, {}, credentials(None), credentials(""), {"x": "rms"}])
    def test_credentials_without_a_user_id(self, groups, nobody):
        groups.create_section("admins")
        groups.include_item("admins", "None")
        assert groups.find_sections(nobody) == set()

    def test_credentials_that_are_none(self, groups):
        with pytest.raises(SourceError, match=r"mapping with a 'repoze.what.userid', not 'rms'"):
            groups.find_sections("rms")

    def test_one_group_is_not_several(self, permissions):
        with pytest.raises(SourceError, match="Several names are wanted"):
            permissions.find_sections_many("admins")

    def test_another_process_is_seen_at_once(self, groups, client, options):
        another = RedisGroupAdapter(client, **options)
        groups.create_section("admins")
        groups.get_all_sections()
        groups.get_section_items("admins")
        another.include_item("admins", "rms")
        another.create_section("trolls")
        another.include_item("trolls", "rms")
        assert groups.get_section_items("admins") == {"rms"}
        assert set(groups.get_all_sections()) == {"admins", "trolls"}
        assert groups.find_sections(credentials("rms")) == {"admins", "trolls"}
        assert groups.loaded_sections == {}


class TestItemsEverywhere:
    @pytest.fixture(autouse=True)
    def sections(self, groups):
        for section, items in {"a": ["rms", "ada"], "b": ["rms"], "c": ["ada"], "d": []}.items():
            groups.create_section(section)
            groups.include_items(section, items)

    def test_item_is_removed_from_every_section(self, groups):
        assert groups.remove_item("rms") == {"a", "b"}
        assert groups.get_all_sections() == {"a": {"ada"}, "b": set(), "c": {"ada"}, "d": set()}
        assert groups.find_sections(credentials("rms")) == set()

    def test_item_is_renamed_in_every_section(self, groups):
        assert groups.rename_item("rms", "linus") == {"a", "b"}
        assert groups.get_all_sections() == {
            "a": {"linus", "ada"},
            "b": {"linus"},
            "c": {"ada"},
            "d": set(),
        }
        assert groups.find_sections(credentials("rms")) == set()
        assert groups.find_sections(credentials("linus")) == {"a", "b"}

    @pytest.mark.parametrize("new", ["ada", "rms"])
    def test_rename_never_merges_items(self, groups, new):
        before = groups.get_all_sections()
        with pytest.raises(ItemPresentError, match=f"item '{new}' already"):
            groups.rename_item("rms", new)
        assert groups.get_all_sections() == before

    def test_item_that_is_nowhere(self, groups):
        before = groups.get_all_sections()
        with pytest.raises(ItemNotPresentError, match="No section has 'linus'"):
            groups.remove_item("linus")
        with pytest.raises(ItemNotPresentError, match="No section has 'linus'"):
            groups.rename_item("linus", "rms")
        assert groups.get_all_sections() == before


class TestMoreThanLuaUnpacks:
    """On real servers: what fakeredis runs is another Lua, and takes minutes."""

    @pytest.fixture
    def client(self, server):
        return server.client()

    def test_items(self, groups):
        groups.create_section("admins")
        items = {f"user {number}" for number in range(20_001)}
        groups.set_section_items("admins", items)
        assert groups.get_section_items("admins") == items
        groups.exclude_items("admins", items)
        groups.include_items("admins", items)
        assert groups.get_all_sections() == {"admins": items}

    def test_groups(self, permissions):
        permissions.create_section("edit")
        permissions.include_item("edit", "group 12345")
        assert permissions.find_sections_many(f"group {n}" for n in range(12346)) == {"edit"}
        assert permissions.find_sections_many(f"group {n}" for n in range(12345)) == set()

    def test_sections(self, groups):
        everywhere = {f"group {number}" for number in range(9000)}
        raw = groups.db_connection.pipeline()
        prefix = "" if groups.namespace is None else "{tests}:groups:section:"
        for section in everywhere:
            raw.sadd(prefix + section, "linus")
        if groups.namespace is not None:
            raw.sadd("{tests}:groups:sections", *everywhere)
            raw.sadd("{tests}:groups:item:linus", *everywhere)
        raw.execute()
        assert groups.check() == []
        assert groups.rename_item("linus", "torvalds") == everywhere
        assert groups.remove_item("torvalds") == everywhere
        assert groups.find_sections(credentials("torvalds")) == set()


class TestNames:
    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ("naïve", "naïve".encode()),
            (b"bytes", b"bytes"),
            (42, b"42"),
            (-1, b"-1"),
            ("\udcff", b"\xff"),
            (b"\xff\xfe", b"\xff\xfe"),
            ("a\0b\r\n*{}?[", b"a\0b\r\n*{}?["),
            (" ", b" "),
        ],
    )
    def test_name_that_is_taken(self, groups, given, stored):
        text = stored.decode(errors="surrogateescape")
        groups.create_section(given)
        groups.include_item(given, given)
        assert find_raw(groups, stored)
        assert groups.get_all_sections() == {text: {text}}
        assert groups.find_sections(credentials(given)) == {text}
        assert groups.find_sections(credentials(text)) == {text}
        groups.edit_section(text, "other")
        groups.exclude_item("other", text)
        assert groups.get_all_sections() == {"other": set()}

    REFUSED = ("", b"", None, True, False, 1.5, ("rms",), "\ud800", "\udcc3\udca9", 10**5000)

    @pytest.mark.parametrize("name", REFUSED, ids=lambda name: type(name).__name__)
    def test_name_that_is_refused(self, groups, name):
        groups.create_section("admins")
        for write in (
            lambda: groups.create_section(name),
            lambda: groups.edit_section("admins", name),
            lambda: groups.edit_section(name, "trolls"),
            lambda: groups.delete_section(name),
            lambda: groups.include_item("admins", name),
            lambda: groups.include_items("admins", ["rms", name]),
            lambda: groups.exclude_item("admins", name),
            lambda: groups.set_section_items("admins", ["rms", name]),
            lambda: groups.include_item(name, "rms"),
            lambda: groups.remove_item(name),
            lambda: groups.rename_item("rms", name),
            lambda: groups.rename_item(name, "rms"),
        ):
            with pytest.raises(SourceError, match="cannot name a section or an item") as raised:
                write()
            assert raised.value.written is False
        assert groups.get_all_sections() == {"admins": set()}

    def test_items_of_a_section_that_has_many(self, groups):
        groups.create_section("admins")
        assert groups.count_items("admins") == groups.count_items("nobody") == 0
        assert groups.missing_items("admins", ["rms", 7]) == {"rms", "7"}
        groups.include_items("admins", ["rms", *range(9_000)])
        assert groups.count_items("admins") == 9_001
        asked = [b"rms", "linus", 8_999, 9_000, *range(100, 8_500), "", None]
        assert groups.missing_items("admins", asked) == {"linus", "9000"}
        assert groups.missing_items("nobody", ["rms"]) == {"rms"}
        assert groups.missing_items("admins", []) == groups.missing_items(None, []) == set()
        assert groups.missing_items("", ["rms"]) == {"rms"}
        assert groups.count_items(None) == 0

    @pytest.mark.parametrize("name", REFUSED, ids=lambda name: type(name).__name__)
    def test_refused_name_belongs_to_nothing(self, groups, permissions, name):
        for adapter in (groups, permissions):
            adapter.create_section("section")
            adapter.include_items("section", ["é", "None", "True", "1"])
            with pytest.raises(NonExistingSectionError, match="cannot name a section"):
                adapter.get_section_items(name)
            assert not adapter._section_exists(name)
            assert not adapter._item_is_included("section", name)
            assert not adapter._item_is_included(name, "1")
        assert groups.find_sections(credentials(name)) == set()
        assert permissions.find_sections(name) == set()
        assert permissions.find_sections_many([name, "nobody"]) == set()

    def test_names_of_many_forms_stay_distinct(self, groups):
        forms = ["é", "e\u0301", "a", "\u0430", "A", "\uff41", "K", "\u212a"]
        for form in forms:
            groups.create_section(form)
            groups.include_item(form, form)
        assert groups.get_all_sections() == {form: {form} for form in forms}
        for form in forms:
            assert groups.find_sections(credentials(form)) == {form}

    def test_name_of_a_megabyte(self, groups):
        name = "x" * 1_000_000
        groups.create_section(name)
        groups.include_item(name, name)
        assert groups.find_sections(credentials(name)) == {name}
        with pytest.raises(ExistingSectionError) as raised:
            groups.create_section(name)
        assert len(str(raised.value)) < 500


class TestReadOnly:
    WRITES = (
        lambda adapter: adapter.create_section("new"),
        lambda adapter: adapter.edit_section("admins", "new"),
        lambda adapter: adapter.delete_section("admins"),
        lambda adapter: adapter.include_item("admins", "ada"),
        lambda adapter: adapter.include_items("admins", ["ada"]),
        lambda adapter: adapter.exclude_item("admins", "rms"),
        lambda adapter: adapter.exclude_items("admins", ["rms"]),
        lambda adapter: adapter.set_section_items("admins", []),
        lambda adapter: adapter.remove_item("rms"),
        lambda adapter: adapter.rename_item("rms", "ada"),
        lambda adapter: adapter._create_section("new"),
        lambda adapter: adapter._edit_section("admins", "new"),
        lambda adapter: adapter._delete_section("admins"),
        lambda adapter: adapter._include_items("admins", ["ada"]),
        lambda adapter: adapter._exclude_items("admins", ["rms"]),
    )

    @pytest.mark.parametrize("write", WRITES)
    def test_nothing_is_written(self, client, options, write):
        source = RedisGroupAdapter(client, **options)
        source.create_section("admins")
        source.include_item("admins", "rms")
        reader = RedisGroupAdapter(client, writable=False, **options)
        assert reader.find_sections(credentials("rms")) == {"admins"}
        with pytest.raises(SourceError):
            write(reader)
        assert source.get_all_sections() == {"admins": {"rms"}}


class TestConstruction:
    @pytest.mark.parametrize("client", [None, "redis://localhost", redis.asyncio.Redis(), object()])
    def test_client_that_is_none(self, client):
        with pytest.raises(TypeError, match="redis-py client is wanted"):
            RedisGroupAdapter(client)

    @pytest.mark.parametrize("db", ["1", 1.0, True, b"1"])
    def test_database_that_is_no_number(self, db):
        with pytest.raises(TypeError, match="number of a database"):
            RedisGroupAdapter(redis.Redis(), db=db)

    def test_database_that_is_negative(self):
        with pytest.raises(ValueError, match="from 0, not -1"):
            RedisGroupAdapter(redis.Redis(), db=-1)

    def test_unknown_argument(self):
        with pytest.raises(TypeError):
            RedisGroupAdapter(redis.Redis(), decode=True)

    @pytest.mark.parametrize("options", [{}, {"db": 1, "namespace": "x"}, {"db": None}])
    def test_cluster_without_a_namespace_or_with_a_database(self, options):
        cluster = redis.RedisCluster.__new__(redis.RedisCluster)
        with pytest.raises(ValueError, match="give the adapter a namespace and no db"):
            RedisGroupAdapter(cluster, **options)

    @pytest.mark.parametrize("namespace", ["", " ", "a b", "{a}", "é", "a\n", "a/b"])
    def test_namespace_of_other_characters(self, namespace):
        with pytest.raises(ValueError, match="A namespace is letters"):
            RedisGroupAdapter(redis.Redis(), namespace=namespace)

    @pytest.mark.parametrize("namespace", [b"a", 1, True])
    def test_namespace_that_is_no_text(self, namespace):
        with pytest.raises(TypeError, match="A namespace is text"):
            RedisGroupAdapter(redis.Redis(), namespace=namespace)

    def test_database_of_a_subclass(self):
        class StaffAdapter(RedisGroupAdapter):
            DB_NAME = 7

        client = fakeredis.FakeRedis()
        StaffAdapter(client).create_section("staff")
        assert RedisGroupAdapter(client, db=7).get_all_sections() == {"staff": set()}
        assert StaffAdapter(client, 3).get_all_sections() == {}

    def test_database_of_the_client_is_warned_about(self):
        client = fakeredis.FakeRedis(db=5)
        with pytest.warns(UserWarning, match="database 5 is a section") as caught:
            adapter = RedisGroupAdapter(client, db=None)
        assert caught[0].filename == __file__
        adapter.create_section("staff")
        assert client.smembers("staff") == {b""}

    def test_it_says_what_it_is(self):
        adapter = RedisPermissionAdapter(redis.Redis(host="db.example", password="secret"))
        assert repr(adapter) == "<RedisPermissionAdapter: Redis at db.example:6379, database 2>"
        assert adapter.place == "Redis at db.example:6379, database 2"
        adapter = RedisPermissionAdapter(redis.Redis(), namespace="shop")
        assert "database 2, namespace 'shop'>" in repr(adapter)
        assert adapter.namespace == "shop"


def test_raw_select_reaches_nobody_else(client, groups):
    groups.create_section("admins")
    with groups.db_connection.client() as raw_client:
        raw_client.select(9)
        raw_client.sadd("trolls", "rms")
        assert groups.get_all_sections() == {"admins": set()}
    assert client.connection_pool.connection_kwargs.get("db", 0) == 0
    assert client.dbsize() == 0


def test_threads_share_an_adapter(groups):
    for number in range(8):
        groups.create_section(f"group {number}")
        groups.include_item(f"group {number}", f"user {number}")
    wrong = []

    def ask(number):
        for _ in range(50):
            found = groups.find_sections(credentials(f"user {number}"))
            if found != {f"group {number}"}:
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_adapter_is_made_anew_where_processes_are_spawned(groups, permissions):
    for held in (groups, Adapters(groups, permissions)):
        with pytest.raises(TypeError, match=r"RedisGroupAdapter cannot be pickled .* from_url"):
            pickle.dumps(held)


def test_answer_can_be_kept(groups):
    groups.create_section("admins")
    sections = groups.get_all_sections()
    sections["admins"].add("mallory")
    sections["trolls"] = set()
    assert groups.get_all_sections() == {"admins": set()}


def test_made_of_the_client_of_another(groups, options):
    """Which is a redis-py client as any other."""
    groups.create_section("editors")
    other = RedisGroupAdapter(groups.db_connection, **options)
    assert other.get_section_names() == {"editors"}
