"""Writes that replicas have confirmed: a server that fails takes the others with it."""

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis.connection.exchange import Exchange
from repoze.what.plugins.redis.connection.failures import (
    Operation,
    is_of_talking,
    text_of,
    without_secrets,
)
from repoze.what.plugins.redis.connection.replies import number

_SECONDS = 1.0
# Of the time that the client waits for a reply: the server, which looks at its clock ten times a
# second, has to be the first to give up.
_SHARE_OF_TIME_OUT = 0.5


class TooFewReplicas(SourceError):  # noqa: N818 - it reads as what it reports
    """A write took effect, but fewer replicas than ``wait_replicas`` asks for have confirmed it.

    It is lost if the server fails before they have it, and one of them takes its place. Its
    ``written`` is ``True``.
    """


def confirm_replication(
    exchange: Exchange, wanted: int, operation: Operation, server: object
) -> None:
    """Return when *wanted* replicas have what was written on the connection of *exchange*.

    :param operation: the write, and *server*, where it took effect, for the error to name.
    :raises TooFewReplicas: where they do not in a second, or in half of the client's
        ``socket_timeout`` if that is less; with a cause, where the server could not be asked.
    """
    time_out = exchange.socket_timeout
    seconds = min(_SECONDS, time_out * _SHARE_OF_TIME_OUT) if time_out else _SECONDS
    # To the server, 0 is for ever.
    milliseconds = max(1, int(seconds * 1000))
    try:
        confirmed = number(exchange.send("WAIT", wanted, milliseconds))
    except Exception as error:
        if not is_of_talking(error):
            raise
        # Whatever it is, what was written stays so.
        raise unasked(wanted, operation, server, text_of(error)) from without_secrets(error)
    if confirmed < wanted:
        # Connecting anew finds the primary, where Sentinel has made a replica of this one's.
        exchange.disconnect()
        raise TooFewReplicas(
            f"{operation}: it took effect ({server}), but {confirmed} of its replicas confirmed it "
            f"within {seconds:g} s, not {wanted}. Look at how far they are behind, and do not "
            "write it again.",
            written=True,
        )


def unasked(wanted: int, operation: Operation, server: object, reason: str) -> TooFewReplicas:
    """Return the error that says that *reason* kept it from asking *wanted* replicas.

    WAIT is for what was written on the connection that it is sent by, and for no other's writes.
    """
    return TooFewReplicas(
        f"{operation}: it took effect ({server}), but whether {wanted} of its replicas have it "
        f"could not be asked: {reason}",
        written=True,
    )
