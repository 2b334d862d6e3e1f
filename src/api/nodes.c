/* SPDX-License-Identifier: Apache-2.0 */
/* Pools, nodes and leases: lists and what can be done to them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/vec.h"

/* A page of a list that is read whole: rows up to the cursor are passed over. */
struct page {
    struct weir_api *api;
    struct weir_json j;
    uint64_t cursor;
    uint64_t limit;
    uint64_t n;
    uint64_t last;
    bool has_more;
    struct weir_wall now;
    bool is_own_only; /* the caller does not see all jobs */
    uint64_t only; /* this id alone, without the list around it; 0: all */
};

static struct page page_begin(struct api_request *rq, struct weir_str *out)
{
    struct page p = {.api = rq->api, .j = weir_json_begin(out), .now = weir_clock_wall(rq->api->conf.clock), .is_own_only = rq->reach == API_REACH_OWN};
    p.cursor = api_number(rq, "cursor", 0);
    p.limit = api_number(rq, "limit", API_LIST_LIMIT);
    weir_json_object(&p.j);
    weir_json_key(&p.j, "items");
    weir_json_array(&p.j);
    return p;
}

static bool page_takes(struct page *p, uint64_t id)
{
    if (p->only != 0) {
        p->n += id == p->only;
        return id == p->only;
    }
    if (id <= p->cursor) {
        return false;
    }
    if (p->n == p->limit) {
        p->has_more = true;
        return false;
    }
    p->n++;
    p->last = id;
    return true;
}

static void page_end(struct page *p)
{
    weir_json_end(&p->j);
    weir_json_key(&p->j, "next");
    if (p->has_more) {
        char buf[24];
        (void)snprintf(buf, sizeof buf, "%" PRIu64, p->last);
        weir_json_cstr(&p->j, buf);
    } else {
        weir_json_null(&p->j);
    }
    weir_json_end(&p->j);
}

static void page_reply(struct weir_http_request *http, struct weir_str *out, int rc, struct weir_err *err)
{
    if (rc < 0) {
        weir_str_release(out);
        api_fail(http, rc, err);
    } else {
        api_reply(http, 200, out);
    }
}

/* ---- nodes ---- */

static int on_node(void *ctx, const struct weir_node_row *row)
{
    struct page *p = ctx;
    if (page_takes(p, row->view.spec.id.v)) {
        api_node_json(&p->j, row, p->api->conf.currency);
    }
    return p->has_more ? 1 : 0;
}

void api_handle_nodes(struct api_request *rq)
{
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct page p = page_begin(rq, &out);
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = s->ops->each_node(s, api_flag(rq, "all"), on_node, &p, &rq->err);
    api_reader_put(rq->api, which);
    page_end(&p);
    page_reply(rq->http, &out, rc, &rq->err);
}

static void node_finish(struct api_call *call)
{
    unsigned which;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(65536);
    struct page p = {.api = call->api, .j = weir_json_begin(&out), .only = call->cmd.u.node.node.v};
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = s->ops->each_node(s, true, on_node, &p, &err);
    api_reader_put(call->api, which);
    if (rc >= 0 && p.n == 0) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "node %" PRIu64 " does not exist", p.only);
    }
    page_reply(call->http, &out, rc, &err);
}

static void post_node_op(struct api_request *rq, enum weir_node_op op)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_NODE);
    call->cmd.u.node.node.v = rq->path[0].number;
    call->cmd.u.node.op = op;
    call->finish = node_finish;
    api_call_post(call);
}

void api_handle_drain(struct api_request *rq)
{
    post_node_op(rq, WEIR_NODE_OP_DRAIN);
}

void api_handle_resume(struct api_request *rq)
{
    post_node_op(rq, WEIR_NODE_OP_RESUME);
}

void api_handle_remove(struct api_request *rq)
{
    post_node_op(rq, WEIR_NODE_OP_REMOVE);
}

/* ---- leases ---- */

