"""What went wrong at the server, told as an error of the source."""

import errno
import re
import ssl
from collections.abc import Iterator
from queue import Empty
from typing import NamedTuple, TypeGuard

import redis
from redis.sentinel import MasterNotFoundError, SlaveNotFoundError

from repoze.what.adapters import SourceError, SourceUnavailable
from repoze.what.plugins.redis.names import listed

# redis-py takes the code word off the text of the errors that it has a class for.
_CODE_WORDS = {
    redis.exceptions.NoScriptError: "NOSCRIPT",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.AuthenticationError: "NOAUTH",
    redis.exceptions.AuthorizationError: "NOPERM",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
    redis.exceptions.TryAgainError: "TRYAGAIN",
    redis.exceptions.MovedError: "MOVED",
    redis.exceptions.AskError: "ASK",
    redis.exceptions.ClusterCrossSlotError: "CROSSSLOT",
}
# Redis 6.2 wraps what a command inside a script was refused with.
_CODE_WORD = re.compile(r"(?:(?:ERR )?Error running script .*?: -?)?([A-Z]+) ", re.DOTALL)

_NOT_SERVING = frozenset(
    (
        *("ASK", "BUSY", "CLUSTERDOWN", "FORGOTTEN", "LOADING", "MASTERDOWN", "MOVED"),
        *("NOT HERE", "TRYAGAIN"),
    )
)
_BEING_MOVED = "Keys of the source are being moved to another node; try again."
_ADVICE = {
    "ASK": _BEING_MOVED,
    "BUSY": "A script runs there for too long; SCRIPT KILL may end it.",
    "LOADING": "It is loading its data; try again when it has.",
    "CLUSTERDOWN": "Part of the cluster is down; try again when it is up.",
    "EXHAUSTED": (
        "The stream of the history takes no more entries. Rename or delete its key, or give the "
        "adapter history=0."
    ),
    "INCONSISTENT": "See what check() finds.",
    "MASTERDOWN": "It is a replica that has lost its primary.",
    "MISCONF": "It cannot save to disk; see its log.",
    "MOVED": _BEING_MOVED,
    "NEWER": "Upgrade repoze.what.plugins.redis.",
    "NOAUTH": "Check the user name and the password of the client.",
    "NOPERM": (
        "Permit the command and the key, and on Valkey the database, to the client's user in the "
        "server's ACL."
    ),
    "NOT HERE": _BEING_MOVED,
    "NOREPLICAS": "Too few of its replicas are connected for its min-replicas-to-write.",
    "OOM": "Raise its maxmemory, or free some memory.",
    "READONLY": "It is a replica; give the adapter a client of the primary.",
    "TRYAGAIN": _BEING_MOVED,
    "WRONGTYPE": "Rename or remove that key; check() finds it.",
}
# What a script is told without a code word: of a stream that has given its last id, of a key whose
# slot is being moved, and of what the server's ACL does not permit, by Valkey and Redis 8, and by
# Redis 6.2 and 7.0. Their wording differs but for these phrases.
_PHRASES = {
    "exhausted the last possible ID": "EXHAUSTED",
    "access a non local key": "NOT HERE",
    "ACL failure in script": "NOPERM",
    "executing the script can't ": "NOPERM",
}
# By what an error says of a write.
_OUTCOMES = {
    False: "Nothing was written.",
    None: "The outcome is unknown: look at what is stored before you try again.",
}
# Where an error quotes a command that is unknown there, or bytes that are no reply: in both may be
# what the client has said of itself.
_QUOTATION = re.compile(r", with args beginning with.*|(?<=Protocol Error): .*", re.DOTALL | re.I)
# What redis-py says of itself, and what carries it.
_OF_TALKING = (redis.RedisError, redis.exceptions.RedisClusterException, OSError)
# What redis-py's parsers, and what is made of what they return, say of bytes that make no sense.
_NONSENSE = frozenset(
    (
        *(AttributeError, IndexError, KeyError, MemoryError, OverflowError, RecursionError),
        *(TypeError, UnicodeDecodeError, UnicodeEncodeError, UnicodeError, ValueError),
    )
)
_TOO_MANY_FILES = frozenset((errno.EMFILE, errno.ENFILE))
_UNKNOWN_TO_SENTINEL = (MasterNotFoundError, SlaveNotFoundError)
# Redis tells at length what HELLO can do, rather than that a password is missing.
_WITHOUT_PASSWORD = ("Authentication required", "HELLO must be called")
_NO_DATABASES = "SELECT is not allowed in cluster mode"
# A node of a cluster of Valkey says this, too.
_NO_SUCH_DATABASE = "DB index is out of range"


