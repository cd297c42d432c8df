# expect: accepted
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

with open(os.devnull, "w") as null, redirect_stdout(null):
    print("hidden")
with open("/dev/null", "rb") as null:
    assert null.read() == b""
with open("/dev/null", "a+", encoding="utf-8") as null:
    assert null.write("é") == 1 and null.read() == ""
assert open("/dev/null", "wb", 0).write(b"abc") == 3
assert Path("/dev/null").read_text() == ""
try:
    open("/dev/null").write("x")
except OSError:
    sys.stdout = open(os.devnull, "w")
print("hidden")
sys.stdout = sys.__stdout__
assert Path("/dev/stdin").read_text() == "5\n"
print("ok")
