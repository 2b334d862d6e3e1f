/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is lent is given back: for tasks that may start within their own share, and find it lent out or the nodes full of what is
 * lent, borrowers are told to stop. First is found where the tasks would start, and who is in the way there; then, where all that
 * goes leaves too little of the cohort, who goes besides, wherever it runs. Borrowers are taken as long as their quota is beyond its own share: those
 * that can checkpoint first, then the least work lost, the youngest. What was told to stop before counts as gone.
 */

#include <string.h>

#include "core/decide_priv.h"

enum { TASKS_MAX = 64, ABLE_MAX = 64 };

/* A node on which tasks could start, so many of them already meant to. */
struct post {
    struct node *node;
    uint16_t gpus;
    uint8_t alternative;
    size_t group; /* of the nodes of one model, owned or rented: a gang stands on such */
    uint32_t taken;
    bool open; /* one more could, with those gone: */
    uint32_t n_victims;
    struct loss loss;
};

typedef WEIR_VEC(struct post) post_vec;

struct reclaim {
    struct weir_core *c;
    struct class *cl;
    post_vec post;
    run_vec chosen;
    int64_t gpus; /* of the tasks that found a post */
};

/* The member of the class's cohorts by which the run borrows; NULL: it does not, or may not be stopped for it. */
static struct quota *borrows_by(const struct reclaim *q, const struct run *r)
{
    const struct limits *theirs = r->job->payer->limits;
    uint8_t state = r->job->task[r->ordinal].state;
    if (theirs == NULL || r->stop_us != 0 || r->chosen || (state != WEIR_TASK_RUNNING && state != WEIR_TASK_STARTING)) {
        return NULL;
    }
    for (size_t i = 0; i < theirs->quota.n; i++) {
        struct quota *x = theirs->quota.p[i];
        if (x->cohort == NULL || x->n - x->going - x->chosen <= x->def.limit || quota_of_run(x, r) == 0) {
            continue;
        }
        for (size_t k = 0; k < q->cl->limits->quota.n && k < 64; k++) {
            const struct quota *mine = q->cl->limits->quota.p[k];
            if ((q->cl->wants >> k & 1u) != 0 && mine != x && mine->cohort == x->cohort) {
                return x;
            }
        }
    }
    return NULL;
}

static struct loss loss_of(const struct reclaim *q, const struct run *r)
{
    /* what was not told to start has done nothing */
    return (struct loss){.hard = r->rank[0].told && !run_checkpoints(r), .work_us = r->rank[0].told ? run_work_us(q->c, r) : 0};
}

static int victim_cmp(const struct reclaim *q, const struct run *a, const struct run *b)
{
    struct loss x = loss_of(q, a);
    struct loss y = loss_of(q, b);
    int by = loss_cmp(&x, &y);
    if (by == 0) {
        by = (a->placed_us < b->placed_us) - (a->placed_us > b->placed_us); /* the youngest */
    }
    if (by == 0) {
        by = (a->job->id < b->job->id) - (a->job->id > b->job->id);
    }
    return by != 0 ? by : (a->ordinal < b->ordinal) - (a->ordinal > b->ordinal);
}

static void count_chosen(struct run *r, int sign)
{
    const struct limits *theirs = r->job->payer->limits;
    r->chosen = sign > 0;
    for (size_t i = 0; i < theirs->quota.n; i++) {
        theirs->quota.p[i]->chosen += theirs->quota.p[i]->cohort == NULL ? 0 : sign * quota_of_run(theirs->quota.p[i], r);
    }
}

static void choose(struct reclaim *q, struct run *r)
{
    count_chosen(r, 1);
    weir_vec_push(&q->chosen, r);
}

static void unchoose(struct reclaim *q, size_t down_to)
{
    while (q->chosen.n > down_to) {
        count_chosen(q->chosen.p[--q->chosen.n], -1);
    }
}

