# Counting words and pairs with dictionaries.
from collections import Counter
state, words = 12345, []
for _ in range(400000):
    state = (state * 1103515245 + 12345) % 2147483648
    words.append("w%d" % (state % 5000))
count = Counter(words)
pairs = {}
for a, b in zip(words, words[1:]):
    key = (a, b)
    pairs[key] = pairs.get(key, 0) + 1
print(count.most_common(3), len(pairs), max(pairs.values()))
