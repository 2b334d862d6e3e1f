/* SPDX-License-Identifier: Apache-2.0 */

#include "openb.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/vec.h"

#define NO_FIT INT64_MIN

enum {
    TYPICAL_PERCENT = 95, /* of the tasks, whose requests count as typical */
    SCORE_MAX = 100,
    CPU_MILLI_MOST = 128000, /* what the published scores divide by */
    GPU_MILLI_MOST = 8000,
    CELLS_BYTES_MAX = 256 << 20,
};

struct node {
    struct weir_frag_room room;
    uint32_t origin; /* in the list of nodes */
    uint64_t kinds;  /* of tasks on it: bit 0 shares, bit n tasks of n whole GPUs */
    int64_t frag;    /* as of frag_version and the run's mix */
    uint32_t frag_version;
};

/* A score that holds as long as the node has not changed. */
struct cell {
    int64_t score;
    uint32_t version;
    uint32_t gpu;
};

/* Scores of one request on every node. */
struct scores {
    struct cell *cell;
    size_t ask;
    uint32_t mix_number;
};

struct run {
    const struct weir_openb_input *in;
    enum weir_openb_policy policy;
    struct weir_prng prng;
    struct node *node;    /* in the order in which equals are preferred */
    uint32_t *version;    /* of each; changes with its room. Apart, since every choice looks at all of them */
    struct scores *scores;
    size_t n_scores;
    struct weir_frag_mix typical;
    struct weir_frag_mix seen; /* what weir goes by */
    uint32_t *seen_count;
    uint64_t n_seen;
    uint64_t n_mixed; /* of those, in the mix */
    uint32_t mix_number;
    struct {
        uint32_t *p; /* tasks of the list */
        size_t n;
        size_t size;
    } arrival;
};

static int64_t asked_milli(const struct weir_frag_ask *a)
{
    return (int64_t)a->gpus * a->gpu_milli;
}

/* The GPU with the least left that suffices. */
static uint32_t tightest_gpu(const struct weir_frag_room *room, uint32_t milli)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < room->gpus; i++) {
        if (room->left_milli[i] >= milli && (best == UINT32_MAX || room->left_milli[i] < room->left_milli[best])) {
            best = i;
        }
    }
    return best;
}

/* ---- the published scores; where they cut to whole numbers, so do these ---- */

static int64_t dot_product_score(const struct weir_frag_room *room, const struct weir_frag_ask *a)
{
    double cpu = (double)room->cpu_milli / CPU_MILLI_MOST * ((double)a->cpu_milli / CPU_MILLI_MOST);
    double gpu = (double)weir_frag_left(room) / GPU_MILLI_MOST * ((double)asked_milli(a) / GPU_MILLI_MOST);
    return (int64_t)(SCORE_MAX * (1 - (cpu + gpu) / 2));
}

static int64_t best_fit_score(const struct weir_frag_room *room, const struct weir_frag_ask *a)
{
    double left = (double)(room->cpu_milli - a->cpu_milli) / CPU_MILLI_MOST * 0.5;
    left += (double)(weir_frag_left(room) - asked_milli(a)) / GPU_MILLI_MOST * 0.5;
    return (int64_t)((1 - left) * SCORE_MAX);
}

static int64_t clustering_score(const struct node *n, const struct weir_frag_ask *a)
{
    if (a->gpus == 0) {
        return 0;
    }
    int64_t quarter = SCORE_MAX / 4;
    int64_t full = quarter * (GPU_MILLI_MOST - weir_frag_left(&n->room)) / GPU_MILLI_MOST;
    uint64_t kind = UINT64_C(1) << (weir_frag_is_share(a) ? 0 : a->gpus);
    if ((n->kinds & kind) != 0) {
        return full + (n->kinds == kind ? 3 : 2) * quarter;
    }
    return full + (n->kinds == 0 ? quarter : 0);
}

