/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes of all bodies. What a handler writes is checked against this table by the tests. */
#include "api/api_priv.h"
#include "api/rule.h"

/* clang-format off: tables, a row each */
#define WORDS(fn, enum_type, limit)                                                                \
    static const char *fn(unsigned i)                                                              \
    {                                                                                              \
        return weir_##enum_type##_name((enum weir_##enum_type)i);                                  \
    }

WORDS(lease_state_word, lease_state, WEIR_LEASE_STATE_MAX)
WORDS(market_word, market, WEIR_OFFER_MARKET_MAX)
WORDS(decision_word, decision, WEIR_DECISION_MAX)
WORDS(candidate_word, candidate_kind, WEIR_CANDIDATE_KIND_MAX)
WORDS(verdict_word, verdict, WEIR_VERDICT_MAX)

/* The core's words, and one for a rented machine that is not there yet. */
static const char *node_state_word(unsigned i)
{
    return i == WEIR_NODE_STATE_MAX ? "booting" : weir_node_state_name((enum weir_node_state)i);
}

const char *api_job_state_word(unsigned i)
{
    return weir_job_state_name((enum weir_job_state)i);
}

const char *api_task_state_word(unsigned i)
{
    return weir_task_state_name((enum weir_task_state)i);
}

/* The first reason is "none", which is null on the wire. */
static const char *reason_word(unsigned i)
{
    return weir_reason_name((enum weir_reason)(i + 1));
}

static const char *pool_kind_word(unsigned i)
{
    static const char *const words[] = {"placed", "delegated"};
    return words[i];
}

/* The first role is none. */
static const char *role_word(unsigned i)
{
    return weir_role_name((enum weir_role)(i + 1));
}
enum { ROLE_WORDS = WEIR_ROLE_MAX - 1 };

#define REASON .word = reason_word, .words = WEIR_REASON_MAX - 1
#define WORD(fn, limit) .word = (fn), .words = (limit)
#define FIELDS (const struct api_field[])
#define END {.name = NULL}

static const struct api_field job_spec_fields[] = {
    {"name", API_STRING, API_OPTIONAL, .summary = "shown in lists; derived from the command where not given"},
    {"project", API_STRING, API_OPTIONAL, .summary = "who pays; the user's own where not given"},
    {"tags", API_MAP_STRING, API_OPTIONAL, .summary = "free labels for chargeback"},
    {"resources", API_OBJECT, API_OPTIONAL, .summary = "accelerators, cpus, memory, gpu_memory, image_id, use_spot"},
    {"num_nodes", API_UINT, API_OPTIONAL, .summary = "nodes of one gang task"},
    {"array", API_STRING, API_OPTIONAL, .summary = "indices and how many at once: 0-99%10"},
    {"envs", API_MAP_STRING, API_OPTIONAL, .summary = "environment variables"},
    {"inputs", API_MAP_STRING, API_OPTIONAL, .summary = "path in the run: source"},
    {"outputs", API_MAP_STRING, API_OPTIONAL, .summary = "path in the run: destination"},
    {"workdir", API_STRING, API_OPTIONAL, .summary = "directory in which it runs"},
    {"setup", API_STRING, API_OPTIONAL, .summary = "shell text run before, once per attempt"},
    {"run", API_STRING, API_OPTIONAL, .summary = "shell text; exclusive with argv"},
    {"argv", API_STRINGS, API_OPTIONAL, .summary = "command run without a shell"},
    {"placement", API_OBJECT, API_OPTIONAL, .summary = "local, clouds, regions, same_zone"},
    {"deadline", API_STRING, API_OPTIONAL, .summary = "a time, or a duration from submission"},
    {"max_duration", API_STRING, API_OPTIONAL, .summary = "longest run of one attempt: 12h"},
    {"checkpoint", API_OBJECT, API_OPTIONAL, .summary = "path, every, signal, grace"},
    {"retries", API_UINT, API_OPTIONAL, .summary = "after failures of the task's own making"},
    {"priority", API_UINT, API_OPTIONAL, .summary = "0 to 1000, higher first; 50 where not given"},
    END,
};

static const struct api_field job_fields[] = {
    {"id", API_UINT},
    {"name", API_STRING},
    {"project", API_STRING, API_NULL},
    {"user", API_STRING, API_NULL},
    {"state", API_STRING, WORD(api_job_state_word, WEIR_JOB_STATE_MAX)},
    {"reason", API_STRING, API_NULL, REASON, .summary = "of the task that speaks for the job; impossible: nothing can run what waits of it; budget, quota: one has no room for it"},
    {"held_by", API_STRING, API_OPTIONAL, .summary = "the budget or quota that has no room for what waits of it"},
    {"priority", API_INT},
    {"tasks", API_UINT},
    {"pool", API_STRING, API_NULL},
    {"node", API_STRING, API_NULL, .summary = "of an array that of one task"},
    {"other_nodes", API_UINT, API_OPTIONAL, .summary = "how many others the array's tasks were on, by its first 256"},
    {"gpus", API_STRING, API_NULL, .summary = "what one node of a task asks for: A100:1"},
    {"exit_code", API_INT, API_NULL},
    {"submitted", API_TIME},
    {"started", API_TIME, API_NULL},
    {"ended", API_TIME, API_NULL},
    {"deadline", API_TIME, API_NULL},
    {"cost_micro", API_INT, .summary = "up to now"},
    {"accruing_micro", API_INT, .summary = "the part of it that is not in the ledger yet"},
    {"energy_mj", API_INT, API_NULL, .summary = "from the grid, in millijoules: with PUE; in the ledger so far; null: none of it is known"},
    {"carbon_ug", API_INT, API_NULL, .summary = "what that emitted, in micrograms of CO2e, as far as it is known; null: none of it is"},
    {"carbon_unknown_micro", API_INT, .summary = "the cost of use whose carbon is not known"},
    {"currency", API_STRING},
    {"array", API_STRING, API_NULL},
    {"tags", API_MAP_STRING, API_OPTIONAL, .summary = "single form only"},
    {"counts", API_MAP_UINT, API_OPTIONAL, .summary = "tasks by state; single form only"},
    {"spec", API_OBJECT, API_OPTIONAL, .summary = "canonical specification; single form only"},
    END,
};

static const struct api_field task_fields[] = {
    {"job", API_UINT},
    {"index", API_UINT, API_NULL, .summary = "array index; null where the job is no array"},
    {"ordinal", API_UINT},
    {"id", API_STRING, .summary = "12_7"},
    {"state", API_STRING, WORD(api_task_state_word, WEIR_TASK_STATE_MAX)},
    {"reason", API_STRING, API_NULL, REASON},
    {"text", API_STRING},
    {"attempt", API_UINT, .summary = "0: never started"},
    {"node", API_STRING, API_NULL},
    {"pool", API_STRING, API_NULL},
    {"gpus", API_UINTS, .summary = "device indices on the first node"},
    {"nodes", API_STRINGS, .summary = "by rank"},
    {"exit_code", API_INT, API_NULL},
    {"signal", API_INT},
    {"queued", API_TIME, API_NULL},
    {"started", API_TIME, API_NULL},
    {"ended", API_TIME, API_NULL},
    {"checkpointed", API_TIME, API_NULL},
    {"cost_micro", API_INT, .summary = "up to now"},
    {"accruing_micro", API_INT, .summary = "the part of it that is not in the ledger yet"},
    {"currency", API_STRING},
    END,
};

