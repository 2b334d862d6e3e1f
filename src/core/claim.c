/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims: reserved starts. The first classes of the queue that cannot start get one each, in queue order,
 * each beside the ones before it; a task further back may start only where no claim is delayed by it.
 *
 * Making a claim: the node where enough GPUs come free first, by the trees of the node types, in which
 * earlier claims already stand. CPU and memory are looked at on that node only, and may put the start
 * off; another node might then have been better: accepted, since GPUs are what is short.
 *
 * Claims are kept from step to step. One stays good while none of its nodes changed and no changed node
 * would be free for it earlier, so that what is kept equals what would be made anew from the state.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

static void claim_unlink(struct claim *cm)
{
    for (uint32_t i = 0; i < cm->n_parts; i++) {
        struct node *n = cm->part[i].node;
        for (size_t k = 0; k < n->claims.n; k++) {
            if (n->claims.p[k] == cm) {
                memmove(&n->claims.p[k], &n->claims.p[k + 1],
                        (n->claims.n - k - 1) * sizeof *n->claims.p);
                n->claims.n--;
                break;
            }
        }
        node_unclaimed(n);
    }
}

static void stack_truncate(struct weir_core *c, struct claim_stack *s, size_t n)
{
    c->moment += s->claim.n > n;
    while (s->claim.n > n) {
        struct claim *cm = s->claim.p[--s->claim.n];
        s->n_rented -= cm->rented;
        claim_unlink(cm);
        free(cm);
    }
    if (s->used > n) { /* what is left is found again, the rest is made again */
        s->used = 0;
        s->seen = 0;
    }
}

/* What is there is found again, where it is still good; who found no node may find one now. */
static void stacks_rewind(struct weir_core *c)
{
    for (uint64_t m = c->claimed; m != 0; m &= m - 1) {
        struct claim_stack *s = &c->claims[__builtin_ctzll(m)];
        s->used = 0;
        s->seen = 0;
        c->claimed ^= s->claim.n == 0 ? m & (0 - m) : 0;
    }
}

void claims_forget(struct weir_core *c)
{
    for (uint64_t m = c->claimed; m != 0; m &= m - 1) {
        stack_truncate(c, &c->claims[__builtin_ctzll(m)], 0);
    }
    stacks_rewind(c);
}

void claims_drop(struct weir_core *c)
{
    claims_forget(c);
    c->claims_moved = true;
}

void claims_leave_node(struct weir_core *c, const struct node *n)
{
    while (n->claims.n > 0) {
        stack_truncate(c, n->claims.p[0]->stack, n->claims.p[0]->index);
    }
    stacks_rewind(c);
    c->claims_moved = true;
}

/* Of a class that fits nowhere: NULL. */
static struct claim_stack *stack_of(struct weir_core *c, const struct class *cl)
{
    return cl->want->fits == 0 ? NULL : &c->claims[c->group[__builtin_ctzll(cl->want->fits)]];
}

void claims_drop_class(struct weir_core *c, const struct class *cl)
{
    struct claim_stack *s = stack_of(c, cl);
    for (size_t i = 0; s != NULL && i < s->claim.n; i++) {
        if (s->claim.p[i]->class == cl) {
            stack_truncate(c, s, i);
        }
    }
}

/* ---- groups ---- */

static void groups_join(uint8_t *group, uint64_t fits)
{
    if (fits == 0) {
        return;
    }
    uint64_t joined = 0; /* the groups that the shape has a choice between */
    for (uint64_t m = fits; m != 0; m &= m - 1) {
        joined |= UINT64_C(1) << group[__builtin_ctzll(m)];
    }
    if ((joined & (joined - 1)) == 0) {
        return;
    }
    for (uint32_t i = 0; i < TYPE_BITS; i++) {
        if ((joined >> group[i] & 1u) != 0) {
            group[i] = (uint8_t)__builtin_ctzll(joined);
        }
    }
}

void claims_regroup(struct weir_core *c)
{
    uint8_t group[TYPE_BITS];
    for (uint32_t i = 0; i < TYPE_BITS; i++) {
        group[i] = (uint8_t)i;
    }
    for (size_t k = 0; k < c->hot.n; k++) {
        groups_join(group, c->hot.p[k]->fits);
    }
    if (memcmp(group, c->group, sizeof group) != 0) {
        claims_forget(c);
        memcpy(c->group, group, sizeof group);
    }
}

