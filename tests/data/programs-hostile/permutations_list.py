# expect: memory-limit
import itertools

print(len(list(itertools.permutations(range(12)))))
