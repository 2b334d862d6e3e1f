/* SPDX-License-Identifier: Apache-2.0 */

#include "broker/offline.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/history.h"
#include "base/mem.h"
#include "broker_priv.h"

struct weir_offline {
    struct weir_store *store;
};

int weir_offline_open(struct weir_offline **ret, const char *data_dir, struct weir_err *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/" BROKER_DB_NAME, data_dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        return weir_fail(err, -WEIR_EINVAL, "the path of the data directory is too long");
    }
    struct weir_offline *o = weir_alloc(sizeof *o);
    int r = weir_store_sqlite_read(&o->store, path, err);
    if (r < 0) {
        free(o);
        return weir_fail_prefix(err, r, "--data is to be the data directory of a broker");
    }
    *ret = o;
    return 0;
}

void weir_offline_close(struct weir_offline *o)
{
    if (o != NULL) {
        weir_store_close(o->store);
        free(o);
    }
}

int weir_offline_history(struct weir_offline *o, struct weir_wall from, struct weir_wall to, uint32_t limit, uint64_t *cursor, struct weir_str *out,
                         struct weir_err *err)
{
    const struct weir_history_query q = {.from = from, .to = to.us == 0 ? WEIR_WALL_MAX : to, .limit = limit, .cursor = *cursor};
    return weir_history_page(o->store, &q, out, cursor, err);
}

struct count {
    uint64_t waiting;
    uint64_t last;
    uint32_t n;
};

static int on_job(void *ctx, const struct weir_job_row *row)
{
    struct count *c = ctx;
    c->waiting += row->view.count[WEIR_TASK_WAITING];
    c->last = row->view.id.v;
    c->n++;
    return 0;
}

int weir_offline_currency(struct weir_offline *o, char ret[static WEIR_CURRENCY_SIZE], struct weir_err *err)
{
    char text[16];
    int r = o->store->ops->get_meta(o->store, WEIR_META_CURRENCY, text, sizeof text, err);
    if (r == 0 || r == -WEIR_ENOTFOUND) { /* of a version that knew no other */
        (void)snprintf(ret, WEIR_CURRENCY_SIZE, "%.3s", r == 0 ? text : "USD");
        return 0;
    }
    return r;
}

int weir_offline_waiting(struct weir_offline *o, uint64_t *ret, struct weir_err *err)
{
    enum { JOBS_MAX = 1000 };
    struct count c = {.n = JOBS_MAX};
    int r = 0;
    while (c.n == JOBS_MAX && r == 0) {
        const struct weir_job_filter f = {.from = c.last + 1, .limit = JOBS_MAX};
        c.n = 0;
        r = o->store->ops->list_jobs(o->store, &f, on_job, &c, err);
    }
    *ret = c.waiting;
    return r;
}
