/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The simulator's suites: published benchmarks replayed, each with its reference figures, the baselines as
 * rebuilt here, weir, and a bound. A suite is one row of a table and one function; everything that it is
 * told comes in as text, so that messages can name the option.
 */

#include "base/err.h"
#include "result.h"
#include "workload.h"

enum { WEIR_SIM_INPUTS_MAX = 16 };

/* The files that a run reads, as it finds them. Released with weir_sim_inputs_release. */
struct weir_sim_inputs {
    size_t n;
    char *path[WEIR_SIM_INPUTS_MAX];
};

void weir_sim_inputs_release(struct weir_sim_inputs *in);

/* What a person asked for. NULL: not given, then the suite's own default holds, files being sought under data. */
struct weir_sim_options {
    const char *data; /* folder of the public traces */
    const char *jobs;
    const char *nodes;
    const char *gpus_per_node;
    const char *trim;
    const char *traces;
    const char *windows;
    const char *deadlines;
    const char *overheads;
    const char *work;
    const char *node_list;
    const char *pods;
    const char *seeds;
    const char *series;
    const char *prices;
    const char *pools;       /* owned nodes of suite replay: "A100:8x16,V100:4x10" */
    const char *catalogue;   /* offers, as SkyPilot's CSV: "aws=FILE" */
    const char *cloud_price; /* one cloud at so much per GPU-hour */
    const char *reserved;    /* capacity that is paid for anyway: a file */
    const char *tariff;      /* price of a kWh over time: a file */
    const char *carbon;      /* grams of CO2 for a kWh over time: a file */
    const char *budget;      /* budgets, one a line, as behind "weir budget set": one set of them */
    const char *budgets;     /* sets of budgets: files of such lines, between ';' */
    const char *set;         /* parameters: "NAME=VALUE,NAME=VALUE", see params.h */
    const char *seed;
    const char *currency; /* what amounts of suite replay are in */
    const char *policies;
    const char *schedule; /* folder for schedules, one file a row */
    struct weir_sim_inputs *inputs; /* is told what is read; NULL: nobody asks */
    /* Called now and then with what is done of total; NULL: nobody looks. what: what is being done; unit: what is counted, in the
     * plural. Either may be NULL. */
    void (*progress)(void *user, const char *what, const char *unit, uint64_t done, uint64_t total);
    void *user;
};

struct weir_sim_suite {
    const char *name;
    const char *summary; /* one line, no full stop */
    const char *options; /* those of struct weir_sim_options that it reads, blank-separated, as on the command line */
    const char *policies; /* comma-separated, in the order shown; all are run unless some are named */
    bool rules; /* has policies without one of weir's rules each, besides (rules.h) */
    const char *no_schedule; /* why it does not read --schedule; NULL where it does */
    int (*run)(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err);
};

/* Ends with a row without a name. */
extern const struct weir_sim_suite weir_sim_suites[];

/* The suite of that name. NULL: there is none; err says which there are, and what is near. */
const struct weir_sim_suite *weir_sim_suite_find(const char *name, struct weir_err *err);
/* Adds "starburst, muri, ...". */
void weir_sim_suite_names(struct weir_str *out);

/* Runs the suite; *result is filled in and to be released whatever happens. Errors: -WEIR_EINVAL (no such suite, an option, a
 * record), -WEIR_ENOTFOUND (a file), others by the files. */
int weir_sim_run_suite(const char *name, const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err);

/* The suite of that name, once it is known that it reads the options given and has the policies. Errors: those of
 * weir_sim_run_suite. */
int weir_sim_suite_for(const struct weir_sim_suite **ret, const char *name, const struct weir_sim_options *o, struct weir_err *err);

/* ---- for suites ---- */

/* Where an input lies: the option's path, else data/otherwise; o->inputs takes note of it. The caller frees *ret. Errors: -WEIR_EINVAL names the option. */
int weir_sim_path(char **ret, const struct weir_sim_options *o, const char *given, const char *option, const char *otherwise,
                  struct weir_err *err);

/* For a file that an option names in another way. */
void weir_sim_note_input(const struct weir_sim_options *o, const char *path);

/* The file's name without folders and endings, cut where it is too long: for the case of a row. */
void weir_sim_name(const char *path, char *ret, size_t size);

/* Tells the result what of the work, which has been read to its end, was left out, and what it lacks. */
void weir_sim_note_work(struct weir_sim_result *result, const struct weir_sim_workload *w);

enum {
    WEIR_SIM_LIST_MAX = 64,
    WEIR_SIM_GPUS_PER_NODE_MAX = 32, /* that --gpus-per-node may say */
};

/* One number of min..max. Errors: -WEIR_EINVAL, -WEIR_EOVERFLOW; both name the option. */
int weir_sim_number(const char *text, const char *option, int64_t min, int64_t max, int64_t *ret, struct weir_err *err);

/* "48,64,80" or "42-51": at most WEIR_SIM_LIST_MAX numbers of min..max. Errors: -WEIR_EINVAL, -WEIR_EOVERFLOW. */
int weir_sim_list_i64(const char *text, const char *option, int64_t min, int64_t max, int64_t *ret, size_t *n, struct weir_err *err);
/* "0.02,0.05", as millionths. */
int weir_sim_list_micro(const char *text, const char *option, int64_t min, int64_t max, int64_t *ret, size_t *n,
                        struct weir_err *err);
/* Is the policy among those asked for (all where none was named)? */
bool weir_sim_wants(const struct weir_sim_options *o, const char *policy);
/* For work that is no count of things: "reading", in permille. */
void weir_sim_progress(const struct weir_sim_options *o, const char *what, uint64_t done, uint64_t total);

/* Counts the work of a suite as it gets done, and tells it. */
struct weir_sim_meter {
    const struct weir_sim_options *o;
    const char *unit; /* the things counted, in the plural */
    uint64_t total;
    uint64_t done;
};

/* n more are done. A meter that is NULL counts nothing. */
void weir_sim_meter_add(struct weir_sim_meter *m, uint64_t n);
