/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fragmentation of a node's free GPUs, as Weng et al. (ATC'23) measure it: what of them a task drawn from a mix of
 * requests could not use. A task that does not fit the node can use nothing; one that fits can use the GPUs that have at
 * least its share left. Placing each task where this grows least keeps room for what usually comes. Exact integers; the mix
 * is what the caller has seen, never what will come.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WEIR_FRAG_ASKS_MAX = 256, /* of a mix: the most frequent are kept */
    WEIR_FRAG_GPUS_MAX = 32,  /* of a node */
    WEIR_FRAG_GPU = 1000,     /* a whole GPU, in thousandths */
};

/* What one task wants of one node. */
struct weir_frag_ask {
    uint64_t models; /* bits of the GPU models that will do; 0: any */
    uint32_t cpu_milli;
    uint32_t mem_mib;
    uint16_t gpus;      /* 0: none */
    uint16_t gpu_milli; /* of each: WEIR_FRAG_GPU, or less of one GPU that is shared */
};

/* What a node has left. */
struct weir_frag_room {
    uint64_t model; /* the bit of its GPUs' model; 0: none */
    uint32_t cpu_milli;
    uint32_t mem_mib;
    uint32_t gpus;
    uint16_t left_milli[WEIR_FRAG_GPUS_MAX];
};

struct weir_frag_mix {
    size_t n;
    uint64_t weight; /* of all together */
    struct {
        struct weir_frag_ask ask;
        uint32_t weight;
        uint32_t share; /* which of those below */
    } of[WEIR_FRAG_ASKS_MAX];
    size_t n_shares;
    uint16_t share[WEIR_FRAG_ASKS_MAX]; /* the distinct gpu_milli, rising */
};

/* A part of one GPU, which other tasks may share. */
static inline bool weir_frag_is_share(const struct weir_frag_ask *ask)
{
    return ask->gpus == 1 && ask->gpu_milli < WEIR_FRAG_GPU;
}

/* Thousandths of GPUs that the node has left. */
static inline int64_t weir_frag_left(const struct weir_frag_room *room)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < room->gpus; i++) {
        sum += room->left_milli[i];
    }
    return sum;
}

bool weir_frag_fits(const struct weir_frag_room *room, const struct weir_frag_ask *ask);

/* Takes up the most frequent requests: at most max of them, and no more than make up percent of all. Those with
 * count 0 are passed over. */
void weir_frag_mix_build(struct weir_frag_mix *mix, const struct weir_frag_ask *ask, const uint32_t *count, size_t n, size_t max,
                         unsigned percent);

/* Thousandths of GPUs that a task of the mix cannot use, summed over the mix by weight. */
int64_t weir_frag_of(const struct weir_frag_mix *mix, const struct weir_frag_room *room);

/*
 * What weir's placement goes by: nine tenths of the above, and one tenth of what stays unused when the node is filled up with
 * the like of each request until CPU, memory or GPUs run out. The first sees only what does not fit now; the
 * second also sees that a node will run out of CPU long before its GPUs are in use. In tenths.
 */
int64_t weir_frag_stranded(const struct weir_frag_mix *mix, const struct weir_frag_room *room);

/*
 * How good a place is where so much is stranded before and after: higher is better. Gains within a twentieth of a GPU count
 * as equal: taking the first of the nodes then keeps the others whole, which is worth more than the difference.
 */
int64_t weir_frag_score(const struct weir_frag_mix *mix, int64_t before, int64_t after);

struct weir_frag_pick {
    int64_t score; /* higher is better; nearly equal places score equal, and then the first node is to be taken */
    uint32_t gpu;  /* for a share */
};

/* The request, which fits, on this node; before is weir_frag_stranded of the room. */
struct weir_frag_pick weir_frag_best(const struct weir_frag_mix *mix, const struct weir_frag_room *room, int64_t before,
                                     const struct weir_frag_ask *ask);

/* What is left of the room when the task has it: whole GPUs are taken from the lowest number, a share from GPU gpu. */
void weir_frag_take(struct weir_frag_room *room, const struct weir_frag_ask *ask, uint32_t gpu);
