// expect: runtime-error: Error
require('fs').readFileSync('/etc/passwd');
