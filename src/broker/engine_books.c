/* SPDX-License-Identifier: Apache-2.0 */

/* Closed months, and rules of prices. All of them are held: there are a few in a year. */

#include <stdio.h>
#include <stdlib.h>

#include "engine_priv.h"

static struct gathered_close copy_of(const struct weir_close_row *row)
{
    return (struct gathered_close){.row = *row, .zone = weir_strdup(row->zone), .who = weir_strdup(row->who)};
}

int engine_restore_close(void *ctx, const struct weir_close_row *row)
{
    struct weir_engine *e = ctx;
    weir_vec_push(&e->closes, copy_of(row));
    return 0;
}

static struct gathered_rule copy_of_rule(const struct weir_rule_row *row)
{
    struct gathered_rule g = {.row = *row};
    g.row.name = weir_strdup(row->name);
    g.row.kind = weir_strdup(row->kind);
    g.row.body = weir_strdup(row->body);
    g.row.who = weir_strdup(row->who);
    return g;
}

int engine_restore_rule(void *ctx, const struct weir_rule_row *row)
{
    struct weir_engine *e = ctx;
    weir_vec_push(&e->rules, copy_of_rule(row));
    return 0;
}

int engine_flush_books(struct weir_engine *e, struct weir_err *err)
{
    for (size_t i = 0; i < e->rules_changed.n; i++) {
        int r = e->store->ops->put_rule(e->store, &e->rules.p[e->rules_changed.p[i]].row, err);
        if (r != 0) {
            return r;
        }
    }
    if (e->rated) {
        char text[24];
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)e->ratings);
        int r = e->store->ops->put_meta(e->store, WEIR_META_RATINGS, text, err);
        if (r != 0) {
            return r;
        }
    }
    for (size_t i = 0; i < e->closes_changed.n; i++) {
        const struct gathered_close *g = &e->closes.p[e->closes_changed.p[i]];
        struct weir_close_row row = g->row;
        row.zone = g->zone;
        row.who = g->who;
        int r = e->store->ops->put_close(e->store, &row, err);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

void engine_forget_books(struct weir_engine *e)
{
    weir_vec_clear(&e->closes_changed);
    weir_vec_clear(&e->rules_changed);
    e->rated = false;
}

/* Of a rule's own strings. */
static void free_text(const char *text)
{
    free((void *)(uintptr_t)text);
}

void engine_free_books(struct weir_engine *e)
{
    for (size_t i = 0; i < e->rules.n; i++) {
        const struct weir_rule_row *row = &e->rules.p[i].row;
        free_text(row->name);
        free_text(row->kind);
        free_text(row->body);
        free_text(row->who);
    }
    weir_vec_release(&e->rules);
    weir_vec_release(&e->rules_changed);
    for (size_t i = 0; i < e->closes.n; i++) {
        free(e->closes.p[i].zone);
        free(e->closes.p[i].who);
    }
    weir_vec_release(&e->closes);
    weir_vec_release(&e->closes_changed);
}

void weir_engine_proven(struct weir_engine *e, struct weir_lease_id lease, struct weir_wall at)
{
    struct weir_lease_view v;
    if (weir_core_lease(e->core, lease, &v)) {
        weir_bill_node_proven(e->bill, v.node, at);
    }
}

int weir_engine_close(struct weir_engine *e, struct weir_close_row *row, struct weir_err *err)
{
    const struct gathered_close *last = e->closes.n == 0 ? NULL : &e->closes.p[e->closes.n - 1];
    struct weir_wall now = weir_engine_now(e);
    if (last != NULL && row->close.from.us < last->row.close.to.us) {
        return weir_fail(err, -WEIR_EEXISTS, "%s is closed: what comes for it later is billed in a month that is open", row->month);
    }
    if (last != NULL && (row->close.from.us != last->row.close.to.us || !weir_streq(row->zone, last->zone))) {
        return weir_fail(err, -WEIR_ECONFLICT, "%s cannot be closed: the month after %s in %s comes first", row->month, last->row.month,
                         last->zone);
    }
    if (now.us < row->close.to.us) {
        return weir_fail(err, -WEIR_ECONFLICT, "%s is not over in %s: close it when it is", row->month, row->zone);
    }
    engine_reprice_rented(e, now);
    weir_bill_settle(e->bill, now, true);
    row->id = last == NULL ? 1 : last->row.id + 1;
    row->at = now;
    row->close.last_posting = weir_bill_last_posting(e->bill);
    weir_vec_push(&e->closes, copy_of(row));
    weir_vec_push(&e->closes_changed, e->closes.n - 1);
    e->dirty = true;
    return 0;
}

int weir_engine_seal(struct weir_engine *e, const struct weir_close_row *row, struct weir_err *err)
{
    for (size_t i = e->closes.n; i-- > 0;) {
        struct weir_close_row *have = &e->closes.p[i].row;
        if (have->id != row->id) {
            continue;
        }
        if (have->digest[0] != '\0') {
            return weir_fail(err, -WEIR_ECONFLICT, "%s was sealed meanwhile: 'weir bill closes' shows it", have->month);
        }
        have->sums = row->sums;
        memcpy(have->digest, row->digest, sizeof have->digest);
        weir_vec_push(&e->closes_changed, i);
        e->dirty = true;
        return 0;
    }
    return weir_fail(err, -WEIR_ENOTFOUND, "no month was closed as number %llu", (unsigned long long)row->id);
}

/* What is closed was rated by the rules of its time. */
static int check_open(const struct weir_engine *e, const char *name, struct weir_wall t, struct weir_err *err)
{
    const struct gathered_close *last = e->closes.n == 0 ? NULL : &e->closes.p[e->closes.n - 1];
    if (last != NULL && t.us < last->row.close.to.us) {
        char buf[WEIR_RFC3339_SIZE];
        return weir_fail(err, -WEIR_ECONFLICT, "rule '%s': %s is closed; it can begin or end from %s on", name, last->row.month,
                         weir_wall_format(last->row.close.to, buf));
    }
    return 0;
}

static struct gathered_rule *find_rule(struct weir_engine *e, const char *name)
{
    for (size_t i = e->rules.n; i-- > 0;) {
        if (weir_streq(e->rules.p[i].row.name, name)) {
            return &e->rules.p[i];
        }
    }
    return NULL;
}

int weir_engine_add_rule(struct weir_engine *e, struct weir_rule_row *row, struct weir_err *err)
{
    enum { RULES_MAX = 1000 };
    if (find_rule(e, row->name) != NULL) {
        return weir_fail(err, -WEIR_EEXISTS, "rule '%s' is there: rules never change, so end it, and add another by another name", row->name);
    }
    if (e->rules.n == RULES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "there are %d rules, the most that can be", RULES_MAX);
    }
    int r = check_open(e, row->name, row->from, err);
    if (r < 0) {
        return r;
    }
    row->id = e->rules.n + 1;
    row->at = weir_engine_now(e);
    weir_vec_push(&e->rules, copy_of_rule(row));
    weir_vec_push(&e->rules_changed, e->rules.n - 1);
    e->dirty = true;
    return 0;
}

