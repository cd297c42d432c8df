# expect: accepted
import datetime

print("ok" if datetime.date.today() == datetime.date(2024, 1, 1) else "no")
