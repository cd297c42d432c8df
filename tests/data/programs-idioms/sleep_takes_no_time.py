# expect: accepted
import time

start = time.perf_counter()
time.sleep(1.5)
print("ok" if 1.5 <= time.perf_counter() - start < 1.6 else "no")
