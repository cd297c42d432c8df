# expect: accepted
n = int(input())
print("ok" if n == 5 else n)
