# expect: accepted
# Freeing a chain of tuples recurses in C, level by level.
chain = ()
for _ in range(300_000):
    chain = (chain,)
del chain
print("ok")
