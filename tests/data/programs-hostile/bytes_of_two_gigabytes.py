# expect: memory-limit
print(len(bytes(2**31 - 64)))
