# expect: unsupported: no module `threads that take turns`
# A thread whose `finally` others can see cannot begin again.
import queue
import threading

jobs, results = queue.Queue(), []


def work():
    try:
        results.append(jobs.get())
    finally:
        results.append("end")


thread = threading.Thread(target=work)
thread.start()
jobs.put(1)
thread.join()
print(results)
