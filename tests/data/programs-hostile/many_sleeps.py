# expect: time-limit: virtual clock
import time

while True:
    time.sleep(0.5)
