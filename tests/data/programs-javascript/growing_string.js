// expect: memory-limit or runtime-error
let text = 'x';
for (;;) text += text + 'y';