int weir_engine_end_rule(struct weir_engine *e, const char *name, struct weir_wall at, struct weir_err *err)
{
    struct gathered_rule *g = find_rule(e, name);
    if (g == NULL) {
        return weir_fail(err, -WEIR_ENOTFOUND, "rule '%s' does not exist", name);
    }
    if (g->row.until.us != 0 && g->row.until.us <= at.us) {
        char buf[WEIR_RFC3339_SIZE];
        return weir_fail(err, -WEIR_ECONFLICT, "rule '%s' ends at %s as it is", name, weir_wall_format(g->row.until, buf));
    }
    at = at.us < g->row.from.us ? g->row.from : at; /* it never was in force */
    int r = check_open(e, name, at, err);
    if (r < 0) {
        return r;
    }
    g->row.until = at;
    weir_vec_push(&e->rules_changed, (size_t)(g - e->rules.p));
    e->dirty = true;
    return 0;
}

void weir_engine_each_rule(struct weir_engine *e, void (*fn)(void *ctx, const struct weir_rule_row *row), void *ctx)
{
    for (size_t i = 0; i < e->rules.n; i++) {
        fn(ctx, &e->rules.p[i].row);
    }
}

int weir_engine_price(struct weir_engine *e, uint64_t ratings, const struct weir_amendment *a, size_t n, struct weir_err *err)
{
    if (ratings != e->ratings) {
        return weir_fail(err, -WEIR_ECONFLICT, "prices were posted meanwhile: ask again");
    }
    weir_bill_price(e->bill, a, n, weir_engine_now(e));
    e->ratings++;
    e->rated = true;
    e->dirty = true;
    return 0;
}
