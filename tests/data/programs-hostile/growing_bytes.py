# expect: memory-limit
kept = b"x"
while True:
    kept += kept
