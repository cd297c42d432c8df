// expect: time-limit: fuel
for (;;) { try { throw new Error('again'); } catch { } }
