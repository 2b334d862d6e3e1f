/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Parameters as data: what there is for a suite, in which range, which policies read it, and how it is called in weir.yaml,
 * so that a sweep and a tuner can turn it. Suites are told by weir_sim_options.set, as "NAME=VALUE,NAME=VALUE".
 * In a name '-' and '_' are the same: options are written with the one, rows with the other. "on" is 1 and "off" is 0.
 */

#include "replay_params.h"
#include "sim.h"

enum {
    WEIR_SIM_AXES_MAX = 8,         /* parameters of one sweep */
    WEIR_SIM_SWEEP_RUNS_MAX = 512, /* combinations of a sweep */
    WEIR_SIM_SET_BYTES_MAX = 4096, /* of weir_sim_options.set as a sweep writes it */
};

/* What is known of a parameter beyond its range. A parameter that all read is one of the world, not a choice. */
struct weir_sim_turn {
    const char *name;
    const char *policies; /* comma-separated: those that read it; NULL: all */
    bool whole;           /* a whole number */
    bool tuned;           /* --tune turns it */
    bool by_ratio;        /* in steps of equal ratio */
    double from;          /* where --tune looks */
    double to;
    const char *key;  /* under policy: in weir.yaml; NULL: it is no setting of the broker */
    const char *unit; /* behind the value there */
};

/* The suite's parameters, *n of them; NULL where it has none. */
const struct weir_sim_param *weir_sim_params_of(const char *suite, size_t *n);
/* NULL where the suite has none of that name. */
const struct weir_sim_param *weir_sim_param_find(const char *suite, struct weir_sv name);
/* Never NULL: read by all policies where nothing is said. */
const struct weir_sim_turn *weir_sim_turn_of(const struct weir_sim_param *p);
/* Is the field of a case a parameter that some policies read, and so a choice? All others are the world's: rows that differ in them
 * are of different cases. */
bool weir_sim_is_choice(const char *suite, const char *field);
/* Does the policy read it? */
bool weir_sim_param_is_of(const struct weir_sim_param *p, const char *policy);
/* Its name as rows have it, with underscores. */
void weir_sim_param_field(const struct weir_sim_param *p, char *ret, size_t size);

/*
 * Reads "NAME=VALUE,NAME=VALUE" by a table of n parameters into v, leaving alone what is not set. NULL sets nothing; the last of
 * several counts. Errors: -WEIR_ENOTFOUND (lists those that there are), -WEIR_EINVAL, -WEIR_EOVERFLOW, naming the parameter.
 */
int weir_sim_params_read(const struct weir_sim_param *table, size_t n, const char *text, double *v, struct weir_err *err);

/* What a sweep asks for: for each parameter its values. */
struct weir_sim_axis {
    const struct weir_sim_param *param;
    size_t n;
    double v[WEIR_SIM_LIST_MAX];
};

struct weir_sim_sweep {
    size_t n;
    struct weir_sim_axis axis[WEIR_SIM_AXES_MAX];
};

/* "NAME=v1,v2 NAME=v": adds to *ret, which begins as {0}. Errors: as of weir_sim_params_read; -WEIR_ELIMIT. */
int weir_sim_sweep_parse(struct weir_sim_sweep *ret, const char *suite, const char *text, struct weir_err *err);
size_t weir_sim_sweep_runs(const struct weir_sim_sweep *s);

/*
 * Runs the suite once for the policies that read no swept parameter, and once for each combination for those that do. The swept
 * parameters stand in the case of their rows, and each row says by the metric "pareto" whether it is on the front
 * of cost and waiting (see measure.h). *result is to be released whatever happens. Errors: those of weir_sim_run_suite; -WEIR_EINVAL
 * where schedules are asked for, or no policy reads what is swept.
 */
int weir_sim_run_sweep(const char *suite, const struct weir_sim_options *o, const struct weir_sim_sweep *sweep,
                       struct weir_sim_result *result, struct weir_err *err);

/* ---- for the tuner ---- */

/* Runs the suite with the parameters set, and puts these into the cases of the rows that it adds. *result is initialised. */
int weir_sim_run_set(const struct weir_sim_suite *suite, const struct weir_sim_options *o, const struct weir_sim_param *const *param,
                     const double *v, size_t n, struct weir_sim_result *result, struct weir_err *err);
/* Gives every row its metric "pareto", where the suite has two metrics to weigh. */
void weir_sim_mark_pareto(struct weir_sim_result *result);
