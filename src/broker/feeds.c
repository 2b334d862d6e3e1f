/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What providers tell of their prices, and how old it is: kept for every list of offers, and asked for anew, of all providers side by
 * side, where somebody wants to know now. Who asks waits for a bounded time; what has not come by then is shown as it was last known.
 */

#include "base/json.h"
#include "broker_priv.h"

enum {
    LIVE_MS = 1800,  /* what a list of live offers may wait */
    ANEW_MS = 10000, /* an answer younger than this is live: nobody makes the providers be asked more often */
};

/* Is an answer under way, or about to be? */
static bool is_pending(const struct provider *p)
{
    return p->offers_busy || p->feed.wanted;
}

void feeds_note(struct broker *b, struct provider *p, const struct weir_provider_result *r)
{
    struct feed *f = &p->feed;
    f->failed = r->class != WEIR_PROVIDER_OK || r->is_old;
    (void)snprintf(f->text, sizeof f->text, "%s", r->text);
    memcpy(f->no_rate, r->no_rate, sizeof f->no_rate);
    if (!f->failed) {
        f->at = weir_engine_now(b->engine);
        f->at_ms = broker_ms(b);
    }
    feeds_tick(b);
}

void feeds_begin(struct provider *p)
{
    if (p->feed.wanted && p->ops->prices_anew != NULL) {
        p->ops->prices_anew(p->p);
    }
    p->feed.wanted = false;
}

static void write_feed(const struct provider *p, bool live, struct weir_wall now, struct weir_json *j)
{
    const struct feed *f = &p->feed;
    bool is_late = live && is_pending(p);
    weir_json_object(j);
    weir_json_kv_cstr(j, "provider", p->ops->name);
    weir_json_kv_cstr(j, "state", is_late ? "late" : f->failed ? "failed" : f->at.us == 0 ? "none" : "answered");
    weir_json_kv_time(j, "as_of", f->at);
    weir_json_key(j, "age_s");
    if (f->at.us == 0) {
        weir_json_null(j);
    } else {
        weir_json_i64(j, weir_wall_sub(now, f->at).us / WEIR_US_PER_S);
    }
    weir_json_kv_u64(j, "offers", p->offers.n);
    weir_json_kv_cstr(j, "text", is_late || f->text[0] == '\0' ? NULL : f->text);
    weir_json_end(j);
}

void feeds_write(struct broker *b, bool live, struct weir_str *out)
{
    struct weir_json j = weir_json_begin(out);
    weir_json_array(&j);
    for (size_t i = 0; i < b->n_providers; i++) {
        write_feed(&b->provider[i], live, weir_engine_now(b->engine), &j);
    }
    weir_json_end(&j);
}

void feeds_live(struct broker *b, struct weir_command *cmd)
{
    uint64_t now = broker_ms(b);
    for (size_t i = 0; i < b->n_providers; i++) {
        struct provider *p = &b->provider[i];
        bool is_young = !p->feed.failed && p->feed.at.us != 0 && now - p->feed.at_ms < ANEW_MS;
        p->feed.wanted = p->feed.wanted || !is_young;
    }
    weir_vec_push(&b->live, ((struct waiter){cmd, now + LIVE_MS}));
    feeds_tick(b);
    broker_wake(b);
}

void feeds_tick(struct broker *b)
{
    uint64_t now = broker_ms(b);
    bool all_here = true;
    size_t kept = 0;
    for (size_t i = 0; i < b->n_providers; i++) {
        all_here = all_here && !is_pending(&b->provider[i]);
    }
    for (size_t i = 0; i < b->live.n; i++) {
        struct waiter w = b->live.p[i];
        if (all_here || now >= w.until_ms) {
            commands_offers(b, w.cmd, true);
        } else {
            b->live.p[kept++] = w;
        }
    }
    b->live.n = kept;
}

const struct provider *feeds_trouble(const struct broker *b)
{
    for (size_t i = 0; i < b->n_providers; i++) {
        if (b->provider[i].feed.text[0] != '\0') {
            return &b->provider[i];
        }
    }
    return NULL;
}
