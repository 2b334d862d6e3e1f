/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of the core: finding, making and forgetting them, and marking what changed. */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

/* ---- shapes ---- */

/* Of a request: how much there is to compare. The names of places, most of it, are nothing but zeros where none is given. */
static size_t request_size(const struct weir_request *r)
{
    return r->clouds == 0 && r->regions == 0 ? offsetof(struct weir_request, cloud) : sizeof *r;
}

/* Equal ones are of equal size. */
static bool request_is(const struct weir_request *a, const struct weir_request *b)
{
    return memcmp(a, b, request_size(a)) == 0;
}

static uint64_t request_hash(const struct weir_request *r)
{
    uint64_t word[sizeof *r / sizeof(uint64_t)];
    _Static_assert(sizeof word == sizeof *r, "a request is whole words");
    _Static_assert(offsetof(struct weir_request, cloud) % sizeof word[0] == 0, "and so is what stands before the names");
    size_t n = request_size(r);
    memcpy(word, r, n);
    return words_hash(word, n / sizeof word[0]);
}

static void shape_derive(struct weir_core *c, struct shape *s)
{
    const struct weir_request *r = &s->req;
    s->gpus_min = 0;
    s->throughput_ref = 1000;
    s->model_kind = WEIR_GPU_MODEL_ANY;
    for (uint32_t i = 0; i < r->alternatives; i++) {
        if (i == 0 || r->alternative[i].count < s->gpus_min) {
            s->gpus_min = r->alternative[i].count;
        }
    }
    if (r->alternatives > 0 && r->alternative[0].model != WEIR_GPU_MODEL_ANY) {
        const struct weir_gpu_model *m = weir_gpu_table_get(c->conf.gpus, r->alternative[0].model);
        s->throughput_ref = m->throughput_milli == 0 ? 1000 : m->throughput_milli;
        s->model_kind = r->alternative[0].model;
    } else if (r->alternatives == 0) {
        s->model_kind = WEIR_GPU_MODEL_ANY + 1u; /* CPUs only: a queue of its own */
    }
    int64_t e = r->expected.us;
    if (e <= 0) {
        e = r->max_duration.us / EXPECTED_UNKNOWN_DIVISOR;
    }
    s->expected_us = max_i64(min_i64(e, r->max_duration.us), WEIR_US_PER_S);
    /* tasks without GPUs count as if they had one; bounded, so that sums over all tasks stay far from overflow */
    static const int64_t most = 1000000000;
    int64_t gpus = s->gpus_min == 0 ? 1 : s->gpus_min;
    s->gpu_s = min_i64(weir_mul_div_sat(s->expected_us, gpus * r->nodes, WEIR_US_PER_S), most);
}

struct shape *shape_new(struct weir_core *c, uint32_t id, const struct weir_request *r)
{
    struct shape *s = weir_alloc(sizeof *s);
    s->id = id;
    s->req = *r;
    s->hash = request_hash(r);
    s->known = true;
    shape_derive(c, s);
    s->want = want_ref(c, &s->req, s->gpus_min);
    while (c->shapes.n <= id) {
        weir_vec_push(&c->shapes, NULL);
    }
    WEIR_ASSERT(c->shapes.p[id] == NULL);
    c->shapes.p[id] = s;
    uint64_t head = 0;
    if (weir_map_get(&c->shape_by_hash, s->hash, &head)) {
        s->hash_next = (struct shape *)(uintptr_t)head; /* NOLINT: maps carry pointers */
    }
    weir_map_put(&c->shape_by_hash, s->hash, (uint64_t)(uintptr_t)s);
    return s;
}

struct shape *shape_find(const struct weir_core *c, const struct weir_request *r)
{
    uint64_t head = 0;
    if (weir_map_get(&c->shape_by_hash, request_hash(r), &head)) {
        for (struct shape *s = (struct shape *)(uintptr_t)head; s != NULL; s = s->hash_next) {
            if (request_is(&s->req, r)) {
                return s;
            }
        }
    }
    return NULL;
}

struct shape *shape_intern(struct weir_core *c, const struct weir_request *r)
{
    struct shape *s = shape_find(c, r);
    if (s == NULL) {
        s = shape_new(c, (uint32_t)c->shapes.n, r);
        s->told = TOLD_POSSIBLE;
    }
    return s;
}

