// What Node.js gives a program that reads standard input and writes standard output, over five functions of the host.
// It is evaluated once before the program and leaves only the names that Node.js has.
(function (host) {
  'use strict';

  class Quit {}

  // ---- output

  const DEPTH_MAX = 2;
  const quoted = (text) => {
    const quote = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes('`') ? '`' : "'";
    const escaped = text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/\t/g, '\\t').replace(/\r/g, '\\r');
    return quote + (quote === "'" ? escaped.replace(/'/g, "\\'") : escaped) + quote;
  };
  const key = (name) =>
    typeof name === 'symbol' ? `[${String(name)}]` : /^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name);
  // One line for every value; Node.js breaks long ones.
  function inspect(value, depth = 0, seen = []) {
    switch (typeof value) {
      case 'string': return depth === 0 && seen.length === 0 ? value : quoted(value);
      case 'bigint': return `${value}n`;
      case 'number': return Object.is(value, -0) ? '-0' : String(value);
      case 'symbol': return value.toString();
      case 'function': return value.name ? `[Function: ${value.name}]` : '[Function (anonymous)]';
      case 'object': break;
      default: return String(value);
    }
    if (value === null) return 'null';
    if (seen.includes(value)) return '[Circular *1]';
    if (value instanceof Error) return value.stack ? `${value.name}: ${value.message}\n${value.stack}`.trimEnd() : String(value);
    if (value instanceof Date) return value.toISOString();
    if (value instanceof RegExp) return String(value);
    const below = [...seen, value];
    const inner = (item) => inspect(item, depth + 1, below);
    const named = value.constructor && value.constructor !== Object ? value.constructor.name : '';
    if (Array.isArray(value) || ArrayBuffer.isView(value)) {
      const list = Array.from(value);
      const prefix = Array.isArray(value) && named === 'Array' ? '' : `${named}(${list.length}) `;
      if (depth > DEPTH_MAX) return `[${named || 'Array'}]`;
      const shown = list.slice(0, 100).map(inner);
      if (list.length > 100) shown.push(`... ${list.length - 100} more item${list.length > 101 ? 's' : ''}`);
      return shown.length === 0 ? `${prefix}[]` : `${prefix}[ ${shown.join(', ')} ]`;
    }
    if (depth > DEPTH_MAX) return `[${named || 'Object'}]`;
    if (value instanceof Map) {
      const items = [...value].map(([name, item]) => `${inner(name)} => ${inner(item)}`);
      return `Map(${value.size}) {${items.length ? ` ${items.join(', ')} ` : ''}}`;
    }
    if (value instanceof Set) {
      const items = [...value].map(inner);
      return `Set(${value.size}) {${items.length ? ` ${items.join(', ')} ` : ''}}`;
    }
    const items = Reflect.ownKeys(value)
      .filter((name) => Object.prototype.propertyIsEnumerable.call(value, name))
      .map((name) => `${key(name)}: ${inner(value[name])}`);
    const prefix = Object.getPrototypeOf(value) === null ? '[Object: null prototype] ' : named ? `${named} ` : '';
    return items.length === 0 ? `${prefix}{}` : `${prefix}{ ${items.join(', ')} }`;
  }

  function format(...values) {
    if (typeof values[0] !== 'string' || values.length === 1) return values.map((value) => inspect(value)).join(' ');
    let next = 1;
    const text = values[0].replace(/%([sdifjoOc%])/g, (whole, kind) => {
      if (kind === '%') return '%';
      if (next >= values.length) return whole;
      const value = values[next++];
      switch (kind) {
        case 's': return typeof value === 'object' && value !== null ? inspect(value) : typeof value === 'bigint' ? `${value}n` : String(value);
        case 'd': return typeof value === 'bigint' ? `${value}n` : String(Number(value));
        case 'i': return String(parseInt(value, 10));
        case 'f': return String(parseFloat(value));
        case 'j': return JSON.stringify(value);
        case 'c': return '';
        default: return inspect(value, 1, [null]);
      }
    });
    return [text, ...values.slice(next).map((value) => inspect(value))].join(' ');
  }

  const put = (stream, text) => (text instanceof Uint8Array ? host.writeBytes(stream, text) : host.write(stream, String(text)));
  const print = (stream) => (...values) => host.write(stream, format(...values) + '\n');
  const [log, error] = [print(1), print(2)];
  const timers = new Map();
  globalThis.console = {
    log, info: log, debug: log, dir: (value) => log(inspect(value, 0, [null])), error, warn: error, trace: error,
    assert: (holds, ...values) => { if (!holds) error('Assertion failed' + (values.length ? ':' : ''), ...values); },
    time() {}, timeEnd() {}, table: log, group: log, groupEnd() {},
  };

  // ---- events and time

  const waiting = [];
  let order = 0;
  const later = (callback, delay, values, repeat) => {
    const wait = Math.max(1, Number(delay) || 0);
    const timer = { at: host.now() + wait, order: order++, callback, values, wait, repeat };
    waiting.push(timer);
    return timer;
  };
  const forget = (timer) => {
    const place = waiting.indexOf(timer);
    if (place >= 0) waiting.splice(place, 1);
  };
  globalThis.setTimeout = (callback, delay, ...values) => later(callback, delay, values, false);
  globalThis.setInterval = (callback, delay, ...values) => later(callback, delay, values, true);
  globalThis.setImmediate = (callback, ...values) => later(callback, 0, values, false);
  globalThis.clearTimeout = globalThis.clearInterval = globalThis.clearImmediate = forget;
  globalThis.queueMicrotask ??= (callback) => { Promise.resolve().then(callback); };

  class EventEmitter {
    #listeners = new Map();
    on(name, listener) {
      this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
      return this;
    }
    once(name, listener) {
      const wrapped = (...values) => { this.off(name, wrapped); listener.apply(this, values); };
      return this.on(name, wrapped);
    }
    off(name, listener) {
      this.#listeners.set(name, (this.#listeners.get(name) ?? []).filter((other) => other !== listener));
      return this;
    }
    emit(name, ...values) {
      const listeners = this.#listeners.get(name) ?? [];
      listeners.forEach((listener) => listener.apply(this, values));
      return listeners.length > 0;
    }
    listenerCount(name) { return (this.#listeners.get(name) ?? []).length; }
  }
  EventEmitter.prototype.addListener = EventEmitter.prototype.on;
  EventEmitter.prototype.removeListener = EventEmitter.prototype.off;

  // ---- standard input

  let unread = null;
  const readAll = () => { const text = unread ?? host.read(); unread = ''; return text; };
  class Buffer extends Uint8Array {
    static from(value) { return Object.setPrototypeOf(typeof value === 'string' ? host.encode(value) : new Uint8Array(value), Buffer.prototype); }
    static isBuffer(value) { return value instanceof Buffer; }
    static byteLength(text) { return host.encode(text).length; }
    toString() { return host.decode(this); }
  }
  globalThis.Buffer = Buffer;

  const stdin = new EventEmitter();
  Object.assign(stdin, {
    fd: 0, isTTY: false, readable: true,
    setEncoding() { return stdin; }, resume() { stdin.flowing = true; return stdin; }, pause() { return stdin; }, unref() {}, ref() {},
    read() { return readAll() || null; },
    pipe(target) { stdin.on('data', (text) => target.write(text)); return target; },
    async *[Symbol.asyncIterator]() { const text = readAll(); if (text) yield text; },
  });
  let given = false;
  const giveInput = () => {
    if (given || !['data', 'end', 'readable', 'close'].some((name) => stdin.listenerCount(name) > 0)) return false;
    given = true;
    if (stdin.listenerCount('readable') > 0) { stdin.emit('readable'); }
    const text = readAll();
    if (text) stdin.emit('data', text);
    stdin.emit('end');
    stdin.emit('close');
    return true;
  };

  const interfaces = [];
  class Interface extends EventEmitter {
    constructor() { super(); this.lines = null; this.closed = false; this.questions = []; interfaces.push(this); }
    #load() {
      if (this.lines === null) {
        const text = readAll();
        this.lines = text.split(/\r\n|\n|\r/);
        if (this.lines[this.lines.length - 1] === '') this.lines.pop();
      }
      return this.lines;
    }
    question(text, options, callback) { host.write(1, text); this.questions.push(callback ?? options); }
    prompt() {} setPrompt() {} pause() { return this; } resume() { return this; } write() {}
    close() { if (!this.closed) { this.closed = true; this.emit('close'); } }
    // Gives one line; false where there is nobody to give it to.
    give() {
      if (this.closed || this.iterated) return false;
      const listens = this.listenerCount('line') > 0 || this.listenerCount('close') > 0 || this.questions.length > 0;
      if (!listens) return false;
      const lines = this.#load();
      if (lines.length === 0) { this.close(); return true; }
      const line = lines.shift();
      const question = this.questions.shift();
      if (question) question(line); else this.emit('line', line);
      return true;
    }
    async *[Symbol.asyncIterator]() {
      this.iterated = true;
      const lines = this.#load();
      while (lines.length > 0 && !this.closed) yield lines.shift();
    }
  }

  // ---- modules

  const isInput = (path) => path === 0 || path === '/dev/stdin' || path === '/proc/self/fd/0';
  const fs = {
    readFileSync(path, options) {
      if (!isInput(path)) {
        throw Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: 'ENOENT' });
      }
      const text = readAll();
      const encoding = typeof options === 'string' ? options : options?.encoding;
      return encoding ? text : Buffer.from(text);
    },
    readSync(descriptor, buffer, offset = 0, length = buffer.length - offset) {
      unread ??= host.read();
      const bytes = host.encode(unread).subarray(0, length);
      buffer.set(bytes, offset);
      unread = host.decode(host.encode(unread).subarray(bytes.length));
      return bytes.length;
    },
    writeSync(descriptor, text) { put(descriptor, text); },
    writeFileSync(path, text) { host.write(path === '/dev/stderr' || path === 2 ? 2 : 1, String(text)); },
    existsSync: (path) => isInput(path),
  };
  const deepEqual = (a, b) => inspect(a, 1, [null]) === inspect(b, 1, [null]);
  const assert = Object.assign((holds, message) => { if (!holds) throw new Error(message ?? 'Assertion failed'); }, {
    ok(holds, message) { assert(holds, message); },
    equal(a, b, message) { assert(a == b, message); },
    strictEqual(a, b, message) { assert(Object.is(a, b), message); },
    deepEqual(a, b, message) { assert(deepEqual(a, b), message); },
    deepStrictEqual(a, b, message) { assert(deepEqual(a, b), message); },
  });
  const modules = {
    fs,
    readline: { createInterface: () => new Interface(), Interface },
    os: { EOL: '\n' },
    util: { inspect: (value) => inspect(value, 0, [null]), format, promisify: (call) => (...values) => new Promise((resolve, reject) => call(...values, (failure, value) => (failure ? reject(failure) : resolve(value)))) },
    events: Object.assign(EventEmitter, { EventEmitter }),
    assert,
    perf_hooks: { performance: { now: () => host.now() } },
    path: { join: (...parts) => parts.join('/'), basename: (path) => path.split('/').pop() },
    buffer: { Buffer },
  };
  globalThis.performance = modules.perf_hooks.performance;

  // ---- the process

  const process = new EventEmitter();
  Object.assign(process, {
    stdin,
    stdout: Object.assign(new EventEmitter(), { fd: 1, isTTY: false, columns: 80, write(text) { put(1, text); return true; }, end(text) { if (text !== undefined) put(1, text); } }),
    stderr: Object.assign(new EventEmitter(), { fd: 2, isTTY: false, write(text) { host.write(2, String(text)); return true; }, end() {} }),
    argv: ['node', 'program.js'], env: {}, platform: 'linux', pid: 1, version: 'v22.0.0', versions: { node: '22.0.0' },
    exitCode: undefined,
    exit(code) {
      const wanted = code ?? process.exitCode ?? 0;
      process.exitCode = wanted;
      if (!process.exiting) { process.exiting = true; process.emit('exit', wanted); }
      host.exit(Number(wanted) & 255);
      // The host ends the program at its next turn.
      for (;;);
    },
    nextTick: (callback, ...values) => { Promise.resolve().then(() => callback(...values)); },
    memoryUsage: () => ({ heapUsed: 0 }),
    uptime: () => host.now() / 1000,
    cwd: () => '/',
    hrtime: Object.assign(() => { const now = host.now(); return [Math.floor(now / 1000), Math.floor((now % 1000) * 1e6)]; }, { bigint: () => BigInt(Math.floor(host.now() * 1e6)) }),
  });
  globalThis.process = process;
  modules.process = process;
  globalThis.global = globalThis;
  globalThis.require = (name) => {
    const module = modules[String(name).replace(/^node:/, '')];
    if (module) return module;
    throw Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND', module: String(name) });
  };
  globalThis.module = { exports: {} };
  globalThis.exports = globalThis.module.exports;

  // ---- the call that tests make

  const { parse, stringify } = JSON;
  // The text of a value as JSON. It keeps the digits of a BigInt and says which number is no finite one.
  function encode(value, above = []) {
    switch (typeof value) {
      case 'bigint': return String(value);
      case 'number': return Number.isFinite(value) ? stringify(value) : String(value);
      case 'string': case 'boolean': return stringify(value);
      case 'object': break;
      default: return 'null';
    }
    if (value === null) return 'null';
    if (above.includes(value)) throw new TypeError('the returned value holds itself');
    if (typeof value.toJSON === 'function') return encode(value.toJSON(), [...above, value]);
    const below = [...above, value];
    if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[${Array.from(value, (item) => encode(item, below)).join(',')}]`;
    const names = Object.keys(value).filter((name) => value[name] !== undefined && typeof value[name] !== 'function');
    return `{${names.map((name) => `${stringify(name)}:${encode(value[name], below)}`).join(',')}}`;
  }

  // Called by the host once the program has defined its functions.
  function call(found, name, input) {
    if (typeof found !== 'function') throw new ReferenceError(`${name} is not defined`);
    const values = input.split('\n').filter((line) => line.trim() !== '').map((line) => parse(line));
    const answer = (value) => host.answer(encode(value) + '\n');
    const returned = found(...values);
    if (typeof returned?.then === 'function') returned.then(answer); else answer(returned);
  }

  // Called by the host when no promise is pending: does the next thing that waits; false where nothing does.
  function turn() {
    if (giveInput()) return true;
    if (interfaces.some((open) => open.give())) return true;
    if (waiting.length > 0) {
      const first = waiting.reduce((best, timer) => (timer.at < best.at || (timer.at === best.at && timer.order < best.order) ? timer : best));
      forget(first);
      host.sleep(first.at - host.now());
      if (first.repeat) { first.at += first.wait; waiting.push(first); }
      first.callback(...first.values);
      return true;
    }
    if (!process.exiting) { process.exiting = true; process.emit('exit', process.exitCode ?? 0); return true; }
    return false;
  }
  return { turn, call };
})
