# expect: accepted
# A common way to fast output: print into memory, and write it to the first stream only at exit.
import atexit
import io
import sys

buffer = io.StringIO()
sys.stdout = buffer


@atexit.register
def write():
    sys.__stdout__.write(buffer.getvalue())


print("ok" if input() == "5" else "no")
