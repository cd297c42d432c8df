# expect: time-limit: fuel
print(10 ** 10**8 % 7)
