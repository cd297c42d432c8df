# expect: runtime-error
# CPython makes 255 of a code that no machine word holds.
raise SystemExit(10**100)
