/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the readers of the forms share. */

#include "base/map.h"
#include "base/str.h"
#include "input.h"
#include "workload.h"

/* The times that a file may name: up to the year 9999, and runs up to 300 years. */
#define WEIR_SIM_SUBMIT_S_MAX INT64_C(253402300799)
#define WEIR_SIM_DURATION_S_MAX INT64_C(9467280000)

enum {
    WEIR_SIM_GPUS_MAX = 1000000, /* of one job */
    WEIR_SIM_NODES_MAX = 1000000,
    WEIR_SIM_NAMES_MAX = 1000000, /* projects, users */
    WEIR_SIM_MODELS_MAX = 4096,
};

struct weir_sim_names {
    struct weir_interner projects;
    struct weir_interner users;
    struct weir_interner models;
};

/* How a form is read. */
struct weir_sim_form_reader {
    struct weir_sim_form form;
    /* Does a file that begins with this line have the form? */
    bool (*answers)(struct weir_sv first_line);
    /* Says what kind of file it is and reads its head. *ret_epoch_us: what submissions count from. */
    int (*begin)(struct weir_sim_input *in, int64_t *ret_epoch_us, struct weir_err *err);
    /* The record that stands in the reader: 1: a job, 0: nothing to be replayed, or a negative code. *ret is zeroed, but
     * for gpu_milli (whole) and cost_micro (not known). Counts what is skipped. */
    int (*read)(const struct weir_sim_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                struct weir_err *err);
};

extern const struct weir_sim_form_reader weir_sim_form_swf;
extern const struct weir_sim_form_reader weir_sim_form_sacct;
extern const struct weir_sim_form_reader weir_sim_form_weir;
extern const struct weir_sim_form_reader weir_sim_form_philly;
extern const struct weir_sim_form_reader weir_sim_form_pai;
extern const struct weir_sim_form_reader weir_sim_form_openb;
extern const struct weir_sim_form_reader weir_sim_form_muri;

/* Does the line, cut at the separator, name all of the columns that are not optional? */
bool weir_sim_names_columns(struct weir_sv line, char separator, const struct weir_sim_column *column, size_t n);

/* The number of a name, from 1; 0 where it is empty. Errors: -WEIR_ELIMIT naming file, line and column. */
int weir_sim_intern(const struct weir_sim_input *in, size_t column, struct weir_interner *names, uint32_t *ret, struct weir_err *err);
/* The model in the field, NULL where it is empty. Errors: the same. */
int weir_sim_intern_model(const struct weir_sim_input *in, size_t column, struct weir_interner *models, const char **ret,
                          struct weir_err *err);
