# expect: time-limit: fuel
# Quadratic search in C.
text = b"a" * 2_000_000
for _ in range(1000):
    text.translate(None, b"b").rindex(b"b" + b"a" * 1_000_000) if b"b" + b"a" * 1000 in text else text.count(b"aab")
