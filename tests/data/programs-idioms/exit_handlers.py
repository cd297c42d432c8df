# expect: accepted
import atexit

atexit.register(print, "ok")
