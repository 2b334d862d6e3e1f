/* SPDX-License-Identifier: Apache-2.0 */
/* The in-memory back end: scans and queries. They filter as they go; there are no indexes but the keys. */

#include "store/mem_priv.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/bill_agg.h"

enum { LIST_MAX = 1000 };

static void unlock(struct mem_core **c)
{
    (void)pthread_mutex_unlock(&(*c)->lock);
}

/* Declares c, locked until the end of the function. */
#define READING(s)                                                                                 \
    WEIR_CLEANUP(unlock) struct mem_core *c = mem_of(s);                                           \
    (void)pthread_mutex_lock(&c->lock)

/* A scan over a table in order of key. A non-zero result of the body ends it: body sets r. */
#define SCAN(t, i)                                                                                 \
    mem_sort(t);                                                                                   \
    for (size_t i = 0; i < (t)->rows.n && r == 0; i++)                                             \
        if ((t)->rows.p[i].data != NULL)

static uint32_t clamp_limit(uint32_t limit)
{
    return limit == 0 ? 1 : limit > LIST_MAX ? (uint32_t)LIST_MAX : limit;
}

static const char *name_in(const struct mem_core *c, enum mem_table_id id, uint64_t key)
{
    const void *row = mem_get(&c->table[id], (struct mem_key){key, 0});
    if (row == NULL) {
        return "";
    }
    return id == MEM_PROJECT ? ((const struct weir_project_row *)row)->name : ((const struct weir_name_row *)row)->name;
}

int weir_mem_get_meta(struct weir_store *s, const char *key, char *buf, size_t size, struct weir_err *err)
{
    READING(s);
    uint32_t id = weir_intern_find(&c->strings, weir_sv_of(key));
    const char *value = id == UINT32_MAX ? NULL : mem_get(&c->table[MEM_META], (struct mem_key){id, 0});
    if (value == NULL) {
        return weir_fail(err, -WEIR_ENOTFOUND, "the store has no value for '%s'", key);
    }
    size_t n = strlen(value);
    if (n >= size) {
        return weir_fail(err, -WEIR_ELIMIT, "value of '%s' is over %zu bytes", key, size);
    }
    memcpy(buf, value, n + 1);
    return 0;
}

int weir_mem_each_project(struct weir_store *s, weir_project_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_PROJECT];
    SCAN(t, i)
    {
        r = fn(ctx, t->rows.p[i].data);
    }
    return r;
}

static int each_name(struct weir_store *s, enum mem_table_id id, weir_name_row_fn *fn, void *ctx)
{
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[id];
    SCAN(t, i)
    {
        r = fn(ctx, t->rows.p[i].data);
    }
    return r;
}

int weir_mem_each_user(struct weir_store *s, weir_name_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    return each_name(s, MEM_USER, fn, ctx);
}

int weir_mem_each_pool(struct weir_store *s, weir_name_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    return each_name(s, MEM_POOL, fn, ctx);
}

int weir_mem_each_payer(struct weir_store *s, weir_payer_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_PAYER];
    SCAN(t, i)
    {
        r = fn(ctx, t->rows.p[i].data);
    }
    return r;
}

int weir_mem_each_budget(struct weir_store *s, weir_budget_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_BUDGET];
    SCAN(t, i)
    {
        struct weir_budget_row row = {.view = *(const struct weir_budget_view *)t->rows.p[i].data};
        row.project = name_in(c, MEM_PROJECT, row.view.def.project.v);
        row.user = name_in(c, MEM_USER, row.view.def.user.v);
        r = fn(ctx, &row);
    }
    return r;
}

int weir_mem_each_quota(struct weir_store *s, weir_quota_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_QUOTA];
    SCAN(t, i)
    {
        struct weir_quota_row row = *(const struct weir_quota_row *)t->rows.p[i].data;
        row.project = name_in(c, MEM_PROJECT, row.view.def.project.v);
        row.user = name_in(c, MEM_USER, row.view.def.user.v);
        r = fn(ctx, &row);
    }
    return r;
}

