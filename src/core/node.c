/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes and the room on them. Nodes that are alike are of one type, which indexes them twice: by how many
 * GPUs are free now (a bit set per count), and by when k GPUs will be free (a tree per k, the least at
 * the root), so that neither placing nor looking ahead goes over all nodes.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

/* ---- types ---- */

/* Alike but for what they cost: whatever fits the one fits the other. */
static bool type_fits_like(const struct node_type *t, const struct node_type *x)
{
    return t->rented == x->rented && t->market == x->market && t->gpu_model == x->gpu_model &&
           t->gpus == x->gpus && t->gpu_mem_mib == x->gpu_mem_mib &&
           t->cpu_milli == x->cpu_milli && t->mem_mib == x->mem_mib &&
           t->pool.v == x->pool.v && weir_streq(t->region, x->region) && weir_streq(t->zone, x->zone) &&
           weir_streq(t->provider, x->provider);
}

static bool type_costs_like(const struct node_type *t, const struct node_type *x)
{
    return t->busy_micro_per_hour == x->busy_micro_per_hour && t->full_micro_per_hour == x->full_micro_per_hour;
}

/* Drawn by a server core under load, for parting a node's energy between cores and GPUs. */
enum { WATTS_PER_CORE = 8 };

static void type_price(const struct weir_core *c, struct node_type *t, const struct node_type *like)
{
    t->busy_micro_per_hour = like->busy_micro_per_hour;
    t->full_micro_per_hour = like->full_micro_per_hour;
    t->cores_micro_per_hour = t->busy_micro_per_hour;
    if (t->gpu_model != WEIR_GPU_MODEL_ANY && t->gpus > 0) {
        const struct weir_gpu_model *m = weir_gpu_table_get(c->conf.gpus, t->gpu_model);
        int64_t cores = (int64_t)(t->cpu_milli / 1000) * WATTS_PER_CORE;
        int64_t gpus = (int64_t)t->gpus * max_i64((int64_t)m->watts - m->idle_watts, 0);
        t->cores_micro_per_hour = weir_mul_div_sat(t->busy_micro_per_hour, cores, max_i64(cores + gpus, 1));
    }
}

static struct node_type *type_get(struct weir_core *c, const struct node *n)
{
    const struct weir_node_spec *s = &n->spec;
    struct node_type key = {.rented = n->lease != NULL,
                            .market = n->lease == NULL ? 0 : n->lease->offer.market,
                            .gpu_model = s->gpu_model,
                            .gpus = s->gpus,
                            .gpu_mem_mib = s->gpu_mem_mib,
                            .cpu_milli = s->cpu_milli,
                            .mem_mib = s->mem_mib,
                            .busy_micro_per_hour = s->rates.marginal_busy_micro_per_hour,
                            .full_micro_per_hour = s->rates.full_micro_per_hour};
    if (n->lease != NULL) { /* what it is rented for counts, whatever the machine says of itself */
        key.busy_micro_per_hour = lease_marginal(n->lease);
        key.full_micro_per_hour = n->lease->price_micro_per_hour;
        memcpy(key.zone, n->lease->offer.zone, sizeof key.zone);
    } else {
        key.pool = s->pool;
    }
    memcpy(key.region, s->region, sizeof key.region);
    memcpy(key.provider, s->provider, sizeof key.provider);
    struct node_type *t = NULL;
    for (size_t i = 0; i < c->types.n; i++) {
        struct node_type *x = c->types.p[i];
        if (!type_fits_like(x, &key)) {
            continue;
        }
        if (type_costs_like(x, &key)) {
            return x;
        }
        t = x->n_nodes == 0 ? x : t;
    }
    if (t == NULL) {
        t = weir_alloc(sizeof *t);
        *t = key;
        t->id = (uint32_t)c->types.n;
        t->throughput = 1000;
        if (s->gpu_model != WEIR_GPU_MODEL_ANY && s->gpus > 0) {
            uint32_t x = weir_gpu_table_get(c->conf.gpus, s->gpu_model)->throughput_milli;
            t->throughput = x == 0 ? 1000 : x;
        }
        weir_vec_push(&c->types, t);
    }
    type_price(c, t, &key); /* one that nobody is of any more serves again: prices change without end */
    return t;
}

