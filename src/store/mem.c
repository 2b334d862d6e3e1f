/* SPDX-License-Identifier: Apache-2.0 */
/* The in-memory back end: tables, transactions, putting rows. */

#include "store/mem_priv.h"

#include <stdlib.h>

#include "base/mem.h"

/* ---- tables ---- */

static int key_order(struct mem_key a, struct mem_key b)
{
    if (a.a != b.a) {
        return a.a < b.a ? -1 : 1;
    }
    return (a.b > b.b) - (a.b < b.b);
}

static uint64_t key_hash(struct mem_key key)
{
    return weir_hash_bytes(&key, sizeof key);
}

/* The index of the row with that key; SIZE_MAX where absent, and then *ret_hash is where it would be put. */
static size_t find(const struct mem_table *t, struct mem_key key, uint64_t *ret_hash)
{
    uint64_t hash = key_hash(key);
    uint64_t at;
    while (weir_map_get(&t->by_key, hash, &at)) {
        if (key_order(t->rows.p[at].key, key) == 0) {
            return (size_t)at;
        }
        hash++;
    }
    *ret_hash = hash;
    return SIZE_MAX;
}

void *mem_get(const struct mem_table *t, struct mem_key key)
{
    uint64_t hash;
    size_t at = find(t, key, &hash);
    return at == SIZE_MAX ? NULL : t->rows.p[at].data;
}

static int row_order(const void *a, const void *b)
{
    return key_order(((const struct mem_row *)a)->key, ((const struct mem_row *)b)->key);
}

static void reindex(struct mem_table *t)
{
    weir_map_release(&t->by_key);
    for (size_t i = 0; i < t->rows.n; i++) {
        uint64_t hash = 0;
        (void)find(t, t->rows.p[i].key, &hash);
        weir_map_put(&t->by_key, hash, i);
    }
}

void mem_sort(struct mem_table *t)
{
    if (t->n_deleted > 64 && t->n_deleted > t->rows.n / 2) {
        size_t n = 0;
        for (size_t i = 0; i < t->rows.n; i++) {
            if (t->rows.p[i].data != NULL) {
                t->rows.p[n++] = t->rows.p[i];
            }
        }
        t->rows.n = n;
        t->n_deleted = 0;
        reindex(t);
    }
    if (t->unsorted) {
        qsort(t->rows.p, t->rows.n, sizeof *t->rows.p, row_order);
        reindex(t);
        t->unsorted = false;
    }
}

