/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Driving providers: launching what the core wants rented, finding out what became of calls whose answer was
 * lost, watching machines until their end is proven, and sweeping for machines that no lease owns. Policy is
 * the core's; this file only never gives up and never launches twice.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/process.h"
#include "broker_priv.h"

enum {
    WATCH_MS = 2000,
    OFFERS_MS = 60000,
    SWEEP_MS = 60000,
    RETRY_MS_MIN = 500,
    RETRY_MS_MAX = 60000,
    ABSENT_MAX = 3, /* looks in a row before an instance counts as gone, or a launch as never arrived */
    ENDING_LOOKS_MAX = 15, /* at a machine that was told to end, before it is told again */
    PRICES_MS = 10000,     /* before a machine's last prices are asked for again */
    PRICES_ASKED_MAX = 6,  /* then its books are closed with those that are known */
    SWEEP_PAGES_MAX = 200,
    SWEEP_MACHINES_MAX = 100000,
};

/*
 * Few launches are under way at first, more as they come to be, one while the last had no capacity. A provider that had none for
 * some offers in a row will hardly have it for the next: launches are paced then, from a second to a minute apart, until
 * one succeeds.
 */
enum { REFUSED_FREE = 2, PACE_MS_MIN = 1000, PACE_MS_MAX = 60000, LAUNCHING_MIN = 2, LAUNCHING_MAX = 16 };

enum call_kind {
    CALL_LAUNCH,
    CALL_DESCRIBE,
    CALL_TERMINATE,
    CALL_OFFERS,
    CALL_PRICES,
    CALL_QUOTA,
    CALL_SWEEP,
    CALL_SWEEP_END,
};

/* One call under way. */
struct call {
    struct broker *b;
    struct provider *provider;
    struct weir_lease_id lease;
    enum call_kind kind;
    struct call *next; /* of those under way */
    struct call *prev;
};

struct lease_watch *leases_watch(struct broker *b, struct weir_lease_id lease)
{
    for (size_t i = 0; i < b->leases.n; i++) {
        if (b->leases.p[i].lease.v == lease.v) {
            return &b->leases.p[i];
        }
    }
    return NULL;
}

static struct provider *find_provider(struct broker *b, const char *name)
{
    for (size_t i = 0; i < b->n_providers; i++) {
        if (weir_streq(b->provider[i].ops->name, name)) {
            return &b->provider[i];
        }
    }
    return NULL;
}

void leases_token(const struct broker *b, struct weir_lease_id lease, char ret[static WEIR_TOKEN_SIZE])
{
    (void)snprintf(ret, WEIR_TOKEN_SIZE, "%.32s-%" PRIu64, b->owner, lease.v);
}

static void step_event(struct broker *b, struct weir_event *ev)
{
    struct weir_err err;
    if (weir_engine_event(b->engine, ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "lease.event", "kind=%s text=\"%s\"", weir_event_name(ev->kind), err.text);
    }
    broker_wake(b);
}

static void lease_event(struct broker *b, enum weir_event_kind kind, struct weir_lease_id lease, struct weir_wall at, bool reclaimed)
{
    struct weir_event ev = {.kind = kind};
    ev.u.lease.lease = lease;
    ev.u.lease.at = at;
    ev.u.lease.reclaimed = reclaimed;
    step_event(b, &ev);
}

static void effect_done(struct broker *b, struct effect_id *id)
{
    if (id->seq != 0) {
        weir_engine_effect_done(b->engine, id->seq, id->number);
        id->seq = 0;
    }
}

static void over(struct broker *b, struct lease_watch *w)
{
    effect_done(b, &w->launch);
    effect_done(b, &w->terminate);
    w->step = LEASE_STEP_DONE;
    link_changed(b);
}

static void retry_later(struct broker *b, struct lease_watch *w, struct weir_dur told)
{
    uint64_t ms = RETRY_MS_MIN;
    for (uint32_t i = 0; i < w->tries && ms < RETRY_MS_MAX; i++) {
        ms *= 2;
    }
    w->tries++;
    if (told.us > 0 && (uint64_t)(told.us / 1000) > ms) {
        ms = (uint64_t)(told.us / 1000);
    }
    w->due_ms = broker_ms(b) + (ms > RETRY_MS_MAX ? RETRY_MS_MAX : ms);
}

static void pace(struct broker *b, struct provider *p)
{
    p->refused_in_a_row++;
    p->made_in_a_row = 0;
    if (p->refused_in_a_row > REFUSED_FREE) {
        uint32_t doubled = p->refused_in_a_row - REFUSED_FREE - 1;
        uint64_t ms = doubled > 16 ? PACE_MS_MAX : (uint64_t)PACE_MS_MIN << doubled;
        p->launch_after_ms = broker_ms(b) + (ms > PACE_MS_MAX ? PACE_MS_MAX : ms);
    }
}

