"""Times and durations, as the command line takes and prints them."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_duration(text: str) -> timedelta | None:
    """Return how long ``2w``, ``3d``, ``12h`` or ``30m`` is; `None` where *text* is none such.

    :raises OverflowError: where it is longer than anything.
    """
    found = re.fullmatch(r"([0-9]+)([mhdw])", text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def read_time(text: str) -> datetime:
    """Return the time that *text* says, as in ``2027-01-31`` or ``2027-01-31T12:00``, in UTC.

    Without a time zone, it is that of this machine.

    :raises ValueError: where it is no time.
    :raises OverflowError: where there is none such in UTC.
    """
    return datetime.fromisoformat(text).astimezone(UTC)


def told(when: datetime) -> str:
    """Return *when* as people read it, in the time zone of this machine."""
    try:
        return when.astimezone().isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        # The end of the last year may be after it there.
        return when.isoformat(timespec="seconds")


def in_words(until: datetime | None) -> str:
    """Return until when something is so; `None` is for good."""
    return "for good" if until is None else f"until {told(until)}"


def as_json(when: datetime | None) -> str | None:
    """Return *when* as JSON has it: in UTC, as exactly as the server."""
    return None if when is None else when.astimezone(UTC).isoformat(timespec="milliseconds")
