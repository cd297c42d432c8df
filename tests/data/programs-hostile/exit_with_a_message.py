# expect: runtime-error: exit code 1
raise SystemExit("a message")
