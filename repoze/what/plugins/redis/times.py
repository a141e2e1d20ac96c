"""Times as the server has them: in milliseconds since 1970, by its own clock."""

from datetime import UTC, datetime, timedelta

from .names import described

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# The last that the server keeps: ``ending.lua`` has it, too.
_LATEST = 253402300799999


def time_of(milliseconds: int) -> datetime:
    """Return the time *milliseconds* after 1970 began, in UTC: the last of all, if it is later."""
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def milliseconds_of(when: datetime) -> int:
    """Return how many milliseconds after 1970 began *when* is, rounded up."""
    return -((_EPOCH - when) // _MILLISECOND)


def ending_of(when: datetime) -> int:
    """Return when the server has something end that is to end at *when*, in milliseconds."""
    return min(milliseconds_of(when), _LATEST)


def aware(name: str, when: object) -> datetime:
    """Return *when*, if it is a time that everybody understands in one way.

    :param name: what the argument is called that it was given for.
    :raises TypeError: where it is no datetime.
    :raises ValueError: where it has no time zone.
    """
    if not isinstance(when, datetime):
        raise TypeError(f"{name} is a datetime, not {described(when)}")
    if when.utcoffset() is None:
        raise ValueError(f"{name} is a datetime with a time zone: of this one nobody knows when.")
    return when


def ending_argument(until: object) -> bytes:
    """Return what ``ending.lua`` takes for *until*: a time, or for how long from now on.

    :raises TypeError: where it is neither a datetime nor a timedelta.
    :raises ValueError: where it is a datetime without a time zone, or no time at all.
    """
    if isinstance(until, timedelta):
        milliseconds = until // _MILLISECOND
        if milliseconds <= 0:
            raise ValueError(f"until is to come, so it is no timedelta of {until}.")
        return b"in %d" % milliseconds
    if not isinstance(until, datetime):
        raise TypeError(f"until is a datetime or a timedelta, not {described(until)}")
    return b"at %d" % milliseconds_of(aware("until", until))


def shown(when: datetime) -> str:
    """Return *when* as people read it: to the minute, or as exactly as it is."""
    exact = "minutes" if not (when.second or when.microsecond) else "seconds"
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(' ', exact)} UTC"
