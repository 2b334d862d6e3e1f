/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Budgets and those who pay: which budget counts whose work, what was charged in a span, when the next span begins,
 * and what follows when a threshold is reached. What is held is limits.c's.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

const char *weir_budget_scope_name(enum weir_budget_scope s)
{
    static const char *const names[] = {"organisation", "project", "user", "tag"};
    return (uint32_t)s < WEIR_BUDGET_SCOPE_MAX ? names[s] : "unknown";
}

const char *weir_budget_span_name(enum weir_budget_span s)
{
    static const char *const names[] = {"month", "quarter", "fixed", "forever"};
    return (uint32_t)s < WEIR_BUDGET_SPAN_MAX ? names[s] : "unknown";
}

const char *weir_budget_action_name(enum weir_budget_action a)
{
    static const char *const names[] = {"warn", "local-only", "stop-new", "stop-all"};
    return (uint32_t)a < WEIR_BUDGET_ACTION_MAX ? names[a] : "unknown";
}

/* ---- who pays ---- */

static uint64_t payer_hash(uint32_t project, uint32_t user, const char *tags)
{
    uint64_t h = weir_hash_bytes(tags, strlen(tags));
    const uint64_t key[] = {project, user, h};
    return words_hash(key, WEIR_ARRAY_LEN(key));
}

static bool payer_is(const struct payer *p, uint32_t project, uint32_t user, const char *tags)
{
    return p->project == project && p->user == user && weir_streq(p->tags, tags);
}

struct payer *payer_find(const struct weir_core *c, uint32_t id)
{
    return id == 0 || id > c->payers.n ? NULL : c->payers.p[id - 1];
}

static struct payer *payer_new(struct weir_core *c, uint32_t project, uint32_t user, const char *tags, uint64_t hash)
{
    size_t n = strlen(tags);
    struct payer *p = weir_alloc(sizeof *p + n + 1);
    weir_vec_push(&c->payers, p);
    p->id = (uint32_t)c->payers.n;
    p->project = project;
    p->user = user;
    memcpy(p->tags, tags, n + 1);
    p->limits = limits_of(c, p);
    weir_map_put(&c->payer_by_hash, hash, p->id);
    return p;
}

/* The next key that is tried where two have one hash. */
static uint64_t probe(uint64_t hash)
{
    return hash * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

struct payer *payer_get(struct weir_core *c, uint32_t project, uint32_t user, const char *tags)
{
    uint64_t hash = payer_hash(project, user, tags);
    uint64_t id = 0;
    while (weir_map_get(&c->payer_by_hash, hash, &id)) {
        struct payer *p = c->payers.p[id - 1];
        if (payer_is(p, project, user, tags)) {
            return p;
        }
        hash = probe(hash);
    }
    return payer_new(c, project, user, tags, hash);
}

void payer_drop(struct weir_core *c, struct payer *p)
{
    WEIR_ASSERT(p->id == c->payers.n);
    uint64_t hash = payer_hash(p->project, p->user, p->tags);
    uint64_t id = 0;
    while (weir_map_get(&c->payer_by_hash, hash, &id) && id != p->id) {
        hash = probe(hash);
    }
    (void)weir_map_remove(&c->payer_by_hash, hash);
    c->payers.n--;
    free(p);
}

static struct weir_payer_view view_of(const struct payer *p)
{
    return (struct weir_payer_view){.id = {p->id}, .project = {p->project}, .user = {p->user}, .tags = p->tags};
}

bool weir_core_payer(const struct weir_core *c, struct weir_payer_id id, struct weir_payer_view *ret)
{
    const struct payer *p = payer_find(c, id.v);
    if (p != NULL) {
        *ret = view_of(p);
    }
    return p != NULL;
}

bool weir_core_is_budgeted(const struct weir_core *c, struct weir_payer_id payer)
{
    const struct payer *p = payer_find(c, payer.v);
    return p != NULL && has_budgets(p->limits);
}

int weir_core_restore_payer(struct weir_core *c, const struct weir_payer_view *v, struct weir_err *err)
{
    if (v->id.v != c->payers.n + 1 || v->tags == NULL) {
        return weir_fail(err, -WEIR_ECORRUPT, "payer %u: stored twice, out of order, or without tags", v->id.v);
    }
    if (payer_get(c, v->project.v, v->user.v, v->tags)->id != v->id.v) {
        return weir_fail(err, -WEIR_ECORRUPT, "payer %u: stored before under another number", v->id.v);
    }
    return 0;
}

/* In whatever case: else who writes "Team" would pass the budget of "team". */
static bool is_same_text(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char x = a[i] >= 'A' && a[i] <= 'Z' ? (char)(a[i] - 'A' + 'a') : a[i];
        char y = b[i] >= 'A' && b[i] <= 'Z' ? (char)(b[i] - 'A' + 'a') : b[i];
        if (x != y) {
            return false;
        }
    }
    return true;
}