size_t mem_lower(const struct mem_table *t, struct mem_key key)
{
    size_t lo = 0;
    size_t hi = t->rows.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (key_order(t->rows.p[mid].key, key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Sets a row and hands back what was there. */
static void *swap_row(struct mem_table *t, struct mem_key key, void *data)
{
    uint64_t hash = 0;
    size_t at = find(t, key, &hash);
    if (at == SIZE_MAX) {
        if (data == NULL) {
            return NULL;
        }
        if (t->rows.n > 0 && key_order(t->rows.p[t->rows.n - 1].key, key) > 0) {
            t->unsorted = true;
        }
        weir_map_put(&t->by_key, hash, t->rows.n);
        weir_vec_push(&t->rows, (struct mem_row){key, data});
        return NULL;
    }
    void *old = t->rows.p[at].data;
    t->rows.p[at].data = data;
    t->n_deleted += (data == NULL) - (size_t)(old == NULL);
    return old;
}

void mem_put(struct mem_core *c, enum mem_table_id id, struct mem_key key, void *data)
{
    void *old = swap_row(&c->table[id], key, data);
    weir_vec_push(&c->undo, (struct mem_undo){id, key, old});
}

void *mem_copy(const void *fixed, size_t size, const size_t *offset, size_t n)
{
    size_t all = size;
    for (size_t i = 0; i < n; i++) {
        const char *s;
        memcpy(&s, (const char *)fixed + offset[i], sizeof s);
        all += (s == NULL ? 0 : strlen(s)) + 1;
    }
    char *p = weir_alloc(all);
    memcpy(p, fixed, size);
    char *tail = p + size;
    for (size_t i = 0; i < n; i++) {
        const char *s;
        memcpy(&s, (const char *)fixed + offset[i], sizeof s);
        size_t len = s == NULL ? 0 : strlen(s);
        if (len > 0) {
            memcpy(tail, s, len);
        }
        tail[len] = '\0';
        memcpy(p + offset[i], &tail, sizeof tail);
        tail += len + 1;
    }
    return p;
}

/* ---- transactions ---- */

static void free_explains(struct mem_core *c, size_t from)
{
    for (size_t i = from; i < c->explains.n; i++) {
        free((void *)(uintptr_t)c->explains.p[i].row.json);
    }
    c->explains.n = from;
}

static void free_events(struct mem_core *c, size_t from)
{
    for (size_t i = from; i < c->events.n; i++) {
        free((void *)(uintptr_t)c->events.p[i].row.kind);
    }
    c->events.n = from;
}

static void free_audits(struct mem_core *c, size_t from)
{
    for (size_t i = from; i < c->audits.n; i++) {
        free(c->audits.p[i]);
    }
    c->audits.n = from;
}

static int begin(struct weir_store *s, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = mem_of(s);
    (void)pthread_mutex_lock(&c->lock);
    WEIR_ASSERT(!c->in_tx);
    c->in_tx = true;
    c->tx_failed = 0;
    c->n_postings = c->postings.n;
    c->n_explains = c->explains.n;
    c->n_events = c->events.n;
    c->n_audits = c->audits.n;
    c->prune_events = 0;
    c->prune_explains = 0;
    c->prune_audits = 0;
    return 0;
}

static void rollback(struct weir_store *s)
{
    struct mem_core *c = mem_of(s);
    if (!c->in_tx) {
        return;
    }
    for (size_t i = c->undo.n; i > 0; i--) {
        struct mem_undo *u = &c->undo.p[i - 1];
        free(swap_row(&c->table[u->table], u->key, u->data));
    }
    weir_vec_clear(&c->undo);
    weir_vec_clear(&c->cost);
    c->postings.n = c->n_postings;
    free_explains(c, c->n_explains);
    free_events(c, c->n_events);
    free_audits(c, c->n_audits);
    c->in_tx = false;
    (void)pthread_mutex_unlock(&c->lock);
}

/* Postings may come before the rows that they are for: sums are brought up to date at the end. */
static void apply_costs(struct mem_core *c)
{
    for (size_t i = 0; i < c->cost.n; i++) {
        const struct weir_task_sum *k = &c->cost.p[i];
        struct mem_key job = {k->task.job.v, 0};
        struct mem_key task = {k->task.job.v, k->task.ordinal};
        struct mem_job *j = mem_get(&c->table[MEM_JOB], job);
        if (j != NULL) {
            j->cost_micro = weir_i64_add_sat(j->cost_micro, k->micro);
            weir_footprint_add(&j->footprint, &k->footprint);
        }
        struct weir_task_row *t = mem_get(&c->table[MEM_TASK], task);
        if (t != NULL) {
            t->cost_micro = weir_i64_add_sat(t->cost_micro, k->micro);
        }
    }
    weir_vec_clear(&c->cost);
}

static void apply_prune(struct mem_core *c)
{
    for (size_t i = 0; i < c->prune_events; i++) {
        free((void *)(uintptr_t)c->events.p[i].row.kind);
    }
    for (size_t i = 0; i < c->prune_explains; i++) {
        free((void *)(uintptr_t)c->explains.p[i].row.json);
    }
    for (size_t i = 0; i < c->prune_audits; i++) {
        free(c->audits.p[i]);
    }
    if (c->prune_audits > 0) {
        c->audits.n -= c->prune_audits;
        memmove(c->audits.p, c->audits.p + c->prune_audits, c->audits.n * sizeof *c->audits.p);
    }
    if (c->prune_events > 0) {
        c->events.n -= c->prune_events;
        memmove(c->events.p, c->events.p + c->prune_events, c->events.n * sizeof *c->events.p);
    }
    if (c->prune_explains > 0) {
        c->explains.n -= c->prune_explains;
        memmove(c->explains.p, c->explains.p + c->prune_explains, c->explains.n * sizeof *c->explains.p);
    }
}

static int commit(struct weir_store *s, struct weir_err *err)
{
    struct mem_core *c = mem_of(s);
    WEIR_ASSERT(c->in_tx);
    if (c->tx_failed != 0) {
        int r = c->tx_failed;
        if (err != NULL) {
            *err = c->tx_err;
        }
        rollback(s);
        return r;
    }
    apply_costs(c);
    apply_prune(c);
    for (size_t i = 0; i < c->undo.n; i++) {
        free(c->undo.p[i].data);
    }
    weir_vec_clear(&c->undo);
    c->in_tx = false;
    (void)pthread_mutex_unlock(&c->lock);
    return 0;
}

/* ---- putting ---- */

#define COPY(row, ...)                                                                             \
    mem_copy((row), sizeof *(row), (const size_t[]){__VA_ARGS__},                                  \
             WEIR_ARRAY_LEN(((const size_t[]){__VA_ARGS__})))

static void *copy_plain(const void *p, size_t size)
{
    return memcpy(weir_alloc(size), p, size);
}

static struct mem_core *writing(struct weir_store *s)
{
    struct mem_core *c = mem_of(s);
    WEIR_ASSERT(c->in_tx);
    return c;
}

static int put_meta(struct weir_store *s, const char *key, const char *value, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    mem_put(c, MEM_META, (struct mem_key){weir_intern(&c->strings, weir_sv_of(key)), 0}, weir_strdup(value));
    return 0;
}

static int put_project(struct weir_store *s, const struct weir_project_row *r, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_PROJECT, (struct mem_key){r->view.id.v, 0}, COPY(r, offsetof(struct weir_project_row, name)));
    return 0;
}

static int put_name(struct weir_store *s, enum mem_table_id id, const struct weir_name_row *r)
{
    struct weir_name_row row = *r;
    row.detail_json = row.detail_json == NULL ? "{}" : row.detail_json;
    mem_put(writing(s), id, (struct mem_key){r->id, 0},
            COPY(&row, offsetof(struct weir_name_row, name), offsetof(struct weir_name_row, detail_json)));
    return 0;
}

static int put_user(struct weir_store *s, const struct weir_name_row *r, struct weir_err *err)
{
    (void)err;
    return put_name(s, MEM_USER, r);
}

static int put_pool(struct weir_store *s, const struct weir_name_row *r, struct weir_err *err)
{
    (void)err;
    return put_name(s, MEM_POOL, r);
}

static int put_payer(struct weir_store *s, const struct weir_payer_view *v, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_PAYER, (struct mem_key){v->id.v, 0}, COPY(v, offsetof(struct weir_payer_view, tags)));
    return 0;
}

static int put_budget(struct weir_store *s, const struct weir_budget_view *v, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_BUDGET, (struct mem_key){v->id.v, 0}, copy_plain(v, sizeof *v));
    return 0;
}

