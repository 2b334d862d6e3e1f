/* SPDX-License-Identifier: Apache-2.0 */
/* What an account may have of a provider of plain JSON calls: page by page, as prices are, but never kept: what is in use is of now. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/rest_priv.h"

enum { QUOTA_PAGES_MAX = 200 };

struct weir_rest_quotas {
    struct weir_provider *p;
    weir_provider_fn *done;
    void *ctx;
    unsigned pages;
    char page[WEIR_REST_URL_SIZE]; /* under way */
    char next[WEIR_REST_URL_SIZE];
    char text[256]; /* what did not come, of what others came without; "" */
    size_t mark;
    WEIR_VEC(struct weir_provider_quota) row;
};

int64_t weir_rest_count(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    double n = json_is_number(v) ? json_number_value(v) : -1.0;
    return n >= 0.0 && n < 1e15 ? (int64_t)n : -1;
}

void weir_rest_quotas_next(struct weir_rest_quotas *l, const char *page)
{
    (void)snprintf(l->next, sizeof l->next, "%s", page);
}

void weir_rest_quotas_mark(struct weir_rest_quotas *l)
{
    l->mark = l->row.n;
}

struct weir_provider_quota *weir_rest_quotas_marked(struct weir_rest_quotas *l, size_t *ret_n)
{
    *ret_n = l->row.n - l->mark;
    return *ret_n == 0 ? NULL : &l->row.p[l->mark];
}

void weir_rest_quotas_back(struct weir_rest_quotas *l)
{
    l->row.n = l->mark;
}

void weir_rest_quotas_add(struct weir_rest_quotas *l, const struct weir_provider_quota *q)
{
    if (q->limit >= 0 && q->used >= 0 && l->row.n < WEIR_PROVIDER_QUOTAS_MAX) {
        weir_vec_push(&l->row, *q);
    }
}

struct weir_provider_quota *weir_rest_quotas_find(struct weir_rest_quotas *l, const char *region, const char *name)
{
    for (size_t i = 0; i < l->row.n; i++) {
        if (weir_streq(l->row.p[i].region, region) && weir_streq(l->row.p[i].name, name)) {
            return &l->row.p[i];
        }
    }
    return NULL;
}

static void drop(void *ctx)
{
    struct weir_rest_quotas *l = ctx;
    weir_vec_release(&l->row);
    free(l);
}

static void end(struct weir_rest_quotas *l, const struct weir_provider_result *r)
{
    l->done(l->ctx, r);
    drop(l);
}

static void on_page(void *ctx, const struct weir_cloud_answer *a);

static void send_page(struct weir_rest_quotas *l, const char *page)
{
    struct weir_rest_request q = {.url = WEIR_STR_INIT(WEIR_REST_URL_SIZE), .body = WEIR_STR_INIT(WEIR_REST_BODY_BYTES_MAX)};
    (void)snprintf(l->page, sizeof l->page, "%s", page);
    l->p->ops->quota(l->p, page, &q);
    rest_send(l->p, &q, WEIR_CLOUD_READ, WEIR_CHECK_MS_MAX, on_page, drop, l);
    weir_str_release(&q.url);
    weir_str_release(&q.body);
}

/* What the page tells, or the failure. */
static void read_page(struct weir_rest_quotas *l, const struct weir_cloud_answer *a, struct weir_provider_result *r)
{
    struct weir_err err = {""};
    json_t *body = rest_body_of(a);
    int failed = body == NULL ? weir_fail(&err, -WEIR_EIO, "the answer about quotas is not JSON") : l->p->ops->on_quota(l->p, body, l, &err);
    json_decref(body);
    if (failed == 0 && l->next[0] != '\0' && ++l->pages >= QUOTA_PAGES_MAX) {
        failed = weir_fail(&err, -WEIR_ELIMIT, "the quotas have more than %d pages", QUOTA_PAGES_MAX);
    }
    if (failed < 0) {
        r->class = WEIR_PROVIDER_UNKNOWN;
        (void)snprintf(r->text, sizeof r->text, "%s: %.200s", l->p->contract->name, err.text);
    }
}

static void on_page(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_rest_quotas *l = ctx;
    struct weir_provider_result r = weir_cloud_result(a);
    l->next[0] = '\0';
    if (a->class == WEIR_PROVIDER_OK) {
        read_page(l, a, &r);
    }
    if (r.class != WEIR_PROVIDER_OK && l->p->ops->on_quota_failed != NULL && l->p->ops->on_quota_failed(l->p, l->page, l)) {
        memcpy(l->text, r.text, sizeof l->text);
        l->next[0] = '\0';
        r = (struct weir_provider_result){.class = WEIR_PROVIDER_OK};
    }
    if (r.class != WEIR_PROVIDER_OK) {
        end(l, &r);
    } else if (l->next[0] != '\0') {
        char page[sizeof l->next];
        memcpy(page, l->next, sizeof page);
        send_page(l, page);
    } else {
        r.quota = l->row.p;
        r.n_quotas = l->row.n;
        memcpy(r.text, l->text, sizeof r.text);
        end(l, &r);
    }
}

int weir_rest_quota(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    struct weir_rest_quotas *l = weir_alloc(sizeof *l);
    *l = (struct weir_rest_quotas){.p = p, .done = done, .ctx = ctx};
    send_page(l, "");
    return 0;
}
