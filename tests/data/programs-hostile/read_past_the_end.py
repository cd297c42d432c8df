# expect: runtime-error: EOFError
input()
input()
