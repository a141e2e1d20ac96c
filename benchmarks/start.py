"""How long a command of the command line takes, against what cannot be done without."""

import os
import subprocess
import sys
from functools import partial

from repoze.what.plugins.redis import RedisGroupAdapter

from .measuring import in_turns, three_digits
from .report import Report
from .server import Server

_SECONDS = 30
_NAMESPACE = "bench"
_REDIS_AND_CLICK = "import redis, click"
_COMMAND = ("-m", "repoze.what.plugins.redis.command")
_THINGS = {
    "nothing": ("-c", "pass"),
    _REDIS_AND_CLICK: ("-c", _REDIS_AND_CLICK),
    "--version": (*_COMMAND, "--version"),
    "--help": (*_COMMAND, "--help"),
    "groups list": (*_COMMAND, "groups", "list"),
    "export json": (*_COMMAND, "export", "json"),
}


def run(server: Server, report: Report, *, quick: bool) -> None:
    """Start Python for each command, in turns, on a source with one group."""
    adapter = RedisGroupAdapter(server.client(), None, namespace=_NAMESPACE)
    adapter.create_section("editors")
    url = f"redis://127.0.0.1:{server.port}/0?namespace={_NAMESPACE}"
    environment = {**os.environ, "REPOZE_WHAT_REDIS_URL": url}
    things = {name: partial(_start, words, environment) for name, words in _THINGS.items()}
    times = in_turns(things, 1 if quick else _SECONDS)
    report.table(
        "start",
        "The command line, from its start to its end",
        ("what", f"ratio to {_REDIS_AND_CLICK}", "half of the rounds", "milliseconds"),
        [
            (
                name,
                times.ratio(name, _REDIS_AND_CLICK),
                times.ratio(name, _REDIS_AND_CLICK).spread,
                three_digits(1e3 * times.median(name)),
            )
            for name in things
        ],
    )


def _start(words: tuple[str, ...], environment: dict[str, str]) -> None:
    command = [sys.executable, *words]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
