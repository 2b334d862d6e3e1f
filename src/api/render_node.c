/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes, leases and events as JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "api/api_priv.h"
#include "api/offers_rank.h"
#include "base/mem.h"

static void text_of_detail(struct weir_json *j, const char *key, const char *detail, const char *fallback)
{
    struct weir_sv v = weir_json_find(weir_sv_of(detail), key);
    weir_json_key(j, key);
    if (v.n >= 2 && v.p[0] == '"') {
        weir_json_raw(j, v);
    } else {
        weir_json_cstr(j, fallback);
    }
}

void api_node_json(struct weir_json *j, const struct weir_node_row *row, const char *currency)
{
    const struct weir_node_view *v = &row->view;
    struct weir_sv declared = weir_json_find(weir_sv_of(row->detail_json), "declared");
    weir_json_object(j);
    weir_json_kv_u64(j, "id", v->spec.id.v);
    /* a rented machine gets its name and pool when it joins; the pool will be its provider's */
    bool has_pool = row->pool != NULL && row->pool[0] != '\0';
    weir_json_kv_cstr(j, "name", row->name == NULL || row->name[0] == '\0' ? NULL : row->name);
    weir_json_kv_cstr(j, "pool", has_pool ? row->pool : v->spec.provider[0] != '\0' ? v->spec.provider : NULL);
    bool joined = v->spec.lease.v == 0 || v->joined;
    weir_json_kv_cstr(j, "state", joined || v->state != WEIR_NODE_UP ? weir_node_state_name(v->state) : "booting");
    weir_json_kv_bool(j, "joined", joined);
    weir_json_kv_cstr(j, "gpu", v->spec.gpus == 0 ? NULL : row->gpu_model);
    weir_json_kv_u64(j, "gpus", v->spec.gpus);
    weir_json_kv_u64(j, "gpus_free", (uint64_t)__builtin_popcount(v->gpu_free_mask));
    weir_json_kv_u64(j, "gpu_mem_mib", v->spec.gpu_mem_mib);
    weir_json_kv_u64(j, "cpu_milli", v->spec.cpu_milli);
    weir_json_kv_u64(j, "cpu_free_milli", v->cpu_free_milli);
    weir_json_kv_u64(j, "mem_mib", v->spec.mem_mib);
    weir_json_kv_u64(j, "mem_free_mib", v->mem_free_mib);
    weir_json_kv_bool(j, "declared", weir_sv_eq(declared, WEIR_SV("true")));
    weir_json_kv_id(j, "lease", v->spec.lease.v);
    weir_json_kv_u64(j, "running", v->n_runs);
    weir_json_kv_time(j, "since", v->since);
    weir_json_kv_time(j, "seen", row->seen);
    weir_json_kv_cstr(j, "address", row->address == NULL ? "" : row->address);
    text_of_detail(j, "energy", row->detail_json, "modelled");
    text_of_detail(j, "unfit", row->detail_json, "");
    weir_json_kv_i64(j, "rate_full_micro_per_hour", v->spec.rates.full_micro_per_hour);
    weir_json_kv_cstr(j, "currency", currency);
    weir_json_kv_i64(j, "rate_marginal_micro_per_hour", v->spec.rates.marginal_busy_micro_per_hour);
    weir_json_end(j);
}

void api_lease_json(struct weir_json *j, const struct weir_lease_row *row, bool show_job, int64_t cost_micro, const char *currency)
{
    const struct weir_lease_view *v = &row->view;
    weir_json_object(j);
    weir_json_kv_u64(j, "id", v->id.v);
    weir_json_kv_cstr(j, "state", weir_lease_state_name(v->state));
    weir_json_kv_cstr(j, "provider", v->offer.provider);
    weir_json_kv_cstr(j, "region", v->offer.region);
    weir_json_kv_cstr(j, "instance_type", v->offer.instance_type);
    weir_json_kv_cstr(j, "market", weir_market_name((enum weir_market)v->offer.market));
    weir_json_kv_u64(j, "gpus", v->offer.gpus);
    weir_json_kv_cstr(j, "gpu", v->offer.gpus == 0 ? NULL : row->gpu_model);
    weir_json_kv_cstr(j, "instance", row->instance[0] == '\0' ? NULL : row->instance);
    weir_json_kv_id(j, "node", v->node.v);
    weir_json_kv_id(j, "job", show_job ? v->task.job.v : 0);
    weir_json_kv_i64(j, "price_micro_per_hour", v->offer.price_micro_per_hour);
    weir_json_kv_i64(j, "price_now_micro_per_hour", v->price_micro_per_hour);
    weir_json_kv_time(j, "priced", v->priced);
    api_exchange_json(j, &v->offer);
    weir_json_kv_time(j, "intent", v->intent_at);
    weir_json_kv_time(j, "confirmed", v->confirmed_at);
    weir_json_kv_time(j, "ready", v->ready_at);
    weir_json_kv_time(j, "reclaim", v->reclaim_at);
    weir_json_kv_time(j, "ended", v->ended_at);
    weir_json_kv_time(j, "expires", v->expires);
    weir_json_kv_bool(j, "reclaimed", v->reclaimed);
    bool failed = v->state == WEIR_LEASE_FAILED || weir_refusal_is_given_up(v->refusal);
    weir_json_kv_cstr(j, "failure", failed ? weir_refusal_name((enum weir_refusal)v->refusal) : NULL);
    weir_json_kv_i64(j, "cost_micro", cost_micro);
    weir_json_kv_cstr(j, "currency", currency);
    weir_json_kv_cstr(j, "text", row->text == NULL ? "" : row->text);
    weir_json_end(j);
}

void api_event_json(struct weir_json *j, const struct weir_event_row *row, const struct api_node_names *names,
                    const struct api_array *array)
{
    char buf[32];
    const char *node = NULL;
    if (row->node.v != 0) {
        node = api_node_name(names, row->node.v);
        (void)snprintf(buf, sizeof buf, "node %" PRIu64, row->node.v);
        node = node == NULL ? buf : node;
    }
    weir_json_object(j);
    weir_json_kv_u64(j, "id", row->id);
    weir_json_kv_time(j, "at", row->at);
    weir_json_kv_cstr(j, "kind", row->kind);
    weir_json_kv_id(j, "job", row->job.v);
    weir_json_key(j, "ordinal");
    if (row->job.v == 0 || row->ordinal == WEIR_ORDINAL_ALL) {
        weir_json_null(j);
    } else {
        weir_json_u64(j, row->ordinal);
    }
    weir_json_key(j, "index");
    if (row->job.v == 0 || row->ordinal == WEIR_ORDINAL_ALL || array == NULL || array->n == 0) {
        weir_json_null(j);
    } else {
        weir_json_u64(j, weir_array_index(array->range, array->n, row->ordinal));
    }
    weir_json_kv_cstr(j, "node", node);
    weir_json_kv_id(j, "lease", row->lease.v);
    weir_json_kv_cstr(j, "text", row->text == NULL ? "" : row->text);
    weir_json_end(j);
}
