/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine_priv.h"

enum { CLOCK_STEP_MAX_S = 30, RUNTIME_KINDS_MAX = 100000 };

/* ---- time ---- */

struct weir_wall weir_engine_now(struct weir_engine *e)
{
    struct weir_mono mono = weir_clock_mono(e->conf.clock);
    struct weir_wall wall = weir_clock_wall(e->conf.clock);
    struct weir_wall t = {weir_i64_add_sat(e->wall_base.us, mono.us - e->mono_base.us)};
    int64_t off = weir_i64_sub_sat(wall.us, t.us);
    if (off > CLOCK_STEP_MAX_S * WEIR_US_PER_S || off < -CLOCK_STEP_MAX_S * WEIR_US_PER_S) {
        if (!e->jump_reported) {
            e->jump_reported = true;
            weir_log(WEIR_LOG_WARNING,
                     "clock.jump",
                     "offset_s=%" PRId64 " text=\"the system clock was set; times go on from before until the next start\"",
                     off / WEIR_US_PER_S);
        }
    } else {
        e->jump_reported = false;
        if (off > 0) {
            e->wall_base.us += off; /* follow the slew of a disciplined clock, never backwards */
            t = wall;
        }
    }
    if (t.us < e->now.us) {
        t = e->now;
    }
    return t;
}

/* One that was set back is not followed: a machine that goes by the right time must not end early. */
static int64_t behind_us(struct weir_engine *e)
{
    int64_t us = weir_i64_sub_sat(weir_clock_wall(e->conf.clock).us, weir_engine_now(e).us);
    return us > 0 ? us : 0;
}

struct weir_wall weir_engine_outside(struct weir_engine *e, struct weir_wall t)
{
    return t.us == 0 ? t : (struct weir_wall){weir_i64_add_sat(t.us, behind_us(e))};
}

struct weir_wall weir_engine_inside(struct weir_engine *e, struct weir_wall t)
{
    return t.us == 0 ? t : (struct weir_wall){weir_i64_sub_sat(t.us, behind_us(e))};
}

struct weir_core *weir_engine_core(struct weir_engine *e)
{
    return e->core;
}

struct weir_wall weir_engine_wake_at(const struct weir_engine *e)
{
    return e->wake_at;
}

uint64_t weir_engine_world(const struct weir_engine *e)
{
    return e->world;
}

uint64_t weir_engine_jobs(const struct weir_engine *e, enum weir_job_state state)
{
    return weir_job_state_is_final(state) ? 0 : e->jobs_in[state];
}

bool weir_engine_is_dirty(const struct weir_engine *e)
{
    return e->dirty;
}

/* ---- names ---- */

struct weir_project_id weir_engine_project(struct weir_engine *e, struct weir_sv name)
{
    size_t before = e->projects.n;
    struct weir_project_id id = {weir_intern(&e->projects, name) + 1};
    if (e->projects.n != before) {
        struct weir_err err;
        struct weir_event ev = {.kind = WEIR_EVENT_PROJECT_SET};
        ev.u.project_set.project = id;
        ev.u.project_set.weight = 100;
        ev.u.project_set.delay_cost_micro_per_hour = e->conf.core.delay_cost_micro_per_hour;
        if (weir_engine_event(e, &ev, &err) != 0) {
            weir_log(WEIR_LOG_ERROR, "engine.project", "text=\"%s\"", err.text);
        }
    }
    return id;
}

struct weir_project_id weir_engine_find_project(const struct weir_engine *e, struct weir_sv name)
{
    uint32_t i = weir_intern_find(&e->projects, name);
    return (struct weir_project_id){i == UINT32_MAX ? 0 : i + 1};
}

struct weir_user_id weir_engine_find_user(const struct weir_engine *e, struct weir_sv name)
{
    uint32_t i = weir_intern_find(&e->users, name);
    return (struct weir_user_id){i == UINT32_MAX ? 0 : i + 1};
}

struct weir_user_id weir_engine_user(struct weir_engine *e, struct weir_sv name)
{
    struct weir_user_id id = {weir_intern(&e->users, name) + 1};
    e->dirty |= e->users.n != e->users_stored;
    return id;
}