/* May another launch go out to this provider now? */
static bool may_launch(const struct provider *p, uint64_t now_ms)
{
    uint32_t limit = p->refused_in_a_row > 0                             ? 1
                     : p->made_in_a_row < LAUNCHING_MAX - LAUNCHING_MIN ? LAUNCHING_MIN + p->made_in_a_row
                                                                         : LAUNCHING_MAX;
    return now_ms >= p->launch_after_ms && p->launching < limit;
}

static void refuse(struct broker *b, struct lease_watch *w, enum weir_refusal refusal, const struct weir_provider_result *r)
{
    struct weir_lease_note note;
    if (weir_engine_lease_get_note(b->engine, w->lease, &note)) {
        (void)snprintf(note.text, sizeof note.text, "%s", r->text);
        weir_engine_lease_note(b->engine, w->lease, &note);
    }
    /* what waiting does not mend needs a person */
    bool is_grave = refusal == WEIR_REFUSAL_QUOTA || refusal == WEIR_REFUSAL_REFUSED;
    weir_log(is_grave ? WEIR_LOG_WARNING : WEIR_LOG_INFO, "lease.refused", "lease=%" PRIu64 " reason=%s text=\"%s\"", w->lease.v, weir_refusal_name(refusal),
             r->text);
    over(b, w);
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_REFUSED};
    ev.u.lease_refused.lease = w->lease;
    ev.u.lease_refused.refusal = (uint8_t)refusal;
    ev.u.lease_refused.retry_after = r->retry_after;
    step_event(b, &ev);
}

/* By then, in the engine's time. It was at the latest when the lease was over: the machine ends itself then. */
static void ended_inside(struct broker *b, struct weir_lease_id lease, struct weir_wall by, bool reclaimed)
{
    struct weir_lease_view v;
    if (weir_core_lease(weir_engine_core(b->engine), lease, &v) && v.expires.us < by.us) {
        by = v.expires;
    }
    over(b, leases_watch(b, lease));
    lease_event(b, WEIR_EVENT_LEASE_ENDED, lease, by, reclaimed);
}

/* at 0: the provider does not say when. */
static void ended(struct broker *b, struct weir_lease_id lease, struct weir_wall at, bool reclaimed)
{
    if (at.us == 0) {
        ended_inside(b, lease, weir_engine_now(b->engine), reclaimed);
        return;
    }
    over(b, leases_watch(b, lease));
    lease_event(b, WEIR_EVENT_LEASE_ENDED, lease, weir_engine_inside(b->engine, at), reclaimed);
}

static void ended_priced(struct broker *b, struct lease_watch *w)
{
    prices_seen(b, w->lease, weir_engine_inside(b->engine, w->ended));
    ended(b, w->lease, w->ended, w->reclaimed);
}

static void ask_last_prices(struct broker *b, struct lease_watch *w)
{
    if (!w->prices_busy) {
        w->prices_final = true;
        prices_ask(b, w);
    }
    w->due_ms = broker_ms(b) + PRICES_MS;
}

/* One of the machine's prices may have begun since its provider was asked for them last: before its books are closed it is asked once more. */
static void gone(struct broker *b, struct lease_watch *w, const struct weir_instance *i)
{
    if (i->ended.us == 0) {
        ended(b, w->lease, i->ended, i->reclaimed);
        return;
    }
    w->ended = i->ended;
    w->reclaimed = i->reclaimed;
    if (!prices_have_history(b, w)) {
        ended_priced(b, w);
        return;
    }
    w->step = LEASE_STEP_PRICES;
    w->looks = 0;
    w->prices_final = false;
    ask_last_prices(b, w);
}

/* What is under way when the machine ends was asked for before: it is not the last. */
static void on_last_prices(struct broker *b, struct lease_watch *w, const struct weir_provider_result *r)
{
    if (!w->prices_final) {
        ask_last_prices(b, w);
    } else if (r->class == WEIR_PROVIDER_OK) {
        ended_priced(b, w);
    }
}

/* Keeps the machine's id, by which it is described and ended from then on. */
static void note_instance(struct broker *b, struct weir_lease_id lease, const struct weir_instance *i)
{
    struct weir_lease_note note = {{0}};
    (void)weir_engine_lease_get_note(b->engine, lease, &note);
    if (note.instance[0] == '\0') {
        (void)snprintf(note.instance, sizeof note.instance, "%s", i->id);
        weir_engine_lease_note(b->engine, lease, &note);
    }
}

