/* SPDX-License-Identifier: Apache-2.0 */

/* Forms of work that are plain tables: published traces. */

#include "base/mem.h"
#include "workload_priv.h"

enum { US = 1000000 };

#define US_PER_HOUR INT64_C(3600000000)

/* ---- philly: seconds since 1970, GPUs, the group that sent the job ---- */

enum { PHILLY_SUBMIT, PHILLY_DURATION, PHILLY_GPUS, PHILLY_GROUP, PHILLY_COLUMNS };

static const struct weir_sim_column philly[PHILLY_COLUMNS] = {
    [PHILLY_SUBMIT] = {"submit_unix", false},
    [PHILLY_DURATION] = {"duration_s", false},
    [PHILLY_GPUS] = {"gpus", false},
    [PHILLY_GROUP] = {"vc", true},
};

static bool is_philly(struct weir_sv line)
{
    return weir_sim_names_columns(line, ',', philly, PHILLY_COLUMNS);
}

static int begin_philly(struct weir_sim_input *in, int64_t *ret_epoch_us, struct weir_err *err)
{
    *ret_epoch_us = 0;
    return weir_sim_input_is_table(in, ',', philly, PHILLY_COLUMNS, err);
}

static int read_philly(const struct weir_sim_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                       struct weir_err *err)
{
    (void)skipped;
    int64_t gpus = 0;
    int r = weir_sim_input_units(in, PHILLY_SUBMIT, WEIR_SIM_SUBMIT_S_MAX, US, &ret->submit.us, err);
    r = r < 0 ? r : weir_sim_input_units(in, PHILLY_DURATION, WEIR_SIM_DURATION_S_MAX, US, &ret->duration.us, err);
    r = r < 0 ? r : weir_sim_input_i64(in, PHILLY_GPUS, 0, WEIR_SIM_GPUS_MAX, &gpus, err);
    r = r < 0 ? r : weir_sim_intern(in, PHILLY_GROUP, &names->projects, &ret->project, err);
    ret->gpus = (uint32_t)gpus;
    ret->id = ret->line - 1;
    return r < 0 ? r : 1;
}

const struct weir_sim_form_reader weir_sim_form_philly = {
    .form = {"philly", "jobs of the Philly trace, or any with these columns", "submit_unix,duration_s,gpus[,vc]"},
    .answers = is_philly,
    .begin = begin_philly,
    .read = read_philly,
};

/* ---- pai: hours since the trace's begin ---- */

enum { PAI_SUBMIT, PAI_DURATION, PAI_UNITS, PAI_COLUMNS };

static const struct weir_sim_column pai[PAI_COLUMNS] = {
    [PAI_SUBMIT] = {"submit_h", false},
    [PAI_DURATION] = {"duration_h", false},
    [PAI_UNITS] = {"units", false},
};

static bool is_pai(struct weir_sv line)
{
    return weir_sim_names_columns(line, ',', pai, PAI_COLUMNS);
}

static int begin_pai(struct weir_sim_input *in, int64_t *ret_epoch_us, struct weir_err *err)
{
    *ret_epoch_us = 0;
    return weir_sim_input_is_table(in, ',', pai, PAI_COLUMNS, err);
}

static int read_pai(const struct weir_sim_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                    struct weir_err *err)
{
    (void)names;
    (void)skipped;
    int64_t gpus = 0;
    int r = weir_sim_input_units(in, PAI_SUBMIT, WEIR_SIM_DURATION_S_MAX / 3600, US_PER_HOUR, &ret->submit.us, err);
    r = r < 0 ? r : weir_sim_input_units(in, PAI_DURATION, WEIR_SIM_DURATION_S_MAX / 3600, US_PER_HOUR, &ret->duration.us, err);
    r = r < 0 ? r : weir_sim_input_i64(in, PAI_UNITS, 0, WEIR_SIM_GPUS_MAX, &gpus, err);
    ret->gpus = (uint32_t)gpus;
    ret->id = ret->line - 1;
    return r < 0 ? r : 1;
}

const struct weir_sim_form_reader weir_sim_form_pai = {
    .form = {"pai", "jobs sampled from Alibaba's PAI trace", "submit_h,duration_h,units"},
    .answers = is_pai,
    .begin = begin_pai,
    .read = read_pai,
};