static const struct api_field learned_fields[] = {
    {"launches", API_INT, .summary = "of this very offer in the last eight weeks, that came up or failed"},
    {"failures", API_INT},
    {"launches_of_market", API_INT, .summary = "the same of all that its provider has of the market: they count too, less"},
    {"boot_s", API_INT, .summary = "from launch to the agent's join, as is believed by now"},
    {"boot_listed_s", API_INT, .summary = "the same as the offer says"},
    {"lost_s", API_INT, .summary = "on launches that fail, for each that comes up"},
    {"reclaims", API_INT},
    {"lived_s", API_INT, .summary = "while they could be taken back"},
    {"reclaim_ppm_per_hour", API_INT, .summary = "chance of losing it, in millionths, as is believed by now"},
    {"reclaim_listed_ppm_per_hour", API_INT},
    END,
};

static const struct api_field provider_quota_fields[] = {
    {"name", API_STRING, .summary = "as its provider calls it"},
    {"unit", API_STRING, .summary = "vCPUs, GPUs, machines or MiB of memory"},
    {"limit", API_INT},
    {"used", API_INT, .summary = "by all machines of the account, as far as is known by now"},
    {"needed", API_INT, .summary = "what one machine of the offer takes"},
    END,
};

static const struct api_field offer_fields[] = {
    {"provider", API_STRING},
    {"region", API_STRING},
    {"zone", API_STRING, API_NULL},
    {"instance_type", API_STRING},
    {"market", API_STRING, WORD(market_word, WEIR_OFFER_MARKET_MAX)},
    {"gpu", API_STRING, API_NULL},
    {"gpus", API_UINT},
    {"gpu_mem_mib", API_UINT},
    {"cpu_milli", API_UINT},
    {"mem_mib", API_UINT},
    {"price_micro_per_hour", API_INT},
    {"price_micro_per_gpu_hour", API_INT, API_NULL},
    {"currency", API_STRING},
    {"original_currency", API_STRING, API_NULL, .summary = "that it is priced in, where that is not the ledger's"},
    {"original_micro_per_hour", API_INT, API_NULL, .summary = "its price in that"},
    {"exchange_rate", API_STRING, API_NULL, .summary = "what a unit of it is in the ledger's"},
    {"source", API_STRING},
    {"as_of", API_TIME, API_NULL},
    {"age_s", API_INT, API_NULL},
    {"launchable", API_BOOL, .summary = "a configured provider can rent it"},
    {"learned", API_REF, API_NULL, "Learned"},
    {"quota", API_REF, API_NULL, "OfferQuota", .summary = "its provider's that has least room for it, where that is known"},
    {"verdict", API_STRING, .summary = "included, or excluded; provider_quota: is what was asked for, and beyond that quota"},
    {"reason", API_STRING, API_NULL, .summary = "why it is excluded, or cannot be had now"},
    END,
};

static const char *feed_word(unsigned state)
{
    static const char *const word[] = {"answered", "failed", "late", "none"};
    return word[state];
}

static const struct api_field feed_fields[] = {
    {"provider", API_STRING},
    {"state", API_STRING, WORD(feed_word, 4), .summary = "failed, late: what is known is older; none: it was not asked yet"},
    {"as_of", API_TIME, API_NULL, .summary = "its last answer; null: none since the broker started"},
    {"age_s", API_INT, API_NULL},
    {"offers", API_UINT, .summary = "known of it; 0 while it has not answered: then the catalogue's are listed"},
    {"text", API_STRING, API_NULL, .summary = "what is the matter with its prices"},
    END,
};

static const struct api_field quote_fields[] = {
    {"provider", API_STRING},
    {"region", API_STRING},
    {"instance_type", API_STRING},
    {"market", API_STRING, WORD(market_word, WEIR_OFFER_MARKET_MAX)},
    {"price_micro_per_hour", API_INT},
    {"source", API_STRING},
    {"as_of", API_TIME, API_NULL},
    END,
};

static const struct api_field candidate_fields[] = {
    {"kind", API_STRING, WORD(candidate_word, WEIR_CANDIDATE_KIND_MAX)},
    {"verdict", API_STRING, WORD(verdict_word, WEIR_VERDICT_MAX)},
    {"verdict_text", API_STRING},
    {"node", API_STRING, API_NULL},
    {"lease", API_UINT, API_NULL},
    {"offer", API_REF, API_NULL, "Quote"},
    {"start_delay_s", API_INT},
    {"run_micro", API_INT},
    {"boot_s", API_INT, API_OPTIONAL, .summary = "of an offer: launch to the agent's join, as was believed"},
    {"reclaim_ppm_per_hour", API_INT, API_OPTIONAL, .summary = "of a spot offer: chance of losing it, in millionths, as was believed"},
    {"boot_micro", API_INT},
    {"failure_micro", API_INT, API_OPTIONAL, .summary = "launches that come to nothing before"},
    {"egress_micro", API_INT},
    {"reclaim_micro", API_INT},
    {"wait_micro", API_INT},
    {"shadow_micro", API_INT},
    {"total_micro", API_INT},
    END,
};

static const struct api_field explain_item_fields[] = {
    {"seq", API_UINT},
    {"at", API_TIME, API_NULL},
    {"task", API_STRING, API_NULL},
    {"attempt", API_UINT},
    {"decision", API_STRING, WORD(decision_word, WEIR_DECISION_MAX)},
    {"other", API_STRING, API_NULL, .summary = "the task that it gives way to"},
    {"node", API_STRING, API_NULL},
    {"lease", API_UINT, API_NULL},
    {"reason", API_STRING, API_NULL, REASON},
    {"queue_ahead", API_UINT},
    {"expected_run_s", API_INT},
    {"margin_micro", API_INT, API_NULL, .summary = "second best minus chosen"},
    {"considered", API_UINT},
    {"rejected", API_MAP_UINT, .summary = "how many candidates by verdict"},
    {"zone", API_STRING, API_OPTIONAL, .summary = "of a gang that asks for one zone: in which all of its nodes are; of owned nodes their region, \"\" where that is not known"},
    {"again_at", API_TIME, API_OPTIONAL, .summary = "when the first of the offers that are left alone may be asked for: with no_capacity, quota or failed in rejected"},
    {"budget", API_REF, API_OPTIONAL, "Shortage", .summary = "the one that is most in the way of what was rejected for a budget"},
    {"quota", API_REF, API_OPTIONAL, "QuotaShortage", .summary = "the same of quotas"},
    {"provider_quota", API_REF, API_OPTIONAL, "ProviderQuotaShortage", .summary = "what its provider allows of the best offer that was rejected for that"},
    {"candidates", API_LIST, .ref = "Candidate", .summary = "the best ones"},
    {"text", API_STRING, .summary = "one paragraph for a person"},
    END,
};

static const struct api_field node_fields[] = {
    {"id", API_UINT},
    {"name", API_STRING},
    {"pool", API_STRING},
    {"state", API_STRING, WORD(node_state_word, WEIR_NODE_STATE_MAX + 1)},
    {"joined", API_BOOL},
    {"gpu", API_STRING, API_NULL},
    {"gpus", API_UINT},
    {"gpus_free", API_UINT},
    {"gpu_mem_mib", API_UINT},
    {"cpu_milli", API_UINT},
    {"cpu_free_milli", API_UINT},
    {"mem_mib", API_UINT},
    {"mem_free_mib", API_UINT},
    {"declared", API_BOOL, .summary = "its GPUs are declared, not found"},
    {"lease", API_UINT, API_NULL},
    {"running", API_UINT},
    {"since", API_TIME, API_NULL},
    {"seen", API_TIME, API_NULL},
    {"address", API_STRING},
    {"energy", API_STRING},
    {"unfit", API_STRING, .summary = "why its host could start nothing, during the pause after that; else empty"},
    {"rate_full_micro_per_hour", API_INT},
    {"currency", API_STRING},
    {"rate_marginal_micro_per_hour", API_INT},
    END,
};