/* Is "key":"value" one of the tags? In JSON a bare quotation mark behind '{' or ',' begins a key, and nothing else does. */
static bool tags_have(const char *tags, const char *tag)
{
    size_t n = strlen(tag);
    size_t all = strlen(tags);
    for (size_t i = 1; i + n < all; i++) {
        bool begins = tags[i - 1] == '{' || tags[i - 1] == ',';
        bool ends = tags[i + n] == '}' || tags[i + n] == ',';
        if (begins && ends && is_same_text(tags + i, tag, n)) {
            return true;
        }
    }
    return false;
}

bool payer_is_of(const struct weir_payer_view *p, uint8_t scope, struct weir_project_id project, struct weir_user_id user, const char *tag)
{
    switch ((enum weir_budget_scope)scope) {
    case WEIR_BUDGET_ORGANISATION:
        return true;
    case WEIR_BUDGET_PROJECT:
        return p->project.v == project.v;
    case WEIR_BUDGET_USER:
        return p->user.v == user.v;
    case WEIR_BUDGET_TAG:
        return tags_have(p->tags, tag);
    case WEIR_BUDGET_SCOPE_MAX:
        break;
    }
    return false;
}

bool weir_budget_counts(const struct weir_budget *b, const struct weir_payer_view *payer)
{
    return payer_is_of(payer, b->scope, b->project, b->user, b->tag);
}

struct limits *limits_of(struct weir_core *c, const struct payer *p)
{
    budget_vec set = {0};
    quota_vec quotas = {0};
    struct weir_payer_view payer = view_of(p);
    for (size_t i = 0; i < c->budgets.n; i++) {
        if (weir_budget_counts(&c->budgets.p[i]->def, &payer)) {
            weir_vec_push(&set, c->budgets.p[i]);
        }
    }
    for (size_t i = 0; i < c->quotas.n; i++) {
        const struct weir_quota *d = &c->quotas.p[i]->def;
        if (payer_is_of(&payer, d->scope, d->project, d->user, d->tag)) {
            weir_vec_push(&quotas, c->quotas.p[i]);
        }
    }
    struct limits *l = limits_intern(c, &set, &quotas);
    weir_vec_release(&set);
    weir_vec_release(&quotas);
    return l;
}

/* ---- spans ---- */

static int64_t month_start_us(int year, int month)
{
    year += (month - 1) / 12;
    month = (month - 1) % 12 + 1;
    return weir_wall_from_date((struct weir_date){.year = year, .month = month, .day = 1}).us;
}