/* An instance of the lease was seen. */
static void seen(struct broker *b, struct weir_lease_id lease, const struct weir_instance *i)
{
    struct lease_watch *w = leases_watch(b, lease);
    w->absent = 0;
    w->tries = 0;
    note_instance(b, lease, i); /* of a confirmed lease, too: its agent may have joined, and the broker been killed, before the launch was answered */
    if (!w->confirmed) {
        w->confirmed = true;
        w->provider->refused_in_a_row /= 2;
        w->provider->made_in_a_row++;
        if (w->step == LEASE_STEP_LAUNCH || w->step == LEASE_STEP_DESCRIBE) {
            effect_done(b, &w->launch);
            w->step = w->want_end ? LEASE_STEP_TERMINATE : LEASE_STEP_WATCH;
        }
        lease_event(b, WEIR_EVENT_LEASE_CONFIRMED, lease,
                    i->launched.us == 0 ? weir_engine_now(b->engine) : weir_engine_inside(b->engine, i->launched), false);
    }
    if (i->state == WEIR_INSTANCE_GONE) {
        gone(b, w, i);
        return;
    }
    weir_engine_proven(b->engine, lease, w->asked);
    prices_seen(b, lease, w->asked);
    struct weir_wall reclaim_at = i->reclaim_at.us != 0 ? weir_engine_inside(b->engine, i->reclaim_at) : committed_notice(b, lease);
    if (reclaim_at.us != 0 && !w->noticed) {
        w->noticed = true;
        lease_event(b, WEIR_EVENT_LEASE_NOTICE, lease, reclaim_at, true);
    }
    w->due_ms = broker_ms(b) + WATCH_MS;
    if (w->step == LEASE_STEP_ENDING && i->state != WEIR_INSTANCE_STOPPING && ++w->looks >= ENDING_LOOKS_MAX) {
        weir_log(WEIR_LOG_WARNING, "lease.terminate", "lease=%" PRIu64 " text=\"it was told to end and runs on: telling it again\"", lease.v);
        w->step = LEASE_STEP_TERMINATE;
        w->looks = 0;
    }
}

/*
 * The launch was refused. Where an earlier one may still be on its way, that is waited for first; but not at a provider that heeds tokens and
 * has no room: had the earlier one made a machine, that would have been its answer. Should one come all the same, the sweep ends it.
 */
static void launch_refused(struct broker *b, struct lease_watch *w, enum weir_refusal refusal, const struct weir_provider_result *r)
{
    bool is_full = refusal == WEIR_REFUSAL_NO_CAPACITY || refusal == WEIR_REFUSAL_QUOTA;
    bool is_proof = is_full && (w->provider->ops->caps & WEIR_PROVIDER_TOKEN_NATIVE) != 0;
    if (!w->unsure || is_proof) {
        refuse(b, w, refusal, r);
        return;
    }
    w->is_refused = true;
    w->refusal = refusal;
    w->step = LEASE_STEP_DESCRIBE;
    retry_later(b, w, (struct weir_dur){0});
}

static void on_launch(struct broker *b, struct lease_watch *w, const struct weir_provider_result *r)
{
    switch (r->class) {
    case WEIR_PROVIDER_OK:
        if (r->n_instances == 1) {
            seen(b, w->lease, r->instance);
            return;
        }
        w->step = LEASE_STEP_DESCRIBE;
        retry_later(b, w, r->retry_after);
        return;
    case WEIR_PROVIDER_NO_CAPACITY:
        pace(b, w->provider);
        launch_refused(b, w, WEIR_REFUSAL_NO_CAPACITY, r);
        return;
    case WEIR_PROVIDER_QUOTA:
        launch_refused(b, w, WEIR_REFUSAL_QUOTA, r);
        return;
    case WEIR_PROVIDER_THROTTLED:
        launch_refused(b, w, WEIR_REFUSAL_THROTTLED, r);
        return;
    case WEIR_PROVIDER_REFUSED:
        launch_refused(b, w, WEIR_REFUSAL_REFUSED, r);
        return;
    case WEIR_PROVIDER_UNKNOWN:
        w->unsure = true;
        w->step = LEASE_STEP_DESCRIBE;
        retry_later(b, w, r->retry_after);
        return;
    case WEIR_PROVIDER_CLASS_MAX:
        break;
    }
    WEIR_UNREACHABLE();
}

/* Nobody asked for its end. It may have ended by itself; but it may also be where the provider's section does not look any more. */
static void warn_absent(struct broker *b, const struct lease_watch *w)
{
    struct weir_lease_note note = {{0}};
    (void)weir_engine_lease_get_note(b->engine, w->lease, &note);
    weir_log(WEIR_LOG_WARNING, "lease.absent",
             "lease=%" PRIu64 " provider=%s instance=%s text=\"the provider does not know it any more, and its lease is over: if the account, project or resource "
             "group of the section was changed, see that it does not cost on there\"",
             w->lease.v, w->provider->ops->name, note.instance);
}

