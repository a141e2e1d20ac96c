"""The options that a URL or settings may carry, and what their text means."""

import codecs
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from configparser import ConfigParser
from difflib import get_close_matches
from typing import Any

# What is said of a text that makes no sense never shows it. It may be more than was meant: in an
# ini file, an indented line belongs to the option before it; in a URL, an & ends a password.


def _text(text: str) -> str:
    if not text:
        raise ValueError("empty: leave it out, or give it a value")
    return text


def _boolean(text: str) -> bool:
    # To bool(), "false" is true; these are the words of configuration files.
    value = ConfigParser.BOOLEAN_STATES.get(text.strip().lower())
    if value is None:
        raise ValueError("true or false")
    return value


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a number") from None


def _seconds(text: str) -> float | None:
    if text.strip().lower() == "none":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    # To a socket, 0 seconds is not to wait at all.
    if not 0 < seconds < math.inf:
        raise ValueError("a number of seconds above 0, or none to wait for ever")
    return seconds


def _size(text: str) -> bool | int:
    # In a configuration file, 1 may be meant for true; to keep one answer is of no use.
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number > 1:
        return number
    try:
        return _boolean(text)
    except ValueError:
        raise ValueError("true, false or a number from 2") from None


def _duration(text: str) -> float:
    seconds = _seconds(text)
    if seconds is None:
        raise ValueError("a number of seconds above 0")
    return seconds


def _one_of(*choices: str) -> Callable[[str], str]:
    def choose(text: str) -> str:
        if text not in choices:
            raise ValueError(" or ".join(choices))
        return text

    return choose


def _namespace(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_.:-]+", text):
        raise ValueError("letters, digits and _ . : -")
    return text


def _name_of(find: Callable[[str], object], what: str) -> Callable[[str], str]:
    def name(text: str) -> str:
        try:
            find(text)
        except (LookupError, ValueError):
            raise ValueError(f"the name of {what} that Python knows") from None
        return text

    return name


def _protocol(text: str) -> int:
    return int(_one_of("2", "3")(text))


Options = Mapping[str, Callable[[str], Any]]
"""The names of options; for each, what makes a value of its text."""

OPTIONS_OF_ADAPTERS: Options = {
    "db": _number,
    "namespace": _namespace,
    "writable": _boolean,
    "read_from": _text,
    "wait_replicas": _number,
    "save": _one_of("background", "sync"),
    "save_every": _number,
    "history": _number,
    "near_cache": _size,
    "max_staleness": _duration,
    "max_age": _duration,
}

# Those of redis-py's that text can say, but for what an adapter does not take from a client.
OPTIONS_OF_CLIENTS: Options = {
    "username": _text,
    "password": _text,
    "client_name": _text,
    "socket_connect_timeout": _seconds,
    "socket_timeout": _seconds,
    "socket_keepalive": _boolean,
    "max_connections": _number,
    "protocol": _protocol,
    "decode_responses": _boolean,
    "encoding": _name_of(codecs.lookup, "an encoding"),
    "encoding_errors": _name_of(codecs.lookup_error, "a way to handle errors"),
    "ssl_ca_certs": _text,
    "ssl_ca_path": _text,
    "ssl_ca_data": _text,
    "ssl_certfile": _text,
    "ssl_keyfile": _text,
    "ssl_password": _text,
    "ssl_cert_reqs": _one_of("none", "optional", "required"),
    "ssl_check_hostname": _boolean,
    "ssl_ciphers": _text,
    "ssl_validate_ocsp": _boolean,
    "ssl_validate_ocsp_stapled": _boolean,
    "ssl_ocsp_expected_cert": _text,
}

OPTIONS_OF_SENTINELS: Options = {
    "sentinel_username": _text,
    "sentinel_password": _text,
}

OPTIONS: Options = {**OPTIONS_OF_ADAPTERS, **OPTIONS_OF_CLIENTS, **OPTIONS_OF_SENTINELS}


def read_options(options: Mapping[str, object]) -> dict[str, Any]:
    """Return the values of *options*, by their names.

    :param options: known ones, each as text or as what its text stands for. `None` is that an
        option is not given; for a time-out, it is to wait for ever.
    :raises ValueError: where a text makes no sense.
    :raises TypeError: where a value is something else.
    """
    return {
        name: read_option(name, "none" if value is None else value)
        for name, value in options.items()
        if value is not None or OPTIONS[name] is _seconds
    }


def read_option(name: str, value: object) -> Any:
    """Return the value of one option, as `read_options` does."""
    # What it is is not shown: it may be a password.
    if not isinstance(value, str | int | float | os.PathLike):
        raise TypeError(f"{name} is text, not an object of type {type(value).__name__}.")
    try:
        return OPTIONS[name](str(value))
    except ValueError as error:
        raise ValueError(f"{name} is {error}.") from None


def similar(name: str, known: Iterable[str]) -> str:
    """Return the *known* name that *name* may be meant for, as a question, or nothing."""
    found = get_close_matches(name, known, 1)
    return f" Do you mean {found[0]}?" if found else ""


def refuse_unknown(names: Iterable[str], known: Iterable[str], complaint: str) -> None:
    """Raise `ValueError`, which lists those that are *known*, where one of *names* is not.

    :param complaint: how the error begins; the unknown name comes next.
    """
    known = list(known)
    for name in names:
        if name not in known:
            # One with a blank is a line that lacks its =, with a value that is nobody's business.
            shown = repr(name) if re.fullmatch(r"[\w.-]+", name) else "of a name with a blank in it"
            raise ValueError(f"{complaint} {shown}. There are {', '.join(known)}.")
