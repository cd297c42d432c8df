"""Runs a command and prints what it took as the last line of standard error: wall-clock and processor seconds, and the
peak of its resident memory in bytes, as wait4 tells them.

    python measure.py COMMAND...
"""

import json
import os
import sys
import time

started = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - started
# Linux counts kilobytes, macOS bytes.
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
processor = usage.ru_utime + usage.ru_stime
print(json.dumps({"seconds": seconds, "processor_seconds": processor, "peak_memory_bytes": peak}), file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