static int64_t packing_score(const struct weir_frag_room *room, const struct weir_frag_ask *a)
{
    if (a->gpus == 0) {
        return 0;
    }
    uint32_t idle = 0;
    for (uint32_t i = 0; i < room->gpus; i++) {
        idle += room->left_milli[i] == WEIR_FRAG_GPU;
    }
    if (idle == room->gpus) {
        int64_t score = SCORE_MAX / 3 - (int64_t)idle;
        return score > (int64_t)idle ? score : (int64_t)idle;
    }
    uint32_t gpu = weir_frag_is_share(a) ? tightest_gpu(room, a->gpu_milli) : UINT32_MAX;
    if (gpu == UINT32_MAX || room->left_milli[gpu] == WEIR_FRAG_GPU) {
        int64_t score = SCORE_MAX / 2 - a->gpus;
        return score > SCORE_MAX / 3 ? score : SCORE_MAX / 3;
    }
    return SCORE_MAX - (int64_t)room->left_milli[gpu] * 100 / WEIR_FRAG_GPU / 10;
}

/* ---- by fragmentation ---- */

static int64_t frag_before(struct run *r, struct node *n)
{
    uint32_t version = r->version[n - r->node];
    if (n->frag_version != version) {
        n->frag = r->policy == WEIR_OPENB_FGD ? weir_frag_of(&r->typical, &n->room) : weir_frag_stranded(&r->seen, &n->room);
        n->frag_version = version;
    }
    return n->frag;
}

/* The gain through a sigmoid, cut to a whole percent: many nodes come out equal. */
static int64_t fgd_score(const struct run *r, const struct weir_frag_room *room, int64_t before)
{
    double mean = (double)(before - weir_frag_of(&r->typical, room)) / (double)r->typical.weight;
    return (int64_t)(SCORE_MAX / (1 + exp(-mean / WEIR_FRAG_GPU)));
}

static struct weir_frag_pick fgd_pick(struct run *r, struct node *n, const struct weir_frag_ask *a)
{
    struct weir_frag_pick best = {.score = NO_FIT};
    int64_t before = frag_before(r, n);
    bool share = weir_frag_is_share(a);
    for (uint32_t i = 0; i < (share ? n->room.gpus : 1); i++) {
        /* A GPU with as much left as the one before it scores as that. */
        if (share && (n->room.left_milli[i] < a->gpu_milli || (i > 0 && n->room.left_milli[i] == n->room.left_milli[i - 1]))) {
            continue;
        }
        struct weir_frag_room after = n->room;
        weir_frag_take(&after, a, i);
        int64_t score = fgd_score(r, &after, before);
        if (score > best.score) {
            best = (struct weir_frag_pick){score, i};
        }
    }
    return best;
}

/* ---- choosing ---- */

static struct weir_frag_pick pick_on(struct run *r, struct node *n, const struct weir_frag_ask *a)
{
    if (!weir_frag_fits(&n->room, a)) {
        return (struct weir_frag_pick){.score = NO_FIT};
    }
    struct weir_frag_pick p = {.gpu = weir_frag_is_share(a) ? tightest_gpu(&n->room, a->gpu_milli) : 0};
    switch (r->policy) {
    case WEIR_OPENB_RANDOM:
        return p;
    case WEIR_OPENB_DOT_PRODUCT:
        p.score = dot_product_score(&n->room, a);
        return p;
    case WEIR_OPENB_CLUSTERING:
        p.score = clustering_score(n, a);
        return p;
    case WEIR_OPENB_PACKING:
        p.score = packing_score(&n->room, a);
        return p;
    case WEIR_OPENB_BEST_FIT:
        p.score = best_fit_score(&n->room, a);
        return p;
    case WEIR_OPENB_FGD:
        return fgd_pick(r, n, a);
    case WEIR_OPENB_WEIR:
        return weir_frag_best(&r->seen, &n->room, frag_before(r, n), a);
    case _WEIR_OPENB_POLICY_MAX:
        break;
    }
    WEIR_UNREACHABLE();
}

/* The request's row of scores; requests share rows where there are too many. */
static struct scores *scores_of(struct run *r, uint32_t ask)
{
    struct scores *s = &r->scores[ask % r->n_scores];
    if (s->cell == NULL) {
        s->cell = weir_calloc(r->in->n_nodes, sizeof *s->cell);
    } else if (s->ask != ask || s->mix_number != r->mix_number) {
        memset(s->cell, 0, r->in->n_nodes * sizeof *s->cell);
    }
    s->ask = ask;
    s->mix_number = r->mix_number;
    return s;
}

