/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that change nothing: could it ever run, what is the nearest that could, why does it wait. */

#include <string.h>

#include "core/decide_priv.h"

bool weir_core_explain(struct weir_core *c, struct weir_task_id task, struct weir_wall now, struct weir_explain *ret)
{
    struct job *j = job_find(c, task.job.v);
    if (j == NULL || task.ordinal >= j->n_tasks || j->task[task.ordinal].state != WEIR_TASK_WAITING) {
        return false;
    }
    int64_t was = c->now_us; /* asked between two steps: later than the last, before the next */
    c->now_us = max_i64(was, now.us);
    decide_explain(c, j, task.ordinal, ret);
    ret->now.us = c->now_us;
    c->now_us = was;
    claims_forget(c); /* shares were looked at for another time */
    return true;
}

static uint64_t node_room(const struct node *n, const struct weir_request *r, uint32_t gpus)
{
    if (!n->usable || !node_fits(n, gpus, r->cpu_milli, r->mem_mib)) {
        return 0;
    }
    uint64_t room = gpus > 0 ? popcount32(n->free_mask) / gpus : UINT32_MAX;
    uint64_t by_cpu = r->cpu_milli > 0 ? n->cpu_free / r->cpu_milli : room;
    uint64_t by_memory = r->mem_mib > 0 ? n->mem_free / r->mem_mib : room;
    room = by_cpu < room ? by_cpu : room;
    return by_memory < room ? by_memory : room;
}

static uint64_t type_room(const struct weir_core *c, const struct weir_request *r, const struct node_type *t)
{
    uint64_t room = 0;
    struct type_fit f = request_fit(c, r, t);
    for (size_t k = 0; k < t->node.n && f.verdict == WEIR_VERDICT_CHOSEN; k++) {
        uint64_t of_node = t->node.p[k] == NULL ? 0 : node_room(t->node.p[k], r, f.gpus);
        room += r->nodes > 1 && of_node > 1 ? 1 : of_node;
    }
    return room;
}

/* Whoever else waits for it; gangs count as if no two shared a node. */
static uint64_t nodes_room(const struct weir_core *c, const struct weir_request *r)
{
    uint64_t room = 0;
    bool zones = wants_one_zone(r);
    for (size_t i = 0; i < c->types.n; i++) {
        uint64_t here = 0; /* of the first of a zone: in all of it */
        bool first = true;
        for (size_t k = 0; zones && k < c->types.n; k++) {
            bool near = type_zone_same(c->types.p[k], c->types.p[i]);
            first = first && !(near && k < i);
            here += near ? type_room(c, r, c->types.p[k]) : 0;
        }
        room += !zones ? type_room(c, r, c->types.p[i]) : first ? here / r->nodes : 0;
    }
    return !zones && r->nodes > 1 ? room / r->nodes : room;
}

/* Owned nodes that fit, in the type's zone where that matters: a rented one is there for a while only. */
static uint64_t owned_mates(struct weir_core *c, const struct weir_request *r, const struct node_type *t)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *x = c->types.p[i];
        bool near = !wants_one_zone(r) || type_zone_same(t, x);
        n += !x->rented && near && request_fit(c, r, x).verdict == WEIR_VERDICT_CHOSEN ? x->n_nodes : 0;
    }
    return n;
}

/* As many as the nodes have room for, and its budgets and quotas. */
static uint64_t room_for(const struct weir_core *c, const struct job *j)
{
    const struct weir_request *r = &j->class->shape->req;
    uint64_t nodes = nodes_room(c, r);
    uint64_t paid = 0;
    for (size_t i = 0; i < c->types.n && nodes > 0; i++) {
        const struct node_type *t = c->types.p[i];
        uint64_t here = type_room(c, r, t) == 0 ? 0 : limits_room(c, j, t, request_fit(c, r, t).gpus);
        paid = here > paid ? here : paid;
    }
    return nodes < paid ? nodes : paid;
}

