/* SPDX-License-Identifier: Apache-2.0 */

/* Closed months. All of them are held: there are twelve in a year. */

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

int engine_flush_closes(struct weir_engine *e, struct weir_err *err)
{
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

void engine_free_closes(struct weir_engine *e)
{
    for (size_t i = 0; i < e->closes.n; i++) {
        free(e->closes.p[i].zone);
        free(e->closes.p[i].who);
    }
    weir_vec_release(&e->closes);
    weir_vec_release(&e->closes_changed);
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
