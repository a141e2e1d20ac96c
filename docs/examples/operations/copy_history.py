"""Append each change of the groups to a file, from where it was left."""

import json
import sys
import time
from pathlib import Path

from repoze.what.plugins.redis import MissedChanges, RedisGroupAdapter, SourceUnavailable


def last_token(log: Path) -> str | None:
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return json.loads(lines[-1])["token"] if lines else None


def copy_history(groups: RedisGroupAdapter, log: Path) -> None:
    token = last_token(log)
    while True:
        try:
            for change in groups.follow(token):
                token = change.token
                line = {
                    "token": token,
                    "time": change.at.isoformat(),
                    "by": change.by,
                    "operation": change.operation,
                    "groups": change.sections,
                    "added": sorted(change.added),
                    "removed": sorted(change.removed),
                    "note": change.note,
                }
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        except SourceUnavailable as error:
            sys.stderr.write(f"{error}\n")
            time.sleep(5)
        except MissedChanges as error:
            sys.stderr.write(f"{error}\n")
            token = None


if __name__ == "__main__":
    copy_history(RedisGroupAdapter.from_url(sys.argv[1]), Path(sys.argv[2]))
