/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preemption: a task of much higher priority that would wait long stops lower ones. Chosen is the node
 * where the least is lost: first those where all victims can checkpoint, then the least work lost.
 */

#include "core/core_priv.h"

enum { VICTIMS_MAX = 64, SOON_S = 60 };

struct victims {
    struct node *node;
    uint32_t n;
    uint32_t hard; /* how many cannot checkpoint */
    int64_t lost_us;
    struct run *run[VICTIMS_MAX];
};

static bool may_stop(const struct weir_core *c, const struct class *cl, const struct run *r)
{
    const struct class *v = r->job->class;
    uint8_t state = r->job->task[r->ordinal].state;
    /* points too: what comes back must not go before the one that it made room for */
    return r->n_ranks == 1 && r->rank[0].told && v->points < cl->points &&
           v->priority + (int64_t)c->conf.preempt_priority_gap <= cl->priority &&
           (state == WEIR_TASK_RUNNING || state == WEIR_TASK_STARTING);
}

static bool checkpoints(const struct run *r)
{
    return r->job->class->shape->req.checkpoint_every.us > 0;
}

static int64_t work_lost_us(const struct weir_core *c, const struct run *r)
{
    int64_t from = r->started_us == 0 ? c->now_us : r->started_us;
    if (checkpoints(r)) {
        from = max_i64(from, r->job->task[r->ordinal].checkpointed_us);
    }
    return weir_mul_div_sat(c->now_us - from,
                            max_i64((int64_t)popcount32(r->rank[0].mask), 1), 1);
}

static int victim_cmp(const struct weir_core *c, const struct run *a, const struct run *b)
{
    if (checkpoints(a) != checkpoints(b)) {
        return checkpoints(a) ? -1 : 1;
    }
    int64_t x = work_lost_us(c, a);
    int64_t y = work_lost_us(c, b);
    return x < y ? -1 : x > y;
}

/* Fills v with the cheapest victims on its node that make enough room; false where none do. */
static bool victims_on(const struct weir_core *c, const struct class *cl, uint32_t gpus, struct victims *v)
{
    const struct node *n = v->node;
    const struct weir_request *req = &cl->shape->req;
    struct run *able[VICTIMS_MAX];
    uint32_t n_able = 0;
    for (size_t i = 0; i < n->runs.n && n_able < VICTIMS_MAX; i++) {
        struct run *r = n->runs.p[i].run;
        if (!may_stop(c, cl, r)) {
            continue;
        }
        uint32_t at = n_able++;
        while (at > 0 && victim_cmp(c, able[at - 1], r) > 0) {
            able[at] = able[at - 1];
            at--;
        }
        able[at] = r;
    }
    uint32_t free_gpus = popcount32(n->free_mask);
    uint32_t cpu = n->cpu_free;
    uint64_t mem = n->mem_free;
    v->n = 0;
    v->hard = 0;
    v->lost_us = 0;
    for (uint32_t i = 0; i < n_able; i++) {
        if (free_gpus >= gpus && cpu >= req->cpu_milli && mem >= req->mem_mib) {
            break;
        }
        free_gpus += popcount32(able[i]->rank[0].mask);
        cpu += able[i]->rank[0].cpu_milli;
        mem += able[i]->rank[0].mem_mib;
        v->hard += !checkpoints(able[i]);
        v->lost_us = weir_i64_add_sat(v->lost_us, work_lost_us(c, able[i]));
        v->run[v->n++] = able[i];
    }
    return v->n > 0 && free_gpus >= gpus && cpu >= req->cpu_milli && mem >= req->mem_mib;
}

static bool is_kept_for_others(const struct node *n, const struct class *cl)
{
    for (size_t i = 0; i < n->claims.n; i++) {
        if (claim_is_used(n->claims.p[i]) && n->claims.p[i]->class != cl) {
            return true;
        }
    }
    return false;
}

static bool find_victims(struct weir_core *c, const struct class *cl, struct victims *best)
{
    *best = (struct victims){0};
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, cl->shape, t);
        if (f.verdict != WEIR_VERDICT_CHOSEN) {
            continue;
        }
        for (size_t k = 0; k < t->node.n; k++) {
            struct victims v = {.node = t->node.p[k]};
            if (!v.node->usable || !v.node->joined || is_kept_for_others(v.node, cl) ||
                !victims_on(c, cl, f.gpus, &v)) {
                continue;
            }
            if (best->node == NULL || v.hard < best->hard ||
                (v.hard == best->hard &&
                 (v.lost_us < best->lost_us ||
                  (v.lost_us == best->lost_us && v.node->spec.id.v < best->node->spec.id.v)))) {
                *best = v;
            }
        }
    }
    return best->node != NULL;
}

bool preempt(struct weir_core *c, struct class *cl)
{
    const struct weir_request *req = &cl->shape->req;
    int64_t highest = (int64_t)cl->priority - c->conf.preempt_priority_gap;
    if (c->conf.preempt_priority_gap == 0 || req->nodes != 1) {
        return false;
    }
    bool any = false;
    for (int64_t p = 0; p <= highest && !any; p++) {
        any = c->running_by_priority[p] > 0;
    }
    if (!any) {
        return false;
    }
    struct node *where = NULL;
    int64_t at = claim_peek(c, cl, &where);
    if (where != NULL && at - c->now_us <= SOON_S * WEIR_US_PER_S) {
        return false;
    }
    struct victims v;
    if (!find_victims(c, cl, &v)) {
        return false;
    }
    for (uint32_t i = 0; i < v.n; i++) {
        struct weir_explain *x = explain_add(c, WEIR_DECISION_PREEMPT);
        x->task = run_id(v.run[i]).task;
        x->attempt = v.run[i]->attempt;
        x->node = v.node->spec.id;
        x->other = (struct weir_task_id){{cl->first->id}, job_first_waiting(cl->first)};
        run_stop(c, v.run[i], WEIR_REASON_PREEMPT,
                 v.run[i]->job->class->shape->req.checkpoint_grace.us);
    }
    /* its start is soon now: the claim made before no longer says so */
    claims_cut(c, cl);
    return true;
}
