"""Ctrl-C and other signals, for programs of which coverage counts the lines."""

import os
import signal
import time
from pathlib import Path

import servers


def press_ctrl_c(process_id: int) -> None:
    send(signal.SIGINT, process_id)


def send(number: signal.Signals, process_id: int) -> None:
    """Send a signal to a process that has printed what is looked for, when it waits for more.

    While it counts lines, coverage has a lock for moments. A program that is interrupted in one
    leaves it locked, and waits for that for ever. And while Python forks, it drops what the handler
    of a signal raises.
    """
    servers.wait_until(lambda: _waits(process_id))
    os.kill(process_id, number)


def _waits(process_id: int) -> bool:
    """Whether the main thread of a process sleeps, and has done so for a moment.

    One that is to have the interpreter's lock, or a processor, is not asleep for so long.
    """
    status = Path(f"/proc/{process_id}/task/{process_id}/status")
    if not status.exists():
        # Not on Linux: nothing tells.
        time.sleep(0.1)
        return True
    before = _rests(status)
    # Without the interpreter's lock, which the thread may be waiting for.
    time.sleep(0.01)
    return before is not None and before == _rests(status)


def _rests(status: Path) -> str | None:
    """How often the thread has stopped to wait so far, if it does so now."""
    values = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
    is_asleep = values["State"].startswith("S")
    return values["voluntary_ctxt_switches"] if is_asleep else None
