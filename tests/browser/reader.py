"""Somebody who reads the newspaper: a browser's window, driven as a person would."""

import re

# Of the element that has the focus: the width of the ring around it in pixels, whether the ring is
# inside the window, and whether the element is on top there.
_FOCUS = """() => {
    const element = document.activeElement;
    if (element === document.body) return null;
    const {outlineStyle, outlineWidth, outlineOffset} = getComputedStyle(element);
    const ring = outlineStyle === "none" ? 0 : parseFloat(outlineWidth);
    const reach = ring + parseFloat(outlineOffset);
    const box = element.getBoundingClientRect();
    const shown = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return {
        ring,
        isInside: box.top >= reach && box.bottom + reach <= innerHeight
            && box.left >= reach && box.right + reach <= document.documentElement.clientWidth,
        isOnTop: element === shown || element.contains(shown),
    };
}"""


class Reader:
    """Drives *page*, a window of Playwright's, on the site at *address*."""

    def __init__(self, page, address, passwords):
        self.page = page
        self._address = address
        self._passwords = passwords

    def open(self, path):
        self.page.goto(self._address + path)

    def log_in(self, user, path="/login"):
        """Log in at *path*, the form's or one that leads there; who has no password guesses."""
        self.open(path)
        self.page.get_by_label("User", exact=True).fill(user)
        self.page.get_by_label("Password", exact=True).fill(self._passwords.get(user, "guessed"))
        self._click(self.page.get_by_role("button", name="Log in"))

    def log_out(self):
        self._click(self.page.get_by_role("button", name="Log out"))

    def follow(self, link):
        self._click(self.page.get_by_role("main").get_by_role("link", name=link, exact=True))

    def add(self, item, section):
        self.page.get_by_label(f"To be added to {section}").select_option(item)
        self._click(self.page.get_by_role("button", name=f"Add to {section}"))

    def remove(self, item, section):
        self._click(self.page.get_by_role("button", name=f"Remove {item} from {section}"))

    def _click(self, element):
        with self.page.expect_navigation():
            element.click()

    def sees(self, headline):
        """Fail unless the page has this *headline*."""
        assert self.page.get_by_role("heading", level=1).inner_text() == headline

    def sees_status(self, text):
        assert text in self.page.get_by_role("status").inner_text()

    # By keyboard alone

    def write(self, text):
        self.page.keyboard.type(text)

    def press(self, key):
        """Press what leads to another page, or to another place of this one."""
        with self.page.expect_navigation():
            self.page.keyboard.press(key)

    def tab(self):
        """Press Tab, and return the role and name of what has the focus, `None` at the end.

        Whoever looks at the window must see where that is.
        """
        self.page.keyboard.press("Tab")
        focus = self.page.evaluate(_FOCUS)
        if focus is None:
            return None
        role, name = re.match(
            r"- (\w+)(?: \"(.*?)\")?", self.page.locator(":focus").aria_snapshot()
        ).groups()
        assert focus["ring"] >= 2, (role, name)
        assert focus["isInside"], (role, name)
        assert focus["isOnTop"], (role, name)
        return role, name

    def tab_to(self, role, name):
        stops = []
        while (stop := self.tab()) != (role, name):
            assert stop not in stops, f"no {role} {name!r} among {stops}"
            stops.append(stop)
