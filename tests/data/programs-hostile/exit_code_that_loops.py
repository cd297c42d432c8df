# expect: time-limit: fuel
class Endless:
    def __str__(self):
        while True:
            pass


raise SystemExit(Endless())
