/* Bodies that attract each other. */
#include "../harness.h"
#include <math.h>

enum { BODIES = 96 };
struct plane {
    double x[BODIES], y[BODIES], vx[BODIES], vy[BODIES], mass[BODIES];
};
static struct plane plane;

__attribute__((noinline)) void attract(struct plane *all, double time)
{
    for (long i = 0; i < BODIES; i++) {
        double ax = 0, ay = 0;
        for (long k = 0; k < BODIES; k++) {
            double dx = all->x[k] - all->x[i], dy = all->y[k] - all->y[i];
            double square = dx * dx + dy * dy + 0.01;
            double force = all->mass[k] / (square * sqrt(square));
            ax += dx * force;
            ay += dy * force;
        }
        all->vx[i] += ax * time;
        all->vy[i] += ay * time;
    }
}

static void fill(uint64_t seed, int special)
{
    double *cells = (double *)&plane;
    for (size_t i = 0; i < sizeof plane / sizeof *cells; i++)
        cells[i] = special ? random_double(&seed) : (double)(i % 29) * 0.1;
}

static void prepare(void) { fill(1, 0); }

static void unit(void) { attract(&plane, 0.001); }

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    fill(seed, 1);
    attract(&plane, random_double(&seed));
    const double *cells = (const double *)&plane;
    for (size_t i = 0; i < sizeof plane / sizeof *cells; i++)
        digest = digest_double(digest, cells[i]);
    fill(1, 0);
    return digest;
}
