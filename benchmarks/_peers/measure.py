"""Run a command and print what it took, as JSON: exit code, wall and CPU seconds, peak bytes of its largest process.

    python3 measure.py LOG COMMAND ...

A small process of its own, because Linux counts the memory of whoever starts a process into that process's peak.
"""

import os
import sys
import time

if __name__ == "__main__":
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    begun = time.monotonic()
    redirected = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, file_actions=redirected)
    _, status, used = os.wait4(pid, 0)
    wall_s = time.monotonic() - begun
    print([os.waitstatus_to_exitcode(status), wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024])
