/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Looks at the providers, for a person who wants to know whether they could be used: each driver asks its provider what it would allow,
 * all side by side, and what is known of its prices stands beside it. Who asks waits for a bounded time; who asks while a look is
 * under way gets what that one finds.
 */

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "broker_priv.h"

enum { LOOK_MS = 28000 }; /* below what those who ask wait for an answer */

static void write_check(struct weir_json *j, const struct weir_check *c)
{
    static const char *const verdicts[WEIR_CHECK_VERDICT_MAX] = {[WEIR_CHECK_OK] = "ok", [WEIR_CHECK_UNKNOWN] = "unknown", [WEIR_CHECK_WARNING] = "warning", [WEIR_CHECK_FAILED] = "failed"};
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", c->name);
    weir_json_kv_cstr(j, "verdict", verdicts[c->verdict]);
    weir_json_kv_cstr(j, "text", c->text);
    weir_json_kv_cstr(j, "remedy", c->remedy[0] == '\0' ? NULL : c->remedy);
    weir_json_end(j);
}

static struct weir_check prices_of(const struct broker *b, const struct provider *p)
{
    const struct feed *f = &p->feed;
    struct weir_check c = {.name = "prices", .verdict = WEIR_CHECK_OK};
    int64_t age_s = weir_wall_sub(weir_engine_now(b->engine), f->at).us / WEIR_US_PER_S;
    if (f->text[0] != '\0') {
        c.verdict = WEIR_CHECK_WARNING;
        (void)snprintf(c.text, sizeof c.text, "%s", f->text);
        (void)snprintf(c.remedy, sizeof c.remedy, "%s",
                       f->no_rate[0] != '\0' ? "add the rate; see 'weir offers --all'" : "its last prices serve meanwhile, or the catalogue's; see 'weir offers --live'");
    } else if (f->at.us == 0) {
        (void)snprintf(c.text, sizeof c.text, "none were told yet: the catalogue's serve");
    } else {
        (void)snprintf(c.text, sizeof c.text, "%zu offers, told %" PRId64 " s ago", p->offers.n, age_s);
    }
    return c;
}

static void add_check(void *ctx, const struct weir_check *c)
{
    write_check(ctx, c);
}

/* Is anything of it still awaited? */
static bool is_looked_at(const struct provider *p)
{
    return p->checking || p->quota.busy || p->quota.wanted;
}

static void answer(struct broker *b, struct weir_command *cmd)
{
    struct weir_json j = weir_json_begin(&cmd->reply);
    bool ok = true;
    weir_json_object(&j);
    weir_json_key(&j, "providers");
    weir_json_array(&j);
    for (size_t i = 0; i < b->n_providers; i++) {
        const struct provider *p = &b->provider[i];
        const struct weir_check prices = prices_of(b, p);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "provider", p->ops->name);
        weir_json_kv_time(&j, "checked", p->checked_at);
        weir_json_key(&j, "checks");
        weir_json_array(&j);
        if (p->checking) {
            struct weir_check late = {.name = "endpoint", .verdict = WEIR_CHECK_FAILED, .remedy = "see that the broker can reach it, and ask again"};
            (void)snprintf(late.text, sizeof late.text, "%s has not answered everything within %d s", p->ops->name, LOOK_MS / 1000);
            write_check(&j, &late);
            ok = false;
        }
        for (size_t k = 0; !p->checking && k < p->check.n; k++) {
            write_check(&j, &p->check.p[k]);
            ok = ok && p->check.p[k].verdict != WEIR_CHECK_FAILED;
        }
        struct weir_check address;
        if (!link_reaches(b, p, &address)) {
            write_check(&j, &address);
            ok = false;
        }
        write_check(&j, &prices);
        provider_quotas_check(b, p, add_check, &j);
        committed_check(b, p->ops->name, add_check, &j);
        weir_json_end(&j);
        weir_json_end(&j);
    }
    const char *other;
    for (size_t i = 0; (other = committed_unconfigured(b, i)) != NULL; i++) {
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "provider", other);
        weir_json_kv_time(&j, "checked", (struct weir_wall){0});
        weir_json_key(&j, "checks");
        weir_json_array(&j);
        committed_check(b, other, add_check, &j);
        weir_json_end(&j);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_kv_bool(&j, "ok", ok);
    weir_json_end(&j);
    cmd->code = 0; /* nothing was changed: it need not wait until what others have changed is stored */
    cmd->done(cmd);
}

static void on_checked(void *ctx, const struct weir_check *check, size_t n)
{
    struct provider *p = ctx;
    weir_vec_clear(&p->check);
    for (size_t i = 0; i < n; i++) {
        weir_vec_push(&p->check, check[i]);
    }
    p->checking = false;
    p->checked_at = weir_engine_now(p->broker->engine);
    checks_tick(p->broker);
    broker_wake(p->broker);
}

static void look(struct provider *p)
{
    if (p->checking || p->ops->check == NULL) {
        return;
    }
    p->checking = true;
    int r = p->ops->check(p->p, on_checked, p);
    if (r < 0) {
        struct weir_check c = {.name = "endpoint", .verdict = WEIR_CHECK_WARNING, .remedy = "ask again in a minute"};
        (void)snprintf(c.text, sizeof c.text, "%s could not be asked: %s", p->ops->name, weir_error_text(r));
        weir_vec_clear(&p->check);
        weir_vec_push(&p->check, c);
        p->checking = false;
    }
}

void checks_begin(struct broker *b, struct weir_command *cmd)
{
    for (size_t i = 0; i < b->n_providers; i++) {
        look(&b->provider[i]);
        b->provider[i].quota.wanted = b->provider[i].ops->quota != NULL;
    }
    weir_vec_push(&b->checks, ((struct waiter){cmd, broker_ms(b) + LOOK_MS}));
    checks_tick(b);
    broker_wake(b); /* the quotas are asked for in the next turn */
}

void checks_tick(struct broker *b)
{
    uint64_t now = broker_ms(b);
    bool all_here = true;
    size_t kept = 0;
    for (size_t i = 0; i < b->n_providers; i++) {
        all_here = all_here && !is_looked_at(&b->provider[i]);
    }
    for (size_t i = 0; i < b->checks.n; i++) {
        struct waiter w = b->checks.p[i];
        if (all_here || now >= w.until_ms) {
            answer(b, w.cmd);
        } else {
            b->checks.p[kept++] = w;
        }
    }
    b->checks.n = kept;
}
