/* SPDX-License-Identifier: Apache-2.0 */

#include "spec/quota.h"

#include <string.h>

#include "base/money.h"
#include "base/parse.h"
#include "core/gpu.h"
#include "spec/budget.h"

int weir_quota_read_scope(struct weir_sv text, struct weir_quota *def, char *name, size_t size, struct weir_err *err)
{
    struct weir_budget b = {.scope = 0};
    int r = weir_budget_read_scope(text, &b, name, size, err);
    if (r == 0) {
        def->scope = b.scope;
        memcpy(def->tag, b.tag, sizeof def->tag);
    }
    return r;
}

int weir_quota_read_span(const char *word, const char *from, const char *until, struct weir_quota *def, struct weir_err *err)
{
    struct weir_budget b = {.scope = 0};
    int r = weir_budget_read_span(word, from, until, &b, err);
    if (r == 0) {
        def->span = b.span;
        def->from = b.from;
        def->until = b.until;
    }
    return r;
}

int weir_quota_read_counts(struct weir_sv text, struct weir_quota *def, struct weir_err *err)
{
    uint8_t k = 0;
    while (k < WEIR_QUOTA_COUNTS_MAX && !weir_sv_eq(text, weir_sv_of(weir_quota_counts_name((enum weir_quota_counts)k)))) {
        k++;
    }
    if (k == WEIR_QUOTA_COUNTS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "counts must be gpus, gpu-hours, run-minutes, machines or tasks");
    }
    def->counts = k;
    def->gpu_model = WEIR_GPU_MODEL_ANY;
    return 0;
}

int weir_quota_read_limit(struct weir_sv text, struct weir_quota *def, struct weir_err *err)
{
    bool timed = weir_quota_is_timed((enum weir_quota_counts)def->counts);
    int64_t micro = 0;
    int r = weir_parse_decimal(text, 6, &micro, err);
    if (r == 0 && (micro < 0 || micro > INT64_C(1000000000000000) || (!timed && micro % 1000000 != 0))) {
        r = weir_fail(err, -WEIR_EINVAL, timed ? "must be between 0 and 1000000000" : "must be a whole number between 0 and 1000000000");
    }
    if (r < 0) {
        return weir_fail_prefix(err, r, "limit");
    }
    int64_t unit_ms = def->counts == WEIR_QUOTA_GPU_HOURS ? 3600000 : 60000;
    def->limit = timed ? weir_mul_div_sat(micro, unit_ms, 1000000) : micro / 1000000;
    return 0;
}

int weir_quota_read_borrow(struct weir_sv text, struct weir_quota *def, struct weir_err *err)
{
    uint64_t n = 0;
    def->shares = !weir_sv_eq(text, WEIR_SV("none"));
    if (weir_sv_eq(text, WEIR_SV("all"))) {
        def->borrow_max = INT64_MAX;
    } else if (def->shares && weir_parse_u64(text, 0, 1000000000, &n, NULL) < 0) {
        return weir_fail(err, -WEIR_EINVAL, "borrow must be all, none, or a number of GPUs");
    } else {
        def->borrow_max = (int64_t)n;
    }
    return 0;
}
