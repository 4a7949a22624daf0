"""A small process beside the launcher, which ends the ranks when the launcher was killed.

Reads "+GROUP" and "-GROUP" lines from its standard input; when that closes, whatever the reason, it kills the process
groups that are left. So neither ranks, not even stopped ones, nor the processes they started outlive the launcher.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress


class Warden:
    """Started by the launcher; told of every process group that begins and of every one that was ended."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "pretrain.run.warden"]
        # in a session of its own: a Ctrl-C in the terminal is not for it
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, text=True)

    def watch(self, group: int) -> None:
        """Kill this group when the launcher is gone."""
        self._say(f"+{group}")

    def forget(self, group: int) -> None:
        """Leave this group alone; it was ended, and its number may come again."""
        self._say(f"-{group}")

    def close(self) -> None:
        """End the warden, and every group that was not forgotten."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