/* ---- keeping ---- */

/* Would the claim be another one, now that the node changed? */
static bool claim_hurt_by(struct weir_core *c, const struct claim *cm, struct node *n)
{
    for (uint32_t i = 0; i < cm->n_parts; i++) {
        if (cm->part[i].node == n) {
            return true;
        }
    }
    if (!n->usable) {
        return false;
    }
    struct type_fit f = shape_fit(c, cm->class->shape, n->type);
    bool rented = cm->part[0].node->lease != NULL;
    if (f.verdict != WEIR_VERDICT_CHOSEN || (n->lease != NULL && !rented)) {
        return false;
    }
    if (n->lease == NULL && rented) {
        return true; /* there was no owned node for it */
    }
    /* no claim before this one stands on n, else that one would have gone first */
    const struct weir_request *r = &cm->class->shape->req;
    bool by_cores = cm->n_parts > 1 && f.gpus == 0;
    int64_t t = node_free_at(n, f.gpus, by_cores ? r->cpu_milli : 0, by_cores ? r->mem_mib : 0, false);
    const struct node *mine = cm->part[0].node;
    if (t != cm->gpus_us || cm->n_parts > 1) {
        return t <= cm->gpus_us;
    }
    return n->spec.id.v < mine->spec.id.v;
}

static bool claim_is_good(struct weir_core *c, const struct claim *cm)
{
    const struct job *first = cm->class->first;
    if (cm->head_moves == cm->class->head_moves) {
        /* nothing came before it */
    } else if (first == NULL || first->id != cm->job || job_first_waiting(first) != cm->ordinal) {
        return false; /* it started, or was cancelled */
    }
    for (size_t k = 0; k < c->touched.n; k++) {
        if (&c->claims[c->group[type_bit(c->touched.p[k]->type)]] == cm->stack && claim_hurt_by(c, cm, c->touched.p[k])) {
            return false;
        }
    }
    return true;
}

void claims_revalidate(struct weir_core *c)
{
    for (uint64_t m = c->claimed; m != 0; m &= m - 1) {
        struct claim_stack *s = &c->claims[__builtin_ctzll(m)];
        for (size_t i = 0; i < s->claim.n; i++) {
            if (!claim_is_good(c, s->claim.p[i])) {
                stack_truncate(c, s, i);
            }
        }
    }
    /* not by the claims that are dropped: which are kept from before is a matter of what was asked */
    c->claims_moved = c->claims_moved || c->touched.n > 0;
    weir_vec_clear(&c->touched);
}

/* ---- making ---- */

/* The owned, or rented, node where the shape's GPUs come free first, in the zone of the type unless that is NULL. */
static struct node *first_free(struct weir_core *c, const struct class *cl, bool rented, const struct node_type *zone, uint16_t *ret_gpus, int64_t *ret_us)
{
    struct node *best = NULL;
    for (size_t i = 0; i < c->types.n; i++) {
        struct type_fit f = shape_fit(c, cl->shape, c->types.p[i]);
        if (f.verdict != WEIR_VERDICT_CHOSEN || c->types.p[i]->rented != rented || (zone != NULL && !type_zone_same(zone, c->types.p[i])) || (cl->narrow && limits_shut_type(c, cl, c->types.p[i], f.gpus))) {
            continue;
        }
        int64_t t = 0;
        struct node *n = type_first_free(c->types.p[i], f.gpus, &t);
        if (n != NULL && (best == NULL || t < *ret_us ||
                          (t == *ret_us && n->spec.id.v < best->spec.id.v))) {
            best = n;
            *ret_us = t;
            *ret_gpus = f.gpus;
        }
    }
    return best;
}

/*
 * Fills the parts, linking each to its node so that the next part goes elsewhere. On owned nodes, where there is one for
 * it: a rented machine is given back once nothing runs there, and nobody may count on it for later. Where a zone is asked for,
 * on nodes of the zone of that type.
 */
