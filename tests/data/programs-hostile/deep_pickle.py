# expect: runtime-error: RecursionError
import pickle

chain = []
for _ in range(100_000):
    chain = [chain]
print(len(pickle.dumps(chain)))
