# Shortest paths with a heap.
import heapq
n, state = 30000, 7
graph = [[] for _ in range(n)]
for i in range(n):
    for _ in range(5):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        graph[i].append(((state >> 33) % n, (state >> 20) % 100 + 1))
distance = [float("inf")] * n
distance[0] = 0
heap = [(0, 0)]
while heap:
    d, i = heapq.heappop(heap)
    if d > distance[i]:
        continue
    for j, w in graph[i]:
        if d + w < distance[j]:
            distance[j] = d + w
            heapq.heappush(heap, (d + w, j))
print(sum(d for d in distance if d < float("inf")))
