/* SPDX-License-Identifier: Apache-2.0 */

#include "learned.h"

static void keys_of(uint64_t key, uint32_t gpus, uint64_t ret[WEIR_RUNTIME_KINDS])
{
    ret[0] = key;
    weir_runtime_wider_keys(gpus, ret);
}

void weir_sim_learned_release(struct weir_sim_learned *l)
{
    weir_vec_release(&l->history);
    weir_map_release(&l->number);
}

void weir_sim_learned_observe(struct weir_sim_learned *l, uint64_t key, uint32_t gpus, struct weir_dur took)
{
    uint64_t keys[WEIR_RUNTIME_KINDS];
    keys_of(key, gpus, keys);
    for (size_t i = 0; i < WEIR_RUNTIME_KINDS; i++) {
        uint64_t number = 0;
        if (!weir_map_get(&l->number, keys[i], &number)) {
            number = l->history.n;
            weir_map_put(&l->number, keys[i], number);
            weir_vec_push(&l->history, (struct weir_runtime_history){0});
        }
        weir_runtime_observe(&l->history.p[number], took);
    }
}

struct weir_dur weir_sim_learned_expect(const struct weir_sim_learned *l, uint64_t key, uint32_t gpus, struct weir_dur estimate,
                                        struct weir_dur max)
{
    uint64_t keys[WEIR_RUNTIME_KINDS];
    const struct weir_runtime_history *h[WEIR_RUNTIME_KINDS];
    keys_of(key, gpus, keys);
    for (size_t i = 0; i < WEIR_RUNTIME_KINDS; i++) {
        uint64_t number = 0;
        h[i] = weir_map_get(&l->number, keys[i], &number) ? &l->history.p[number] : NULL;
    }
    return weir_runtime_forecast(h, estimate, max).expected;
}
