# expect: accepted
# Garbage in cycles is collected, so a program may make any amount of it.
for _ in range(3_000_000):
    cycle = []
    cycle.append(cycle)
print("ok")
