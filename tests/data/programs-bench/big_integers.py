# Arithmetic on integers of thousands of digits.
a, b = 1, 1
for i in range(1, 16000):
    a, b = b, a * 3 + b * i
print(a.bit_length(), a % 1000000007, pow(7, 10**300, 10**60 + 7))
