/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas: which counts whose work, what counts in them now, when the next span begins. What a task that is placed counts for
 * is known from its run and its hold, so that all of it can be counted anew; only the GPU time of what has ended is kept.
 * Who waits for them: limits.c.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

enum { RUN_DAYS_MAX = 36500 }; /* sums stay far from what an integer holds */

const char *weir_quota_counts_name(enum weir_quota_counts k)
{
    static const char *const names[] = {"gpus", "gpu-hours", "run-minutes", "machines", "tasks"};
    return (uint32_t)k < WEIR_QUOTA_COUNTS_MAX ? names[k] : "unknown";
}

bool weir_quota_is_timed(enum weir_quota_counts k)
{
    return k == WEIR_QUOTA_GPU_HOURS || k == WEIR_QUOTA_RUN_MINUTES;
}

static bool is_timed(const struct quota *q)
{
    return weir_quota_is_timed((enum weir_quota_counts)q->def.counts);
}

static void quota_changed(struct weir_core *c, struct quota *q)
{
    c->budgets_version++;
    if (!q->changed) {
        q->changed = true;
        weir_vec_push(&c->ch_quotas, (struct weir_quota_id){q->id});
    }
}

static int64_t ms_of(int64_t us)
{
    return us / 1000;
}

/* ---- what counts ---- */

static int64_t gpus_of(const struct quota *q, const struct rank *k)
{
    bool counts = k->node != NULL && (q->def.gpu_model == WEIR_GPU_MODEL_ANY || q->def.gpu_model == k->node->spec.gpu_model);
    return counts ? (int64_t)popcount32(k->mask) : 0;
}

int64_t quota_of_run(const struct quota *q, const struct run *r)
{
    int64_t n = 0;
    for (uint32_t k = 0; k < r->n_ranks; k++) {
        n += gpus_of(q, &r->rank[k]);
    }
    return n;
}

static int64_t from_us(const struct quota *q, const struct run *r)
{
    return min_i64(max_i64(r->placed_us, q->from_us), r->hold->until_us);
}

static void count_run(struct weir_core *c, const struct run *r, int sign)
{
    const struct limits *l = r->job->payer->limits;
    for (size_t i = 0; l != NULL && i < l->quota.n; i++) {
        struct quota *q = l->quota.p[i];
        int64_t n = q->def.counts == WEIR_QUOTA_TASKS ? 1 : q->def.counts == WEIR_QUOTA_MACHINES ? 0 : quota_of_run(q, r);
        if (n != 0) {
            cohort_count(q, sign * n, r->stop_us != 0 ? sign * n : 0);
            q->end_ms += (weir_i128)(sign * n) * ms_of(r->hold->until_us);
            q->from_ms += (weir_i128)(sign * n) * ms_of(from_us(q, r));
            quota_changed(c, q);
        }
    }
}

void quotas_count_run(struct weir_core *c, const struct run *r)
{
    count_run(c, r, 1);
}

void quotas_uncount_run(struct weir_core *c, const struct run *r)
{
    count_run(c, r, -1);
}

void quotas_use(struct weir_core *c, const struct run *r, uint32_t rank, int64_t at_us)
{
    const struct limits *l = r->job->payer->limits;
    for (size_t i = 0; l != NULL && i < l->quota.n; i++) {
        struct quota *q = l->quota.p[i];
        int64_t from = max_i64(r->placed_us, q->from_us);
        int64_t to = min_i64(at_us, q->until_us);
        if (q->def.counts == WEIR_QUOTA_GPU_HOURS && to > from) {
            q->used_ms = weir_i64_add_sat(q->used_ms, gpus_of(q, &r->rank[rank]) * (ms_of(to) - ms_of(from)));
            quota_changed(c, q);
        }
    }
}

void quotas_lease(struct weir_core *c, const struct lease *l, int sign)
{
    const struct limits *all = l->payer->limits;
    for (size_t i = 0; all != NULL && i < all->quota.n; i++) {
        struct quota *q = all->quota.p[i];
        if (q->def.counts == WEIR_QUOTA_MACHINES && (q->def.gpu_model == WEIR_GPU_MODEL_ANY || q->def.gpu_model == l->offer.gpu_model)) {
            cohort_count(q, sign, 0);
            quota_changed(c, q);
        }
    }
}