void span_at(uint8_t span, struct weir_wall from, struct weir_wall until, struct weir_wall at, int64_t *ret_from_us, int64_t *ret_until_us)
{
    struct weir_date d = weir_wall_to_date((struct weir_wall){max_i64(at.us, 1)});
    switch ((enum weir_budget_span)span) {
    case WEIR_BUDGET_MONTH:
        *ret_from_us = month_start_us(d.year, d.month);
        *ret_until_us = month_start_us(d.year, d.month + 1);
        return;
    case WEIR_BUDGET_QUARTER:
        d.month = (d.month - 1) / 3 * 3 + 1;
        *ret_from_us = month_start_us(d.year, d.month);
        *ret_until_us = month_start_us(d.year, d.month + 3);
        return;
    case WEIR_BUDGET_FIXED:
        *ret_from_us = from.us;
        *ret_until_us = until.us;
        return;
    case WEIR_BUDGET_FOREVER:
    case WEIR_BUDGET_SPAN_MAX:
        *ret_from_us = 0;
        *ret_until_us = US_NEVER;
        return;
    }
}

void weir_budget_span_at(const struct weir_budget *b, struct weir_wall at, struct weir_wall *ret_from, struct weir_wall *ret_until)
{
    span_at(b->span, b->from, b->until, at, &ret_from->us, &ret_until->us);
}

static void budget_span_at(const struct weir_core *c, struct budget *b)
{
    span_at(b->def.span, b->def.from, b->def.until, (struct weir_wall){c->now_us}, &b->from_us, &b->until_us);
}

bool budget_is_active(const struct weir_core *c, const struct budget *b)
{
    return b->from_us <= c->now_us && c->now_us < b->until_us;
}

int64_t span_due_us(const struct weir_core *c, uint8_t span, int64_t from_us, int64_t until_us)
{
    if (c->now_us < from_us) {
        return from_us;
    }
    return c->now_us < until_us || span != WEIR_BUDGET_FIXED ? until_us : US_NEVER;
}

int64_t budget_due_us(const struct weir_core *c, const struct budget *b)
{
    return span_due_us(c, b->def.span, b->from_us, b->until_us);
}

static void timer_for_budget(struct weir_core *c, const struct budget *b)
{
    timer_add(c, (struct timer){budget_due_us(c, b), b->id, 0, 0, TIMER_BUDGET});
}

void budget_look(struct weir_core *c, struct budget *b)
{
    if (c->now_us >= b->until_us && b->def.span != WEIR_BUDGET_FIXED) {
        budget_span_at(c, b);
        b->charged_micro = 0;
        b->reached = 0;
    }
    budget_changed(c, b);
    timer_for_budget(c, b);
}

/* ---- thresholds ---- */

static bool run_is_counted(const struct budget *b, const struct run *r, const struct node *n)
{
    return limits_count(r->job->payer->limits, b) && (!b->def.cloud_only || n->lease != NULL);
}

/* What runs saves and stops; what only waits for its machine goes back at once. */
static void stop_all(struct weir_core *c, const struct budget *b)
{
    for (size_t i = 0; i < c->nodes.n; i++) {
        struct node *n = c->nodes.p[i];
        for (size_t k = 0; k < n->runs.n;) {
            struct run *r = n->runs.p[k].run;
            if (!run_is_counted(b, r, n)) {
                k++;
            } else if (run_halt(c, r, WEIR_REASON_BUDGET)) {
                k++;
            } else {
                k = 0; /* a gang may have stood here more than once */
            }
        }
    }
}

static bool is_reached(const struct budget *b, uint32_t percent)
{
    return (weir_i128)b->charged_micro * 100 >= (weir_i128)b->def.amount_micro * percent;
}

static void thresholds_look(struct weir_core *c, struct budget *b)
{
    unsigned was = b->reached;
    unsigned reached = 0;
    for (uint32_t i = 0; i < b->def.n_thresholds; i++) {
        reached |= (unsigned)is_reached(b, b->def.threshold[i].percent) << i;
    }
    b->reached = (uint8_t)reached;
    for (uint32_t i = 0; i < b->def.n_thresholds && budget_is_active(c, b); i++) {
        bool now = (reached >> i & 1u) != 0 && (was >> i & 1u) == 0;
        if (now && b->def.threshold[i].action == WEIR_BUDGET_STOP_ALL) {
            stop_all(c, b);
        }
    }
}

int64_t weir_budget_over_micro(const struct weir_budget_view *v)
{
    return max_i64(weir_i64_sub_sat(weir_i64_add_sat(v->charged_micro, v->held_micro), v->def.amount_micro), 0);
}

