# expect: unsupported: no module `threads that take turns`
# A thread that has begun cannot wait for what is put behind it, so it must not be told that nothing came.
import queue
import threading

jobs, results = queue.Queue(), []


def work():
    results.append("begun")
    while True:
        try:
            results.append(jobs.get(timeout=1))
        except queue.Empty:
            break


thread = threading.Thread(target=work)
thread.start()
for job in [1, 2]:
    jobs.put(job)
thread.join()
print(results)