void quotas_recount(struct weir_core *c)
{
    for (size_t i = 0; i < c->quotas.n; i++) {
        cohort_count(c->quotas.p[i], -c->quotas.p[i]->n, -c->quotas.p[i]->going);
        c->quotas.p[i]->end_ms = 0;
        c->quotas.p[i]->from_ms = 0;
        quota_changed(c, c->quotas.p[i]);
    }
    for (size_t i = 0; c->quotas.n > 0 && i < c->leases.n; i++) {
        if (c->leases.p[i]->node != NULL) {
            quotas_lease(c, c->leases.p[i], 1);
        }
    }
    for (size_t i = 0; c->quotas.n > 0 && i < c->nodes.n; i++) {
        const struct node *n = c->nodes.p[i];
        for (size_t k = 0; k < n->runs.n; k++) {
            if (n->runs.p[k].rank == run_first_rank(n->runs.p[k].run)) {
                quotas_count_run(c, n->runs.p[k].run);
            }
        }
    }
}

/* ---- how long a run may last ---- */

static int64_t span_from_start_us(const struct weir_core *c, const struct shape *s)
{
    return min_i64(weir_i64_add_sat(s->req.max_duration.us, run_stop_span_us(c, s)), RUN_DAYS_MAX * WEIR_US_PER_DAY);
}

/* From when it is placed: the same at any time of day. */
static int64_t span_ms(const struct weir_core *c, const struct shape *s, bool boots)
{
    int64_t start = START_ALLOWANCE_S * WEIR_US_PER_S + (boots ? c->conf.boot_limit.us : 0);
    return ms_of(start + span_from_start_us(c, s) + 999);
}

int64_t quota_run_until_us(const struct weir_core *c, const struct shape *s, bool boots)
{
    return (ms_of(c->now_us) + span_ms(c, s, boots)) * 1000;
}

static bool run_is_timed(const struct run *r)
{
    return r->job->payer->limits != NULL && r->job->payer->limits->timed;
}

static void set_until(struct weir_core *c, struct run *r, int64_t until_us)
{
    quotas_uncount_run(c, r);
    r->hold->until_us = until_us;
    quotas_count_run(c, r);
    hold_changed(c, r->hold);
}

/* As its start, if it has started, makes it. */
static int64_t until_from_start(const struct weir_core *c, const struct run *r)
{
    return weir_i64_add_sat(r->started_us, span_from_start_us(c, r->job->class->shape));
}

/* Raises, or lowers, how long the run is held for; false, and nothing is changed, where a quota has no room for that. */
static bool move_until(struct weir_core *c, struct run *r, int64_t until_us)
{
    const struct limits *l = r->job->payer->limits;
    int64_t was = r->hold->until_us;
    bool over = false;
    set_until(c, r, until_us);
    for (size_t i = 0; until_us > was && i < l->quota.n; i++) {
        over = over || (is_timed(l->quota.p[i]) && quota_left(c, l->quota.p[i]) < 0);
    }
    if (over) {
        set_until(c, r, was);
    }
    return !over;
}

void quota_run_started(struct weir_core *c, struct run *r)
{
    if (!run_is_timed(r)) {
        return;
    }
    if (!move_until(c, r, until_from_start(c, r))) { /* told of after the time for it was over */
        (void)run_halt(c, r, WEIR_REASON_QUOTA);
    }
}

static bool is_to_start(const struct run *r)
{
    return r->started_us == 0 && r->stop_us == 0;
}

int64_t quota_run_due_us(const struct weir_core *c, const struct run *r)
{
    if (!run_is_timed(r)) {
        return US_NEVER;
    }
    return is_to_start(r) ? r->hold->until_us - span_from_start_us(c, r->job->class->shape) : r->hold->until_us;
}

