# expect: runtime-error: FileNotFoundError
print(open("/etc/passwd").read())
