# expect: runtime-error: RecursionError
import json

print(json.loads("[" * 200_000 + "]" * 200_000))