struct weir_pool_id weir_engine_pool(struct weir_engine *e, struct weir_sv name, const char *detail_json)
{
    size_t before = e->pools.n;
    uint32_t i = weir_intern(&e->pools, name);
    if (e->pools.n != before) {
        weir_vec_push(&e->pool_detail, weir_strdup(detail_json));
        e->dirty = true;
    }
    return (struct weir_pool_id){i + 1};
}

static const char *name_of(const struct weir_interner *t, uint32_t id)
{
    return id == 0 || id > t->n ? "" : weir_intern_text(t, id - 1);
}

const char *weir_engine_project_name(const struct weir_engine *e, struct weir_project_id id)
{
    return name_of(&e->projects, id.v);
}

const char *weir_engine_user_name(const struct weir_engine *e, struct weir_user_id id)
{
    return name_of(&e->users, id.v);
}

const char *weir_engine_pool_name(const struct weir_engine *e, struct weir_pool_id id)
{
    return name_of(&e->pools, id.v);
}

/* ---- notes ---- */

struct node_note *engine_node_note(struct weir_engine *e, struct weir_node_id id)
{
    uint64_t at;
    if (!weir_map_get(&e->node_note_at, id.v, &at)) {
        at = e->node_notes.n;
        weir_vec_push(&e->node_notes, (struct node_note){.id = id.v});
        weir_map_put(&e->node_note_at, id.v, at);
    }
    return &e->node_notes.p[at];
}

static void replace(char **dst, const char *src)
{
    if (src != NULL) {
        free(*dst);
        *dst = weir_strdup(src);
    }
}

void weir_engine_node_note(struct weir_engine *e, struct weir_node_id node, const struct weir_node_note *note)
{
    struct node_note *n = engine_node_note(e, node);
    if (n->agent_id != NULL && note->agent_id != NULL && !weir_streq(n->agent_id, note->agent_id)) {
        (void)weir_map_remove(&e->agent_node, weir_hash_bytes(n->agent_id, strlen(n->agent_id))); /* another took the node over */
    }
    replace(&n->agent_id, note->agent_id);
    replace(&n->name, note->name);
    replace(&n->address, note->address);
    replace(&n->detail_json, note->detail_json);
    n->seen = weir_engine_now(e);
    if (n->agent_id != NULL && n->agent_id[0] != '\0') {
        weir_map_put(&e->agent_node, weir_hash_bytes(n->agent_id, strlen(n->agent_id)), node.v);
    }
    engine_gather_node(e, node);
}

/* Takes the last note's place over, so that the array stays dense. */
#define NOTE_DROP(vec, map, at)                                                                    \
    do {                                                                                           \
        uint64_t last_ = (vec)->n - 1;                                                             \
        (void)weir_map_remove((map), (vec)->p[at].id);                                             \
        if ((at) != last_) {                                                                       \
            (vec)->p[at] = (vec)->p[last_];                                                        \
            weir_map_put((map), (vec)->p[at].id, (at));                                            \
        }                                                                                          \
        (vec)->n--;                                                                                \
    } while (0)

void engine_forget_node(struct weir_engine *e, struct weir_node_id node)
{
    uint64_t at;
    if (!weir_map_get(&e->node_note_at, node.v, &at)) {
        return;
    }
    struct node_note *n = &e->node_notes.p[at];
    uint64_t mapped = 0;
    uint64_t hash = n->agent_id == NULL ? 0 : weir_hash_bytes(n->agent_id, strlen(n->agent_id));
    if (n->agent_id != NULL && weir_map_get(&e->agent_node, hash, &mapped) && mapped == node.v) {
        (void)weir_map_remove(&e->agent_node, hash);
    }
    free(n->agent_id);
    free(n->name);
    free(n->address);
    free(n->detail_json);
    NOTE_DROP(&e->node_notes, &e->node_note_at, at);
}

