# expect: memory-limit
kept = []
while True:
    kept.append([0] * 1000)
