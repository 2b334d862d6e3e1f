/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What providers allow an account to have at once: asked beside the offers and as often, told to the core, and shown to people. A failure
 * does no harm: what was told last holds for a while, and after that launches find out for themselves, as with providers that cannot be asked.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "broker_priv.h"

enum { QUOTA_MS = 60000, QUOTA_KEPT_S = 900, QUOTA_FIRST_MS = 10000 };

bool provider_quotas_are_due(const struct provider *p, uint64_t now_ms)
{
    return p->ops->quota != NULL && !p->quota.busy && (now_ms >= p->quota.due_ms || p->quota.wanted);
}

void provider_quotas_asked(struct broker *b, struct provider *p)
{
    p->quota.due_ms = broker_ms(b) + QUOTA_MS;
    p->quota.asked = weir_engine_now(b->engine);
    p->quota.wanted = false;
    p->quota.busy = true;
}

bool provider_quotas_are_first(const struct provider *p, uint64_t now_ms)
{
    /* due_ms is that of the second asking while the first is under way */
    bool is_late = p->quota.due_ms != 0 && now_ms + QUOTA_MS >= p->quota.due_ms + QUOTA_FIRST_MS;
    return p->ops->quota == NULL || p->quota.came || is_late;
}

static void tell_core(struct broker *b, struct provider *p, const struct weir_provider_quota *q, size_t n)
{
    struct weir_err err;
    struct weir_event ev = {.kind = WEIR_EVENT_PROVIDER_QUOTAS_SET};
    ev.u.provider_quotas_set.provider = p->ops->name;
    ev.u.provider_quotas_set.quota = q;
    ev.u.provider_quotas_set.n = n;
    ev.u.provider_quotas_set.as_of = p->quota.asked;
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "provider.quota", "provider=%s text=\"%s\"", p->ops->name, err.text);
    }
    weir_map_release(&b->possible); /* a submission may have to be told of what is allowed now */
    broker_wake(b);
}

void provider_quotas_note(struct broker *b, struct provider *p, const struct weir_provider_result *r)
{
    struct quota_feed *f = &p->quota;
    struct weir_wall now = weir_engine_now(b->engine);
    f->busy = false;
    f->came = true;
    if (r->text[0] != '\0' && !weir_streq(f->text, r->text)) {
        weir_log(WEIR_LOG_WARNING, "provider.quota", "provider=%s text=\"%s\"", p->ops->name, r->text);
    }
    (void)snprintf(f->text, sizeof f->text, "%s", r->text);
    if (r->class == WEIR_PROVIDER_OK) {
        f->at = now;
        tell_core(b, p, r->quota, r->n_quotas);
    } else if (f->at.us != 0 && weir_wall_sub(now, f->at).us > QUOTA_KEPT_S * WEIR_US_PER_S) {
        f->at = (struct weir_wall){0};
        tell_core(b, p, NULL, 0);
    }
    checks_tick(b);
}

struct weir_told_quota *provider_quotas_all(const struct broker *b, size_t *ret_n)
{
    const struct weir_core *core = weir_engine_core(b->engine);
    *ret_n = weir_core_provider_quotas(core, NULL, 0);
    struct weir_told_quota *all = weir_calloc(*ret_n, sizeof *all);
    (void)weir_core_provider_quotas(core, all, *ret_n);
    return all;
}

/* ---- for weir doctor ---- */

/* The offer of the provider that takes least of it; NULL: it counts none. */
static const struct weir_offer *least_of(const struct provider *p, const struct weir_provider_quota *q, int64_t *ret_takes)
{
    const struct weir_offer *least = NULL;
    *ret_takes = INT64_MAX;
    for (size_t i = 0; i < p->offers.n; i++) {
        int64_t takes = weir_provider_quota_of(q, &p->offers.p[i]);
        if (takes > 0 && takes < *ret_takes) {
            *ret_takes = takes;
            least = &p->offers.p[i];
        }
    }
    return least;
}

static bool check_of(const struct provider *p, const struct weir_provider_quota *q, struct weir_check *ret)
{
    int64_t takes;
    const struct weir_offer *least = least_of(p, q, &takes);
    const char *unit = weir_quota_unit_name((enum weir_quota_unit)q->unit);
    if (least == NULL) {
        return false; /* nothing that is configured comes under it */
    }
    *ret = (struct weir_check){.name = "quota", .verdict = q->limit < takes ? WEIR_CHECK_WARNING : WEIR_CHECK_OK};
    (void)snprintf(ret->text, sizeof ret->text, "%s%s%s: %" PRId64 " of %" PRId64 " %s in use%s", q->region, q->region[0] != '\0' ? ": " : "", q->name, q->used,
                   q->limit, unit, q->limit == 0 ? ": nothing under it can be rented" : q->limit < takes ? ": too few for any machine under it" : "");
    if (q->limit < takes) {
        (void)snprintf(ret->remedy, sizeof ret->remedy, "%s: at least %" PRId64 " %s, which one %s takes", p->ops->quota_remedy, takes, unit, least->instance_type);
    }
    return true;
}

void provider_quotas_check(const struct broker *b, const struct provider *p, void (*add)(void *ctx, const struct weir_check *c), void *ctx)
{
    struct weir_check c = {.name = "quota", .verdict = WEIR_CHECK_OK};
    if (p->ops->quota == NULL) {
        (void)snprintf(c.text, sizeof c.text, "%s has no way to ask for it: what is beyond it is refused at the launch", p->ops->name);
        add(ctx, &c);
        return;
    }
    if (p->quota.text[0] != '\0' || p->quota.busy) {
        c.verdict = WEIR_CHECK_WARNING;
        (void)snprintf(c.text, sizeof c.text, "not known: %s", p->quota.text[0] != '\0' ? p->quota.text : "the answer has not come yet");
        (void)snprintf(c.remedy, sizeof c.remedy, "allow what docs/guide/providers/%s.md names for quotas; until then what they refuse is tried all the same",
                       p->ops->name);
        add(ctx, &c);
    }
    size_t n;
    struct weir_told_quota *all = provider_quotas_all(b, &n);
    for (size_t i = 0; i < n; i++) {
        if (weir_streq(all[i].provider, p->ops->name) && check_of(p, &all[i].quota, &c)) {
            add(ctx, &c);
        }
    }
    free(all);
}