int weir_mem_each_shape(struct weir_store *s, weir_shape_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_SHAPE];
    SCAN(t, i)
    {
        r = fn(ctx, (uint32_t)t->rows.p[i].key.a, t->rows.p[i].data);
    }
    return r;
}

int weir_mem_each_live_job(struct weir_store *s, weir_job_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_JOB];
    SCAN(t, i)
    {
        const struct mem_job *j = t->rows.p[i].data;
        if (!weir_job_state_is_final(j->view.state)) {
            const struct weir_job_row *text = mem_get(&c->table[MEM_JOB_TEXT], (struct mem_key){j->view.id.v, 0});
            struct weir_job_row row = {
                .view = j->view, .name = text->name, .project = "", .user = "", .tags_json = "{}", .spec_json = "{}"};
            r = fn(ctx, &row);
        }
    }
    return r;
}

int weir_mem_each_live_task(struct weir_store *s, weir_task_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_TASK];
    SCAN(t, i)
    {
        const struct mem_job *j = mem_get(&c->table[MEM_JOB], (struct mem_key){t->rows.p[i].key.a, 0});
        if (j != NULL && !weir_job_state_is_final(j->view.state)) {
            struct weir_task_row row = *(const struct weir_task_row *)t->rows.p[i].data;
            row.node_name = "";
            row.pool = "";
            row.gpu_model = "";
            r = fn(ctx, &row);
        }
    }
    return r;
}

int weir_mem_each_node(struct weir_store *s, bool gone_too, weir_node_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_NODE];
    SCAN(t, i)
    {
        struct weir_node_row row = *(const struct weir_node_row *)t->rows.p[i].data;
        row.pool = name_in(c, MEM_POOL, row.view.spec.pool.v);
        if (gone_too || row.view.state != WEIR_NODE_GONE) {
            r = fn(ctx, &row);
        }
    }
    return r;
}

int weir_mem_each_lease(struct weir_store *s, bool ended_too, weir_lease_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_LEASE];
    SCAN(t, i)
    {
        const struct weir_lease_row *row = t->rows.p[i].data;
        if (ended_too || (row->view.state != WEIR_LEASE_ENDED && row->view.state != WEIR_LEASE_FAILED)) {
            r = fn(ctx, row);
        }
    }
    return r;
}

int weir_mem_get_lease(struct weir_store *s, struct weir_lease_id id, weir_lease_row_fn *fn, void *ctx, struct weir_err *err)
{
    READING(s);
    const struct weir_lease_row *row = mem_get(&c->table[MEM_LEASE], (struct mem_key){id.v, 0});
    return row == NULL ? weir_fail(err, -WEIR_ENOTFOUND, "no lease %" PRIu64, id.v) : fn(ctx, row);
}

int weir_mem_each_hold(struct weir_store *s, bool released_too, weir_hold_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_HOLD];
    SCAN(t, i)
    {
        const struct weir_hold_view *v = t->rows.p[i].data;
        if (released_too || v->state == WEIR_HOLD_ACTIVE) {
            r = fn(ctx, v);
        }
    }
    return r;
}

int weir_mem_each_meter(struct weir_store *s, weir_meter_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_METER];
    SCAN(t, i)
    {
        r = fn(ctx, t->rows.p[i].data);
    }
    return r;
}

int weir_mem_each_effect(struct weir_store *s, weir_effect_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_EFFECT];
    SCAN(t, i)
    {
        r = fn(ctx, t->rows.p[i].data);
    }
    return r;
}

int weir_mem_each_token(struct weir_store *s, weir_token_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_TOKEN];
    SCAN(t, i)
    {
        r = fn(ctx, t->rows.p[i].data);
    }
    return r;
}

static int access_order(const void *a, const void *b)
{
    return strcmp((*(const struct weir_access_row *const *)a)->user, (*(const struct weir_access_row *const *)b)->user);
}

