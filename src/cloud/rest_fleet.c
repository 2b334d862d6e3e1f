/* SPDX-License-Identifier: Apache-2.0 */
/* Which machines are ours, by what the provider's lists and answers said. */

#include <stdio.h>

#include "cloud/rest_priv.h"

bool weir_rest_is_ours(const struct weir_provider *p, const char *name)
{
    return strncmp(name, p->state->prefix, strlen(p->state->prefix)) == 0;
}

int weir_rest_list_add(struct weir_rest_list *l, const struct weir_rest_machine *m, struct weir_err *err)
{
    if (m->id[0] == '\0' || !weir_rest_is_ours(l->p, m->name)) {
        return 0;
    }
    if (l->machine.n == WEIR_REST_MACHINES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "the account has more than %d machines of this broker", WEIR_REST_MACHINES_MAX);
    }
    weir_vec_push(&l->machine, *m);
    return 0;
}

int weir_rest_list_next(struct weir_rest_list *l, const char *page, struct weir_err *err)
{
    if (strlen(page) >= sizeof l->next) {
        return weir_fail(err, -WEIR_ELIMIT, "the name of a list's next page has more than %zu bytes", sizeof l->next - 1);
    }
    memcpy(l->next, page, strlen(page) + 1);
    return 0;
}

struct rest_kept *rest_find_id(struct weir_provider *p, const char *id)
{
    for (size_t i = 0; i < p->state->kept.n; i++) {
        if (weir_streq(p->state->kept.p[i].i.id, id)) {
            return &p->state->kept.p[i];
        }
    }
    return NULL;
}

static bool is_older(const struct rest_kept *a, const struct rest_kept *b)
{
    return a->i.launched.us != b->i.launched.us ? a->i.launched.us < b->i.launched.us : strcmp(a->i.id, b->i.id) < 0;
}

struct rest_kept *rest_find_token(const struct weir_provider *p, const char *token)
{
    struct rest_kept *best = NULL;
    for (size_t i = 0; i < p->state->kept.n; i++) {
        struct rest_kept *k = &p->state->kept.p[i];
        if (!weir_streq(k->i.token, token)) {
            continue;
        }
        bool gone = k->i.state == WEIR_INSTANCE_GONE;
        bool best_gone = best == NULL || best->i.state == WEIR_INSTANCE_GONE;
        if (best == NULL || (best_gone && !gone) || (best_gone && gone && is_older(best, k)) || (!best_gone && !gone && is_older(k, best))) {
            best = k;
        }
    }
    return best;
}

struct rest_kept *rest_keep(struct weir_provider *p, const struct weir_rest_machine *m)
{
    struct rest_kept *k = rest_find_id(p, m->id);
    if (k == NULL) {
        struct rest_kept fresh = {.made = weir_clock_mono(p->env->clock)};
        (void)snprintf(fresh.i.id, sizeof fresh.i.id, "%s", m->id);
        (void)snprintf(fresh.i.token, sizeof fresh.i.token, "%s", m->name + strlen("weir-"));
        fresh.i.launched = m->launched.us != 0 ? m->launched : weir_clock_wall(p->env->clock);
        weir_vec_push(&p->state->kept, fresh);
        k = &p->state->kept.p[p->state->kept.n - 1];
    }
    if (k->i.state == WEIR_INSTANCE_GONE) {
        return k; /* a list that began before its end was seen */
    }
    k->i.state = m->dead ? WEIR_INSTANCE_STOPPING : m->state;
    k->dead = m->dead;
    k->i.reclaimed = k->i.reclaimed || m->reclaimed || (m->dead && !k->asked);
    k->i.reclaim_at = m->reclaim_at.us != 0 ? m->reclaim_at : k->i.reclaim_at;
    if (m->state == WEIR_INSTANCE_GONE) {
        k->gone_at = weir_clock_mono(p->env->clock);
        k->i.ended = weir_clock_wall(p->env->clock);
        k->i.reclaimed = k->i.reclaimed || !k->asked;
    }
    return k;
}

/* A machine that was taken to be gone is in a list that began after: it never was, and costs on. Whoever owned it has let go of it: the sweep
 * is to see it again, and what it was told before does not count. */
static void come_back(const struct weir_provider *p, struct rest_kept *k, const struct weir_rest_machine *m)
{
    if (k != NULL && k->i.state == WEIR_INSTANCE_GONE && m->state != WEIR_INSTANCE_GONE && p->state->list_began.us > k->gone_at.us) {
        k->i.state = m->state;
        k->i.ended.us = 0;
        k->i.reclaimed = false;
        k->asked = false;
    }
}

bool rest_is_unseen(const struct weir_provider *p, const struct rest_kept *k)
{
    return !k->listed && weir_clock_mono(p->env->clock).us - k->made.us < p->contract->visible_within.us;
}

static void miss(struct weir_provider *p, struct rest_kept *k)
{
    if (k->missed_at.us == 0) {
        k->missed_at = weir_clock_wall(p->env->clock);
    }
    if (k->i.state == WEIR_INSTANCE_GONE || rest_is_unseen(p, k)) {
        return;
    }
    if (++k->missing >= FLEET_MISSING_MAX) {
        k->i.state = WEIR_INSTANCE_GONE;
        k->gone_at = weir_clock_mono(p->env->clock);
        k->i.ended = k->missed_at.us > k->i.launched.us ? k->missed_at : k->i.launched;
        k->i.reclaimed = k->i.reclaimed || !k->asked;
        k->dead = false;
    }
}

/* Forgets the oldest of those that are gone, where there are too many. */
static void forget(struct weir_provider *p)
{
    size_t gone = 0;
    for (size_t i = 0; i < p->state->kept.n; i++) {
        gone += p->state->kept.p[i].i.state == WEIR_INSTANCE_GONE ? 1 : 0;
    }
    size_t kept = 0;
    for (size_t i = 0; i < p->state->kept.n; i++) {
        if (gone > FLEET_GONE_MAX && p->state->kept.p[i].i.state == WEIR_INSTANCE_GONE) {
            gone--;
        } else {
            p->state->kept.p[kept++] = p->state->kept.p[i];
        }
    }
    p->state->kept.n = kept;
}

void rest_fleet_settle(struct weir_provider *p, const struct weir_rest_list *l)
{
    struct weir_rest_state *s = p->state;
    size_t before = s->kept.n;
    bool *seen = weir_calloc(before, sizeof *seen);
    for (size_t i = 0; i < l->machine.n; i++) {
        come_back(p, rest_find_id(p, l->machine.p[i].id), &l->machine.p[i]);
        struct rest_kept *k = rest_keep(p, &l->machine.p[i]);
        size_t at = (size_t)(k - s->kept.p);
        k->listed = true;
        k->missing = 0;
        k->missed_at.us = 0;
        k->told = false;
        if (at < before) {
            seen[at] = true;
        }
    }
    for (size_t i = 0; i < before; i++) {
        if (!seen[i]) {
            miss(p, &s->kept.p[i]);
        }
    }
    free(seen);
    forget(p);
}

struct weir_instance rest_view(struct weir_provider *p, const struct rest_kept *k)
{
    struct weir_instance i = k->i;
    bool holds = k->asked && weir_clock_mono(p->env->clock).us - k->asked_at.us < ASKED_HOLDS_S * WEIR_US_PER_S;
    if (i.state != WEIR_INSTANCE_GONE && holds) { /* one that runs on for longer has not heard it */
        i.state = WEIR_INSTANCE_STOPPING;
    }
    if (rest_find_token(p, k->i.token) != k) {
        i.token[0] = '\0'; /* a second one under the same name: nobody's */
    }
    return i;
}