static void bit_set(struct bits *b, size_t i)
{
    b->w[i / 64] |= UINT64_C(1) << i % 64;
}

static void bit_clear(struct bits *b, size_t i)
{
    b->w[i / 64] &= ~(UINT64_C(1) << i % 64);
}

static bool bit_get(const struct bits *b, size_t i)
{
    return (b->w[i / 64] >> i % 64 & 1u) != 0;
}

/* Returns the size of a tree. */
static size_t lay_out_tree(struct node_type *t)
{
    size_t at = 0;
    size_t n = t->leaves;
    t->levels = 0;
    for (; n > 1; n = (n + TREE_FAN - 1) / TREE_FAN) {
        t->level_at[t->levels++] = at;
        at += (n + TREE_FAN - 1) / TREE_FAN * TREE_FAN;
    }
    WEIR_ASSERT(t->levels < TREE_LEVELS_MAX);
    t->level_at[t->levels++] = at;
    return at + 1;
}

/* Makes room in the index for the type's nodes; all bits and leaves start empty. */
static void type_resize(struct node_type *t)
{
    size_t leaves = 64;
    while (leaves < t->node.n) {
        leaves *= 2;
    }
    t->leaves = leaves;
    t->tree_size = lay_out_tree(t);
    t->words = leaves / 64;
    t->n_usable = 0;
    for (uint32_t k = 0; k <= t->gpus; k++) {
        free(t->free[k].w);
        t->free[k].w = weir_calloc(t->words, sizeof(uint64_t));
        t->n_free[k] = 0;
        free(t->tree[k]);
        t->tree[k] = NULL;
        t->read[k] = SIZE_MAX;
    }
    free(t->left);
    t->left = weir_calloc(leaves * t->gpus, sizeof(int64_t));
    t->left_known = false;
    weir_vec_clear(&t->moved);
    t->read_max = 0;
}

/* The node's times are not what they were: the trees take that in when they are asked. */
static void node_moved(struct node *n)
{
    struct node_type *t = n->type;
    if (n->moved_at >= t->read_max && n->moved_at < t->moved.n && t->moved.p[n->moved_at] == n->slot) {
        return; /* no tree has been asked since the last time */
    }
    if (t->moved.n >= t->leaves) { /* a tree that has not been asked for so long is cheaper made anew */
        for (uint32_t k = 0; k <= t->gpus; k++) {
            t->read[k] = t->read[k] == t->moved.n ? 0 : SIZE_MAX;
        }
        t->left_known = t->left_known && t->read_max == t->moved.n;
        weir_vec_clear(&t->moved);
        t->read_max = 0;
    }
    n->moved_at = t->moved.n;
    weir_vec_push(&t->moved, (uint32_t)n->slot);
}

static void node_unindex(struct node *n)
{
    struct node_type *t = n->type;
    for (uint32_t f = 0; f <= t->gpus; f++) {
        if (bit_get(&t->free[f], n->slot)) {
            bit_clear(&t->free[f], n->slot);
            t->n_free[f]--;
        }
    }
    t->n_usable -= n->usable;
    n->usable = false;
    node_moved(n);
}

/* Puts a node that takes work where its free GPUs say. */
static void node_stand(struct weir_core *c, struct node *n)
{
    struct node_type *t = n->type;
    uint32_t f = popcount32(n->free_mask);
    if (!node_takes_work(n) || (n->usable && bit_get(&t->free[f], n->slot))) {
        return;
    }
    for (uint32_t k = 0; n->usable && k <= t->gpus; k++) {
        if (bit_get(&t->free[k], n->slot)) {
            bit_clear(&t->free[k], n->slot);
            t->n_free[k]--;
        }
    }
    bit_set(&t->free[f], n->slot);
    t->n_free[f]++;
    c->version += !n->usable; /* room that was not there */
    t->n_usable += !n->usable;
    n->usable = true;
}

/* Makes the index anew, without those that are gone. */
static void type_reindex(struct weir_core *c, struct node_type *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->node.n; i++) {
        if (t->node.p[i] != NULL) {
            t->node.p[kept++] = t->node.p[i];
        }
    }
    t->node.n = kept;
    type_resize(t);
    for (size_t i = 0; i < t->node.n; i++) {
        t->node.p[i]->slot = i;
        t->node.p[i]->usable = false;
    }
    for (size_t i = 0; i < t->node.n; i++) {
        node_stand(c, t->node.p[i]);
    }
}

