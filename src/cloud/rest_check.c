/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at a provider of plain JSON calls: one authenticated list tells whether it answers, takes the key, lets us list, and what its
 * clock says. What more can be asked beforehand the provider's own part knows.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cloud/checks.h"
#include "cloud/rest_priv.h"

struct rest_check {
    struct weir_provider *p;
    weir_check_fn *done;
    void *ctx;
    unsigned step; /* of the reads, then of the provider's own */
    unsigned reads;
    struct weir_checks found;
};

static void drop(void *ctx)
{
    struct rest_check *c = ctx;
    weir_checks_release(&c->found);
    free(c);
}

static void end(struct rest_check *c)
{
    c->done(c->ctx, c->found.row.p, c->found.row.n);
    drop(c);
}

static void on_step(void *ctx, const struct weir_cloud_answer *a);

/* What is tried is read and thrown away: whether it may be is all that is asked. */
static void ask_read(struct weir_provider *p, const struct weir_rest_read *read, struct weir_rest_request *q)
{
    q->what = read->use;
    q->method = "GET";
    weir_str_addf(&q->url, "%s%s", p->ops->endpoint[0] == '\0' ? "" : p->conf.endpoint, read->path);
}

static void note_read(struct weir_provider *p, const struct weir_rest_read *read, const struct weir_cloud_answer *a, struct weir_checks *k)
{
    char remedy[256];
    if (a->status == 401 || a->status == 403) {
        (void)snprintf(remedy, sizeof remedy, "give the key %s; docs/guide/providers/%s.md says what weir needs", read->permission, p->contract->name);
        weir_checks_add(k, "permissions", read->is_needed ? WEIR_CHECK_FAILED : WEIR_CHECK_WARNING, remedy, "missing: %s, for %s: %s", read->permission, read->use,
                        a->text);
    } else if (a->class != WEIR_PROVIDER_OK) {
        weir_checks_add(k, "permissions", WEIR_CHECK_WARNING, "ask again in a minute", "whether the key has %s is not known: %s", read->permission, a->text);
    }
}

static bool has_row(const struct weir_checks *k, const char *name)
{
    for (size_t i = 0; i < k->row.n; i++) {
        if (weir_streq(k->row.p[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* That nothing is missing of what was tried; and what cannot be tried. */
static void sum_up(struct rest_check *c)
{
    const struct weir_rest_read *read = c->p->ops->reads;
    struct weir_str tried = WEIR_STR_INIT(400);
    for (unsigned i = 0; i < c->reads; i++) {
        weir_str_addf(&tried, "%s%s", i == 0 ? "" : ", ", read[i].permission);
    }
    if (c->reads > 0 && !has_row(&c->found, "permissions")) {
        weir_checks_add(&c->found, "permissions", WEIR_CHECK_OK, NULL, "the key has %s", weir_str_cstr(&tried));
    }
    if (c->p->ops->rights != NULL) {
        weir_checks_add(&c->found, "rights", WEIR_CHECK_UNKNOWN, NULL, "not checked: %s", c->p->ops->rights);
    }
    weir_str_release(&tried);
}

static void next_step(struct rest_check *c)
{
    struct weir_provider *p = c->p;
    struct weir_rest_request q = {.url = WEIR_STR_INIT(WEIR_REST_URL_SIZE), .body = WEIR_STR_INIT(WEIR_REST_BODY_BYTES_MAX)};
    if (c->step < c->reads) {
        ask_read(p, &p->ops->reads[c->step], &q);
    } else if (p->ops->check != NULL) {
        p->ops->check(p, c->step - c->reads, &q);
    }
    if (q.method != NULL) {
        rest_send(p, &q, WEIR_CLOUD_READ, WEIR_CHECK_MS_MAX, on_step, drop, c);
    }
    bool was_last = q.method == NULL;
    weir_str_release(&q.url);
    weir_str_release(&q.body);
    if (was_last) {
        sum_up(c);
        end(c);
    }
}

static void on_step(void *ctx, const struct weir_cloud_answer *a)
{
    struct rest_check *c = ctx;
    json_t *body = a->class == WEIR_PROVIDER_OK ? rest_body_of(a) : NULL;
    if (c->step < c->reads) {
        note_read(c->p, &c->p->ops->reads[c->step], a, &c->found);
    } else {
        c->p->ops->on_check(c->p, c->step - c->reads, a, body, &c->found);
    }
    json_decref(body);
    c->step++;
    next_step(c);
}

/* Where the provider's key is to be set. */
static void keys_of(const struct weir_provider *p, char *ret, size_t size)
{
    const char *name = p->contract->name;
    if (p->ops->key_env != NULL) {
        (void)snprintf(ret, size, "set %s, or the file of 'api_key_file' of providers.%s, to a key that is good, and start the broker anew", p->ops->key_env[0], name);
    } else {
        (void)snprintf(ret, size, "see that credentials are there and good, and that what hands them out answers: 'Credentials' in docs/guide/providers/%s.md", name);
    }
}

static void on_listed(void *ctx, const struct weir_cloud_answer *a)
{
    struct rest_check *c = ctx;
    struct weir_provider *p = c->p;
    const char *name = p->contract->name;
    char remedy[256];
    keys_of(p, remedy, sizeof remedy);
    if (!weir_checks_reach(&c->found, a, name, weir_clock_wall(p->env->clock), remedy)) {
        end(c);
        return;
    }
    json_t *body = a->class == WEIR_PROVIDER_OK ? rest_body_of(a) : NULL;
    if (body != NULL) {
        weir_checks_add(&c->found, "list", WEIR_CHECK_OK, NULL, "our machines may be listed");
    } else if (a->class == WEIR_PROVIDER_OK || a->class == WEIR_PROVIDER_UNKNOWN) {
        (void)snprintf(remedy, sizeof remedy, "see that 'endpoint' of providers.%s is %s's API, and nothing between answers in its place", name, name);
        weir_checks_add(&c->found, "list", WEIR_CHECK_FAILED, remedy, "%s", a->text[0] != '\0' ? a->text : "the answer is not one of its API");
    } else if (a->class == WEIR_PROVIDER_THROTTLED) {
        weir_checks_add(&c->found, "list", WEIR_CHECK_WARNING, "ask again in a minute", "%s", a->text);
    } else {
        (void)snprintf(remedy, sizeof remedy, "give the key the right to list, make and end machines; docs/guide/providers/%s.md says what weir needs", name);
        weir_checks_add(&c->found, "list", WEIR_CHECK_FAILED, remedy, "%s", a->text);
    }
    json_decref(body);
    next_step(c);
}

int weir_rest_check(struct weir_provider *p, weir_check_fn *done, void *ctx)
{
    struct rest_check *c = weir_alloc(sizeof *c);
    *c = (struct rest_check){.p = p, .done = done, .ctx = ctx};
    while (p->ops->reads != NULL && p->ops->reads[c->reads].path != NULL) {
        c->reads++;
    }
    struct weir_rest_request q = {.url = WEIR_STR_INIT(WEIR_REST_URL_SIZE), .body = WEIR_STR_INIT(WEIR_REST_BODY_BYTES_MAX)};
    p->ops->list(p, "", &q);
    rest_send(p, &q, WEIR_CLOUD_READ, WEIR_CHECK_MS_MAX, on_listed, drop, c);
    weir_str_release(&q.url);
    weir_str_release(&q.body);
    return 0;
}
