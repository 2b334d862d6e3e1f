/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas of GPUs that share: each owns its limit, and what one does not use the others of its cohort may borrow. While a class of tasks
 * waits that may start within its owner's share, nobody borrows anew: what was stopped for it cannot come back before it.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

/* Of "key":"value" the key, quotation marks included. */
static size_t key_length(const char *tag)
{
    size_t i = 1;
    while (tag[i] != '\0' && tag[i] != '"') {
        i += tag[i] == '\\' && tag[i + 1] != '\0' ? 2 : 1;
    }
    return tag[i] == '"' ? i + 1 : i;
}

static bool is_of_cohort(const struct cohort *k, const struct weir_quota *q)
{
    bool key = q->scope != WEIR_BUDGET_TAG || (key_length(q->tag) == k->tag_n && memcmp(q->tag, k->tag, k->tag_n) == 0);
    return k->scope == q->scope && k->gpu_model == q->gpu_model && key;
}

static bool is_for_the_same(const struct weir_quota *a, const struct weir_quota *b)
{
    return a->scope == b->scope && a->gpu_model == b->gpu_model && a->project.v == b->project.v && a->user.v == b->user.v && weir_streq(a->tag, b->tag);
}

int cohort_check(const struct weir_core *c, const struct weir_quota *q, struct weir_err *err)
{
    if (!q->shares) {
        return 0;
    }
    if (q->counts != WEIR_QUOTA_GPUS || q->borrow_max < 0) {
        return weir_fail(err, -WEIR_EINVAL, "quota '%s': only quotas that count gpus lend and borrow; leave borrow out", q->name);
    }
    if (q->scope == WEIR_BUDGET_ORGANISATION) {
        return weir_fail(err, -WEIR_EINVAL, "quota '%s': the organisation has nobody to borrow of; give projects, users or values of a tag shares", q->name);
    }
    for (size_t i = 0; i < c->quotas.n; i++) {
        const struct weir_quota *x = &c->quotas.p[i]->def;
        if (x->shares && !weir_streq(x->name, q->name) && is_for_the_same(x, q)) {
            return weir_fail(err, -WEIR_EINVAL, "quota '%s': '%s' is a share of the same GPUs for the same work; change that one", q->name, x->name);
        }
    }
    return 0;
}

static struct cohort *cohort_get(struct weir_core *c, const struct quota *q)
{
    for (size_t i = 0; i < c->cohorts.n; i++) {
        if (is_of_cohort(c->cohorts.p[i], &q->def)) {
            return c->cohorts.p[i];
        }
    }
    struct cohort *k = weir_alloc(sizeof *k);
    *k = (struct cohort){.scope = q->def.scope, .gpu_model = q->def.gpu_model};
    if (q->def.scope == WEIR_BUDGET_TAG) {
        k->tag = q->def.tag;
        k->tag_n = key_length(q->def.tag);
    }
    weir_vec_push(&c->cohorts, k);
    return k;
}

void cohorts_release(struct weir_core *c)
{
    for (size_t i = 0; i < c->cohorts.n; i++) {
        free(c->cohorts.p[i]);
    }
    weir_vec_release(&c->cohorts);
}

void cohorts_make(struct weir_core *c)
{
    cohorts_release(c);
    for (size_t i = 0; i < c->quotas.n; i++) {
        struct quota *q = c->quotas.p[i];
        q->cohort = q->def.shares ? cohort_get(c, q) : NULL;
        if (q->cohort != NULL) {
            q->cohort->limit = weir_i64_add_sat(q->cohort->limit, q->def.limit);
            q->cohort->n += q->n;
            q->cohort->going += q->going;
            q->cohort->n_wants += q->n_wants;
        }
    }
    c->budgets_version++;
}

void cohort_count(struct quota *q, int64_t n, int64_t going)
{
    q->n += n;
    q->going += going;
    if (q->cohort != NULL) {
        q->cohort->n += n;
        q->cohort->going += going;
    }
}

static void count_wanting(struct weir_core *c, struct quota *q, bool more)
{
    if (more) {
        q->n_wants++;
    } else {
        q->n_wants--;
    }
    if (q->cohort != NULL && more) {
        q->cohort->n_wants++;
    } else if (q->cohort != NULL) {
        q->cohort->n_wants--;
        c->eased = c->eased || q->cohort->n_wants == 0;
    }
}

void cohort_want(struct weir_core *c, struct class *cl, uint64_t wants)
{
    uint64_t changed = cl->wants ^ wants;
    if (changed == 0) {
        return;
    }
    for (size_t i = 0; i < cl->limits->quota.n && i < 64; i++) {
        if ((changed >> i & 1u) != 0) {
            count_wanting(c, cl->limits->quota.p[i], (wants >> i & 1u) != 0);
        }
    }
    if (cl->wants == 0) {
        cl->limits->n_wants++;
    } else if (wants == 0) {
        cl->limits->n_wants--;
    }
    cl->wants = wants;
    c->budgets_version++; /* others may borrow again, or may not */
}

int64_t cohort_left(const struct quota *q)
{
    const struct cohort *k = q->cohort;
    if (k->n_wants > 0) {
        return -1;
    }
    int64_t more = weir_i64_sub_sat(weir_i64_add_sat(q->def.limit, q->def.borrow_max), q->n);
    return min_i64(more, k->limit - k->n);
}

bool cohort_shields(const struct class *cl, const struct run *r)
{
    const struct limits *mine = cl->limits;
    const struct limits *theirs = r->job->payer->limits;
    bool shields = false;
    if (mine == NULL || theirs == NULL || !mine->shares || cl->wants != 0) {
        return false;
    }
    for (size_t i = 0; i < mine->quota.n; i++) {
        for (size_t k = 0; k < theirs->quota.n && mine->quota.p[i]->cohort != NULL; k++) {
            shields = shields || theirs->quota.p[k]->cohort == mine->quota.p[i]->cohort;
        }
    }
    return shields;
}
