// expect: time-limit: fuel
/^(a+)+$/.test('a'.repeat(40) + 'b');
