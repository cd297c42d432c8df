// expect: unsupported: no module `child_process`
require('child_process').execSync('id');