/* ---- setting and removing ---- */

struct budget *budget_find(const struct weir_core *c, uint32_t id)
{
    for (size_t i = 0; i < c->budgets.n; i++) {
        if (c->budgets.p[i]->id == id) {
            return c->budgets.p[i];
        }
    }
    return NULL;
}

static struct budget *budget_named(const struct weir_core *c, const char *name)
{
    for (size_t i = 0; i < c->budgets.n; i++) {
        if (weir_streq(c->budgets.p[i]->def.name, name)) {
            return c->budgets.p[i];
        }
    }
    return NULL;
}

int budget_check(const struct weir_core *c, const struct weir_budget *b, struct weir_err *err)
{
    if (memchr(b->name, 0, sizeof b->name) == NULL || b->name[0] == '\0' || memchr(b->tag, 0, sizeof b->tag) == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "budget: no name, or a text that does not end");
    }
    bool sane = b->scope < WEIR_BUDGET_SCOPE_MAX && b->span < WEIR_BUDGET_SPAN_MAX && b->amount_micro >= 0 &&
                b->n_thresholds <= WEIR_BUDGET_THRESHOLDS_MAX && (b->scope != WEIR_BUDGET_TAG || b->tag[0] == '"');
    for (uint32_t i = 0; sane && i < b->n_thresholds; i++) {
        const struct weir_budget_threshold *t = &b->threshold[i];
        sane = t->percent > 0 && t->percent <= 1000 && t->action < WEIR_BUDGET_ACTION_MAX;
    }
    if (!sane) {
        return weir_fail(err, -WEIR_EINVAL, "budget '%s': its scope, span, amount or a threshold is not one", b->name);
    }
    if (b->span == WEIR_BUDGET_FIXED && (b->from.us < 0 || b->until.us <= b->from.us)) {
        return weir_fail(err, -WEIR_EINVAL, "budget '%s': its span ends before it begins", b->name);
    }
    if (c->budgets.n >= WEIR_BUDGETS_MAX && budget_named(c, b->name) == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "budget '%s': there are %d already", b->name, WEIR_BUDGETS_MAX);
    }
    return 0;
}

void limits_rescope(struct weir_core *c)
{
    for (size_t i = 0; i < c->payers.n; i++) {
        struct payer *p = c->payers.p[i];
        bool had = has_budgets(p->limits);
        p->limits = limits_of(c, p);
        p->anew = !had && has_budgets(p->limits);
    }
    for (const struct job_page *p = c->pages; p != NULL; p = p->next) {
        for (uint32_t i = 0; i < 1u << JOB_PAGE_BITS; i++) {
            struct job *j = p->job[i];
            if (j != NULL && j->class->limits != j->payer->limits) {
                queue_rekey(c, j);
            }
        }
    }
    limits_adopt(c);
    limits_recount(c);
    for (size_t i = 0; i < c->leases.n; i++) {
        if (c->leases.p[i]->node != NULL) {
            lease_cap(c, c->leases.p[i]); /* it may be paid for by others, or by nobody */
        }
    }
}

static bool counts_the_same(const struct weir_budget *a, const struct weir_budget *b)
{
    return a->scope == b->scope && a->cloud_only == b->cloud_only && a->project.v == b->project.v &&
           a->user.v == b->user.v && weir_streq(a->tag, b->tag);
}

static bool spans_the_same(const struct weir_budget *a, const struct weir_budget *b)
{
    return a->span == b->span && a->from.us == b->from.us && a->until.us == b->until.us;
}