static void type_add(struct weir_core *c, struct node_type *t, struct node *n)
{
    size_t at = t->node.n; /* before the first that comes behind it */
    for (size_t i = at; i > 0 && (t->node.p[i - 1] == NULL || t->node.p[i - 1]->spec.id.v > n->spec.id.v); i--) {
        at = t->node.p[i - 1] == NULL ? at : i - 1;
    }
    weir_vec_push(&t->node, n);
    memmove(&t->node.p[at + 1], &t->node.p[at], (t->node.n - 1 - at) * sizeof *t->node.p);
    t->node.p[at] = n;
    t->n_nodes++;
    c->mix_stale = c->mix_stale || t->n_nodes == 1;
    c->kinds += t->n_nodes == 1;
    n->type = t;
    n->slot = at;
    n->free_stale = true;
    if (at + 1 != t->node.n || t->node.n > t->leaves) {
        type_reindex(c, t);
    }
}

/* Its slot stays empty until most are: the others keep theirs. */
static void type_remove(struct weir_core *c, struct node *n)
{
    enum { EMPTY_MIN = 16 };
    struct node_type *t = n->type;
    node_unindex(n);
    t->node.p[n->slot] = NULL;
    t->n_nodes--;
    c->mix_stale = c->mix_stale || t->n_nodes == 0;
    n->type = NULL;
    while (t->node.n > 0 && t->node.p[t->node.n - 1] == NULL) {
        t->node.n--;
    }
    if (t->node.n - t->n_nodes > t->n_nodes + EMPTY_MIN) {
        type_reindex(c, t);
    }
}

static void node_learn_links(struct node *n)
{
    n->n_links = 0;
    for (uint32_t i = 0; i < n->spec.gpus && n->spec.link_group[0] != 0; i++) {
        uint8_t group = n->spec.link_group[i];
        uint32_t k = 0;
        while (k < n->n_links && (group == 0 || n->spec.link_group[__builtin_ctz(n->link[k])] != group)) {
            k++;
        }
        n->link[k] = k == n->n_links ? 1u << i : n->link[k] | 1u << i;
        n->n_links += k == n->n_links;
    }
}

void node_set_type(struct weir_core *c, struct node *n)
{
    node_learn_links(n);
    c->has_fabrics = c->has_fabrics || n->spec.fabric != 0;
    struct node_type *t = type_get(c, n);
    if (n->type == t) {
        return;
    }
    claims_leave_node(c, n);
    if (n->type != NULL) {
        type_remove(c, n);
    }
    type_add(c, t, n);
    weir_vec_push(&c->touched, n);
    c->world++;
    c->moment++;
    if (c->hot_types < c->types.n) {
        wants_update(c);
    }
}

/* ---- nodes ---- */

static uint32_t all_gpus(uint32_t gpus)
{
    return gpus >= 32 ? UINT32_MAX : (1u << gpus) - 1;
}

struct node *node_new(struct weir_core *c, const struct weir_node_spec *spec, struct lease *l)
{
    struct node *n = weir_alloc(sizeof *n);
    n->spec = *spec;
    n->lease = l;
    n->state = WEIR_NODE_UP;
    n->since_us = c->now_us;
    n->free_mask = all_gpus(spec->gpus);
    n->cpu_free = spec->cpu_milli;
    n->mem_free = spec->mem_mib;
    size_t at = c->nodes.n;
    while (at > 0 && c->nodes.p[at - 1]->spec.id.v > spec->id.v) {
        at--;
    }
    weir_vec_push(&c->nodes, n);
    memmove(&c->nodes.p[at + 1], &c->nodes.p[at], (c->nodes.n - 1 - at) * sizeof *c->nodes.p);
    c->nodes.p[at] = n;
    if (spec->id.v >= c->next_node) {
        c->next_node = spec->id.v + 1;
    }
    node_set_type(c, n);
    return n;
}

