# expect: runtime-error: RecursionError
chain = []
for _ in range(100_000):
    chain = [chain]
print(len(repr(chain)))