void shape_drop(struct weir_core *c, struct shape *s)
{
    WEIR_ASSERT(c->shapes.p[c->shapes.n - 1] == s);
    c->shapes.n--;
    if (s->hash_next != NULL) {
        weir_map_put(&c->shape_by_hash, s->hash, (uint64_t)(uintptr_t)s->hash_next);
    } else {
        (void)weir_map_remove(&c->shape_by_hash, s->hash);
    }
    want_unref(c, s->want, &s->req);
    shape_free(s);
}

void shape_free(struct shape *s)
{
    if (s == NULL) {
        return;
    }
    for (int i = 0; i < RANKINGS; i++) {
        free(s->ranking[i].p);
    }
    free(s);
}

/* ---- projects ---- */

static size_t project_place(const struct weir_core *c, uint32_t id)
{
    size_t lo = 0;
    size_t hi = c->projects.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->projects.p[mid]->id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct project *project_find(const struct weir_core *c, uint32_t id)
{
    size_t i = project_place(c, id);
    return i < c->projects.n && c->projects.p[i]->id == id ? c->projects.p[i] : NULL;
}

struct project *project_get(struct weir_core *c, uint32_t id)
{
    struct project *p = project_find(c, id);
    if (p != NULL) {
        return p;
    }
    size_t i = project_place(c, id);
    p = weir_alloc(sizeof *p);
    p->id = id;
    p->weight = 100;
    p->delay_cost = -1;
    p->share_us = INT64_MIN;
    weir_vec_push(&c->projects, p);
    memmove(&c->projects.p[i + 1], &c->projects.p[i],
            (c->projects.n - 1 - i) * sizeof *c->projects.p);
    c->projects.p[i] = p;
    return p;
}

void project_drop(struct weir_core *c, struct project *p)
{
    size_t i = project_place(c, p->id);
    WEIR_ASSERT(c->projects.p[i] == p && p->waiting == 0 && p->running == 0 && !p->changed);
    memmove(&c->projects.p[i], &c->projects.p[i + 1], (c->projects.n - i - 1) * sizeof *c->projects.p);
    c->projects.n--;
    free(p);
}

/* micro x 2^(-span / half_life), by the binary digits of the fraction. */
int64_t money_decay(int64_t micro, int64_t span_us, int64_t half_life_us)
{
    static const uint32_t root[] = {/* 2^(-1/2^i) x 2^32 */
                                    3037000500u, 3611622603u, 3938502376u, 4112874773u,
                                    4202935003u, 4248701965u, 4271771996u, 4283353945u,
                                    4289156690u, 4292061010u, 4293513907u, 4294240540u,
                                    4294603903u, 4294785595u, 4294876445u, 4294921870u};
    if (micro == 0 || span_us <= 0 || half_life_us <= 0) {
        return micro;
    }
    int64_t halves = span_us / half_life_us;
    if (halves >= 62) {
        return 0;
    }
    micro >>= halves;
    int64_t rest = span_us % half_life_us;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(root) && rest > 0; i++) {
        /* rest is compared with half_life / 2^(i+1) without losing digits */
        if (rest >= half_life_us - rest) {
            micro = (int64_t)((weir_i128)micro * root[i] >> 32);
            rest = rest - (half_life_us - rest);
        } else {
            rest *= 2;
        }
    }
    return micro;
}

static void project_decay(const struct weir_core *c, struct project *p)
{
    if (c->now_us > p->spent_us) {
        p->spent_micro =
            money_decay(p->spent_micro, c->now_us - p->spent_us, c->conf.fair_half_life.us);
        p->spent_us = c->now_us;
    }
}

void project_spend(struct weir_core *c, struct project *p, int64_t micro)
{
    project_decay(c, p);
    p->spent_micro = max_i64(weir_i64_add_sat(p->spent_micro, micro), 0);
    p->share_us = INT64_MIN;
    project_changed(c, p);
}

int64_t project_share_anew(struct weir_core *c, struct project *p)
{
    int64_t spent = money_decay(p->spent_micro, c->now_us - p->spent_us, c->conf.fair_half_life.us);
    p->share = weir_mul_div_sat(spent, 100, p->weight == 0 ? 1 : p->weight);
    p->share_us = c->now_us;
    return p->share;
}

/* ---- jobs ---- */

static struct job_page *job_page(const struct weir_core *c, uint64_t id)
{
    uint64_t number = id >> JOB_PAGE_BITS;
    struct job_page *known = c->page_known[number % JOB_PAGES_KNOWN];
    if (known != NULL && known->number == number) {
        return known;
    }
    uint64_t p = 0;
    return weir_map_get(&c->job_pages, number, &p) ? (struct job_page *)(uintptr_t)p : NULL;
}

