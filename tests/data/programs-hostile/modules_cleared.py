# expect: accepted
# CPython ends quietly too.
import sys

print("ok")
sys.modules.clear()
