# expect: time-limit: fuel
import sys

sys.set_int_max_str_digits(0)
print(len(str(int("7" * 3_000_000) ** 3)))
