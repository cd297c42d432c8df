# expect: memory-limit
import gc

gc.disable()
while True:
    cycle = []
    cycle.append(cycle)
