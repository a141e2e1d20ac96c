import re
import time
from itertools import pairwise
from urllib.parse import quote

import pytest
import redis
from harness import servers
from webtest import Submit, TestApp

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.demo.pages import PAGES
from repoze.what.plugins.redis.demo.people import PASSWORDS, fill
from repoze.what.plugins.redis.demo.site import Site


@pytest.fixture
def browser(newspaper):
    """Return a browser of its own on the site, logged in as a user if one is named."""

    def start(user: str | None = None) -> TestApp:
        app = TestApp(newspaper)
        if user:
            log_in(app, user, PASSWORDS[user])
        return app

    return start


def log_in(app, user, password, path="/login", **kwargs):
    form = next(form for form in app.get(path).forms.values() if form.action == "/login")
    form["login"] = user
    form["password"] = password
    return form.submit(**kwargs)


def row(page, heading):
    """The text of the row of a table that begins with *heading*."""
    for line in page.html.find_all("tr"):
        if line.th.get_text(strip=True) == heading:
            return " ".join(line.get_text(" ", strip=True).split())
    raise AssertionError(f"no row {heading}")


def form_that(page, **values):
    """The form of *page* whose fields have these values."""
    for form in page.forms.values():
        fields = {
            name: field.value_if_submitted() if isinstance(field, Submit) else field.value
            for name, (field, *_) in form.fields.items()
        }
        if values.items() <= fields.items():
            return form
    raise AssertionError(f"no form with {values}")


def change(page, source, change, section, item, **kwargs):
    """Send the form of the administration page that makes this change."""
    fields = {"source": source, "change": change, "section": encoded(section)}
    if change == "exclude":
        return form_that(page, **fields, item=encoded(item)).submit("item", **kwargs)
    form = form_that(page, **fields)
    form["item"] = item
    return form.submit(**kwargs)


def encoded(name):
    return quote(name, safe="", errors="surrogateescape")


# Who am I


def test_a_visitor_is_told_so_and_which_pages_are_whose(browser):
    page = browser().get("/")
    assert page.html.h1.text == "You are a visitor"
    assert "Not logged in" in page.text
    for protected in PAGES:
        assert row(page, protected.title).startswith(f"{protected.title} {protected.audience} No ")


def test_a_user_sees_groups_permissions_and_what_gives_each(browser):
    page = browser("rosa").get("/")
    assert page.html.h1.text == "You are rosa"
    groups = page.html.find(attrs={"aria-labelledby": "groups"}).find_all("li")
    assert [group.text for group in groups] == ["editors", "writers"]
    assert row(page, "publish") == "publish editors"
    assert row(page, "write-articles") == "write-articles editors, writers"
    assert row(page, "Newsroom") == "Newsroom writers and editors Yes"
    assert row(page, "Subscribers").endswith(
        'No The user must have the "see-subscribers" permission.'
    )
    assert row(page, "Prize crossword").endswith("No Our own staff may not win the prize.")


def test_a_user_without_groups_is_told_so(browser):
    page = browser("kim").get("/")
    assert "You are in no group." in page.text
    assert "None of your groups gives you a permission." in page.text
    assert row(page, "Prize crossword").endswith(" Yes")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
@pytest.mark.parametrize("user", PASSWORDS)
def test_the_overview_is_right(user, page, browser):
    app = browser(user)
    overview = row(app.get("/"), page.title)
    answer = app.get(page.path, status="*")
    if answer.status_code == 200:
        assert overview.endswith(" Yes")
        assert answer.html.h1.text == page.title
    else:
        assert answer.status_code == 403
        assert overview.partition(" No ")[2] in answer.html.find(class_="lead").text


# Logging in and out


def test_a_visitor_is_sent_to_the_form_and_back(browser):
    app = browser()
    login = app.get("/payroll?month=5", status=302).follow()
    assert login.request.path == "/login"
    assert "“Payroll” is for mina, and the admins." in login.text
    form = login.form
    form["login"], form["password"] = "mina", "ledger"
    page = form.submit(status=303).follow()
    assert page.request.path_qs == "/payroll?month=5"
    assert page.html.h1.text == "Payroll"


