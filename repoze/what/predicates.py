"""Predicates: conditions on a request and its user that must be met for it to be allowed.

A predicate is made once, often at the top of a module, and shared by all threads: nothing that
belongs to one request is kept on it.
"""

# Predicates are named as what they say, `in_group("admins")`; `evaluate` is described, with all
# that it is given, in the base class.
# ruff: noqa: ARG002, D102, N801

import re
import typing
import warnings
from collections.abc import Collection, Mapping, Set
from inspect import isasyncgen, isawaitable, isgenerator, isgeneratorfunction
from uuid import UUID

from webob.multidict import MultiDict

from .adapters import is_asynchronous
from .forms import UnclearFormError, read_form, read_query
from .printable import printable

__all__ = [
    "All",
    "Any",
    "CompoundPredicate",
    "Not",
    "NotAuthorizedError",
    "Predicate",
    "PredicateError",
    "UnclearRequestError",
    "Variables",
    "has_all_permissions",
    "has_any_permission",
    "has_permission",
    "in_all_groups",
    "in_any_group",
    "in_group",
    "is_anonymous",
    "is_user",
    "not_anonymous",
]

_Environ: typing.TypeAlias = dict[str, typing.Any]
_Credentials: typing.TypeAlias = Mapping[str, object]

# A width has two digits at most, or whoever writes one could ask for 100 MB.
_PLACEHOLDER = re.compile(r"%%|%\(\w+\)[-#0 +]*\d{0,2}(\.\d{0,2})?[a-zA-Z]", re.ASCII)


class PredicateError(Exception):
    """What the errors of predicates have in common."""


class NotAuthorizedError(PredicateError):
    """A predicate is not met; its text is the predicate's message, filled in."""


class UnclearRequestError(NotAuthorizedError):
    """What a predicate has to know cannot be read for certain, so no predicate is met.

    Inside a `Not` a refusal is a permission: `Not`, `All` and `Any` let this one through. So has
    every predicate that catches the refusals of others.
    """


