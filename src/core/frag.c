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

int64_t weir_frag_of(const struct weir_frag_mix *mix, const struct weir_frag_room *room)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < room->gpus; i++) {
        total += room->left_milli[i];
    }
    if (total == 0) {
        return 0;
    }
    /* Of each share: how many GPUs have it, and what the others have left. */
    uint16_t have[WEIR_FRAG_ASKS_MAX];
    int64_t useless[WEIR_FRAG_ASKS_MAX];
    for (size_t k = 0; k < mix->n_shares; k++) {
        uint16_t n = 0;
        int64_t small = 0;
        for (uint32_t i = 0; i < room->gpus; i++) {
            bool enough = room->left_milli[i] >= mix->share[k];
            n = (uint16_t)(n + enough);
            small += enough ? 0 : room->left_milli[i];
        }
        have[k] = n;
        useless[k] = small;
    }
    int64_t sum = 0;
    for (size_t i = 0; i < mix->n; i++) {
        const struct weir_frag_ask *a = &mix->of[i].ask;
        uint32_t k = mix->of[i].share;
        bool fits = a->gpus > 0 && a->cpu_milli <= room->cpu_milli && a->mem_mib <= room->mem_mib && have[k] >= a->gpus &&
                    (a->models == 0 || (a->models & room->model) != 0);
        sum += (int64_t)mix->of[i].weight * (fits ? useless[k] : total);
    }
    return sum;
}

void weir_frag_take(struct weir_frag_room *room, const struct weir_frag_ask *ask, uint32_t gpu)
{
    room->cpu_milli -= ask->cpu_milli;
    room->mem_mib -= ask->mem_mib;
    if (ask->gpus == 1 && ask->gpu_milli < WEIR_FRAG_GPU) {
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