def test_a_wrong_password_is_refused_and_the_target_kept(browser):
    app = browser()
    page = log_in(app, "mina", "wrong", "/login?came_from=/payroll", status=403)
    alert = page.html.find(role="alert")
    assert alert.text.startswith("There is no such user, or the password is wrong.")
    assert page.html.title.text.startswith("Not logged in")
    assert page.html.find(id="login")["aria-describedby"] == alert["id"]
    assert page.form["came_from"].value == "/payroll"
    assert page.form["login"].value == "mina"
    assert page.form["password"].value == ""
    assert "Not logged in" in app.get("/").text


@pytest.mark.parametrize(
    "login",
    [
        "",
        "nobody",
        "ROSA",
        "rosa ",
        "odd!user",
        "rosa!",
        "rosa\x00",
        "rosa\r\nSet-Cookie: a=b",
        "rosa:",
        "röşa",
        "日本",
        "\ud800",
        "r" * 5000,
    ],
)
def test_whoever_has_no_account_is_refused_like_a_wrong_password(login, browser):
    app = browser()
    wrong = log_in(browser(), "rosa", "odd", status=403)
    form = {"login": login.encode("utf-8", "surrogatepass"), "password": b"odd"}
    page = app.post("/login", form, status=403)
    contents = []
    for answer in (page, wrong):
        # What was typed.
        del answer.html.main.find(id="login")["value"]
        contents.append(str(answer.html.main))
    assert contents[0] == contents[1]
    assert set(page.headers) == set(wrong.headers)


def test_what_was_typed_cannot_put_markup_into_the_form(browser):
    typed = '"><script>alert(1)</script>'
    page = log_in(browser(), typed, "wrong", status=403)
    assert page.form["login"].value == typed
    assert not page.html.find_all("script")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"login=%ff&password=%", "application/x-www-form-urlencoded"),
        (b"login=\xff\xfe&&&=;", "application/x-www-form-urlencoded"),
        (b"login", "text/plain"),
        (b"\x00", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="login"; filename="f"\r\n\r\nx\r\n--x--',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_a_malformed_form_is_a_failed_login(body, content_type, browser):
    browser().post("/login", body, content_type=content_type, status=403)


def test_one_does_not_leave_the_site_by_logging_in(browser):
    for elsewhere in ("//evil.example", "http://evil.example/", "/%5Cevil.example", "/%0D%0AX:"):
        app = browser()
        answer = log_in(app, "kim", "crossword", f"/login?came_from={elsewhere}", status=303)
        expected = "/%0d%0a" if elsewhere == "/%0d%0a" else "/"
        assert answer.location in {f"http://localhost:80{expected}", "http://localhost/"}


def test_a_query_that_is_not_utf8_does_no_harm(browser):
    page = browser().get("/login", extra_environ={"QUERY_STRING": "came_from=/\xff%ff&%"})
    assert page.form["came_from"].value == "/"


def test_one_can_log_in_as_somebody_else(browser):
    app = browser("ben")
    log_in(app, "mina", "ledger", status=303)
    assert "You are mina" in app.get("/")


def test_a_failed_login_ends_the_session(browser):
    app = browser("ben")
    page = log_in(app, "mina", "wrong", status=403)
    assert "Not logged in" in page
    assert "You are a visitor" in app.get("/")


def test_logging_out_takes_a_click(browser):
    app = browser("ben")
    app.get("/logout", status=405)
    answer = app.get("/").form.submit(status=303)
    assert answer.location == "http://localhost/"
    assert "You are a visitor" in answer.follow()


def test_logging_out_twice_does_no_harm(browser):
    browser().post("/logout", status=303)


def kept(app):
    """The cookie as somebody has it who has read it on the way, or at the same desk."""
    return app.cookies["gazette_session"].strip('"')


def with_cookie(newspaper, cookie):
    app = TestApp(newspaper)
    app.set_cookie("gazette_session", cookie)
    return app


def test_the_cookie_does_not_outlive_the_logout(browser, newspaper, groups):
    app, other = browser("tomas"), browser("tomas")
    cookie, token = kept(app), app.get("/").form["form_token"].value
    app.get("/").form.submit(status=303)
    thief = with_cookie(newspaper, cookie)
    thief.get("/admin", status=302)
    thief.post("/admin", {**ADD_KIM, "form_token": token}, status=302)
    assert "kim" not in groups.get_section_items("editors")
    assert "You are a visitor" in thief.get("/")
    # Each session has an end of its own.
    other.get("/admin", status=200)


def test_a_renewed_cookie_does_not_outlive_the_logout_either(browser, newspaper, monkeypatch):
    app = browser("ben")
    cookies = [kept(app)]
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 11 * 60)
    app.get("/")
    cookies.append(kept(app))
    assert cookies[0] != cookies[1]
    app.get("/").form.submit(status=303)
    for cookie in cookies:
        assert "You are a visitor" in with_cookie(newspaper, cookie).get("/")


