# expect: runtime-error: OSError
import subprocess

print(subprocess.run(["ls"], capture_output=True))
