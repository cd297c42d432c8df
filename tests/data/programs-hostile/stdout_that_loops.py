# expect: time-limit: fuel
import sys


class Endless:
    closed = False

    def write(self, text):
        while True:
            pass

    flush = write


sys.stdout = Endless()
print("ok")
