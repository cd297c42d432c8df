# expect: runtime-error: RecursionError
def nested(depth):
    if depth:
        yield from nested(depth - 1)
    yield depth


print(sum(nested(1_000_000)))
