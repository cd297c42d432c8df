# expect: accepted
# Where CPython of 64 bits takes them modulo 2**61 - 1; sets and dictionaries hold the same.
import sys

modulus = 2**31 - 1
assert sys.hash_info.modulus == modulus
for number in (modulus, modulus + 1, 2**61, 10**18, 3**100):
    assert hash(number) == number % modulus and hash(-number) in (-(number % modulus), -2)
assert hash(modulus - 1) == modulus - 1
assert {0, modulus, 10**18} == {10**18, modulus, 0} and {modulus: "ok"}.get(0) is None
print({10**18: "ok"}[10**18])