def is_of_talking(error: BaseException) -> TypeGuard[Exception]:
    """Whether *error* is of talking to a server: of a connection, a refusal, or nonsense.

    Any other is the application's: the time limit of a job for example, which a signal's handler
    raises in the middle of what is done here. It may descend from one of those that mean nonsense.
    """
    return isinstance(error, _OF_TALKING) or type(error) in _NONSENSE


def code_word(error: Exception) -> str | None:
    """Return the word that an error reply of the server begins with, such as ``WRONGTYPE``.

    `None` is returned where *error* is not such a reply, or has no code word.
    """
    for known, word in _CODE_WORDS.items():
        if isinstance(error, known):
            return word
    if not isinstance(error, redis.ResponseError):
        return None
    for phrase, word in _PHRASES.items():
        if phrase in str(error):
            return word
    match = _CODE_WORD.match(str(error))
    return match and match[1]


def is_reply(error: Exception) -> bool:
    """Whether *error* is what the server answered, so that no reply is to come.

    No script of ours has then written anything: each makes sure that it may before it does.
    """
    return (
        isinstance(error, redis.ResponseError)
        or code_word(error) is not None
        # What redis-py makes of a READONLY from what Sentinel called the primary.
        or isinstance(error.__context__, redis.exceptions.ReadOnlyError)
    )


def is_lost_connection(error: Exception) -> bool:
    """Whether *error* says that a connection was gone or could not be made.

    The subclasses of redis-py's `ConnectionError` say something else, and so does an exhausted
    pool, which only the error that it arose from tells apart.
    """
    return type(error) is redis.ConnectionError and not is_exhausted_pool(error)


def is_exhausted_pool(error: Exception) -> bool:
    """Whether *error* is a connection pool's that has no connection left."""
    return isinstance(error, redis.ConnectionError) and isinstance(
        error.__context__, Empty | IndexError
    )


