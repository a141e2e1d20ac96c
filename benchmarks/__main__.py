"""The command ``python -m benchmarks``."""

import argparse
import platform
import sys
from pathlib import Path
from signal import SIGTERM, signal

import redis
from redis.utils import HIREDIS_AVAILABLE

from . import (
    lookups,
    memory,
    near_cache,
    organisations,
    saturation,
    side_by_side,
    start,
    tracking_clients,
    writes,
)
from .report import Report
from .server import running_server

_SUBJECTS = {
    "lookups": lookups.run,
    "organisations": organisations.run,
    "side_by_side": side_by_side.run,
    "side_by_side_delayed": side_by_side.run_delayed,
    "writes": writes.run,
    "memory": memory.run,
    "saturation": saturation.run,
    "near_cache": near_cache.run,
    "tracking_clients": tracking_clients.run,
    "start": start.run,
}
_FOLDER = Path(__file__).with_name("results")


def main() -> None:
    """Measure the subjects that are named, or all, each on a server of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(_SUBJECTS))
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and few rounds, to see that it runs"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=_FOLDER,
        metavar="FOLDER",
        help="where the tables go as CSV, and the plots as SVG (benchmarks/results)",
    )
    arguments = parser.parse_args()
    unknown = set(arguments.subjects) - set(_SUBJECTS)
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    # Else it would leave its servers behind.
    signal(SIGTERM, lambda *_: sys.exit(128 + SIGTERM))
    report = Report(arguments.results)
    for name in arguments.subjects or _SUBJECTS:
        with running_server() as server:
            replies = "hiredis" if HIREDIS_AVAILABLE else "its own parser"
            report.say(
                f"== {name}: {server.description}, redis-py {redis.__version__} with {replies}, "
                f"Python {platform.python_version()}; {server.processors} =="
            )
            _SUBJECTS[name](server, report, quick=arguments.quick)


main()
