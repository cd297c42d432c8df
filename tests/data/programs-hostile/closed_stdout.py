# expect: runtime-error: ValueError
import sys

sys.stdout.close()
print("ok")
