"""Exports to the tables of a TurboGears quickstart, and imports from them."""

import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Unicode,
    create_engine,
    select,
    text,
)
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect

GROUPS = {"editors": {"rosa", "ben"}, "writers": {"rosa"}, "interns": set()}
PERMISSIONS = {"publish": {"editors"}, "write": {"editors", "writers"}, "sell": set()}
PASSWORD = "open-sesame"


class QuotingDriver:
    """A driver that shows all that it is given."""

    paramstyle = "named"

    class Error(Exception):
        pass

    @staticmethod
    def connect(**options):
        raise QuotingDriver.Error(f"There is no server for {options}")


class QuotingDialect(DefaultDialect):
    import_dbapi = staticmethod(lambda: QuotingDriver)


class Database:
    """The tables as the model of a quickstarted application declares them."""

    def __init__(self, url):
        metadata = MetaData()

        def id_column(name):
            return Column(name, Integer, autoincrement=True, primary_key=True)

        def association(name, *ids):
            columns = [
                Column(
                    f"{what}_id",
                    Integer,
                    ForeignKey(f"tg_{what}.{what}_id", onupdate="CASCADE", ondelete="CASCADE"),
                    primary_key=True,
                )
                for what in ids
            ]
            return Table(name, metadata, *columns)

        def named(what, length, *columns):
            name = Column(f"{what}_name", Unicode(length), unique=True, nullable=False)
            return Table(f"tg_{what}", metadata, id_column(f"{what}_id"), name, *columns)

        self.tables = {
            "tg_group": named(
                "group",
                16,
                Column("display_name", Unicode(255)),
                Column("created", DateTime, default=datetime.now),
            ),
            "tg_permission": named("permission", 63, Column("description", Unicode(255))),
            "tg_user": named("user", 16, Column("password", Unicode(128))),
            "tg_user_group": association("tg_user_group", "user", "group"),
            "tg_group_permission": association("tg_group_permission", "group", "permission"),
        }
        self.url = url
        self._engine = create_engine(url)
        metadata.create_all(self._engine)

    def execute(self, statement, *parameters):
        with self._engine.begin() as connection:
            result = connection.execute(text(statement), *parameters)
            return result.all() if result.returns_rows else None

    def add_users(self, *names):
        with self._engine.begin() as connection:
            users = [{"user_name": name, "password": "secret"} for name in names]
            connection.execute(self.tables["tg_user"].insert(), users)

    def _contents(self, section, item, association):
        sections, items, pairs = (
            self.tables[name] for name in (f"tg_{section}", f"tg_{item}", association)
        )
        names = sections.c[f"{section}_name"], items.c[f"{item}_name"]
        joined = sections.outerjoin(pairs).outerjoin(items)
        with self._engine.begin() as connection:
            rows = connection.execute(select(*names).select_from(joined)).all()
        found = {name: set() for name, _ in rows}
        for name, member in rows:
            found[name].update({member} - {None})
        return found

    @property
    def groups(self):
        return self._contents("group", "user", "tg_user_group")

    @property
    def permissions(self):
        return self._contents("permission", "group", "tg_group_permission")

    def close(self):
        self._engine.dispose()


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/data.db")
    yield database
    database.close()


@pytest.fixture
def filled(database, staff, done):
    database.add_users("rosa", "ben", "kim")
    done("export", "sql", database.url)
    return database


def empty(*adapters):
    for adapter in adapters:
        for section in adapter.get_section_names():
            adapter.delete_section(section)


def test_export(done, staff, database):
    database.add_users("kim", "ben", "rosa")
    assert done("export", "sql", database.url) == (
        "groups: 3 new, 0 completed, 0 as before; 3 members added\n"
        "permissions: 3 new, 0 completed, 0 as before; 3 grants added\n"
    )
    assert database.groups == GROUPS
    assert database.permissions == PERMISSIONS
    assert json.loads(done("export", "sql", database.url, "--json")) == {
        "groups": {"new": 0, "completed": 0, "unchanged": 3, "items": 0},
        "permissions": {"new": 0, "completed": 0, "unchanged": 3, "items": 0},
    }


def test_import(done, filled, groups, permissions):
    empty(groups, permissions)
    assert done("import", "sql", filled.url) == (
        "groups: 3 new, 0 completed, 0 as before; 3 members added\n"
        "permissions: 3 new, 0 completed, 0 as before; 3 grants added\n"
    )
    assert groups.get_all_sections() == GROUPS
    assert permissions.get_all_sections() == PERMISSIONS


def test_url_in_the_environment(done, filled, groups, permissions, monkeypatch):
    monkeypatch.setenv("REPOZE_WHAT_SQL_URL", filled.url)
    empty(groups, permissions)
    assert done("import", "sql").startswith("groups: 3 new")
    groups.create_section("buyers")
    assert done("export", "sql").startswith("groups: 1 new, 0 completed, 3 as before")
    assert filled.groups == GROUPS | {"buyers": set()}


