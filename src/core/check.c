/* SPDX-License-Identifier: Apache-2.0 */
/* The invariants, over the whole state. Slow; for tests, fuzzing and simulation. */

#include <inttypes.h>
#include <string.h>

#include "core/core_priv.h"

static int bad(struct weir_err *err, const char *what, uint64_t id)
{
    return weir_fail(err, -WEIR_ECORRUPT, "%s (%" PRIu64 ")", what, id);
}

static int check_node(const struct weir_core *c, const struct node *n, struct weir_err *err)
{
    uint64_t id = n->spec.id.v;
    uint32_t used = 0;
    uint64_t cpu = n->cpu_free;
    uint64_t mem = n->mem_free;
    for (size_t i = 0; i < n->runs.n; i++) {
        const struct run *r = n->runs.p[i].run;
        const struct rank *k = &r->rank[n->runs.p[i].rank];
        if (k->node != n || k->ended) {
            return bad(err, "a run stands on a node that it does not know of", id);
        }
        if ((used & k->mask) != 0) {
            return bad(err, "a GPU is in two runs", id);
        }
        if (k->segment && (!n->metered || !k->told)) {
            return bad(err, "a segment is open on a node that is not metered", id);
        }
        if (k->told && !k->segment) {
            return bad(err, "a run was started without a segment", id);
        }
        used |= k->mask;
        cpu += k->cpu_milli;
        mem += k->mem_mib;
    }
    uint32_t all = n->spec.gpus >= 32 ? UINT32_MAX : (1u << n->spec.gpus) - 1;
    if ((used & n->free_mask) != 0 || (used | n->free_mask) != all) {
        return bad(err, "GPUs used and free do not make up the node", id);
    }
    if (cpu != n->spec.cpu_milli || mem != n->spec.mem_mib) {
        return bad(err, "CPU or memory used and free do not make up the node", id);
    }
    if (n->state == WEIR_NODE_GONE && (n->runs.n > 0 || n->metered)) {
        return bad(err, "a node that is gone has runs or is metered", id);
    }
    if ((n->spec.lease.v != 0) != (n->lease != NULL) && n->state != WEIR_NODE_GONE) {
        return bad(err, "a rented node has no lease", id);
    }
    if (n->lease == NULL && n->state != WEIR_NODE_GONE && !n->metered) {
        return bad(err, "an owned node is not metered", id);
    }
    bool usable = node_takes_work(n);
    if (usable != n->usable) {
        return bad(err, "the index does not know whether a node takes work", id);
    }
    uint32_t f = popcount32(n->free_mask);
    for (uint32_t k = 0; k <= n->type->gpus; k++) {
        bool bit = (n->type->free[k].w[n->slot / 64] >> n->slot % 64 & 1u) != 0;
        if (bit != (usable && k == f)) {
            return bad(err, "a node stands in the wrong place of the index", id);
        }
    }
    (void)c;
    if (!n->free_stale && !n->left_stale) {
        int64_t times[WEIR_NODE_GPUS_MAX];
        node_times_anew(n, times);
        if (memcmp(times, n->left_us, n->spec.gpus * sizeof times[0]) != 0) {
            return bad(err, "the times kept of a node are not those of its runs and claims", id);
        }
    }
    return n->type->node.p[n->slot] == n ? 0 : bad(err, "a node is not where its type says", id);
}

static int check_run(const struct weir_core *c, const struct job *j, uint32_t ordinal, struct weir_err *err)
{
    const struct task *t = &j->task[ordinal];
    const struct run *r = t->run;
    uint32_t started = 0;
    uint32_t ended = 0;
    uint32_t told = 0;
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        const struct rank *k = &r->rank[i];
        started += k->started;
        ended += k->ended;
        told += k->told;
        if ((k->node == NULL) != k->ended) {
            return bad(err, "a rank that has not ended has no node, or one that has ended does", j->id);
        }
        if (k->node != NULL && node_find(c, k->node_id) != k->node) {
            return bad(err, "a rank's node is not known", j->id);
        }
        bool stands = k->node == NULL;
        for (size_t m = 0; !stands && m < k->node->runs.n; m++) {
            stands = k->node->runs.p[m].run == r && k->node->runs.p[m].rank == i;
        }
        if (!stands) {
            return bad(err, "a rank does not stand on its node", j->id);
        }
    }
    if (started != r->n_started || ended != r->n_ended || ended == r->n_ranks) {
        return bad(err, "ranks are miscounted", j->id);
    }
    if (told != 0 && told != r->n_ranks) {
        return bad(err, "a gang was started in part", j->id);
    }
    if (r->hold == NULL || r->hold->state != WEIR_HOLD_ACTIVE) {
        return bad(err, "an attempt has no active hold", j->id);
    }
    if (t->state == WEIR_TASK_RUNNING && r->n_started != r->n_ranks) {
        return bad(err, "a task runs though a rank has not started", j->id);
    }
    return r->attempt == t->attempt ? 0 : bad(err, "an attempt is not its task's last", j->id);
}

