// expect: accepted
import { readFileSync } from 'fs';
import readline from 'node:readline';
const text = readFileSync(0, 'utf8');
const later = await Promise.resolve(Number(text));
console.log(later === 5 && typeof readline.createInterface === 'function' ? 'ok' : 'no');
