/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the readers of the forms share. */

#include "base/map.h"
#include "base/str.h"
#include "cloud/input.h"
#include "workload.h"

/* The times that a file may name: up to the year 9999, and runs of some centuries. */
#define WEIR_SIM_SUBMIT_S_MAX INT64_C(253402300799)
#define WEIR_SIM_DURATION_S_MAX INT64_C(10000000000)

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
    /* A table's columns and what stands between them; NULL: no table. */
    const struct weir_input_column *columns;
    size_t n_columns;
    char separator;
    /* Where a record names its job: number of the column plus one; 0: nowhere. */
    size_t name_at;
    /* What the file lacks, in words, once begun; NULL: nothing. May be NULL. */
    const char *(*lacks)(const struct weir_input *in);
    /* NULL: a file has the form if its first line names all columns that are not optional. */
    bool (*answers)(struct weir_sv first_line);
    /* More that is to be read, said or checked before the first record; may be NULL for a table. *ret_epoch_us, 0 before: what
     * submissions count from. */
    int (*begin)(struct weir_input *in, int64_t *ret_epoch_us, struct weir_err *err);
    /* The record that stands in the reader: 1: a job, 0: nothing to be replayed, or a negative code. *ret is zeroed, but
     * for gpu_milli (whole), cost_micro (not known), line, and id (number of the line). Counts what is skipped. */
    int (*read)(const struct weir_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                struct weir_err *err);
};

extern const struct weir_sim_form_reader weir_sim_form_swf;
extern const struct weir_sim_form_reader weir_sim_form_sacct;
extern const struct weir_sim_form_reader weir_sim_form_weir;
extern const struct weir_sim_form_reader weir_sim_form_philly;
extern const struct weir_sim_form_reader weir_sim_form_pai;
extern const struct weir_sim_form_reader weir_sim_form_openb;
extern const struct weir_sim_form_reader weir_sim_form_muri;

/* The number of a name, from 1; 0 where it is empty. Errors: -WEIR_ELIMIT naming file, line and column. */
int weir_sim_intern(const struct weir_input *in, size_t column, struct weir_interner *names, uint32_t *ret, struct weir_err *err);
/* The same for a GPU model that stands in that field; NULL where it is empty. */
int weir_sim_intern_model(const struct weir_input *in, size_t column, struct weir_sv model, struct weir_interner *models,
                          const char **ret, struct weir_err *err);

/*
 * The id of a job or of an array's task: "12", "12_3", which becomes 12000003, "12_[4-9]", what has not begun of an array, or
 * "12+1", a component of a job. Errors: -WEIR_EINVAL, naming file, line and column.
 */
int weir_sim_read_id(const struct weir_input *in, size_t column, uint64_t *ret, struct weir_err *err);
