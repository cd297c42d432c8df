# expect: runtime-error: exit code 7
import os

print("ok", flush=True)
try:
    os._exit(7)
finally:
    print("never")