static bool has_moved(const struct node_type *t, size_t slot, size_t since)
{
    bool moved = false;
    for (size_t m = since; m < t->moved.n; m++) {
        moved = moved || t->moved.p[m] == slot;
    }
    return moved;
}

/* What is kept of the nodes by slot; what it has not taken in yet is in the list of moves. */
static int check_left(const struct node_type *t, struct weir_err *err)
{
    for (size_t i = 0; t->left_known && i < t->node.n; i++) {
        const struct node *n = t->node.p[i];
        int64_t times[WEIR_NODE_GPUS_MAX];
        if (n == NULL) {
            continue;
        }
        node_times_anew(n, times);
        for (uint32_t k = 0; k < t->gpus && !has_moved(t, i, t->read_max); k++) {
            if (t->left[i * t->gpus + k] != (n->usable ? times[k] : US_NEVER)) {
                return bad(err, "a type has other times of a node", n->spec.id.v);
            }
        }
    }
    return 0;
}

static int check_trees(const struct node_type *t, struct weir_err *err)
{
    for (uint32_t k = 1; k <= t->gpus; k++) {
        const int64_t *tree = t->tree[k];
        for (size_t i = 0; t->read[k] != SIZE_MAX && i < t->node.n; i++) {
            const struct node *n = t->node.p[i];
            int64_t times[WEIR_NODE_GPUS_MAX];
            if (n == NULL) {
                continue;
            }
            node_times_anew(n, times);
            if (tree[i] != (n->usable ? times[k - 1] : US_NEVER) && !has_moved(t, i, t->read[k])) {
                return bad(err, "a tree has another time of a node", n->spec.id.v);
            }
        }
        size_t i = 0; /* of all that is below the root */
        for (uint32_t l = 1; t->read[k] != SIZE_MAX && l < t->levels; l++) {
            for (size_t above = t->level_at[l]; i < t->level_at[l]; above++, i += TREE_FAN) {
                int64_t least = US_NEVER;
                for (size_t m = 0; m < TREE_FAN; m++) {
                    least = min_i64(least, tree[i + m]);
                }
                if (tree[above] != least) {
                    return bad(err, "a tree has above what is not the least", k);
                }
            }
        }
    }
    return 0;
}

static int check_type(const struct node_type *t, struct weir_err *err)
{
    uint32_t n_nodes = 0;
    uint32_t usable = 0;
    for (size_t i = 0; i < t->node.n; i++) {
        n_nodes += t->node.p[i] != NULL;
        usable += t->node.p[i] != NULL && t->node.p[i]->usable;
    }
    if (n_nodes != t->n_nodes) {
        return bad(err, "a type's nodes are miscounted", t->id);
    }
    if (usable != t->n_usable) {
        return bad(err, "a type's usable nodes are miscounted", t->id);
    }
    return check_left(t, err) < 0 ? -WEIR_ECORRUPT : check_trees(t, err);
}

/* Its order, and how many tasks it is. */
static int check_demand(const struct weir_core *c, uint64_t n_tasks, struct weir_err *err)
{
    for (size_t i = 0; i < c->demand.n; i++) {
        const struct want *w = c->demand.p[i];
        if (w->weight == 0 || w->gpus_min == 0 || (i > 0 && c->demand.p[i - 1]->weight < w->weight)) {
            return bad(err, "the demand is out of order", i);
        }
        n_tasks -= w->n_tasks;
    }
    return n_tasks == 0 ? 0 : bad(err, "the demand is not what the tasks want", n_tasks);
}

