# expect: time-limit: virtual clock
import time

time.sleep(1000)
print("ok")