static void room_of(const struct node *n, const struct run *r, struct claim_part *room)
{
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        if (r->rank[i].node == n) {
            room->gpus += popcount32(r->rank[i].mask);
            room->cpu_milli += r->rank[i].cpu_milli;
            room->mem_mib += r->rank[i].mem_mib;
        }
    }
}

/* Borrowers on the node, those to stop first in front. What is stopping, or chosen, adds to the room instead. */
static uint32_t borrowers_on(const struct reclaim *q, const struct node *n, struct run **able, struct claim_part *room)
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
        } else if (n_able < ABLE_MAX && borrows_by(q, r) != NULL) {
            uint32_t at = n_able++;
            while (at > 0 && victim_cmp(q, able[at - 1], r) > 0) {
                able[at] = able[at - 1];
                at--;
            }
            able[at] = r;
        }
    }
    return n_able;
}

static bool is_enough(const struct claim_part *room, const struct weir_request *req, const struct post *p)
{
    uint64_t n = p->taken + 1;
    return room->gpus >= p->gpus * n && room->cpu_milli >= req->cpu_milli * n && room->mem_mib >= req->mem_mib * n;
}

/* Who goes so that one more task fits on the node; with take they are chosen. */
static void post_fill(struct reclaim *q, struct post *p, bool take)
{
    struct run *able[ABLE_MAX];
    struct claim_part room;
    const struct weir_request *req = &q->cl->shape->req;
    uint32_t n_able = borrowers_on(q, p->node, able, &room);
    struct loss loss = {0};
    uint32_t n = 0;
    run_vec picked = {0};
    for (uint32_t i = 0; i < n_able && !is_enough(&room, req, p); i++) {
        if (borrows_by(q, able[i]) == NULL) {
            continue; /* those before it bring its quota back to its own */
        }
        struct loss x = loss_of(q, able[i]);
        loss.hard += x.hard;
        loss.work_us = weir_i64_add_sat(loss.work_us, x.work_us);
        room_of(p->node, able[i], &room);
        count_chosen(able[i], 1);
        weir_vec_push(&picked, able[i]);
        n++;
    }
    p->open = is_enough(&room, req, p);
    p->loss = loss;
    p->n_victims = n;
    for (size_t i = 0; i < picked.n; i++) {
        count_chosen(picked.p[i], -1);
    }
    for (size_t i = 0; i < picked.n && take; i++) {
        choose(q, picked.p[i]);
    }
    weir_vec_release(&picked);
}

static int post_cmp(const struct post *a, const struct post *b)
{
    if (a->open != b->open) {
        return a->open ? -1 : 1;
    }
    int by = loss_cmp(&a->loss, &b->loss);
    if (by == 0) {
        by = (a->n_victims > b->n_victims) - (a->n_victims < b->n_victims);
    }
    return by != 0 ? by : (a->node->spec.id.v > b->node->spec.id.v) - (a->node->spec.id.v < b->node->spec.id.v);
}

static void posts_gather(struct reclaim *q)
{
    struct weir_core *c = q->c;
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, q->cl->shape, t);
        size_t group = 0;
        while (f.verdict == WEIR_VERDICT_CHOSEN && (c->types.p[group]->gpu_model != t->gpu_model || c->types.p[group]->rented != t->rented)) {
            group++;
        }
        for (size_t k = 0; f.verdict == WEIR_VERDICT_CHOSEN && k < t->node.n; k++) {
            struct node *n = t->node.p[k];
            if (n != NULL && n->usable && n->joined && !node_is_kept_for_others(n, q->cl)) {
                struct post p = {.node = n, .gpus = f.gpus, .alternative = f.alternative, .group = group};
                post_fill(q, &p, false);
                weir_vec_push(&q->post, p);
            }
        }
    }
}

/* Within what is its own, is there money for it there, and room in its other quotas? */
static bool is_affordable(const struct reclaim *q, const struct post *p)
{
    const struct job *j = q->cl->first;
    const struct spot spot = {.node = p->node, .gpus = p->gpus, .alternative = p->alternative};
    struct shortage s = limits_weigh_own(q->c, j, job_first_waiting(j), &spot);
    return !is_short(&s);
}

