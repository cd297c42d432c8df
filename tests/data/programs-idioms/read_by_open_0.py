# expect: accepted
print("ok" if open(0).read() == "5\n" else "no")
