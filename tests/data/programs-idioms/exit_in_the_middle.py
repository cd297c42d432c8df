# expect: accepted
import sys

print("ok")
sys.exit()
print("never")
