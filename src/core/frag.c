/* SPDX-License-Identifier: Apache-2.0 */

#include "core/frag.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

static uint32_t gpus_with(const struct weir_frag_room *room, uint32_t milli)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < room->gpus; i++) {
        n += room->left_milli[i] >= milli;
    }
    return n;
}

bool weir_frag_fits(const struct weir_frag_room *room, const struct weir_frag_ask *ask)
{
    return room->cpu_milli >= ask->cpu_milli && room->mem_mib >= ask->mem_mib &&
           (ask->gpus == 0 || ((ask->models == 0 || (ask->models & room->model) != 0) &&
                               gpus_with(room, ask->gpu_milli) >= ask->gpus));
}

struct counted {
    uint32_t count;
    size_t at;
};

/* By falling count; among equals the one that was named first. */
static int cmp_counted(const void *a, const void *b)
{
    const struct counted *x = a;
    const struct counted *y = b;
    if (x->count != y->count) {
        return x->count > y->count ? -1 : 1;
    }
    return (x->at > y->at) - (x->at < y->at);
}

static int cmp_share(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static void find_shares(struct weir_frag_mix *mix)
{
    for (size_t i = 0; i < mix->n; i++) {
        mix->share[i] = mix->of[i].ask.gpus == 0 ? 0 : mix->of[i].ask.gpu_milli;
    }
    qsort(mix->share, mix->n, sizeof *mix->share, cmp_share);
    for (size_t i = 0; i < mix->n; i++) {
        if (i == 0 || mix->share[i] != mix->share[mix->n_shares - 1]) {
            mix->share[mix->n_shares++] = mix->share[i];
        }
    }
    for (size_t i = 0; i < mix->n; i++) {
        uint16_t milli = mix->of[i].ask.gpus == 0 ? 0 : mix->of[i].ask.gpu_milli;
        while (mix->share[mix->of[i].share] != milli) {
            mix->of[i].share++;
        }
    }
}

void weir_frag_mix_build(struct weir_frag_mix *mix, const struct weir_frag_ask *ask, const uint32_t *count, size_t n, size_t max,
                         unsigned percent)
{
    *mix = (struct weir_frag_mix){0};
    struct counted *by = weir_calloc(n == 0 ? 1 : n, sizeof *by);
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) {
        by[i] = (struct counted){count[i], i};
        all += count[i];
    }
    qsort(by, n, sizeof *by, cmp_counted);
    max = max < WEIR_FRAG_ASKS_MAX ? max : WEIR_FRAG_ASKS_MAX;
    for (size_t i = 0; i < n && mix->n < max && by[i].count > 0 && mix->weight * 100 < all * percent; i++) {
        mix->of[mix->n].ask = ask[by[i].at];
        mix->of[mix->n].weight = by[i].count;
        mix->weight += by[i].count;
        mix->n++;
    }
    free(by);
    find_shares(mix);
}

/* What the GPUs of a room are to the shares of a mix: as many of each as the mix has, the rest is never looked at, nor cleared. */
struct shares {
    int64_t left;                          /* of all GPUs */
    uint32_t have[WEIR_FRAG_ASKS_MAX];     /* GPUs that have the share */
    uint32_t times[WEIR_FRAG_ASKS_MAX];    /* how often they have it */
    int64_t useless[WEIR_FRAG_ASKS_MAX];   /* left on the others */
};

static void count_shares(const struct weir_frag_mix *mix, const struct weir_frag_room *room, struct shares *ret)
{
    for (size_t k = 0; k < mix->n_shares; k++) {
        uint32_t milli = mix->share[k];
        uint32_t have = 0;
        uint32_t times = 0;
        int64_t useless = 0;
        for (uint32_t i = 0; i < room->gpus; i++) {
            uint32_t left = room->left_milli[i];
            if (left < milli) {
                useless += left;
            } else {
                have++;
                times += milli * 2 > left ? 1 : milli == 0 ? 0 : left / milli;
            }
        }
        ret->have[k] = have;
        ret->times[k] = times;
        ret->useless[k] = useless;
    }
}

