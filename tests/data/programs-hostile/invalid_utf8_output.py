# expect: wrong-answer
import sys

sys.stdout.buffer.write(b"ok\xff\n")