void node_free(struct weir_core *c, struct node *n)
{
    WEIR_ASSERT(n->runs.n == 0);
    claims_leave_node(c, n);
    for (size_t i = 0; i < c->touched.n; i++) {
        if (c->touched.p[i] == n) {
            c->touched.p[i] = c->touched.p[--c->touched.n];
            i--;
        }
    }
    type_remove(c, n);
    c->world++;
    c->moment++;
    size_t at = node_place(c, n->spec.id.v);
    memmove(&c->nodes.p[at], &c->nodes.p[at + 1], (c->nodes.n - at - 1) * sizeof *c->nodes.p);
    c->nodes.n--;
    weir_vec_release(&n->runs);
    weir_vec_release(&n->claims);
    free(n);
}

bool node_takes_work(const struct node *n)
{
    if (n->state != WEIR_NODE_UP) {
        return false;
    }
    if (n->lease == NULL) {
        return n->joined;
    }
    uint8_t s = n->lease->state;
    return s == WEIR_LEASE_READY || s == WEIR_LEASE_INTENT || s == WEIR_LEASE_BOOTING;
}

int64_t node_ready_us(const struct node *n)
{
    if (n->joined || n->lease == NULL) {
        return 0;
    }
    int64_t from = n->lease->confirmed_us != 0 ? n->lease->confirmed_us : n->lease->intent_us;
    return weir_i64_add_sat(from, n->lease->boot_us);
}

/* ---- free times ---- */

static void sort_times(int64_t *t, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        int64_t x = t[i];
        uint32_t at = i;
        while (at > 0 && t[at - 1] > x) {
            t[at] = t[at - 1];
            at--;
        }
        t[at] = x;
    }
}

/* The first of the GPUs to come free are taken until then. */
static void times_take(int64_t *t, uint32_t gpus, uint32_t take, int64_t until_us)
{
    take = take < gpus ? take : gpus;
    uint32_t i = take;
    uint32_t at = 0;
    while (i < gpus && t[i] <= until_us) {
        t[at++] = t[i++];
    }
    while (at < i) {
        t[at++] = until_us;
    }
}

static void times_claim(int64_t *t, const struct node *n, const struct claim *cm)
{
    for (uint32_t p = 0; p < cm->n_parts; p++) {
        if (cm->part[p].node == n) {
            times_take(t, n->spec.gpus, cm->part[p].gpus, cm->end_us);
        }
    }
}

/* Per GPU the time at which it is free by predicted ends, least first. */
static void times_of_runs(const struct node *n, int64_t *t)
{
    uint32_t gpus = n->spec.gpus;
    int64_t ready = node_ready_us(n);
    uint32_t k = popcount32(n->free_mask);
    for (uint32_t i = 0; i < k; i++) {
        t[i] = ready;
    }
    for (size_t i = 0; i < n->runs.n; i++) {
        const struct node_run *nr = &n->runs.p[i];
        uint32_t has = popcount32(nr->run->rank[nr->rank].mask);
        for (uint32_t m = 0; m < has && k < gpus; m++) {
            t[k++] = nr->run->end_us;
        }
    }
    WEIR_ASSERT(k == gpus);
    sort_times(t, gpus);
}

static void node_times(struct node *n)
{
    if (n->free_stale) {
        times_of_runs(n, n->free_us);
        n->free_stale = false;
        n->left_stale = true;
    }
    if (n->left_stale) {
        memcpy(n->left_us, n->free_us, n->spec.gpus * sizeof n->left_us[0]);
        for (size_t i = 0; i < n->claims.n; i++) {
            times_claim(n->left_us, n, n->claims.p[i]);
        }
        n->left_stale = false;
    }
}

void node_times_anew(const struct node *n, int64_t *ret)
{
    times_of_runs(n, ret);
    for (size_t i = 0; i < n->claims.n; i++) {
        times_claim(ret, n, n->claims.p[i]);
    }
}

void node_claimed(struct node *n, const struct claim *cm)
{
    if (!n->free_stale && !n->left_stale) {
        times_claim(n->left_us, n, cm);
    }
    node_moved(n);
}

void node_unclaimed(struct node *n)
{
    n->left_stale = true;
    node_moved(n);
}

/* For tasks that need no GPU: when anything ends there. */
static int64_t node_first_end(const struct node *n)
{
    if (n->cpu_free > 0) {
        return node_ready_us(n);
    }
    int64_t t = US_NEVER;
    for (size_t i = 0; i < n->runs.n; i++) {
        t = min_i64(t, n->runs.p[i].run->end_us);
    }
    return t;
}

