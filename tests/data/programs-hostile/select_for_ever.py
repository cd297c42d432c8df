# expect: time-limit: virtual clock
import select

select.select([], [], [], 1000)
