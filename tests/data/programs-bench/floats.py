# Floating-point simulation of bodies.
bodies = [[i * 1.1, i * 0.7, 0.1, -0.1 * i, 1.0 + i] for i in range(6)]
for _ in range(16000):
    for i, p in enumerate(bodies):
        for q in bodies[i + 1:]:
            dx, dy = p[0] - q[0], p[1] - q[1]
            f = 0.001 / (dx * dx + dy * dy + 0.01) ** 1.5
            p[2] -= dx * q[4] * f
            p[3] -= dy * q[4] * f
            q[2] += dx * p[4] * f
            q[3] += dy * p[4] * f
    for p in bodies:
        p[0] += 0.001 * p[2]
        p[1] += 0.001 * p[3]
print("%.6f" % sum(p[0] for p in bodies))
