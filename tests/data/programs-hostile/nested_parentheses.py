# expect: runtime-error: MemoryError
print("ok" if eval("(" * 100_000 + ")" * 100_000) == () else "no")