static const struct api_field lease_fields[] = {
    {"id", API_UINT},
    {"state", API_STRING, WORD(lease_state_word, WEIR_LEASE_STATE_MAX)},
    {"provider", API_STRING},
    {"region", API_STRING},
    {"instance_type", API_STRING},
    {"market", API_STRING, WORD(market_word, WEIR_OFFER_MARKET_MAX)},
    {"gpus", API_UINT},
    {"gpu", API_STRING, API_NULL},
    {"instance", API_STRING, API_NULL},
    {"node", API_UINT, API_NULL},
    {"job", API_UINT, API_NULL, .summary = "for which it was rented"},
    {"price_micro_per_hour", API_INT, .summary = "the quote"},
    {"price_now_micro_per_hour", API_INT, .summary = "what it is charged now, or was at its end: the quote, unless its provider's price for it has moved"},
    {"priced", API_TIME, API_NULL, .summary = "since when that price holds; null: since its beginning"},
    {"original_currency", API_STRING, API_NULL, .summary = "that it is priced in, where that is not the ledger's"},
    {"original_micro_per_hour", API_INT, API_NULL, .summary = "its price in that"},
    {"exchange_rate", API_STRING, API_NULL, .summary = "what a unit of it is in the ledger's"},
    {"intent", API_TIME, API_NULL},
    {"confirmed", API_TIME, API_NULL},
    {"ready", API_TIME, API_NULL},
    {"reclaim", API_TIME, API_NULL},
    {"ended", API_TIME, API_NULL},
    {"expires", API_TIME, API_NULL},
    {"reclaimed", API_BOOL},
    {"failure", API_STRING, API_NULL, .summary = "why it did not come to be, or was given up: no_capacity, quota, throttled, refused, boot_failed, fell_short"},
    {"cost_micro", API_INT, .summary = "by its prices, so far"},
    {"currency", API_STRING},
    {"text", API_STRING},
    END,
};

static const struct api_field bill_row_fields[] = {
    {"gpu_hours_milli", API_UINT},
    {"used_micro", API_INT},
    {"idle_micro", API_INT},
    {"waste_boot_micro", API_INT},
    {"waste_lost_micro", API_INT},
    {"waste_failed_micro", API_INT},
    {"total_micro", API_INT},
    {"adjust_micro", API_INT, API_OPTIONAL, .summary = "view price: what rules charge beyond total_micro"},
    {"price_micro", API_INT, API_OPTIONAL, .summary = "view price: both together"},
    {"cost_provider_micro", API_INT},
    {"cost_depreciation_micro", API_INT},
    {"cost_energy_micro", API_INT},
    {"cost_upkeep_micro", API_INT},
    {"energy_mj", API_INT, API_NULL, .summary = "from the grid, in millijoules: with PUE; null: none of it is known"},
    {"carbon_ug", API_INT, API_NULL, .summary = "what that emitted, in micrograms of CO2e, as far as it is known; null: none of it is"},
    {"carbon_unknown_micro", API_INT, .summary = "the cost of use whose carbon is not known"},
    {"idle_energy_mj", API_INT, API_NULL, .summary = "of that, while nobody used it"},
    {"idle_carbon_ug", API_INT, API_NULL},
    END,
};

static const char *use_account_word(unsigned i)
{
    return weir_account_name((enum weir_account)(WEIR_ACCOUNT_JOB + i)); /* price stands behind them */
}

static const struct api_field charge_fields[] = {
    {"from", API_TIME, .summary = "within one period"},
    {"to", API_TIME},
    {"late", API_TIME, API_NULL, .summary = "when it is billed, as its own month was closed; null: when it was"},
    {"account", API_STRING, WORD(use_account_word, WEIR_ACCOUNT_MARGIN - WEIR_ACCOUNT_JOB)},
    {"rule", API_UINT, API_NULL, .summary = "account price: by which"},
    {"spread_by", API_STRING, API_NULL, .summary = "use or weight, where that rule shares out idle time; null: it does not"},
    {"amount_micro", API_INT, .summary = "negative where corrections took back more than was charged"},
    {"original_currency", API_STRING, API_NULL, .summary = "of the bill that it came from, where that is not the ledger's"},
    {"original_micro", API_INT, .summary = "the amount in it"},
    {"held_us", API_INT, .summary = "how long it held the node or a part of it; 0: a correction or an instant"},
    {"gpu_us", API_UINT, .summary = "GPU-microseconds that runs occupied"},
    {"energy_mj", API_INT, API_NULL, .summary = "from the grid, in millijoules: with PUE; null: none of it is known"},
    {"carbon_ug", API_INT, API_NULL, .summary = "what that emitted, in micrograms of CO2e, as far as it is known; null: none of it is"},
    {"carbon_unknown_micro", API_INT, .summary = "the cost of use whose carbon is not known"},
    {"node", API_UINT},
    {"node_name", API_STRING, API_NULL},
    {"lease", API_UINT, API_NULL, .summary = "null: an owned node"},
    {"pool", API_STRING, API_NULL},
    {"project", API_STRING, API_NULL},
    {"user", API_STRING, API_NULL},
    {"job", API_UINT, API_NULL},
    {"job_name", API_STRING, API_NULL},
    {"tags", API_MAP_STRING, .summary = "of the job"},
    {"currency", API_STRING},
    END,
};

static const struct api_field correction_fields[] = {
    {"id", API_UINT},
    {"at", API_TIME},
    {"kind", API_STRING, WORD(api_correction_word, API_CORRECTION_KINDS)},
    {"amount_micro", API_INT, .summary = "negative: less cost"},
    {"currency", API_STRING},
    {"user", API_STRING, .summary = "who made it"},
    {"reason", API_STRING},
    END,
};

static const struct api_field project_fields[] = {
    {"name", API_STRING},
    {"weight", API_UINT},
    {"delay_cost_micro_per_hour", API_INT},
    {"spent_micro", API_INT, .summary = "used by its jobs"},
    {"total_micro", API_INT, .summary = "used and wasted"},
    {"waste_micro", API_INT, .summary = "boot, lost work and failed tasks"},
    {"currency", API_STRING},
    {"by_pool", API_LIST, API_OPTIONAL, "PoolCost", .summary = "single form only"},
    {"members", API_LIST, API_OPTIONAL, "Member", .summary = "single form only"},
    END,
};

static const char *budget_span_word(unsigned i)
{
    return weir_budget_span_name((enum weir_budget_span)i);
}

static const char *quota_counts_word(unsigned i)
{
    return weir_quota_counts_name((enum weir_quota_counts)i);
}

static const struct api_field quota_fields[] = {
    {"name", API_STRING},
    {"scope", API_STRING, .summary = "organisation, project:NAME, user:NAME or tag:KEY=VALUE"},
    {"counts", API_STRING, WORD(quota_counts_word, WEIR_QUOTA_COUNTS_MAX)},
    {"gpu", API_STRING, API_NULL, .summary = "only GPUs of this model; null: all"},
    {"unit", API_STRING, .summary = "of the numbers: gpu, gpu_s (GPU-seconds), machine or task"},
    {"span", API_STRING, WORD(budget_span_word, WEIR_BUDGET_SPAN_MAX)},
    {"from", API_TIME, API_NULL, .summary = "of the span that is under way; null: it has no beginning"},
    {"until", API_TIME, API_NULL, .summary = "its end; null: it has none"},
    {"limit", API_INT},
    {"used", API_INT, .summary = "now; of gpu-hours: in the span so far"},
    {"held", API_INT, .summary = "of gpu-hours: what runs may still take at worst"},
    {"left", API_INT, .summary = "neither used nor held; of one that shares: of its own share"},
    {"borrow", API_STRING, API_NULL, .summary = "how many GPUs more it may use of what others of its kind do not use, or all; null: it neither lends nor borrows"},
    {"borrowed", API_INT, .summary = "of what is used, how much is others'"},
    END,
};