bool quota_renew_run(struct weir_core *c, struct run *r)
{
    int64_t more = c->now_us - quota_run_due_us(c, r) + RENEWAL_S * WEIR_US_PER_S;
    int64_t until = weir_i64_add_sat(r->hold->until_us, more);
    if (is_to_start(r)) {
        return move_until(c, r, until);
    }
    set_until(c, r, until); /* its agent is late with its end */
    return true;
}

/* ---- asking ---- */

static int64_t quota_use(const struct weir_core *c, const struct quota *q)
{
    weir_i128 use = q->n;
    if (q->def.counts == WEIR_QUOTA_GPU_HOURS) {
        use = q->used_ms + q->end_ms - q->from_ms;
    } else if (q->def.counts == WEIR_QUOTA_RUN_MINUTES) {
        use = q->end_ms - (weir_i128)q->n * ms_of(c->now_us);
    }
    return use < 0 ? 0 : use > INT64_MAX ? INT64_MAX : (int64_t)use;
}

static bool quota_is_active(const struct weir_core *c, const struct quota *q)
{
    return q->from_us <= c->now_us && c->now_us < q->until_us;
}

int64_t quota_left_own(const struct weir_core *c, const struct quota *q)
{
    return quota_is_active(c, q) ? weir_i64_sub_sat(q->def.limit, quota_use(c, q)) : US_NEVER;
}

int64_t quota_left(const struct weir_core *c, const struct quota *q)
{
    int64_t own = quota_left_own(c, q);
    return q->cohort == NULL ? own : max_i64(own, cohort_left(q));
}

int64_t quota_left_now(const struct weir_core *c, const struct quota *q)
{
    int64_t own = quota_left_own(c, q);
    return q->cohort == NULL ? own : max_i64(min_i64(own, q->cohort->limit - q->cohort->n), cohort_left(q));
}

int64_t quota_need(const struct weir_core *c, const struct quota *q, const struct shape *s, uint16_t gpu_model, int64_t gpus, uint32_t machines, bool boots)
{
    bool counts = q->def.gpu_model == WEIR_GPU_MODEL_ANY || q->def.gpu_model == gpu_model;
    switch ((enum weir_quota_counts)q->def.counts) {
    case WEIR_QUOTA_GPUS:
        return counts ? gpus : 0;
    case WEIR_QUOTA_GPU_HOURS:
    case WEIR_QUOTA_RUN_MINUTES:
        return counts ? weir_mul_div_sat(gpus, span_ms(c, s, boots), 1) : 0;
    case WEIR_QUOTA_MACHINES:
        return counts ? machines : 0;
    case WEIR_QUOTA_TASKS:
        return 1;
    case WEIR_QUOTA_COUNTS_MAX:
        break;
    }
    return 0;
}

/* ---- setting, removing ---- */

struct quota *quota_find(const struct weir_core *c, uint32_t id)
{
    for (size_t i = 0; i < c->quotas.n; i++) {
        if (c->quotas.p[i]->id == id) {
            return c->quotas.p[i];
        }
    }
    return NULL;
}

static struct quota *quota_named(const struct weir_core *c, const char *name)
{
    for (size_t i = 0; i < c->quotas.n; i++) {
        if (weir_streq(c->quotas.p[i]->def.name, name)) {
            return c->quotas.p[i];
        }
    }
    return NULL;
}

int quota_check(const struct weir_core *c, const struct weir_quota *q, struct weir_err *err)
{
    if (memchr(q->name, 0, sizeof q->name) == NULL || q->name[0] == '\0' || memchr(q->tag, 0, sizeof q->tag) == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "quota: no name, or a text that does not end");
    }
    bool sane = q->scope < WEIR_BUDGET_SCOPE_MAX && q->counts < WEIR_QUOTA_COUNTS_MAX && q->span < WEIR_BUDGET_SPAN_MAX && q->limit >= 0 &&
                (q->scope != WEIR_BUDGET_TAG || q->tag[0] == '"') &&
                (q->gpu_model == WEIR_GPU_MODEL_ANY || (q->counts != WEIR_QUOTA_TASKS && q->gpu_model < weir_gpu_table_count(c->conf.gpus)));
    if (!sane) {
        return weir_fail(err, -WEIR_EINVAL, "quota '%s': its scope, its span, its limit, or what it counts is not one", q->name);
    }
    if (q->counts != WEIR_QUOTA_GPU_HOURS && q->span != WEIR_BUDGET_FOREVER) {
        return weir_fail(err, -WEIR_EINVAL, "quota '%s': only GPU-hours are counted by a span of time", q->name);
    }
    if (q->span == WEIR_BUDGET_FIXED && (q->from.us < 0 || q->until.us <= q->from.us)) {
        return weir_fail(err, -WEIR_EINVAL, "quota '%s': its span ends before it begins", q->name);
    }
    if (c->quotas.n >= WEIR_QUOTAS_MAX && quota_named(c, q->name) == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "quota '%s': there are %d already", q->name, WEIR_QUOTAS_MAX);
    }
    return cohort_check(c, q, err);
}

