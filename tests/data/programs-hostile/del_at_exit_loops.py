# expect: time-limit: fuel
class Endless:
    def __del__(self):
        while True:
            pass


kept = Endless()
print("ok")
