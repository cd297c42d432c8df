# expect: time-limit: fuel
import math

print(math.factorial(10**7))