struct job *job_find(const struct weir_core *c, uint64_t id)
{
    struct job_page *p = job_page(c, id);
    return p == NULL ? NULL : p->job[id & ((1u << JOB_PAGE_BITS) - 1)];
}

static size_t job_bytes(uint32_t n_tasks)
{
    return sizeof(struct job) + n_tasks * sizeof(struct task) + (n_tasks + 63u) / 64u * 8u;
}

struct job *job_new(struct weir_core *c, uint64_t id, uint32_t n_tasks)
{
    WEIR_ASSERT(job_find(c, id) == NULL);
    struct job *j = n_tasks == 1 ? weir_spares_alloc(&c->spare_jobs, job_bytes(1)) : weir_alloc(job_bytes(n_tasks));
    j->id = id;
    j->n_tasks = n_tasks;
    j->waiting = (uint64_t *)(void *)&j->task[n_tasks];
    struct job_page *p = job_page(c, id);
    if (p == NULL) {
        p = weir_alloc(sizeof *p);
        p->number = id >> JOB_PAGE_BITS;
        weir_map_put(&c->job_pages, p->number, (uint64_t)(uintptr_t)p);
        c->page_known[p->number % JOB_PAGES_KNOWN] = p;
        c->bytes_jobs += sizeof *p;
        p->next = c->pages;
        if (p->next != NULL) {
            p->next->prev = p;
        }
        c->pages = p;
    }
    p->job[id & ((1u << JOB_PAGE_BITS) - 1)] = j;
    p->n++;
    c->n_jobs++;
    c->bytes_jobs += job_bytes(n_tasks);
    return j;
}

void job_free(struct weir_core *c, struct job *j)
{
    struct job_page *p = job_page(c, j->id);
    WEIR_ASSERT(p != NULL);
    p->job[j->id & ((1u << JOB_PAGE_BITS) - 1)] = NULL;
    c->bytes_jobs -= job_bytes(j->n_tasks);
    if (--p->n == 0) {
        (void)weir_map_remove(&c->job_pages, p->number);
        if (c->page_known[p->number % JOB_PAGES_KNOWN] == p) {
            c->page_known[p->number % JOB_PAGES_KNOWN] = NULL;
        }
        if (p->next != NULL) {
            p->next->prev = p->prev;
        }
        if (p->prev != NULL) {
            p->prev->next = p->next;
        } else {
            c->pages = p->next;
        }
        free(p);
        c->bytes_jobs -= sizeof *p;
    }
    c->n_jobs--;
    WEIR_ASSERT(!j->queued);
    if (j->class != NULL) {
        class_unref(c, j->class);
    }
    if (j->n_tasks == 1) {
        weir_spares_give(&c->spare_jobs, j);
    } else {
        free(j);
    }
}

/* ---- runs and holds ---- */

void weir_core_fetch(const struct weir_core *c, struct weir_job_id job, bool with_run)
{
    const struct job *j = job_find(c, job.v);
    if (j == NULL) {
        return;
    }
    if (!with_run) {
        weir_fetch(j, sizeof *j + sizeof j->task[0]);
        return;
    }
    const struct run *r = j->task[0].run;
    weir_fetch(j->class, sizeof *j->class);
    if (r != NULL) {
        weir_fetch(r, sizeof *r + sizeof r->rank[0]);
    }
}

struct weir_run_id run_id(const struct run *r)
{
    return (struct weir_run_id){{{r->job->id}, r->ordinal}, r->attempt};
}

struct run *run_find(const struct weir_core *c, struct weir_run_id id)
{
    struct job *j = job_find(c, id.task.job.v);
    if (j == NULL || id.task.ordinal >= j->n_tasks) {
        return NULL;
    }
    struct run *r = j->task[id.task.ordinal].run;
    return r != NULL && r->attempt == id.attempt ? r : NULL;
}

