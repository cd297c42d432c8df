# Dynamic programming over two strings.
a = "".join(chr(97 + i * i % 26) for i in range(1000))
b = "".join(chr(97 + i * i * i % 26) for i in range(1000))
row = list(range(len(b) + 1))
for i, x in enumerate(a, 1):
    last, row[0] = row[0], i
    for j, y in enumerate(b, 1):
        last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
print(row[-1])