int64_t quota_due_us(const struct weir_core *c, const struct quota *q)
{
    return span_due_us(c, q->def.span, q->from_us, q->until_us);
}

static void timer_for_quota(struct weir_core *c, const struct quota *q)
{
    timer_add(c, (struct timer){quota_due_us(c, q), q->id, 0, 0, TIMER_QUOTA});
}

static void quota_span_at(const struct weir_core *c, struct quota *q)
{
    span_at(q->def.span, q->def.from, q->def.until, (struct weir_wall){c->now_us}, &q->from_us, &q->until_us);
}

void quota_look(struct weir_core *c, struct quota *q)
{
    if (c->now_us >= q->until_us && q->def.span != WEIR_BUDGET_FIXED) {
        quota_span_at(c, q);
        q->used_ms = 0;
        quotas_recount(c);
    }
    quota_changed(c, q);
    timer_for_quota(c, q);
}

static bool counts_the_same(const struct weir_quota *a, const struct weir_quota *b)
{
    return a->scope == b->scope && a->counts == b->counts && a->gpu_model == b->gpu_model && a->project.v == b->project.v && a->user.v == b->user.v &&
           weir_streq(a->tag, b->tag) && a->span == b->span && a->from.us == b->from.us && a->until.us == b->until.us;
}

/* What was of no matter to any quota before is brought up to date: how long each run may last. */
static void look_at_run(struct weir_core *c, struct run *r)
{
    int64_t until = r->hold->until_us;
    if (r->started_us != 0) {
        until = until_from_start(c, r);
    } else if (until == 0) { /* stored by a version without quotas */
        until = quota_run_until_us(c, r->job->class->shape, !r->rank[0].told);
    }
    if (until != r->hold->until_us) {
        r->hold->until_us = until;
        hold_changed(c, r->hold);
    }
    r->timer_us = 0;
    timer_for_run(c, r);
}

static void look_at_runs(struct weir_core *c)
{
    for (size_t i = 0; i < c->nodes.n; i++) {
        for (size_t k = 0; k < c->nodes.p[i]->runs.n; k++) {
            look_at_run(c, c->nodes.p[i]->runs.p[k].run);
        }
    }
}

void quota_set(struct weir_core *c, const struct weir_quota *def)
{
    struct quota *q = quota_named(c, def->name);
    bool same = q != NULL && counts_the_same(&q->def, def) && q->def.shares == def->shares;
    bool shared = def->shares || (q != NULL && q->def.shares);
    int64_t used_ms = q != NULL && counts_the_same(&q->def, def) ? q->used_ms : 0;
    if (q == NULL) {
        q = weir_alloc(sizeof *q);
        q->id = c->quotas.n == 0 ? 1 : c->quotas.p[c->quotas.n - 1]->id + 1;
        weir_vec_push(&c->quotas, q);
    }
    q->def = *def;
    if (!same) {
        quota_span_at(c, q);
        timer_for_quota(c, q);
        q->used_ms = used_ms;
        limits_rescope(c);
        look_at_runs(c);
        quotas_recount(c);
    }
    if (shared) {
        cohorts_make(c);
    }
    quota_changed(c, q);
    c->review = true; /* what had no room may have some now */
}

