/* SPDX-License-Identifier: Apache-2.0 */
/* Primal-dual: shortest distances by Dijkstra with potentials, then all flow that fits on shortest paths (Dinic's levels). */

#include "reserve_optimum.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

#define FAR INT64_MAX

/* Arcs in pairs: i and i ^ 1 are one another's reverse. */
struct arc {
    uint32_t to;
    int64_t room;
    int64_t cost;
};

struct net {
    struct arc *arc;
    uint32_t n_arcs;
    uint32_t n_nodes;
    uint32_t *first; /* of a node's arcs in order; n_nodes + 1 entries */
    uint32_t *order; /* arcs by their origin */
    int64_t *potential;
    int64_t *distance;
    uint32_t *level;
    uint32_t *at; /* next arc to be tried */
    uint32_t *queue;
    struct {
        int64_t distance;
        uint32_t node;
    } *heap;
    size_t n_heap;
};

static uint32_t origin(const struct net *g, uint32_t a)
{
    return g->arc[a ^ 1].to;
}

static void add_arc(struct net *g, uint32_t from, uint32_t to, int64_t room, int64_t cost)
{
    g->arc[g->n_arcs++] = (struct arc){to, room, cost};
    g->arc[g->n_arcs++] = (struct arc){from, 0, -cost};
}

static void order_arcs(struct net *g)
{
    for (uint32_t a = 0; a < g->n_arcs; a++) {
        g->first[origin(g, a) + 1]++;
    }
    for (uint32_t v = 0; v < g->n_nodes; v++) {
        g->first[v + 1] += g->first[v];
        g->at[v] = g->first[v];
    }
    for (uint32_t a = 0; a < g->n_arcs; a++) {
        g->order[g->at[origin(g, a)]++] = a;
    }
}

static void heap_push(struct net *g, int64_t distance, uint32_t node)
{
    size_t i = g->n_heap++;
    while (i > 0 && g->heap[(i - 1) / 2].distance > distance) {
        g->heap[i] = g->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    g->heap[i].distance = distance;
    g->heap[i].node = node;
}

static uint32_t heap_pop(struct net *g, int64_t *distance)
{
    uint32_t node = g->heap[0].node;
    *distance = g->heap[0].distance;
    size_t n = --g->n_heap;
    int64_t moved = g->heap[n].distance;
    uint32_t moved_node = g->heap[n].node;
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < n && g->heap[child + 1].distance < g->heap[child].distance) {
            child++;
        }
        if (child >= n || g->heap[child].distance >= moved) {
            break;
        }
        g->heap[i] = g->heap[child];
        i = child;
    }
    g->heap[i].distance = moved;
    g->heap[i].node = moved_node;
    return node;
}

/* What an arc costs beyond the difference of its ends' potentials: never negative where there is room. */
static int64_t reduced(const struct net *g, uint32_t a)
{
    return g->arc[a].cost + g->potential[origin(g, a)] - g->potential[g->arc[a].to];
}

/* Adds the shortest distances to the potentials; false where the end cannot be reached. Costs must be reduced ones >= 0. */
static bool shorten(struct net *g)
{
    for (uint32_t v = 0; v < g->n_nodes; v++) {
        g->distance[v] = FAR;
    }
    g->distance[0] = 0;
    g->n_heap = 0;
    heap_push(g, 0, 0);
    int64_t most = 0;
    while (g->n_heap > 0) {
        int64_t d;
        uint32_t v = heap_pop(g, &d);
        if (d > g->distance[v]) {
            continue;
        }
        most = d;
        for (uint32_t k = g->first[v]; k < g->first[v + 1]; k++) {
            uint32_t a = g->order[k];
            uint32_t to = g->arc[a].to;
            if (g->arc[a].room > 0 && d + reduced(g, a) < g->distance[to]) {
                g->distance[to] = d + reduced(g, a);
                heap_push(g, g->distance[to], to);
            }
        }
    }
    bool reached = g->distance[g->n_nodes - 1] != FAR;
    for (uint32_t v = 0; v < g->n_nodes; v++) {
        g->potential[v] += g->distance[v] == FAR ? most : g->distance[v];
    }
    return reached;
}

