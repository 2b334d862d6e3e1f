/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reserved starts of gangs that need no GPUs. The trees of the node types tell when GPUs come free, not cores, so the
 * nodes are looked at one by one; that is paid only while such a gang is among the first that cannot start.
 */

#include <stdlib.h>

#include "core/core_priv.h"

struct slot {
    int64_t at_us;
    struct node *node;
};

typedef WEIR_VEC(struct slot) slot_vec;

static int slot_cmp(const void *a, const void *b)
{
    const struct slot *x = a;
    const struct slot *y = b;
    if (x->at_us != y->at_us) {
        return x->at_us < y->at_us ? -1 : 1;
    }
    return x->node->spec.id.v < y->node->spec.id.v ? -1 : 1;
}

/* When the node has the cores and the memory beside the claims that stand there. */
static int64_t cores_free_at(struct node *n, const struct weir_request *r)
{
    int64_t t = node_free_at(n, 0, r->cpu_milli, r->mem_mib, true);
    for (size_t i = 0; i < n->claims.n && t != US_NEVER; i++) {
        const struct claim *cm = n->claims.p[i];
        struct claim_part free = node_free_part(n, max_i64(t, cm->at_us));
        for (uint32_t k = 0; k < cm->n_parts; k++) {
            const struct claim_part *p = &cm->part[k];
            if (p->node == n && (p->cpu_milli + (uint64_t)r->cpu_milli > free.cpu_milli || p->mem_mib + r->mem_mib > free.mem_mib)) {
                t = max_i64(t, cm->end_us);
            }
        }
    }
    return t;
}

/* The nodes of the type and its mates that are free first, sorted; those behind the first `nodes` of the request are of no account. */
static void slots_of(struct weir_core *c, struct shape *s, const struct node_type *lead, slot_vec *ret)
{
    weir_vec_clear(ret);
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        if (!types_are_mates(s, lead, t) || shape_fit(c, s, t).verdict != WEIR_VERDICT_CHOSEN) {
            continue;
        }
        for (size_t k = 0; k < t->node.n; k++) {
            struct slot x = {.node = t->node.p[k]};
            x.at_us = x.node != NULL && x.node->usable ? cores_free_at(x.node, &s->req) : US_NEVER;
            if (x.at_us != US_NEVER) {
                weir_vec_push(ret, x);
            }
        }
    }
    if (ret->n > 0) {
        qsort(ret->p, ret->n, sizeof *ret->p, slot_cmp);
    }
}

bool claim_fill_cores(struct weir_core *c, struct shape *s, struct claim *cm)
{
    uint32_t want = s->req.nodes;
    slot_vec slots = {0};
    for (int rented = 0; rented <= 1 && cm->n_parts == 0; rented++) {
        for (size_t i = 0; i < c->types.n; i++) { /* a gang is of one model */
            if (c->types.p[i]->rented != (rented != 0) || !type_leads(c, s, i)) {
                continue;
            }
            slots_of(c, s, c->types.p[i], &slots);
            if (slots.n < want) {
                continue;
            }
            struct slot last = slots.p[want - 1];
            bool better = cm->n_parts == 0 || last.at_us < cm->at_us ||
                          (last.at_us == cm->at_us && slots.p[0].node->spec.id.v < cm->part[0].node->spec.id.v);
            for (uint32_t k = 0; better && k < want; k++) {
                cm->part[k] = (struct claim_part){slots.p[k].node, 0, s->req.cpu_milli, s->req.mem_mib};
            }
            cm->n_parts = want;
            cm->at_us = better ? last.at_us : cm->at_us;
        }
    }
    weir_vec_release(&slots);
    cm->gpus_us = cm->at_us;
    for (uint32_t k = 0; k < cm->n_parts; k++) {
        weir_vec_push(&cm->part[k].node->claims, cm);
    }
    return cm->n_parts > 0;
}
