# expect: accepted
# CPython runs a handler that another registered while they run.
import atexit


def again():
    atexit.register(again)


atexit.register(again)
print("ok")
