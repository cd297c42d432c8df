# expect: unsupported: no module `threads that take turns`
# The handler catches what ends a thread that waits, too: the thread must not go on without what it waited for.
import queue
import threading

jobs, results = queue.Queue(), []


def work():
    while True:
        try:
            job = jobs.get()
        except:
            break
        if job is None:
            break
        results.append(job)


thread = threading.Thread(target=work)
thread.start()
for job in [1, 2, None]:
    jobs.put(job)
thread.join()
print(results)
