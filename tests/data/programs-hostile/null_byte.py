# expect: runtime-error: SyntaxError
eval("1\0")
