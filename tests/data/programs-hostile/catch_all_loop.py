# expect: time-limit: fuel
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
