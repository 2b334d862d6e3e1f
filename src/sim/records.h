/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Records of published traces as they stand in their files, with figures that a suite needs and a job in general does not have.
 * Both the suites and the stream of work (workload.h) read them here.
 */

#include "cloud/input.h"

/* ---- Muri ---- */

enum { WEIR_MURI_COLUMNS = 6, WEIR_MURI_MODEL_SIZE = 64 };
extern const struct weir_input_column weir_muri_columns[WEIR_MURI_COLUMNS];

struct weir_muri_record {
    int64_t id;
    uint32_t gpus; /* > 0 */
    double submit_ms;
    int64_t iterations; /* > 0 */
    double iteration_ms;
    char model[WEIR_MURI_MODEL_SIZE]; /* cut where it is longer */
};

/* Errors: -WEIR_EINVAL, -WEIR_EOVERFLOW; file, line and column are named. */
int weir_muri_record_read(const struct weir_input *in, struct weir_muri_record *ret, struct weir_err *err);
/* More GPUs than there are, or than can be: names file, line and column. */
int weir_muri_record_fail_gpus(const struct weir_input *in, int code, struct weir_err *err);

/* ---- openb: tasks that share GPUs ---- */

enum { WEIR_OPENB_POD_COLUMNS = 9 };
extern const struct weir_input_column weir_openb_pod_columns[WEIR_OPENB_POD_COLUMNS];
/* Those of its columns that name the allowed GPU models, and when it was created. */
extern const size_t weir_openb_pod_spec;
extern const size_t weir_openb_pod_created;

struct weir_openb_pod {
    uint32_t cpu_milli;
    uint32_t mem_mib;
    uint16_t gpus;
    uint16_t gpu_milli; /* of each; 0 where gpus is 0, below 1000 only where it is 1 */
};

/* What it asks for. Errors: as above. */
int weir_openb_pod_read(const struct weir_input *in, struct weir_openb_pod *ret, struct weir_err *err);

struct weir_openb_pod_times {
    int64_t created_us;
    int64_t scheduled_us;
    int64_t deleted_us;
};

/* When it ran, since the trace's begin: 1, 0 where it never began or never ended, or a negative code. */
int weir_openb_pod_read_times(const struct weir_input *in, struct weir_openb_pod_times *ret, struct weir_err *err);