static int delete_budget(struct weir_store *s, struct weir_budget_id id, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_BUDGET, (struct mem_key){id.v, 0}, NULL);
    return 0;
}

static int put_quota(struct weir_store *s, const struct weir_quota_row *r, struct weir_err *err)
{
    (void)err;
    struct weir_quota_row row = *r;
    row.view.def.gpu_model = WEIR_GPU_MODEL_ANY;
    row.project = NULL;
    row.user = NULL;
    mem_put(writing(s), MEM_QUOTA, (struct mem_key){r->view.id.v, 0}, COPY(&row, offsetof(struct weir_quota_row, gpu_model)));
    return 0;
}

static int delete_quota(struct weir_store *s, struct weir_quota_id id, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_QUOTA, (struct mem_key){id.v, 0}, NULL);
    return 0;
}

static int put_shape(struct weir_store *s, uint32_t shape, const char *json, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_SHAPE, (struct mem_key){shape, 0}, weir_strdup(json));
    return 0;
}

static int mark_shape(struct weir_store *s, uint32_t shape, bool impossible, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_IMPOSSIBLE, (struct mem_key){shape, 0}, impossible ? weir_strdup("") : NULL);
    return 0;
}

static int put_job(struct weir_store *s, const struct weir_job_row *r, struct weir_err *err)
{
    struct mem_core *c = writing(s);
    struct mem_key key = {r->view.id.v, 0};
    if (c->tx_failed == 0 && mem_get(&c->table[MEM_JOB], key) != NULL) {
        c->tx_failed = weir_fail(&c->tx_err, -WEIR_EEXISTS, "job %llu is already in the store",
                                 (unsigned long long)r->view.id.v);
    }
    if (c->tx_failed != 0) {
        if (err != NULL) {
            *err = c->tx_err;
        }
        return c->tx_failed;
    }
    struct weir_job_row row = *r;
    row.tags_json = row.tags_json == NULL ? "{}" : row.tags_json;
    row.spec_json = row.spec_json == NULL ? "{}" : row.spec_json;
    row.project = NULL;
    row.user = NULL;
    struct mem_job *j = weir_alloc(sizeof *j);
    j->view = r->view;
    mem_put(c, MEM_JOB, key, j);
    mem_put(c, MEM_JOB_TEXT, key,
            COPY(&row, offsetof(struct weir_job_row, name), offsetof(struct weir_job_row, tags_json),
                 offsetof(struct weir_job_row, spec_json)));
    return 0;
}

