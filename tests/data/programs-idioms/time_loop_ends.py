# expect: accepted
import time

start = time.time()
while time.time() - start < 0.02:
    pass
print("ok")
