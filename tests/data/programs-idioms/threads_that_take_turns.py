# expect: unsupported: no module `threads that take turns`
import threading

left, right = threading.Lock(), threading.Lock()
right.acquire()


def foo():
    for _ in range(3):
        left.acquire()
        print("foo")
        right.release()


def bar():
    for _ in range(3):
        right.acquire()
        print("bar")
        left.release()


threads = [threading.Thread(target=foo), threading.Thread(target=bar)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