static int update_job(struct weir_store *s, const struct weir_job_view *v, struct weir_err *err)
{
    struct mem_core *c = writing(s);
    struct mem_key key = {v->id.v, 0};
    const struct mem_job *old = mem_get(&c->table[MEM_JOB], key);
    if (old == NULL) {
        return weir_fail(err, -WEIR_ENOTFOUND, "job %llu is not in the store", (unsigned long long)v->id.v);
    }
    struct mem_job *j = weir_alloc(sizeof *j);
    j->view = *v;
    /* what never changes */
    j->view.project = old->view.project;
    j->view.user = old->view.user;
    j->view.n_tasks = old->view.n_tasks;
    j->view.submitted = old->view.submitted;
    j->view.payer = old->view.payer;
    j->cost_micro = old->cost_micro;
    j->footprint = old->footprint;
    mem_put(c, MEM_JOB, key, j);
    return 0;
}

static int put_task(struct weir_store *s, const struct weir_task_row *r, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    struct mem_key key = {r->view.id.job.v, r->view.id.ordinal};
    const struct weir_task_row *old = mem_get(&c->table[MEM_TASK], key);
    const char *text = r->text != NULL ? r->text : old != NULL ? old->text : "";
    size_t n = r->view.gang_node == NULL || r->view.gang_mask == NULL || r->view.n_nodes <= 1 ? 0 : r->view.n_nodes;
    n = n > WEIR_GANG_NODES_MAX ? WEIR_GANG_NODES_MAX : n;
    size_t nodes_size = n * sizeof(struct weir_node_id);
    size_t masks_size = n * sizeof(uint32_t);
    size_t len = strlen(text) + 1;
    size_t states_size = r->view.gang_state == NULL ? 0 : n;
    char *p = weir_alloc(sizeof *r + nodes_size + masks_size + len + states_size);
    struct weir_task_row row = *r;
    row.view.gang_node = NULL;
    row.view.gang_mask = NULL;
    row.view.gang_state = NULL;
    if (n > 0) {
        row.view.n_nodes = (uint32_t)n;
        row.view.gang_node = memcpy(p + sizeof row, r->view.gang_node, nodes_size);
        row.view.gang_mask = memcpy(p + sizeof row + nodes_size, r->view.gang_mask, masks_size);
    }
    row.text = memcpy(p + sizeof row + nodes_size + masks_size, text, len);
    if (states_size > 0) {
        row.view.gang_state = memcpy(p + sizeof row + nodes_size + masks_size + len, r->view.gang_state, states_size);
    }
    row.cost_micro = old == NULL ? 0 : old->cost_micro;
    memcpy(p, &row, sizeof row);
    mem_put(c, MEM_TASK, key, p);
    return 0;
}