/* What the machine has cost by its prices; the ledger says the same once it is settled. */
static int64_t lease_cost(const struct weir_lease_view *v, struct weir_wall now)
{
    if (v->confirmed_at.us == 0) {
        return 0;
    }
    bool has_ended = v->ended_at.us != 0;
    int64_t span = weir_wall_sub(has_ended ? v->ended_at : now, v->confirmed_at).us;
    int64_t quantum = v->offer.bill_quantum.us;
    span = span < 0 ? 0 : span;
    span = has_ended && quantum > 0 && span % quantum != 0 ? weir_i64_add_sat(span, quantum - span % quantum) : span;
    span = has_ended && span < v->offer.bill_minimum.us ? v->offer.bill_minimum.us : span;
    int64_t before = v->priced.us == 0 ? 0 : weir_wall_sub(v->priced, v->confirmed_at).us;
    return weir_i64_add_sat(v->priced_micro, weir_mul_div_sat(v->price_micro_per_hour, span > before ? span - before : 0, WEIR_US_PER_HOUR));
}

static int on_lease(void *ctx, const struct weir_lease_row *row)
{
    struct page *p = ctx;
    if (page_takes(p, row->view.id.v)) {
        api_lease_json(&p->j, row, !p->is_own_only, lease_cost(&row->view, p->now), p->api->conf.currency);
    }
    return p->has_more ? 1 : 0;
}

void api_handle_leases(struct api_request *rq)
{
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct page p = page_begin(rq, &out);
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = s->ops->each_lease(s, api_flag(rq, "all"), on_lease, &p, &rq->err);
    api_reader_put(rq->api, which);
    page_end(&p);
    page_reply(rq->http, &out, rc, &rq->err);
}

static void lease_finish(struct api_call *call)
{
    unsigned which;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(65536);
    struct page p = {.api = call->api,
                     .j = weir_json_begin(&out),
                     .only = call->cmd.u.lease.lease.v,
                     .now = weir_clock_wall(call->api->conf.clock)};
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = s->ops->each_lease(s, true, on_lease, &p, &err);
    api_reader_put(call->api, which);
    if (rc >= 0 && p.n == 0) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "lease %" PRIu64 " does not exist", p.only);
    }
    page_reply(call->http, &out, rc, &err);
}

void api_handle_lease_end(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_LEASE_END);
    call->cmd.u.lease.lease.v = rq->path[0].number;
    call->finish = lease_finish;
    api_call_post(call);
}

static void written_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
    } else {
        api_reply(call->http, 200, &cmd->reply);
    }
    api_call_free(call);
}

void api_handle_check_providers(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_CHECK);
    call->cmd.done = written_done;
    api_call_post(call);
}

static void post_leases(struct api_request *rq, enum weir_leases_op op)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_LEASES);
    call->cmd.u.leases.op = op;
    call->cmd.done = written_done;
    api_call_post(call);
}

void api_handle_leases_audit(struct api_request *rq)
{
    post_leases(rq, WEIR_LEASES_OP_AUDIT);
}

void api_handle_leases_look(struct api_request *rq)
{
    post_leases(rq, WEIR_LEASES_OP_LOOK);
}

void api_handle_leases_down(struct api_request *rq)
{
    post_leases(rq, WEIR_LEASES_OP_DOWN);
}

void api_handle_leases_up(struct api_request *rq)
{
    post_leases(rq, WEIR_LEASES_OP_UP);
}

/* ---- pools ---- */

/* Nodes of a pool that cost the same. */
struct cost_group {
    uint32_t pool;
    uint64_t nodes;
    bool is_rented;
    int64_t price_micro_per_hour; /* of rented ones, in the ledger's currency */
    struct weir_owned_cost cost;  /* of rented ones the energy and the carbon */
};

struct pool_sum {
    uint32_t id;
    char *name;
    bool is_delegated;
    uint64_t nodes;
    uint64_t gpus;
    uint64_t gpus_free;
    uint64_t cpu_milli;
    uint64_t running;
    int64_t rate_micro_per_hour;
};

struct pool_list {
    WEIR_VEC(struct pool_sum) pools;
    WEIR_VEC(struct cost_group) costs;
};