def test_a_session_ends_by_itself(browser, monkeypatch):
    app = browser("ben")
    now = time.time()
    for minutes in range(11, 12 * 60, 11):
        # It is in use all the time, and so renewed.
        monkeypatch.setattr("time.time", lambda minutes=minutes: now + minutes * 60)
        assert "You are a visitor" not in app.get("/")
    monkeypatch.setattr("time.time", lambda: now + 12 * 60 * 60)
    assert "You are a visitor" in app.get("/")
    assert "You are a visitor" not in browser("ben").get("/")
    assert "You are a visitor" in app.get("/")


@pytest.mark.parametrize("password", ["ledger", "wrong"])
def test_the_cookie_does_not_outlive_another_login(password, browser, newspaper):
    app = browser("ben")
    cookie = kept(app)
    log_in(app, "mina", password, status="*")
    assert "You are a visitor" in with_cookie(newspaper, cookie).get("/")


def test_logging_out_is_possible_while_redis_is_not(running_server, htpasswd):
    client = running_server.client()
    groups, permissions = RedisGroupAdapter(client), RedisPermissionAdapter(client)
    fill(groups, permissions)
    app = TestApp(Site(groups, permissions, htpasswd))
    log_in(app, "mina", "ledger")
    cookie = kept(app)
    running_server.halt()
    app.post("/logout", status=303)
    running_server.resume()
    fill(groups, permissions)
    app.set_cookie("gazette_session", cookie)
    app.get("/payroll", status=302)


def test_no_session_is_longer_than_a_working_day(browser, newspaper, monkeypatch):
    app = browser("ben")
    now = time.time()
    for minutes in range(0, 12 * 60, 20):
        monkeypatch.setattr("time.time", lambda minutes=minutes: now + minutes * 60)
        assert "You are ben" in app.get("/")
    monkeypatch.setattr("time.time", lambda: now + 12 * 60 * 60 + 1)
    assert "You are a visitor" in app.get("/")
    # What has ended is forgotten at the next login.
    log_in(app, "ben", "notebook")
    assert "You are ben" in app.get("/")


# Guessing


def test_passwords_cannot_be_guessed_by_trying_many(browser, monkeypatch):
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now)
    session = browser("mina")
    for _ in range(5):
        log_in(browser(), "mina", "wrong", status=403)
    # Not even the right one is looked at.
    answer = log_in(browser(), "mina", "ledger", "/login?came_from=/payroll", status=429)
    assert "five wrong passwords" in answer.html.find(role="alert").text
    assert answer.form["login"].value == "mina"
    assert answer.form["came_from"].value == "/payroll"
    assert answer.headers["Retry-After"] == "60"
    assert "Set-Cookie" not in answer.headers
    # It is of no consequence for others, nor for who is logged in.
    session.get("/payroll", status=200)
    log_in(browser(), "ben", "notebook", status=303)
    monkeypatch.setattr("time.time", lambda: now + 61)
    log_in(browser(), "mina", "ledger", status=303)