static int put_node(struct weir_store *s, const struct weir_node_row *r, struct weir_err *err)
{
    (void)err;
    struct weir_node_row row = *r;
    row.view.spec.gpu_model = WEIR_GPU_MODEL_ANY;
    row.detail_json = row.detail_json == NULL ? "{}" : row.detail_json;
    row.pool = NULL;
    mem_put(writing(s), MEM_NODE, (struct mem_key){r->view.spec.id.v, 0},
            COPY(&row, offsetof(struct weir_node_row, gpu_model), offsetof(struct weir_node_row, agent_id),
                 offsetof(struct weir_node_row, name), offsetof(struct weir_node_row, address),
                 offsetof(struct weir_node_row, detail_json)));
    return 0;
}

static int put_lease(struct weir_store *s, const struct weir_lease_row *r, struct weir_err *err)
{
    (void)err;
    struct weir_lease_row row = *r;
    row.view.offer.gpu_model = WEIR_GPU_MODEL_ANY;
    mem_put(writing(s), MEM_LEASE, (struct mem_key){r->view.id.v, 0},
            COPY(&row, offsetof(struct weir_lease_row, gpu_model), offsetof(struct weir_lease_row, text)));
    return 0;
}

static int put_hold(struct weir_store *s, const struct weir_hold_view *v, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_HOLD, (struct mem_key){v->id.v, 0}, copy_plain(v, sizeof *v));
    return 0;
}

/* Bills are read from the postings. */
static int prove_pages(struct weir_store *s, uint64_t after, uint64_t *ret_last, struct weir_err *err)
{
    (void)s;
    (void)after;
    (void)err;
    *ret_last = 0;
    return 0;
}

static int put_posting(struct weir_store *s, const struct weir_posting *p, struct weir_err *err)
{
    struct mem_core *c = writing(s);
    if (c->tx_failed == 0 && c->postings.n > 0 && c->postings.p[c->postings.n - 1].id >= p->id) {
        c->tx_failed = weir_fail(&c->tx_err, -WEIR_EEXISTS, "posting %llu is not after the last one",
                                 (unsigned long long)p->id);
    }
    if (c->tx_failed != 0) {
        if (err != NULL) {
            *err = c->tx_err;
        }
        return c->tx_failed;
    }
    weir_vec_push(&c->postings, *p);
    struct weir_task_sum sum;
    if (weir_posting_task_sum(p, &sum)) {
        weir_vec_push(&c->cost, sum);
    }
    return 0;
}

static int put_meter(struct weir_store *s, const struct weir_meter *m, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_METER, (struct mem_key){m->info.node.v, 0}, m->closed ? NULL : copy_plain(m, sizeof *m));
    return 0;
}

static int put_explain(struct weir_store *s, const struct weir_explain_row *r, struct weir_err *err)
{
    (void)err;
    struct mem_explain e = {*r};
    e.row.json = weir_strdup(r->json);
    weir_vec_push(&writing(s)->explains, e);
    return 0;
}

static int put_event(struct weir_store *s, const struct weir_event_row *r, struct weir_err *err)
{
    (void)err;
    struct mem_event e = {*r};
    const char *text = r->text == NULL ? "" : r->text;
    size_t kind_len = strlen(r->kind) + 1;
    size_t text_len = strlen(text) + 1;
    char *p = weir_alloc(kind_len + text_len);
    e.row.kind = memcpy(p, r->kind, kind_len);
    e.row.text = memcpy(p + kind_len, text, text_len);
    weir_vec_push(&writing(s)->events, e);
    return 0;
}

