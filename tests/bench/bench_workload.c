/* SPDX-License-Identifier: Apache-2.0 */
/* Reads work to its end and prints "jobs seconds memory_mib": bench_workload FILE */

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/str.h"
#include "sim/workload.h"

/* The most that this program has held; getrusage would count what its parent held before it began. */
static long most_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        struct weir_sv rest = weir_sv_of(line);
        int64_t v = 0;
        if (weir_sv_starts(rest, WEIR_SV("VmHWM:"))) {
            (void)weir_sv_cut(&rest, ':');
            rest = weir_sv_trim(rest);
            kib = weir_parse_i64(weir_sv_cut(&rest, ' '), 0, INT32_MAX, &v, NULL) == 0 ? (long)v : 0;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return kib;
}

int main(int argc, char **argv)
{
    struct weir_err err = {0};
    WEIR_CLEANUP(weir_sim_workload_freep) struct weir_sim_workload *w = NULL;
    struct weir_mono begin = weir_clock_mono(&weir_clock_os);
    int r = argc == 2 ? weir_sim_workload_open(&w, argv[1], NULL, NULL, &err) : weir_fail(&err, -WEIR_EINVAL, "name one file");
    struct weir_sim_job job;
    uint64_t n = 0;
    while (r >= 0 && (r = weir_sim_workload_next(w, &job, &err)) == 1) {
        n++;
    }
    if (r < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%" PRIu64 " %.3f %ld\n", n, (double)(weir_clock_mono(&weir_clock_os).us - begin.us) / 1e6, most_kib() / 1024);
    return 0;
}