static void on_describe(struct broker *b, struct lease_watch *w, const struct weir_provider_result *r)
{
    if (r->class != WEIR_PROVIDER_OK) {
        retry_later(b, w, r->retry_after);
        return;
    }
    if (r->n_instances > 0) {
        seen(b, w->lease, r->instance);
        return;
    }
    uint64_t late_ms = (uint64_t)(w->provider->ops->visible_within.us / WEIR_US_PER_MS);
    bool is_late = broker_ms(b) - w->sent_ms >= late_ms; /* to be seen for the first time */
    if (w->absent++ == 0) {
        w->absent_at = w->asked;
    }
    if (!w->confirmed) {
        /* Where the provider heeds tokens, launching again under the same one cannot make a second machine. Elsewhere, and where it
         * is not to be launched again, what is on its way may yet show up. */
        bool is_safe = (w->provider->ops->caps & WEIR_PROVIDER_TOKEN_NATIVE) != 0 || is_late;
        if (!w->want_end && w->is_refused) {
            if (w->absent >= ABSENT_MAX && is_late) {
                struct weir_provider_result none = {.text = "it was refused, and an earlier try did not arrive"};
                refuse(b, w, w->refusal, &none);
                return;
            }
        } else if (!w->want_end) {
            w->step = is_safe ? LEASE_STEP_LAUNCH : LEASE_STEP_DESCRIBE;
        } else if (w->absent >= ABSENT_MAX && is_late) {
            ended(b, w->lease, (struct weir_wall){0}, false);
            return;
        }
        retry_later(b, w, r->retry_after);
    } else if (w->absent >= ABSENT_MAX && is_late) {
        if (!w->want_end) {
            warn_absent(b, w);
        }
        ended_inside(b, w->lease, w->absent_at, !w->want_end);
    } else {
        retry_later(b, w, r->retry_after);
    }
}

static void on_terminate(struct broker *b, struct lease_watch *w, const struct weir_provider_result *r)
{
    if (r->class == WEIR_PROVIDER_OK) {
        effect_done(b, &w->terminate);
        w->step = LEASE_STEP_ENDING;
        w->tries = 0;
        w->due_ms = broker_ms(b) + RETRY_MS_MIN;
    } else {
        weir_log(WEIR_LOG_WARNING, "lease.terminate", "lease=%" PRIu64 " text=\"%s\"", w->lease.v, r->text);
        retry_later(b, w, r->retry_after);
    }
}

const struct lease_watch *leases_owner(struct broker *b, const char *token)
{
    for (size_t i = 0; i < b->leases.n && token[0] != '\0'; i++) {
        char own[WEIR_TOKEN_SIZE];
        leases_token(b, b->leases.p[i].lease, own);
        if (b->leases.p[i].step != LEASE_STEP_DONE && weir_streq(own, token)) {
            return &b->leases.p[i];
        }
    }
    return NULL;
}

static void on_result(void *ctx, const struct weir_provider_result *r);

static struct call *new_call(struct broker *b, struct provider *p, struct weir_lease_id lease, enum call_kind kind)
{
    struct call *c = weir_alloc(sizeof *c);
    *c = (struct call){b, p, lease, kind, b->calls, NULL};
    if (b->calls != NULL) {
        b->calls->prev = c;
    }
    b->calls = c;
    return c;
}