struct run *run_new(struct weir_core *c, struct job *j, uint32_t ordinal, uint32_t n_ranks)
{
    size_t extra = n_ranks * (sizeof(struct weir_node_id) + sizeof(uint32_t) + 1);
    size_t bytes = sizeof(struct run) + n_ranks * sizeof(struct rank) + extra;
    struct run *r = n_ranks == 1 ? weir_spares_alloc(&c->spare_runs, bytes) : weir_alloc(bytes);
    r->job = j;
    r->ordinal = ordinal;
    r->n_ranks = n_ranks;
    r->gang_node = (struct weir_node_id *)(void *)&r->rank[n_ranks];
    r->gang_mask = (uint32_t *)(void *)&r->gang_node[n_ranks];
    r->gang_state = (uint8_t *)&r->gang_mask[n_ranks];
    return r;
}

void run_free(struct weir_core *c, struct run *r)
{
    if (r->n_ranks == 1) {
        weir_spares_give(&c->spare_runs, r);
    } else {
        free(r);
    }
}

struct hold *hold_find(const struct weir_core *c, uint64_t id)
{
    for (size_t i = 0; i < c->holds_changed.n; i++) {
        if (c->holds_changed.p[i]->id == id) {
            return c->holds_changed.p[i];
        }
    }
    struct hold *h = c->hold_list;
    while (h != NULL && h->id > id) {
        h = h->next;
    }
    return h != NULL && h->id == id ? h : NULL;
}

struct hold *hold_new(struct weir_core *c, const struct run *r, int64_t amount_micro)
{
    struct hold *h = weir_spares_alloc(&c->spare_holds, sizeof *h);
    h->id = c->next_hold++;
    h->task = run_id(r).task;
    h->attempt = r->attempt;
    h->project = r->job->class->project->id;
    h->amount_micro = amount_micro;
    h->state = WEIR_HOLD_ACTIVE;
    hold_list_add(c, h);
    hold_changed(c, h);
    return h;
}

void hold_list_add(struct weir_core *c, struct hold *h)
{
    struct hold *before = NULL;
    struct hold *after = c->hold_list;
    while (after != NULL && after->id > h->id) { /* only ever in a restore from an odd order */
        before = after;
        after = after->next;
    }
    h->prev = before;
    h->next = after;
    *(before == NULL ? &c->hold_list : &before->next) = h;
    if (after != NULL) {
        after->prev = h;
    }
    c->n_holds++;
}

static void hold_free(struct weir_core *c, struct hold *h)
{
    if (h->next != NULL) {
        h->next->prev = h->prev;
    }
    *(h->prev == NULL ? &c->hold_list : &h->prev->next) = h->next;
    c->n_holds--;
    weir_spares_give(&c->spare_holds, h);
}

void hold_release(struct weir_core *c, struct hold *h)
{
    weir_sm_move(&weir_sm_hold, &h->state, WEIR_HOLD_RELEASED, NULL, h);
    hold_changed(c, h);
}

/* ---- nodes and leases ---- */

