"""The demo's command line."""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from repoze.what.adapters import AdapterError
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

try:
    from . import DemoError
    from .pages import PAGES
    from .passwords import write_htpasswd
    from .people import PASSWORDS, fill
    from .redis_server import RedisServer, embedded_server, users_server
    from .site import Site
    from .table import aligned, ask, table
    from .web_server import LOOPBACK, serving
except ModuleNotFoundError as error:
    sys.exit(f"{error}. Install what it needs: pip install 'repoze.what.plugins.redis[demo]'")

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo as the command-line *arguments* say, and return the exit status.

    That is 1 where something went wrong; what it was is on the standard error.
    """
    options = _parser().parse_args(arguments)
    # A container that is stopped and a terminal that is closed leave no server behind either, nor
    # does Ctrl-C where a shell started this in the background, which makes it ignored.
    for name in {"SIGINT", "SIGTERM", "SIGHUP"} & vars(signal).keys():
        signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        _run(options.redis, options.port, once=options.once)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (DemoError, AdapterError, redis.RedisError) as error:
        sys.stderr.write(f"The demo cannot go on. {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}",
        description="Serve a small newspaper's site on this machine. Who may open which page is "
        "kept in Redis, and may be changed while it runs.",
    )
    parser.add_argument("--once", action="store_true", help="print who may open what, and exit")
    parser.add_argument(
        "--redis",
        metavar="URL",
        help="use this server's databases 1 and 2, which must be empty or an earlier demo's "
        "(default: start a server for the demo alone)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        help="serve the site on this port of the loopback interface (default: any that is free)",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _run(url: str | None, port: int, *, once: bool) -> None:
    with TemporaryDirectory(prefix="repoze-what-demo-") as name, _redis(url, Path(name)) as server:
        _say(f"Redis: {server.description}")
        groups = RedisGroupAdapter(server.client)
        permissions = RedisPermissionAdapter(server.client)
        fill(groups, permissions)
        htpasswd = Path(name, "htpasswd")
        write_htpasswd(htpasswd, PASSWORDS)
        site = Site(groups, permissions, htpasswd, server.command_line)
        with serving(site, port) as site_port:
            answers = ask(site_port, PASSWORDS, ["/", *(page.path for page in PAGES)])
            _say("", "Who may open what, as the site itself has just answered:", "")
            _say(*table(answers))
            if not once:
                with suppress(KeyboardInterrupt):
                    _say("", *_invitation(site_port, groups, server.command_line))
                    _wait()
                _say("", "Stopped.")


def _redis(url: str | None, directory: Path) -> AbstractContextManager[RedisServer]:
    return embedded_server(directory) if url is None else nullcontext(users_server(url))


def _invitation(port: int, groups: RedisGroupAdapter, command_line: str | None) -> Iterator[str]:
    yield f"Open http://{LOOPBACK}:{port}/ and log in as one of:"
    yield ""
    users = [
        (user, password, ", ".join(sorted(groups.find_sections({"repoze.what.userid": user}))))
        for user, password in PASSWORDS.items()
    ]
    yield from aligned([("user", "password", "groups"), *users])
    yield ""
    if command_line:
        yield "Change something, then load a page again:"
        yield ""
        yield f"  {command_line} -n {RedisGroupAdapter.DB_NAME} SADD editors kim"
        yield f"  {command_line} -n {RedisPermissionAdapter.DB_NAME} SREM publish editors"
        yield ""
    yield "Press Ctrl-C to stop."


def _wait() -> None:
    # Without a time-out, Ctrl-C would not get through on Windows.
    while True:
        time.sleep(3600)


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