static const struct api_field budget_fields[] = {
    {"name", API_STRING},
    {"scope", API_STRING, .summary = "organisation, project:NAME, user:NAME or tag:KEY=VALUE"},
    {"span", API_STRING, WORD(budget_span_word, WEIR_BUDGET_SPAN_MAX)},
    {"from", API_TIME, API_NULL, .summary = "of the span that is under way"},
    {"until", API_TIME, API_NULL, .summary = "its end; null: it has none"},
    {"cloud_only", API_BOOL},
    {"amount_micro", API_INT},
    {"spent_micro", API_INT, .summary = "in the span"},
    {"held_micro", API_INT, .summary = "what runs, and rented machines, may still cost at worst"},
    {"left_micro", API_INT, .summary = "neither spent nor held"},
    {"forecast_micro", API_INT, API_NULL, .summary = "spent at the span's end, if it goes on as since the span began"},
    {"forecast_error_micro", API_INT, API_NULL, .summary = "one standard deviation, where days vary by as much as they are on average"},
    {"runs_out", API_TIME, API_NULL, .summary = "when all of it is spent, if it goes on so; null: not in this span"},
    {"thresholds", API_STRINGS},
    {"reached", API_STRINGS, .summary = "those of them that are"},
    {"currency", API_STRING},
    END,
};

#define POLICY_FIELDS                                                                                                               \
    {"effect", API_STRING, .summary = "allow or deny"},                                                                             \
    {"order", API_UINT, API_OPTIONAL, .summary = "lower ones are asked first; 100 where not given"},                                \
    {"project", API_STRING, API_OPTIONAL, .summary = "glob"}, {"user", API_STRING, API_OPTIONAL, .summary = "glob"},                \
    {"image", API_STRING, API_OPTIONAL, .summary = "glob; of jobs in a container"},                                                 \
    {"without_tag", API_STRING, API_OPTIONAL, .summary = "jobs that lack the tag: KEY, or KEY=GLOB,GLOB..."},                       \
    {"nodes_above", API_UINT, API_OPTIONAL, .summary = "jobs on more nodes"},                                                       \
    {"duration_above", API_STRING, API_OPTIONAL, .summary = "jobs whose max_duration is longer: 24h"},                              \
    {"place", API_STRING, API_OPTIONAL, .summary = "anywhere, owned or rented"},                                                    \
    {"provider", API_STRING, API_OPTIONAL, .summary = "glob"}, {"region", API_STRING, API_OPTIONAL, .summary = "glob"},             \
    {"gpu", API_STRING, API_OPTIONAL, .summary = "glob on the model's name"},                                                       \
    {"market", API_STRING, API_OPTIONAL, .summary = "any, spot or on-demand"},                                                      \
    {"price_above", API_STRING, API_OPTIONAL, .summary = "rented machines that cost more per hour, in money: \"20.00\""},           \
    {"from", API_STRING, API_OPTIONAL, .summary = "holds from then: RFC 3339"},                                                     \
    {"until", API_STRING, API_OPTIONAL, .summary = "and until then"},                                                               \
    {"reason", API_STRING, API_OPTIONAL, .summary = "said to who is denied"}

static const struct api_field policy_fields[] = {
    {"name", API_STRING},
    POLICY_FIELDS,
    {"version", API_UINT, .summary = "of all policies, when it was set"},
    END,
};

static const struct api_field alert_fields[] = {
    {"id", API_UINT},
    {"condition", API_STRING, .summary = "what is the matter: node-lost, budget-threshold, ..."},
    {"severity", API_STRING, .summary = "warning or critical"},
    {"state", API_STRING, WORD(api_alert_state_word, API_ALERT_STATES)},
    {"key", API_STRING, .summary = "makes it the same alert the next time"},
    {"project", API_STRING, API_NULL},
    {"text", API_STRING},
    {"began", API_TIME, .summary = "to fire, the last time"},
    {"since", API_TIME, .summary = "in this state, or in its last step"},
    {"times", API_UINT, .summary = "that it began to fire"},
    {"acknowledged_by", API_STRING, API_NULL},
    {"acknowledged", API_TIME, API_NULL},
    {"silenced_by", API_STRING, API_NULL},
    {"silenced_until", API_TIME, API_NULL},
    {"told", API_LIST, API_OPTIONAL, .ref = "AlertTold", .summary = "who was told; not for everybody"},
    END,
};

static const struct api_field event_fields[] = {
    {"id", API_UINT},
    {"at", API_TIME, API_NULL},
    {"kind", API_STRING},
    {"job", API_UINT, API_NULL},
    {"ordinal", API_UINT, API_NULL},
    {"index", API_UINT, API_NULL},
    {"node", API_STRING, API_NULL},
    {"lease", API_UINT, API_NULL},
    {"text", API_STRING},
    END,
};

static const struct api_field history_fields[] = {
    {"task", API_STRING, .summary = "12, or 12_7 for the task of an array"},
    {"state", API_STRING, WORD(api_task_state_word, WEIR_TASK_STATE_MAX)},
    {"submitted", API_TIME},
    {"started", API_TIME, API_NULL, .summary = "of the last attempt"},
    {"ended", API_TIME, API_NULL},
    {"expected_ms", API_UINT, API_NULL, .summary = "run time as the job's file estimates it"},
    {"max_duration_ms", API_UINT, API_NULL},
    {"nodes", API_UINT},
    {"gpus", API_UINT, .summary = "in all"},
    {"gpu_model", API_STRING, .summary = "asked for: several between |, empty for any"},
    {"gpu_model_used", API_STRING, .summary = "empty without GPUs"},
    {"cpu_milli", API_UINT, .summary = "asked for, in all"},
    {"mem_mib", API_UINT, .summary = "asked for, in all"},
    {"priority", API_INT},
    {"project", API_STRING, API_NULL},
    {"user", API_STRING, API_NULL},
    {"pool", API_STRING, API_NULL},
    {"node", API_STRING, API_NULL, .summary = "the first of a gang's"},
    {"attempts", API_UINT},
    {"cost_micro", API_INT, .summary = "in the ledger so far"},
    END,
};

static const struct api_field owned_cost_fields[] = {
    {"nodes", API_UINT, .summary = "that cost the same; all figures are of one of them"},
    {"purchase_micro", API_INT},
    {"residual_micro", API_INT},
    {"life_s", API_INT},
    {"upkeep_micro_per_year", API_INT},
    {"tariff_micro_per_kwh", API_INT, .summary = "now"},
    {"pue_milli", API_UINT},
    {"carbon_ug_per_kwh", API_INT, API_NULL, .summary = "now: micrograms of CO2e; null: not known"},
    {"idle_watts", API_UINT},
    {"busy_watts", API_UINT},
    {"depreciation_micro_per_hour", API_INT, .summary = "(purchase - residual) / life"},
    {"upkeep_micro_per_hour", API_INT},
    {"energy_idle_micro_per_hour", API_INT, .summary = "idle watts x PUE x tariff; what is measured is billed as measured"},
    {"energy_busy_micro_per_hour", API_INT},
    {"billed_idle_micro_per_hour", API_INT, .summary = "depreciation + upkeep + energy"},
    {"billed_busy_micro_per_hour", API_INT},
    {"decided_micro_per_hour", API_INT, .summary = "what work on it costs more than leaving it idle: decisions count with that"},
    {"carbon_idle_ug_per_hour", API_INT, API_NULL, .summary = "idle watts x PUE x carbon"},
    {"carbon_busy_ug_per_hour", API_INT, API_NULL},
    END,
};

