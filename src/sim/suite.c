/* SPDX-License-Identifier: Apache-2.0 */

/* The table of suites, and what suites have in common: finding files, reading lists. */

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/parse.h"
#include "rules.h"
#include "sim.h"
#include "sim_priv.h"

const struct weir_sim_suite weir_sim_suites[] = {
    {
        .name = "replay",
        .summary = "any recorded work on owned nodes and clouds",
        .options = "jobs pools nodes gpus-per-node catalogue cloud-price prices traces reserved tariff carbon budget budgets set seed currency schedule",
        .policies = "weir,weir-no-estimates,weir-shift,local-only,cloud-only,no-wait,constant-wait,starburst",
        .rules = true,
        .run = weir_sim_suite_replay,
    },
    {
        .name = "starburst",
        .summary = "wait for owned GPUs or go to the cloud: one cluster, one cloud",
        .options = "jobs nodes gpus-per-node trim set schedule",
        .policies = "no-wait,constant-wait,starburst,starburst-no-estimates,weir,weir-no-estimates",
        .run = weir_sim_suite_starburst,
    },
    {
        .name = "muri",
        .summary = "preemptive orders of deep-learning jobs on one cluster",
        .options = "jobs nodes gpus-per-node schedule",
        .policies = "fifo,srtf,srsf,tiresias-l,weir,weir-no-estimates",
        .run = weir_sim_suite_muri,
    },
    {
        .name = "openb",
        .summary = "placement of tasks that share GPUs, without departures",
        .options = "node-list pods seeds schedule",
        .policies = "random,dot-product,gpu-clustering,packing,best-fit,fgd,weir",
        .run = weir_sim_suite_openb,
    },
    {
        .name = "cant-be-late",
        .summary = "one task with a deadline on spot, on-demand or neither",
        .options = "traces windows deadlines overheads work schedule",
        .policies = "on-demand,greedy,time-sliced,uniform-progress,uniform-progress-no-hysteresis,slack,weir,optimum",
        .run = weir_sim_suite_cant_be_late,
    },
    {
        .name = "multizone",
        .summary = "one task with a deadline and several zones of spot",
        .options = "traces schedule",
        .policies = "on-demand,round-robin,slack,weir,optimum",
        .run = weir_sim_suite_multizone,
    },
    {
        .name = "prices",
        .summary = "spot price history: machines held, or moved to where it is cheap",
        .options = "prices overheads schedule",
        .policies = "hold,fixed-zone,cheapest-at-start,weir,optimum",
        .run = weir_sim_suite_prices,
    },
    {
        .name = "commitments",
        .summary = "how much capacity to reserve",
        .options = "jobs schedule",
        .policies = "on-demand,deterministic,randomised,constant-hindsight,optimum,weir",
        .run = weir_sim_suite_commitments,
    },
    {
        .name = "forecast",
        .summary = "demand one, three and 24 hours ahead",
        .options = "series",
        .policies = "persistence,day-ago,week-ago,ridge,weir",
        .no_schedule = "it forecasts demand, and runs nothing that a schedule could list",
        .run = weir_sim_suite_forecast,
    },
    {0},
};

enum { SUITES_MAX = 16 };

void weir_sim_suite_names(struct weir_str *out)
{
    for (const struct weir_sim_suite *s = weir_sim_suites; s->name != NULL; s++) {
        weir_str_addf(out, "%s%s", s == weir_sim_suites ? "" : ", ", s->name);
    }
}

