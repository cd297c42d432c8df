// expect: time-limit: fuel
for (;;);