/* The best post, of a group or (SIZE_MAX) of all; what was found before is looked at again, since others may have been chosen since. */
static struct post *best_post(struct reclaim *q, size_t group, bool unused)
{
    for (;;) {
        struct post *best = NULL;
        for (size_t i = 0; i < q->post.n; i++) {
            struct post *p = &q->post.p[i];
            bool fits = p->open && (group == SIZE_MAX || p->group == group) && (!unused || p->taken == 0);
            best = fits && (best == NULL || post_cmp(p, best) < 0) ? p : best;
        }
        if (best == NULL) {
            return NULL;
        }
        struct post was = *best;
        post_fill(q, best, false);
        best->open = best->open && (best->taken > 0 || is_affordable(q, best));
        if (best->open && best->n_victims == was.n_victims && loss_cmp(&best->loss, &was.loss) == 0) {
            return best;
        }
    }
}

static void seat(struct reclaim *q, struct post *p)
{
    post_fill(q, p, true);
    p->taken++;
    q->gpus += p->gpus;
    post_fill(q, p, false);
}

/* A gang, on nodes of one model: all of it or nobody goes. */
static bool seat_gang(struct reclaim *q)
{
    uint32_t nodes = q->cl->shape->req.nodes;
    for (size_t group = 0; group < q->c->types.n; group++) {
        size_t chosen = q->chosen.n;
        uint32_t seated = 0;
        struct post *p = best_post(q, group, true);
        for (; p != NULL && seated < nodes; seated++) {
            seat(q, p);
            p = seated + 1 < nodes ? best_post(q, group, true) : p;
        }
        if (seated == nodes) {
            return true;
        }
        unchoose(q, chosen);
        q->gpus = 0;
    }
    return false;
}

/* How many of the class's tasks its own share has room for. */
static int64_t tasks_within(const struct reclaim *q)
{
    int64_t n = q->cl->n_waiting < TASKS_MAX ? (int64_t)q->cl->n_waiting : TASKS_MAX;
    int64_t each = max_i64((int64_t)q->cl->shape->gpus_min * q->cl->shape->req.nodes, 1);
    for (size_t i = 0; i < q->cl->limits->quota.n && i < 64; i++) {
        if ((q->cl->wants >> i & 1u) != 0) {
            n = min_i64(n, max_i64(quota_left_own(q->c, q->cl->limits->quota.p[i]) / each, 1));
        }
    }
    return n;
}

/* Finds nodes for as many tasks as may start, and chooses who goes there. */
static void seat_tasks(struct reclaim *q)
{
    posts_gather(q);
    if (q->cl->shape->req.nodes > 1) {
        (void)seat_gang(q);
        return;
    }
    struct post *p = best_post(q, SIZE_MAX, false);
    for (int64_t left = tasks_within(q); p != NULL && left > 0; left--) {
        seat(q, p);
        p = left > 1 ? best_post(q, SIZE_MAX, false) : NULL;
    }
}

/* What of the cohort is missing for all who were promised theirs in this round, this class's included. */
static int64_t lacking(const struct reclaim *q, struct cohort *k)
{
    int64_t chosen = 0;
    for (size_t i = 0; i < q->c->quotas.n; i++) {
        chosen += q->c->quotas.p[i]->cohort == k ? q->c->quotas.p[i]->chosen : 0;
    }
    int64_t promised = k->round == q->c->round ? k->promised : 0;
    return promised + q->gpus - (k->limit - k->n + k->going + chosen);
}

/* The one to stop first, wherever it runs; NULL: nobody borrows of the cohort any more. */
static struct run *next_borrower(const struct reclaim *q, const struct cohort *k)
{
    struct run *best = NULL;
    for (size_t i = 0; i < q->c->nodes.n; i++) {
        const struct node *n = q->c->nodes.p[i];
        for (size_t m = 0; m < n->runs.n; m++) {
            struct run *r = n->runs.p[m].run;
            const struct quota *by = borrows_by(q, r);
            best = by != NULL && by->cohort == k && (best == NULL || victim_cmp(q, r, best) < 0) ? r : best;
        }
    }
    return best;
}