void quota_remove(struct weir_core *c, const char *name)
{
    struct quota *q = quota_named(c, name);
    if (q == NULL) {
        return;
    }
    quota_changed(c, q); /* while it is known: its id is handed out */
    c->review = true;
    size_t i = 0;
    while (c->quotas.p[i] != q) {
        i++;
    }
    memmove(&c->quotas.p[i], &c->quotas.p[i + 1], (c->quotas.n - i - 1) * sizeof *c->quotas.p);
    c->quotas.n--;
    limits_rescope(c);
    limits_forget(c, NULL, q);
    if (q->def.shares) {
        cohorts_make(c);
    }
    free(q);
}

/* ---- views, changes, restore ---- */

void quotas_clear_changed(struct weir_core *c)
{
    for (size_t i = 0; i < c->ch_quotas.n; i++) {
        struct quota *q = quota_find(c, c->ch_quotas.p[i].v);
        if (q != NULL) {
            q->changed = false;
        }
    }
    weir_vec_clear(&c->ch_quotas);
}

bool weir_core_quota(const struct weir_core *c, struct weir_quota_id id, struct weir_quota_view *ret)
{
    const struct quota *q = quota_find(c, id.v);
    if (q == NULL) {
        return false;
    }
    *ret = (struct weir_quota_view){.id = id,
                                    .def = q->def,
                                    .span_from = {q->from_us},
                                    .span_until = {q->until_us == US_NEVER ? 0 : q->until_us},
                                    .used_ms = q->used_ms,
                                    .n = q->n,
                                    .as_of = {c->now_us}};
    if (is_timed(q)) {
        ret->held_ms = weir_i64_sub_sat(quota_use(c, q), q->used_ms);
    }
    if (q->def.counts == WEIR_QUOTA_GPU_HOURS) {
        weir_i128 begun = (weir_i128)q->n * ms_of(c->now_us) - q->from_ms;
        ret->begun_ms = begun < 0 ? 0 : begun > ret->held_ms ? ret->held_ms : (int64_t)begun;
    }
    return true;
}

size_t weir_core_quotas(const struct weir_core *c, struct weir_quota_id *ret, size_t max)
{
    for (size_t i = 0; i < c->quotas.n && i < max; i++) {
        ret[i].v = c->quotas.p[i]->id;
    }
    return c->quotas.n;
}

int weir_core_restore_quota(struct weir_core *c, const struct weir_quota_view *v, struct weir_err *err)
{
    if (quota_check(c, &v->def, err) < 0) {
        return weir_fail_prefix(err, -WEIR_ECORRUPT, "quota %u", v->id.v);
    }
    uint32_t last = c->quotas.n == 0 ? 0 : c->quotas.p[c->quotas.n - 1]->id;
    if (v->id.v <= last || quota_named(c, v->def.name) != NULL || v->used_ms < 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "quota %u: stored twice, out of order, or less than nothing is used of it", v->id.v);
    }
    struct quota *q = weir_alloc(sizeof *q);
    q->id = v->id.v;
    q->def = v->def;
    q->from_us = v->span_from.us;
    q->until_us = v->span_until.us == 0 ? US_NEVER : v->span_until.us;
    q->used_ms = v->used_ms;
    weir_vec_push(&c->quotas, q);
    payers_restore_limits(c);
    return 0;
}

void quotas_settle_restored(struct weir_core *c)
{
    for (size_t i = 0; i < c->quotas.n; i++) {
        timer_for_quota(c, c->quotas.p[i]);
    }
    for (struct hold *h = c->hold_list; h != NULL; h = h->next) {
        struct run *r = h->until_us != 0 ? NULL : run_find(c, (struct weir_run_id){h->task, h->attempt});
        if (r != NULL && h->state == WEIR_HOLD_ACTIVE) {
            look_at_run(c, r);
        }
    }
    cohorts_make(c);
    quotas_recount(c);
}

void quotas_release(struct weir_core *c)
{
    for (size_t i = 0; i < c->quotas.n; i++) {
        free(c->quotas.p[i]);
    }
    cohorts_release(c);
    weir_vec_release(&c->quotas);
    weir_vec_release(&c->ch_quotas);
}