def test_whoever_has_no_account_is_slowed_alike(browser):
    for status in [403] * 5 + [429]:
        log_in(browser(), "nobody", "wrong", status=status)


def test_right_passwords_may_be_many(browser):
    for _ in range(3):
        for password in ["wrong"] * 3 + ["ledger"]:
            log_in(browser(), "mina", password, status="*")
        assert "You are mina" in browser("mina").get("/")


# The name of the site


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:8080"])
def test_the_site_is_at_this_machine(host, browser):
    browser().get("/", headers={"Host": host}, status=200)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127x0.0.1",
        "evil.example#localhost",
        "localhost:80@evil.example",
        "localhost@evil.example",
        "localhost:80\n",
    ],
)
def test_a_name_that_was_led_here_gets_nothing(host, browser, groups):
    """DNS rebinding: to the browser, the page of another site is of the same one as this."""
    app = browser("tomas")
    token = app.get("/").form["form_token"].value
    headers = {"Host": host, "Origin": f"http://{host.strip()}"}
    login = {"login": "tomas", "password": "keyring"}
    for answer in (
        app.get("/", headers=headers, status=400),
        app.post("/login", login, headers=headers, status=400),
        app.post("/admin", {**ADD_KIM, "form_token": token}, headers=headers, status=400),
    ):
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "kim" not in groups.get_section_items("editors")


# The cookie


def set_cookies(answer):
    return answer.headers.getall("Set-Cookie")


def test_the_cookie_is_for_this_host_and_not_for_scripts(browser):
    app = browser()
    (cookie,) = set_cookies(log_in(app, "ben", "notebook"))
    attributes = cookie.split("; ")[1:]
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Lax"]


def test_the_cookie_is_deleted_in_the_same_way(browser):
    (cookie,) = set_cookies(browser("ben").get("/").form.submit())
    attributes = cookie.split("; ")[1:]
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=0"} < set(attributes)


def test_sessions_differ(browser):
    cookies = [browser("ben").cookies["gazette_session"] for _ in range(2)]
    assert cookies[0] != cookies[1]


def test_the_cookie_of_another_run_is_worth_nothing(browser, groups, permissions, htpasswd):
    other = TestApp(Site(groups, permissions, htpasswd))
    other.set_cookie("gazette_session", browser("ben").cookies["gazette_session"].strip('"'))
    assert "You are a visitor" in other.get("/")


def test_a_cookie_that_was_changed_is_worth_nothing(browser):
    app = browser("ben")
    cookie = app.cookies["gazette_session"].strip('"')
    assert "ben!" in cookie
    app.reset()
    app.set_cookie("gazette_session", cookie.replace("ben!", "tomas!"))
    assert "You are a visitor" in app.get("/")


def test_the_session_ends_an_hour_after_its_last_renewal(browser, monkeypatch):
    app = browser("ben")
    token = app.get("/").form["form_token"].value
    now = time.time()
    for later, is_renewed in ((60, False), (11 * 60, True), (70 * 60, True)):
        monkeypatch.setattr("time.time", lambda later=later: now + later)
        answer = app.get("/")
        assert "You are ben" in answer
        assert ("Set-Cookie" in answer.headers) == is_renewed
        assert answer.form["form_token"].value == token
    monkeypatch.setattr("time.time", lambda: now + (70 + 61) * 60)
    assert "You are a visitor" in app.get("/")


# Granting and revoking