static const struct api_field rented_cost_fields[] = {
    {"nodes", API_UINT, .summary = "rented machines that cost the same now; all figures are of one of them"},
    {"price_micro_per_hour", API_INT, .summary = "the quote, or what the provider asks since"},
    {"pue_milli", API_UINT, API_NULL, .summary = "null: not known, like the power"},
    {"idle_watts", API_UINT, API_NULL},
    {"busy_watts", API_UINT, API_NULL},
    {"carbon_ug_per_kwh", API_INT, API_NULL, .summary = "now: micrograms of CO2e; null: not known"},
    {"carbon_idle_ug_per_hour", API_INT, API_NULL, .summary = "idle watts x PUE x carbon"},
    {"carbon_busy_ug_per_hour", API_INT, API_NULL},
    END,
};

static const struct api_field pool_fields[] = {
    {"name", API_STRING},
    {"kind", API_STRING, WORD(pool_kind_word, 2)},
    {"nodes", API_UINT},
    {"gpus", API_UINT},
    {"gpus_free", API_UINT},
    {"cpu_milli", API_UINT},
    {"running", API_UINT},
    {"rate_micro_per_hour", API_INT},
    {"currency", API_STRING, .summary = "of it, and of costs"},
    {"costs", API_LIST, .ref = "OwnedCost", .summary = "of the owned nodes"},
    {"rented", API_LIST, .ref = "RentedCost", .summary = "of the machines that are rented there now"},
    END,
};

static const struct api_field token_fields[] = {
    {"id", API_STRING},
    {"name", API_STRING, .summary = "what it is for"},
    {"user", API_STRING},
    {"role", API_STRING, API_NULL, .summary = "at most that; null: as the user's"},
    {"projects", API_STRINGS, API_NULL, .summary = "only these; null: all of the user's"},
    {"created", API_TIME, API_NULL},
    {"created_by", API_STRING, API_NULL, .summary = "null: the broker itself"},
    {"expires", API_TIME, API_NULL},
    END,
};

static const struct api_field change_fields[] = {
    {"id", API_UINT},
    {"at", API_TIME},
    {"user", API_STRING},
    {"role", API_STRING},
    {"token", API_STRING, API_NULL, .summary = "id of the token; null: a connection of the broker's own user"},
    {"from", API_STRING, .summary = "address"},
    {"action", API_STRING},
    {"object", API_STRING},
    {"before", API_OBJECT, API_NULL},
    {"after", API_OBJECT, API_NULL},
    END,
};

static const struct api_field close_fields[] = {
    {"id", API_UINT},
    {"month", API_STRING},
    {"zone", API_STRING},
    {"from", API_TIME},
    {"to", API_TIME},
    {"closed", API_TIME, .summary = "when"},
    {"user", API_STRING, .summary = "who closed it"},
    {"last_posting", API_UINT, .summary = "what was posted behind it is late"},
    {"postings", API_UINT, .summary = "that were billed in it, some in part"},
    {"gpu_hours_milli", API_UINT},
    {"cost_micro", API_INT},
    {"used_micro", API_INT},
    {"idle_micro", API_INT},
    {"waste_micro", API_INT},
    {"price_micro", API_INT, .summary = "charged beyond the cost"},
    {"currency", API_STRING},
    {"digest", API_STRING, API_NULL, .summary = "SHA-256 of these postings, chained over blocks; null: ask for the close again, it was cut off"},
    END,
};

static const struct api_field bill_check_fields[] = {
    {"balanced", API_BOOL},
    {"postings", API_UINT},
    {"nodes", API_UINT},
    {"spans", API_UINT},
    {"cost_micro", API_INT},
    {"used_micro", API_INT},
    {"idle_micro", API_INT},
    {"waste_micro", API_INT},
    {"price_micro", API_INT, .summary = "charged beyond the cost"},
    {"leases", API_UINT, .summary = "rented machines that are charged what their quotes and prices make"},
    {"lease_prices", API_UINT, .summary = "prices that these had after their quotes"},
    {"leases_unproven", API_UINT, .summary = "with prices of an older version, which did not keep from which posting on they counted"},
    {"error", API_STRING, API_NULL, .summary = "the first offence"},
    {"energy_mj", API_INT, .summary = "of the use side, equal to that of the cost side for each node and span"},
    {"carbon_ug", API_INT, API_NULL, .summary = "likewise; null: none of it is known"},
    {"closes", API_UINT, .summary = "closed months that are as they were closed"},
    {"close_error", API_STRING, API_NULL, .summary = "the first that is not"},
    END,
};

