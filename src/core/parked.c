/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of up to 64 classes, and beside them what the least of each block needs, so that a search reads a few words for
 * each block that cannot help it.
 */

#include "core/parked.h"

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

static void block_free(struct parked_block *b)
{
    free(b->need);
    free(b);
}

static void lane_free(struct parked_lane *lane)
{
    for (size_t i = 0; i < lane->block.n; i++) {
        block_free(lane->block.p[i]);
    }
    weir_vec_release(&lane->block);
    weir_vec_release(&lane->first);
    weir_vec_release(&lane->least);
    free(lane);
}

void parked_release(struct parked *p)
{
    for (size_t i = 0; i < p->lane.n; i++) {
        lane_free(p->lane.p[i]);
    }
    weir_vec_release(&p->lane);
    p->n = 0;
}

static size_t lane_at(const struct parked *p, const struct class *cl)
{
    size_t i = 0;
    while (i < p->lane.n && (p->lane.p[i]->points != cl->points || p->lane.p[i]->project != cl->project)) {
        i++;
    }
    return i;
}

/* The block in which a class with such a head is, or would be. */
static size_t block_at(const struct parked_lane *lane, uint64_t head)
{
    size_t lo = 0;
    size_t hi = lane->first.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (lane->first.p[mid] <= head) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo == 0 ? 0 : lo - 1;
}

static uint32_t place_in(const struct parked_block *b, uint64_t head)
{
    uint32_t i = 0;
    while (i < b->n && b->head[i] < head) {
        i++;
    }
    return i;
}

/* Brings what is known of the block up to date. */
static void sum_up(struct parked_lane *lane, size_t at)
{
    const struct parked_block *b = lane->block.p[at];
    int64_t *least = &lane->least.p[at * lane->columns];
    lane->first.p[at] = b->head[0];
    memcpy(least, b->need, lane->columns * sizeof *least);
    for (uint32_t i = 1; i < b->n; i++) {
        for (size_t k = 0; k < lane->columns; k++) {
            least[k] = min_i64(least[k], b->need[i * lane->columns + k]);
        }
    }
}

static void block_insert(struct parked_lane *lane, size_t at)
{
    struct parked_block *b = weir_alloc(sizeof *b);
    size_t columns = lane->columns;
    b->need = weir_calloc(PARKED_BLOCK * columns, sizeof *b->need);
    weir_vec_push(&lane->block, b);
    weir_vec_push(&lane->first, 0);
    weir_vec_reserve(&lane->least, lane->block.n * columns);
    lane->least.n = lane->block.n * columns;
    size_t behind = lane->block.n - 1 - at;
    memmove(&lane->block.p[at + 1], &lane->block.p[at], behind * sizeof *lane->block.p);
    memmove(&lane->first.p[at + 1], &lane->first.p[at], behind * sizeof *lane->first.p);
    memmove(&lane->least.p[(at + 1) * columns], &lane->least.p[at * columns], behind * columns * sizeof *lane->least.p);
    lane->block.p[at] = b;
}

static void block_remove(struct parked_lane *lane, size_t at)
{
    size_t columns = lane->columns;
    size_t behind = lane->block.n - 1 - at;
    block_free(lane->block.p[at]);
    memmove(&lane->block.p[at], &lane->block.p[at + 1], behind * sizeof *lane->block.p);
    memmove(&lane->first.p[at], &lane->first.p[at + 1], behind * sizeof *lane->first.p);
    memmove(&lane->least.p[at * columns], &lane->least.p[(at + 1) * columns], behind * columns * sizeof *lane->least.p);
    lane->block.n--;
    lane->first.n--;
    lane->least.n -= columns;
}

/* What stands at i and behind it goes to the end of another block. */
static void move_tail(struct parked_block *from, uint32_t i, struct parked_block *to, size_t columns)
{
    uint32_t n = from->n - i;
    memcpy(&to->class[to->n], &from->class[i], n * sizeof from->class[0]);
    memcpy(&to->head[to->n], &from->head[i], n * sizeof from->head[0]);
    memcpy(&to->need[to->n * columns], &from->need[i * columns], n * columns * sizeof from->need[0]);
    to->n += n;
    from->n = i;
}

static void put_in(struct parked_block *b, struct class *cl, const int64_t *need, size_t columns)
{
    uint32_t i = place_in(b, cl->head);
    uint32_t behind = b->n - i;
    memmove(&b->class[i + 1], &b->class[i], behind * sizeof b->class[0]);
    memmove(&b->head[i + 1], &b->head[i], behind * sizeof b->head[0]);
    memmove(&b->need[(i + 1) * columns], &b->need[i * columns], behind * columns * sizeof b->need[0]);
    b->class[i] = cl;
    b->head[i] = cl->head;
    memcpy(&b->need[i * columns], need, columns * sizeof need[0]);
    b->n++;
}