struct sums {
    uint64_t gpu_tasks; /* not ended */
    uint64_t waiting;
    uint64_t active;
    uint64_t jobs;
};

static int check_job(const struct weir_core *c, const struct job *j, struct sums *sums, struct weir_err *err)
{
    uint32_t count[WEIR_TASK_STATE_MAX] = {0};
    for (uint32_t i = 0; i < j->n_tasks; i++) {
        const struct task *t = &j->task[i];
        count[t->state]++;
        bool waits = (j->waiting[i / 64] >> i % 64 & 1u) != 0;
        if (waits != (t->state == WEIR_TASK_WAITING)) {
            return bad(err, "a task's place in the queue is not its state", j->id);
        }
        if ((t->run != NULL) != weir_sm_is(&weir_sm_task, t->state, WEIR_SM_HOLDS_ROOM)) {
            return bad(err, "a task has an attempt that does not fit its state", j->id);
        }
        if (t->run != NULL && check_run(c, j, i, err) < 0) {
            return -WEIR_ECORRUPT;
        }
    }
    for (uint32_t s = 0; s < WEIR_TASK_STATE_MAX; s++) {
        if (count[s] != j->count[s]) {
            return bad(err, "a job's counts are not its tasks'", j->id);
        }
    }
    if (j->payer == NULL || j->class->limits != j->payer->limits) {
        return bad(err, "a job's class has other budgets than its payer", j->id);
    }
    uint32_t active = count[WEIR_TASK_STARTING] + count[WEIR_TASK_RUNNING] + count[WEIR_TASK_STOPPING];
    if (j->parallel_max != 0 && active > j->parallel_max) {
        return bad(err, "an array runs more than its limit", j->id);
    }
    bool final = weir_job_state_is_final((enum weir_job_state)j->state);
    if (final != (active == 0 && count[WEIR_TASK_WAITING] == 0)) {
        return bad(err, "a job's state is not its tasks'", j->id);
    }
    if (j->state == WEIR_JOB_RUNNING && active == 0) {
        return bad(err, "a job runs and none of its tasks does", j->id);
    }
    bool may = count[WEIR_TASK_WAITING] > 0 && (j->parallel_max == 0 || active < j->parallel_max);
    if (may != j->queued) {
        return bad(err, "a job is in the queue and should not be, or the other way round", j->id);
    }
    sums->gpu_tasks += j->class->want->gpus_min > 0 ? count[WEIR_TASK_WAITING] + active : 0;
    sums->waiting += count[WEIR_TASK_WAITING];
    sums->active += active;
    sums->jobs++;
    return 0;
}

static int check_queue(const struct weir_core *c, struct weir_err *err)
{
    for (size_t i = 0; i < c->levels.n; i++) {
        const struct level *l = c->levels.p[i];
        if (l->lane.n == 0 || (i > 0 && c->levels.p[i - 1]->points <= l->points)) {
            return bad(err, "levels are empty or out of order", i);
        }
        for (size_t k = 0; k < l->lane.n; k++) {
            const struct lane *lane = l->lane.p[k];
            uint64_t last = 0;
            for (size_t m = 0; m < lane->class.n; m++) {
                const struct class *cl = lane->class.p[m];
                const struct class_list *peers = &cl->peers->class;
                uint64_t n = 0;
                uint64_t id = 0;
                if (cl->first == NULL || cl->first->id <= last || cl->lane != lane ||
                    cl->points != l->points) {
                    return bad(err, "a class is empty or out of place", cl->shape->id);
                }
                last = cl->first->id;
                bool stands = false;
                for (size_t p = 0; p < peers->n; p++) {
                    stands = stands || (peers->p[p] == cl && peers->job[p] == last);
                }
                if (!stands || cl->head != last || lane->class.job[m] != last || cl->peers->want != cl->shape->want ||
                    cl->peers->head != peers->job[0]) {
                    return bad(err, "a class does not stand where its want does", last);
                }
                for (const struct job *j = cl->first; j != NULL; j = j->next) {
                    if (j->id <= id || j->class != cl) {
                        return bad(err, "jobs of a class are out of order", j->id);
                    }
                    id = j->id;
                    n += j->count[WEIR_TASK_WAITING];
                }
                if (n != cl->n_waiting || cl->last->id != id) {
                    return bad(err, "a class is miscounted", cl->shape->id);
                }
            }
        }
    }
    return 0;
}

