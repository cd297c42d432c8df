# expect: time-limit: fuel
import sys


def trace(*arguments):
    while True:
        pass


sys.settrace(trace)


def function():
    return 1


function()