const struct api_schema api_schemas[] = {
    {"Error", "why a request was not done", FIELDS{{"error", API_REF, .ref = "ErrorBody"}, END}, .open = true},
    {"ErrorBody", "code for machines, message for people", FIELDS{{"code", API_STRING}, {"message", API_STRING}, END}},
    {"Health", "the broker is up", FIELDS{{"status", API_STRING}, {"version", API_STRING}, END}},
    {"Issuer", "an OpenID Connect issuer whose tokens are taken",
     FIELDS{{"issuer", API_STRING}, {"audience", API_STRING}, {"client_id", API_STRING, API_NULL, .summary = "of the command line; null: it cannot sign in there"}, END}},
    {"Issuers", "all that are configured", FIELDS{{"items", API_LIST, .ref = "Issuer"}, END}},
    {"Version", "what speaks here", FIELDS{{"version", API_STRING}, {"protocol", API_UINT}, {"schema", API_UINT}, END}},
    {"Status", "counts for an overview", FIELDS{{"version", API_STRING}, END}, .open = true},
    {"JobSpec", "a job specification; the keys are those of the YAML form", job_spec_fields, .open = true},
    {"Submitted", "a job that was accepted; a dry run has possible and explain instead of id, name, tasks and state",
     FIELDS{{"id", API_UINT}, {"name", API_STRING}, {"tasks", API_UINT}, {"state", API_STRING}, {"warnings", API_STRINGS}, END}},
    {"DryRun", "what would become of a job",
     FIELDS{{"possible", API_BOOL},
            {"tasks", API_UINT},
            {"parallel_max", API_UINT, API_NULL, .summary = "of an array, at most so many tasks at once"},
            {"room", API_UINT, .summary = "tasks of it for which the nodes that are up, budgets and quotas have room; others may wait for that too"},
            {"explain", API_REF, .ref = "ExplainItem"}, {"warnings", API_STRINGS}, END}},
    {"Job", "a job", job_fields},
    {"Task", "one task of a job", task_fields},
    {"Quote", "an offer as it was when the decision was made", quote_fields},
    {"Candidate", "a way to run the task, with the terms of its cost", candidate_fields},
    {"ExplainItem", "a decision and what it was made of", explain_item_fields},
    {"Explain", "all decisions on a job's tasks",
     FIELDS{{"job", API_UINT}, {"items", API_LIST, .ref = "ExplainItem"}, {"now", API_REF, API_NULL, "ExplainItem", .summary = "of a waiting task"}, END}},
    {"Learned", "what is believed of an offer by machines rented before", learned_fields},
    {"Offer", "a way to get a node", offer_fields},
    {"Offers", "ways to get a node, cheapest first", FIELDS{{"items", API_LIST, .ref = "Offer"}, {"feeds", API_LIST, .ref = "PriceFeed"}, {"unpriced", API_LIST, .ref = "Unpriced"}, {"next", API_STRING, API_NULL}, END}},
    {"Unpriced", "offers that are left out as no rate of their currency is in force", FIELDS{{"currency", API_STRING}, {"offers", API_UINT}, {"reason", API_STRING}, END}},
    {"PriceFeed", "how a provider's prices came to be known", feed_fields},
    {"Pool", "a place that runs tasks", pool_fields},
    {"OwnedCost", "what an owned node costs, and how that comes about", owned_cost_fields},
    {"RentedCost", "what a rented machine costs now, and what it draws and emits", rented_cost_fields},
    {"Node", "a machine", node_fields},
    {"Lease", "a rented machine's life", lease_fields},
    {"PoolCost", "what a project cost in a pool", FIELDS{{"pool", API_STRING}, {"total_micro", API_INT}, END}},
    {"Project", "who pays", project_fields},
    {"Shortage", "a budget that has too little left",
     FIELDS{{"name", API_STRING, API_NULL}, {"needed_micro", API_INT, .summary = "to be held before it starts"}, {"left_micro", API_INT}, END}},
    {"Budget", "how much may be spent, by whom, in which span", budget_fields},
    {"BudgetSet", "what to set; absent keys stay as they are, or are as usual: span month, no thresholds",
     FIELDS{{"scope", API_STRING, API_OPTIONAL, .summary = "organisation, project:NAME, user:NAME or tag:KEY=VALUE; needed where it is new"},
            {"amount", API_STRING, API_OPTIONAL, .summary = "money: \"1200.00\"; needed where it is new"},
            {"span", API_STRING, API_OPTIONAL, WORD(budget_span_word, WEIR_BUDGET_SPAN_MAX)},
            {"from", API_STRING, API_OPTIONAL, .summary = "of a fixed span: RFC 3339"},
            {"until", API_STRING, API_OPTIONAL, .summary = "of a fixed span"},
            {"cloud_only", API_BOOL, API_OPTIONAL, .summary = "counts rented machines only"},
            {"thresholds", API_STRINGS, API_OPTIONAL, .summary = "PERCENT:ACTION each; warn, local-only, stop-new, stop-all"},
            {"spent", API_STRING, API_OPTIONAL, .summary = "money spent in the span before the budget was set"},
            END}},
    {"Policy", "allows or denies what it takes: all that is given must hold", policy_fields},
    {"PolicySet", "the whole policy", FIELDS{POLICY_FIELDS, END}},
    {"PolicyTest", "a job and a place; owned where no provider is given",
     FIELDS{{"project", API_STRING, API_OPTIONAL}, {"user", API_STRING, API_OPTIONAL}, {"image", API_STRING, API_OPTIONAL}, {"nodes", API_UINT, API_OPTIONAL},
            {"max_duration", API_STRING, API_OPTIONAL}, {"provider", API_STRING, API_OPTIONAL}, {"region", API_STRING, API_OPTIONAL},
            {"gpu", API_STRING, API_OPTIONAL}, {"spot", API_BOOL, API_OPTIONAL}, {"price", API_STRING, API_OPTIONAL, .summary = "of the machine per hour"},
            {"tag", API_STRING, API_OPTIONAL, .summary = "KEY=VALUE: that the job has"}, END}},
    {"PolicyAnswer", "may it?", FIELDS{{"allowed", API_BOOL}, {"policy", API_STRING, API_NULL, .summary = "that decides; null: none takes it"}, {"reason", API_STRING, API_NULL}, END}},
    {"OfferQuota", "how much an account may have at a provider", provider_quota_fields},
    {"ProviderQuotaShortage", "a provider's quota that has no room",
     FIELDS{{"provider", API_STRING, API_NULL}, {"region", API_STRING, API_NULL, .summary = "null: all"}, {"name", API_STRING, API_NULL}, {"unit", API_STRING},
            {"limit", API_INT}, {"used", API_INT}, {"needed", API_INT, .summary = "by all machines that the task wants"}, END}},
    {"QuotaShortage", "a quota that has too little left",
     FIELDS{{"name", API_STRING, API_NULL}, {"needed", API_INT, .summary = "what the task would count for; GPU time in GPU-seconds"}, {"left", API_INT}, END}},
    {"Quota", "how much may be used at once, or in a span, by whom", quota_fields},
    {"QuotaSet", "what to set; absent keys stay as they are, or are as usual: all GPUs, GPU-hours by the month",
     FIELDS{{"scope", API_STRING, API_OPTIONAL, .summary = "organisation, project:NAME, user:NAME or tag:KEY=VALUE; needed where it is new"},
            {"counts", API_STRING, API_OPTIONAL, WORD(quota_counts_word, WEIR_QUOTA_COUNTS_MAX), .summary = "needed where it is new, and with limit or gpu"},
            {"gpu", API_STRING, API_OPTIONAL, .summary = "only GPUs of this model"},
            {"limit", API_STRING, API_OPTIONAL, .summary = "GPUs, machines, tasks, GPU-hours or GPU-minutes: \"16\"; needed where it is new"},
            {"borrow", API_STRING, API_OPTIONAL, .summary = "of gpus: all, a number, or none (as usual: it neither lends nor borrows)"},
            {"span", API_STRING, API_OPTIONAL, WORD(budget_span_word, WEIR_BUDGET_SPAN_MAX), .summary = "of gpu-hours"},
            {"from", API_STRING, API_OPTIONAL, .summary = "of a fixed span: RFC 3339"},
            {"until", API_STRING, API_OPTIONAL, .summary = "of a fixed span"},
            END}},
    {"Alert", "something is the matter, or was", alert_fields},
    {"AlertTold", "what a receiver was told last",
     FIELDS{{"receiver", API_STRING}, {"state", API_STRING, API_NULL, WORD(api_alert_state_word, API_ALERT_STATES)}, {"at", API_TIME, API_NULL},
            {"attempts", API_UINT, .summary = "to tell it what it does not know yet"}, END}},
    {"AlertSilence", "for how long nobody is told", FIELDS{{"for", API_STRING, .summary = "2h; 0: no longer"}, END}},
    {"Receiver", "who is told of alerts",
     FIELDS{{"name", API_STRING}, {"kind", API_STRING, .summary = "webhook, slack, alertmanager or mail"}, {"sent", API_UINT, .summary = "messages since the broker's start"},
            {"failed", API_UINT}, {"at", API_TIME, API_NULL, .summary = "of the last try"}, {"error", API_STRING, API_NULL, .summary = "of the last try"}, END}},
    {"ReceiverTested", "it has taken the test message", FIELDS{{"receiver", API_STRING}, {"taken", API_BOOL}, END}},
    {"ReconcileOutcome", "what became of a bill",
     FIELDS{{"reason", API_STRING, .summary = "which bill it is"},
            {"residual_micro", API_INT, API_OPTIONAL, .summary = "what could not be posted"},
            {"leak_suspects", API_STRINGS, API_OPTIONAL, .summary = "resources that bear our tag and that no lease has"},
            {"error", API_STRING, API_OPTIONAL, .summary = "why it was not finished"}, END}},
    {"ReconcileReported", "it was noted", FIELDS{{"reason", API_STRING}, END}},
    {"ProjectSet", "what to change; absent keys stay as they are",
     FIELDS{{"weight", API_UINT, API_OPTIONAL, .summary = "share, 1 to 1000000; 100 is usual"},
            {"delay_cost", API_STRING, API_OPTIONAL, .summary = "value of waiting per hour in money: \"0.10\""},
            {"delay_cost_micro_per_hour", API_UINT, API_OPTIONAL, .summary = "the same in micro-units"},
            END}},
    {"WhoAmI", "whose credential it is",
     FIELDS{{"user", API_STRING}, {"role", API_STRING, WORD(role_word, ROLE_WORDS)}, {"token", API_STRING, API_NULL, .summary = "id of the token; null: a connection of the broker's own user"},
            {"projects", API_MAP_STRING, .summary = "role by project; *: in all"}, END}},
    {"User", "somebody who may do something",
     FIELDS{{"name", API_STRING}, {"role", API_STRING, WORD(role_word, ROLE_WORDS)}, {"disabled", API_BOOL}, {"projects", API_MAP_STRING, .summary = "role by project; *: in all"}, END}},
    {"UserSet", "what to change; absent keys stay as they are; a new user is a 'user' in no project",
     FIELDS{{"role", API_STRING, API_OPTIONAL, .summary = "admin, operator, finance, user or viewer"},
            {"disabled", API_BOOL, API_OPTIONAL},
            {"projects", API_OBJECT, API_OPTIONAL, .summary = "owner, user or viewer by project; null: out of it"}, END}},
    {"Member", "somebody in a project", FIELDS{{"name", API_STRING}, {"role", API_STRING, WORD(role_word, ROLE_WORDS)}, END}},
    {"MemberSet", "their role in the project", FIELDS{{"role", API_STRING, .summary = "owner, user or viewer"}, END}},
    {"Token", "a credential; its secret is not kept", token_fields},
    {"TokenMake", "what it shall be",
     FIELDS{{"user", API_STRING, API_OPTIONAL, .summary = "whose; one's own where not given"},
            {"role", API_STRING, API_OPTIONAL, .summary = "at most the user's, which it is where not given; agent: for an agent"},
            {"projects", API_STRINGS, API_OPTIONAL, .summary = "only these of the user's"},
            {"name", API_STRING, API_OPTIONAL, .summary = "what it is for"},
            {"expires", API_STRING, API_OPTIONAL, .summary = "a time; never where not given"}, END}},
    {"TokenMade", "a new credential", FIELDS{{"id", API_STRING}, {"token", API_STRING, .summary = "the secret, shown this once"}, END}},
    {"NodeInvite", "whom it is for",
     FIELDS{{"node", API_STRING, API_OPTIONAL, .summary = "name that the agent must have; any new one where not given"},
            {"expires", API_STRING, API_OPTIONAL, .summary = "a time; in an hour where not given"}, END}},
    {"Invitation", "a join token, good for one agent",
     FIELDS{{"id", API_STRING}, {"token", API_STRING, .summary = "the secret, shown this once"}, {"node", API_STRING, API_NULL}, {"expires", API_TIME},
            {"broker", API_STRING, .summary = "where the agent finds the broker"},
            {"authority", API_STRING, API_NULL, .summary = "PEM: by which it knows the broker; null: by the system's"}, END}},
    {"Removed", "what is not there any more", FIELDS{{"removed", API_STRING}, END}},
    {"Change", "something that was changed through the API", change_fields},
    {"BillRow", "sums of a key; the keys asked for come first", bill_row_fields, .open = true},
    {"Bill", "what was used, idle and wasted in a span",
     FIELDS{{"currency", API_STRING}, {"zone", API_STRING}, {"view", API_STRING, API_OPTIONAL, .summary = "price"}, {"from", API_TIME, API_NULL}, {"to", API_TIME}, {"by", API_STRINGS},
            {"closed", API_BOOL, .summary = "all of the span is closed: this will never change"},
            {"rows", API_LIST, .ref = "BillRow"}, {"total", API_REF, .ref = "BillRow"}, END}},
    {"Charge", "what the use of a node cost in a period, for one job, idle or waste; there may be several for the same", charge_fields},
    {"Correction", "postings that were made later, for a reason", correction_fields},
    {"CorrectionAdd", "one of job, lease and node; what it is spread over is what used them in the span",
     FIELDS{{"kind", API_STRING, .summary = "credit, which takes back, or charge"},
            {"amount", API_STRING, .summary = "money above 0: \"12.50\""},
            {"reason", API_STRING},
            {"job", API_UINT, API_OPTIONAL},
            {"lease", API_UINT, API_OPTIONAL},
            {"node", API_UINT, API_OPTIONAL},
            {"from", API_STRING, API_OPTIONAL, .summary = "a time; the ledger's start where absent"},
            {"to", API_STRING, API_OPTIONAL, .summary = "a time; now where absent"},
            END}},
    {"Rule", "what a price is, or a rate of a currency",
     FIELDS{{"id", API_UINT}, {"name", API_STRING}, {"kind", API_STRING, WORD(api_rule_kind_word, WEIR_RULE_MAX)}, {"from", API_TIME},
            {"until", API_TIME, API_NULL, .summary = "null: for ever"}, {"made", API_TIME}, {"user", API_STRING, .summary = "who made it"},
            {"currency", API_STRING, .summary = "the ledger's, in which its amounts and its rate are"},
            {"rule", API_OBJECT, .summary = "what it says and what it is for, as RuleAdd; amounts as plain numbers"}, END}},
    {"RuleAdd", "what a rule says, by its kind; and what it is for: all where none of project to class is given",
     FIELDS{{"kind", API_STRING, WORD(api_rule_kind_word, WEIR_RULE_MAX)},
            {"percent", API_STRING, API_OPTIONAL, .summary = "markup, discount"},
            {"per_gpu_hour", API_STRING, API_OPTIONAL, .summary = "price, discount: money in the ledger's currency, which it may name: \"2.10 EUR\""},
            {"per_hour", API_STRING, API_OPTIONAL, .summary = "commitment: money likewise, used or not"},
            {"gpus", API_UINT, API_OPTIONAL, .summary = "commitment: so many GPUs; what they do not use is nobody's"},
            {"by", API_STRING, API_OPTIONAL, .summary = "spread of idle time: use (of the pool in the day) or weight (of projects)"},
            {"currency", API_STRING, API_OPTIONAL, .summary = "exchange"},
            {"rate", API_STRING, API_OPTIONAL, .summary = "exchange: what a unit of it is in the ledger's"},
            {"project", API_STRING, API_OPTIONAL},
            {"user", API_STRING, API_OPTIONAL},
            {"tag", API_STRING, API_OPTIONAL, .summary = "KEY=VALUE of the job"},
            {"pool", API_STRING, API_OPTIONAL},
            {"gpu", API_STRING, API_OPTIONAL, .summary = "kind of GPU"},
            {"class", API_STRING, API_OPTIONAL, WORD(api_rule_class_word, API_RULE_CLASSES)},
            {"from", API_STRING, API_OPTIONAL, .summary = "a time that is not closed; now where absent"},
            {"until", API_STRING, API_OPTIONAL, .summary = "for ever where absent"},
            END}},
    {"RuleEnd", "when", FIELDS{{"at", API_STRING, API_OPTIONAL, .summary = "a time that is not closed; now where absent"}, END}},
    {"Close", "a month that does not change any more", close_fields},
    {"CloseMonth", "the month after the last one that was closed",
     FIELDS{{"month", API_STRING, .summary = "\"2026-10\""},
            {"zone", API_STRING, API_OPTIONAL, .summary = "in which it is that month; where absent that of the last close, or UTC"},
            END}},
    {"InvoiceLine", "what a provider billed for a lease in a span",
     FIELDS{{"lease", API_UINT},
            {"line", API_STRING, .summary = "a number that is the same for the same line of another file"},
            {"from", API_STRING},
            {"to", API_STRING},
            {"nano", API_INT, .summary = "billionths of the ledger's currency"},
            {"currency", API_STRING, API_OPTIONAL, .summary = "in which it is billed, where that is another"},
            {"original_nano", API_INT, API_OPTIONAL, .summary = "the amount in it"},
            END}},
    {"InvoiceLines", "at most 5000", FIELDS{{"lines", API_LIST, .ref = "InvoiceLine"}, END}},
    {"InvoiceStored", "lines were kept",
     FIELDS{{"stored", API_UINT}, {"owner", API_STRING, .summary = "tag of everything that this installation rents"}, {"currency", API_STRING}, END}},
    {"Reconcile", "which leases to compare",
     FIELDS{{"leases", API_UINTS, .summary = "at most 1000"},
            {"reason", API_STRING, .summary = "which bill it is"},
            END}},
    {"ReconciledLease", "a lease's lines against the ledger",
     FIELDS{{"lease", API_UINT},
            {"lines", API_UINT},
            {"invoiced_micro", API_INT},
            {"booked_micro", API_INT, .summary = "before"},
            {"corrected_micro", API_INT, .summary = "what is posted now"},
            {"billed_currency", API_STRING, API_NULL, .summary = "of all its lines, where that is not the ledger's"},
            {"billed_micro", API_INT, .summary = "what they come to in it"},
            {"residual_micro", API_INT, .summary = "what could not be: nothing of the lease is booked there"},
            END}},
    {"Reconciled", "what was posted",
     FIELDS{{"correction", API_UINT, API_NULL}, {"currency", API_STRING}, {"leases", API_LIST, .ref = "ReconciledLease"}, END}},
    {"BillCheck", "whether both sides of the ledger are equal for every node and span", bill_check_fields},
    {"Event", "something that happened", event_fields},
    {"HistoryTask", "a task as it is kept: what it asked for, what it got, what it cost", history_fields},
    {"ListedMachine", "a machine that a provider lists as ours",
     FIELDS{{"instance", API_STRING},
            {"state", API_STRING, .summary = "pending, running, stopping"},
            {"lease", API_UINT, API_NULL},
            {"verdict", API_STRING, .summary = "owned, ending, or orphan: nobody's, and being ended"},
            END}},
    {"MissingMachine", "a lease whose machine its provider does not list", FIELDS{{"lease", API_UINT}, {"instance", API_STRING}, END}},
    {"ProviderAudit", "a provider's machines against the leases",
     FIELDS{{"provider", API_STRING},
            {"listed", API_STRING, API_NULL, .summary = "when it last told of all machines"},
            {"busy", API_BOOL, .summary = "it is being asked"},
            {"text", API_STRING, .summary = "why it could not be asked since; \"\" where it could"},
            {"machines", API_LIST, .ref = "ListedMachine"},
            {"missing", API_LIST, .ref = "MissingMachine"},
            END}},
    {"LeaseAudit", "every provider's machines against the leases",
     FIELDS{{"providers", API_LIST, .ref = "ProviderAudit"},
            {"leases", API_UINT, .summary = "that are not over"},
            {"clean", API_BOOL, .summary = "every machine has its lease, every lease its machine, every provider could be asked"},
            {"busy", API_BOOL},
            {"renting", API_BOOL, .summary = "false after downLeases, until upLeases"},
            END}},
    {"ProviderCheck", "one thing that was looked at",
     FIELDS{{"name", API_STRING, .summary = "credentials, clock, launch, ..."},
            {"verdict", API_STRING, .summary = "ok, warning, failed, or unknown: there is no way to look at it beforehand"},
            {"text", API_STRING},
            {"remedy", API_STRING, API_NULL, .summary = "what to do; null where there is nothing"},
            END}},
    {"ProviderLook", "what a look at a provider found",
     FIELDS{{"provider", API_STRING}, {"checked", API_STRING, API_NULL, .summary = "when it ended"}, {"checks", API_LIST, .ref = "ProviderCheck"}, END}},
    {"ProviderChecks", "what a look at every provider found",
     FIELDS{{"providers", API_LIST, .ref = "ProviderLook"}, {"ok", API_BOOL, .summary = "nothing has failed"}, END}},
    {"Fault", "what the sandbox provider shall do wrong", FIELDS{{"what", API_STRING}, END}},
    {"AgentMessage", "see docs/design/0002-agent-protocol.md", FIELDS{END}, .open = true},
    {"LogStored", "how many bytes of the log are stored from its start", FIELDS{{"size", API_UINT}, {"truncated", API_BOOL, .summary = "the limit was reached; more is not kept"}, END}},
    {"AgentProgram", "the program that an agent is", FIELDS{{"arch", API_STRING}, {"bytes", API_UINT}, {"sha256", API_STRING}, END}},
    {"Document", "this document", FIELDS{END}, .open = true},
    {NULL, NULL, NULL, false},
};

