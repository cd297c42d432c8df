# Matrix multiplication with comprehensions, modulo a prime.
n, m = 130, 998244353
a = [[(i * j + i) % m for j in range(n)] for i in range(n)]
b = [[(i + j * j) % m for j in range(n)] for i in range(n)]
for _ in range(2):
    columns = list(zip(*b))
    a = [[sum(x * y for x, y in zip(row, column)) % m for column in columns] for row in a]
print(sum(map(sum, a)) % m)