static int on_pool(void *ctx, const struct weir_name_row *row)
{
    struct pool_list *l = ctx;
    struct weir_sv kind = weir_json_find(weir_sv_of(row->detail_json), "kind");
    struct pool_sum p = {
        .id = row->id, .name = weir_strdup(row->name), .is_delegated = weir_sv_eq(kind, WEIR_SV("\"delegated\""))};
    weir_vec_push(&l->pools, p);
    return 0;
}

static int on_pool_node(void *ctx, const struct weir_node_row *row)
{
    struct pool_list *l = ctx;
    const struct weir_node_view *v = &row->view;
    for (size_t i = 0; i < l->pools.n; i++) {
        struct pool_sum *p = &l->pools.p[i];
        if (p->id != v->spec.pool.v || v->state == WEIR_NODE_GONE) {
            continue;
        }
        p->nodes++;
        p->running += v->n_runs;
        p->rate_micro_per_hour = weir_i64_add_sat(p->rate_micro_per_hour, v->spec.rates.full_micro_per_hour);
        if (v->state != WEIR_NODE_LOST) {
            p->gpus += v->spec.gpus;
            p->gpus_free += v->state == WEIR_NODE_UP ? (uint64_t)__builtin_popcount(v->gpu_free_mask) : 0;
            p->cpu_milli += v->spec.cpu_milli;
        }
    }
    return 0;
}

/* What the bill meters a node with now. */
static int on_pool_meter(void *ctx, const struct weir_meter *m)
{
    struct pool_list *l = ctx;
    int64_t price = m->info.owned ? 0 : m->info.price_micro_per_hour;
    for (size_t i = l->costs.n; i > 0; i--) {
        struct cost_group *g = &l->costs.p[i - 1];
        if (g->pool == m->info.pool.v && g->is_rented == !m->info.owned && g->price_micro_per_hour == price && weir_owned_cost_eq(&g->cost, &m->info.cost)) {
            g->nodes++;
            return 0;
        }
    }
    weir_vec_push(&l->costs, (struct cost_group){m->info.pool.v, 1, !m->info.owned, price, m->info.cost});
    return 0;
}

/* What the grid emits for it, as it is modelled; null where that is not known, or what the node draws is not. */
static void carbon_json(struct weir_json *j, const struct weir_owned_cost *c)
{
    bool is_drawn = c->busy_watts > 0;
    api_known_json(j, "carbon_ug_per_kwh", c->has_carbon ? c->carbon_ug_per_kwh : 0, !c->has_carbon);
    api_known_json(j, "carbon_idle_ug_per_hour", weir_carbon_rate(c, c->idle_watts), !c->has_carbon || !is_drawn);
    api_known_json(j, "carbon_busy_ug_per_hour", weir_carbon_rate(c, c->busy_watts), !c->has_carbon || !is_drawn);
}

static void rented_json(struct weir_json *j, const struct cost_group *g)
{
    const struct weir_owned_cost *c = &g->cost;
    weir_json_object(j);
    weir_json_kv_u64(j, "nodes", g->nodes);
    weir_json_kv_i64(j, "price_micro_per_hour", g->price_micro_per_hour);
    api_known_json(j, "pue_milli", c->pue_milli, true);
    api_known_json(j, "idle_watts", c->idle_watts, c->busy_watts == 0);
    api_known_json(j, "busy_watts", c->busy_watts, true);
    carbon_json(j, c);
    weir_json_end(j);
}

