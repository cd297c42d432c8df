# expect: wrong-answer
# Nothing in the instance holds the test's expected output, so nothing can be printed from it.
import gc

texts = [value for value in gc.get_objects() if isinstance(value, (str, bytes, list, dict))]
print(next((value for value in texts if value == "the expected output is nowhere"), "not found"))