@pytest.mark.parametrize(
    ("grant", "user", "path"),
    [
        (("groups", "editors", "kim"), "kim", "/front-page"),
        (("permissions", "see-subscribers", "writers"), "ben", "/subscribers"),
    ],
)
def test_a_change_holds_from_the_next_request_on(browser, grant, user, path):
    source, section, item = grant
    admin, other = browser("tomas"), browser(user)
    other.get(path, status=403)
    answer = change(admin.get("/admin"), source, "include", section, item, status=303)
    card = f"{source}-{section}"
    assert answer.location == f"http://localhost/admin?changed={card}#{card}"
    other.get(path, status=200)
    page = answer.follow()
    assert page.html.title.text.startswith(f"Now in {section}: ")
    assert item in page.html.find(id=card).find(role="status").text
    change(page, source, "exclude", section, item, status=303)
    other.get(path, status=403)


def test_a_change_from_a_shell_holds_from_the_next_request_on(browser, groups):
    kim = browser("kim")
    kim.get("/front-page", status=403)
    groups.db_connection.sadd("editors", "kim")
    kim.get("/front-page", status=200)


def test_whoever_gives_the_right_away_has_lost_it(browser):
    admin = browser("tomas")
    change(admin.get("/admin"), "groups", "exclude", "admins", "tomas", status=303)
    page = admin.get("/admin", status=403)
    assert 'The user must have the "manage-access" permission.' in page.html.main.text


def test_the_page_shows_what_is_and_offers_what_is_not(browser, groups):
    groups.include_item("interns", "zoë <b>")
    groups.create_section("Night & day")
    page = browser("tomas").get("/admin")
    editors = form_that(page, source="groups", change="include", section="editors")
    assert [value for value, *_ in editors["item"].options] == ["ben", "kim", "mina", "tomas"]
    interns = page.html.find(id="groups-interns")
    assert "zoë <b>" in interns.li.text
    assert "nobody" in page.html.find(id="groups-Night%20%26%20day").li.text
    publish = form_that(page, source="permissions", change="include", section="publish")
    assert "interns" in [value for value, *_ in publish["item"].options]
    assert "redis-cli -p 1234 -n 1 SADD editors kim" in page.text


def test_nothing_is_offered_to_a_group_of_all(browser, groups):
    groups.set_section_items("interns", PASSWORDS)
    page = browser("tomas").get("/admin")
    assert page.html.find(id="groups-interns").find("select") is None


def test_without_a_command_line_none_is_shown(groups, permissions, htpasswd):
    fill(groups, permissions)
    app = TestApp(Site(groups, permissions, htpasswd))
    log_in(app, "tomas", "keyring")
    assert app.get("/admin").html.pre is None


@pytest.mark.parametrize("name", ["日本 group", "100%2F", "<b>", b"not UTF-8: \xff"])
def test_what_comes_from_a_shell_can_be_removed(name, browser, groups):
    groups.db_connection.sadd(name, "kim", name)
    section = name if isinstance(name, str) else name.decode(errors="surrogateescape")
    browser("kim").get("/", status=200)
    admin = browser("tomas")
    answer = change(admin.get("/admin"), "groups", "exclude", section, section, status=303)
    page = answer.follow(status=200)
    assert page.html.find(role="status").text.endswith(": kim.")
    assert groups.get_section_items(section) == {"kim"}


def test_a_link_to_a_change_that_never_was_says_only_what_is(browser):
    page = browser("tomas").get("/admin?changed=groups-interns")
    assert page.html.find(role="status").text == "Now in interns: nobody."
    page = browser("tomas").get("/admin?changed=groups-<b>")
    assert page.html.find(role="status") is None
    assert page.html.title.text.startswith("Groups and permissions")


