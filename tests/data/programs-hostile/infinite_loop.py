# expect: time-limit: fuel
while True:
    pass