void node_index(struct weir_core *c, struct node *n)
{
    n->free_stale = true; /* of one that takes no work, too: it may again */
    c->moment++;
    if (!node_takes_work(n)) {
        if (n->usable) {
            node_unindex(n);
            c->version++;
            weir_vec_push(&c->touched, n);
        }
        return;
    }
    node_stand(c, n);
    node_moved(n);
}

static void node_touched(struct weir_core *c, struct node *n)
{
    c->version++;
    node_index(c, n);
    if (c->touched.n == 0 || c->touched.p[c->touched.n - 1] != n) {
        weir_vec_push(&c->touched, n);
    }
}

void node_grew(struct weir_core *c, struct node *n)
{
    node_touched(c, n);
    n->grown_version = c->version;
    if (!n->grown && node_takes_work(n)) {
        n->grown = true;
        weir_vec_push(&c->grown, n);
    }
}

/* What is asked of a node that moved: once, and not by each tree. */
static void left_read(struct node_type *t, size_t slot)
{
    struct node *n = slot < t->node.n ? t->node.p[slot] : NULL;
    bool usable = n != NULL && n->usable;
    if (usable) {
        node_times(n);
    }
    for (uint32_t k = 0; k < t->gpus; k++) {
        t->left[slot * t->gpus + k] = usable ? n->left_us[k] : US_NEVER;
    }
}

static void left_update(struct node_type *t)
{
    for (size_t i = 0; !t->left_known && i < t->leaves; i++) {
        left_read(t, i);
    }
    for (size_t i = t->left_known ? t->read_max : t->moved.n; i < t->moved.n; i++) {
        left_read(t, t->moved.p[i]);
    }
    t->left_known = true;
    t->read_max = t->moved.n;
}

/* As left says. */
static int64_t leaf_us(const struct node_type *t, size_t slot, uint32_t k)
{
    if (k > 0) {
        return t->left[slot * t->gpus + k - 1];
    }
    struct node *n = slot < t->node.n ? t->node.p[slot] : NULL;
    return n != NULL && n->usable ? node_first_end(n) : US_NEVER;
}

static int64_t least_of(const int64_t *v)
{
    int64_t least = v[0];
    for (uint32_t i = 1; i < TREE_FAN; i++) {
        least = min_i64(least, v[i]);
    }
    return least;
}

static void tree_put(const struct node_type *t, int64_t *tree, size_t slot, int64_t v)
{
    size_t i = slot;
    int64_t was = tree[i];
    tree[i] = v;
    for (uint32_t l = 1; l < t->levels && v != was; l++) {
        i /= TREE_FAN;
        int64_t *above = &tree[t->level_at[l] + i];
        if (v > *above && was > *above) {
            return; /* the least is another */
        }
        v = v <= *above ? v : least_of(&tree[t->level_at[l - 1] + i * TREE_FAN]);
        was = *above;
        *above = v;
    }
}

static void tree_make(struct node_type *t, uint32_t k)
{
    if (t->tree[k] == NULL) {
        t->tree[k] = weir_calloc(t->tree_size, sizeof(int64_t));
        for (size_t i = 0; i < t->tree_size; i++) {
            t->tree[k][i] = US_NEVER; /* what fills up a level never changes */
        }
    }
    int64_t *tree = t->tree[k];
    for (size_t i = 0; i < t->leaves; i++) {
        tree[i] = leaf_us(t, i, k);
    }
    size_t n = t->leaves;
    for (uint32_t l = 1; l < t->levels; l++) {
        n = (n + TREE_FAN - 1) / TREE_FAN;
        for (size_t i = 0; i < n; i++) {
            tree[t->level_at[l] + i] = least_of(&tree[t->level_at[l - 1] + i * TREE_FAN]);
        }
    }
}

/* Brings a tree up to date. Few numbers of GPUs are asked for, and many nodes move more than once before: a claim that is
 * dropped and made again leaves most trees alone. */
static void tree_read(struct node_type *t, uint32_t k)
{
    left_update(t);
    if (t->read[k] == SIZE_MAX) {
        tree_make(t, k);
    }
    for (size_t i = t->read[k]; i < t->moved.n; i++) {
        tree_put(t, t->tree[k], t->moved.p[i], leaf_us(t, t->moved.p[i], k));
    }
    t->read[k] = t->moved.n;
}

