// expect: unsupported: no module `lodash`
const _ = require('lodash');
