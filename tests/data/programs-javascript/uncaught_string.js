// expect: runtime-error: Error
throw 'a string';
