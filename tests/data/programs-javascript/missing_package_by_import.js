// expect: unsupported: no module `lodash`
import _ from 'lodash';