/* The job stands in the queue while it is looked at, and leaves nothing behind. */
bool weir_core_what_if(struct weir_core *c, const struct weir_event *submit, struct weir_explain *ret, struct weir_err *err)
{
    struct weir_event ev = *submit;
    ev.u.job_submit.job.v = c->next_job;
    if (ev.kind != WEIR_EVENT_JOB_SUBMIT || event_check(c, &ev, err) < 0) {
        return false;
    }
    int64_t was = c->now_us;
    bool moved = c->claims_moved;
    size_t n_fresh = c->fresh.n;
    size_t n_projects = c->ch_projects.n;
    uint32_t project = ev.u.job_submit.project.v;
    bool new_project = project_find(c, project) == NULL;
    size_t n_payers = c->payers.n;
    bool new_shape = shape_find(c, ev.u.job_submit.request) == NULL;
    c->now_us = max_i64(was, ev.now.us);
    struct project *p = project_get(c, project);
    bool changed = p->changed;
    struct job *j = job_of(c, &ev);
    struct shape *s = j->class->shape;
    decide_explain(c, j, 0, ret);
    ret->room = room_for(c, j);
    ret->task = (struct weir_task_id){{0}, 0};
    ret->now.us = c->now_us;
    struct payer *payer = j->payer;
    queue_remove_all(c, j);
    job_free(c, j);
    if (c->payers.n > n_payers) {
        payer_drop(c, payer);
    }
    p->changed = changed;
    c->fresh.n = n_fresh;
    c->ch_projects.n = n_projects;
    if (new_shape) {
        shape_drop(c, s);
    }
    if (new_project) {
        project_drop(c, p);
    }
    c->now_us = was;
    claims_forget(c); /* it had its place among those that wait, at another time */
    c->claims_moved = moved;
    return true;
}

/* Could so many machines of the offer ever be rented for it? */
static enum weir_verdict offer_could(const struct weir_core *c, const struct weir_request *r, const struct weir_offer *o, int64_t now_us)
{
    struct type_fit f;
    enum weir_verdict v = offer_verdict(c, r, o, &f);
    if (v != WEIR_VERDICT_CHOSEN) {
        return v;
    }
    if (o->expires.us <= now_us) {
        return WEIR_VERDICT_STALE_PRICE;
    }
    if (r->nodes > c->conf.leases_max) {
        return WEIR_VERDICT_LEASE_LIMIT;
    }
    bool is_dear = c->conf.spend_micro_per_hour_max > 0 && weir_mul_div_sat(offer_spend(o), r->nodes, 1) > c->conf.spend_micro_per_hour_max;
    return is_dear ? WEIR_VERDICT_SPEND_LIMIT : WEIR_VERDICT_CHOSEN; /* even with nothing else rented */
}

/*
 * Where no node that there is has room for it, and a provider's quota keeps each offer from ever being rented that could run it, ret names
 * the quota of the first.
 */
static void tell_quota(const struct weir_core *c, const struct weir_request *r, int64_t now_us, struct weir_explain *ret)
{
    const struct known_quota *least = NULL;
    const struct weir_offer *of = NULL;
    uint64_t there = 0;
    for (size_t i = 0; i < c->types.n; i++) {
        there += request_fit(c, r, c->types.p[i]).verdict == WEIR_VERDICT_CHOSEN ? c->types.p[i]->n_nodes : 0;
    }
    for (size_t i = 0; i < c->offers.n && c->conf.spill; i++) {
        const struct offer *o = &c->offers.p[i];
        if (offer_could(c, r, &o->o, now_us) != WEIR_VERDICT_CHOSEN) {
            continue;
        }
        const struct known_quota *k = provider_quota_never(c, o, r->nodes);
        if (k == NULL) {
            return;
        }
        of = least == NULL ? &o->o : of;
        least = least == NULL ? k : least;
    }
    if (least == NULL || there >= r->nodes) {
        return;
    }
    ret->provider_quota = weir_provider_quota_id(c->providers.p[least->provider].name, &least->q);
    ret->provider_quota_offer = of->id;
    ret->provider_quota_limit = least->q.limit;
    ret->provider_quota_used = weir_i64_add_sat(least->others, least->ours);
    ret->provider_quota_need = weir_mul_div_sat(weir_provider_quota_of(&least->q, of), r->nodes, 1);
    ret->provider_quota_unit = least->q.unit;
}