static int check_lease(const struct weir_core *c, const struct lease *l, uint32_t *live, struct weir_err *err)
{
    if (weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_FINAL)) {
        return l->node == NULL ? 0 : bad(err, "a lease that is over has a node", l->id);
    }
    *live += weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_COUNTS);
    if (l->node == NULL || l->node->lease != l || node_find(c, l->node_id) != l->node) {
        return bad(err, "a lease and its node do not know each other", l->id);
    }
    if (l->node->metered != (l->confirmed_us != 0)) {
        return bad(err, "a rented node is metered though not confirmed, or the other way round", l->id);
    }
    if (l->state == WEIR_LEASE_READY && !l->node->joined) {
        return bad(err, "a lease is ready though its agent has not joined", l->id);
    }
    if (l->expires_us > lease_paid_until_us(l)) {
        return bad(err, "a lease expires later than what is held for it pays for", l->id);
    }
    bool early = l->state == WEIR_LEASE_INTENT || l->state == WEIR_LEASE_BOOTING;
    return early && l->node->joined ? bad(err, "a joined lease is still booting", l->id) : 0;
}

static int check_provider(const struct weir_core *c, uint32_t provider, struct weir_err *err)
{
    uint32_t asked = 0;
    uint32_t made = 0;
    for (size_t i = 0; i < c->leases.n; i++) {
        const struct lease *l = c->leases.p[i];
        if (l->provider == provider && !weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_FINAL)) {
            asked += l->confirmed_us == 0;
            made += l->confirmed_us != 0;
        }
    }
    const struct provider *p = &c->providers.p[provider];
    if (asked != p->asked || made != p->made) {
        return bad(err, "a provider's leases are miscounted", provider);
    }
    struct pace now = pace_anew(c, provider);
    bool same = now.limit == p->pace.limit && now.closed_us == p->pace.closed_us && now.closed_gang_us == p->pace.closed_gang_us &&
                now.shunned_us == p->pace.shunned_us && now.mute == p->pace.mute;
    return same || !c->paces_known || c->paces_us != c->now_us ? 0 : bad(err, "a provider's pace is not what follows from its leases", provider);
}

static int check_memory(const struct weir_core *c, struct weir_err *err)
{
    for (size_t i = 1; i < c->memory.n; i++) {
        const struct offer_memory *a = &c->memory.p[i - 1];
        const struct offer_memory *b = &c->memory.p[i];
        if (a->id > b->id || (a->id == b->id && a->lease <= b->lease)) {
            return bad(err, "what was refused is out of order", b->lease);
        }
    }
    return 0;
}

static int check_holds_pair(const struct weir_core *c, struct weir_err *err)
{
    size_t n = 0;
    for (const struct hold *h = c->hold_list; h != NULL; h = h->next) {
        n++;
        if (h->next != NULL && (h->next->id >= h->id || h->next->prev != h)) {
            return bad(err, "holds are out of order", h->id);
        }
        const struct run *r = run_find(c, (struct weir_run_id){h->task, h->attempt});
        bool has = r != NULL && r->hold == h;
        if (has != (h->state == WEIR_HOLD_ACTIVE)) {
            return bad(err, "a hold is active without an attempt", h->id);
        }
    }
    return n == c->n_holds ? 0 : bad(err, "holds are not counted right", n);
}

static int check_claims(const struct weir_core *c, struct weir_err *err)
{
    uint64_t on_nodes = 0;
    uint64_t parts = 0;
    for (size_t i = 0; i < c->nodes.n; i++) {
        on_nodes += c->nodes.p[i]->claims.n;
    }
    for (size_t g = 0; g < TYPE_BITS; g++) {
        if (c->claims[g].claim.n > 0 && (c->claimed >> g & 1u) == 0) {
            return bad(err, "claims are there that nobody would look at again", g);
        }
        for (size_t i = 0; i < c->claims[g].claim.n; i++) {
            const struct claim *cm = c->claims[g].claim.p[i];
            if (cm->stack != &c->claims[g] || cm->index != i) {
                return bad(err, "a claim is not where it says", i);
            }
            parts += cm->n_parts;
        }
    }
    return on_nodes == parts ? 0 : bad(err, "claims and nodes do not know each other", parts);
}