@pytest.mark.parametrize(
    ("fields", "meanwhile"),
    [
        (("groups", "include", "editors", "kim"), ("include_item", "editors", "kim")),
        (("groups", "exclude", "editors", "rosa"), ("exclude_item", "editors", "rosa")),
        (("groups", "include", "interns", "kim"), ("delete_section", "interns")),
        (("permissions", "exclude", "publish", "editors"), ("delete_section", "publish")),
    ],
)
def test_what_somebody_else_did_meanwhile_is_reported(
    fields, meanwhile, browser, groups, permissions
):
    page = browser("tomas").get("/admin")
    method, *arguments = meanwhile
    getattr({"groups": groups, "permissions": permissions}[fields[0]], method)(*arguments)
    before = groups.get_all_sections(), permissions.get_all_sections()
    answer = change(page, *fields, status=409)
    assert "Somebody else has changed it" in answer.text
    assert fields[2] in answer.text
    assert (groups.get_all_sections(), permissions.get_all_sections()) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "people"},
        {"change": "delete"},
        {"section": ""},
        {"item": ""},
        {"item": "", "change": "exclude"},
        {"item": "somebody"},
        {"item": "rosa", "source": "permissions", "section": "publish"},
        {"section": None},
        {"item": None},
    ],
)
def test_what_the_forms_do_not_offer_is_refused(fields, browser, groups, permissions):
    before = groups.get_all_sections(), permissions.get_all_sections()
    app = browser("tomas")
    form = {
        "form_token": app.get("/").form["form_token"].value,
        "source": "groups",
        "change": "include",
        "section": "editors",
        "item": "kim",
    } | fields
    page = app.post("/admin", {k: v for k, v in form.items() if v is not None}, status=400)
    assert "Nothing was changed." in page.text
    assert (groups.get_all_sections(), permissions.get_all_sections()) == before


# What other sites send

ADD_KIM = {"source": "groups", "change": "include", "section": "editors", "item": "kim"}


@pytest.mark.parametrize("token", [None, "", "wrong", "\ufffd", "of another session"])
def test_a_change_takes_the_token_of_the_session(token, browser, groups):
    app = browser("tomas")
    if token == "of another session":
        token = browser("tomas").get("/").form["form_token"].value
    fields = ADD_KIM if token is None else {**ADD_KIM, "form_token": token}
    page = app.post("/admin", fields, status=403)
    assert "belongs to another session" in page.text
    assert "kim" not in groups.get_section_items("editors")


def test_logging_out_takes_the_token_of_the_session(browser):
    app = browser("tomas")
    app.post("/logout", {"form_token": "wrong"}, status=403)
    assert "You are tomas" in app.get("/")


@pytest.mark.parametrize("path", ["/login", "/logout", "/admin"])
def test_a_form_on_another_site_is_refused(path, browser, groups):
    app = browser("tomas")
    token = app.get("/").form["form_token"].value
    fields = {**ADD_KIM, "form_token": token, "login": "kim", "password": "crossword"}
    page = app.post(path, fields, headers={"Origin": "http://evil.example"}, status=403)
    assert "on another site" in page.text
    assert "You are tomas" in app.get("/")
    assert "kim" not in groups.get_section_items("editors")


def test_only_those_who_may_can_change_anything(browser, groups):
    app = browser("ben")
    token = app.get("/").form["form_token"].value
    app.post("/admin", {**ADD_KIM, "form_token": token}, status=403)
    browser().post("/admin", ADD_KIM, status=302)
    assert "kim" not in groups.get_section_items("editors")


# Every answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/login", 200),
        ("GET", "/style.css", 200),
        ("GET", "/payroll", 302),
        ("GET", "/nowhere", 404),
        ("GET", "/payroll/", 404),
        ("GET", "/%ff%fe", 404),
        ("GET", "/..%2f..%2fetc/passwd", 404),
        ("GET", "/templates/base.html", 404),
        ("POST", "/", 405),
        ("DELETE", "/admin", 405),
        ("GET", "/logout", 405),
        ("POST", "/login", 403),
        ("HEAD", "/", 200),
    ],
)
def test_every_answer_is_safe_to_show(method, path, status, browser):
    answer = browser().request(path, method=method, status=status)
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["style-src"] == policy["form-action"] == "'self'"
    if method == "HEAD":
        assert answer.body == b""
    if status == 405:
        assert method not in headers["Allow"]
    if status in {404, 405}:
        assert answer.html.main.p.text == answer.status
        assert answer.html.main.find(href="/")
        assert bool(answer.html.main.find(href=path)) == (path in {"/", "/admin"})