void budget_set(struct weir_core *c, const struct weir_event *ev)
{
    const struct weir_budget *def = ev->u.budget_set.budget;
    struct budget *b = budget_named(c, def->name);
    bool is_new = b == NULL;
    if (is_new) {
        b = weir_alloc(sizeof *b);
        b->id = c->budgets.n == 0 ? 1 : c->budgets.p[c->budgets.n - 1]->id + 1;
        weir_vec_push(&c->budgets, b);
    }
    bool same_scope = !is_new && counts_the_same(&b->def, def);
    bool same_span = !is_new && spans_the_same(&b->def, def);
    b->def = *def;
    if (!same_span) {
        budget_span_at(c, b);
        timer_for_budget(c, b);
    }
    if (!same_span || !same_scope) {
        b->charged_micro = max_i64(ev->u.budget_set.charged_micro, 0);
        b->reached = 0;
    }
    if (!same_scope) {
        limits_rescope(c);
    }
    thresholds_look(c, b);
    budget_changed(c, b);
    c->review = true; /* what was too dear for some may not be so any more */
}

void budget_remove(struct weir_core *c, const char *name)
{
    struct budget *b = budget_named(c, name);
    if (b == NULL) {
        return;
    }
    budget_changed(c, b); /* while it is known: its id is handed out */
    c->review = true;
    size_t i = 0;
    while (c->budgets.p[i] != b) {
        i++;
    }
    memmove(&c->budgets.p[i], &c->budgets.p[i + 1], (c->budgets.n - i - 1) * sizeof *c->budgets.p);
    c->budgets.n--;
    limits_rescope(c);
    limits_forget(c, b, NULL);
    free(b);
}

/* ---- charges ---- */

static int64_t part_in_span(const struct budget *b, const struct weir_charged *k)
{
    int64_t from = max_i64(k->from.us, b->from_us);
    int64_t to = min_i64(k->to.us, b->until_us);
    if (k->from.us >= k->to.us) { /* an instant */
        return k->to.us >= b->from_us && k->to.us <= b->until_us ? k->micro : 0;
    }
    return from >= to ? 0 : weir_mul_div_sat(k->micro, to - from, k->to.us - k->from.us);
}

static void charge_budgets(struct weir_core *c, const struct limits *l, const struct weir_charged *k)
{
    for (size_t i = 0; i < l->budget.n; i++) {
        struct budget *b = l->budget.p[i];
        if (!b->def.cloud_only || k->lease.v != 0) {
            /* a credit may be for what was spent before the budget was made: that gives it nothing */
            b->charged_micro = max_i64(weir_i64_add_sat(b->charged_micro, part_in_span(b, k)), 0);
            budget_changed(c, b);
        }
    }
}

static void charge_run(struct weir_core *c, struct run *r, int64_t micro)
{
    int64_t was = run_held(r);
    r->hold->charged_micro = weir_i64_add_sat(r->hold->charged_micro, micro);
    hold_changed(c, r->hold);
    if (r->pays != NULL) {
        limits_hold(c, r->pays, run_held(r) - was);
    }
}

static void charge_lease(struct weir_core *c, struct lease *l, int64_t micro)
{
    int64_t was = lease_held(l);
    l->charged_micro = weir_i64_add_sat(l->charged_micro, micro);
    lease_changed(c, l);
    limits_hold(c, l->payer->limits, lease_held(l) - was);
}

static void charge_one(struct weir_core *c, const struct weir_charged *k)
{
    const struct payer *p = payer_find(c, k->payer.v);
    struct run *r = k->run.attempt == 0 ? NULL : run_find(c, k->run);
    struct lease *l = k->is_cost ? lease_find(c, k->lease.v) : NULL;
    if (p == NULL || !has_budgets(p->limits)) {
        return;
    }
    if (!k->is_cost) {
        charge_budgets(c, p->limits, k);
    }
    if (r != NULL) {
        charge_run(c, r, k->micro);
    }
    if (l != NULL && l->node != NULL) {
        charge_lease(c, l, k->micro);
    }
}