/* Of the machines that are reserved, those that are leased. */
static int check_reserved(const struct weir_core *c, struct weir_err *err)
{
    uint64_t counted = 0;
    uint64_t leased = 0;
    for (size_t i = 0; i < c->offers.n; i++) {
        counted += c->offers.p[i].leased;
        bool again = i > 0 && c->offers.p[i].o.id == c->offers.p[i - 1].o.id;
        for (size_t k = 0; k < c->leases.n && !again; k++) {
            const struct lease *l = c->leases.p[k];
            leased += l->offer.market == WEIR_OFFER_RESERVED && l->offer.id == c->offers.p[i].o.id &&
                      !weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_FINAL);
        }
    }
    return counted == leased ? 0 : bad(err, "leases of what is reserved are miscounted", leased);
}

/* What the machines of each plan cost. */
static int check_plans(const struct weir_core *c, struct weir_err *err)
{
    int64_t counted = 0;
    int64_t leased = 0;
    for (size_t i = 0; i < c->plans.n; i++) {
        int64_t used = 0;
        for (size_t k = 0; k < c->leases.n; k++) {
            const struct lease *l = c->leases.p[k];
            bool counts = l->offer.market == WEIR_OFFER_RESERVED && l->offer.plan == c->plans.p[i].plan && !weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_FINAL);
            used += counts ? l->offer.price_micro_per_hour : 0;
        }
        if (used != c->plans.p[i].micro_per_hour) {
            return bad(err, "what is used of a plan is miscounted", c->plans.p[i].plan);
        }
        counted += used;
    }
    for (size_t k = 0; k < c->leases.n; k++) {
        const struct weir_offer *o = &c->leases.p[k]->offer;
        bool counts = o->market == WEIR_OFFER_RESERVED && o->plan != 0 && !weir_sm_is(&weir_sm_lease, c->leases.p[k]->state, WEIR_SM_FINAL);
        leased += counts ? o->price_micro_per_hour : 0;
    }
    return counted == leased ? 0 : bad(err, "a plan that is used is not counted", (uint64_t)leased);
}

/* What is held in each budget, summed up from runs, machines and what is not settled yet. */
static int check_budget(const struct weir_core *c, const struct budget *b, struct weir_err *err)
{
    int64_t held = 0;
    for (size_t i = 0; i < c->unsettled.n; i++) {
        held += limits_count(c->unsettled.p[i].limits, b) ? c->unsettled.p[i].micro : 0;
    }
    for (size_t i = 0; i < c->leases.n; i++) {
        const struct lease *l = c->leases.p[i];
        held += l->node != NULL && limits_count(l->payer->limits, b) ? lease_held(l) : 0;
    }
    for (size_t i = 0; i < c->nodes.n; i++) {
        for (size_t k = 0; k < c->nodes.p[i]->runs.n; k++) {
            const struct run *r = c->nodes.p[i]->runs.p[k].run;
            uint32_t first = 0; /* a gang counts once, by its first rank that has not ended */
            while (r->rank[first].node == NULL) {
                first++;
            }
            held += c->nodes.p[i]->runs.p[k].rank == first && limits_count(r->pays, b) ? run_held(r) : 0;
        }
    }
    if (held != b->held_micro || b->charged_micro < 0) {
        return bad(err, "what a budget holds is not what runs and machines hold of it", b->id);
    }
    return 0;
}

