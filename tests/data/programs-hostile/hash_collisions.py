# expect: time-limit: fuel
# Every key has the same hash on a 32-bit build: each insertion looks at all that are there.
modulus = 2**31 - 1
print(len({modulus * i: i for i in range(1, 200_000)}))
