# expect: accepted
print("ok" if open("/dev/stdin").read() == "5\n" else "no")
