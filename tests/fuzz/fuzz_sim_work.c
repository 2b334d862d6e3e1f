/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's inputs: 'g' reads prices of the grid, 'p' spot prices, anything else work of whatever form it has. What is given
 * must be within bounds, in order, and the same a second time; what is refused must name the file.
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "fuzz.h"
#include "fuzz_file.h"
#include "cloud/grid.h"
#include "sim/spot_prices.h"
#include "sim/workload.h"

static uint64_t read_work(const char *path, bool as_it_stands)
{
    const struct weir_sim_workload_options options = {.window = 3, .as_it_stands = as_it_stands};
    WEIR_CLEANUP(weir_sim_workload_freep) struct weir_sim_workload *w = NULL;
    struct weir_err err = {0};
    struct weir_sim_job j;
    uint64_t sum = 0;
    int64_t last_us = INT64_MIN;
    int r = weir_sim_workload_open(&w, path, NULL, &options, &err);
    while (r >= 0 && (r = weir_sim_workload_next(w, &j, &err)) == 1) {
        WEIR_ASSERT(as_it_stands || j.submit.us >= last_us);
        WEIR_ASSERT(j.duration.us >= 0 && j.expected.us >= 0 && j.max_duration.us >= 0 && j.line > 0);
        WEIR_ASSERT(j.gpu_milli > 0 && j.gpu_milli <= WEIR_SIM_WHOLE_GPU && j.gpus <= 1000000 && j.nodes <= 1000000);
        WEIR_ASSERT(j.gpu_model == NULL || weir_utf8_is_text(weir_sv_of(j.gpu_model)));
        last_us = j.submit.us;
        sum = sum * 31 + (uint64_t)j.submit.us + (uint64_t)j.duration.us + j.gpus + j.id;
        sum = sum * 31 + strlen(weir_sim_workload_project(w, j.project)) + strlen(weir_sim_workload_user(w, j.user));
        WEIR_ASSERT(weir_sim_workload_permille(w) <= 1000);
    }
    WEIR_ASSERT(r >= 0 || strstr(err.text, path) != NULL);
    return r < 0 ? ~sum : sum + weir_sim_workload_skipped(w);
}

static uint64_t read_grid(const char *path)
{
    WEIR_CLEANUP(weir_grid_freep) struct weir_grid *g = NULL;
    struct weir_err err = {0};
    if (weir_grid_read(&g, path, &err) < 0) {
        WEIR_ASSERT(strstr(err.text, path) != NULL);
        return 1;
    }
    const struct weir_wall at[] = {{-WEIR_US_PER_DAY}, {0}, {WEIR_US_PER_DAY * 400}, {WEIR_US_PER_DAY * 20000}};
    weir_i128 sum = 0;
    for (size_t i = 1; i < WEIR_ARRAY_LEN(at); i++) {
        sum += weir_grid_integral(g, at[i - 1], at[i]);
        (void)weir_grid_energy(g, at[i - 1], at[i], WEIR_GRID_MILLIWATTS_MAX);
    }
    WEIR_ASSERT(sum == weir_grid_integral(g, at[0], at[WEIR_ARRAY_LEN(at) - 1]));
    return (uint64_t)sum;
}

static uint64_t read_prices(const char *path)
{
    WEIR_CLEANUP(weir_spot_prices_release) struct weir_spot_prices s = {0};
    struct weir_err err = {0};
    if (weir_spot_prices_read(&s, path, NULL, NULL, &err) < 0) {
        WEIR_ASSERT(strstr(err.text, path) != NULL);
        return 1;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < s.n; i++) {
        WEIR_ASSERT(weir_spot_prices_find(&s, s.p[i].instance, s.p[i].zone) == &s.p[i]);
        int64_t whole = weir_spot_series_integral(&s.p[i], s.p[i].p[0].at_s, s.end_s);
        WEIR_ASSERT(whole >= 0);
        sum = sum * 31 + (uint64_t)whole;
    }
    return sum;
}

static uint64_t read_any(const char *path, uint8_t what)
{
    switch (what) {
    case 'g':
        return read_grid(path);
    case 'p':
        return read_prices(path);
    default:
        return read_work(path, what == 'u');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 65536) {
        return 0;
    }
    char path[FUZZ_PATH_SIZE];
    WEIR_CLEANUP(weir_closep) int fd = fuzz_file(data + 1, size - 1, path);
    if (fd < 0) {
        return 0;
    }
    WEIR_ASSERT(read_any(path, data[0]) == read_any(path, data[0]));
    return 0;
}
