# Sorting records by keys and merging them.
import bisect
state, rows = 99, []
for i in range(120000):
    state = (state * 1103515245 + 12345) % 2147483648
    rows.append((state % 1000, -i, str(state)))
rows.sort(key=lambda row: (row[0], row[2]))
keys = sorted(row[1] for row in rows)
print(rows[1000], sum(bisect.bisect_left(keys, -q) for q in range(0, 120000, 3)))