/* Numbers the nodes by steps on arcs of the shortest paths; false where none leads to the end any more. */
static bool find_levels(struct net *g)
{
    for (uint32_t v = 0; v < g->n_nodes; v++) {
        g->level[v] = UINT32_MAX;
        g->at[v] = g->first[v];
    }
    uint32_t n = 0;
    g->level[0] = 0;
    g->queue[n++] = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = g->queue[i];
        for (uint32_t k = g->first[v]; k < g->first[v + 1]; k++) {
            uint32_t a = g->order[k];
            if (g->arc[a].room > 0 && g->level[g->arc[a].to] == UINT32_MAX && reduced(g, a) == 0) {
                g->level[g->arc[a].to] = g->level[v] + 1;
                g->queue[n++] = g->arc[a].to;
            }
        }
    }
    return g->level[g->n_nodes - 1] != UINT32_MAX;
}

/* Sends flow along one path of the levels, at most what is left; 0: there is none. The queue holds the path's arcs. */
static int64_t send(struct net *g, int64_t left)
{
    uint32_t v = 0;
    uint32_t n = 0;
    uint32_t end = g->n_nodes - 1;
    while (v != end) {
        uint32_t a = UINT32_MAX;
        for (; g->at[v] < g->first[v + 1] && a == UINT32_MAX; g->at[v]++) {
            uint32_t candidate = g->order[g->at[v]];
            if (g->arc[candidate].room > 0 && g->level[g->arc[candidate].to] == g->level[v] + 1 && reduced(g, candidate) == 0) {
                a = candidate;
                break;
            }
        }
        if (a != UINT32_MAX) {
            g->queue[n++] = a;
            v = g->arc[a].to;
        } else if (n == 0) {
            return 0;
        } else {
            v = origin(g, g->queue[--n]); /* a dead end: its arc is done with */
            g->at[v]++;
        }
    }
    int64_t flow = left;
    for (uint32_t i = 0; i < n; i++) {
        flow = g->arc[g->queue[i]].room < flow ? g->arc[g->queue[i]].room : flow;
    }
    for (uint32_t i = 0; i < n; i++) {
        g->arc[g->queue[i]].room -= flow;
        g->arc[g->queue[i] ^ 1].room += flow;
    }
    return flow;
}

static void net_init(struct net *g, size_t hours)
{
    size_t arcs = 6 * hours;
    *g = (struct net){.n_nodes = (uint32_t)hours + 1};
    g->arc = weir_calloc(arcs, sizeof *g->arc);
    g->order = weir_calloc(arcs, sizeof *g->order);
    g->heap = weir_calloc(arcs + 1, sizeof *g->heap);
    g->first = weir_calloc(hours + 2, sizeof *g->first);
    g->potential = weir_calloc(hours + 1, sizeof *g->potential);
    g->distance = weir_calloc(hours + 1, sizeof *g->distance);
    g->level = weir_calloc(hours + 1, sizeof *g->level);
    g->at = weir_calloc(hours + 1, sizeof *g->at);
    g->queue = weir_calloc(hours + 1, sizeof *g->queue);
}

static void net_release(struct net *g)
{
    free(g->arc);
    free(g->order);
    free(g->heap);
    free(g->first);
    free(g->potential);
    free(g->distance);
    free(g->level);
    free(g->at);
    free(g->queue);
}

int64_t weir_sim_reserve_optimum(const struct weir_reserve_terms *t, const int64_t *demand, size_t n, int64_t *bought)
{
    WEIR_ASSERT(n > 0 && n < UINT32_MAX / 8);
    struct net g;
    int64_t peak = 0;
    int64_t used = 0;
    net_init(&g, n);
    for (size_t i = 0; i < n; i++) {
        peak = demand[i] > peak ? demand[i] : peak;
        used += demand[i] * t->used_micro;
    }
    for (uint32_t i = 0; i < n; i++) {
        int64_t end = (int64_t)i + t->hours;
        add_arc(&g, i, i + 1, peak - demand[i], 0);
        add_arc(&g, i, i + 1, demand[i], t->on_demand_micro - t->used_micro);
        add_arc(&g, i, end < (int64_t)n ? (uint32_t)end : (uint32_t)n, peak, t->fee_micro);
    }
    order_arcs(&g);
    int64_t cost = used;
    for (int64_t left = peak; left > 0;) {
        bool reached = shorten(&g);
        WEIR_ASSERT(reached);
        while (left > 0 && find_levels(&g)) {
            for (int64_t flow = send(&g, left); flow > 0; flow = left > 0 ? send(&g, left) : 0) {
                left -= flow;
                cost += flow * g.potential[g.n_nodes - 1];
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        bought[i] = g.arc[6 * i + 5].room;
    }
    net_release(&g);
    return cost;
}
