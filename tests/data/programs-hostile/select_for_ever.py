# expect: time-limit: wall clock
import select

select.select([], [], [], 1000)