void engine_forget_lease(struct weir_engine *e, struct weir_lease_id lease)
{
    uint64_t at;
    if (weir_map_get(&e->lease_note_at, lease.v, &at)) {
        NOTE_DROP(&e->lease_notes, &e->lease_note_at, at);
    }
}

static const struct node_note *find_note(const struct weir_engine *e, struct weir_node_id node)
{
    uint64_t at;
    return weir_map_get(&e->node_note_at, node.v, &at) ? &e->node_notes.p[at] : NULL;
}

const char *weir_engine_node_name(const struct weir_engine *e, struct weir_node_id node)
{
    const struct node_note *n = find_note(e, node);
    return n == NULL ? NULL : n->name;
}

const char *weir_engine_node_address(const struct weir_engine *e, struct weir_node_id node)
{
    const struct node_note *n = find_note(e, node);
    return n == NULL ? NULL : n->address;
}

const char *weir_engine_node_detail(const struct weir_engine *e, struct weir_node_id node)
{
    const struct node_note *n = find_note(e, node);
    return n == NULL ? NULL : n->detail_json;
}

struct weir_node_id weir_engine_node_by_agent(const struct weir_engine *e, const char *agent_id)
{
    uint64_t node = 0;
    (void)weir_map_get(&e->agent_node, weir_hash_bytes(agent_id, strlen(agent_id)), &node);
    return (struct weir_node_id){node};
}

void weir_engine_lease_note(struct weir_engine *e, struct weir_lease_id lease, const struct weir_lease_note *note)
{
    uint64_t at;
    if (!weir_map_get(&e->lease_note_at, lease.v, &at)) {
        at = e->lease_notes.n;
        weir_vec_push(&e->lease_notes, (struct lease_note){.id = lease.v});
        weir_map_put(&e->lease_note_at, lease.v, at);
    }
    e->lease_notes.p[at].note = *note;
    engine_gather_lease(e, lease);
}

bool weir_engine_lease_get_note(const struct weir_engine *e, struct weir_lease_id lease, struct weir_lease_note *ret)
{
    uint64_t at;
    if (!weir_map_get(&e->lease_note_at, lease.v, &at)) {
        return false;
    }
    *ret = e->lease_notes.p[at].note;
    return true;
}

void weir_engine_task_text(struct weir_engine *e, struct weir_task_id task, const char *text)
{
    weir_vec_push(&e->texts, weir_strdup(text));
    weir_map_put(&e->task_text, task_key(task), e->texts.n);
}

void weir_engine_put_token(struct weir_engine *e, const struct weir_token_row *row)
{
    struct gathered_token t = {.row = *row};
    t.name = weir_strdup(row->name);
    t.role = weir_strdup(row->role);
    t.user = weir_strdup(row->user);
    t.created_by = weir_strdup(row->created_by == NULL ? "" : row->created_by);
    t.projects = weir_strdup(row->projects == NULL ? "" : row->projects);
    weir_vec_push(&e->tokens, t);
    e->dirty = true;
}

void weir_engine_effect_done(struct weir_engine *e, uint64_t seq, uint32_t number)
{
    weir_vec_push(&e->done_effects, (struct weir_effect_row){.seq = seq, .number = number});
    e->dirty = true;
}

void weir_engine_delete_token(struct weir_engine *e, const char *hash)
{
    struct weir_token_row row = {.name = ""};
    (void)snprintf(row.hash, sizeof row.hash, "%s", hash);
    weir_vec_push(&e->tokens_deleted, row);
    e->dirty = true;
}

void weir_engine_energy(struct weir_engine *e, struct weir_node_id node, uint64_t counter_mj, bool measured)
{
    if (measured) { /* what is modelled, the bill models itself, by share */
        weir_bill_energy(e->bill, node, weir_engine_now(e), counter_mj);
    }
}

