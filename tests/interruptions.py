"""Ctrl-C, for programs of which coverage counts the lines."""

import os
import signal
import time


def press_ctrl_c(process_id: int) -> None:
    """Interrupt a process that has printed what is looked for, when it waits for something again.

    While it counts lines, coverage has a lock for moments. A program that is interrupted in one
    leaves it locked, and waits for that for ever.
    """
    time.sleep(0.1)
    os.kill(process_id, signal.SIGINT)
