# expect: accepted
# An object that saves itself when it is destroyed.
saved = []


class Phoenix:
    def __del__(self):
        saved.append(self)


for _ in range(1000):
    Phoenix()
print("ok")
