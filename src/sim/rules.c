/* SPDX-License-Identifier: Apache-2.0 */

#include "rules.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "findings.h"
#include "measure.h"
#include "params.h"

const struct weir_sim_rule weir_sim_rules[] = {
    {"weir-without-waiting", "weir", "Waiting for owned nodes where that is cheaper", "whatever finds no room is rented for at once"},
    {"weir-without-reservations", "weir", "Reserved starts", "whatever fits may start, even where that delays who is ahead"},
    {"weir-without-yielding", "weir", "Short tasks first", "run times do not count in the order"},
    {"weir-without-spot", "weir", "Spot machines where they pay", "only on-demand machines are rented"},
    {"weir-without-experience", "weir", "Learning boots, failed launches and reclaims from machines rented before", "machines are believed to be as clouds say"},
    {"weir-without-learning", "weir-no-estimates", "Learning run times from tasks that have ended",
     "nothing is known of a run time but what the work itself says"},
    {0},
};

bool weir_sim_policy_is_variant(const char *policy)
{
    for (const struct weir_sim_rule *rule = weir_sim_rules; rule->policy != NULL; rule++) {
        if (weir_streq(rule->policy, policy)) {
            return true;
        }
    }
    return false;
}

/* Runs the rules' policies in the case of a row, with its setting. */
static int run_beside(const struct weir_sim_suite *suite, const struct weir_sim_options *o, const struct weir_sim_row *row,
                      const char *policies, struct weir_sim_result *result, struct weir_err *err)
{
    const struct weir_sim_param *param[WEIR_SIM_FIELDS_MAX];
    double v[WEIR_SIM_FIELDS_MAX];
    char nodes[32] = "";
    char pools[WEIR_SIM_TEXT_SIZE + 1] = "";
    size_t n = 0;
    for (size_t i = 0; i < row->n_fields; i++) {
        const struct weir_sim_field *f = &row->field[i];
        const struct weir_sim_param *p = f->metric ? NULL : weir_sim_param_find(suite->name, weir_sv_of(f->name));
        if (p != NULL && weir_sim_row_real(row, f->name, &v[n])) {
            param[n++] = p;
        }
        if (!f->metric && weir_streq(f->name, "nodes")) {
            snprintf(nodes, sizeof nodes, "%" PRId64, f->u.count);
        }
        if (!f->metric && weir_streq(f->name, "pools")) {
            snprintf(pools, sizeof pools, "%s;", f->u.text); /* one of several */
        }
    }
    struct weir_sim_options run = *o;
    run.policies = policies;
    run.nodes = o->nodes == NULL ? NULL : nodes;
    run.pools = pools[0] == '\0' ? o->pools : pools;
    return weir_sim_run_set(suite, &run, param, v, n, result, err);
}

/* The policies that have no row yet with the setting of this one. */
static void missing_beside(const struct weir_sim_result *result, const struct weir_sim_row *row, const struct weir_sim_options *o,
                           struct weir_str *ret)
{
    weir_str_clear(ret);
    for (const struct weir_sim_rule *rule = weir_sim_rules; rule->policy != NULL; rule++) {
        const char *const policy[] = {rule->against, rule->policy};
        /* A rule is asked about where the policy that has it is. */
        for (size_t k = 0; k < WEIR_ARRAY_LEN(policy) && weir_sim_wants(o, rule->against); k++) {
            bool known = false;
            for (size_t i = 0; i < result->n_rows && !known; i++) {
                known = weir_streq(result->row[i].policy, policy[k]) && weir_sim_same_setting(result->suite, row, &result->row[i]);
            }
            if (!known) {
                weir_str_addf(ret, "%s%s", ret->n == 0 ? "" : ",", policy[k]);
            }
        }
    }
}

int weir_sim_run_rules(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    const struct weir_sim_suite *suite = weir_sim_suite_find(result->suite, err);
    if (suite == NULL || !suite->rules) {
        return weir_fail(err, -WEIR_EINVAL, "--rules: suite %s has no rules that could be left out; replay has", result->suite);
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str policies = WEIR_STR_INIT(1024);
    const size_t n = result->n_rows;
    bool any = false;
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        struct weir_sim_row row = result->row[i]; /* rows move as they are added */
        if (!weir_streq(row.policy, "weir") || weir_sim_row_meant(result, &result->row[i], "weir") != &result->row[i]) {
            continue;
        }
        any = true;
        missing_beside(result, &row, o, &policies);
        r = policies.n == 0 ? 0 : run_beside(suite, o, &row, weir_str_cstr(&policies), result, err);
    }
    if (r == 0 && !any) {
        r = weir_fail(err, -WEIR_EINVAL, "--rules: nothing to measure against: no row of policy weir did any work");
    }
    return r;
}