/* Released ones, the oldest first; the newest of all stays. */
static uint32_t prune_holds(struct mem_core *c, uint32_t limit)
{
    WEIR_VEC(struct mem_key) keys = {0};
    struct mem_table *t = &c->table[MEM_HOLD];
    mem_sort(t);
    for (size_t i = 0; i + 1 < t->rows.n && keys.n < limit; i++) {
        const struct weir_hold_view *v = t->rows.p[i].data;
        if (v != NULL && v->state == WEIR_HOLD_RELEASED) {
            weir_vec_push(&keys, t->rows.p[i].key);
        }
    }
    for (size_t i = 0; i < keys.n; i++) {
        mem_put(c, MEM_HOLD, keys.p[i], NULL);
    }
    uint32_t n = (uint32_t)keys.n;
    weir_vec_release(&keys);
    return n;
}

static int prune(struct weir_store *s, const struct weir_prune *p, uint32_t *ret_removed, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    size_t e = 0;
    while (e < p->limit && e + 1 < c->events.n && c->events.p[e].row.at.us < p->events_before.us) {
        e++;
    }
    size_t x = 0;
    while (x < p->limit && x < c->explains.n && c->explains.p[x].row.at.us < p->explains_before.us) {
        x++;
    }
    c->prune_events = e;
    c->prune_explains = x;
    size_t a = 0;
    while (a < p->limit && a + 1 < c->audits.n && c->audits.p[a]->at.us < p->audits_before.us) {
        a++;
    }
    c->prune_audits = a;
    *ret_removed = (uint32_t)(e + x + a) + prune_holds(c, p->limit);
    return 0;
}

static int put_effect(struct weir_store *s, const struct weir_effect_row *r, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_EFFECT, (struct mem_key){r->seq, r->number}, copy_plain(r, sizeof *r));
    return 0;
}

static int done_effect(struct weir_store *s, uint64_t seq, uint32_t number, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_EFFECT, (struct mem_key){seq, number}, NULL);
    return 0;
}

static int put_token(struct weir_store *s, const struct weir_token_row *r, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    mem_put(c, MEM_TOKEN, (struct mem_key){weir_intern(&c->strings, weir_sv_of(r->hash)), 0},
            COPY(r, offsetof(struct weir_token_row, name), offsetof(struct weir_token_row, role),
                 offsetof(struct weir_token_row, user), offsetof(struct weir_token_row, created_by),
                 offsetof(struct weir_token_row, projects)));
    return 0;
}

static int put_access(struct weir_store *s, const struct weir_access_row *r, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    mem_put(c, MEM_ACCESS, (struct mem_key){weir_intern(&c->strings, weir_sv_of(r->user)), 0},
            COPY(r, offsetof(struct weir_access_row, user), offsetof(struct weir_access_row, role),
                 offsetof(struct weir_access_row, projects_json)));
    return 0;
}

static int delete_access(struct weir_store *s, const char *user, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    mem_put(c, MEM_ACCESS, (struct mem_key){weir_intern(&c->strings, weir_sv_of(user)), 0}, NULL);
    return 0;
}

static struct mem_key document_key(struct mem_core *c, const char *kind, const char *name)
{
    return (struct mem_key){weir_intern(&c->strings, weir_sv_of(kind)), weir_intern(&c->strings, weir_sv_of(name))};
}

static int put_document(struct weir_store *s, const struct weir_document_row *r, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    mem_put(c, MEM_DOCUMENT, document_key(c, r->kind, r->name),
            COPY(r, offsetof(struct weir_document_row, kind), offsetof(struct weir_document_row, name), offsetof(struct weir_document_row, json)));
    return 0;
}

static int delete_document(struct weir_store *s, const char *kind, const char *name, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    mem_put(c, MEM_DOCUMENT, document_key(c, kind, name), NULL);
    return 0;
}

