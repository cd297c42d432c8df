# expect: accepted
from array import array

print("ok" if array("l", [2**40])[0] == 2**40 else "no")
