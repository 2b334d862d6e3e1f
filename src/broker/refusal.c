/* SPDX-License-Identifier: Apache-2.0 */

/* What a submission is refused for: nothing could ever run it. What would, and the commonest reason, are told with it. */

#include "refusal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cloud/provider.h"

enum { POSSIBLE_KEPT_MAX = 10000, FINDING_OUT_MS = 30000, WARNING_BYTES_MAX = 1024 };

static const char *nearest_text(struct broker *b, const struct weir_request *near, const struct weir_request *asked, char *buf, size_t size)
{
    struct weir_str s = WEIR_STR_INIT(256);
    for (uint32_t i = 0; i < near->alternatives && i < 3; i++) {
        const struct weir_gpu_wish *w = &near->alternative[i];
        weir_str_addf(&s, "%s%s:%u", i == 0 ? "--gpus " : ",", w->model == WEIR_GPU_MODEL_ANY ? "any" : weir_gpu_table_get(b->gpus, w->model)->name,
                      (unsigned)w->count);
    }
    if (near->alternatives == 0 && asked->alternatives > 0) {
        weir_str_adds(&s, "no GPU");
    }
    if (near->cpu_milli != asked->cpu_milli) {
        weir_str_addf(&s, " --cpus %u", near->cpu_milli / 1000);
    }
    if (near->mem_mib != asked->mem_mib) {
        weir_str_addf(&s, " --memory %" PRIu64 "M", near->mem_mib);
    }
    if (near->nodes != asked->nodes) {
        weir_str_addf(&s, " num_nodes %u", near->nodes);
    }
    if (near->market != asked->market) {
        weir_str_adds(&s, " use_spot: auto");
    }
    if (near->same_zone != asked->same_zone) {
        weir_str_adds(&s, " without placement.same_zone");
    }
    if (near->clouds != asked->clouds || near->regions != asked->regions || near->local != asked->local) {
        weir_str_adds(&s, " without the placement rule");
    }
    (void)snprintf(buf, size, "%s", weir_str_cstr(&s));
    weir_str_release(&s);
    return buf;
}

/* Does a request name none but models that are not built in? */
static bool asks_for_unknown_gpus(struct broker *b, const struct weir_request *r)
{
    for (uint32_t i = 0; i < r->alternatives; i++) {
        uint16_t model = r->alternative[i].model;
        if (model == WEIR_GPU_MODEL_ANY || weir_gpu_table_get(b->gpus, model)->mem_mib != 0) {
            return false;
        }
    }
    return r->alternatives > 0;
}

/* As a sentence about the machine that was looked at. */
static const char *most_common_verdict(struct broker *b, const struct weir_request *r, const struct weir_explain *x, char *buf, size_t size)
{
    int best = -1;
    for (int v = WEIR_VERDICT_DEARER + 1; v < WEIR_VERDICT_MAX; v++) {
        if (x->rejected[v] > 0 && (best < 0 || x->rejected[v] > x->rejected[best])) {
            best = v;
        }
    }
    if (x->rejected[WEIR_VERDICT_POLICY] > 0) {
        best = WEIR_VERDICT_POLICY; /* it would do otherwise, and a person can change it */
    }
    if (best < 0) {
        return "nothing is known that could run it: no node has joined and no provider has an offer";
    }
    if (x->rejected[WEIR_VERDICT_WRONG_GPU] == x->n_considered && asks_for_unknown_gpus(b, r)) {
        (void)snprintf(buf, size, "there is no GPU called '%s'", weir_gpu_table_get(b->gpus, r->alternative[0].model)->name);
        return buf;
    }
    (void)snprintf(buf, size, "the machine %s", weir_verdict_text((enum weir_verdict)best));
    return buf;
}

/* A request that was possible stays so until nodes or offers change: a burst of equal jobs asks once. */
static bool was_possible(struct broker *b, const struct weir_request *request)
{
    uint64_t at = weir_engine_world(b->engine);
    if (b->possible_world != at || b->possible.n > POSSIBLE_KEPT_MAX) {
        weir_map_release(&b->possible);
        b->possible_world = at;
    }
    return weir_map_get(&b->possible, weir_hash_bytes(request, sizeof *request), NULL);
}