static int put_audit(struct weir_store *s, const struct weir_audit_row *r, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    struct weir_audit_row *row =
        COPY(r, offsetof(struct weir_audit_row, user), offsetof(struct weir_audit_row, role), offsetof(struct weir_audit_row, token),
             offsetof(struct weir_audit_row, peer), offsetof(struct weir_audit_row, action), offsetof(struct weir_audit_row, object),
             offsetof(struct weir_audit_row, before), offsetof(struct weir_audit_row, after));
    row->id = c->audits.n == 0 ? 1 : c->audits.p[c->audits.n - 1]->id + 1;
    weir_vec_push(&c->audits, row);
    return 0;
}

static int put_correction(struct weir_store *s, const struct weir_correction_row *r, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_CORRECTION, (struct mem_key){r->id, 0},
            COPY(r, offsetof(struct weir_correction_row, kind), offsetof(struct weir_correction_row, who),
                 offsetof(struct weir_correction_row, reason)));
    return 0;
}

static int put_rule(struct weir_store *s, const struct weir_rule_row *r, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_RULE, (struct mem_key){r->id, 0},
            COPY(r, offsetof(struct weir_rule_row, name), offsetof(struct weir_rule_row, kind), offsetof(struct weir_rule_row, body),
                 offsetof(struct weir_rule_row, who)));
    return 0;
}

static int put_close(struct weir_store *s, const struct weir_close_row *r, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_CLOSE, (struct mem_key){r->id, 0},
            COPY(r, offsetof(struct weir_close_row, zone), offsetof(struct weir_close_row, who)));
    return 0;
}

static int put_lease_price(struct weir_store *s, const struct weir_lease_price_row *r, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    struct weir_lease_price_row row = *r;
    row.price.number = 1;
    while (mem_get(&c->table[MEM_LEASE_PRICE], (struct mem_key){r->lease.v, row.price.number}) != NULL) {
        row.price.number++;
    }
    mem_put(c, MEM_LEASE_PRICE, (struct mem_key){r->lease.v, row.price.number}, copy_plain(&row, sizeof row));
    return 0;
}

static int put_invoice_line(struct weir_store *s, const struct weir_invoice_line_row *r, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_INVOICE_LINE, (struct mem_key){r->lease.v, r->line}, copy_plain(r, sizeof *r));
    return 0;
}

static int delete_token(struct weir_store *s, const char *hash, struct weir_err *err)
{
    (void)err;
    struct mem_core *c = writing(s);
    mem_put(c, MEM_TOKEN, (struct mem_key){weir_intern(&c->strings, weir_sv_of(hash)), 0}, NULL);
    return 0;
}

static int put_runtime(struct weir_store *s, uint64_t key, const struct weir_runtime_history *h, struct weir_err *err)
{
    (void)err;
    mem_put(writing(s), MEM_RUNTIME, (struct mem_key){key, 0}, copy_plain(h, sizeof *h));
    return 0;
}

/* ---- opening ---- */