int weir_mem_each_access(struct weir_store *s, weir_access_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_ACCESS];
    WEIR_VEC(const struct weir_access_row *) all = {0};
    SCAN(t, i)
    {
        weir_vec_push(&all, t->rows.p[i].data);
    }
    if (all.n > 0) {
        qsort(all.p, all.n, sizeof *all.p, access_order);
    }
    for (size_t i = 0; i < all.n && r == 0; i++) {
        r = fn(ctx, all.p[i]);
    }
    weir_vec_release(&all);
    return r;
}

static int document_order(const void *a, const void *b)
{
    return strcmp((*(const struct weir_document_row *const *)a)->name, (*(const struct weir_document_row *const *)b)->name);
}

int weir_mem_each_document(struct weir_store *s, const char *kind, weir_document_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_DOCUMENT];
    WEIR_VEC(const struct weir_document_row *) all = {0};
    SCAN(t, i)
    {
        const struct weir_document_row *row = t->rows.p[i].data;
        if (weir_streq(row->kind, kind)) {
            weir_vec_push(&all, row);
        }
    }
    if (all.n > 0) {
        qsort(all.p, all.n, sizeof *all.p, document_order);
    }
    for (size_t i = 0; i < all.n && r == 0; i++) {
        r = fn(ctx, all.p[i]);
    }
    weir_vec_release(&all);
    return r;
}

int weir_mem_each_runtime(struct weir_store *s, weir_runtime_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_RUNTIME];
    SCAN(t, i)
    {
        r = fn(ctx, t->rows.p[i].key.a, t->rows.p[i].data);
    }
    return r;
}

int weir_mem_each_correction(struct weir_store *s, uint64_t after_id, weir_correction_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_CORRECTION];
    SCAN(t, i)
    {
        const struct weir_correction_row *row = t->rows.p[i].data;
        r = row->id > after_id ? fn(ctx, row) : 0;
    }
    return r;
}

int weir_mem_each_rule(struct weir_store *s, weir_rule_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_RULE];
    SCAN(t, i)
    {
        r = fn(ctx, t->rows.p[i].data);
    }
    return r;
}

int weir_mem_each_close(struct weir_store *s, weir_close_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_CLOSE];
    SCAN(t, i)
    {
        r = fn(ctx, t->rows.p[i].data);
    }
    return r;
}

int weir_mem_each_lease_price(struct weir_store *s, struct weir_lease_id lease, uint64_t number, weir_lease_price_row_fn *fn, void *ctx,
                              struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_LEASE_PRICE];
    SCAN(t, i)
    {
        const struct mem_key *k = &t->rows.p[i].key;
        r = k->a > lease.v || (k->a == lease.v && k->b > number) ? fn(ctx, t->rows.p[i].data) : 0;
    }
    return r;
}

int weir_mem_each_invoice_line(struct weir_store *s,
                               struct weir_lease_id lease,
                               weir_invoice_line_row_fn *fn,
                               void *ctx,
                               struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    struct mem_table *t = &c->table[MEM_INVOICE_LINE];
    SCAN(t, i)
    {
        r = t->rows.p[i].key.a == lease.v ? fn(ctx, t->rows.p[i].data) : 0;
    }
    return r;
}