static bool claim_fill_gpus(struct weir_core *c, struct shape *s, struct claim *cm, const struct node_type *zone)
{
    bool rented = zone != NULL && zone->rented;
    uint32_t want = s->req.nodes;
    while (cm->n_parts < want) {
        uint16_t gpus = 0;
        int64_t t = 0;
        struct node *n = first_free(c, cm->class, rented, zone, &gpus, &t);
        if (n == NULL && cm->n_parts == 0 && zone == NULL) {
            rented = true;
            n = first_free(c, cm->class, rented, zone, &gpus, &t);
        }
        if (n == NULL || t == US_NEVER) {
            return false;
        }
        int64_t at = node_free_at(n, gpus, s->req.cpu_milli, s->req.mem_mib, true);
        if (at == US_NEVER) {
            return false;
        }
        cm->gpus_us = max_i64(cm->gpus_us, t);
        cm->at_us = max_i64(cm->at_us, max_i64(at, t));
        struct claim_part *p = &cm->part[cm->n_parts++];
        *p = (struct claim_part){n, gpus, s->req.cpu_milli, s->req.mem_mib};
        weir_vec_push(&n->claims, cm);
        if (want > 1) {
            node_pass_by(n, gpus); /* the other parts go elsewhere; linked or unlinked, the node is read anew */
        }
    }
    return true;
}

static void claim_empty(struct claim *cm)
{
    claim_unlink(cm);
    cm->n_parts = 0;
    cm->gpus_us = 0;
    cm->at_us = 0;
}

/* The zone where it would start first, of owned nodes where one has enough of them; NULL: none has. The claim is left empty. */
static const struct node_type *first_zone(struct weir_core *c, struct shape *s, struct claim *cm)
{
    const struct node_type *best = NULL;
    int64_t best_us = 0;
    uint64_t best_node = 0;
    for (int rented = 0; rented <= 1 && best == NULL; rented++) {
        for (size_t i = 0; i < c->types.n; i++) {
            if (c->types.p[i]->rented != (rented != 0) || !type_leads_zone(c, s, i)) {
                continue;
            }
            if (claim_fill_gpus(c, s, cm, c->types.p[i])) {
                uint64_t node = cm->part[0].node->spec.id.v;
                if (best == NULL || cm->at_us < best_us || (cm->at_us == best_us && node < best_node)) {
                    best = c->types.p[i];
                    best_us = cm->at_us;
                    best_node = node;
                }
            }
            claim_empty(cm);
        }
    }
    return best;
}

static bool claim_fill_parts(struct weir_core *c, struct shape *s, struct claim *cm)
{
    if (s->req.nodes > 1 && s->req.alternatives == 0) {
        return claim_fill_cores(c, s, cm);
    }
    if (!wants_one_zone(&s->req)) {
        return claim_fill_gpus(c, s, cm, NULL);
    }
    const struct node_type *zone = first_zone(c, s, cm);
    return zone != NULL && claim_fill_gpus(c, s, cm, zone);
}

static bool claim_fill(struct weir_core *c, struct shape *s, struct claim *cm)
{
    if (!claim_fill_parts(c, s, cm)) {
        return false;
    }
    int64_t run = 0;
    for (uint32_t i = 0; i < cm->n_parts; i++) {
        run = max_i64(run, run_time_on(s, cm->part[i].node->type->throughput));
    }
    cm->end_us = weir_i64_add_sat(max_i64(cm->at_us, 1), run);
    c->has_endless = c->has_endless || cm->end_us == US_NEVER;
    for (uint32_t i = 0; i < cm->n_parts; i++) {
        node_claimed(cm->part[i].node, cm);
    }
    return true;
}

static struct claim *claim_make(struct weir_core *c, struct class *cl)
{
    struct shape *s = cl->shape;
    struct claim *cm = weir_alloc(sizeof *cm + s->req.nodes * sizeof cm->part[0]);
    cm->class = cl;
    cm->job = cl->first->id;
    cm->ordinal = job_first_waiting(cl->first);
    cm->end_us = US_NEVER;
    cm->head_moves = cl->head_moves;
    if (!claim_fill(c, s, cm)) {
        claim_unlink(cm);
        free(cm);
        return NULL;
    }
    return cm;
}

/* The next claim of the stack where it is the class's and what would be made now. */
static struct claim *claim_known(struct weir_core *c, const struct claim_stack *s, const struct class *cl)
{
    if (s->used == s->claim.n) {
        return NULL;
    }
    struct claim *cm = s->claim.p[s->used];
    return cm->class == cl && claim_is_good(c, cm) ? cm : NULL;
}

