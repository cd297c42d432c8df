# expect: runtime-error
import marshal

for length in range(1, 200):
    try:
        marshal.loads(bytes((length * 7 + i * 13) % 256 for i in range(length)))
    except (ValueError, EOFError, TypeError, MemoryError):
        pass
raise RuntimeError("still here")