/* clang-format on */
const struct api_schema *api_schema_find(const char *name)
{
    for (const struct api_schema *s = api_schemas; s->name != NULL; s++) {
        if (weir_streq(s->name, name)) {
            return s;
        }
    }
    return NULL;
}

static bool has_type(const struct api_field *f, const json_t *v)
{
    if (json_is_null(v)) {
        return (f->flags & API_NULL) != 0;
    }
    switch (f->type) {
    case API_STRING:
    case API_TIME:
        return json_is_string(v);
    case API_INT:
        return json_is_integer(v);
    case API_UINT:
        return json_is_integer(v) && json_integer_value(v) >= 0;
    case API_BOOL:
        return json_is_boolean(v);
    case API_LIST:
    case API_STRINGS:
    case API_UINTS:
        return json_is_array(v);
    case API_REF:
    case API_MAP_STRING:
    case API_MAP_UINT:
    case API_OBJECT:
        return json_is_object(v);
    }
    return false;
}

int api_schema_check(const struct api_schema *s, const json_t *body, struct weir_err *err)
{
    const char *names[32] = {NULL};
    size_t n = 0;
    for (const struct api_field *f = s->field; f->name != NULL && n < 31; f++) {
        names[n++] = f->name;
        const json_t *v = json_object_get(body, f->name);
        if (v == NULL && (f->flags & API_OPTIONAL) == 0) {
            return weir_fail(err, -WEIR_EINVAL, "key '%s' is missing", f->name);
        }
        if (v != NULL && !has_type(f, v)) {
            return weir_fail(err, -WEIR_EINVAL, "key '%s' has the wrong type", f->name);
        }
    }
    const char *key;
    json_t *v;
    /* jansson's iteration takes a non-const object; it does not change it. */
    json_object_foreach ((json_t *)(uintptr_t)body, key, v) {
        size_t i = 0;
        while (i < n && !weir_streq(names[i], key)) {
            i++;
        }
        if (i == n && !s->open) {
            const char *near = weir_nearest(weir_sv_of(key), names);
            return near == NULL ? weir_fail(err, -WEIR_EINVAL, "unknown key '%.64s'", key)
                                : weir_fail(err, -WEIR_EINVAL, "unknown key '%.64s'; did you mean '%s'?", key, near);
        }
    }
    return 0;
}
