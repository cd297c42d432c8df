# Backtracking with recursion.
def place(n, row, columns, left, right):
    if row == n:
        return 1
    free = ((1 << n) - 1) & ~(columns | left | right)
    found = 0
    while free:
        bit = free & -free
        free ^= bit
        found += place(n, row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1)
    return found
print(place(11, 0, 0, 0, 0))
