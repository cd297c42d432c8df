// expect: time-limit: fuel
throw { toString() { for (;;); }, toJSON() { for (;;); } };