static bool has_owned_node(struct broker *b)
{
    const struct weir_core *core = weir_engine_core(b->engine);
    size_t n = weir_core_nodes(core, NULL, 0);
    struct weir_node_id *id = weir_calloc(n, sizeof *id);
    bool has = false;
    (void)weir_core_nodes(core, id, n);
    for (size_t i = 0; i < n && !has; i++) {
        struct weir_node_view v;
        has = weir_core_node(core, id[i], &v) && v.spec.lease.v == 0;
    }
    free(id);
    return has;
}

/* Right after a start no agent of an own node may have joined yet, and a provider not have told what it offers: nothing is impossible now. */
static bool is_still_finding_out(struct broker *b)
{
    bool waits = !has_owned_node(b);
    for (size_t i = 0; i < b->n_providers; i++) {
        waits |= !b->provider[i].offers_known;
    }
    return waits && broker_ms(b) - b->started_ms < FINDING_OUT_MS;
}

/*
 * All that could run it is beyond what providers allow, now and with nothing else there: it is taken, since a quota may be raised, and who
 * submits it is told.
 */
static void warn_of_quota(struct broker *b, struct weir_command *cmd)
{
    struct weir_told_quota t;
    const struct weir_explain *e = &cmd->explain;
    if (!weir_core_provider_quota(weir_engine_core(b->engine), e->provider_quota, &t)) {
        return;
    }
    const struct weir_provider_ops *ops = weir_provider_find(t.provider);
    cmd->reply.max_bytes = WARNING_BYTES_MAX;
    weir_str_addf(&cmd->reply, "no node that is there can run this, and each offer is beyond a quota of its provider: %s's '%s'%s%s allows %" PRId64 " %s, and it takes %" PRId64
                  ". It waits until that is raised%s%s",
                  t.provider, t.quota.name, t.quota.region[0] != '\0' ? " in " : "", t.quota.region, e->provider_quota_limit,
                  weir_quota_unit_name((enum weir_quota_unit)e->provider_quota_unit), e->provider_quota_need,
                  ops != NULL && ops->quota_remedy != NULL ? ": " : "", ops != NULL && ops->quota_remedy != NULL ? ops->quota_remedy : "");
}

int refusal_check(struct broker *b, const struct weir_request *request, struct weir_command *cmd)
{
    if (!cmd->u.submit.dry_run && was_possible(b, request)) {
        return 0;
    }
    struct weir_request near;
    bool has_near = false;
    memset(&near, 0, sizeof near);
    bool possible = weir_core_possible(weir_engine_core(b->engine), request, weir_engine_now(b->engine), &cmd->explain, &near, &has_near);
    cmd->flag = possible;
    bool is_beyond = possible && cmd->explain.provider_quota != 0;
    if (is_beyond && !cmd->u.submit.dry_run) {
        warn_of_quota(b, cmd);
    } else if (possible && !cmd->u.submit.dry_run) {
        weir_map_put(&b->possible, weir_hash_bytes(request, sizeof *request), 1);
    }
    if (possible || is_still_finding_out(b) || market_no_rate(b, request)[0] != '\0') {
        return 0; /* a rate may come, and is waited for */
    }
    char text[256];
    char reason[160];
    const char *hint = has_near ? nearest_text(b, &near, request, text, sizeof text) : "";
    const char *see = has_near ? "" : "; see 'weir offers --all' and 'weir nodes'";
    return weir_fail(&cmd->err, -WEIR_EIMPOSSIBLE, "no node and no offer can ever run this; the most common reason: %s%s%s%s%s",
                     most_common_verdict(b, request, &cmd->explain, reason, sizeof reason), has_near ? "; the nearest that is possible: " : "", hint, see,
                     b->n_providers == 0 && request->local != WEIR_LOCAL_ONLY
                         ? "; no provider is configured, so nothing can be rented ('providers' in weir.yaml)" : "");
}
