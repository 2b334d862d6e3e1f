/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preemption: a task of much higher priority that would wait long stops lower ones. Chosen are the nodes, one or as many
 * as its gang needs, where the least is lost: first those where all victims can checkpoint, then the least work lost.
 * A gang that is stopped for one node makes room on all of its nodes. Nothing is stopped unless all of the room is found.
 */

#include "core/decide_priv.h"

enum { VICTIMS_MAX = 64, SOON_S = 60 };

/* A node on which a rank could start once its victims are gone. */
struct seat {
    struct node *node;
    struct loss loss;
    uint32_t victims;
    uint16_t gpus;
};

typedef WEIR_VEC(struct seat) seat_vec;

/* What a search found, and what it works with. */
struct search {
    struct weir_core *c;
    const struct class *cl;
    seat_vec able; /* of one model, owned or rented */
    run_vec chosen;
    struct loss loss; /* of the chosen */
    uint64_t first_node;
    run_vec best; /* the chosen among the nodes of the best model */
};

static bool may_stop(const struct weir_core *c, const struct class *cl, const struct run *r)
{
    const struct class *v = r->job->class;
    uint8_t state = r->job->task[r->ordinal].state;
    /* points too: what comes back must not go before the one that it made room for */
    return r->rank[0].told && v->points < cl->points && !cohort_shields(cl, r) &&
           v->priority + (int64_t)c->conf.preempt_priority_gap <= cl->priority &&
           (state == WEIR_TASK_RUNNING || state == WEIR_TASK_STARTING);
}

bool run_checkpoints(const struct run *r)
{
    return r->job->class->shape->req.checkpoint_every.us > 0;
}

int64_t run_work_us(const struct weir_core *c, const struct run *r)
{
    int64_t from = r->started_us == 0 ? c->now_us : r->started_us;
    int64_t gpus = 0;
    if (run_checkpoints(r)) {
        from = max_i64(from, r->job->task[r->ordinal].checkpointed_us);
    }
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        gpus += max_i64((int64_t)popcount32(r->rank[i].mask), 1);
    }
    return weir_mul_div_sat(c->now_us - from, gpus, 1);
}

int loss_cmp(const struct loss *a, const struct loss *b)
{
    if (a->hard != b->hard) {
        return a->hard < b->hard ? -1 : 1;
    }
    return a->work_us < b->work_us ? -1 : a->work_us > b->work_us;
}

static int victim_cmp(const struct weir_core *c, const struct run *a, const struct run *b)
{
    struct loss x = {!run_checkpoints(a), run_work_us(c, a)};
    struct loss y = {!run_checkpoints(b), run_work_us(c, b)};
    return loss_cmp(&x, &y);
}

static int seat_cmp(const void *a, const void *b)
{
    const struct seat *x = a;
    const struct seat *y = b;
    int by_loss = loss_cmp(&x->loss, &y->loss);
    if (by_loss != 0) {
        return by_loss;
    }
    return x->node->spec.id.v < y->node->spec.id.v ? -1 : x->node->spec.id.v > y->node->spec.id.v;
}

/* Those that may be stopped, the least loss first. What is stopping, or chosen, adds to the room instead. */
static uint32_t victims_on(const struct search *q, const struct node *n, struct run **able, struct claim_part *room)
{
    uint32_t n_able = 0;
    *room = (struct claim_part){.gpus = popcount32(n->free_mask), .cpu_milli = n->cpu_free, .mem_mib = n->mem_free};
    for (size_t i = 0; i < n->runs.n; i++) {
        struct run *r = n->runs.p[i].run;
        const struct rank *k = &r->rank[n->runs.p[i].rank];
        if (r->stop_us != 0 || r->chosen) {
            room->gpus += popcount32(k->mask);
            room->cpu_milli += k->cpu_milli;
            room->mem_mib += k->mem_mib;
        } else if (n_able < VICTIMS_MAX && may_stop(q->c, q->cl, r)) {
            uint32_t at = n_able++;
            while (at > 0 && victim_cmp(q->c, able[at - 1], r) > 0) {
                able[at] = able[at - 1];
                at--;
            }
            able[at] = r;
        }
    }
    return n_able;
}