/* The node for the request, NULL where none has room. */
static struct node *choose(struct run *r, uint32_t ask, uint32_t *ret_gpu)
{
    const struct weir_frag_ask *a = &r->in->ask[ask];
    struct scores *s = scores_of(r, ask);
    struct node *best = NULL;
    int64_t best_score = NO_FIT;
    uint64_t equals = 0;
    for (size_t i = 0; i < r->in->n_nodes; i++) {
        struct cell *c = &s->cell[i];
        if (c->version != r->version[i]) {
            struct weir_frag_pick p = pick_on(r, &r->node[i], a);
            *c = (struct cell){.score = p.score, .version = r->version[i], .gpu = p.gpu};
        }
        if (c->score == NO_FIT) {
            continue;
        }
        bool better = best == NULL || c->score > best_score;
        if (r->policy == WEIR_OPENB_RANDOM) {
            better = weir_prng_below(&r->prng, ++equals) == 0;
        }
        if (better) {
            best = &r->node[i];
            best_score = c->score;
            *ret_gpu = c->gpu;
        }
    }
    return best;
}

/* Any GPU that suffices, each as likely. */
static uint32_t random_gpu(struct run *r, const struct weir_frag_room *room, uint32_t milli)
{
    uint32_t chosen = 0;
    uint64_t n = 0;
    for (uint32_t i = 0; i < room->gpus; i++) {
        if (room->left_milli[i] >= milli && weir_prng_below(&r->prng, ++n) == 0) {
            chosen = i;
        }
    }
    return chosen;
}

/* What came is known from now on; the mix follows each time a quarter more has come, since it makes every score stale. */
static void see(struct run *r, uint32_t ask)
{
    r->seen_count[ask]++;
    r->n_seen++;
    if (r->policy == WEIR_OPENB_WEIR && r->n_seen * 4 >= r->n_mixed * 5) {
        weir_frag_mix_build(&r->seen, r->in->ask, r->seen_count, r->in->n_asks, WEIR_FRAG_ASKS_MAX, 100);
        r->n_mixed = r->n_seen;
        r->mix_number++;
        for (size_t i = 0; i < r->in->n_nodes; i++) {
            r->node[i].frag_version = 0;
        }
    }
}

/* ---- the run ---- */

static void write_span(struct weir_sim_schedule *schedule, const struct run *r, size_t arrival, const struct node *n)
{
    uint32_t task = r->arrival.p[arrival];
    weir_sim_schedule_add(schedule, &(struct weir_sim_span){
                                        .task = task,
                                        .submit = (double)arrival,
                                        .start = (double)arrival,
                                        .end = (double)r->arrival.n,
                                        .place = "local",
                                        .node = n->origin,
                                        .gpus = (double)asked_milli(&r->in->ask[r->in->task[task]]) / WEIR_FRAG_GPU,
                                    });
}

static void shuffle(struct run *r, uint32_t *p, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)weir_prng_below(&r->prng, i);
        uint32_t t = p[i - 1];
        p[i - 1] = p[k];
        p[k] = t;
    }
}

static void draw_arrivals(struct run *r, int64_t gpus_milli)
{
    const struct weir_openb_input *in = r->in;
    int64_t most = gpus_milli * WEIR_OPENB_DEMAND_PERCENT / 100;
    int64_t sum = 0;
    for (size_t i = 0; i < in->n_tasks; i++) {
        weir_vec_push(&r->arrival, (uint32_t)i);
        sum += asked_milli(&in->ask[in->task[i]]);
    }
    shuffle(r, r->arrival.p, r->arrival.n);
    bool cut = sum > most;
    while (sum > most) {
        /* They are in random order: any of them may as well be the last. */
        sum -= asked_milli(&in->ask[in->task[r->arrival.p[--r->arrival.n]]]);
    }
    while (!cut) {
        uint32_t task = (uint32_t)weir_prng_below(&r->prng, in->n_tasks);
        const struct weir_frag_ask *a = &in->ask[in->task[task]];
        if (sum + a->gpu_milli > most) {
            break;
        }
        sum += asked_milli(a);
        weir_vec_push(&r->arrival, task);
    }
}