static bool can_use(const struct shares *s, const struct weir_frag_room *room, const struct weir_frag_ask *a, uint32_t share)
{
    return a->gpus > 0 && a->cpu_milli <= room->cpu_milli && a->mem_mib <= room->mem_mib && s->have[share] >= a->gpus &&
           (a->models == 0 || (a->models & room->model) != 0);
}

int64_t weir_frag_of(const struct weir_frag_mix *mix, const struct weir_frag_room *room)
{
    struct shares s;
    s.left = weir_frag_left(room);
    if (s.left == 0) {
        return 0;
    }
    count_shares(mix, room, &s);
    int64_t sum = 0;
    for (size_t i = 0; i < mix->n; i++) {
        uint32_t share = mix->of[i].share;
        sum += mix->of[i].weight * (can_use(&s, room, &mix->of[i].ask, share) ? s.useless[share] : s.left);
    }
    return sum;
}

/* How many of the want copies the resource allows. */
static uint64_t allowed(uint64_t want, uint32_t each, uint32_t have)
{
    return want * each <= have ? want : have / each;
}

int64_t weir_frag_stranded(const struct weir_frag_mix *mix, const struct weir_frag_room *room)
{
    struct shares s;
    s.left = weir_frag_left(room);
    if (s.left == 0) {
        return 0;
    }
    count_shares(mix, room, &s);
    int64_t sum = 0;
    for (size_t i = 0; i < mix->n; i++) {
        const struct weir_frag_ask *a = &mix->of[i].ask;
        uint32_t share = mix->of[i].share;
        if (!can_use(&s, room, a, share)) {
            sum += mix->of[i].weight * s.left * 10;
            continue;
        }
        uint64_t by_gpus = s.times[share] / a->gpus;
        uint64_t n = allowed(allowed(by_gpus, a->cpu_milli, room->cpu_milli), a->mem_mib, room->mem_mib);
        int64_t open = s.left - s.useless[share];
        int64_t filled = n == by_gpus ? open : open * (int64_t)n / (int64_t)by_gpus;
        sum += mix->of[i].weight * (s.useless[share] * 9 + s.left - filled);
    }
    return sum;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

int64_t weir_frag_score(const struct weir_frag_mix *mix, int64_t before, int64_t after)
{
    static const int64_t step_milli = 50;
    return mix->weight == 0 ? 0 : floor_div(before - after, (int64_t)mix->weight * 10 * step_milli);
}

struct weir_frag_pick weir_frag_best(const struct weir_frag_mix *mix, const struct weir_frag_room *room, int64_t before,
                                     const struct weir_frag_ask *ask)
{
    struct weir_frag_pick best = {.score = INT64_MIN};
    bool share = weir_frag_is_share(ask);
    uint64_t tried[WEIR_FRAG_GPU / 64 + 1] = {0};
    for (uint32_t i = 0; i < (share ? room->gpus : 1); i++) {
        uint32_t left = share ? room->left_milli[i] : 0;
        /* GPUs with as much left are the same. */
        if (share && (left < ask->gpu_milli || (tried[left / 64] >> left % 64 & 1) != 0)) {
            continue;
        }
        tried[left / 64] |= UINT64_C(1) << left % 64;
        struct weir_frag_room after = *room;
        weir_frag_take(&after, ask, i);
        int64_t score = weir_frag_score(mix, before, weir_frag_stranded(mix, &after));
        if (score > best.score) {
            best = (struct weir_frag_pick){score, i};
        }
    }
    return best;
}

void weir_frag_take(struct weir_frag_room *room, const struct weir_frag_ask *ask, uint32_t gpu)
{
    room->cpu_milli -= ask->cpu_milli;
    room->mem_mib -= ask->mem_mib;
    if (weir_frag_is_share(ask)) {
        room->left_milli[gpu] = (uint16_t)(room->left_milli[gpu] - ask->gpu_milli);
        return;
    }
    uint32_t want = ask->gpus;
    for (uint32_t i = 0; i < room->gpus && want > 0; i++) {
        if (room->left_milli[i] >= ask->gpu_milli) {
            room->left_milli[i] = (uint16_t)(room->left_milli[i] - ask->gpu_milli);
            want--;
        }
    }
    WEIR_ASSERT(want == 0);
}
