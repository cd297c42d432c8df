# expect: runtime-error: RecursionError
nested = []
for _ in range(10**5):
    nested = [nested]
print(len(repr(nested)))
