"""Moving from the plugin of 2009 and the SQL plugin, and what replaces other old plugins."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
import webtest
from webob.dec import wsgify

from repoze.what.adapters import AdapterError
from repoze.what.middleware import setup_auth
from repoze.what.plugins.redis import (
    CopyError,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    copy_sections,
)

sys.path.append(str(Path(__file__).parents[2] / "docs" / "examples" / "moving"))
import controllers
import login_page

# The plugin of 2009


class PluginOf2009:
    """The commands that the plugin of 2009 sent, as far as they change or read what is stored."""

    def __init__(self, database):
        self.database = database

    def read(self):
        return {
            section.decode(): {
                item.decode() for item in self.database.smembers(section) if item != b""
            }
            for section in self.database.keys("*")
        }

    def create(self, section):
        self.database.sadd(section, "")

    def delete(self, section):
        self.database.delete(section)

    def rename(self, section, new_section):
        self.database.rename(section, new_section)

    def include(self, section, *items):
        for item in items:
            self.database.sadd(section, item)
        self.database.srem(section, "")

    def exclude(self, section, *items):
        for item in items:
            self.database.srem(section, item)
        if not self.database.exists(section):
            self.database.sadd(section, "")


@pytest.fixture(params=[RedisGroupAdapter, RedisPermissionAdapter])
def new(request, client):
    return request.param(client)


@pytest.fixture
def old(new):
    plugin = PluginOf2009(new.db_connection)
    plugin.create("interns")
    plugin.create("editors")
    plugin.include("editors", "rosa", "ben")
    return plugin


def found(adapter, item):
    is_group = isinstance(adapter, RedisGroupAdapter)
    return adapter.find_sections({"repoze.what.userid": item} if is_group else item)


def test_old_data_is_read_as_it_is(old, new):
    assert new.get_all_sections() == {"interns": set(), "editors": {"rosa", "ben"}}
    assert found(new, "rosa") == {"editors"}
    assert new.check() == []


@pytest.mark.parametrize(
    ("write", "sections"),
    [
        (lambda old: old.create("writers"), {"writers": set(), "interns": set()}),
        (lambda old: old.delete("interns"), {}),
        (lambda old: old.rename("interns", "trainees"), {"trainees": set()}),
        (lambda old: old.include("interns", "kim"), {"interns": {"kim"}}),
        (lambda old: old.exclude("editors", "rosa"), {"interns": set(), "editors": {"ben"}}),
        (lambda old: old.exclude("editors", "rosa", "ben"), {"interns": set(), "editors": set()}),
    ],
)
def test_new_adapters_see_what_the_old_plugin_writes(old, new, write, sections):
    write(old)
    assert new.get_all_sections() == {"editors": {"rosa", "ben"}, **sections}
    assert ("editors" in found(new, "rosa")) is ("rosa" in new.get_section_items("editors"))
    assert new.check() == []


@pytest.mark.parametrize(
    "write",
    [
        lambda new: new.create_section("writers"),
        lambda new: new.delete_section("interns"),
        lambda new: new.delete_section("editors"),
        lambda new: new.edit_section("interns", "trainees"),
        lambda new: new.edit_section("editors", "redaction"),
        lambda new: new.include_item("interns", "kim"),
        lambda new: new.exclude_item("editors", "rosa"),
        lambda new: new.exclude_items("editors", ["rosa", "ben"]),
        lambda new: new.set_section_items("editors", []),
        lambda new: new.remove_item("rosa"),
        lambda new: new.rename_item("rosa", "rosamund"),
    ],
)
def test_the_old_plugin_sees_what_new_adapters_write(old, new, write):
    before = old.read()
    write(new)
    assert old.read() == new.get_all_sections() != before
    # It goes on from there.
    old.create("poets")
    old.include("poets", "kim")
    old.exclude("poets", "kim")
    assert old.read() == new.get_all_sections()
    assert new.check() == []


def test_a_reader_writes_nothing(old, client):
    reader = RedisGroupAdapter(client, writable=False)
    before = old.read()
    with pytest.raises(AdapterError, match="read-only"):
        reader.create_section("writers")
    assert old.read() == before


def test_on_to_the_indexed_layout(old, new, client):
    target = type(new)(client, db=0, namespace="newspaper")
    assert copy_sections(new, target) == 2
    assert target.get_all_sections() == old.read()


# The SQL plugin


@pytest.fixture
def engine(tmp_path):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'quickstart.db'}")
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE tg_user (user_id INTEGER PRIMARY KEY, user_name TEXT)",
            "CREATE TABLE tg_group (group_id INTEGER PRIMARY KEY, group_name TEXT)",
            "CREATE TABLE tg_permission (permission_id INTEGER PRIMARY KEY, permission_name TEXT)",
            "CREATE TABLE tg_user_group (user_id INTEGER, group_id INTEGER)",
            "CREATE TABLE tg_group_permission (group_id INTEGER, permission_id INTEGER)",
            "INSERT INTO tg_user VALUES (1, 'rosa'), (2, 'ben')",
            "INSERT INTO tg_group VALUES (1, 'editors'), (2, 'interns')",
            "INSERT INTO tg_permission VALUES (1, 'publish'), (2, 'print')",
            "INSERT INTO tg_user_group VALUES (1, 1), (2, 1)",
            "INSERT INTO tg_group_permission VALUES (1, 1)",
        ):
            connection.execute(sqlalchemy.text(statement))
    yield engine
    engine.dispose()


@pytest.fixture
def sql_sources():
    pytest.importorskip("sqlalchemy")
    return import_module("sql_sources")


@pytest.fixture
def new_groups(client, options):
    return RedisGroupAdapter(client, **options)


@pytest.fixture
def new_permissions(client, options):
    return RedisPermissionAdapter(client, **options)


def test_tables_are_copied(engine, sql_sources, new_groups, new_permissions):
    for _ in range(2):
        assert sql_sources.copy_tables(engine, new_groups, new_permissions) == (2, 2)
        assert new_groups.get_all_sections() == {"editors": {"rosa", "ben"}, "interns": set()}
        assert new_permissions.get_all_sections() == {"publish": {"editors"}, "print": set()}
    assert sql_sources.SQLSource(engine, sql_sources.GROUPS).is_writable is False


def test_what_has_gone_from_the_tables_meanwhile_is_told(
    engine, sql_sources, new_groups, new_permissions
):
    sql_sources.copy_tables(engine, new_groups, new_permissions)
    with engine.begin() as connection:
        connection.execute(sql_sources.text("DELETE FROM tg_user_group WHERE user_id = 1"))
    with pytest.raises(CopyError, match="editors"):
        sql_sources.copy_tables(engine, new_groups, new_permissions)
    assert new_groups.get_section_items("editors") == {"rosa", "ben"}


# The login page


@pytest.fixture
def browser(groups, permissions):
    return webtest.TestApp(login_page.make_site(groups, permissions, "a secret of the tests"))


def log_in(browser, form_page, user, password):
    form = form_page.form
    form["login"], form["password"] = user, password
    return form.submit()


def test_login_leads_back_to_the_page(browser):
    form_page = browser.get("/publish", status=302).follow()
    assert form_page.request.path == "/login"
    answer = log_in(browser, form_page, "rosa", "headline")
    assert (answer.status_int, answer.location) == (303, "http://localhost:80/publish")
    page = answer.follow()
    assert page.text == "Publish away"
    # No cache may show it to others.
    assert page.headers["Cache-Control"] == "private"
    browser.post("/logout", status=303)
    browser.get("/publish", status=302)


def test_wrong_password_shows_the_form_again(browser):
    form_page = browser.get("/publish").follow()
    form_page = log_in(browser, form_page, "rosa", "wrong")
    form_page.mustcontain("The name or the password is wrong.")
    assert log_in(browser, form_page, "rosa", "headline").location == "http://localhost:80/publish"


def test_user_without_the_permission_is_refused(browser, groups):
    log_in(browser, browser.get("/login"), "ben", "notebook")
    browser.get("/publish", status=403)
    groups.include_item("editors", "ben")
    browser.get("/publish", status=200)


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.example/",
        "//elsewhere.example/",
        "/\\elsewhere.example",
        "http://localhost.elsewhere.example/",
        "http://localhost:80/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
    ],
)
def test_login_does_not_lead_to_another_site(browser, url):
    form_page = browser.get("/login", {"came_from": url})
    answer = log_in(browser, form_page, "rosa", "headline")
    assert answer.location == "http://localhost/"


def test_link_to_the_form_cannot_put_markup_into_it(browser):
    form_page = browser.get("/login", {"came_from": '"><script>alert(1)</script>'})
    assert "<script>" not in form_page.text


def test_login_form_of_another_site_is_refused(browser):
    answer = browser.post(
        "/login",
        {"login": "rosa", "password": "headline"},
        headers={"Origin": "http://elsewhere.example"},
        status=403,
    )
    assert "Set-Cookie" not in answer.headers


def test_login_while_the_source_is_down(browser, proxy):
    proxy.lose_server()
    assert log_in(browser, browser.get("/login"), "rosa", "headline").status_int == 303
    browser.get("/publish", status=503)


def test_other_pages_and_methods(browser):
    assert browser.get("/").text == "Welcome"
    browser.get("/nowhere", status=404)
    browser.get("/logout", status=405)


# ActionProtector and ControllerProtector


@pytest.fixture
def actions(groups, permissions):
    """A site of protected controllers, where REMOTE_USER is logged in."""

    @wsgify
    def dispatch(request):
        controller, action = request.path_info.strip("/").split("/")
        return getattr(getattr(controllers, controller)(request), action)()

    site = setup_auth(
        dispatch, {"redis": groups}, {"redis": permissions}, skip_authentication="true"
    )
    return webtest.TestApp(site)


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/Articles/read", [200, 200, 200]),
        ("/Articles/publish", [401, 403, 200]),
        ("/Account/show", [401, 200, 200]),
        ("/Account/allowance", [401, 403, 200]),
    ],
)
def test_protected_controllers(actions, path, statuses):
    for user, status in zip([None, "ben", "rosa"], statuses, strict=True):
        environ = {"REMOTE_USER": user} if user else {}
        actions.get(path, extra_environ=environ, status=status)


@pytest.mark.parametrize("path", ["/Articles/publish", "/Account/show", "/Account/allowance"])
def test_no_cache_may_show_what_is_protected_to_others(actions, path):
    page = actions.get(path, extra_environ={"REMOTE_USER": "rosa"}, status=200)
    assert page.headers["Cache-Control"] == "private"


def test_refusal_is_what_the_predicate_says(actions):
    answer = actions.get("/Articles/publish", extra_environ={"REMOTE_USER": "ben"}, status=403)
    answer.mustcontain("must have the ", "publish")


def test_protected_controller_protects_its_subclasses(actions, monkeypatch):
    monkeypatch.setattr(
        controllers, "Bank", type("Bank", (controllers.Account,), {}), raising=False
    )
    actions.get("/Bank/show", status=401)


def test_protected_action_keeps_its_name():
    assert controllers.Articles.publish.__name__ == "publish"