size_t node_place(const struct weir_core *c, uint64_t id)
{
    size_t lo = 0;
    size_t hi = c->nodes.n;
    /* ids are given one after the other: where none has gone yet it stands by its number */
    if (id > 0 && id <= hi && c->nodes.p[id - 1]->spec.id.v == id) {
        return (size_t)id - 1;
    }
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->nodes.p[mid]->spec.id.v < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct node *node_find(const struct weir_core *c, uint64_t id)
{
    size_t i = node_place(c, id);
    return i < c->nodes.n && c->nodes.p[i]->spec.id.v == id ? c->nodes.p[i] : NULL;
}

static size_t lease_place(const struct weir_core *c, uint64_t id)
{
    size_t lo = 0;
    size_t hi = c->leases.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->leases.p[mid]->id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct lease *lease_find(const struct weir_core *c, uint64_t id)
{
    size_t i = lease_place(c, id);
    return i < c->leases.n && c->leases.p[i]->id == id ? c->leases.p[i] : NULL;
}

/* ---- what the step hands out ---- */

struct weir_effect *effect_add(struct weir_core *c, enum weir_effect_kind kind)
{
    weir_vec_push(&c->effects, (struct weir_effect){.kind = kind});
    struct weir_effect *e = &c->effects.p[c->effects.n - 1];
    e->number = (uint32_t)(c->effects.n - 1);
    e->at.us = c->now_us;
    return e;
}

struct weir_explain *explain_add(struct weir_core *c, enum weir_decision decision)
{
    weir_vec_reserve(&c->explains, c->explains.n + 1);
    struct weir_explain *x = &c->explains.p[c->explains.n++];
    memset(x, 0, sizeof *x);
    x->seq = c->seq;
    x->now.us = c->now_us;
    x->decision = (uint8_t)decision;
    x->margin_micro = INT64_MAX;
    return x;
}

void job_changed(struct weir_core *c, struct job *j)
{
    if (!j->changed) {
        j->changed = true;
        weir_vec_push(&c->ch_jobs, (struct weir_job_id){j->id});
    }
}

void task_changed(struct weir_core *c, struct job *j, uint32_t ordinal)
{
    struct task *t = &j->task[ordinal];
    if (!t->changed) {
        t->changed = 1;
        weir_vec_push(&c->ch_tasks, (struct weir_task_id){{j->id}, ordinal});
    }
}

void node_changed(struct weir_core *c, struct node *n)
{
    if (!n->changed) {
        n->changed = true;
        weir_vec_push(&c->ch_nodes, n->spec.id);
    }
}

void lease_changed(struct weir_core *c, struct lease *l)
{
    if (!l->changed) {
        l->changed = true;
        weir_vec_push(&c->ch_leases, (struct weir_lease_id){l->id});
    }
}

void hold_changed(struct weir_core *c, struct hold *h)
{
    if (!h->changed) {
        h->changed = true;
        weir_vec_push(&c->ch_holds, (struct weir_hold_id){h->id});
        weir_vec_push(&c->holds_changed, h);
    }
}

void project_changed(struct weir_core *c, struct project *p)
{
    if (!p->changed) {
        p->changed = true;
        weir_vec_push(&c->ch_projects, (struct weir_project_id){p->id});
    }
}

void shape_tell(struct weir_core *c, struct shape *s, bool impossible)
{
    uint8_t now = impossible ? TOLD_IMPOSSIBLE : TOLD_POSSIBLE;
    if (s->told != now && !s->changed) {
        s->changed = true;
        weir_vec_push(&c->ch_shapes, s->id);
    }
    s->told = now;
}

static void clear_jobs(struct weir_core *c)
{
    for (size_t i = 0; i < c->ch_tasks.n; i++) {
        struct job *j = job_find(c, c->ch_tasks.p[i].job.v);
        j->task[c->ch_tasks.p[i].ordinal].changed = 0;
    }
    weir_vec_clear(&c->ch_tasks);
    for (size_t i = 0; i < c->ch_jobs.n; i++) {
        struct job *j = job_find(c, c->ch_jobs.p[i].v);
        j->changed = false;
        if (weir_job_state_is_final((enum weir_job_state)j->state)) {
            job_free(c, j);
        }
    }
    weir_vec_clear(&c->ch_jobs);
}

static void clear_machines(struct weir_core *c)
{
    for (size_t i = 0; i < c->ch_leases.n; i++) {
        struct lease *l = lease_find(c, c->ch_leases.p[i].v);
        l->changed = false;
        if (weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_FINAL)) {
            size_t at = lease_place(c, l->id);
            memmove(&c->leases.p[at], &c->leases.p[at + 1],
                    (c->leases.n - at - 1) * sizeof *c->leases.p);
            c->leases.n--;
            WEIR_ASSERT(l->node == NULL);
            free(l);
        }
    }
    weir_vec_clear(&c->ch_leases);
    for (size_t i = 0; i < c->ch_nodes.n; i++) {
        struct node *n = node_find(c, c->ch_nodes.p[i].v);
        n->changed = false;
        if (n->state == WEIR_NODE_GONE) {
            node_free(c, n);
        }
    }
    weir_vec_clear(&c->ch_nodes);
}

void step_clear(struct weir_core *c)
{
    clear_jobs(c);
    clear_machines(c);
    for (size_t i = 0; i < c->holds_changed.n; i++) {
        struct hold *h = c->holds_changed.p[i];
        h->changed = false;
        if (h->state == WEIR_HOLD_RELEASED) {
            hold_free(c, h);
        }
    }
    weir_vec_clear(&c->ch_holds);
    weir_vec_clear(&c->holds_changed);
    for (size_t i = 0; i < c->ch_projects.n; i++) {
        project_find(c, c->ch_projects.p[i].v)->changed = false;
    }
    weir_vec_clear(&c->ch_projects);
    for (size_t i = 0; i < c->ch_shapes.n; i++) {
        c->shapes.p[c->ch_shapes.p[i]]->changed = false;
    }
    weir_vec_clear(&c->ch_shapes);
    budgets_clear_changed(c);
    quotas_clear_changed(c);
    weir_vec_clear(&c->effects);
    weir_vec_clear(&c->explains);
}
