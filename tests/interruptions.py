"""Ctrl-C, for programs of which coverage counts the lines."""

import os
import signal
import time
from pathlib import Path

import servers


def press_ctrl_c(process_id: int) -> None:
    """Interrupt a process that has printed what is looked for, when it waits for something again.

    While it counts lines, coverage has a lock for moments. A program that is interrupted in one
    leaves it locked, and waits for that for ever.
    """
    state = Path(f"/proc/{process_id}/stat")
    if state.exists():
        # After the name of the program, which is in parentheses.
        servers.wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "S")
    else:
        time.sleep(0.1)
    os.kill(process_id, signal.SIGINT)