def test_import_of_nothing(done, database, groups):
    assert done("import", "sql", database.url).startswith("groups: 0 new")
    assert groups.get_all_sections() == {}


def test_export_completes(done, filled, groups, permissions):
    groups.include_items("editors", ["kim"])
    groups.create_section("sellers")
    permissions.include_items("sell", ["sellers"])
    assert done("export", "sql", filled.url) == (
        "groups: 1 new, 1 completed, 2 as before; 1 member added\n"
        "permissions: 0 new, 1 completed, 2 as before; 1 grant added\n"
    )
    assert filled.groups == groups.get_all_sections()
    assert filled.permissions == permissions.get_all_sections()


def test_export_in_conflict(run, filled, groups):
    groups.exclude_items("editors", ["rosa"])
    groups.include_items("editors", ["kim"])
    result = run("export", "sql", filled.url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "groups: 'editors' is there already, with 1 other\n"
        "Error: Nothing was written. Look whose that is, or say --merge to let it stay and add "
        "what is to come.\n"
    )
    assert filled.groups["editors"] == {"rosa", "ben"}
    assert run("export", "sql", filled.url, "--merge").exit_code == 0
    assert filled.groups["editors"] == {"rosa", "ben", "kim"}


def test_export_of_what_is_unknown_there(run, database, staff, permissions):
    database.add_users("rosa")
    permissions.include_items("sell", ["ghosts"])
    result = run("export", "sql", database.url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "groups: 'editors' has what is not in tg_user: 'ben'\n"
        "permissions: 'sell' has what is not in tg_group: 'ghosts'\n"
        "Error: Nothing was written. Add them to the application, or say --skip-unknown to leave "
        "them out.\n"
    )
    assert database.groups == {}
    assert run("export", "sql", database.url, "--skip-unknown").exit_code == 0
    assert database.groups == {**GROUPS, "editors": {"rosa"}}
    assert database.permissions == PERMISSIONS


def test_export_of_much(done, database, groups, permissions):
    users = [f"user-{number}" for number in range(1200)]
    database.add_users(*users)
    for number in range(120):
        groups.create_section(f"group-{number}")
        permissions.create_section(f"permission-{number}")
        permissions.include_items(f"permission-{number}", [f"group-{number}"])
    groups.include_items("group-7", users)
    done("export", "sql", database.url)
    assert database.groups == groups.get_all_sections()
    assert database.permissions == permissions.get_all_sections()
    everything = groups.get_all_sections()
    empty(groups, permissions)
    done("import", "sql", database.url)
    assert groups.get_all_sections() == everything


@pytest.mark.parametrize("name", ["a name of over 16 characters", "\udcff", "\x00"])
def test_name_that_a_column_cannot_have(refused, database, groups, name):
    database.add_users("rosa")
    groups.create_section(name)
    line = refused("export", "sql", database.url)
    assert f"tg_group.group_name cannot have the name {name!r}" in line
    assert "16 characters at most" in line
    assert database.groups == {}


def test_user_that_a_column_cannot_have(run, database, groups):
    database.add_users("rosa")
    groups.create_section("editors")
    groups.include_items("editors", ["rosa", "\udcff", "\x00"])
    result = run("export", "sql", database.url, "--skip-unknown")
    assert (result.exit_code, result.stderr) == (
        0,
        "groups: 'editors' has what is not in tg_user: '\\x00', '\\udcff'\n",
    )
    assert database.groups == {"editors": {"rosa"}}


@pytest.mark.parametrize("what", ["group", "user"])
def test_name_that_a_table_has_twice(refused, database, groups, what):
    """Neither of the two is given what may be meant for the other."""
    database.execute(f"DROP TABLE tg_{what}")
    database.execute(f"CREATE TABLE tg_{what} ({what}_id INTEGER, {what}_name VARCHAR(16))")
    database.execute(f"INSERT INTO tg_{what} VALUES (1, 'rosa'), (2, 'rosa')")  # noqa: S608
    groups.create_section("rosa")
    groups.include_item("rosa", "rosa")
    assert (
        refused("export", "sql", database.url) == f"Error: tg_{what} has 'rosa' more than once.\n"
    )
    assert database.execute("SELECT * FROM tg_user_group") == []


def test_other_letters(refused, done, database, groups):
    """A database may take two names for one, of which the second is then refused."""
    database.execute("CREATE UNIQUE INDEX folded ON tg_group (lower(group_name))")
    database.execute("INSERT INTO tg_group (group_name) VALUES ('Editors')")
    groups.create_section("editors")
    assert "Error: The database: UNIQUE constraint failed" in refused("export", "sql", database.url)
    assert database.groups == {"Editors": set()}


