"""What may come of an operation that something went wrong with."""

from harness.histories import replayed
from harness.operations import (
    AFTER,
    ANSWERS,
    BEFORE,
    LOOKUPS,
    REVIEWS,
    WRITES,
    load_scripts,
    restore,
)
from repoze.what.adapters import SourceError, SourceUnavailable
from repoze.what.plugins.redis import Finding, RedisPermissionAdapter

OPERATIONS = LOOKUPS | WRITES | REVIEWS
KINDS = {"lookup": LOOKUPS, "write": WRITES, "review": REVIEWS}
OUTCOMES = (
    *("answered", "unavailable", "refused"),
    *("nothing written", "unknown: done", "unknown: not done"),
)


def ask(name, adapter):
    """Return what operation *name* returns, and `None`, or `None` and the error that it raises."""
    try:
        return OPERATIONS[name](adapter), None
    except SourceError as error:
        return None, error


class Judge:
    """Looks at a source by a client of its own, and at what an operation on it returned or raised.

    A write that returns is done, once; one that says that nothing was written is not; one whose
    outcome is unknown is done, or it is not, and nothing else.
    """

    def __init__(self, server, options):
        self.client = server.client()
        self.source = RedisPermissionAdapter(server.client(), **options)
        self.has_scripts = False
        self._is_indexed = bool(options)
        self._damage = (
            {Finding("not indexed", "edit", "staff"), Finding("only indexed", "edit", "mallory")}
            if options
            else {Finding("mark beside items", "edit", "")}
        )

    def prepare(self, name, with_scripts=True):
        """Fill the source, with something to find for a review."""
        if with_scripts and not self.has_scripts:
            load_scripts(self.source)
        self.client.flushall()
        restore(self.source)
        if name in REVIEWS:
            self._do_damage()
        self.has_scripts = with_scripts
        if not with_scripts:
            self.client.script_flush()

    def _do_damage(self):
        raw = self.source.db_connection
        if self._is_indexed:
            raw.srem("{tests}:permissions:item:staff", "edit")
            raw.sadd("{tests}:permissions:item:mallory", "edit")
        else:
            raw.sadd("edit", "")

    def outcome(self, name, answer, error):
        """Return which of `OUTCOMES` it is, and fail where it is none."""
        if error is not None:
            assert str(error).startswith(name.removesuffix("_many"))
            assert ": Redis at 127.0.0.1:" in str(error)
            assert error.__cause__ is not None
        if name in WRITES:
            return self._outcome_of_write(name, answer, error)
        if name in REVIEWS:
            self._check_review(name, answer, error)
        else:
            assert error or answer == ANSWERS[name]
            self.check_state(BEFORE)
        if error is None:
            return "answered"
        return "unavailable" if isinstance(error, SourceUnavailable) else "refused"

    def _outcome_of_write(self, name, answer, error):
        if error is None:
            assert answer == ({"edit"} if name in {"remove_item", "rename_item"} else None)
            self.check_state(AFTER[name])
            return "answered"
        if error.written is False:
            self.check_state(BEFORE)
            return "nothing written"
        assert error.written is None
        is_done = self.source.get_all_sections() == AFTER[name]
        self.check_state(AFTER[name] if is_done else BEFORE)
        return "unknown: done" if is_done else "unknown: not done"

    def _check_review(self, name, answer, error):
        left = set(self.source.check())
        assert self.source.get_all_sections() == BEFORE
        assert left <= self._damage
        if name == "check":
            assert left == self._damage
            assert error or set(answer) == left
        elif error is None:
            assert left == set()
            assert set(answer) == self._damage

    def check_state(self, expected):
        """Check that *expected* is what is stored, what is found, and what the history tells."""
        assert self.source.get_all_sections() == expected
        if self._is_indexed:
            assert replayed(self.source.history()) == expected
        assert self.source.check() == []
        for item in ("staff", "admins", "a", "b"):
            held = {section for section, items in expected.items() if item in items}
            assert self.source.find_sections(item) == held
