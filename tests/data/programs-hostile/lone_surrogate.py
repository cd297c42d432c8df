# expect: runtime-error: UnicodeEncodeError
print("\ud800")