const struct weir_sim_suite *weir_sim_suite_find(const char *name, struct weir_err *err)
{
    const char *names[SUITES_MAX + 1] = {0};
    size_t n = 0;
    for (const struct weir_sim_suite *s = weir_sim_suites; s->name != NULL && n < SUITES_MAX; s++) {
        if (weir_streq(s->name, name)) {
            return s;
        }
        names[n++] = s->name;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str all = WEIR_STR_INIT(256);
    weir_sim_suite_names(&all);
    const char *nearest = weir_nearest(weir_sv_of(name), names);
    weir_fail(err, -WEIR_EINVAL, "there is no suite '%s'%s%s%s; the suites are: %s", name,
              nearest == NULL ? "" : "; did you mean '", nearest == NULL ? "" : nearest, nearest == NULL ? "" : "'?",
              weir_str_cstr(&all));
    return NULL;
}

/* Every named policy must be one of the suite's: a typing error would otherwise run nothing. */
static int check_policies(const struct weir_sim_suite *s, const char *asked, struct weir_err *err)
{
    struct weir_sv rest = weir_sv_of(asked);
    while (rest.p != NULL) {
        struct weir_sv word = weir_sv_trim(weir_sv_cut(&rest, ','));
        struct weir_sv known = weir_sv_of(s->policies);
        bool found = false;
        while (known.p != NULL && !found) {
            found = weir_sv_eq(weir_sv_cut(&known, ','), word);
        }
        for (const struct weir_sim_rule *rule = weir_sim_rules; s->rules && rule->policy != NULL && !found; rule++) {
            found = weir_sv_eq(weir_sv_of(rule->policy), word);
        }
        if (!found) {
            return weir_fail(err, -WEIR_EINVAL, "--policies: suite %s has no policy '%.*s'; it has %s", s->name,
                             WEIR_SV_ARG(word), s->policies);
        }
    }
    return 0;
}

/* An option that the suite does not read is refused: its giver expects an effect. */
static int check_options(const struct weir_sim_suite *s, const struct weir_sim_options *o, struct weir_err *err)
{
    const struct {
        const char *name;
        const char *value;
    } given[] = {
        {"jobs", o->jobs},           {"nodes", o->nodes},         {"gpus-per-node", o->gpus_per_node},
        {"trim", o->trim},           {"traces", o->traces},       {"windows", o->windows},
        {"deadlines", o->deadlines}, {"overheads", o->overheads}, {"work", o->work},
        {"node-list", o->node_list}, {"pods", o->pods},           {"seeds", o->seeds},
        {"series", o->series},       {"prices", o->prices},       {"schedule", o->schedule},
        {"pools", o->pools},         {"catalogue", o->catalogue}, {"cloud-price", o->cloud_price},
        {"tariff", o->tariff},       {"carbon", o->carbon},       {"set", o->set},
        {"seed", o->seed},           {"reserved", o->reserved},   {"currency", o->currency},
        {"budget", o->budget},       {"budgets", o->budgets},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(given); i++) {
        bool reads = given[i].value == NULL;
        struct weir_sv rest = weir_sv_of(s->options);
        while (rest.p != NULL && !reads) {
            reads = weir_sv_eq(weir_sv_cut(&rest, ' '), weir_sv_of(given[i].name));
        }
        if (!reads && weir_streq(given[i].name, "schedule")) {
            return weir_fail(err, -WEIR_EINVAL, "--schedule means nothing to suite %s: %s", s->name, s->no_schedule);
        }
        if (!reads) {
            WEIR_CLEANUP(weir_str_release) struct weir_str all = WEIR_STR_INIT(256);
            for (rest = weir_sv_of(s->options); rest.p != NULL;) {
                struct weir_sv option = weir_sv_cut(&rest, ' ');
                weir_str_addf(&all, "%s--%.*s", all.n == 0 ? "" : ", ", WEIR_SV_ARG(option));
            }
            return weir_fail(err, -WEIR_EINVAL, "--%s means nothing to suite %s; it reads %s, --data, --policies, --json", given[i].name, s->name,
                             weir_str_cstr(&all));
        }
    }
    return 0;
}

int weir_sim_suite_for(const struct weir_sim_suite **ret, const char *name, const struct weir_sim_options *o, struct weir_err *err)
{
    const struct weir_sim_suite *s = weir_sim_suite_find(name, err);
    if (s == NULL) {
        return -WEIR_EINVAL;
    }
    int r = check_options(s, o, err);
    if (r == 0 && o->policies != NULL) {
        r = check_policies(s, o->policies, err);
    }
    *ret = r == 0 ? s : *ret;
    return r;
}

int weir_sim_run_suite(const char *name, const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    *result = (struct weir_sim_result){0};
    const struct weir_sim_suite *s = NULL;
    int r = weir_sim_suite_for(&s, name, o, err);
    if (r < 0) {
        return r;
    }
    weir_sim_result_init(result, s->name);
    return s->run(o, result, err);
}

void weir_sim_inputs_release(struct weir_sim_inputs *in)
{
    for (size_t i = 0; i < in->n; i++) {
        free(in->path[i]);
    }
    *in = (struct weir_sim_inputs){0};
}

void weir_sim_note_input(const struct weir_sim_options *o, const char *path)
{
    struct weir_sim_inputs *in = o->inputs;
    bool known = in == NULL || in->n == WEIR_SIM_INPUTS_MAX;
    for (size_t i = 0; !known && i < in->n; i++) {
        known = weir_streq(in->path[i], path);
    }
    if (!known) {
        in->path[in->n++] = weir_strdup(path);
    }
}

void weir_sim_note_work(struct weir_sim_result *result, const struct weir_sim_workload *w)
{
    const char *lacks = weir_sim_workload_lacks(w);
    result->left_out = weir_sim_workload_skipped(w);
    if (result->left_out > 0) {
        weir_sim_note(result, "%llu records of the work are left out: they never began, or have not ended", (unsigned long long)result->left_out);
    }
    if (lacks != NULL) {
        weir_sim_note(result, "%s", lacks);
    }
}

int weir_sim_path(char **ret, const struct weir_sim_options *o, const char *given, const char *option, const char *otherwise,
                  struct weir_err *err)
{
    if (given == NULL && o->data == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "say where the input is: --%s FILE, or --data DIR with %s in it", option, otherwise);
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str path = WEIR_STR_INIT(4096);
    if (given != NULL) {
        weir_str_adds(&path, given);
    } else {
        weir_str_addf(&path, "%s/%s", o->data, otherwise);
    }
    weir_sim_note_input(o, weir_str_cstr(&path));
    *ret = weir_str_take(&path);
    return 0;
}

void weir_sim_name(const char *path, char *ret, size_t size)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    size_t n = strcspn(base, ".");
    snprintf(ret, size, "%.*s", (int)(n == 0 || n >= size ? size - 1 : n), base);
}