int weir_engine_amend(struct weir_engine *e, const struct weir_correction_row *row, const struct weir_amendment *a, size_t n, struct weir_err *err)
{
    if (row->id != e->last_correction + 1) {
        return weir_fail(err, -WEIR_ECONFLICT, "another correction was made meanwhile: look again, then repeat it");
    }
    struct gathered_correction g = {.row = *row, .who = weir_strdup(row->who), .reason = weir_strdup(row->reason)};
    g.row.at = weir_engine_now(e);
    weir_vec_push(&e->corrections, g);
    weir_bill_amend(e->bill, row->id, a, n, g.row.at);
    e->last_correction = row->id;
    e->dirty = true;
    return 0;
}

void weir_engine_invoice_lines(struct weir_engine *e, const struct weir_invoice_line_row *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        weir_vec_push(&e->invoice_lines, row[i]);
    }
    e->dirty |= n > 0;
}

void weir_engine_accrued(struct weir_engine *e, weir_bill_accrued_fn *fn, void *ctx)
{
    weir_bill_accrued(e->bill, weir_engine_now(e), fn, ctx);
}

void weir_engine_each_undone(struct weir_engine *e, void (*fn)(void *ctx, const struct weir_effect_row *row), void *ctx)
{
    for (size_t i = 0; i < e->undone.n; i++) {
        fn(ctx, &e->undone.p[i]);
    }
    weir_vec_clear(&e->undone);
}

void engine_add_event(struct weir_engine *e,
                      const char *kind,
                      struct weir_job_id job,
                      uint32_t ordinal,
                      struct weir_node_id node,
                      struct weir_lease_id lease,
                      const char *text)
{
    struct gathered_event g = {.row = {.id = ++e->event_id, .at = e->now, .kind = kind, .job = job, .ordinal = ordinal,
                                       .node = node, .lease = lease}};
    g.text = text != NULL && text[0] != '\0' ? weir_strdup(text) : NULL;
    weir_vec_push(&e->events, g);
}

/* ---- events into the core, and what follows in the bill ---- */

static struct weir_wall cost_at(void *ctx, const struct weir_bill_node *b, struct weir_wall at, struct weir_owned_cost *ret)
{
    struct weir_engine *e = ctx;
    struct weir_node_view node;
    if (e->conf.node_cost == NULL || !weir_core_node(e->core, b->node, &node)) {
        return WEIR_WALL_MAX;
    }
    node.spec.pool = b->pool; /* of a rented one its agent says it, and joins later */
    node.spec.lease = b->lease;
    return e->conf.node_cost(e->conf.node_cost_ctx, &node.spec, at, ret);
}

static void bill_open(struct weir_engine *e, const struct weir_effect *fx)
{
    struct weir_err err;
    struct weir_node_view node;
    struct weir_bill_node b = {.node = fx->node, .lease = fx->lease};
    if (!weir_core_node(e->core, fx->node, &node)) {
        return;
    }
    b.pool = node.spec.pool;
    b.gpus = node.spec.gpus;
    b.cpu_milli = node.spec.cpu_milli;
    b.task = fx->u.meter.task;
    struct weir_job_view job;
    if (weir_core_job(e->core, b.task.job, &job)) {
        b.project = job.project;
        b.user = job.user;
        b.payer = job.payer;
    }
    struct weir_lease_view lease;
    if (fx->lease.v != 0 && weir_core_lease(e->core, fx->lease, &lease)) {
        /* its agent, which names the pool, joins only after the machine began to cost */
        b.pool = b.pool.v != 0 ? b.pool : weir_engine_pool(e, weir_sv_of(lease.offer.provider), "{\"kind\":\"placed\"}");
        b.payer = lease.payer;
        b.price_micro_per_hour = lease.price_micro_per_hour;
        memcpy(b.currency, lease.offer.currency, sizeof b.currency);
        b.rate_nano = lease.offer.rate_nano;
        b.quantum = lease.offer.bill_quantum;
        b.minimum = lease.offer.bill_minimum;
    } else {
        b.owned = true;
    }
    (void)cost_at(e, &b, fx->at, &b.cost);
    if (weir_bill_node_open(e->bill, &b, fx->at, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "bill.open", "node=%" PRIu64 " text=\"%s\"", fx->node.v, err.text);
    }
}