void node_pass_by(const struct node *n, uint32_t gpus)
{
    const struct node_type *t = n->type;
    tree_put(t, t->tree[gpus], n->slot, US_NEVER);
}

struct node *type_first_free(struct node_type *t, uint32_t k, int64_t *ret_us)
{
    if (t->n_nodes == 0 || k > t->gpus) {
        return NULL;
    }
    tree_read(t, k);
    const int64_t *tree = t->tree[k];
    int64_t least = tree[t->level_at[t->levels - 1]];
    if (least == US_NEVER) {
        return NULL;
    }
    size_t i = 0;
    for (uint32_t l = t->levels - 1; l-- > 0;) {
        i *= TREE_FAN;
        while (tree[t->level_at[l] + i] != least) {
            i++;
        }
    }
    *ret_us = least;
    return t->node.p[i];
}

/* ---- room ---- */

bool node_fits(const struct node *n, uint32_t gpus, uint32_t cpu_milli, uint64_t mem_mib)
{
    return popcount32(n->free_mask) >= gpus && n->cpu_free >= cpu_milli && n->mem_free >= mem_mib;
}

/* Free GPUs per link group; groups are numbers below 256, few per node. */
struct groups {
    uint32_t n;
    uint32_t mask[WEIR_NODE_GPUS_MAX];
};

static struct groups free_groups(const struct node *n)
{
    struct groups g = {0};
    uint8_t name[WEIR_NODE_GPUS_MAX] = {0};
    for (uint32_t i = 0; i < n->spec.gpus; i++) {
        if ((n->free_mask >> i & 1u) == 0) {
            continue;
        }
        uint8_t link = n->spec.link_group[i];
        uint32_t k = 0;
        /* group 0 says nothing: such a GPU stands alone */
        while (k < g.n && (link == 0 || name[k] != link)) {
            k++;
        }
        if (k == g.n) {
            name[k] = link;
            g.n++;
        }
        g.mask[k] |= 1u << i;
    }
    return g;
}

static bool node_has_links(const struct node *n)
{
    return n->spec.gpus > 0 && n->spec.link_group[0] != 0;
}

/* 0: a group is used up exactly; 1: one group holds all; 2: several groups are broken into. */
uint32_t node_link_waste(const struct node *n, uint32_t gpus)
{
    if (gpus == 0 || n->n_links == 0) {
        return 0;
    }
    uint32_t waste = 2;
    for (uint32_t i = 0; i < n->n_links; i++) {
        uint32_t has = popcount32(n->free_mask & n->link[i]);
        if (has == gpus) {
            return 0;
        }
        if (has > gpus) {
            waste = 1;
        }
    }
    return waste;
}

static uint32_t lowest_bits(uint32_t mask, uint32_t n)
{
    uint32_t r = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bit = mask & (0u - mask);
        r |= bit;
        mask ^= bit;
    }
    return r;
}

uint32_t node_pick_gpus(const struct node *n, uint32_t gpus)
{
    WEIR_ASSERT(popcount32(n->free_mask) >= gpus);
    if (gpus == 0 || !node_has_links(n)) {
        return lowest_bits(n->free_mask, gpus);
    }
    struct groups g = free_groups(n);
    uint32_t picked = 0;
    uint32_t left = gpus;
    while (left > 0) {
        /* the smallest group that holds all that is left; else the largest there is */
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0; i < g.n; i++) {
            uint32_t has = popcount32(g.mask[i]);
            if (has == 0) {
                continue;
            }
            uint32_t had = best == UINT32_MAX ? 0 : popcount32(g.mask[best]);
            bool better = best == UINT32_MAX || (has >= left && (had < left || has < had)) ||
                          (has < left && had < left && has > had);
            if (better) {
                best = i;
            }
        }
        WEIR_ASSERT(best != UINT32_MAX);
        uint32_t has = popcount32(g.mask[best]);
        uint32_t take = has < left ? has : left;
        uint32_t bits = lowest_bits(g.mask[best], take);
        picked |= bits;
        g.mask[best] &= ~bits;
        left -= take;
    }
    return picked;
}

static int run_cmp(const struct run *a, uint32_t rank_a, const struct run *b, uint32_t rank_b)
{
    if (a->job->id != b->job->id) {
        return a->job->id < b->job->id ? -1 : 1;
    }
    if (a->ordinal != b->ordinal) {
        return a->ordinal < b->ordinal ? -1 : 1;
    }
    return rank_a < rank_b ? -1 : rank_a > rank_b;
}

