"""Time that passes for the memberships that end, which a test need not wait for."""

from datetime import timedelta

HOUR = timedelta(hours=1)


def let_pass(raw, time):
    """Have all memberships of all sources end by *time* earlier: as if so much had gone by.

    :param raw: a client of the database of the sources.
    """
    milliseconds = time // timedelta(milliseconds=1)
    for key in list(raw.scan_iter("*-until:*")):
        for member, score in raw.zrange(key, 0, -1, withscores=True):
            raw.zadd(key, {member: int(float(score)) - milliseconds})
