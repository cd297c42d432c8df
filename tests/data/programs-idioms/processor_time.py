# expect: accepted
import os
import resource
import time

CLOCKS = [time.process_time, time.thread_time, lambda: time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)]
CLOCKS += [lambda: resource.getrusage(resource.RUSAGE_SELF).ru_utime, lambda: os.times().user]
for clock in CLOCKS:
    before = clock()
    sum(range(100_000))
    after = clock()
    assert 0 <= before < after < 5, (before, after)
    time.sleep(0.7)
    assert clock() - after < 0.1, "a sleep takes no processor time"
assert time.process_time_ns() > 0 and time.thread_time_ns() > 0
assert time.clock_gettime(time.CLOCK_MONOTONIC) > 3.5
assert resource.getrusage(resource.RUSAGE_CHILDREN)[0] >= 0
print("ok")
