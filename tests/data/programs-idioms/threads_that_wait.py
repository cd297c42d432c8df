# expect: accepted
# Threads that wait for each other in one direction need no stack of their own.
import queue
import threading
import time

jobs, results = queue.Queue(), []


def work():
    while True:
        job = jobs.get()
        results.append(job * job)
        jobs.task_done()


for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for job in range(10):
    jobs.put(job)
jobs.join()
assert sorted(results) == [n * n for n in range(10)]

# The consumer is started first, and a thread that waits for an event that a later one sets.
pipe, taken = queue.Queue(), []


def take():
    while (item := pipe.get()) is not None:
        taken.append(item)


def give():
    for item in [1, 2, 3, None]:
        pipe.put(item)


first, second, steps = threading.Event(), threading.Event(), []


def last():
    second.wait()
    steps.append(3)


def middle():
    first.wait()
    steps.append(2)
    second.set()


def begin():
    steps.append(1)
    first.set()


threads = [threading.Thread(target=function) for function in (take, give, last, middle, begin)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert taken == [1, 2, 3] and steps == [1, 2, 3], (taken, steps)

# Time passes in order, and a timer that is cancelled never fires.
order = []


def after(seconds):
    time.sleep(seconds)
    order.append(seconds)


threads = [threading.Thread(target=after, args=(seconds,)) for seconds in (0.03, 0.01, 0.02)]
late = threading.Timer(0.5, order.append, ["late"])
for thread in [*threads, late]:
    thread.start()
for thread in threads:
    thread.join()
late.cancel()
late.join()
assert order == [0.01, 0.02, 0.03], order

total, lock, own = 0, threading.Lock(), threading.local()
own.name = "main"


def add():
    global total
    assert not hasattr(own, "name") and threading.current_thread() is not threading.main_thread()
    for _ in range(100):
        with lock:
            total += 1


threads = [threading.Thread(target=add) for _ in range(4)]
for thread in threads:
    thread.start()
    thread.join()
assert total == 400 and not threads[0].is_alive() and threading.active_count() == 4
try:
    queue.Queue().get(timeout=0.01)
except queue.Empty:
    print("ok")
