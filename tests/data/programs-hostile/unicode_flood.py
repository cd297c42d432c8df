# expect: output-limit
while True:
    print("\N{MATHEMATICAL FRAKTUR CAPITAL U}\N{COMBINING ACUTE ACCENT}" * 10_000)