def test_the_style_sheet_is_css_and_every_colour_has_a_dark_counterpart(browser):
    style = browser().get("/style.css")
    assert style.content_type == "text/css"
    light, dark = re.findall(r":root {(.*?)}", style.text, re.DOTALL)
    assert "@media screen and (prefers-color-scheme: dark)" in style.text
    colours = re.compile(r"(--[a-z-]+): (#[0-9a-f]{6})")
    assert dict(colours.findall(light)).keys() == dict(colours.findall(dark)).keys()


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "background"),
    [
        *(
            (text, sheet)
            for text in ("ink", "faint", "accent", "yes", "no")
            for sheet in ("paper", "sheet")
        ),
        ("on-accent", "accent"),
    ],
)
def test_text_has_the_contrast_that_wcag_asks_for(scheme, text, background, browser):
    style = browser().get("/style.css").text
    block = re.findall(r":root {(.*?)}", style, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6})", block))
    lighter, darker = sorted((luminance(colours[text]), luminance(colours[background])))[::-1]
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def luminance(colour):
    """The relative luminance of WCAG 2, of a colour in six hexadecimal digits."""
    channels = [value / 255 for value in bytes.fromhex(colour)]
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    ]
    return sum(
        weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
    )


@pytest.mark.parametrize("path", ["/", "/login", "/admin", "/payroll", "/nowhere"])
def test_every_page_is_accessible(path, browser):
    page = browser("tomas").get(path, status="*").html
    assert page.html["lang"] == "en"
    assert page.title.text.strip().endswith("The Tideway Gazette")
    assert len(page.find_all("h1")) == len(page.find_all("main")) == 1
    assert page.header
    assert page.footer
    assert page.nav["aria-label"]
    levels = [int(heading.name[1]) for heading in page.find_all(re.compile("^h[1-6]$"))]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    identifiers = [element["id"] for element in page.find_all(id=True)]
    assert len(identifiers) == len(set(identifiers))
    for element in page.find_all(attrs={"aria-labelledby": True}):
        assert element["aria-labelledby"] in identifiers
    for field in page.find_all(["input", "select"]):
        if field.get("type") != "hidden":
            assert field.get("aria-label") or page.find("label", attrs={"for": field["id"]})
    for button in page.find_all("button"):
        assert button.get("aria-label") or button.text.strip()
    for table in page.find_all("table"):
        assert all(cell.get("scope") for cell in table.find_all("th"))
    assert not page.find_all(["script", "style"])
    assert not page.find_all(style=True)


# Redis in trouble


class PatientConnection(redis.Connection):
    """It waits for replies as long as a test says at the time."""

    seconds = 60

    def send_command(self, *command, **options):
        super().send_command(*command, **options)
        self._sock.settimeout(self.seconds)


