# expect: accepted
chain = None
for _ in range(300000):
    chain = (chain,)
del chain
print("ok")
