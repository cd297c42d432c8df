# expect: runtime-error: ModuleNotFoundError
import the_answer

print(the_answer)
