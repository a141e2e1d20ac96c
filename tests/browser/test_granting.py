import pytest

from repoze.what.plugins.redis.demo.people import fill

pytest.importorskip("playwright", reason="the extra 'browser' is not installed")

PAGES = [
    "Who am I",
    "Newsroom",
    "Write an article",
    "Front page",
    "Subscribers",
    "Payroll",
    "Prize crossword",
    "Groups and permissions",
]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize(
    "names",
    [
        ("kim", "/front-page", "Front page", "editors", "kim"),
        ("ben", "/subscribers", "Subscribers", "see-subscribers", "writers"),
    ],
    ids=["group", "permission"],
)
def test_what_is_granted_in_one_browser_is_seen_at_once_in_another(
    names, scripts, reader, another_chromium
):
    user, path, title, section, item = names
    refusal = f"“{title}” is not for you"
    one = reader(java_script_enabled=scripts)
    one.log_in(user, path)
    one.sees(refusal)
    admin = reader("tomas", another_chromium, java_script_enabled=scripts)
    admin.open("/admin")
    admin.sees("Groups and permissions")
    one.follow("Try again")
    one.sees(refusal)
    admin.add(item, section)
    admin.sees_status(item)
    one.follow("Try again")
    one.sees(title)
    admin.remove(item, section)
    admin.sees_status(f"Now in {section}: ")
    one.page.reload()
    one.sees(refusal)
    one.log_out()
    one.sees("You are a visitor")


def test_the_same_by_keyboard_alone(reader, another_chromium):
    kim, tomas = reader(), reader(browser=another_chromium)
    for person, user, password in ((kim, "kim", "crossword"), (tomas, "tomas", "keyring")):
        person.open("/")
        person.tab_to("link", "Log in")
        person.press("Enter")
        person.sees("Log in")
        person.tab_to("textbox", "User")
        person.write(user)
        assert person.tab() == ("textbox", "Password")
        person.write(password)
        assert person.tab() == ("button", "Log in")
        person.press("Enter")
        person.sees(f"You are {user}")
    kim.tab_to("link", "Front page")
    kim.press("Enter")
    kim.sees("“Front page” is not for you")

    tomas.tab_to("link", "Groups and permissions")
    tomas.press("Enter")
    tomas.sees("Groups and permissions")
    tomas.tab_to("combobox", "To be added to editors")
    tomas.write("kim")
    assert tomas.tab() == ("button", "Add to editors")
    tomas.press("Space")
    tomas.sees_status("Now in editors: kim, rosa.")

    kim.tab_to("link", "Try again")
    kim.press("Enter")
    kim.sees("Front page")

    # Where the change was made, so that there is no long way back.
    assert tomas.tab() == ("button", "Remove kim from editors")
    tomas.press("Enter")
    tomas.sees_status("Now in editors: rosa.")

    kim.tab_to("link", "Front page")
    kim.press("Enter")
    kim.sees("“Front page” is not for you")
    kim.tab_to("button", "Log out")
    kim.press("Enter")
    kim.sees("You are a visitor")


def test_the_order_of_the_tab_stops_is_that_of_reading(reader):
    visitor = reader()
    visitor.open("/login")
    stops = [
        ("link", "Skip to the content"),
        ("link", "Log in"),
        ("link", "The Tideway Gazette"),
        *(("link", title) for title in PAGES),
        ("textbox", "User"),
        ("textbox", "Password"),
        ("button", "Log in"),
    ]
    assert [visitor.tab() for _ in stops] == stops
    assert visitor.tab() is None
    assert visitor.tab() == stops[0]


def test_one_can_skip_to_the_content(reader):
    kim = reader("kim")
    kim.open("/front-page")
    assert kim.tab() == ("link", "Skip to the content")
    kim.press("Enter")
    assert kim.tab() == ("link", "Try again")


def test_after_a_wrong_password_one_is_in_the_field_and_told_what_happened(reader):
    guest = reader()
    guest.log_in("nobody", "/payroll")
    assert guest.page.title().startswith("Not logged in")
    # What was typed need not be typed again.
    user = guest.page.get_by_label("User", exact=True)
    assert user.input_value() == "nobody"
    field = guest.page.locator(":focus")
    assert field.get_attribute("name") == "password"
    description = guest.page.locator(f"#{field.get_attribute('aria-describedby')}")
    assert "password is wrong" in description.inner_text()
    user.fill("mina")
    guest.tab()
    guest.write("ledger")
    guest.press("Enter")
    guest.sees("Payroll")


def test_a_change_is_the_first_that_a_screen_reader_says(reader):
    tomas = reader("tomas")
    tomas.open("/admin")
    tomas.add("kim", "interns")
    tomas.sees_status("Now in interns: kim.")
    assert tomas.page.title().startswith("Now in interns: kim")
    assert tomas.page.locator(":target").get_by_role("heading").inner_text() == "interns"


def test_without_redis_the_start_is_there_and_nobody_is_logged_out(
    reader, stoppable, groups, permissions
):
    mina = reader("mina")
    visitor = reader()
    stoppable.halt()
    visitor.open("/")
    visitor.sees("You are a visitor")
    mina.open("/")
    mina.sees("Your groups are not known now")
    assert "Redis cannot be asked" in mina.page.get_by_role("alert").inner_text()
    mina.open("/subscribers")
    mina.sees("Redis cannot be asked")
    stoppable.resume()
    fill(groups, permissions)
    mina.follow("Open the page again")
    mina.sees("Subscribers")


def test_a_visitor_who_wants_a_page_costs_three_requests(reader, requests):
    visitor = reader()
    visitor.open("/payroll")
    visitor.sees("Log in")
    assert requests == ["/payroll", "/login", "/style.css"]
