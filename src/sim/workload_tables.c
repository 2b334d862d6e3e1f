/* SPDX-License-Identifier: Apache-2.0 */

/* Forms of work that are published traces: one table each. */

#include "base/mem.h"
#include "records.h"
#include "workload_priv.h"

/* ---- philly: seconds since 1970, GPUs, the group that sent the job ---- */

enum { PHILLY_SUBMIT, PHILLY_DURATION, PHILLY_GPUS, PHILLY_GROUP, PHILLY_ID, PHILLY_COLUMNS };

static const struct weir_input_column philly[PHILLY_COLUMNS] = {
    [PHILLY_SUBMIT] = {"submit_unix", false},
    [PHILLY_DURATION] = {"duration_s", false},
    [PHILLY_GPUS] = {"gpus", false},
    [PHILLY_GROUP] = {"vc", true},
    [PHILLY_ID] = {"job_id", true},
};

static int read_philly(const struct weir_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                       struct weir_err *err)
{
    (void)skipped;
    int64_t gpus = 0;
    int r = weir_input_units(in, PHILLY_SUBMIT, WEIR_SIM_SUBMIT_S_MAX, WEIR_US_PER_S, &ret->submit.us, err);
    r = r < 0 ? r : weir_input_units(in, PHILLY_DURATION, WEIR_SIM_DURATION_S_MAX, WEIR_US_PER_S, &ret->duration.us, err);
    r = r < 0 ? r : weir_input_i64(in, PHILLY_GPUS, 0, WEIR_SIM_GPUS_MAX, &gpus, err);
    r = r < 0 ? r : weir_sim_intern(in, PHILLY_GROUP, &names->projects, &ret->project, err);
    ret->gpus = (uint32_t)gpus;
    return r < 0 ? r : 1;
}

const struct weir_sim_form_reader weir_sim_form_philly = {
    .form =
        {
            .name = "philly",
            .summary = "jobs of the Philly trace",
            .known_by = "submit_unix,duration_s,gpus",
            .place = {"column 'submit_unix'", "column 'duration_s'", "column 'gpus'"},
        },
    .columns = philly,
    .n_columns = PHILLY_COLUMNS,
    .separator = ',',
    .name_at = PHILLY_ID + 1,
    .read = read_philly,
};

/* ---- pai: hours since the trace's begin ---- */

enum { PAI_SUBMIT, PAI_DURATION, PAI_UNITS, PAI_ID, PAI_COLUMNS };

static const struct weir_input_column pai[PAI_COLUMNS] = {
    [PAI_SUBMIT] = {"submit_h", false},
    [PAI_DURATION] = {"duration_h", false},
    [PAI_UNITS] = {"units", false},
    [PAI_ID] = {"job_id", true},
};

static int read_pai(const struct weir_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                    struct weir_err *err)
{
    (void)names;
    (void)skipped;
    int64_t gpus = 0;
    int r = weir_input_units(in, PAI_SUBMIT, WEIR_SIM_DURATION_S_MAX / 3600, WEIR_US_PER_HOUR, &ret->submit.us, err);
    r = r < 0 ? r : weir_input_units(in, PAI_DURATION, WEIR_SIM_DURATION_S_MAX / 3600, WEIR_US_PER_HOUR, &ret->duration.us, err);
    r = r < 0 ? r : weir_input_i64(in, PAI_UNITS, 0, WEIR_SIM_GPUS_MAX, &gpus, err);
    ret->gpus = (uint32_t)gpus;
    return r < 0 ? r : 1;
}

const struct weir_sim_form_reader weir_sim_form_pai = {
    .form =
        {
            .name = "pai",
            .summary = "jobs sampled from Alibaba's PAI trace; units count as GPUs",
            .known_by = "submit_h,duration_h,units",
            .place = {"column 'submit_h'", "column 'duration_h'", "column 'units'"},
        },
    .columns = pai,
    .n_columns = PAI_COLUMNS,
    .separator = ',',
    .name_at = PAI_ID + 1,
    .read = read_pai,
};

