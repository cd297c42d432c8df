# expect: wrong-answer
# Ends the instance through the host's own interface, with the code of success and nothing written.
from wit_world.imports import exit

exit.exit_with_code(0)
