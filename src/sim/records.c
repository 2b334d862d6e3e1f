/* SPDX-License-Identifier: Apache-2.0 */

#include "records.h"

#include <stdio.h>

#include "core/frag.h"

/* ---- Muri ---- */

enum { MURI_ID, MURI_GPUS, MURI_SUBMIT, MURI_ITERATIONS, MURI_MODEL, MURI_ITERATION_TIME };

const struct weir_input_column weir_muri_columns[WEIR_MURI_COLUMNS] = {
    [MURI_ID] = {"job_id", false},          [MURI_GPUS] = {"num_gpu", false},
    [MURI_SUBMIT] = {"submit_time", false}, [MURI_ITERATIONS] = {"iterations", false},
    [MURI_MODEL] = {"model_name", false},   [MURI_ITERATION_TIME] = {"iteration_time", false},
};

int weir_muri_record_read(const struct weir_input *in, struct weir_muri_record *ret, struct weir_err *err)
{
    static const double most_ms = 1e15;
    int64_t gpus = 0;
    int r = weir_input_i64(in, MURI_ID, 0, INT64_MAX, &ret->id, err);
    r = r < 0 ? r : weir_input_i64(in, MURI_GPUS, 1, UINT32_MAX, &gpus, err);
    r = r < 0 ? r : weir_input_real(in, MURI_SUBMIT, 0, most_ms, &ret->submit_ms, err);
    r = r < 0 ? r : weir_input_i64(in, MURI_ITERATIONS, 1, INT64_C(1) << 52, &ret->iterations, err);
    r = r < 0 ? r : weir_input_real(in, MURI_ITERATION_TIME, 1e-6, 1e12, &ret->iteration_ms, err);
    ret->gpus = (uint32_t)gpus;
    struct weir_sv model = weir_input_field(in, MURI_MODEL);
    snprintf(ret->model, sizeof ret->model, "%.*s", WEIR_SV_ARG(model));
    return r;
}

int weir_muri_record_fail_gpus(const struct weir_input *in, int code, struct weir_err *err)
{
    return weir_input_fail_field(in, MURI_GPUS, code, err);
}

/* ---- openb ---- */

enum { POD_NAME, POD_CPU, POD_MEMORY, POD_GPUS, POD_GPU_MILLI, POD_SPEC, POD_CREATED, POD_SCHEDULED, POD_DELETED };

const struct weir_input_column weir_openb_pod_columns[WEIR_OPENB_POD_COLUMNS] = {
    [POD_NAME] = {"name", true},
    [POD_CPU] = {"cpu_milli", false},
    [POD_MEMORY] = {"memory_mib", false},
    [POD_GPUS] = {"num_gpu", false},
    [POD_GPU_MILLI] = {"gpu_milli", false},
    [POD_SPEC] = {"gpu_spec", true},
    [POD_CREATED] = {"creation_time", true},
    [POD_SCHEDULED] = {"scheduled_time", true},
    [POD_DELETED] = {"deletion_time", true},
};
const size_t weir_openb_pod_spec = POD_SPEC;
const size_t weir_openb_pod_created = POD_CREATED;

int weir_openb_pod_read(const struct weir_input *in, struct weir_openb_pod *ret, struct weir_err *err)
{
    int64_t cpu = 0;
    int64_t mem = 0;
    int64_t gpus = 0;
    int64_t milli = 0;
    int r = weir_input_i64(in, POD_CPU, 0, UINT32_MAX, &cpu, err);
    r = r < 0 ? r : weir_input_i64(in, POD_MEMORY, 0, UINT32_MAX, &mem, err);
    r = r < 0 ? r : weir_input_i64(in, POD_GPUS, 0, WEIR_FRAG_GPUS_MAX, &gpus, err);
    r = r < 0 || gpus == 0 ? r : weir_input_i64(in, POD_GPU_MILLI, 1, WEIR_FRAG_GPU, &milli, err);
    if (r < 0) {
        return r;
    }
    if (gpus > 1 && milli < WEIR_FRAG_GPU) {
        r = weir_fail(err, -WEIR_EINVAL, "a share (gpu_milli %lld) of several GPUs (num_gpu %lld): only one GPU can be shared",
                      (long long)milli, (long long)gpus);
        return weir_input_fail(in, r, err);
    }
    *ret = (struct weir_openb_pod){(uint32_t)cpu, (uint32_t)mem, (uint16_t)gpus, (uint16_t)milli};
    return 0;
}

int weir_openb_pod_read_times(const struct weir_input *in, struct weir_openb_pod_times *ret, struct weir_err *err)
{
    static const int64_t most_s = INT64_C(10000000000);
    if (weir_input_field(in, POD_DELETED).n == 0 || weir_input_field(in, POD_SCHEDULED).n == 0) {
        return 0;
    }
    int r = weir_input_units(in, POD_CREATED, most_s, WEIR_US_PER_S, &ret->created_us, err);
    r = r < 0 ? r : weir_input_units(in, POD_SCHEDULED, most_s, WEIR_US_PER_S, &ret->scheduled_us, err);
    r = r < 0 ? r : weir_input_units(in, POD_DELETED, most_s, WEIR_US_PER_S, &ret->deleted_us, err);
    if (r == 0 && ret->deleted_us < ret->scheduled_us) {
        weir_fail(err, -WEIR_EINVAL, "before scheduled_time");
        return weir_input_fail_field(in, POD_DELETED, -WEIR_EINVAL, err);
    }
    return r < 0 ? r : 1;
}
