# expect: runtime-error: SyntaxError
print(eval("9" * 1_000_000))