static void tell_price(struct weir_engine *e, const struct weir_lease_view *v, struct weir_wall from)
{
    char now[WEIR_MONEY_SIZE];
    char quote[WEIR_MONEY_SIZE];
    char since[WEIR_RFC3339_SIZE];
    struct weir_str text = WEIR_STR_INIT(256);
    weir_str_addf(&text, "%s an hour since %s; the quote was %s", weir_money_format(v->price_micro_per_hour, now), weir_wall_format(from, since),
                  weir_money_format(v->offer.price_micro_per_hour, quote));
    engine_add_event(e, "lease.price", v->task.job, v->task.ordinal, v->node, v->id, weir_str_cstr(&text));
    weir_str_release(&text);
}

static void bill_rates(struct weir_engine *e, const struct weir_effect *fx)
{
    struct weir_lease_view lease;
    if (fx->lease.v == 0) {
        weir_bill_node_reprice(e->bill, fx->node, fx->at, cost_at, e);
    } else if (weir_core_lease(e->core, fx->lease, &lease)) {
        struct weir_wall from = weir_bill_node_price(e->bill, fx->node, fx->at, lease.price_micro_per_hour);
        if (from.us != 0) {
            weir_vec_push(&e->lease_prices, ((struct weir_lease_price_row){.lease = fx->lease,
                                                                          .price = {.from = from, .micro_per_hour = lease.price_micro_per_hour,
                                                                                    .after_posting = weir_bill_last_posting(e->bill)},
                                                                          .told = e->now}));
            tell_price(e, &lease, from);
        }
    }
}

static struct weir_wall rented_cost_at(void *ctx, const struct weir_bill_node *b, struct weir_wall at, struct weir_owned_cost *ret)
{
    return b->owned ? WEIR_WALL_MAX : cost_at(ctx, b, at, ret);
}

void weir_engine_reprice(struct weir_engine *e)
{
    weir_bill_reprice(e->bill, weir_engine_now(e), cost_at, e);
}

void engine_reprice_rented(struct weir_engine *e, struct weir_wall now)
{
    weir_bill_reprice(e->bill, now, rented_cost_at, e);
}

static void bill_segment(struct weir_engine *e, const struct weir_effect *fx)
{
    struct weir_err err;
    struct weir_bill_segment s = {.node = fx->node, .run = fx->run, .rank = fx->rank, .gpus = fx->u.segment.gpus,
                                  .cpu_milli = fx->u.segment.cpu_milli, .from = fx->at};
    struct weir_job_view job;
    if (weir_core_job(e->core, fx->run.task.job, &job)) {
        s.project = job.project;
        s.user = job.user;
        s.payer = job.payer;
    }
    if (weir_bill_segment_open(e->bill, &s, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "bill.segment", "job=%" PRIu64 " text=\"%s\"", fx->run.task.job.v, err.text);
    }
}

static void add_order(struct weir_engine *e, uint64_t seq, const struct weir_effect *fx)
{
    struct weir_order o = {.seq = seq, .effect = *fx};
    if (fx->kind == WEIR_EFFECT_LEASE_LAUNCH) {
        o.offer = *fx->u.lease_launch.offer;
    }
    weir_vec_push(&e->orders, o);
}

