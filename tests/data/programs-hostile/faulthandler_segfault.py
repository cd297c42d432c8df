# expect: runtime-error
import faulthandler

faulthandler._sigsegv()