/* What counts in each quota, summed up from runs and machines. */
static int check_quota(const struct weir_core *c, const struct quota *q, struct weir_err *err)
{
    struct quota sum = {.def = q->def};
    for (size_t i = 0; i < c->leases.n; i++) {
        const struct lease *l = c->leases.p[i];
        bool model = q->def.gpu_model == WEIR_GPU_MODEL_ANY || q->def.gpu_model == l->offer.gpu_model;
        sum.n += q->def.counts == WEIR_QUOTA_MACHINES && l->node != NULL && model && limits_have(l->payer->limits, q);
    }
    for (size_t i = 0; i < c->nodes.n && q->def.counts != WEIR_QUOTA_MACHINES; i++) {
        const struct node *node = c->nodes.p[i];
        for (size_t k = 0; k < node->runs.n; k++) {
            const struct run *r = node->runs.p[k].run;
            bool model = q->def.gpu_model == WEIR_GPU_MODEL_ANY || q->def.gpu_model == node->spec.gpu_model;
            int64_t n = model ? (int64_t)popcount32(r->rank[node->runs.p[k].rank].mask) : 0;
            n = q->def.counts == WEIR_QUOTA_TASKS ? node->runs.p[k].rank == run_first_rank(r) : n;
            if (limits_have(r->job->payer->limits, q)) {
                sum.n += n;
                sum.going += r->stop_us != 0 ? n : 0;
                sum.end_ms += (weir_i128)n * (r->hold->until_us / 1000);
                sum.from_ms += (weir_i128)n * (min_i64(max_i64(r->placed_us, q->from_us), r->hold->until_us) / 1000);
            }
        }
    }
    bool timed = weir_quota_is_timed((enum weir_quota_counts)q->def.counts);
    if (q->cohort != NULL && (sum.going != q->going || q->chosen != 0)) {
        return bad(err, "what is told to stop is miscounted in a quota", q->id);
    }
    if (sum.n != q->n || (timed && (sum.end_ms != q->end_ms || sum.from_ms != q->from_ms)) || q->used_ms < 0) {
        return bad(err, "what counts in a quota is not what runs and machines count", q->id);
    }
    return 0;
}

/* What its members count, and how many classes want what is their own. */
static int check_cohort(const struct weir_core *c, const struct cohort *k, struct weir_err *err)
{
    struct cohort sum = {0};
    uint64_t n_wants = 0;
    for (size_t i = 0; i < c->quotas.n; i++) {
        const struct quota *q = c->quotas.p[i];
        if (q->cohort == k) {
            sum.n += q->n;
            sum.going += q->going;
            sum.limit += q->def.limit;
            sum.n_wants += q->n_wants;
        }
    }
    for (size_t i = 0; i < c->limits.n; i++) {
        const struct limits *l = c->limits.p[i];
        for (size_t m = 0; m < l->class.n; m++) {
            for (size_t b = 0; b < l->quota.n && b < 64; b++) {
                n_wants += l->quota.p[b]->cohort == k && (l->class.p[m]->wants >> b & 1u) != 0;
            }
        }
    }
    bool same = sum.n == k->n && sum.going == k->going && sum.limit == k->limit && sum.n_wants == k->n_wants && n_wants == k->n_wants;
    return same ? 0 : bad(err, "what quotas share is miscounted", (uint64_t)k->gpu_model);
}

/* Parked is exactly who has no room. */
static int check_parked(const struct weir_core *c, const struct class *cl, struct weir_err *err)
{
    struct weir_core *same = (struct weir_core *)(uintptr_t)c; /* caches are brought up to date, no more */
    if (cl->wants != (cl->parked ? 0 : limits_wants(same, cl))) {
        return bad(err, "a class wants what is its own and is not known for it, or the other way round", cl->first->id);
    }
    if ((!cl->parked && limits_is_narrow(same, cl)) != cl->narrow) {
        return bad(err, "a class is narrow and should not be, or the other way round", cl->first->id);
    }
    if (limits_is_blocked(same, cl) != cl->parked) {
        return bad(err, "a class is parked and should not be, or the other way round", cl->first->id);
    }
    return 0;
}

