# expect: time-limit: fuel
# One call into C that never comes back.
print(sum(range(10**9)) + sum(range(10**9)) + sum(range(10**9)))