/* Makes one, on top of the stack, for a class that has none. */
static struct claim *claim_add(struct weir_core *c, struct claim_stack *s, struct class *cl)
{
    struct claim *cm = claim_make(c, cl);
    if (cm != NULL) {
        cm->stack = s;
        cm->index = s->claim.n;
        weir_vec_push(&s->claim, cm);
        cm->rented = cm->part[0].node->lease != NULL;
        s->n_rented += cm->rented;
        c->moment++;
        c->claimed |= UINT64_C(1) << (s - c->claims); /* to be looked at again, though none of the stack is due yet */
    }
    return cm;
}

static void claim_push(struct weir_core *c, struct claim_stack *s, struct class *cl)
{
    if (claim_known(c, s, cl) == NULL) {
        stack_truncate(c, s, s->used);
        if (claim_add(c, s, cl) == NULL) {
            return;
        }
    }
    s->used++;
}

void claims_begin(struct weir_core *c)
{
    c->claim_round++;
    weir_vec_clear(&c->due);
    stacks_rewind(c);
}

/* Types outlive their nodes: that one which is no more would fit says nothing. */
static bool fits_some_node(struct weir_core *c, const struct class *cl)
{
    for (size_t i = 0; cl->want->fits != 0 && i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        if (t->n_nodes > 0 && (cl->want->fits >> type_bit(t) & 1u) != 0 &&
            shape_fit(c, cl->shape, t).verdict == WEIR_VERDICT_CHOSEN) {
            return true;
        }
    }
    return false;
}

void claims_owe(struct weir_core *c, struct class *cl)
{
    if (c->due.n < c->conf.reservations_max && cl->owed != c->claim_round && !cl->narrow && fits_some_node(c, cl)) {
        cl->owed = c->claim_round;
        weir_vec_push(&c->due, cl);
    }
}

void claims_settle(struct weir_core *c, const struct class *cl)
{
    struct claim_stack *s = stack_of(c, cl);
    c->claimed |= s != NULL && s->seen < c->due.n ? UINT64_C(1) << (s - c->claims) : 0;
    for (; s != NULL && s->seen < c->due.n; s->seen++) {
        struct class *x = c->due.p[s->seen];
        if (x->first != NULL && !x->parked && stack_of(c, x) == s) {
            claim_push(c, s, x);
        }
    }
}

void claims_cut(struct weir_core *c, const struct class *cl)
{
    struct claim_stack *s = stack_of(c, cl);
    if (s != NULL) {
        stack_truncate(c, s, s->used);
    }
}

void claims_cut_behind(struct weir_core *c, const struct class *cl)
{
    struct claim_stack *s = stack_of(c, cl);
    if (s != NULL && s->n_rented > 0 && s->used < s->claim.n) {
        stack_truncate(c, s, s->claim.p[s->used]->class == cl ? s->used + 1 : s->used);
    }
}

int64_t claim_peek_kind(struct weir_core *c, const struct class *cl, bool rented, struct node **ret_node)
{
    const struct weir_request *r = &cl->shape->req;
    uint16_t gpus = 0;
    int64_t t = 0;
    *ret_node = NULL;
    struct node *n = first_free(c, cl, rented, NULL, &gpus, &t);
    if (n == NULL || t == US_NEVER) {
        return US_NEVER;
    }
    int64_t at = node_free_at(n, gpus, r->cpu_milli, r->mem_mib, true);
    *ret_node = at == US_NEVER ? NULL : n;
    return at == US_NEVER ? at : max_i64(at, t);
}

int64_t claim_peek(struct weir_core *c, struct class *cl, struct node **ret_node)
{
    struct shape *shape = cl->shape;
    struct claim_stack *s = stack_of(c, cl);
    *ret_node = NULL;
    if (s == NULL) {
        return US_NEVER;
    }
    struct claim *cm = claim_known(c, s, cl);
    if (s->used > 0 && s->claim.p[s->used - 1]->class == cl) {
        cm = s->claim.p[s->used - 1]; /* its own, already counted */
    }
    if (cm != NULL) {
        *ret_node = cm->part[0].node;
        return cm->at_us;
    }
    stack_truncate(c, s, s->used);
    if (shape->req.nodes == 1) {
        int64_t at = claim_peek_kind(c, cl, false, ret_node);
        return *ret_node != NULL ? at : claim_peek_kind(c, cl, true, ret_node);
    }
    cm = claim_add(c, s, cl); /* it stays: if the class is owed one, it is this */
    if (cm == NULL) {
        return US_NEVER;
    }
    *ret_node = cm->part[0].node;
    return cm->at_us;
}