static int64_t counts_in(const struct cohort *k, const struct run *r)
{
    const struct limits *theirs = r->job->payer->limits;
    int64_t n = 0;
    for (size_t i = 0; i < theirs->quota.n; i++) {
        n += theirs->quota.p[i]->cohort == k ? quota_of_run(theirs->quota.p[i], r) : 0;
    }
    return n;
}

/* Chooses borrowers until enough of the cohort goes; the last may have been enough without those before it. */
static void make_up(struct reclaim *q, struct cohort *k)
{
    size_t from = q->chosen.n;
    struct run *r = lacking(q, k) > 0 ? next_borrower(q, k) : NULL;
    while (r != NULL) {
        choose(q, r);
        r = lacking(q, k) > 0 ? next_borrower(q, k) : NULL;
    }
    for (size_t i = q->chosen.n; i-- > from;) {
        r = q->chosen.p[i];
        if (lacking(q, k) + counts_in(k, r) <= 0) {
            count_chosen(r, -1);
            q->chosen.p[i] = q->chosen.p[--q->chosen.n];
        }
    }
    k->promised = (k->round == q->c->round ? k->promised : 0) + q->gpus;
    k->round = q->c->round;
}

static bool anybody_borrows(const struct weir_core *c, const struct class *cl)
{
    bool any = false;
    for (size_t k = 0; k < cl->limits->quota.n && k < 64; k++) {
        for (size_t i = 0; (cl->wants >> k & 1u) != 0 && i < c->quotas.n && !any; i++) {
            const struct quota *x = c->quotas.p[i];
            any = x->cohort != NULL && x->cohort == cl->limits->quota.p[k]->cohort && x->n - x->going > x->def.limit;
        }
    }
    return any;
}

/* By number, so that what is told does not depend on how they were found. */
static bool stop_all(struct reclaim *q)
{
    struct weir_core *c = q->c;
    const struct job *first = q->cl->first;
    struct weir_task_id other = {{first->id}, job_first_waiting(first)};
    uint32_t own = 0;
    for (size_t i = 0; i < q->cl->limits->quota.n && i < 64 && own == 0; i++) {
        own = (q->cl->wants >> i & 1u) != 0 ? q->cl->limits->quota.p[i]->id : 0;
    }
    for (size_t i = 0; i < q->chosen.n; i++) {
        count_chosen(q->chosen.p[i], -1);
    }
    for (size_t i = 0; i < q->chosen.n; i++) {
        struct run *r = q->chosen.p[i];
        struct weir_explain *x = explain_add(c, WEIR_DECISION_PREEMPT);
        x->task = run_id(r).task;
        x->attempt = r->attempt;
        x->node.v = r->rank[0].node_id;
        x->other = other;
        x->quota.v = own;
        (void)run_halt(c, r, WEIR_REASON_PREEMPT);
    }
    return q->chosen.n > 0;
}

bool reclaim(struct weir_core *c, struct class *cl, bool elsewhere)
{
    if (cl->limits == NULL || cl->wants == 0 || !anybody_borrows(c, cl)) {
        return false;
    }
    struct reclaim q = {.c = c, .cl = cl};
    seat_tasks(&q);
    if (q.gpus == 0 && elsewhere) { /* a machine that boots, or that would be rented, for the first */
        q.gpus = (int64_t)cl->shape->gpus_min * cl->shape->req.nodes;
    }
    for (size_t i = 0; q.gpus > 0 && i < cl->limits->quota.n && i < 64; i++) {
        if ((cl->wants >> i & 1u) != 0) {
            make_up(&q, cl->limits->quota.p[i]->cohort);
        }
    }
    bool stopped = stop_all(&q);
    if (stopped) {
        claims_cut(c, cl); /* its start is soon now: the claim made before no longer says so */
    }
    weir_vec_release(&q.post);
    weir_vec_release(&q.chosen);
    return stopped;
}
