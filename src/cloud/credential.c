/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/credential.h"

#include <string.h>

#include "base/vec.h"

/* How long after a refresh that failed the old one is used without trying again. */
#define RETRY_AFTER weir_dur_s(30)

struct waiter {
    weir_credential_ready_fn *ready;
    void *ctx;
};

struct weir_credential {
    const struct weir_clock *clock;
    struct weir_dur before;
    weir_credential_fetch_fn *fetch;
    void *ctx;
    struct weir_wall expires; /* 0: there is none */
    struct weir_wall tried;   /* of the last that failed */
    uint64_t generation;      /* of the one that is there; the next one's is one more */
    bool busy;
    WEIR_VEC(struct waiter) waiters;
};

struct weir_credential *weir_credential_new(const struct weir_clock *clock, struct weir_dur before, weir_credential_fetch_fn *fetch, void *ctx)
{
    struct weir_credential *c = weir_alloc(sizeof *c);
    c->clock = clock;
    c->before = before;
    c->fetch = fetch;
    c->ctx = ctx;
    return c;
}

void weir_credential_free(struct weir_credential *c)
{
    if (c != NULL) {
        weir_vec_release(&c->waiters);
        free(c);
    }
}

static void tell(struct weir_credential *c, enum weir_provider_class class, const char *text)
{
    /* Who is told may ask again, which waits for the next, or have others forgotten. */
    for (size_t n = c->waiters.n; n > 0; n--) {
        struct waiter w = c->waiters.p[0];
        c->waiters.n--;
        memmove(c->waiters.p, c->waiters.p + 1, c->waiters.n * sizeof *c->waiters.p);
        if (w.ready != NULL) {
            w.ready(w.ctx, class, text);
        }
    }
}

void weir_credential_set(struct weir_credential *c, struct weir_wall expires)
{
    c->busy = false;
    c->expires = expires;
    c->tried = (struct weir_wall){0};
    c->generation++;
    tell(c, WEIR_PROVIDER_OK, "");
}

void weir_credential_fail(struct weir_credential *c, enum weir_provider_class class, const char *text)
{
    WEIR_ASSERT(class != WEIR_PROVIDER_OK);
    c->busy = false;
    c->tried = weir_clock_wall(c->clock);
    if (c->expires.us > c->tried.us) {
        tell(c, WEIR_PROVIDER_OK, "");
    } else {
        tell(c, class, text);
    }
}

void weir_credential_use(struct weir_credential *c, bool fresh, uint64_t *generation, weir_credential_ready_fn *ready, void *ctx)
{
    struct weir_wall now = weir_clock_wall(c->clock);
    if (fresh && *generation == c->generation && !c->busy) {
        c->expires = (struct weir_wall){0};
    }
    bool is_there = c->expires.us > now.us;
    bool is_old = is_there && weir_wall_sub(c->expires, now).us <= c->before.us &&
                  (c->tried.us == 0 || weir_wall_sub(now, c->tried).us > RETRY_AFTER.us);
    if (is_there && !is_old && !c->busy) {
        *generation = c->generation;
        ready(ctx, WEIR_PROVIDER_OK, "");
        return;
    }
    *generation = c->generation + 1;
    weir_vec_push(&c->waiters, (struct waiter){ready, ctx});
    if (!c->busy) {
        c->busy = true;
        c->fetch(c->ctx, c);
    }
}

void weir_credential_forget(struct weir_credential *c, const void *ctx)
{
    for (size_t i = 0; i < c->waiters.n; i++) {
        if (c->waiters.p[i].ctx == ctx) {
            c->waiters.p[i].ready = NULL;
        }
    }
}
