# expect: runtime-error: SyntaxError
print("ok"