class Predicate:
    """What every predicate is made from. A subclass has a ``message`` and ``evaluate``.

    :param msg: the message of this instance, in place of its class's.

    A message says what the condition is ("The current month must be %(right_month)s"), not what
    went wrong. It is a ``str`` or anything whose ``str()`` is the text, such as a lazily
    translated one. Its placeholders are filled from the predicate's attributes and from what is
    given to `unmet`. Text that a user wrote is given as one of these, and is no part of a message.
    """

    message: object = "The predicate is not met"

    def __init_subclass__(cls, **options: typing.Any) -> None:
        super().__init_subclass__(**options)
        for name in ("evaluate", "_eval_with_environ"):
            method = getattr(cls, name)
            if is_asynchronous(method) or isgeneratorfunction(method):
                raise TypeError(
                    f"{cls.__name__}.{name} is a coroutine or a generator: nobody would wait for "
                    "it, so it would refuse nobody"
                )

    def __init__(self, msg: object = None) -> None:
        if msg is not None:
            self.message = msg

    def evaluate(self, environ: _Environ, credentials: _Credentials) -> None:
        """Call `unmet` if the condition does not hold; a subclass says how that is known.

        What it returns is no decision: anything but None or True is a `TypeError`, and so is a
        coroutine, which nobody would await, in the place of this method.

        :param environ: the WSGI environment of the request.
        :param credentials: what the middleware found out about the user: ``repoze.what.userid``,
            ``groups`` and ``permissions``; empty when nobody is logged in.
        :raises NotAuthorizedError: through `unmet`.
        """
        is_met = self._eval_with_environ(environ)
        _refuse_unfinished(self, is_met)
        warnings.warn(
            f"{type(self).__name__}: define evaluate(environ, credentials) "
            "instead of _eval_with_environ(environ)",
            DeprecationWarning,
            stacklevel=2,
        )
        if not is_met:
            self.unmet()

    def _eval_with_environ(self, environ: _Environ) -> bool:
        """Return whether the condition holds; what predicates of 2008 define, deprecated."""
        raise NotImplementedError(f"{type(self).__name__} does not define evaluate()")

    def unmet(self, msg: object = None, **placeholders: object) -> typing.NoReturn:
        """Raise `NotAuthorizedError`.

        :param msg: the message this once, in place of the predicate's. Only ``placeholders`` fill
            it, for what a user wrote may be in it, and must not show an attribute.
        :param placeholders: values for the message's placeholders, on top of the attributes.
        """
        if msg is None:
            text = _filled(str(self.message), {**vars(self), **placeholders})
        else:
            text = _filled(str(msg), placeholders)
        raise NotAuthorizedError(text)

    def check_authorization(self, environ: _Environ) -> None:
        """Return if the predicate is met in this request; the decision is logged.

        :raises NotAuthorizedError: if it is not.
        """
        logger = environ.get("repoze.who.logger")
        try:
            self._evaluate_request(environ)
        except PredicateError as error:
            if logger is not None:
                logger.info(f"Authorization denied: {printable(str(error))}")
            raise
        if logger is not None:
            logger.info("Authorization granted")

    def is_met(self, environ: _Environ) -> bool:
        """Return whether the predicate is met in this request."""
        try:
            self._evaluate_request(environ)
        except PredicateError:
            return False
        return True

    def _evaluate_request(self, environ: _Environ) -> None:
        credentials = environ.get("repoze.what.credentials")
        if credentials is None:
            credentials = {}
        # Odd ones meet no predicate, not even one that does not look at them.
        _user_id(credentials)
        _names(credentials, "groups")
        _names(credentials, "permissions")
        _evaluate(self, environ, credentials)

    def parse_variables(self, environ: _Environ) -> dict[str, typing.Any]:
        """Return what is asked for in the request, as a dict of four.

        ``get`` and ``post``: the variables of the query and of the form, each a `Variables`.
        ``positional_args`` and ``named_args``: a tuple and a dict, what a dispatcher found in the
        path, according to the ``wsgiorg.routing_args`` specification.

        The application can still read the request's body, from its beginning.

        :raises UnclearRequestError: if the application could read another query or form.
        """
        positional, named = environ.get("wsgiorg.routing_args") or ((), {})
        try:
            query, form = Variables(read_query(environ)), Variables(read_form(environ))
        except UnclearFormError as error:
            raise UnclearRequestError(str(error)) from None
        query.rival, form.rival = form, query
        return {
            "get": query,
            "post": form,
            "positional_args": tuple(positional),
            "named_args": dict(named),
        }

    def __bool__(self) -> bool:
        raise TypeError(
            f"{type(self).__name__} is neither true nor false by itself: use is_met(environ)"
        )


class Variables(MultiDict[str, typing.Any]):
    """The variables of a request's query or form: a `webob.multidict.MultiDict`.

    Of several values, an application takes the first or the last, that of the query or that of the
    form. So where a name has two different ones, in query and form together, ``[]``, ``get``,
    ``getone``, ``pop``, ``popitem``, ``setdefault`` and ``==`` raise `UnclearRequestError`. What
    returns all values, as ``getall``, ``mixed`` and ``items`` do, goes on doing so; ``mixed``
    raises it where only the other of the two has another value.
    """

    __hash__ = None  # type: ignore[assignment]
    rival: MultiDict[str, typing.Any] = MultiDict()

    def __getitem__(self, name: str) -> typing.Any:
        values = self.getall(name)
        if not values:
            raise KeyError(name)
        if any(value != values[0] for value in (*values, *self.rival.getall(name))):
            raise UnclearRequestError(f"The request has several values of {name!r}")
        return values[0]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MultiDict):
            return list(self.items()) == list(other.items())
        return dict(self) == other

    def getone(self, name: str) -> typing.Any:
        return self[name]

    def pop(self, name: str, *default: typing.Any) -> typing.Any:
        if name not in self:
            return super().pop(name, *default)
        value = self[name]
        del self[name]
        return value

    def popitem(self) -> tuple[str, typing.Any]:
        names = list(self.keys())
        return (names[-1], self.pop(names[-1])) if names else super().popitem()

    def mixed(self) -> dict[str, typing.Any]:
        return {
            name: values if isinstance(values, list) else self[name]
            for name, values in super().mixed().items()
        }

    def setdefault(self, name: str, default: typing.Any = None) -> typing.Any:
        return self[name] if name in self else super().setdefault(name, default)

    def copy(self) -> "Variables":
        copied = Variables(self)
        copied.rival = self.rival
        return copied