void parked_put(struct parked *p, struct class *cl, const int64_t *need)
{
    size_t l = lane_at(p, cl);
    if (l == p->lane.n) {
        struct parked_lane *made = weir_alloc(sizeof *made);
        *made = (struct parked_lane){.points = cl->points, .project = cl->project, .columns = p->columns};
        weir_vec_push(&p->lane, made);
    }
    struct parked_lane *lane = p->lane.p[l];
    size_t at = block_at(lane, cl->head);
    if (lane->block.n == 0) {
        block_insert(lane, 0);
    } else if (lane->block.p[at]->n == PARKED_BLOCK) {
        block_insert(lane, at + 1);
        /* mostly the newest comes last: then what is there stays full */
        bool last = at + 2 == lane->block.n && cl->head > lane->block.p[at]->head[PARKED_BLOCK - 1];
        if (!last) {
            move_tail(lane->block.p[at], PARKED_BLOCK / 2, lane->block.p[at + 1], lane->columns);
            sum_up(lane, at + 1);
            sum_up(lane, at);
        }
        at += last || cl->head > lane->block.p[at + 1]->head[0];
    }
    put_in(lane->block.p[at], cl, need, lane->columns);
    sum_up(lane, at);
    p->n++;
}

void parked_take(struct parked *p, struct class *cl, uint64_t head)
{
    size_t l = lane_at(p, cl);
    WEIR_ASSERT(l < p->lane.n);
    struct parked_lane *lane = p->lane.p[l];
    size_t at = block_at(lane, head);
    struct parked_block *b = lane->block.p[at];
    uint32_t i = place_in(b, head);
    WEIR_ASSERT(i < b->n && b->class[i] == cl);
    uint32_t behind = --b->n - i;
    memmove(&b->class[i], &b->class[i + 1], behind * sizeof b->class[0]);
    memmove(&b->head[i], &b->head[i + 1], behind * sizeof b->head[0]);
    memmove(&b->need[i * lane->columns], &b->need[(i + 1) * lane->columns], behind * lane->columns * sizeof b->need[0]);
    p->n--;
    if (b->n == 0) {
        block_remove(lane, at);
    } else if (at + 1 < lane->block.n && b->n + lane->block.p[at + 1]->n <= PARKED_BLOCK / 2) {
        move_tail(lane->block.p[at + 1], 0, b, lane->columns);
        block_remove(lane, at + 1);
        sum_up(lane, at);
    } else {
        sum_up(lane, at);
    }
    if (lane->block.n == 0) {
        lane_free(lane);
        p->lane.p[l] = p->lane.p[--p->lane.n];
    }
}

struct class *parked_next(const struct parked_lane *lane, const int64_t *left, struct parked_at *at)
{
    for (; at->block < lane->block.n; at->block++, at->i = 0) {
        const struct parked_block *b = lane->block.p[at->block];
        if (!parked_may_fit(&lane->least.p[at->block * lane->columns], left, lane->columns)) {
            continue;
        }
        while (at->i < b->n) {
            uint32_t i = at->i++;
            if (parked_may_fit(&b->need[i * lane->columns], left, lane->columns)) {
                return b->class[i];
            }
        }
    }
    return NULL;
}

struct class *parked_each(const struct parked_lane *lane, struct parked_at *at)
{
    while (at->block < lane->block.n && at->i == lane->block.p[at->block]->n) {
        *at = (struct parked_at){.block = at->block + 1};
    }
    return at->block < lane->block.n ? lane->block.p[at->block]->class[at->i++] : NULL;
}

static bool block_is_sound(const struct parked_lane *lane, size_t at)
{
    const struct parked_block *b = lane->block.p[at];
    bool sound = b->n > 0 && b->n <= PARKED_BLOCK && lane->first.p[at] == b->head[0];
    for (uint32_t i = 0; i < b->n && sound; i++) {
        const struct class *cl = b->class[i];
        sound = cl->parked && cl->points == lane->points && cl->project == lane->project && cl->first != NULL && cl->first->id == b->head[i] &&
                (i == 0 || b->head[i - 1] < b->head[i]);
        for (size_t k = 0; k < lane->columns && sound; k++) {
            sound = lane->least.p[at * lane->columns + k] <= b->need[i * lane->columns + k];
        }
    }
    return sound && (at == 0 || lane->block.p[at - 1]->head[lane->block.p[at - 1]->n - 1] < b->head[0]);
}

bool parked_is_sound(const struct parked *p)
{
    size_t n = 0;
    bool sound = true;
    for (size_t l = 0; l < p->lane.n; l++) {
        for (size_t i = 0; i < p->lane.p[l]->block.n && sound; i++) {
            n += p->lane.p[l]->block.p[i]->n;
            sound = block_is_sound(p->lane.p[l], i);
        }
    }
    return sound && n == p->n;
}
