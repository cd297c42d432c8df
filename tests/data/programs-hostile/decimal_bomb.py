# expect: time-limit or memory-limit
import decimal

decimal.getcontext().prec = 10**7
print(decimal.Decimal(2).sqrt())