void node_take(struct weir_core *c, struct node *n, struct run *r, uint32_t rank)
{
    struct rank *k = &r->rank[rank];
    WEIR_ASSERT((n->free_mask & k->mask) == k->mask);
    WEIR_ASSERT(n->cpu_free >= k->cpu_milli);
    WEIR_ASSERT(n->mem_free >= k->mem_mib);
    n->free_mask &= ~k->mask;
    n->cpu_free -= k->cpu_milli;
    n->mem_free -= k->mem_mib;
    size_t at = n->runs.n; /* in order of run: what happened earlier must not show */
    while (at > 0 && run_cmp(n->runs.p[at - 1].run, n->runs.p[at - 1].rank, r, rank) > 0) {
        at--;
    }
    weir_vec_push(&n->runs, (struct node_run){r, rank});
    memmove(&n->runs.p[at + 1], &n->runs.p[at], (n->runs.n - 1 - at) * sizeof *n->runs.p);
    n->runs.p[at] = (struct node_run){r, rank};
    k->node = n;
    k->node_id = n->spec.id.v;
    n->idle_since_us = 0;
    node_touched(c, n);
    node_changed(c, n);
}

void node_give(struct weir_core *c, struct run *r, uint32_t rank)
{
    struct rank *k = &r->rank[rank];
    struct node *n = k->node;
    size_t i = 0;
    while (n->runs.p[i].run != r || n->runs.p[i].rank != rank) {
        i++;
        WEIR_ASSERT(i < n->runs.n);
    }
    memmove(&n->runs.p[i], &n->runs.p[i + 1], (n->runs.n - i - 1) * sizeof *n->runs.p);
    n->runs.n--;
    WEIR_ASSERT((n->free_mask & k->mask) == 0);
    n->free_mask |= k->mask;
    n->cpu_free += k->cpu_milli;
    n->mem_free += k->mem_mib;
    k->node = NULL;
    if (n->runs.n == 0) {
        n->idle_since_us = c->now_us;
    }
    node_grew(c, n);
    n->unused = n->grown && (n->unused || !k->told);
    node_changed(c, n);
    if (n->lease != NULL) {
        timer_for_lease(c, n->lease);
    }
}

/* What is free at a time, by predicted ends. Claims are not taken off. */
struct claim_part node_free_part(const struct node *n, int64_t at_us)
{
    struct claim_part p = {.gpus = popcount32(n->free_mask),
                           .cpu_milli = n->cpu_free,
                           .mem_mib = n->mem_free};
    for (size_t i = 0; i < n->runs.n; i++) {
        const struct run *r = n->runs.p[i].run;
        const struct rank *k = &r->rank[n->runs.p[i].rank];
        if (r->end_us <= at_us) {
            p.gpus += popcount32(k->mask);
            p.cpu_milli += k->cpu_milli;
            p.mem_mib += k->mem_mib;
        }
    }
    return p;
}

int64_t node_free_at(struct node *n, uint32_t gpus, uint32_t cpu_milli, uint64_t mem_mib, bool with_claims)
{
    int64_t t = node_ready_us(n);
    if (gpus > 0) {
        if (gpus > n->spec.gpus) {
            return US_NEVER;
        }
        node_times(n);
        t = max_i64(t, with_claims ? n->left_us[gpus - 1] : n->free_us[gpus - 1]);
    }
    if (n->cpu_free >= cpu_milli && n->mem_free >= mem_mib) {
        return t;
    }
    if (cpu_milli > n->spec.cpu_milli || mem_mib > n->spec.mem_mib) {
        return US_NEVER;
    }
    for (;;) { /* the next end, until CPU and memory suffice too */
        struct claim_part p = node_free_part(n, t);
        if (p.cpu_milli >= cpu_milli && p.mem_mib >= mem_mib) {
            return t;
        }
        int64_t next = US_NEVER;
        for (size_t i = 0; i < n->runs.n; i++) {
            int64_t e = n->runs.p[i].run->end_us;
            if (e > t && e < next) {
                next = e;
            }
        }
        if (next == US_NEVER) {
            return US_NEVER;
        }
        t = next;
    }
}
