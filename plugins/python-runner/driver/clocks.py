"""Clocks: processor time, and the module `resource` that tells it.

WASI has two clocks, of the day and of the run, and both are virtual here. Processor time is what the run took without
what it slept. Nothing here waits.
"""

import faulthandler
import os
import sys
import time
import types

# Linux's numbers, which programs also write down as numbers.
CLOCKS = {
    "CLOCK_REALTIME": 0,
    "CLOCK_MONOTONIC": 1,
    "CLOCK_PROCESS_CPUTIME_ID": 2,
    "CLOCK_THREAD_CPUTIME_ID": 3,
    "CLOCK_MONOTONIC_RAW": 4,
    "CLOCK_BOOTTIME": 7,
    "CLOCK_TAI": 11,
}


class Usage(tuple):
    """What `resource.getrusage` returns: sixteen numbers with names."""

    __slots__ = ()
    NAMES = (
        "ru_utime ru_stime ru_maxrss ru_ixrss ru_idrss ru_isrss ru_minflt ru_majflt ru_nswap ru_inblock ru_oublock "
        "ru_msgsnd ru_msgrcv ru_nsignals ru_nvcsw ru_nivcsw"
    ).split()

    def __getattr__(self, name):
        if name in Usage.NAMES:
            return self[Usage.NAMES.index(name)]
        raise AttributeError(name)

    def __repr__(self):
        return f"resource.struct_rusage({', '.join(f'{name}={value}' for name, value in zip(Usage.NAMES, self))})"


class Resource(types.ModuleType):
    """The module `resource`: programs ask it for a deeper stack, which the host decides, and for their time."""

    RLIM_INFINITY = -1
    RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC, RLIMIT_NOFILE = range(8)
    RLIMIT_MEMLOCK, RLIMIT_AS = 8, 9
    RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD = 0, -1, 1
    error = OSError
    struct_rusage = Usage

    @staticmethod
    def getrlimit(_resource):
        """No limit is known inside."""
        return (-1, -1)

    @staticmethod
    def setrlimit(_resource, _limits):
        """Accepted and without effect."""

    @staticmethod
    def getpagesize():
        """Linux's, which programs divide by."""
        return 4096

    @staticmethod
    def getrusage(who):
        """Processor time; the memory that was used is not known inside, and there are no children."""
        if who not in (0, -1, 1):
            raise ValueError("invalid who parameter")
        return Usage((time.process_time() if who != -1 else 0.0, 0.0) + (0,) * 14)


def install():
    """Gives `time` and `os` the clocks that Linux has, and programs the module `resource`."""
    monotonic_ns, time_ns, sleep = time.monotonic_ns, time.time_ns, time.sleep
    slept = 0

    def sleep_and_count(seconds, /):
        nonlocal slept
        before = monotonic_ns()
        try:
            sleep(seconds)
        finally:
            slept += monotonic_ns() - before

    # The clock of the run begins at zero with the run.
    def process_time_ns():
        return monotonic_ns() - slept

    def process_time():
        return process_time_ns() / 1e9

    def clock_gettime_ns(clock, /):
        if clock in (2, 3):
            return process_time_ns()
        if clock in (1, 4, 7):
            return monotonic_ns()
        if clock in (0, 11):
            return time_ns()
        raise OSError(22, "Invalid argument")

    def clock_gettime(clock, /):
        return clock_gettime_ns(clock) / 1e9

    def times():
        return os.times_result((process_time(), 0.0, 0.0, 0.0, monotonic_ns() / 1e9))

    for name, number in CLOCKS.items():
        setattr(time, name, number)
    for function in (process_time, process_time_ns, clock_gettime, clock_gettime_ns):
        function.__module__, function.__qualname__ = "time", function.__name__
        setattr(time, function.__name__, function)
    sleep_and_count.__name__ = sleep_and_count.__qualname__ = "sleep"
    sleep_and_count.__doc__ = sleep.__doc__
    time.sleep = sleep_and_count
    time.thread_time, time.thread_time_ns = process_time, process_time_ns
    time.clock_getres = lambda clock, /: 1e-09
    os.times = times
    # A watchdog is a thread of its own; the host's limits are there without it.
    faulthandler.dump_traceback_later = lambda timeout, repeat=False, file=None, exit=False: None
    sys.modules["resource"] = Resource("resource")