/* The place of the first posting for which the ledger has come so far. */
static size_t posting_place(const struct mem_core *c, uint64_t after_id, struct weir_wall t)
{
    size_t lo = 0;
    size_t hi = c->postings.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct weir_posting *p = &c->postings.p[mid];
        if (p->id <= after_id || p->at.us < t.us) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

int weir_mem_first_posting(struct weir_store *s, struct weir_wall t, uint64_t *ret, struct weir_err *err)
{
    (void)err;
    READING(s);
    size_t at = posting_place(c, 0, t);
    *ret = at < c->postings.n ? c->postings.p[at].id : at == 0 ? 1 : c->postings.p[at - 1].id + 1;
    return 0;
}

int weir_mem_each_posting(struct weir_store *s, uint64_t after_id, weir_posting_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    int r = 0;
    for (size_t i = posting_place(c, after_id, (struct weir_wall){INT64_MIN}); i < c->postings.n && r == 0; i++) {
        r = fn(ctx, &c->postings.p[i]);
    }
    return r;
}

int weir_mem_each_billed(struct weir_store *s, struct weir_wall from, weir_posting_row_fn *fn, void *ctx, struct weir_err *err)
{
    uint64_t first = 0;
    int r = weir_mem_first_posting(s, from, &first, err);
    return r < 0 ? r : weir_mem_each_posting(s, first > 0 ? first - 1 : 0, fn, ctx, err);
}

int weir_mem_run_posted(struct weir_store *s, struct weir_run_id run, struct weir_node_id node, struct weir_wall kept_until,
                        struct weir_run_posted *ret, struct weir_err *err)
{
    (void)err;
    READING(s);
    struct weir_run_posted sum = {0};
    for (size_t i = 0; i < c->postings.n; i++) {
        const struct weir_posting *p = &c->postings.p[i];
        if (!weir_run_id_eq(p->run, run) || p->node.v != node.v) {
            continue;
        }
        if (p->debit != WEIR_ACCOUNT_JOB && p->credit != WEIR_ACCOUNT_JOB) {
            continue;
        }
        int64_t a = p->debit == WEIR_ACCOUNT_JOB ? p->amount_micro : -p->amount_micro;
        sum.micro += a;
        sum.kept_micro += p->to.us <= kept_until.us ? a : 0;
        sum.until.us = p->to.us > sum.until.us ? p->to.us : sum.until.us;
        sum.lease = p->lease;
        sum.pool = p->pool;
    }
    *ret = sum;
    return 0;
}

struct total {
    uint32_t project;
    uint32_t pool;
    uint8_t account;
    int64_t micro;
    struct weir_footprint footprint;
};

static int total_order(const void *va, const void *vb)
{
    const struct total *a = va;
    const struct total *b = vb;
    if (a->project != b->project) {
        return a->project < b->project ? -1 : 1;
    }
    return a->pool != b->pool ? (a->pool < b->pool ? -1 : 1) : (int)a->account - (int)b->account;
}

int weir_mem_each_total(struct weir_store *s, weir_total_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    WEIR_VEC(struct total) all = {0};
    for (size_t i = 0; i < c->postings.n; i++) {
        const struct weir_posting *p = &c->postings.p[i];
        if (weir_account_is_use(p->debit) && weir_posting_total_counts(p)) {
            weir_vec_push(&all, (struct total){p->project.v, p->pool.v, p->debit, p->amount_micro, weir_posting_total(p, false)});
        }
        if (weir_account_is_use(p->credit) && weir_posting_total_counts(p)) {
            weir_vec_push(&all, (struct total){p->project.v, p->pool.v, p->credit, -p->amount_micro, weir_posting_total(p, true)});
        }
    }
    if (all.n > 0) {
        qsort(all.p, all.n, sizeof *all.p, total_order);
    }
    int r = 0;
    for (size_t i = 0; i < all.n && r == 0;) {
        struct total sum = all.p[i++];
        while (i < all.n && total_order(&all.p[i], &sum) == 0) {
            sum.micro += all.p[i].micro;
            weir_footprint_add(&sum.footprint, &all.p[i++].footprint);
        }
        const struct weir_project_row *project = mem_get(&c->table[MEM_PROJECT], (struct mem_key){sum.project, 0});
        const struct weir_name_row *pool = mem_get(&c->table[MEM_POOL], (struct mem_key){sum.pool, 0});
        struct weir_total_row row = {project == NULL ? "" : project->name, pool == NULL ? "" : pool->name,
                                     (enum weir_account)sum.account, sum.micro, sum.footprint};
        r = fn(ctx, &row);
    }
    weir_vec_release(&all);
    return r;
}

static uint64_t max_key(struct mem_table *t)
{
    uint64_t max = 0;
    for (size_t i = 0; i < t->rows.n; i++) {
        if (t->rows.p[i].data != NULL && t->rows.p[i].key.a > max) {
            max = t->rows.p[i].key.a;
        }
    }
    return max;
}

int weir_mem_max_ids(struct weir_store *s, uint64_t *job, uint64_t *node, uint64_t *lease, uint64_t *hold,
                     uint64_t *posting, uint64_t *event, struct weir_err *err)
{
    (void)err;
    READING(s);
    *job = max_key(&c->table[MEM_JOB]);
    *node = max_key(&c->table[MEM_NODE]);
    *lease = max_key(&c->table[MEM_LEASE]);
    *hold = max_key(&c->table[MEM_HOLD]);
    *posting = c->postings.n == 0 ? 0 : c->postings.p[c->postings.n - 1].id;
    *event = c->events.n == 0 ? 0 : c->events.p[c->events.n - 1].row.id;
    return 0;
}

/* ---- for people ---- */

static struct weir_job_row job_row(const struct mem_core *c, const struct mem_job *j)
{
    const struct weir_job_row *text = mem_get(&c->table[MEM_JOB_TEXT], (struct mem_key){j->view.id.v, 0});
    struct weir_job_row row = *text;
    row.view = j->view;
    row.cost_micro = j->cost_micro;
    row.footprint = j->footprint;
    row.project = name_in(c, MEM_PROJECT, j->view.project.v);
    row.user = name_in(c, MEM_USER, j->view.user.v);
    row.impossible = mem_get(&c->table[MEM_IMPOSSIBLE], (struct mem_key){j->view.shape, 0}) != NULL;
    return row;
}

int weir_mem_get_job(struct weir_store *s, struct weir_job_id id, weir_job_row_fn *fn, void *ctx, struct weir_err *err)
{
    READING(s);
    const struct mem_job *j = mem_get(&c->table[MEM_JOB], (struct mem_key){id.v, 0});
    if (j == NULL) {
        return weir_fail(err, -WEIR_ENOTFOUND, "there is no job %" PRIu64, id.v);
    }
    struct weir_job_row row = job_row(c, j);
    return fn(ctx, &row);
}

static struct weir_task_row task_row(const struct mem_core *c, const struct weir_task_row *t)
{
    struct weir_task_row row = *t;
    const struct weir_node_row *n = mem_get(&c->table[MEM_NODE], (struct mem_key){t->view.node.v, 0});
    row.node_name = n == NULL ? "" : n->name;
    row.pool = n == NULL ? "" : name_in(c, MEM_POOL, n->view.spec.pool.v);
    row.gpu_model = n == NULL ? "" : n->gpu_model;
    return row;
}

int weir_mem_get_task(struct weir_store *s, struct weir_task_id id, weir_task_row_fn *fn, void *ctx, struct weir_err *err)
{
    READING(s);
    const struct weir_task_row *t = mem_get(&c->table[MEM_TASK], (struct mem_key){id.job.v, id.ordinal});
    if (t == NULL) {
        return weir_fail(err, -WEIR_ENOTFOUND, "there is no row of task %" PRIu32 " of job %" PRIu64, id.ordinal, id.job.v);
    }
    struct weir_task_row row = task_row(c, t);
    return fn(ctx, &row);
}

static bool job_passes(const struct weir_job_filter *f, const struct weir_job_row *row)
{
    return (f->before == 0 || row->view.id.v < f->before) && row->view.id.v >= f->from &&
           (f->states == 0 || f->states & 1U << row->view.state) &&
           weir_project_set_has(f->within, row->view.project) && (f->project == NULL || weir_streq(f->project, row->project)) &&
           (f->user == NULL || weir_streq(f->user, row->user)) && (f->name == NULL || weir_streq(f->name, row->name));
}

int weir_mem_list_jobs(struct weir_store *s, const struct weir_job_filter *f, weir_job_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    struct mem_table *t = &c->table[MEM_JOB];
    mem_sort(t);
    uint32_t left = clamp_limit(f->limit);
    int r = 0;
    for (size_t i = 0; i < t->rows.n && r == 0 && left > 0; i++) {
        const struct mem_job *j = t->rows.p[f->from != 0 ? i : t->rows.n - 1 - i].data;
        if (j == NULL) {
            continue;
        }
        struct weir_job_row row = job_row(c, j);
        if (job_passes(f, &row)) {
            left--;
            r = fn(ctx, &row);
        }
    }
    return r;
}

int weir_mem_list_tasks(struct weir_store *s, const struct weir_task_filter *f, weir_task_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    struct mem_table *t = &c->table[MEM_TASK];
    mem_sort(t);
    uint32_t left = clamp_limit(f->limit);
    int r = 0;
    for (size_t i = mem_lower(t, (struct mem_key){f->job.v, f->from_ordinal});
         i < t->rows.n && t->rows.p[i].key.a == f->job.v && r == 0 && left > 0; i++) {
        const struct weir_task_row *have = t->rows.p[i].data;
        if (have != NULL && (f->states == 0 || f->states & 1U << have->view.state)) {
            struct weir_task_row row = task_row(c, have);
            left--;
            r = fn(ctx, &row);
        }
    }
    return r;
}

int weir_mem_count_nodes(struct weir_store *s, struct weir_job_id job, struct weir_node_id beside, uint32_t limit, uint32_t *ret, struct weir_err *err)
{
    (void)err;
    READING(s);
    struct mem_table *t = &c->table[MEM_TASK];
    mem_sort(t);
    struct weir_map seen = {0};
    uint32_t left = clamp_limit(limit);
    for (size_t i = mem_lower(t, (struct mem_key){job.v, 0}); i < t->rows.n && t->rows.p[i].key.a == job.v && left > 0; i++) {
        const struct weir_task_row *have = t->rows.p[i].data;
        left -= have != NULL ? 1 : 0;
        if (have != NULL && have->view.node.v != 0 && have->view.node.v != beside.v) {
            weir_map_put(&seen, have->view.node.v, 1);
        }
    }
    *ret = (uint32_t)seen.n;
    weir_map_release(&seen);
    return 0;
}

int weir_mem_list_events(struct weir_store *s, const struct weir_event_filter *f, uint64_t *ret_seen, bool *ret_more,
                         weir_event_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    uint32_t left = clamp_limit(f->limit);
    int r = 0;
    for (size_t i = 0; i < c->events.n && r == 0 && left > 0; i++) {
        const struct weir_event_row *row = &c->events.p[i].row;
        if (row->id <= f->after || (f->job.v != 0 && row->job.v != f->job.v)) {
            continue;
        }
        const struct mem_job *j = mem_get(&c->table[MEM_JOB], (struct mem_key){row->job.v, 0});
        *ret_seen = row->id;
        if (f->within == NULL || (j != NULL && weir_project_set_has(f->within, j->view.project))) {
            left--;
            r = fn(ctx, row);
        }
    }
    *ret_more = left == 0;
    return r;
}

int weir_mem_list_audit(struct weir_store *s, const struct weir_audit_filter *f, weir_audit_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    uint32_t left = clamp_limit(f->limit);
    int r = 0;
    for (size_t i = c->audits.n; i > 0 && r == 0 && left > 0; i--) {
        const struct weir_audit_row *row = c->audits.p[i - 1];
        if ((f->before == 0 || row->id < f->before) && row->at.us >= f->since.us) {
            left--;
            r = fn(ctx, row);
        }
    }
    return r;
}

int weir_mem_first_event(struct weir_store *s, uint64_t *ret, struct weir_err *err)
{
    (void)err;
    READING(s);
    *ret = c->events.n == 0 ? 0 : c->events.p[0].row.id;
    return 0;
}

int weir_mem_list_explains(struct weir_store *s, struct weir_task_id task, uint32_t limit, weir_explain_row_fn *fn,
                           void *ctx, struct weir_err *err)
{
    (void)err;
    READING(s);
    uint32_t left = clamp_limit(limit);
    int r = 0;
    for (size_t i = 0; i < c->explains.n && r == 0 && left > 0; i++) {
        const struct weir_explain_row *row = &c->explains.p[i].row;
        if (row->task.job.v == task.job.v &&
            (task.ordinal == (uint32_t)WEIR_ORDINAL_ALL || row->task.ordinal == task.ordinal)) {
            left--;
            r = fn(ctx, row);
        }
    }
    return r;
}

/* ---- the bill ---- */

struct bill {
    struct mem_core *c;
    struct weir_str text;
};

static int bill_name(void *ctx, enum weir_agg_lookup kind, uint64_t id, const char **ret, struct weir_err *err)
{
    (void)err;
    const struct bill *b = ctx;
    const struct weir_node_row *n = NULL;
    if (kind == WEIR_AGG_NODE || kind == WEIR_AGG_GPU_MODEL) {
        n = mem_get(&b->c->table[MEM_NODE], (struct mem_key){id, 0});
    }
    switch (kind) {
    case WEIR_AGG_PROJECT:
        *ret = name_in(b->c, MEM_PROJECT, id);
        return 0;
    case WEIR_AGG_USER:
        *ret = name_in(b->c, MEM_USER, id);
        return 0;
    case WEIR_AGG_POOL:
        *ret = name_in(b->c, MEM_POOL, id);
        return 0;
    case WEIR_AGG_NODE:
        *ret = n == NULL ? "" : n->name;
        return 0;
    case WEIR_AGG_GPU_MODEL:
        *ret = n == NULL ? "" : n->gpu_model;
        return 0;
    case WEIR_AGG_LOOKUP_MAX:
        break;
    }
    WEIR_UNREACHABLE();
}

static int bill_tag(void *ctx, struct weir_job_id job, const char *tag, const char **ret, struct weir_err *err)
{
    (void)err;
    struct bill *b = ctx;
    const struct weir_job_row *row = mem_get(&b->c->table[MEM_JOB_TEXT], (struct mem_key){job.v, 0});
    weir_str_clear(&b->text);
    json_t *tags = row == NULL ? NULL : json_loads(row->tags_json, 0, NULL);
    const json_t *v = json_object_get(tags, tag);
    if (json_is_string(v)) {
        weir_str_adds(&b->text, json_string_value(v));
    } else if (json_is_integer(v)) {
        weir_str_add_i64(&b->text, json_integer_value(v));
    } else if (json_is_boolean(v)) {
        weir_str_addc(&b->text, json_is_true(v) ? '1' : '0');
    }
    json_decref(tags);
    *ret = weir_str_cstr(&b->text);
    return 0;
}

int weir_mem_bill(struct weir_store *s, const struct weir_bill_filter *f, const enum weir_bill_by *by, const char *const *tag,
                  size_t n_by, weir_bill_row_fn *fn, void *ctx, struct weir_err *err)
{
    READING(s);
    struct bill b = {.c = c, .text = WEIR_STR_INIT(65536)};
    weir_close_vec closes = {0};
    struct weir_agg *agg = NULL;
    int r = weir_agg_read_closes(s, &closes, err);
    struct weir_agg_source source = {.ctx = &b, .name = bill_name, .tag = bill_tag, .closes = {closes.p, closes.n}};
    r = r < 0 ? r : weir_agg_new(&agg, f, by, tag, n_by, &source, err);
    for (size_t i = 0; i < c->postings.n && r == 0; i++) {
        const struct weir_posting *p = &c->postings.p[i];
        if ((f->job.v == 0 || p->run.task.job.v == f->job.v) && weir_project_set_has(f->within, p->project) &&
            (f->project == NULL || (p->project.v != 0 && weir_streq(f->project, name_in(c, MEM_PROJECT, p->project.v)))) &&
            (f->user == NULL || (p->user.v != 0 && weir_streq(f->user, name_in(c, MEM_USER, p->user.v))))) {
            r = weir_agg_add(agg, p, err);
        }
    }
    if (r == 0) {
        r = weir_agg_emit(agg, fn, ctx);
    }
    weir_agg_free(agg);
    weir_vec_release(&closes);
    weir_str_release(&b.text);
    return r;
}