void budgets_charged(struct weir_core *c, const struct weir_charged *charge, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        charge_one(c, &charge[i]);
    }
    for (size_t i = 0; i < c->unsettled.n; i++) { /* what they were charged is among these */
        limits_hold(c, c->unsettled.p[i].limits, -c->unsettled.p[i].micro);
    }
    weir_vec_clear(&c->unsettled);
    for (size_t i = 0; i < c->budgets.n; i++) {
        if (c->budgets.p[i]->changed) {
            thresholds_look(c, c->budgets.p[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct run *r = charge[i].run.attempt == 0 ? NULL : run_find(c, charge[i].run);
        struct lease *l = charge[i].is_cost ? lease_find(c, charge[i].lease.v) : NULL;
        if (r != NULL) {
            limits_renew_run(c, r);
        }
        if (l != NULL) {
            limits_renew_lease(c, l);
        }
    }
}

bool weir_core_awaits_charges(const struct weir_core *c)
{
    return c->unsettled.n > 0;
}

/* ---- views, changes, restore ---- */

void budget_changed(struct weir_core *c, struct budget *b)
{
    c->budgets_version++;
    if (!b->changed) {
        b->changed = true;
        weir_vec_push(&c->ch_budgets, (struct weir_budget_id){b->id});
    }
}

void budgets_clear_changed(struct weir_core *c)
{
    for (size_t i = 0; i < c->budgets.n; i++) {
        c->budgets.p[i]->changed = false;
    }
    weir_vec_clear(&c->ch_budgets);
}

bool weir_core_budget(const struct weir_core *c, struct weir_budget_id id, struct weir_budget_view *ret)
{
    const struct budget *b = budget_find(c, id.v);
    if (b == NULL) {
        return false;
    }
    *ret = (struct weir_budget_view){.id = id,
                                     .def = b->def,
                                     .span_from = {b->from_us},
                                     .span_until = {b->until_us == US_NEVER ? 0 : b->until_us},
                                     .charged_micro = b->charged_micro,
                                     .held_micro = b->held_micro,
                                     .reached = b->reached};
    return true;
}

size_t weir_core_budgets(const struct weir_core *c, struct weir_budget_id *ret, size_t max)
{
    for (size_t i = 0; i < c->budgets.n && i < max; i++) {
        ret[i].v = c->budgets.p[i]->id;
    }
    return c->budgets.n;
}

int weir_core_restore_budget(struct weir_core *c, const struct weir_budget_view *v, struct weir_err *err)
{
    if (budget_check(c, &v->def, err) < 0) {
        return weir_fail_prefix(err, -WEIR_ECORRUPT, "budget %u", v->id.v);
    }
    uint32_t last = c->budgets.n == 0 ? 0 : c->budgets.p[c->budgets.n - 1]->id;
    if (v->id.v <= last || budget_named(c, v->def.name) != NULL || v->charged_micro < 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "budget %u: stored twice, out of order, or charged less than nothing", v->id.v);
    }
    struct budget *b = weir_alloc(sizeof *b);
    b->id = v->id.v;
    b->def = v->def;
    b->from_us = v->span_from.us;
    b->until_us = v->span_until.us == 0 ? US_NEVER : v->span_until.us;
    b->charged_micro = v->charged_micro;
    b->reached = v->reached;
    weir_vec_push(&c->budgets, b);
    payers_restore_limits(c);
    return 0;
}

void payers_restore_limits(struct weir_core *c)
{
    for (size_t i = 0; i < c->payers.n; i++) {
        c->payers.p[i]->limits = limits_of(c, c->payers.p[i]);
    }
}

void budgets_settle_restored(struct weir_core *c)
{
    for (size_t i = 0; i < c->budgets.n; i++) {
        timer_for_budget(c, c->budgets.p[i]);
    }
}

void budgets_release(struct weir_core *c)
{
    for (size_t i = 0; i < c->budgets.n; i++) {
        free(c->budgets.p[i]);
    }
    for (size_t i = 0; i < c->payers.n; i++) {
        free(c->payers.p[i]);
    }
    limits_release(c);
    weir_vec_release(&c->budgets);
    weir_vec_release(&c->payers);
    weir_vec_release(&c->unsettled);
    weir_vec_release(&c->ch_budgets);
    weir_map_release(&c->payer_by_hash);
}