static void end_call(struct call *c)
{
    if (c->prev == NULL) {
        c->b->calls = c->next;
    } else {
        c->prev->next = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    free(c);
}

static void on_sweep(struct broker *b, struct provider *p, const struct weir_provider_result *r)
{
    if (r->class != WEIR_PROVIDER_OK) {
        audit_end(b, p, r->text);
        return;
    }
    audit_add(p, r->instance, r->n_instances);
    for (size_t i = 0; i < r->n_instances; i++) {
        const struct weir_instance *in = &r->instance[i];
        if ((in->state != WEIR_INSTANCE_PENDING && in->state != WEIR_INSTANCE_RUNNING) || leases_owner(b, in->token) != NULL) {
            continue;
        }
        weir_log(WEIR_LOG_WARNING, "lease.orphan", "provider=%s instance=%s text=\"no lease owns it: ending it\"", p->ops->name,
                 in->id);
        alerts_orphan(b, p->ops->name, in->id);
        struct call *c = new_call(b, p, (struct weir_lease_id){0}, CALL_SWEEP_END);
        if (p->ops->terminate(p->p, in->id, on_result, c) != 0) {
            end_call(c);
        }
    }
    if (r->next_page != NULL && (++p->sweep_pages == SWEEP_PAGES_MAX || p->sweep_part.row.n > SWEEP_MACHINES_MAX)) {
        char text[128];
        (void)snprintf(text, sizeof text, "%s: the list of machines does not come to its end: %u pages with %zu machines came", p->ops->name, p->sweep_pages,
                       p->sweep_part.row.n);
        audit_end(b, p, text);
    } else if (r->next_page != NULL) {
        struct call *c = new_call(b, p, (struct weir_lease_id){0}, CALL_SWEEP);
        if (p->ops->list(p->p, r->next_page, on_result, c) == 0) {
            p->sweep_busy = true;
        } else {
            end_call(c);
        }
    } else {
        alerts_swept(b, p->ops->name, p->sweep_round);
        audit_end(b, p, NULL);
    }
}

/* Those before it are as they were while *same. */
static void keep_offer(struct provider *p, size_t at, const struct weir_offer *o, bool *same)
{
    *same = *same && at < p->offers.n && memcmp(&p->offers.p[at], o, sizeof *o) == 0;
    if (!*same) {
        p->offers.n = at;
        weir_vec_push(&p->offers, *o);
    }
}

static bool has_rate(struct broker *b, const struct weir_offer *o)
{
    return o->currency[0] == '\0' || market_rate(b, o->currency) != 0;
}

static void tell_offers(struct broker *b, const struct provider *p)
{
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    ev.u.offers_set.provider = p->ops->name;
    ev.u.offers_set.offer = p->offers.p;
    ev.u.offers_set.n = p->offers.n;
    step_event(b, &ev);
}

void leases_rates_changed(struct broker *b)
{
    for (size_t i = 0; i < b->n_providers; i++) {
        struct provider *p = &b->provider[i];
        size_t n = 0;
        for (size_t k = 0; k < p->offers.n; k++) {
            if (has_rate(b, &p->offers.p[k])) {
                p->offers.p[n++] = p->offers.p[k];
            }
        }
        bool fewer = n < p->offers.n;
        p->offers.n = n;
        p->feed.wanted = true;
        if (fewer && !b->renting_off) {
            tell_offers(b, p); /* the provider need not answer for it */
        }
    }
}

static void take_offers(struct broker *b, struct provider *p, const struct weir_provider_result *r)
{
    if (r->class != WEIR_PROVIDER_OK) {
        weir_log(WEIR_LOG_WARNING, "provider.offers", "provider=%s text=\"%s\"", p->ops->name, r->text);
        return;
    }
    if (b->renting_off) {
        return; /* they were withdrawn */
    }
    size_t n = 0;
    bool same = p->offers_known;
    for (size_t i = 0; i < r->n_offers; i++) {
        if (has_rate(b, &r->offer[i])) { /* else it is an older answer */
            keep_offer(p, n++, &r->offer[i], &same);
        }
    }
    for (size_t i = 0; b->config != NULL && i < b->config->n_committed; i++) {
        struct weir_offer o;
        if (committed_offer(b, i, p->ops->name, r->offer, r->n_offers, &o) && has_rate(b, &o)) {
            keep_offer(p, n++, &o, &same);
        }
    }
    if (same && p->offers.n == n) {
        return;
    }
    p->offers.n = n;
    p->offers_known = true;
    tell_offers(b, p);
}

static void on_offers(struct broker *b, struct provider *p, const struct weir_provider_result *r)
{
    take_offers(b, p, r);
    if (r->class == WEIR_PROVIDER_OK) {
        prices_told(b, p, r->offer, r->n_offers);
    }
    feeds_note(b, p, r);
}

static void on_result(void *ctx, const struct weir_provider_result *r)
{
    struct call c = *(struct call *)ctx;
    end_call(ctx);
    struct lease_watch *w = leases_watch(c.b, c.lease);
    if (w != NULL && c.kind != CALL_PRICES) { /* which goes beside others */
        w->busy = false;
    }
    switch (c.kind) {
    case CALL_OFFERS:
        c.provider->offers_busy = false;
        on_offers(c.b, c.provider, r);
        break;
    case CALL_PRICES:
        if (w != NULL) {
            prices_history(c.b, w, r);
        }
        if (w != NULL && w->step == LEASE_STEP_PRICES) {
            on_last_prices(c.b, w, r);
        }
        break;
    case CALL_QUOTA:
        provider_quotas_note(c.b, c.provider, r);
        break;
    case CALL_SWEEP:
        c.provider->sweep_busy = false;
        on_sweep(c.b, c.provider, r);
        break;
    case CALL_SWEEP_END:
        break; /* the next sweep sees to it */
    case CALL_LAUNCH:
        c.provider->launching--;
        on_launch(c.b, w, r);
        break;
    case CALL_DESCRIBE:
        on_describe(c.b, w, r);
        break;
    case CALL_TERMINATE:
        on_terminate(c.b, w, r);
        break;
    }
    broker_wake(c.b);
}

/* ---- starting calls ---- */

static int call_launch(struct broker *b, struct lease_watch *w)
{
    struct weir_lease_view v;
    char token[WEIR_TOKEN_SIZE];
    leases_token(b, w->lease, token);
    if (!weir_core_lease(weir_engine_core(b->engine), w->lease, &v)) {
        over(b, w);
        return 0;
    }
    struct weir_lease_note note = {{0}};
    (void)weir_engine_lease_get_note(b->engine, w->lease, &note);
    struct weir_launch l = {.token = token, .reservation = note.reservation[0] != '\0' ? note.reservation : NULL, .offer = &v.offer, .lease = w->lease, .owner = b->owner, .broker_url = b->public_url,
                            .join_token = w->secret, .ca_pem = tls_authority(b), .expires = weir_engine_outside(b->engine, v.expires),
                            .issued = weir_engine_outside(b->engine, v.intent_at)};
    if (weir_streq(w->provider->ops->name, "sandbox")) {
        l.broker_url = b->url; /* its machines are on this host */
        l.ca_pem = b->ca_pem;
    }
    struct link_end end;
    link_launch(b, w, &l, &end);
    struct call *c = new_call(b, w->provider, w->lease, CALL_LAUNCH);
    int r = w->provider->ops->launch(w->provider->p, &l, on_result, c);
    link_end_release(&end);
    w->provider->launching += r == 0 ? 1 : 0;
    w->sent_ms = broker_ms(b);
    if (r != 0) {
        end_call(c);
    }
    return r;
}

static int call_describe(struct broker *b, struct lease_watch *w)
{
    struct weir_lease_note note = {{0}};
    char token[WEIR_TOKEN_SIZE];
    leases_token(b, w->lease, token);
    (void)weir_engine_lease_get_note(b->engine, w->lease, &note);
    struct call *c = new_call(b, w->provider, w->lease, CALL_DESCRIBE);
    bool by_id = note.instance[0] != '\0';
    int r = w->provider->ops->describe(w->provider->p, by_id ? NULL : token, by_id ? note.instance : NULL, on_result, c);
    if (r != 0) {
        end_call(c);
    }
    return r;
}

static int call_terminate(struct broker *b, struct lease_watch *w)
{
    struct weir_lease_note note = {{0}};
    (void)weir_engine_lease_get_note(b->engine, w->lease, &note);
    if (note.instance[0] == '\0') {
        return call_describe(b, w); /* by its token: what is to be ended has to be found first */
    }
    struct call *c = new_call(b, w->provider, w->lease, CALL_TERMINATE);
    int r = w->provider->ops->terminate(w->provider->p, note.instance, on_result, c);
    if (r != 0) {
        end_call(c);
    }
    return r;
}

bool leases_ask_prices(struct broker *b, const struct lease_watch *w, const struct weir_offer *offer, struct weir_wall from)
{
    struct call *c = new_call(b, w->provider, w->lease, CALL_PRICES);
    if (w->provider->ops->price_history(w->provider->p, offer, from, on_result, c) != 0) {
        end_call(c);
        return false;
    }
    return true;
}

static void pump(struct broker *b, struct weir_lease_id lease)
{
    struct lease_watch *w = leases_watch(b, lease);
    int r = 0;
    w->busy = true;
    w->asked = weir_engine_now(b->engine);
    switch (w->step) {
    case LEASE_STEP_LAUNCH:
        r = call_launch(b, w);
        break;
    case LEASE_STEP_DESCRIBE:
    case LEASE_STEP_WATCH:
    case LEASE_STEP_ENDING:
        r = call_describe(b, w);
        break;
    case LEASE_STEP_TERMINATE:
        r = call_terminate(b, w);
        break;
    case LEASE_STEP_PRICES:
        w->busy = false;
        if (++w->looks < PRICES_ASKED_MAX) {
            ask_last_prices(b, w);
        } else {
            ended_priced(b, w);
        }
        return;
    case LEASE_STEP_DONE:
        break;
    }
    w = leases_watch(b, lease);
    if (r != 0) {
        w->busy = false;
        retry_later(b, w, (struct weir_dur){0});
    } else if (w->step == LEASE_STEP_DONE) {
        w->busy = false;
    }
}

/* What its launches say, now and whenever they are repeated: stored before the first goes out. */
static void note_launch(struct broker *b, struct lease_watch *w, const struct weir_offer *offer)
{
    struct weir_lease_note note = {{0}};
    leases_token(b, w->lease, note.token);
    w->is_withdrawn = !committed_reservation(b, offer, note.reservation);
    weir_engine_lease_note(b->engine, w->lease, &note);
}

void leases_order(struct broker *b, const struct weir_order *o)
{
    struct lease_watch *w = leases_watch(b, o->effect.lease);
    if (o->effect.kind == WEIR_EFFECT_LEASE_LAUNCH) {
        struct provider *p = find_provider(b, o->offer.provider);
        struct lease_watch fresh = {.lease = o->effect.lease, .provider = p, .step = LEASE_STEP_LAUNCH,
                                    .launch = {o->seq, o->effect.number}};
        note_launch(b, &fresh, &o->offer);
        weir_vec_push(&b->leases, fresh);
    } else if (o->effect.kind == WEIR_EFFECT_LEASE_TERMINATE && w != NULL) {
        w->want_end = true;
        w->terminate = (struct effect_id){o->seq, o->effect.number};
        if (w->step == LEASE_STEP_WATCH) {
            w->step = LEASE_STEP_TERMINATE;
            w->tries = 0;
            w->due_ms = 0;
        }
    }
}

static void tick_provider(struct broker *b, struct provider *p, uint64_t now)
{
    if (provider_quotas_are_due(p, now)) {
        struct call *c = new_call(b, p, (struct weir_lease_id){0}, CALL_QUOTA);
        provider_quotas_asked(b, p);
        if (p->ops->quota(p->p, on_result, c) != 0) {
            const struct weir_provider_result none = {.class = WEIR_PROVIDER_THROTTLED, .text = "too many calls are under way"};
            end_call(c);
            provider_quotas_note(b, p, &none);
        }
    }
    if (!p->offers_busy && provider_quotas_are_first(p, now) && (now >= p->offers_due_ms || p->feed.wanted)) {
        feeds_begin(p);
        struct call *c = new_call(b, p, (struct weir_lease_id){0}, CALL_OFFERS);
        p->offers_due_ms = now + OFFERS_MS;
        p->offers_busy = p->ops->offers(p->p, on_result, c) == 0;
        if (!p->offers_busy) {
            end_call(c);
        }
    }
    if (!p->sweep_busy && (now >= p->sweep_due_ms || p->sweep_wanted)) {
        struct call *c = new_call(b, p, (struct weir_lease_id){0}, CALL_SWEEP);
        p->sweep_due_ms = now + SWEEP_MS;
        p->sweep_round = alerts_sweep(b);
        audit_begin(p);
        p->sweep_pages = 0;
        p->sweep_busy = p->ops->list(p->p, NULL, on_result, c) == 0;
        if (!p->sweep_busy) {
            end_call(c);
        }
    }
}

/* Gets a launch that is due as far as it may go now. True: its next call goes out. */
static bool ready_to_launch(struct broker *b, struct lease_watch *w, uint64_t now)
{
    if (w->want_end && w->sent_ms == 0) {
        ended(b, w->lease, (struct weir_wall){0}, false); /* nothing of it exists */
        return false;
    }
    if (w->want_end) { /* nor can it be launched again, but what was sent may yet show up */
        w->step = LEASE_STEP_DESCRIBE;
        w->tries = 0;
        return true;
    }
    if (w->provider == NULL) {
        struct weir_provider_result none = {.class = WEIR_PROVIDER_REFUSED, .text = "no driver of that provider is configured"};
        refuse(b, w, WEIR_REFUSAL_REFUSED, &none);
        return false;
    }
    if (w->is_withdrawn) {
        struct weir_provider_result none = {.class = WEIR_PROVIDER_NO_CAPACITY, .text = "its commitment is not in the configuration any more"};
        refuse(b, w, WEIR_REFUSAL_NO_CAPACITY, &none);
        return false;
    }
    if (b->store_full || !may_launch(w->provider, now)) {
        return false;
    }
    enum link_verdict link = link_admits(b, w);
    if (link == LINK_TAKEN) { /* the next lease has another */
        struct weir_provider_result none = {.class = WEIR_PROVIDER_THROTTLED,
                                            .text = "its address on the link to the site is in use",
                                            .retry_after = weir_dur_s(1)};
        launch_refused(b, w, WEIR_REFUSAL_THROTTLED, &none);
    }
    if (link == LINK_NONE) { /* it would cost money until it is given up, and serve nobody */
        struct weir_check c;
        struct weir_provider_result none = {.class = WEIR_PROVIDER_REFUSED};
        (void)link_reaches(b, w->provider, &c);
        (void)snprintf(none.text, sizeof none.text, "%.140s; %.110s", c.text, c.remedy);
        launch_refused(b, w, WEIR_REFUSAL_REFUSED, &none);
    }
    if (link != LINK_READY) {
        return false;
    }
    if (w->secret[0] == '\0') {
        char name[64];
        (void)snprintf(name, sizeof name, "lease-%" PRIu64, w->lease.v);
        bool by_key = b->ca_pem != NULL; /* then what the machine is started with is good for one key only */
        tokens_make(b, name, by_key ? "join" : "agent", by_key ? TOKEN_NODE_USER : "", w->lease, w->secret, sizeof w->secret);
        broker_wake(b);
    }
    /* a machine whose secret is lost in a crash could never join: it goes out after the next flush */
    return !weir_engine_is_dirty(b->engine);
}

/* Called right after a flush. */
void leases_tick(struct broker *b)
{
    uint64_t now = broker_ms(b);
    for (size_t i = 0; i < b->n_providers; i++) {
        tick_provider(b, &b->provider[i], now);
    }
    link_tick(b);
    size_t kept = 0;
    for (size_t i = 0; i < b->leases.n; i++) {
        struct lease_watch *w = &b->leases.p[i];
        if (!w->busy && w->step != LEASE_STEP_DONE && now >= w->due_ms &&
            (w->step != LEASE_STEP_LAUNCH || ready_to_launch(b, w, now))) {
            pump(b, w->lease);
            w = &b->leases.p[i];
        }
        if (w->step != LEASE_STEP_DONE || w->busy) {
            b->leases.p[kept++] = *w;
        } else {
            weir_vec_release(&w->prices);
        }
    }
    b->leases.n = kept;
}

/* ---- start and end ---- */

static const struct weir_offer *catalogue_offers(void *ctx, const char *provider, size_t *ret_n)
{
    struct broker *b = ctx;
    size_t from = 0;
    size_t n = 0;
    market_note_asked(b, provider);
    /* the market list is in order of provider */
    for (size_t i = 0; i < b->market.offer.n; i++) {
        if (weir_streq(b->market.offer.p[i].provider, provider)) {
            from = n == 0 ? i : from;
            n++;
        }
    }
    *ret_n = n;
    return n == 0 ? NULL : &b->market.offer.p[from];
}

static const char *environment(const char *name)
{
    return weir_process_env(name);
}

static void restore_watch(struct broker *b, struct weir_lease_id id)
{
    struct weir_lease_view v;
    if (!weir_core_lease(weir_engine_core(b->engine), id, &v) || v.state == WEIR_LEASE_ENDED || v.state == WEIR_LEASE_FAILED) {
        return;
    }
    struct lease_watch w = {.lease = id, .provider = find_provider(b, v.offer.provider)};
    struct weir_lease_note note = {{0}};
    bool is_noted = weir_engine_lease_get_note(b->engine, id, &note) && note.token[0] != '\0';
    if (w.provider == NULL) {
        weir_log(WEIR_LOG_ERROR, "lease.provider",
                 "lease=%" PRIu64 " provider=%s instance=%s text=\"its provider is not configured any more: its machine is not looked after\"", id.v,
                 v.offer.provider, note.instance);
        alerts_unwatched(b, v.offer.provider, id, note.instance);
        return;
    }
    if (!is_noted) { /* nothing was sent yet */
        note_launch(b, &w, &v.offer);
    }
    w.confirmed = v.confirmed_at.us != 0; /* one may be ending that was never seen */
    w.noticed = v.reclaim_at.us != 0;
    w.want_end = v.state == WEIR_LEASE_ENDING;
    w.sent_ms = broker_ms(b);
    w.unsure = !w.confirmed; /* it may have been sent before the restart */
    w.step = !w.confirmed ? LEASE_STEP_DESCRIBE : w.want_end ? LEASE_STEP_TERMINATE : LEASE_STEP_WATCH;
    weir_vec_push(&b->leases, w);
}

static void restore_effect(void *ctx, const struct weir_effect_row *row)
{
    struct broker *b = ctx;
    struct lease_watch *w = leases_watch(b, row->lease);
    if (w != NULL) {
        bool is_end = row->kind == WEIR_EFFECT_LEASE_TERMINATE;
        w->want_end |= is_end;
        *(is_end ? &w->terminate : &w->launch) = (struct effect_id){row->seq, row->number};
    } else {
        weir_engine_effect_done(b->engine, row->seq, row->number);
    }
}

void leases_restore(struct broker *b)
{
    struct weir_core *core = weir_engine_core(b->engine);
    size_t n = weir_core_leases(core, NULL, 0);
    struct weir_lease_id *ids = weir_calloc(n, sizeof *ids);
    (void)weir_core_leases(core, ids, n);
    for (size_t i = 0; i < n; i++) {
        restore_watch(b, ids[i]);
    }
    free(ids);
    weir_engine_each_undone(b->engine, restore_effect, b);
}

int leases_init(struct broker *b, struct weir_err *err)
{
    b->provider_env = (struct weir_provider_env){.loop = &b->loop, .clock = &weir_clock_os, .owner = b->owner, .data_dir = b->data_dir,
                                                 .self_exe = b->conf.self_exe, .gpus = b->gpus, .catalogue = catalogue_offers,
                                                 .catalogue_ctx = b, .getenv = environment, .agent_sum = program_sum, .agent_ctx = b,
                                                 .rate = market_rate, .rate_ctx = b, .currency = b->config->currency};
    for (size_t i = 0; i < b->config->n_providers; i++) {
        const struct weir_config_provider *c = &b->config->provider[i];
        struct provider *p = &b->provider[b->n_providers];
        p->ops = weir_provider_find(c->name);
        if (p->ops == NULL) {
            char text[256];
            weir_provider_unknown(c->name, text, sizeof text);
            return weir_fail(err, -WEIR_ECONFIG, "providers: %s", text);
        }
        p->broker = b;
        int r = p->ops->init(&p->p, &b->provider_env, c->section, err);
        if (r != 0) {
            return weir_fail_prefix(err, r, "providers: %s", c->name);
        }
        b->n_providers++;
    }
    committed_begin(b);
    int r = link_init(b, err);
    if (r == 0) {
        leases_restore(b);
    }
    return r;
}

void leases_free(struct broker *b)
{
    for (size_t i = 0; i < b->n_providers; i++) {
        b->provider[i].ops->fini(b->provider[i].p);
        weir_vec_release(&b->provider[i].offers);
        weir_vec_release(&b->provider[i].check);
        weir_vec_release(&b->provider[i].sweep.row);
        weir_vec_release(&b->provider[i].sweep_part.row);
    }
    while (b->calls != NULL) { /* whose answers do not come any more */
        end_call(b->calls);
    }
    for (size_t i = 0; i < b->leases.n; i++) {
        weir_vec_release(&b->leases.p[i].prices);
    }
    weir_vec_release(&b->leases);
}

int leases_fault(struct broker *b, const char *what, struct weir_err *err)
{
    for (size_t i = 0; i < b->n_providers; i++) {
        if (b->provider[i].ops->fault != NULL) {
            return b->provider[i].ops->fault(b->provider[i].p, what, err);
        }
    }
    return weir_fail(err, -WEIR_ENOTFOUND, "no provider that can be made to fail is configured: add 'providers: {sandbox: {}}'");
}
