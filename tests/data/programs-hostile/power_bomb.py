# expect: time-limit or memory-limit
print((3 ** (10**8)) % 7)