class CompoundPredicate(Predicate):
    """A predicate made of others, which are its ``predicates``."""

    def __init__(self, *predicates: Predicate, msg: object = None) -> None:
        super().__init__(msg)
        for predicate in predicates:
            _check_predicate(predicate)
        self.predicates = predicates


class Not(Predicate):
    """The other predicate must not be met."""

    message = "The condition must not be met"

    def __init__(self, predicate: Predicate, *, msg: object = None) -> None:
        super().__init__(msg)
        _check_predicate(predicate)
        self.predicate = predicate

    def evaluate(self, environ: _Environ, credentials: _Credentials) -> None:
        if _refusal(self.predicate, environ, credentials) is None:
            self.unmet()


class All(CompoundPredicate):
    """Every one of the predicates must be met; if there are none, it is met.

    Without a message of its own it gives that of the first that is not.
    """

    message = None

    def evaluate(self, environ: _Environ, credentials: _Credentials) -> None:
        try:
            for predicate in self.predicates:
                _evaluate(predicate, environ, credentials)
        except UnclearRequestError:
            raise
        except PredicateError:
            if self.message is None:
                raise
            self.unmet()


class Any(CompoundPredicate):
    """At least one of the predicates must be met.

    In its message, ``%(failed_predicates)s`` are the messages of all of them.
    """

    message = "At least one of the following predicates must be met: %(failed_predicates)s"

    def evaluate(self, environ: _Environ, credentials: _Credentials) -> None:
        refusals = []
        for predicate in self.predicates:
            refusal = _refusal(predicate, environ, credentials)
            if refusal is None:
                return
            refusals.append(refusal)
        self.unmet(failed_predicates=", ".join(refusals))


class is_user(Predicate):
    """The user must be the one with this user id."""

    message = 'The current user must be "%(user_name)s"'

    def __init__(self, user_name: object, *, msg: object = None) -> None:
        super().__init__(msg)
        _check_name(user_name)
        self.user_name = user_name

    def evaluate(self, environ: _Environ, credentials: _Credentials) -> None:
        user_id = _user_id(credentials)
        if user_id is None or user_id != self.user_name:
            self.unmet()


class in_group(Predicate):
    """The user must be in the group."""

    message = 'The current user must belong to the group "%(group_name)s"'

    def __init__(self, group_name: str, *, msg: object = None) -> None:
        super().__init__(msg)
        _check_name(group_name)
        self.group_name = group_name

    def evaluate(self, environ: _Environ, credentials: _Credentials) -> None:
        if self.group_name not in _names(credentials, "groups"):
            self.unmet()


class in_all_groups(All):
    """The user must be in every one of the groups."""

    def __init__(self, *groups: str, msg: object = None) -> None:
        super().__init__(*map(in_group, groups), msg=msg)


class in_any_group(Any):
    """The user must be in at least one of the groups."""

    message = "The member must belong to at least one of the following groups: %(group_list)s"

    def __init__(self, *groups: str, msg: object = None) -> None:
        super().__init__(*map(in_group, groups), msg=msg)
        self.group_list = ", ".join(groups)


class is_anonymous(Predicate):
    """Nobody must be logged in."""

    message = "The current user must be anonymous"

    def evaluate(self, environ: _Environ, credentials: _Credentials) -> None:
        if _user_id(credentials) is not None:
            self.unmet()


class not_anonymous(Predicate):
    """Somebody must be logged in."""

    message = "The current user must have been authenticated"

    def evaluate(self, environ: _Environ, credentials: _Credentials) -> None:
        if _user_id(credentials) is None:
            self.unmet()