def _with_contexts(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error*, then what it arose from, then what that did."""
    while error is not None:
        yield error
        error = error.__context__


def _is_of_tls(error: BaseException) -> bool:
    """Whether *error* arose from one of TLS."""
    return any(isinstance(each, ssl.SSLError) for each in _with_contexts(error))


def _is_of_handshake(error: BaseException) -> bool:
    """Whether *error* arose from a handshake of TLS that the server did not take part in."""
    return any("handshake operation" in str(each) for each in _with_contexts(error))


def _has_hung_up(error: BaseException) -> bool:
    """Whether *error* is that of a connection which was made, and which the server then closed."""
    return "closed by server" in str(error) or any(
        isinstance(each, ConnectionResetError | BrokenPipeError) for each in _with_contexts(error)
    )


def forget_context(error: BaseException, handled: BaseException | None) -> None:
    """Let *error* not have arisen from *handled*, which the application is handling as it asks.

    What redis-py's errors arose from says what they are about. Python lets them arise from that,
    too, and reminds of it again when the error of the source is raised.
    """
    for each in _with_contexts(error):
        if each.__context__ is handled:
            each.__context__ = None


def without_secrets(error: Exception) -> Exception:
    """Return *error*, or one of its class that does not quote what was sent, passwords included."""
    if isinstance(error, _UNKNOWN_TO_SENTINEL):
        # They name the Sentinels with all that these are asked with.
        return type(error)()
    if type(error) in _NONSENSE:
        return redis.InvalidResponse(type(error).__name__)
    text = text_of(error)
    return error if text == str(error) else type(error)(text)


def hide_password(error: redis.RedisError, password: str) -> None:
    """Have `text_of` leave *password* out of what *error* says: some proxies send all back."""
    if password and password in str(error):
        error.without_password = str(error).replace(password, "***")  # type: ignore[attr-defined]


def text_of(error: Exception) -> str:
    """Return what *error* says, but for what it quotes of what was sent."""
    if type(error) in _NONSENSE:
        # As of what is no number: all that came.
        return "it cannot be read"
    return _QUOTATION.sub("", getattr(error, "without_password", str(error)))


class Operation(NamedTuple):
    """What was asked of which server, for people to read: *operation* on *names*."""

    name: str
    names: tuple[bytes, ...] = ()
    is_write: bool = False
    is_in_parts: bool = False
    """Whether it writes step by step, so that a part may be done where it fails."""

    def __str__(self) -> str:
        return f"{self.name}({listed(self.names)})"


def source_error(
    error: Exception,
    operation: Operation,
    server: object,
    *,
    lost_reply: bool,
    follows_slot: bool = False,
) -> SourceError:
    """Return the error to raise from *error*, which *operation* met at *server*.

    :param lost_reply: whether something was sent whose reply never came: nobody knows then what
        became of a write.
    :param follows_slot: whether it was asked as one of a cluster, by what goes where a slot goes.
    """
    unavailable = True
    told = text_of(error)
    if code_word(error) is not None or isinstance(error, redis.ResponseError):
        reason = told.rstrip(".")
        if reason.startswith(_WITHOUT_PASSWORD):
            reason = "it wants a password, and the client has none"
        problem = f"{server} refused it: {reason}."
        unavailable, advice = _advice_on_refusal(error, follows_slot=follows_slot)
    elif isinstance(error, redis.TimeoutError):
        problem = f"{server} did not answer in time: {told}."
        advice = "Does it speak TLS at that address?" if _is_of_handshake(error) else ""
    elif is_exhausted_pool(error):
        problem = f"All connections to {server} are in use: {told}"
        advice = "Raise the max_connections of the client's pool."
    elif isinstance(error, _UNKNOWN_TO_SENTINEL):
        problem = f"No Sentinel knows where {server} is."
        advice = "Are they running, and do they watch a service of that name?"
    elif isinstance(error, redis.ConnectionError | redis.exceptions.RedisClusterException):
        problem = f"{server} cannot be reached: {told}"
        advice = _advice_on_connecting(error)
    elif isinstance(error, OSError):
        problem = f"{server} could not be asked: {told}."
        advice = "Raise the limit (ulimit -n)." if error.errno in _TOO_MANY_FILES else ""
    else:
        unavailable = False
        # From redis-py 8 on, the `repr` of its errors has no text.
        problem = f"{server} gave an answer that makes no sense: {type(error).__name__}: {told}."
        advice = "Is it a Redis server?"
    written = None if operation.is_in_parts or (operation.is_write and lost_reply) else False
    outcome = _OUTCOMES[written] if operation.is_write else ""
    text = " ".join(part for part in (f"{operation}: {problem}", advice, outcome) if part)
    return (SourceUnavailable if unavailable else SourceError)(text, written=written)


def _advice_on_refusal(error: Exception, *, follows_slot: bool) -> tuple[bool, str]:
    """Return whether the server cannot serve now, rather than ever, and what to do."""
    word = code_word(error)
    text = str(error)
    if (word in {"CROSSSLOT", "MOVED"} and not follows_slot) or _NO_DATABASES in text:
        return False, "It is a node of a Redis Cluster: give the adapter a redis.RedisCluster."
    if _NO_SUCH_DATABASE in text:
        return False, (
            "Choose another db, or raise `databases` in the server's configuration. If it is a "
            "node of a cluster, give the adapter a redis.RedisCluster."
        )
    return word in _NOT_SERVING, _ADVICE.get(word or "", "")


def _advice_on_connecting(error: Exception) -> str:
    if "max number of clients" in str(error):
        return "Raise its maxclients, or lower the max_connections of its clients."
    if _is_of_tls(error):
        return "Do client and server trust each other's certificate?"
    if _has_hung_up(error):
        return "Is it running, and does it speak TLS there (rediss://) or not (redis://)?"
    return "Is it running, and is the address right?"
