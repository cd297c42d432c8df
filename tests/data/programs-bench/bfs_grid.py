# Breadth-first search over a grid with walls.
from collections import deque
n = 800
grid = [[(i * i + j * j * 3 + i * j) % 5 != 1 or i == j for j in range(n)] for i in range(n)]
distance = [[-1] * n for _ in range(n)]
distance[0][0] = 0
queue = deque([(0, 0)])
while queue:
    i, j = queue.popleft()
    for a, b in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
        if 0 <= a < n and 0 <= b < n and grid[a][b] and distance[a][b] < 0:
            distance[a][b] = distance[i][j] + 1
            queue.append((a, b))
print(sum(map(sum, distance)))