static void draw_nodes(struct run *r)
{
    size_t n = r->in->n_nodes;
    uint32_t *order = weir_calloc(n, sizeof *order);
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
    }
    shuffle(r, order, n);
    for (size_t i = 0; i < n; i++) {
        r->node[i] = (struct node){.room = r->in->node[order[i]], .origin = order[i]};
        r->version[i] = 1;
    }
    free(order);
}

/* As published: of the whole list, and without memory, which neither scores nor fragments there. */
static void build_typical(struct run *r)
{
    const struct weir_openb_input *in = r->in;
    struct weir_frag_ask *ask = weir_calloc(in->n_asks, sizeof *ask);
    uint32_t *count = weir_calloc(in->n_asks, sizeof *count);
    for (size_t i = 0; i < in->n_asks; i++) {
        ask[i] = in->ask[i];
        ask[i].mem_mib = 0;
        count[in->plain[i]] += in->count[i];
    }
    weir_frag_mix_build(&r->typical, ask, count, in->n_asks, WEIR_FRAG_ASKS_MAX, TYPICAL_PERCENT);
    free(ask);
    free(count);
}

static void sum_up(const struct run *r, int64_t gpus_milli, struct weir_openb_outcome *ret)
{
    int64_t idle = 0;
    int64_t frag = 0;
    for (size_t i = 0; i < r->in->n_nodes; i++) {
        idle += weir_frag_left(&r->node[i].room);
        frag += weir_frag_of(&r->typical, &r->node[i].room);
    }
    ret->allocated_percent = (double)(gpus_milli - idle) * 100 / (double)gpus_milli;
    ret->fragmentation_percent = idle == 0 ? 0 : (double)frag * 100 / (double)r->typical.weight / (double)idle;
}

static void place_all(struct run *r, struct weir_sim_schedule *schedule, struct weir_sim_result *result,
                      struct weir_openb_outcome *ret)
{
    for (size_t i = 0; i < r->arrival.n; i++) {
        uint32_t ask = r->in->task[r->arrival.p[i]];
        const struct weir_frag_ask *a = &r->in->ask[ask];
        uint32_t gpu = 0;
        see(r, ask);
        struct node *n = choose(r, ask, &gpu);
        weir_sim_hash_u64(result, n == NULL ? UINT64_MAX : n->origin);
        ret->arrived++;
        if (n == NULL) {
            continue;
        }
        if (r->policy == WEIR_OPENB_RANDOM && weir_frag_is_share(a)) {
            gpu = random_gpu(r, &n->room, a->gpu_milli);
        }
        weir_frag_take(&n->room, a, gpu);
        r->version[n - r->node]++;
        n->kinds |= a->gpus == 0 ? 0 : UINT64_C(1) << (weir_frag_is_share(a) ? 0 : a->gpus);
        weir_sim_hash_u64(result, gpu);
        ret->placed++;
        write_span(schedule, r, i, n);
    }
}

void weir_openb_run(const struct weir_openb_input *in, enum weir_openb_policy policy, uint64_t seed,
                    struct weir_sim_schedule *schedule, struct weir_sim_result *result, struct weir_openb_outcome *ret)
{
    struct run r = {.in = in, .policy = policy, .prng = weir_prng_seed(seed)};
    int64_t gpus_milli = 0;
    for (size_t i = 0; i < in->n_nodes; i++) {
        gpus_milli += weir_frag_left(&in->node[i]);
    }
    size_t rows = CELLS_BYTES_MAX / (in->n_nodes * sizeof(struct cell)) + 1;
    r.n_scores = in->n_asks < rows ? in->n_asks : rows;
    r.scores = weir_calloc(r.n_scores, sizeof *r.scores);
    r.node = weir_calloc(in->n_nodes, sizeof *r.node);
    r.version = weir_calloc(in->n_nodes, sizeof *r.version);
    r.seen_count = weir_calloc(in->n_asks, sizeof *r.seen_count);
    build_typical(&r);
    draw_arrivals(&r, gpus_milli);
    draw_nodes(&r);
    *ret = (struct weir_openb_outcome){0};
    place_all(&r, schedule, result, ret);
    sum_up(&r, gpus_milli, ret);
    for (size_t i = 0; i < r.n_scores; i++) {
        free(r.scores[i].cell);
    }
    free(r.scores);
    free(r.node);
    free(r.version);
    free(r.seen_count);
    weir_vec_release(&r.arrival);
}
