# expect: wrong-answer
# All that the host's interfaces tell: no variable, no folder, and as arguments the program's name and its input's size.
from wit_world.imports import environment

assert environment.get_environment() == [], environment.get_environment()
assert environment.initial_cwd() is None
print(environment.get_arguments())
