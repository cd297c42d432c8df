# Disjoint sets through a class with methods.
class Sets:
    def __init__(self, n):
        self.parent = list(range(n))
        self.size = [1] * n

    def find(self, x):
        while self.parent[x] != x:
            self.parent[x] = self.parent[self.parent[x]]
            x = self.parent[x]
        return x

    def join(self, a, b):
        a, b = self.find(a), self.find(b)
        if a == b:
            return False
        if self.size[a] < self.size[b]:
            a, b = b, a
        self.parent[b] = a
        self.size[a] += self.size[b]
        return True


n, state, joined = 100000, 5, 0
sets = Sets(n)
for _ in range(200000):
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    joined += sets.join((state >> 33) % n, (state >> 13) % n)
print(joined)