/* Counts what fits; the reasons of the rest go into ret (may be NULL). */
static uint64_t count_fits(struct weir_core *c, const struct weir_request *r, int64_t now_us, struct weir_explain *ret)
{
    uint64_t fits = wants_one_zone(r) ? 0 : owned_mates(c, r, NULL);
    zones_update(c);
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = request_fit(c, r, t);
        if (f.verdict == WEIR_VERDICT_CHOSEN && wants_one_zone(r)) {
            uint64_t here = owned_mates(c, r, t);
            fits = here > fits ? here : fits;
        }
        if (ret != NULL && f.verdict != WEIR_VERDICT_CHOSEN) {
            ret->rejected[f.verdict] += t->n_nodes;
            ret->n_considered += t->n_nodes;
        }
    }
    bool offered = false;
    for (size_t i = 0; i < c->offers.n && c->conf.spill; i++) {
        enum weir_verdict v = offer_could(c, r, &c->offers.p[i].o, now_us);
        offered = offered || v == WEIR_VERDICT_CHOSEN;
        if (ret != NULL && v != WEIR_VERDICT_CHOSEN) {
            ret->rejected[v]++;
            ret->n_considered++;
        }
    }
    return offered ? UINT64_MAX : fits;
}

static bool is_possible(struct weir_core *c, const struct weir_request *r, int64_t now_us, struct weir_explain *ret)
{
    uint64_t fits = count_fits(c, r, now_us, ret);
    if (ret != NULL && fits > 0 && fits < r->nodes) {
        ret->rejected[WEIR_VERDICT_TOO_SMALL]++; /* the gang, not a node */
    }
    return fits >= r->nodes;
}

bool shape_is_impossible(struct weir_core *c, struct shape *s)
{
    if (s->world != c->world) {
        s->impossible = !is_possible(c, &s->req, c->now_us, NULL);
        s->world = c->world;
    }
    return s->impossible;
}

/* One way in which less could be asked; false where there is nothing (more) to give up. */
typedef bool relax_fn(struct weir_core *c, struct weir_request *r);

static bool fewer_gpus(struct weir_core *c, struct weir_request *r)
{
    bool changed = false;
    (void)c;
    for (uint32_t i = 0; i < r->alternatives; i++) {
        if (r->alternative[i].count > 1) {
            r->alternative[i].count--;
            changed = true;
        }
    }
    return changed;
}

static bool less_cpu(struct weir_core *c, struct weir_request *r)
{
    (void)c;
    if (r->cpu_milli <= 1000) {
        return false;
    }
    uint32_t cores = (r->cpu_milli + 999) / 1000;
    r->cpu_milli = (cores > 16 ? cores - cores / 16 - 1 : cores - 1) * 1000;
    return true;
}

static bool less_memory(struct weir_core *c, struct weir_request *r)
{
    (void)c;
    if (r->mem_mib <= 1024) {
        return false;
    }
    uint64_t gib = (r->mem_mib + 1023) / 1024;
    r->mem_mib = (gib > 16 ? gib - gib / 16 - 1 : gib - 1) * 1024;
    return true;
}

static bool fewer_nodes(struct weir_core *c, struct weir_request *r)
{
    (void)c;
    if (r->nodes <= 1) {
        return false;
    }
    r->nodes--;
    return true;
}

static bool less_gpu_memory(struct weir_core *c, struct weir_request *r)
{
    (void)c;
    if (r->gpu_mem_mib_min == 0) {
        return false;
    }
    uint32_t step = 4096;
    r->gpu_mem_mib_min = r->gpu_mem_mib_min > step ? (r->gpu_mem_mib_min - 1) / step * step : 0;
    return true;
}

static bool other_model(struct weir_core *c, struct weir_request *r)
{
    (void)c;
    if (r->alternatives == 0 || r->alternative[0].model == WEIR_GPU_MODEL_ANY) {
        return false;
    }
    uint16_t least = r->alternative[0].count;
    for (uint32_t i = 1; i < r->alternatives; i++) {
        least = r->alternative[i].count < least ? r->alternative[i].count : least;
    }
    memset(r->alternative, 0, sizeof r->alternative);
    r->alternatives = 1;
    r->alternative[0] = (struct weir_gpu_wish){WEIR_GPU_MODEL_ANY, least};
    return true;
}