int weir_sim_number(const char *text, const char *option, int64_t min, int64_t max, int64_t *ret, struct weir_err *err)
{
    int r = weir_parse_i64(weir_sv_of(text), min, max, ret, err);
    return r < 0 ? weir_fail_prefix(err, r, "--%s", option) : 0;
}

static int list_full(const char *option, struct weir_err *err)
{
    return weir_fail(err, -WEIR_ELIMIT, "--%s: more than %d values", option, WEIR_SIM_LIST_MAX);
}

/* A value that is named twice would run, and count, twice. */
static bool list_has(const int64_t *list, size_t n, int64_t v)
{
    size_t i = 0;
    while (i < n && list[i] != v) {
        i++;
    }
    return i < n;
}

int weir_sim_list_i64(const char *text, const char *option, int64_t min, int64_t max, int64_t *ret, size_t *n, struct weir_err *err)
{
    *n = 0;
    struct weir_sv rest = weir_sv_of(text);
    while (rest.p != NULL) {
        struct weir_sv word = weir_sv_trim(weir_sv_cut(&rest, ','));
        struct weir_sv to = word;
        struct weir_sv from = weir_sv_cut(&to, '-');
        if (from.n == 0) { /* a number below 0: no range */
            from = word;
            to = (struct weir_sv){0};
        }
        int64_t first = 0;
        int64_t last = 0;
        int r = weir_parse_i64(from, min, max, &first, err);
        last = first;
        if (r == 0 && to.p != NULL) {
            r = weir_parse_i64(to, min, max, &last, err);
        }
        if (r == 0 && last < first) {
            r = weir_fail(err, -WEIR_EINVAL, "%.*s runs backwards: the lower number comes first, %lld-%lld", WEIR_SV_ARG(word),
                          (long long)last, (long long)first);
        }
        if (r < 0) {
            return weir_fail_prefix(err, r, "--%s", option);
        }
        for (int64_t v = first; v <= last; v++) {
            if (*n == WEIR_SIM_LIST_MAX) {
                return list_full(option, err);
            }
            if (list_has(ret, *n, v)) {
                return weir_fail(err, -WEIR_EINVAL, "--%s: %lld is named twice", option, (long long)v);
            }
            ret[(*n)++] = v;
        }
    }
    return 0;
}

int weir_sim_list_micro(const char *text, const char *option, int64_t min, int64_t max, int64_t *ret, size_t *n,
                        struct weir_err *err)
{
    *n = 0;
    struct weir_sv rest = weir_sv_of(text);
    while (rest.p != NULL) {
        struct weir_sv word = weir_sv_trim(weir_sv_cut(&rest, ','));
        int64_t v = 0;
        int r = weir_parse_decimal(word, 6, &v, err);
        if (r == 0 && (v < min || v > max)) {
            r = weir_fail(err, -WEIR_EOVERFLOW, "%.*s is not between %g and %g", WEIR_SV_ARG(word), (double)min / 1e6,
                          (double)max / 1e6);
        }
        if (r < 0) {
            return weir_fail_prefix(err, r, "--%s", option);
        }
        if (*n == WEIR_SIM_LIST_MAX) {
            return list_full(option, err);
        }
        if (list_has(ret, *n, v)) {
            return weir_fail(err, -WEIR_EINVAL, "--%s: %.*s is named twice", option, WEIR_SV_ARG(word));
        }
        ret[(*n)++] = v;
    }
    return 0;
}

bool weir_sim_wants(const struct weir_sim_options *o, const char *policy)
{
    if (o->policies == NULL) {
        return true;
    }
    struct weir_sv rest = weir_sv_of(o->policies);
    while (rest.p != NULL) {
        if (weir_sv_eq(weir_sv_trim(weir_sv_cut(&rest, ',')), weir_sv_of(policy))) {
            return true;
        }
    }
    return false;
}

void weir_sim_progress(const struct weir_sim_options *o, const char *what, uint64_t done, uint64_t total)
{
    if (o->progress != NULL) {
        o->progress(o->user, what, NULL, done, total);
    }
}

void weir_sim_meter_add(struct weir_sim_meter *m, uint64_t n)
{
    if (m == NULL) {
        return;
    }
    m->done += n;
    if (m->o->progress != NULL) {
        m->o->progress(m->o->user, NULL, m->unit, m->done, m->total);
    }
}
