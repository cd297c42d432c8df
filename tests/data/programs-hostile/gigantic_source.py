# expect: accepted
# Half a megabyte of source.
exec("x = 1\n" * 100_000)
print("ok")