def test_no_quickstart(refused, staff, tmp_path):
    (tmp_path / "empty.db").touch()
    for direction in ("import", "export"):
        assert refused(direction, "sql", f"sqlite:///{tmp_path}/empty.db").startswith(
            "Error: The database has no table tg_group: is it that of"
        )


def test_another_quickstart(refused, database, url):
    database.execute("ALTER TABLE tg_group RENAME COLUMN group_name TO name")
    assert refused("import", "sql", database.url) == (
        "Error: The table tg_group has no column group_name, as that of a quickstart has.\n"
    )


@pytest.mark.parametrize("direction", ["import", "export"])
@pytest.mark.parametrize(
    ("database_url", "problem"),
    [
        ("sqlite:////no/such/data.db", "Error: /no/such/data.db: No such file or directory\n"),
        ("sqlite:///file:no-such?uri=true", "The database: unable to open database file"),
        ("sqlite:///file:no-such?uri=true&mode=ro", "The database: unable to open database file"),
        (f"nonsense {PASSWORD}", "That is no URL of a database."),
        (f"no-such-dialect://rosa:{PASSWORD}@localhost/x", "That is no URL of a database."),
        (f"postgresql://rosa:{PASSWORD}@localhost:port/x", "That is no URL of a database."),
        (f"sqlite://?timeout={PASSWORD}", "That is no URL of a database."),
        (f"oracle://rosa:one@{PASSWORD}/w?o@localhost/x", "The URL of the database has an @ too"),
        ("sqlite:///file:no-such?uri=false", "file:no-such: No such file or directory"),
        (f"oracle://rosa:one@{PASSWORD}@localhost/x", "The URL of the database has an @ too many"),
        (
            f"oracle://rosa:one@{PASSWORD}/x@localhost/x",
            "The URL of the database has an @ too many",
        ),
        (f"oracle+cx_oracle://rosa:{PASSWORD}@localhost/x", "is not installed: cx_Oracle. Install"),
    ],
)
def test_wrong_database(
    refused, nowhere, direction, *, database_url, problem, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    line = refused(direction, "sql", database_url)
    assert problem in line
    assert PASSWORD not in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("direction", ["import", "export"])
@pytest.mark.parametrize(
    "database_url",
    [
        f"quoting://rosa:{PASSWORD}@localhost/x",
        f"quoting://localhost/x?password=one&{PASSWORD}=two",
        f"quoting://localhost/x?password=one&two={PASSWORD}&two=three",
    ],
)
def test_driver_that_quotes_the_url(refused, nowhere, monkeypatch, direction, database_url):
    """As that of PostgreSQL does with options that it does not know."""
    monkeypatch.setitem(registry.impls, "quoting", lambda: QuotingDialect)
    line = refused(direction, "sql", database_url)
    assert "The database: There is no server for" in line
    assert PASSWORD not in line


def test_group_without_a_name(refused, url, tmp_path):
    """Early quickstarts let it be null."""
    database = Database(f"sqlite:///{tmp_path}/data.db")
    database.execute("DROP TABLE tg_group")
    database.execute("CREATE TABLE tg_group (group_id INTEGER PRIMARY KEY, group_name TEXT)")
    database.execute("INSERT INTO tg_group (group_name) VALUES (NULL)")
    assert "None cannot name a section or an item" in refused("import", "sql", database.url)
    database.close()


def test_user_without_a_name(refused, url, tmp_path):
    database = Database(f"sqlite:///{tmp_path}/data.db")
    database.execute("INSERT INTO tg_group (group_id, group_name) VALUES (1, 'editors')")
    database.execute("DROP TABLE tg_user")
    database.execute("CREATE TABLE tg_user (user_id INTEGER PRIMARY KEY, user_name TEXT)")
    database.execute("INSERT INTO tg_user (user_id, user_name) VALUES (1, NULL)")
    database.execute("INSERT INTO tg_user_group (user_id, group_id) VALUES (1, 1)")
    line = refused("import", "sql", database.url)
    assert line == "Error: the database: 'editors' has an item whose tg_user.user_name is NULL.\n"
    database.close()


@pytest.mark.parametrize("query", ["?namespace=tests"])
def test_what_ends(refused, run, database, groups, staff):
    """The tables cannot say so: it is left out when somebody says that."""
    database.add_users("rosa", "ben", "kim")
    groups.include_item("writers", "kim", until=timedelta(hours=1))
    line = refused("export", "sql", database.url)
    assert "The group 'writers' has members for a time only: 'kim'. Such tables cannot" in line
    assert database.groups == {}
    assert run("export", "sql", database.url, "--only-for-good").exit_code == 0
    assert database.groups == GROUPS