static void carry_out(struct weir_engine *e, const struct weir_effects *all)
{
    for (size_t i = 0; i < all->n_effects; i++) {
        const struct weir_effect *fx = &all->effect[i];
        switch (fx->kind) {
        case WEIR_EFFECT_RUN_START:
        case WEIR_EFFECT_RUN_STOP:
        case WEIR_EFFECT_LEASE_EXTEND:
            add_order(e, all->seq, fx);
            break;
        case WEIR_EFFECT_LEASE_LAUNCH:
        case WEIR_EFFECT_LEASE_TERMINATE:
            add_order(e, all->seq, fx);
            weir_vec_push(&e->new_effects,
                          (struct weir_effect_row){.seq = all->seq, .number = fx->number, .kind = (uint8_t)fx->kind,
                                                   .lease = fx->lease});
            break;
        case WEIR_EFFECT_METER_OPEN:
            bill_open(e, fx);
            break;
        case WEIR_EFFECT_METER_READY:
            weir_bill_node_ready(e->bill, fx->node, fx->at);
            break;
        case WEIR_EFFECT_METER_CLOSE:
            weir_bill_node_close(e->bill, fx->node, fx->at);
            break;
        case WEIR_EFFECT_METER_RATES:
            bill_rates(e, fx);
            break;
        case WEIR_EFFECT_SEGMENT_OPEN:
            bill_segment(e, fx);
            break;
        case WEIR_EFFECT_SEGMENT_CLOSE:
            weir_bill_segment_close(e->bill, fx->node, fx->run, fx->rank, fx->at, fx->u.segment.outcome,
                                    fx->u.segment.kept_until);
            break;
        case WEIR_EFFECT_SEGMENT_VERDICT:
            weir_bill_segment_verdict(e->bill, fx->node, fx->run, fx->rank, fx->at, fx->u.segment.outcome,
                                      fx->u.segment.kept_until);
            break;
        case WEIR_EFFECT_MAX:
            WEIR_UNREACHABLE();
        }
    }
}

static const char *node_name(void *ctx, struct weir_node_id node)
{
    return weir_engine_node_name(ctx, node);
}

static void task_name(void *ctx, struct weir_task_id id, char *buf, size_t size)
{
    struct weir_engine *e = ctx;
    e->conf.task_name(e->conf.task_name_ctx, id, buf, size);
}

static const struct weir_offer *offer_find(void *ctx, uint64_t id)
{
    struct weir_engine *e = ctx;
    uint64_t at;
    return weir_map_get(&e->offer_at, id, &at) ? &e->offers.p[at] : NULL;
}

static bool budget_view(void *ctx, struct weir_budget_id id, struct weir_budget_view *ret)
{
    struct weir_engine *e = ctx;
    return weir_core_budget(e->core, id, ret);
}

static bool quota_view(void *ctx, struct weir_quota_id id, struct weir_quota_view *ret)
{
    struct weir_engine *e = ctx;
    return weir_core_quota(e->core, id, ret);
}

static bool provider_quota_view(void *ctx, uint64_t id, struct weir_told_quota *ret)
{
    struct weir_engine *e = ctx;
    return weir_core_provider_quota(e->core, id, ret);
}

static void gather_explains(struct weir_engine *e, const struct weir_effects *fx)
{
    const struct weir_names names = {.node = node_name, .offer = offer_find, .budget = budget_view, .quota = quota_view, .provider_quota = provider_quota_view, .task = e->conf.task_name == NULL ? NULL : task_name,
                                     .currency = e->conf.currency, .ctx = e};
    for (size_t i = 0; i < fx->n_explains; i++) {
        struct weir_str out = WEIR_STR_INIT(64 * 1024);
        weir_explain_to_json(&fx->explain[i], &names, &out);
        struct gathered_explain g = {.task = fx->explain[i].task, .seq = fx->explain[i].seq, .at = e->now};
        g.json = weir_str_take(&out);
        weir_vec_push(&e->explains, g);
    }
}

/* The offers that the core knows, for names; replaced provider by provider as in the core. */
static void remember_offers(struct weir_engine *e, const struct weir_event *ev)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->offers.n; i++) {
        if (!weir_streq(e->offers.p[i].provider, ev->u.offers_set.provider)) {
            e->offers.p[kept++] = e->offers.p[i];
        }
    }
    e->offers.n = kept;
    for (size_t i = 0; i < ev->u.offers_set.n; i++) {
        weir_vec_push(&e->offers, ev->u.offers_set.offer[i]);
    }
    weir_map_release(&e->offer_at);
    for (size_t i = 0; i < e->offers.n; i++) {
        weir_map_put(&e->offer_at, e->offers.p[i].id, i);
    }
}

static bool is_bookkeeping(const struct weir_event *ev)
{
    return ev->kind == WEIR_EVENT_TICK || ev->kind == WEIR_EVENT_OFFERS_SET || ev->kind == WEIR_EVENT_PROVIDER_QUOTAS_SET;
}