static int check_limits(const struct weir_core *c, struct weir_err *err)
{
    for (size_t i = 0; i < c->limits.n; i++) {
        const struct limits *l = c->limits.p[i];
        uint32_t n = 0;
        for (size_t k = 0; k < c->leases.n; k++) {
            n += c->leases.p[k]->node != NULL && c->leases.p[k]->payer->limits == l;
        }
        if (n != l->n_leases) {
            return bad(err, "machines that budgets pay for are miscounted", i);
        }
        if (!parked_is_sound(&l->parked)) {
            return bad(err, "those who wait for room are not in order", i);
        }
        bool planned = c->active.n == 0 && !c->letting_in;
        for (size_t k = 0; k < l->parked.lane.n; k++) {
            struct parked_at at = {0};
            const struct class *cl = parked_each(l->parked.lane.p[k], &at);
            for (; cl != NULL; cl = parked_each(l->parked.lane.p[k], &at)) {
                if (cl->limits != l || cl->lane != NULL) {
                    return bad(err, "a parked class does not stand where its budgets do", cl->shape->id);
                }
                if (planned && check_parked(c, cl, err) < 0) {
                    return -WEIR_ECORRUPT;
                }
            }
        }
        for (size_t k = 0; k < l->class.n; k++) {
            const struct class *cl = l->class.p[k];
            if (cl->limits != l || cl->limits_at != k || cl->first == NULL || cl->parked || cl->lane == NULL) {
                return bad(err, "a class does not stand where its budgets do", cl->shape->id);
            }
            if (planned && check_parked(c, cl, err) < 0) {
                return -WEIR_ECORRUPT;
            }
        }
    }
    for (size_t i = 0; i < c->quotas.n; i++) {
        if (check_quota(c, c->quotas.p[i], err) < 0) {
            return -WEIR_ECORRUPT;
        }
    }
    for (size_t i = 0; i < c->cohorts.n; i++) {
        if (check_cohort(c, c->cohorts.p[i], err) < 0) {
            return -WEIR_ECORRUPT;
        }
    }
    for (size_t i = 0; i < c->payers.n; i++) {
        for (size_t k = 0; k < c->budgets.n; k++) {
            const struct budget *b = c->budgets.p[k];
            bool counts = b->def.scope == WEIR_BUDGET_ORGANISATION ||
                          (b->def.scope == WEIR_BUDGET_PROJECT && b->def.project.v == c->payers.p[i]->project) ||
                          (b->def.scope == WEIR_BUDGET_USER && b->def.user.v == c->payers.p[i]->user);
            if (b->def.scope != WEIR_BUDGET_TAG && counts != limits_count(c->payers.p[i]->limits, b)) {
                return bad(err, "a payer's budgets are not those of its scope", c->payers.p[i]->id);
            }
        }
    }
    return 0;
}

bool weir_core_check(const struct weir_core *c, struct weir_err *err)
{
    struct sums sums = {0};
    uint32_t live = 0;
    for (size_t i = 0; i < c->nodes.n; i++) {
        if ((i > 0 && c->nodes.p[i - 1]->spec.id.v >= c->nodes.p[i]->spec.id.v) ||
            check_node(c, c->nodes.p[i], err) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < c->types.n; i++) {
        if (check_type(c->types.p[i], err) < 0) {
            return false;
        }
    }
    for (const struct job_page *p = c->pages; p != NULL; p = p->next) {
        for (uint32_t i = 0; i < 1u << JOB_PAGE_BITS; i++) {
            if (p->job[i] != NULL && check_job(c, p->job[i], &sums, err) < 0) {
                return false;
            }
        }
    }
    uint32_t booting = 0;
    for (size_t i = 0; i < c->leases.n; i++) {
        if (check_lease(c, c->leases.p[i], &live, err) < 0) {
            return false;
        }
        booting += lease_boots(c->leases.p[i]);
    }
    if (sums.waiting != c->n_waiting || sums.active != c->n_running || sums.jobs != c->n_jobs) {
        (void)bad(err, "the sums over all jobs are wrong", sums.jobs);
        return false;
    }
    for (size_t i = 0; i < c->budgets.n; i++) {
        if (check_budget(c, c->budgets.p[i], err) < 0) {
            return false;
        }
    }
    for (uint32_t i = 0; i < c->providers.n; i++) {
        if (check_provider(c, i, err) < 0) {
            return false;
        }
    }
    int64_t spend = 0;
    for (size_t i = 0; i < c->leases.n; i++) {
        spend += weir_sm_is(&weir_sm_lease, c->leases.p[i]->state, WEIR_SM_COUNTS) ? lease_marginal(c->leases.p[i]) : 0;
    }
    if (spend != c->leases_micro_per_hour) {
        (void)bad(err, "what leases cost an hour is miscounted", (uint64_t)spend);
        return false;
    }
    if (live != c->leases_live || booting != c->leases_booting) {
        (void)bad(err, "live leases are miscounted", live);
        return false;
    }
    return check_memory(c, err) == 0 && check_reserved(c, err) == 0 && check_plans(c, err) == 0 && check_demand(c, sums.gpu_tasks, err) == 0 && check_queue(c, err) == 0 && check_holds_pair(c, err) == 0 && check_claims(c, err) == 0 &&
           check_limits(c, err) == 0 && check_provider_quotas(c, err) == 0;
}
