/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Budgets and quotas for a replay, as data: each is what stands behind "weir budget set" or "weir quota set", and a set of them is a file with one a line, so that the
 * commands with which they were set in a broker can be replayed as they are.
 */

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "core/gpu.h"
#include "core/quota.h"

enum {
    WEIR_SIM_BUDGETS_MAX = 64, /* of a set */
    WEIR_SIM_BUDGETS_BYTES_MAX = 1 << 20,
    WEIR_SIM_BUDGET_TEXT_SIZE = 160,
};

struct weir_sim_budget {
    struct weir_budget def; /* its project or user has no number yet */
    char scope[WEIR_SIM_BUDGET_TEXT_SIZE]; /* as it was written */
    char whose[WEIR_SIM_BUDGET_TEXT_SIZE]; /* the project or user; "" for other scopes */
    int64_t spent_micro; /* before the work begins */
};

struct weir_sim_quota {
    struct weir_quota def; /* its project or user has no number yet, its model of GPU neither */
    char scope[WEIR_SIM_BUDGET_TEXT_SIZE]; /* as it was written */
    char whose[WEIR_SIM_BUDGET_TEXT_SIZE];
    char counts[WEIR_SIM_BUDGET_TEXT_SIZE]; /* "gpus:H100" */
    char model[32]; /* "": all */
    double limit; /* as it was written */
};

struct weir_sim_budget_set {
    const char *currency; /* that its amounts may name; borrowed, NULL: "USD" */
    size_t n;
    struct weir_sim_budget *budget; /* owned */
    size_t n_quotas;
    struct weir_sim_quota *quota; /* owned */
};

void weir_sim_budget_set_release(struct weir_sim_budget_set *set);
/*
 * Adds a budget for each line of the text: NAME --for SCOPE --amount AMOUNT [--span SPAN] [--from TIME --until TIME] [--counts all|cloud] [--at PERCENT:ACTION ..] [--spent AMOUNT],
 * which may stand behind "weir budget set"; or a quota behind "weir quota set": NAME --for SCOPE --counts WHAT[:MODEL] --limit N [--span SPAN] [--from TIME --until TIME]. Empty lines and what follows a '#' at the begin of a word say nothing; words with blanks stand in quotes. where names the text in messages.
 * Errors: -WEIR_EINVAL and those of the values, naming line and option; -WEIR_ELIMIT.
 */
int weir_sim_budgets_read(struct weir_sim_budget_set *set, const char *where, struct weir_sv text, struct weir_err *err);
/* The same out of a file. Errors: those of the file, too. */
int weir_sim_budgets_load(struct weir_sim_budget_set *set, const char *path, struct weir_err *err);
