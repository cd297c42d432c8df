# expect: memory-limit
print(len(bytearray(400 * 1024 * 1024)))
