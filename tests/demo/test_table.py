import pytest

from repoze.what.plugins.redis.demo import DemoError
from repoze.what.plugins.redis.demo.pages import PAGES
from repoze.what.plugins.redis.demo.people import PASSWORDS
from repoze.what.plugins.redis.demo.table import VISITOR, aligned, ask, table
from repoze.what.plugins.redis.demo.web_server import serving

PATHS = ["/", *(page.path for page in PAGES)]


def audiences(groups: dict[str, set[str]], permissions: dict[str, set[str]]):
    """Who should be let in where, by the rules of the site but not by its predicates."""

    def have(permission):
        return set().union(*(groups[group] for group in permissions[permission]))

    staff = set().union(*(groups[name] for name in ("editors", "writers", "accounts", "admins")))
    return {
        "/": {*PASSWORDS, VISITOR},
        "/newsroom": groups["writers"] | groups["editors"],
        "/article": have("write-articles"),
        "/front-page": groups["editors"] & have("publish"),
        "/subscribers": have("see-subscribers"),
        "/payroll": {"mina"} | groups["admins"],
        "/crossword": PASSWORDS.keys() - staff,
        "/admin": have("manage-access"),
    }


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [("groups", "SADD", "editors", "kim"), ("groups", "SREM", "editors", "rosa")],
        [("permissions", "SADD", "publish", "writers"), ("groups", "SADD", "editors", "ben")],
        [("permissions", "SREM", "publish", "editors")],
        [("groups", "SREM", "admins", "tomas"), ("groups", "SREM", "writers", "rosa", "ben")],
    ],
)
def test_the_site_lets_in_whom_redis_says(changes, newspaper, groups, permissions):
    for source, *command in changes:
        adapter = {"groups": groups, "permissions": permissions}[source]
        adapter.db_connection.execute_command(*command)
    expected = audiences(
        {"admins": set(), "writers": set()} | groups.get_all_sections(),
        {"publish": set()} | permissions.get_all_sections(),
    )
    with serving(newspaper, 0) as port:
        answers = ask(port, PASSWORDS, PATHS)
    assert answers == {
        (path, user): "yes" if user in expected[path] else ("log in" if user == VISITOR else "no")
        for path in PATHS
        for user in (VISITOR, *PASSWORDS)
    }


def test_a_user_who_cannot_log_in_is_reported(newspaper):
    with (
        serving(newspaper, 0) as port,
        pytest.raises(DemoError, match="403 when rosa logged in"),
    ):
        ask(port, {"rosa": "wrong"}, PATHS)


def test_an_answer_that_is_neither_yes_nor_no_is_reported(newspaper):
    with serving(newspaper, 0) as port, pytest.raises(DemoError, match="404 when visitor asked"):
        ask(port, PASSWORDS, ["/nowhere"])


def test_a_site_that_is_gone_is_reported(newspaper):
    with serving(newspaper, 0) as port:
        pass
    with pytest.raises(DemoError, match="does not answer"):
        ask(port, PASSWORDS, PATHS)


def test_the_table_has_a_row_a_path_and_a_column_a_user():
    answers = {
        ("/", "visitor"): "yes",
        ("/", "ben"): "yes",
        ("/payroll", "visitor"): "log in",
        ("/payroll", "ben"): "no",
    }
    assert table(answers) == [
        "             visitor   ben",
        "  /          yes       yes",
        "  /payroll   log in    no",
    ]


def test_cells_are_aligned():
    assert aligned([("a", "bbb"), ("cc", "")]) == ["  a    bbb", "  cc"]