static bool other_market(struct weir_core *c, struct weir_request *r)
{
    (void)c;
    if (r->market == WEIR_MARKET_AUTO) {
        return false;
    }
    r->market = WEIR_MARKET_AUTO;
    return true;
}

static bool other_local(struct weir_core *c, struct weir_request *r)
{
    (void)c;
    if (r->local == WEIR_LOCAL_PREFER) {
        return false;
    }
    r->local = WEIR_LOCAL_PREFER;
    return true;
}

static bool any_zone(struct weir_core *c, struct weir_request *r)
{
    (void)c;
    bool changed = r->same_zone;
    r->same_zone = false;
    return changed;
}

static bool any_place(struct weir_core *c, struct weir_request *r)
{
    (void)c;
    if (r->clouds == 0 && r->regions == 0) {
        return false;
    }
    r->clouds = 0;
    r->regions = 0;
    memset(r->cloud, 0, sizeof r->cloud);
    memset(r->region, 0, sizeof r->region);
    return true;
}

/* The model that is there, in place of "any": what a person can write. */
static void name_model(struct weir_core *c, struct weir_request *r, int64_t now_us)
{
    if (r->alternatives != 1 || r->alternative[0].model != WEIR_GPU_MODEL_ANY) {
        return;
    }
    for (size_t i = 0; i < c->types.n + c->offers.n; i++) {
        struct weir_request x = *r;
        x.alternative[0].model = i < c->types.n ? c->types.p[i]->gpu_model
                                                : c->offers.p[i - c->types.n].o.gpu_model;
        if (x.alternative[0].model != WEIR_GPU_MODEL_ANY && is_possible(c, &x, now_us, NULL)) {
            *r = x;
            return;
        }
    }
}

/* The steps down are coarse: up again by single GiB. */
static void most_memory(struct weir_core *c, struct weir_request *r, int64_t now_us)
{
    enum { STEPS_MAX = 256 };
    for (int i = 0; i < STEPS_MAX; i++) {
        struct weir_request x = *r;
        x.mem_mib += 1024;
        if (!is_possible(c, &x, now_us, NULL)) {
            return;
        }
        *r = x;
    }
}

static bool find_nearest(struct weir_core *c, const struct weir_request *request, int64_t now_us, struct weir_request *ret)
{
    /* what changes least for the person comes first */
    static relax_fn *const ways[] = {less_memory,  less_cpu,    fewer_gpus,   other_market, less_gpu_memory,
                                     any_zone,     any_place,   other_local, other_model,  fewer_nodes};
    enum { STEPS_MAX = 300 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(ways); i++) {
        struct weir_request r = *request;
        for (int step = 0; step < STEPS_MAX && ways[i](c, &r); step++) {
            if (is_possible(c, &r, now_us, NULL)) {
                if (ways[i] == less_memory) {
                    most_memory(c, &r, now_us);
                }
                if (ways[i] == other_model) {
                    name_model(c, &r, now_us);
                }
                *ret = r;
                return true;
            }
        }
    }
    /* no single change is enough: all of them, one after the other, to the end */
    struct weir_request r = *request;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(ways); i++) {
        for (int step = 0; step < STEPS_MAX && ways[i](c, &r); step++) {
            if (is_possible(c, &r, now_us, NULL)) {
                name_model(c, &r, now_us);
                *ret = r;
                return true;
            }
        }
    }
    return false;
}

bool weir_core_possible(struct weir_core *c,
                        const struct weir_request *request,
                        struct weir_wall now,
                        struct weir_explain *ret,
                        struct weir_request *nearest,
                        bool *has_nearest)
{
    memset(ret, 0, sizeof *ret);
    ret->now = now;
    ret->decision = WEIR_DECISION_BLOCKED;
    ret->reason = WEIR_REASON_IMPOSSIBLE;
    ret->margin_micro = INT64_MAX;
    *has_nearest = false;
    if (request_check(c, request, NULL) < 0) {
        return false;
    }
    if (is_possible(c, request, now.us, ret)) {
        ret->decision = WEIR_DECISION_WAIT;
        ret->reason = WEIR_REASON_NONE;
        tell_quota(c, request, now.us, ret);
        return true;
    }
    if (nearest != NULL) {
        *has_nearest = find_nearest(c, request, now.us, nearest);
    }
    return false;
}