@pytest.mark.parametrize(
    "outage",
    [("halt", "resume", "cannot be reached"), ("freeze", "thaw", "did not answer")],
    ids=["halted", "frozen"],
)
def test_without_redis_everybody_is_a_visitor_and_the_pages_say_so(
    outage, running_server, htpasswd, caplog, monkeypatch
):
    stop, start, reason = outage
    pool = redis.ConnectionPool(PatientConnection, host=servers.HOST, port=running_server.port)
    client = redis.Redis(connection_pool=pool)
    groups, permissions = RedisGroupAdapter(client), RedisPermissionAdapter(client)
    fill(groups, permissions)
    app = TestApp(Site(groups, permissions, htpasswd))
    log_in(app, "tomas", "keyring")
    getattr(running_server, stop)()
    # Nothing can come: nobody need wait for it.
    monkeypatch.setattr(PatientConnection, "seconds", 0.01)
    page = app.get("/", status=200)
    assert page.html.h1.text == "Your groups are not known now"
    assert "Redis cannot be asked" in page.html.find(role="alert").text
    # Nothing on the page says that nobody is logged in.
    assert "You are a visitor" not in page.text
    for protected in PAGES:
        assert row(page, protected.title).endswith(" No Not while Redis cannot be asked.")
    assert "Redis cannot be asked" in page.html.nav.text
    for path in ("/payroll", "/crossword", "/admin"):
        page = app.get(path, status=503)
        assert page.html.h1.text == "Redis cannot be asked"
        assert page.html.main.find(href=path)
        assert page.headers["Retry-After"] == "5"
        assert page.headers["Cache-Control"] == "no-store"
    assert caplog.text.count(reason) == 1
    assert "Traceback" not in caplog.text
    getattr(running_server, start)()
    monkeypatch.setattr(PatientConnection, "seconds", 60)
    fill(groups, permissions)
    app.get("/payroll", status=200)


def test_a_file_for_everybody_asks_redis_nothing(newspaper, groups, browser):
    app = browser("tomas")
    groups.db_connection.config_resetstat()
    app.get("/style.css", status=200)
    # Neither are there scripts of ours.
    asked = groups.db_connection.info("commandstats").keys()
    assert asked <= {"cmdstat_config|resetstat", "cmdstat_config", "cmdstat_info"}


def test_without_redis_a_visitor_sees_the_start_and_can_log_in_for_later(running_server, htpasswd):
    client = running_server.client()
    groups, permissions = RedisGroupAdapter(client), RedisPermissionAdapter(client)
    running_server.halt()
    app = TestApp(Site(groups, permissions, htpasswd))
    start = app.get("/", status=200)
    assert start.html.find(role="alert") is None
    login = app.get("/payroll", status=302).follow(status=200)
    login.form["login"], login.form["password"] = "mina", "ledger"
    login.form.submit(status=303).follow(status=503)
    running_server.resume()
    fill(groups, permissions)
    app.get("/payroll", status=200)


def test_a_change_that_redis_refuses_is_reported(running_server, htpasswd, caplog):
    client = running_server.client()
    groups, permissions = RedisGroupAdapter(client), RedisPermissionAdapter(client)
    fill(groups, permissions)
    app = TestApp(Site(groups, permissions, htpasswd))
    log_in(app, "tomas", "keyring")
    page = app.get("/admin")
    client.acl_setuser("default", commands=["-sadd"])
    answer = change(page, "groups", "include", "editors", "kim", status=503)
    assert "look first whether it is done" in answer.html.main.text
    assert answer.html.main.find(href="/admin")
    assert "refused it" in caplog.text
    assert "Traceback" not in caplog.text
    assert groups.get_section_items("editors") == {"rosa"}


def test_a_server_that_refuses_is_like_one_that_is_gone(running_server, htpasswd):
    client = running_server.client()
    groups, permissions = RedisGroupAdapter(client), RedisPermissionAdapter(client)
    fill(groups, permissions)
    app = TestApp(Site(groups, permissions, htpasswd))
    log_in(app, "tomas", "keyring")
    client.config_set("requirepass", "s3cret")
    client.client_kill_filter(_type="normal", skipme=True)
    page = app.get("/payroll", status=503)
    assert "s3cret" not in page.text


def test_a_key_that_is_no_set_breaks_no_page(browser, permissions):
    app = browser("tomas")
    permissions.db_connection.delete("publish")
    permissions.db_connection.set("publish", "text")
    app.get("/", status=200)
    section = app.get("/admin").html.find(attrs={"aria-labelledby": "permissions"})
    names = [heading.text for heading in section.find_all("h3")]
    assert names == ["manage-access", "see-subscribers", "write-articles"]
