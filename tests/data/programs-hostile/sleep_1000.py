# expect: time-limit: wall clock
import time

time.sleep(1000)
print("ok")