static void cost_json(struct weir_json *j, const struct cost_group *g)
{
    const struct weir_owned_cost *c = &g->cost;
    int64_t depreciation = weir_owned_rate(c, WEIR_ACCOUNT_DEPRECIATION, 0);
    int64_t upkeep = weir_owned_rate(c, WEIR_ACCOUNT_UPKEEP, 0);
    int64_t idle = weir_owned_rate(c, WEIR_ACCOUNT_ENERGY, c->idle_watts);
    int64_t busy = weir_owned_rate(c, WEIR_ACCOUNT_ENERGY, c->busy_watts);
    int64_t fixed = weir_i64_add_sat(depreciation, upkeep);
    weir_json_object(j);
    weir_json_kv_u64(j, "nodes", g->nodes);
    weir_json_kv_i64(j, "purchase_micro", c->purchase_micro);
    weir_json_kv_i64(j, "residual_micro", c->residual_micro);
    weir_json_kv_i64(j, "life_s", c->life.us / WEIR_US_PER_S);
    weir_json_kv_i64(j, "upkeep_micro_per_year", c->upkeep_micro_per_year);
    weir_json_kv_i64(j, "tariff_micro_per_kwh", c->tariff_micro_per_kwh);
    weir_json_kv_u64(j, "pue_milli", c->pue_milli);
    weir_json_kv_u64(j, "idle_watts", c->idle_watts);
    weir_json_kv_u64(j, "busy_watts", c->busy_watts);
    weir_json_kv_i64(j, "depreciation_micro_per_hour", depreciation);
    weir_json_kv_i64(j, "upkeep_micro_per_hour", upkeep);
    weir_json_kv_i64(j, "energy_idle_micro_per_hour", idle);
    weir_json_kv_i64(j, "energy_busy_micro_per_hour", busy);
    weir_json_kv_i64(j, "billed_idle_micro_per_hour", weir_i64_add_sat(fixed, idle));
    weir_json_kv_i64(j, "billed_busy_micro_per_hour", weir_i64_add_sat(fixed, busy));
    weir_json_kv_i64(j, "decided_micro_per_hour", weir_owned_rates(c).marginal_busy_micro_per_hour);
    carbon_json(j, c);
    weir_json_end(j);
}

static void pool_json(struct weir_json *j, const struct pool_list *l, const struct pool_sum *p, const char *currency)
{
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", p->name);
    weir_json_kv_cstr(j, "kind", p->is_delegated ? "delegated" : "placed");
    weir_json_kv_u64(j, "nodes", p->nodes);
    weir_json_kv_u64(j, "gpus", p->gpus);
    weir_json_kv_u64(j, "gpus_free", p->gpus_free);
    weir_json_kv_u64(j, "cpu_milli", p->cpu_milli);
    weir_json_kv_u64(j, "running", p->running);
    weir_json_kv_i64(j, "rate_micro_per_hour", p->rate_micro_per_hour);
    weir_json_kv_cstr(j, "currency", currency);
    weir_json_key(j, "costs");
    weir_json_array(j);
    for (size_t i = 0; i < l->costs.n; i++) {
        if (l->costs.p[i].pool == p->id && !l->costs.p[i].is_rented) {
            cost_json(j, &l->costs.p[i]);
        }
    }
    weir_json_end(j);
    weir_json_key(j, "rented");
    weir_json_array(j);
    for (size_t i = 0; i < l->costs.n; i++) {
        if (l->costs.p[i].pool == p->id && l->costs.p[i].is_rented) {
            rented_json(j, &l->costs.p[i]);
        }
    }
    weir_json_end(j);
    weir_json_end(j);
}

void api_handle_pools(struct api_request *rq)
{
    unsigned which;
    struct pool_list l = {0};
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = s->ops->each_pool(s, on_pool, &l, &rq->err);
    rc = rc < 0 ? rc : s->ops->each_node(s, false, on_pool_node, &l, &rq->err);
    rc = rc < 0 ? rc : s->ops->each_meter(s, on_pool_meter, &l, &rq->err);
    api_reader_put(rq->api, which);
    struct page p = page_begin(rq, &out);
    for (size_t i = 0; i < l.pools.n; i++) {
        if (page_takes(&p, (uint64_t)l.pools.p[i].id + 1)) { /* pools count from 0 */
            pool_json(&p.j, &l, &l.pools.p[i], rq->api->conf.currency);
        }
        free(l.pools.p[i].name);
    }
    weir_vec_release(&l.pools);
    weir_vec_release(&l.costs);
    page_end(&p);
    page_reply(rq->http, &out, rc, &rq->err);
}
