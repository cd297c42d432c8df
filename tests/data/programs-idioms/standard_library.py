# expect: accepted
import bisect, collections, decimal, fractions, heapq, itertools, json, math, re, statistics, string

print("ok" if math.comb(10, 3) == 120 and decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3") else "no")
