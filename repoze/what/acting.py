"""By whom changes are made, and with what note: what a source that keeps a history puts there."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

__all__ = ["ActAsUser", "Acting", "acting", "acting_as"]


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, and why."""

    by: str | None = None
    """Who it is: in a request, its user; `None` where nobody has said it."""
    note: str | None = None
    """What there is to say of it, such as the number of a ticket."""


_NOBODY = Acting()
_acting = ContextVar("repoze.what.acting", default=_NOBODY)


def acting() -> Acting:
    """Return who acts here, in the ``with`` block of `acting_as` or the request that this is of."""
    return _acting.get()


@contextmanager
def acting_as(by: str | bytes | int | None = None, note: str | None = None) -> Iterator[None]:
    """Have the changes that the ``with`` block makes noted as those of *by*.

    It counts for what runs in the block itself. A thread that is started there knows nothing of it.

    :param by: who it is; left out, whoever it is outside of the block.
    :param note: what there is to say of it. A note outside of the block does not count in it.
    :raises TypeError: where *by* is neither text nor bytes nor a number, or *note* no text.
    :raises ValueError: where either is empty.
    """
    if isinstance(by, bool) or not isinstance(by, str | bytes | int | None):
        raise TypeError(f"by is the id of a user, not an object of type {type(by).__name__}")
    if not isinstance(note, str | None):
        raise TypeError(f"note is text, not an object of type {type(note).__name__}")
    for name, value in (("by", by), ("note", note)):
        # Bytes are not compared with text, which may raise a `BytesWarning`.
        if isinstance(value, str | bytes) and not value:
            raise ValueError(f"{name} is empty: leave it out")
    outside = acting().by
    token = _acting.set(Acting(outside if by is None else _text(by), note))
    try:
        yield
    finally:
        _acting.reset(token)


def _text(user: object) -> str:
    return user.decode("utf-8", "surrogateescape") if isinstance(user, bytes) else str(user)


class ActAsUser:
    """A WSGI application in which the user of each request acts.

    `~repoze.what.middleware.setup_auth` has it around its application. Put it around one that
    another middleware logs users in for, inside of that.

    Each request has a context of its own: a copy of that in which the server calls. In it, and
    nowhere else, the application is called, is asked for each chunk of its answer, and is closed.
    So what a request sets in a ``contextvars.ContextVar`` ends with it. A thread that the
    application starts does not have that context.

    :param app: the application.
    :param remote_user_key: where in a request's environment its user is.
    """

    def __init__(self, app: Callable[..., Any], remote_user_key: str = "REMOTE_USER") -> None:
        self._app = app
        self._remote_user_key = remote_user_key

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer the request as the application does."""
        user = environ.get(self._remote_user_key)
        context = copy_context()
        # Of a visitor, whoever acts outside of the request has done nothing.
        context.run(_acting.set, Acting(None if user is None else _text(user) or None))
        started: list[object] = []

        def start(*arguments: Any, **keywords: Any) -> Any:
            started.append(arguments)
            return start_response(*arguments, **keywords)

        answer = context.run(self._app, environ, start)
        # Of these, nothing of the application's runs later; and servers look at what they are.
        if isinstance(answer, list | tuple) or _is_file(answer, environ):
            return answer
        return _Chunks(answer, context, is_started=bool(started))


def _is_file(answer: object, environ: dict[str, Any]) -> bool:
    file_wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(file_wrapper, type) and isinstance(answer, file_wrapper)


class _Chunks:
    """The *answer* of an application, which runs in *context* alone.

    :param is_started: whether the application has called ``start_response``. Where it has not, it
        does before its first chunk, which is asked for here: repoze.who's middleware would ask for
        it, too, and then not close the application if the rest is not wanted.
    """

    def __init__(self, answer: Iterable[bytes], context: Context, *, is_started: bool) -> None:
        self._answer = answer
        self._context = context
        self._chunks = context.run(iter, answer)
        self._first: list[bytes] = []
        if not is_started:
            try:
                self._first = [self._next()]
            except StopIteration:
                pass
            except BaseException:
                # Nobody else can: the server never sees it.
                self.close()
                raise

    def __iter__(self) -> "_Chunks":
        return self

    def __next__(self) -> bytes:
        return self._first.pop() if self._first else self._next()

    def _next(self) -> bytes:
        return self._context.run(next, self._chunks)

    def close(self) -> None:
        """Close the application."""
        close = getattr(self._answer, "close", None)
        if close is not None:
            self._context.run(close)