class has_permission(Predicate):
    """One of the user's groups must have the permission."""

    message = 'The user must have the "%(permission_name)s" permission'

    def __init__(self, permission_name: str, *, msg: object = None) -> None:
        super().__init__(msg)
        _check_name(permission_name)
        self.permission_name = permission_name

    def evaluate(self, environ: _Environ, credentials: _Credentials) -> None:
        if self.permission_name not in _names(credentials, "permissions"):
            self.unmet()


class has_all_permissions(All):
    """The user must have every one of the permissions."""

    def __init__(self, *permissions: str, msg: object = None) -> None:
        super().__init__(*map(has_permission, permissions), msg=msg)


class has_any_permission(Any):
    """The user must have at least one of the permissions."""

    message = "The user must have at least one of the following permissions: %(permission_list)s"

    def __init__(self, *permissions: str, msg: object = None) -> None:
        super().__init__(*map(has_permission, permissions), msg=msg)
        self.permission_list = ", ".join(permissions)


def _check_predicate(predicate: object) -> None:
    if not isinstance(predicate, Predicate):
        raise TypeError(f"A predicate of repoze.what is wanted, not {predicate!r}")


def _check_name(name: object) -> None:
    # Nobody has a list or bytes for a name, so that a `Not` would let everybody in.
    if isinstance(name, Collection) and not isinstance(name, str):
        raise TypeError(f"One name is wanted, as text, not {name!r}")


def _filled(message: str, values: Mapping[str, object]) -> str:
    """Return *message* with its placeholders filled.

    What cannot be filled stays as it is: a slip must not turn a refusal into another error.
    """

    def fill(found: re.Match[str]) -> str:
        try:
            return found[0] % values
        except (KeyError, OverflowError, TypeError, ValueError):
            return found[0]

    return _PLACEHOLDER.sub(fill, message)


def _evaluate(predicate: Predicate, environ: _Environ, credentials: _Credentials) -> None:
    """Have *predicate* evaluated.

    :raises TypeError: if it has not been, or has returned another decision than raising.
    """
    returned: object = predicate.evaluate(environ, credentials)  # type: ignore[func-returns-value]
    if returned is not None and returned is not True:
        _refuse_unfinished(predicate, returned)
        raise TypeError(
            f"{type(predicate).__name__}.evaluate refuses by unmet(), not by what it returns"
        )


def _refuse_unfinished(predicate: Predicate, returned: object) -> None:
    if isawaitable(returned) or isgenerator(returned) or isasyncgen(returned):
        close = getattr(returned, "close", None)
        if close is not None:
            # Python would warn that nobody has awaited it.
            close()
        raise TypeError(
            f"{type(predicate).__name__} is evaluated by a coroutine, which nobody awaits"
        )


def _refusal(predicate: Predicate, environ: _Environ, credentials: _Credentials) -> str | None:
    try:
        _evaluate(predicate, environ, credentials)
    except UnclearRequestError:
        raise
    except PredicateError as error:
        return str(error)
    return None


def _user_id(credentials: _Credentials | None) -> object:
    user_id = _credential(credentials, "repoze.what.userid")
    if user_id is None:
        return None
    if not _is_name(user_id):
        raise UnclearRequestError("The user id is no name")
    return None if user_id == "" else user_id


def _names(credentials: _Credentials | None, kind: str) -> Collection[object]:
    """Return the names of groups or permissions.

    A string is none of the collections that they can be: "admin" is in "sysadmins".
    """
    names = _credential(credentials, kind)
    if names is None:
        return ()
    if not isinstance(names, (tuple, list, Set)) or not all(map(_is_name, names)):
        raise UnclearRequestError(f"The {kind} are no collection of names")
    return names


def _credential(credentials: _Credentials | None, name: str) -> object:
    # `evaluate` is called from outside too, with what lies in the environment: None is anonymous.
    if credentials is None:
        return None
    if not isinstance(credentials, Mapping):
        raise UnclearRequestError("The credentials are no mapping")
    return credentials.get(name)


def _is_name(value: object) -> bool:
    # The bytes of a text would not be equal to it, and so meet a `Not`.
    # Nor would a coroutine, a class, or whatever else is equal to no name.
    return isinstance(value, (str, int, UUID)) and not isinstance(value, bool)