static void core_free(struct mem_core *c)
{
    for (size_t t = 0; t < MEM_TABLES; t++) {
        for (size_t i = 0; i < c->table[t].rows.n; i++) {
            free(c->table[t].rows.p[i].data);
        }
        weir_vec_release(&c->table[t].rows);
        weir_map_release(&c->table[t].by_key);
    }
    free_explains(c, 0);
    free_events(c, 0);
    free_audits(c, 0);
    weir_vec_release(&c->audits);
    weir_vec_release(&c->postings);
    weir_vec_release(&c->explains);
    weir_vec_release(&c->events);
    weir_vec_release(&c->undo);
    weir_vec_release(&c->cost);
    weir_interner_release(&c->strings);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

static void mem_close(struct weir_store *s)
{
    struct mem_store *m = (struct mem_store *)(void *)s;
    if (m->writer) {
        rollback(s);
        core_free(m->core);
    }
    free(m);
}

static int reader(struct weir_store *s, struct weir_store **ret, struct weir_err *err)
{
    (void)err;
    struct mem_store *r = weir_alloc(sizeof *r);
    r->base.ops = &weir_mem_ops;
    r->core = mem_of(s);
    *ret = &r->base;
    return 0;
}

int weir_store_mem_open(struct weir_store **ret, struct weir_err *err)
{
    (void)err;
    struct mem_store *m = weir_alloc(sizeof *m);
    m->base.ops = &weir_mem_ops;
    m->core = weir_alloc(sizeof *m->core);
    m->writer = true;
    pthread_mutexattr_t attr;
    (void)pthread_mutexattr_init(&attr);
    (void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&m->core->lock, &attr);
    (void)pthread_mutexattr_destroy(&attr);
    *ret = &m->base;
    return 0;
}

const struct weir_store_ops weir_mem_ops = {
    .name = "mem",
    .close = mem_close,
    .reader = reader,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .put_meta = put_meta,
    .put_project = put_project,
    .put_user = put_user,
    .put_pool = put_pool,
    .put_payer = put_payer,
    .put_budget = put_budget,
    .delete_budget = delete_budget,
    .put_quota = put_quota,
    .delete_quota = delete_quota,
    .put_shape = put_shape,
    .mark_shape = mark_shape,
    .put_job = put_job,
    .update_job = update_job,
    .put_task = put_task,
    .put_node = put_node,
    .put_lease = put_lease,
    .put_hold = put_hold,
    .put_posting = put_posting,
    .put_correction = put_correction,
    .put_close = put_close,
    .put_rule = put_rule,
    .put_lease_price = put_lease_price,
    .put_invoice_line = put_invoice_line,
    .put_meter = put_meter,
    .put_explain = put_explain,
    .put_event = put_event,
    .put_effect = put_effect,
    .done_effect = done_effect,
    .put_token = put_token,
    .delete_token = delete_token,
    .put_access = put_access,
    .delete_access = delete_access,
    .put_document = put_document,
    .delete_document = delete_document,
    .put_audit = put_audit,
    .put_runtime = put_runtime,
    .prune = prune,
    .get_meta = weir_mem_get_meta,
    .each_project = weir_mem_each_project,
    .each_user = weir_mem_each_user,
    .each_pool = weir_mem_each_pool,
    .each_payer = weir_mem_each_payer,
    .each_budget = weir_mem_each_budget,
    .each_quota = weir_mem_each_quota,
    .each_shape = weir_mem_each_shape,
    .each_live_job = weir_mem_each_live_job,
    .each_live_task = weir_mem_each_live_task,
    .each_node = weir_mem_each_node,
    .each_lease = weir_mem_each_lease,
    .each_hold = weir_mem_each_hold,
    .each_meter = weir_mem_each_meter,
    .each_effect = weir_mem_each_effect,
    .each_token = weir_mem_each_token,
    .each_access = weir_mem_each_access,
    .each_document = weir_mem_each_document,
    .each_runtime = weir_mem_each_runtime,
    .each_posting = weir_mem_each_posting,
    .each_billed = weir_mem_each_billed,
    .each_correction = weir_mem_each_correction,
    .each_close = weir_mem_each_close,
    .each_rule = weir_mem_each_rule,
    .each_lease_price = weir_mem_each_lease_price,
    .get_lease = weir_mem_get_lease,
    .each_invoice_line = weir_mem_each_invoice_line,
    .first_posting = weir_mem_first_posting,
    .each_total = weir_mem_each_total,
    .run_posted = weir_mem_run_posted,
    .max_ids = weir_mem_max_ids,
    .get_job = weir_mem_get_job,
    .get_task = weir_mem_get_task,
    .list_jobs = weir_mem_list_jobs,
    .list_tasks = weir_mem_list_tasks,
    .count_nodes = weir_mem_count_nodes,
    .list_events = weir_mem_list_events,
    .list_audit = weir_mem_list_audit,
    .first_event = weir_mem_first_event,
    .list_explains = weir_mem_list_explains,
    .bill = weir_mem_bill,
    .prove_pages = prove_pages,
};