/* The cheapest victims on the seat's node that make enough room; false where none do. With take they are chosen. */
static bool seat_fill(struct search *q, struct seat *s, bool take)
{
    const struct weir_request *req = &q->cl->shape->req;
    const struct node *n = s->node;
    struct run *able[VICTIMS_MAX];
    struct claim_part room;
    uint32_t n_able = victims_on(q, n, able, &room);
    s->victims = 0;
    s->loss = (struct loss){0};
    while (room.gpus < s->gpus || room.cpu_milli < req->cpu_milli || room.mem_mib < req->mem_mib) {
        if (s->victims == n_able) {
            return false;
        }
        struct run *r = able[s->victims++];
        for (uint32_t i = 0; i < r->n_ranks; i++) {
            if (r->rank[i].node == n) {
                room.gpus += popcount32(r->rank[i].mask);
                room.cpu_milli += r->rank[i].cpu_milli;
                room.mem_mib += r->rank[i].mem_mib;
            }
        }
        s->loss.hard += !run_checkpoints(r);
        s->loss.work_us = weir_i64_add_sat(s->loss.work_us, run_work_us(q->c, r));
        if (take) {
            r->chosen = true;
            weir_vec_push(&q->chosen, r);
        }
    }
    return true;
}

bool node_is_kept_for_others(const struct node *n, const struct class *cl)
{
    for (size_t i = 0; i < n->claims.n; i++) {
        if (claim_is_used(n->claims.p[i]) && n->claims.p[i]->class != cl) {
            return true;
        }
    }
    return false;
}

/* Is there money for it on the first n seats? Nobody is stopped for a task that could not start then. */
static bool is_affordable(const struct search *q, const struct seat *seat, uint32_t n)
{
    const struct job *j = q->cl->first;
    if (q->c->limits.n == 0) {
        return true;
    }
    struct spot *spot = weir_calloc(n, sizeof *spot);
    for (uint32_t i = 0; i < n; i++) {
        spot[i] = (struct spot){.node = seat[i].node, .gpus = (uint16_t)seat[i].gpus};
    }
    struct shortage s = limits_weigh_place(q->c, j, job_first_waiting(j), spot, n);
    free(spot);
    return !is_short(&s);
}

/* All nodes of the type and its mates on which a rank could start. */
static void seats_gather(struct search *q, const struct node_type *lead)
{
    struct weir_core *c = q->c;
    weir_vec_clear(&q->able);
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, q->cl->shape, t);
        if (f.verdict != WEIR_VERDICT_CHOSEN || !types_are_mates(q->cl->shape, lead, t)) {
            continue;
        }
        for (size_t k = 0; k < t->node.n; k++) {
            struct seat s = {.node = t->node.p[k], .gpus = f.gpus};
            if (s.node != NULL && s.node->usable && s.node->joined && !node_is_kept_for_others(s.node, q->cl) && is_affordable(q, &s, 1) && seat_fill(q, &s, false)) {
                weir_vec_push(&q->able, s);
            }
        }
    }
}

/* Takes the best of the seats behind the first `taken`, and looks again at those that become cheaper because a gang goes. */
static void seat_take(struct search *q, size_t taken)
{
    size_t from = q->chosen.n;
    size_t best = taken;
    bool cheaper = false;
    for (size_t i = taken + 1; i < q->able.n; i++) {
        best = seat_cmp(&q->able.p[i], &q->able.p[best]) < 0 ? i : best;
    }
    struct seat s = q->able.p[best];
    q->able.p[best] = q->able.p[taken];
    q->able.p[taken] = s;
    (void)seat_fill(q, &s, true);
    for (size_t i = from; i < q->chosen.n; i++) {
        cheaper = cheaper || q->chosen.p[i]->n_ranks > 1;
    }
    for (size_t i = taken + 1; cheaper && i < q->able.n; i++) {
        (void)seat_fill(q, &q->able.p[i], false);
    }
}

static bool has_chosen(const struct node *n)
{
    bool has = false;
    for (size_t i = 0; i < n->runs.n; i++) {
        has = has || n->runs.p[i].run->chosen;
    }
    return has;
}

/* Is there room for all ranks on the first n seats, with the chosen gone? */
static bool is_enough(struct search *q, size_t n)
{
    uint32_t ready = 0;
    for (size_t i = 0; i < n && ready < q->cl->shape->req.nodes; i++) {
        struct seat s = q->able.p[i];
        ready += seat_fill(q, &s, false) && s.victims == 0;
    }
    return ready >= q->cl->shape->req.nodes;
}