static struct weir_wall checkpoint_of(const struct weir_engine *e, struct weir_run_id run)
{
    struct weir_task_view v;
    bool known = weir_core_task(e->core, run.task, &v) && v.attempt == run.attempt;
    return known ? v.checkpointed : (struct weir_wall){0};
}

/*
 * The bill ends a span at the time that the core has taken, not at the one that was reported: that comes from an agent's
 * clock, or from a file whose time the task can set, and may lie in the future.
 */
static void bill_checkpoint(struct weir_engine *e, const struct weir_event *ev, struct weir_wall before)
{
    struct weir_wall at = checkpoint_of(e, ev->u.run.run);
    if (at.us > before.us) {
        weir_bill_segment_checkpoint(e->bill, ev->u.run.run, at);
    }
}

int weir_engine_event(struct weir_engine *e, struct weir_event *ev, struct weir_err *err)
{
    struct weir_effects fx;
    bool is_checkpoint = ev->kind == WEIR_EVENT_RUN_CHECKPOINTED;
    const struct weir_wall checkpointed = is_checkpoint ? checkpoint_of(e, ev->u.run.run) : (struct weir_wall){0};
    ev->now = weir_engine_now(e);
    ev->seq = e->seq + 1;
    if (ev->kind == WEIR_EVENT_OFFERS_SET) {
        remember_offers(e, ev);
    }
    int r = weir_core_step(e->core, ev, &fx, err);
    if (r != 0) {
        return r;
    }
    e->seq = ev->seq;
    e->now = ev->now;
    if (ev->kind == WEIR_EVENT_NODE_JOIN || ev->kind == WEIR_EVENT_NODE_GONE || ev->kind == WEIR_EVENT_OFFERS_SET) {
        e->world++;
    }
    e->wake_at = fx.wake_at;
    if (is_checkpoint) {
        bill_checkpoint(e, ev, checkpointed);
    }
    carry_out(e, &fx);
    engine_gather(e, &fx);
    gather_explains(e, &fx);
    if (!is_bookkeeping(ev) || fx.n_effects > 0 || fx.n_jobs > 0 || fx.n_tasks > 0) {
        e->dirty = true;
    }
    engine_expect_anew(e);
    return 0;
}

struct runtime_entry *engine_runtime(struct weir_engine *e, uint64_t key)
{
    uint64_t at;
    if (!weir_map_get(&e->runtime_at, key, &at)) {
        if (e->runtimes.n >= RUNTIME_KINDS_MAX) {
            return NULL;
        }
        at = e->runtimes.n;
        weir_vec_push(&e->runtimes, (struct runtime_entry){.key = key});
        weir_map_put(&e->runtime_at, key, at);
    }
    return &e->runtimes.p[at];
}

static void cache_spec(struct weir_engine *e, struct weir_job_id job, char *spec, char *name)
{
    struct spec_slot *slot = &e->spec_cache[job.v % SPEC_CACHE_SLOTS];
    free(slot->spec);
    free(slot->name);
    *slot = (struct spec_slot){.job = job.v, .spec = spec, .name = name};
}

uint32_t engine_gpus(const struct weir_request *r)
{
    return r->alternatives == 0 ? 0 : r->alternative[0].count * r->nodes;
}

static uint64_t submit_key(const struct weir_engine_submit *s)
{
    return weir_runtime_key(s->project.v, s->user.v, weir_sv_of(s->name));
}

/* The event but for its job; it borrows tags, and *request, which is filled. */
static struct weir_event submit_event(const struct weir_engine *e, const struct weir_engine_submit *s, const char *tags, struct weir_request *request)
{
    *request = s->request;
    request->expected = engine_forecast(e, submit_key(s), &s->request, s->request.expected);
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.project = s->project;
    ev.u.job_submit.user = s->user;
    ev.u.job_submit.priority = s->priority;
    ev.u.job_submit.n_tasks = s->n_tasks;
    ev.u.job_submit.parallel_max = s->parallel_max;
    ev.u.job_submit.deadline = s->deadline;
    ev.u.job_submit.request = request;
    ev.u.job_submit.tags = tags;
    return ev;
}

