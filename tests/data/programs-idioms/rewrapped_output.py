# expect: accepted
# The first stream has lost its buffer; nobody may miss it at the end.
import io
import sys

sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")
print("ok")
