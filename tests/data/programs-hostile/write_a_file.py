# expect: runtime-error: FileNotFoundError
open("trace.txt", "w").write("I was here")