/* ---- openb: tasks that may share a GPU ---- */

static int begin_openb(struct weir_input *in, int64_t *ret_epoch_us, struct weir_err *err)
{
    (void)ret_epoch_us;
    for (size_t i = weir_openb_pod_created; i < WEIR_OPENB_POD_COLUMNS; i++) {
        if (!weir_input_has(in, i)) {
            weir_fail(err, -WEIR_EINVAL, "there is no column '%s': it says what was asked for, but not when it ran",
                      weir_openb_pod_columns[i].name);
            return weir_input_fail(in, -WEIR_EINVAL, err);
        }
    }
    return 0;
}

static int read_openb(const struct weir_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                      struct weir_err *err)
{
    struct weir_openb_pod pod = {0};
    struct weir_openb_pod_times times = {0};
    int r = weir_openb_pod_read(in, &pod, err);
    r = r < 0 ? r : weir_sim_intern_model(in, weir_openb_pod_spec, weir_input_field(in, weir_openb_pod_spec), &names->models,
                                          &ret->gpu_model, err);
    r = r < 0 ? r : weir_openb_pod_read_times(in, &times, err);
    *skipped += r == 0;
    ret->submit.us = times.created_us;
    ret->start.us = times.scheduled_us;
    ret->duration.us = times.deleted_us - times.scheduled_us;
    ret->nodes = 1;
    ret->gpus = pod.gpus;
    ret->gpu_milli = pod.gpus == 0 ? WEIR_SIM_WHOLE_GPU : pod.gpu_milli;
    ret->cpu_milli = pod.cpu_milli;
    ret->mem_mib = pod.mem_mib;
    return r;
}

const struct weir_sim_form_reader weir_sim_form_openb = {
    .form =
        {
            .name = "openb",
            .summary = "tasks of Alibaba's openb trace, which may share a GPU",
            .known_by = "cpu_milli,memory_mib,num_gpu,gpu_milli",
            .place = {"column 'creation_time'", "column 'deletion_time'", "column 'num_gpu'"},
        },
    .columns = weir_openb_pod_columns,
    .n_columns = WEIR_OPENB_POD_COLUMNS,
    .separator = ',',
    .name_at = 1, /* the columns' first */
    .begin = begin_openb,
    .read = read_openb,
};

/* ---- muri: iterations and how long one takes ---- */

static int read_muri(const struct weir_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                     struct weir_err *err)
{
    (void)names;
    (void)skipped;
    struct weir_muri_record record = {0};
    int r = weir_muri_record_read(in, &record, err);
    if (r < 0) {
        return r;
    }
    double duration_us = (double)record.iterations * record.iteration_ms * 1000;
    if (record.gpus > WEIR_SIM_GPUS_MAX || duration_us > (double)WEIR_SIM_DURATION_S_MAX * 1e6) {
        weir_fail(err, -WEIR_EOVERFLOW, "%u GPUs for %g s: more than %d GPUs or %lld s are not understood", record.gpus,
                  duration_us / 1e6, WEIR_SIM_GPUS_MAX, (long long)WEIR_SIM_DURATION_S_MAX);
        return weir_input_fail(in, -WEIR_EOVERFLOW, err);
    }
    ret->id = (uint64_t)record.id;
    ret->submit.us = (int64_t)(record.submit_ms * 1000);
    ret->duration.us = (int64_t)duration_us;
    ret->gpus = record.gpus;
    return 1;
}

const struct weir_sim_form_reader weir_sim_form_muri = {
    .form =
        {
            .name = "muri",
            .summary = "deep-learning jobs as Muri's traces have them",
            .known_by = "job_id,num_gpu,submit_time,iterations,iteration_time",
            .place = {"column 'submit_time'", "column 'iterations'", "column 'num_gpu'"},
        },
    .columns = weir_muri_columns,
    .n_columns = WEIR_MURI_COLUMNS,
    .separator = ',',
    .name_at = 1, /* the columns' first */
    .read = read_muri,
};