int weir_engine_what_if(struct weir_engine *e, const struct weir_engine_submit *s, struct weir_explain *ret, struct weir_err *err)
{
    struct weir_request request;
    WEIR_CLEANUP(weir_freep) char *tags = weir_strndup(s->tags_json.p, s->tags_json.n);
    struct weir_event ev = submit_event(e, s, tags, &request);
    ev.now = weir_engine_now(e);
    return weir_core_what_if(e->core, &ev, ret, err) ? 0 : -WEIR_EINVAL;
}

int weir_engine_submit(struct weir_engine *e, const struct weir_engine_submit *s, struct weir_job_id *ret, struct weir_err *err)
{
    struct weir_request request;
    uint64_t key = submit_key(s);
    struct weir_job_id id = weir_core_take_job_id(e->core);
    char *tags = weir_strndup(s->tags_json.p, s->tags_json.n);
    struct weir_event ev = submit_event(e, s, tags, &request);
    ev.u.job_submit.job = id;
    weir_vec_push(&e->new_jobs, (struct new_job){.id = id, .name = weir_strdup(s->name),
                                                .spec_json = weir_strndup(s->spec_json.p, s->spec_json.n), .tags_json = tags});
    /* before the step: its explain records name the task by the spec's array */
    cache_spec(e, id, weir_strndup(s->spec_json.p, s->spec_json.n), weir_strdup(s->name));
    int r = weir_engine_event(e, &ev, err);
    if (r != 0) {
        struct new_job *j = &e->new_jobs.p[--e->new_jobs.n];
        free(j->name);
        free(j->spec_json);
        free(j->tags_json);
        return r;
    }
    weir_map_put(&e->job_runtime, id.v, key);
    weir_map_put(&e->job_estimate, id.v, (uint64_t)s->request.expected.us);
    *ret = id;
    return 0;
}

struct spec_out {
    char *spec;
    char *name;
};

static int take_spec(void *ctx, const struct weir_job_row *row)
{
    struct spec_out *out = ctx;
    out->spec = weir_strdup(row->spec_json);
    out->name = weir_strdup(row->name);
    return 0;
}

int weir_engine_job_spec(struct weir_engine *e, struct weir_job_id job, char **ret_spec, char **ret_name, struct weir_err *err)
{
    struct spec_slot *slot = &e->spec_cache[job.v % SPEC_CACHE_SLOTS];
    if (slot->job != job.v || slot->spec == NULL) {
        struct spec_out out = {0};
        int r = e->store->ops->get_job(e->store, job, take_spec, &out, err);
        if (r != 0) {
            return r;
        }
        cache_spec(e, job, out.spec, out.name);
    }
    *ret_spec = weir_strdup(slot->spec);
    *ret_name = weir_strdup(slot->name);
    return 0;
}

const struct weir_order *weir_engine_take_orders(struct weir_engine *e, size_t *ret_n)
{
    weir_vec_clear(&e->out_orders);
    for (size_t i = 0; i < e->orders.n; i++) {
        weir_vec_push(&e->out_orders, e->orders.p[i]);
    }
    weir_vec_clear(&e->orders);
    for (size_t i = 0; i < e->out_orders.n; i++) {
        struct weir_order *o = &e->out_orders.p[i];
        if (o->effect.kind == WEIR_EFFECT_LEASE_LAUNCH) {
            o->effect.u.lease_launch.offer = &o->offer;
        }
    }
    *ret_n = e->out_orders.n;
    return e->out_orders.p;
}

const struct weir_job_id *weir_engine_take_ended(struct weir_engine *e, size_t *ret_n)
{
    weir_vec_clear(&e->out_ended);
    for (size_t i = 0; i < e->ended.n; i++) {
        weir_vec_push(&e->out_ended, e->ended.p[i]);
    }
    weir_vec_clear(&e->ended);
    *ret_n = e->out_ended.n;
    return e->out_ended.p;
}
