"""The pages that are not for everyone, and the predicate that says who may open each."""

from dataclasses import dataclass
from typing import Any

from repoze.what import predicates
from repoze.what.predicates import (
    All,
    Not,
    NotAuthorizedError,
    Predicate,
    has_permission,
    in_any_group,
    in_group,
    is_user,
    not_anonymous,
)


@dataclass(frozen=True)
class Page:
    """A page at *path*, for those who meet *predicate*; *audience* says in words who they are."""

    path: str
    title: str
    audience: str
    text: str
    predicate: Predicate

    def refusal(self, environ: dict[str, Any]) -> str | None:
        """Return why the request may not have this page: the predicate's message.

        `None` is returned where it may.
        """
        try:
            self.predicate.check_authorization(environ)
        except NotAuthorizedError as error:
            return str(error)
        return None


ADMINISTRATION = Page(
    "/admin",
    "Groups and permissions",
    "whoever may manage access",
    "",
    has_permission("manage-access"),
)

PAGES = (
    Page(
        "/newsroom",
        "Newsroom",
        "writers and editors",
        "The ferry is late again, and the mayor has called back. Conference is at ten.",
        in_any_group("writers", "editors"),
    ),
    Page(
        "/article",
        "Write an article",
        "whoever may write articles",
        "A blank sheet. Two thousand words on the harbour wall are due at noon.",
        has_permission("write-articles"),
    ),
    Page(
        "/front-page",
        "Front page",
        "editors, as long as they may publish",
        "“Harbour wall holds”, over five columns. The presses wait for your word.",
        All(in_group("editors"), has_permission("publish")),
    ),
    Page(
        "/subscribers",
        "Subscribers",
        "whoever may see the subscribers",
        "Four thousand and twelve, three of them lighthouse keepers.",
        has_permission("see-subscribers"),
    ),
    Page(
        "/payroll",
        "Payroll",
        "mina, and the admins",
        "Everybody is paid on the last Friday of the month, the cat in kind.",
        predicates.Any(
            is_user("mina"),
            in_group("admins"),
            msg="What people earn is the business of mina and the admins",
        ),
    ),
    Page(
        "/crossword",
        "Prize crossword",
        "readers with an account; the staff may not win",
        "Seven across: it comes and goes, and waits for no one (4).",
        All(
            not_anonymous(),
            Not(
                in_any_group("editors", "writers", "accounts", "admins"),
                msg="Our own staff may not win the prize",
            ),
        ),
    ),
    ADMINISTRATION,
)