bool claim_peek_owned(struct weir_core *c, struct class *cl, struct node **ret_node, int64_t *ret_us)
{
    struct claim_stack *s = stack_of(c, cl);
    const struct claim *cm = s == NULL ? NULL : claim_known(c, s, cl);
    if (s != NULL && s->used > 0 && s->claim.p[s->used - 1]->class == cl) {
        cm = s->claim.p[s->used - 1];
    }
    if (cm != NULL) {
        *ret_node = cm->part[0].node;
        *ret_us = cm->at_us;
        return !cm->rented;
    }
    if (s == NULL || s->used < s->claim.n) {
        return false;
    }
    struct standing *x = &cl->want->standing;
    WEIR_ASSERT(x->moment == c->moment);
    if (!x->peeked) {
        x->peek_us = claim_peek_kind(c, cl, false, &x->peek_node);
        x->peeked = true;
    }
    *ret_node = x->peek_node;
    *ret_us = x->peek_us;
    return x->peek_node != NULL;
}

bool claim_foresee(struct weir_core *c, const struct class *cl, bool *ret_any, bool *ret_rented)
{
    struct shape *s = cl->shape;
    uint64_t owned = 0;
    uint64_t rented = 0;
    if (c->has_endless || cl->narrow || s->req.alternatives == 0 || wants_one_zone(&s->req)) {
        return false;
    }
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        if (shape_fit(c, s, t).verdict == WEIR_VERDICT_CHOSEN) {
            *(t->rented ? &rented : &owned) += t->n_usable;
        }
    }
    *ret_rented = owned == 0;
    *ret_any = (owned > 0 ? owned : rented) >= s->req.nodes;
    return true;
}

/* ---- heeding ---- */

static bool stands_on(const struct claim *cm, const struct node *n, struct claim_part *ret)
{
    for (uint32_t i = 0; i < cm->n_parts; i++) {
        if (cm->part[i].node == n) {
            *ret = cm->part[i];
            return true;
        }
    }
    return false;
}

/* Is there room at its start for it, for such a task, and for the claims that start before? */
static bool claim_leaves_room(const struct weir_core *c, const struct node *n, const struct claim *cm, const struct class *cl, const struct claim_part *task)
{
    struct claim_part free = node_free_part(n, max_i64(cm->at_us, c->now_us));
    uint64_t need_gpus = task->gpus;
    uint64_t need_cpu = task->cpu_milli;
    uint64_t need_mem = task->mem_mib;
    for (size_t k = 0; k < n->claims.n; k++) {
        struct claim_part p;
        const struct claim *other = n->claims.p[k];
        if (other->class != cl && other->at_us <= cm->at_us && claim_is_used(other) && stands_on(other, n, &p)) {
            need_gpus += p.gpus;
            need_cpu += p.cpu_milli;
            need_mem += p.mem_mib;
        }
    }
    return need_gpus <= free.gpus && need_cpu <= free.cpu_milli && need_mem <= free.mem_mib;
}

int64_t claims_end_us(const struct weir_core *c, const struct node *n, const struct claim_part *task)
{
    int64_t most = US_NEVER;
    for (size_t i = 0; i < n->claims.n; i++) {
        const struct claim *cm = n->claims.p[i];
        if (claim_is_used(cm) && cm->at_us < most && !claim_leaves_room(c, n, cm, NULL, task)) {
            most = cm->at_us;
        }
    }
    return most;
}

bool claim_allows(const struct weir_core *c,
                  const struct node *n,
                  const struct class *cl,
                  uint32_t gpus,
                  uint32_t cpu_milli,
                  uint64_t mem_mib,
                  int64_t end_us)
{
    for (size_t i = 0; i < n->claims.n; i++) {
        const struct claim *cm = n->claims.p[i];
        if (cm->class == cl || end_us <= cm->at_us || !claim_is_used(cm)) {
            continue;
        }
        /* it would still run then: is there room for both? */
        if (!claim_leaves_room(c, n, cm, cl, &(struct claim_part){.gpus = gpus, .cpu_milli = cpu_milli, .mem_mib = mem_mib})) {
            return false;
        }
    }
    return true;
}