/* What was chosen later may have made room enough without what was chosen before: that goes on running, the dearest first. */
static void spare(struct search *q)
{
    size_t near = q->cl->shape->req.nodes;
    for (size_t i = near; i < q->able.n; i++) { /* the nodes that matter, to the front */
        if (has_chosen(q->able.p[i].node)) {
            struct seat s = q->able.p[i];
            q->able.p[i] = q->able.p[near];
            q->able.p[near++] = s;
        }
    }
    for (size_t i = 1; i < q->chosen.n; i++) {
        struct run *r = q->chosen.p[i];
        size_t at = i;
        while (at > 0 && victim_cmp(q->c, q->chosen.p[at - 1], r) < 0) {
            q->chosen.p[at] = q->chosen.p[at - 1];
            at--;
        }
        q->chosen.p[at] = r;
    }
    size_t kept = 0;
    for (size_t i = 0; i < q->chosen.n; i++) {
        struct run *r = q->chosen.p[i];
        r->chosen = false;
        if (!is_enough(q, near)) {
            r->chosen = true;
            q->chosen.p[kept++] = r;
        }
    }
    q->chosen.n = kept;
}

/* The cheapest victims among nodes of the type and its mates; false where none make all of the room. */
static bool search_model(struct search *q, const struct node_type *t)
{
    uint32_t want = q->cl->shape->req.nodes;
    weir_vec_clear(&q->chosen);
    q->loss = (struct loss){0};
    q->first_node = UINT64_MAX;
    seats_gather(q, t);
    if (q->able.n < want) {
        return false;
    }
    for (uint32_t i = 0; i < want; i++) {
        seat_take(q, i);
        uint64_t node = q->able.p[i].node->spec.id.v;
        q->first_node = node < q->first_node ? node : q->first_node;
    }
    bool affordable = is_affordable(q, q->able.p, want);
    spare(q);
    for (size_t i = 0; i < q->chosen.n; i++) {
        struct run *r = q->chosen.p[i];
        q->loss.hard += !run_checkpoints(r);
        q->loss.work_us = weir_i64_add_sat(q->loss.work_us, run_work_us(q->c, r));
        r->chosen = false;
    }
    return affordable;
}

/* A gang starts on nodes that are mates. Leaves the victims of the best such in q->best. */
static bool find_victims(struct search *q)
{
    struct weir_core *c = q->c;
    bool found = false;
    struct loss loss = {0};
    uint64_t first_node = 0;
    for (size_t i = 0; i < c->types.n; i++) {
        if (!type_leads(c, q->cl->shape, i) || !search_model(q, c->types.p[i])) {
            continue;
        }
        int less = found ? loss_cmp(&q->loss, &loss) : -1;
        if (less < 0 || (less == 0 && q->first_node < first_node)) {
            run_vec was = q->best;
            q->best = q->chosen;
            q->chosen = was;
            found = true;
            loss = q->loss;
            first_node = q->first_node;
        }
    }
    return q->best.n > 0;
}

static void stop_best(struct search *q)
{
    struct weir_core *c = q->c;
    struct job *first = q->cl->first;
    for (size_t i = 0; i < q->best.n; i++) {
        struct run *r = q->best.p[i];
        struct weir_explain *x = explain_add(c, WEIR_DECISION_PREEMPT);
        x->task = run_id(r).task;
        x->attempt = r->attempt;
        x->node.v = r->rank[0].node_id;
        x->other = (struct weir_task_id){{first->id}, job_first_waiting(first)};
        run_stop(c, r, WEIR_REASON_PREEMPT, r->job->class->shape->req.checkpoint_grace.us);
    }
}

int32_t preempts_from(struct weir_core *c)
{
    const uint32_t most = WEIR_ARRAY_LEN(c->running_by_priority);
    while (c->running_from < most && c->running_by_priority[c->running_from] == 0) {
        c->running_from++;
    }
    return c->running_from == most || c->conf.preempt_priority_gap == 0 ? INT32_MAX
                                                                        : (int32_t)min_i64((int64_t)c->running_from + c->conf.preempt_priority_gap, INT32_MAX);
}

bool preempt(struct weir_core *c, struct class *cl)
{
    if (cl->priority < preempts_from(c)) {
        return false;
    }
    struct node *where = NULL;
    int64_t at = claim_peek(c, cl, &where);
    if (where != NULL && at - c->now_us <= SOON_S * WEIR_US_PER_S) {
        return false;
    }
    struct search q = {.c = c, .cl = cl};
    bool found = find_victims(&q);
    if (found) {
        stop_best(&q);
        /* its start is soon now: the claim made before no longer says so */
        claims_cut(c, cl);
    }
    weir_vec_release(&q.able);
    weir_vec_release(&q.chosen);
    weir_vec_release(&q.best);
    return found;
}
