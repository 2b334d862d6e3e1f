/* SPDX-License-Identifier: Apache-2.0 */

#include "replay_budgets.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

#define LOOK_US (10 * WEIR_US_PER_MIN)
#define NO_SPAN UINT32_MAX

/* A budget that is counted, in force or not; or a quota that is in force, of which def has the scope and the span. */
struct counted {
    struct weir_budget def;
    const struct weir_sim_budget *given; /* NULL: a quota */
    const struct weir_sim_quota *quota;
    size_t set;
    uint32_t span;    /* the last one's number; NO_SPAN: there was none */
    uint8_t reached;  /* in that span, as was seen */
    uint64_t jobs;    /* submitted, of its scope */
};

/* What a budget counted in a span, and whose it is. */
struct span {
    uint32_t budget;
    struct weir_sim_budget_span told;
};

struct weir_replay_budgets {
    const struct weir_replay_site *site;
    int in_force;
    struct weir_sim_world *world;
    int64_t shift_us;
    int64_t looked_us; /* the last look, or the begin */
    int64_t before_us; /* the one before */
    uint32_t default_project; /* the number of the project that jobs without one are in; 0: none is so named */
    WEIR_VEC(struct counted) budget;
    WEIR_VEC(struct span) span;
    size_t n_budgets; /* of budget: the first ones; quotas follow */
    WEIR_VEC(struct weir_budget) def;    /* of those in force, for the world */
    WEIR_VEC(struct weir_quota) quota;
    WEIR_VEC(int64_t) spent;
    struct weir_map blocked; /* kind -> number of what tasks of it wait for, plus one; of one look */
};

/* ---- beginning ---- */

/* The numbers of who is meant. */
static void add(struct weir_replay_budgets *b, struct counted *c, const char *whose, struct weir_sim_workload *work)
{
    if (c->def.scope == WEIR_BUDGET_PROJECT) {
        uint32_t number = weir_sim_workload_number_project(work, whose);
        c->def.project.v = number + 1; /* 0 is no project to the core */
        b->default_project = weir_streq(whose, "default") ? number : b->default_project;
    } else if (c->def.scope == WEIR_BUDGET_USER) {
        c->def.user.v = weir_sim_workload_number_user(work, whose);
    }
    weir_vec_push(&b->budget, *c);
}

static void add_budgets(struct weir_replay_budgets *b, size_t set, struct weir_sim_workload *work)
{
    const struct weir_sim_budget_set *all = &b->site->budget_set[set];
    for (size_t i = 0; i < all->n; i++) {
        struct counted c = {.def = all->budget[i].def, .given = &all->budget[i], .set = set, .span = NO_SPAN};
        c.def.amount_micro = (int64_t)llround((double)c.def.amount_micro * b->site->param[WEIR_REPLAY_BUDGET_FACTOR]);
        add(b, &c, all->budget[i].whose, work);
        b->n_budgets++;
    }
}

/* Those that are not in force are there for the numbers of their projects and users, which are the same in every run then. */
static void add_quotas(struct weir_replay_budgets *b, size_t set, struct weir_sim_workload *work)
{
    const struct weir_sim_budget_set *all = &b->site->budget_set[set];
    for (size_t i = 0; i < all->n_quotas; i++) {
        const struct weir_quota *q = &all->quota[i].def;
        struct counted c = {.def = {.scope = q->scope, .span = q->span, .from = q->from, .until = q->until}, .quota = &all->quota[i], .set = set, .span = NO_SPAN};
        snprintf(c.def.name, sizeof c.def.name, "%s", q->name);
        add(b, &c, all->quota[i].whose, work);
    }
}

static const char *scope_of(const struct counted *c)
{
    return c->quota != NULL ? c->quota->scope : c->given->scope;
}

struct weir_replay_budgets *weir_replay_budgets_new(const struct weir_replay_site *site, int in_force, struct weir_sim_workload *work)
{
    if (site->n_budget_sets == 0) {
        return NULL;
    }
    struct weir_replay_budgets *b = weir_alloc(sizeof *b);
    b->site = site;
    b->in_force = in_force;
    for (size_t i = 0; i < site->n_budget_sets; i++) {
        if (in_force < 0 || (size_t)in_force == i) {
            add_budgets(b, i, work);
        }
    }
    for (size_t i = 0; i < site->n_budget_sets; i++) {
        if (in_force < 0 || (size_t)in_force == i) {
            add_quotas(b, i, work);
        }
    }
    return b;
}

void weir_replay_budgets_free(struct weir_replay_budgets *b)
{
    if (b != NULL) {
        weir_vec_release(&b->budget);
        weir_vec_release(&b->span);
        weir_vec_release(&b->def);
        weir_vec_release(&b->quota);
        weir_vec_release(&b->spent);
        weir_map_release(&b->blocked);
        free(b);
    }
}

/* A fixed span is the work's; the world's time may be another. */
static struct weir_budget shifted(const struct weir_budget *def, int64_t shift_us)
{
    struct weir_budget d = *def;
    if (d.span == WEIR_BUDGET_FIXED) {
        d.from.us = weir_i64_add_sat(d.from.us, shift_us);
        d.until.us = weir_i64_add_sat(d.until.us, shift_us);
    }
    return d;
}

void weir_replay_budgets_conf(struct weir_replay_budgets *b, struct weir_sim_world_conf *conf, int64_t shift_us)
{
    if (b == NULL) {
        return;
    }
    b->shift_us = shift_us;
    conf->payers = true;
    for (size_t i = b->n_budgets; i < b->budget.n && b->in_force >= 0; i++) {
        const struct counted *c = &b->budget.p[i];
        struct weir_budget def = shifted(&c->def, shift_us);
        struct weir_quota q = c->quota->def;
        q.project = def.project;
        q.user = def.user;
        q.from = def.from;
        q.until = def.until;
        q.gpu_model = c->quota->model[0] == '\0' ? WEIR_GPU_MODEL_ANY : weir_gpu_table_find(b->site->gpus, weir_sv_of(c->quota->model));
        weir_vec_push(&b->quota, q);
    }
    for (size_t i = 0; i < b->n_budgets && b->in_force >= 0; i++) {
        weir_vec_push(&b->def, shifted(&b->budget.p[i].def, shift_us));
        weir_vec_push(&b->spent, b->budget.p[i].given->spent_micro);
    }
    conf->budget = b->def.p;
    conf->budget_spent = b->spent.p;
    conf->n_budgets = b->def.n;
    conf->quota = b->quota.p;
    conf->n_quotas = b->quota.n;
}

void weir_replay_budgets_begin(struct weir_replay_budgets *b, struct weir_sim_world *world)
{
    if (b != NULL) {
        b->world = world;
        b->looked_us = weir_sim_world_now(world).us;
    }
}

uint32_t weir_replay_budgets_project(const struct weir_replay_budgets *b, uint32_t project)
{
    return 1 + (b != NULL && project == 0 ? b->default_project : project);
}

void weir_replay_budgets_submitted(struct weir_replay_budgets *b, struct weir_project_id project, struct weir_user_id user)
{
    const struct weir_payer_view payer = {.project = project, .user = user, .tags = ""};
    for (size_t i = 0; b != NULL && i < b->budget.n; i++) {
        b->budget.p[i].jobs += weir_budget_counts(&b->budget.p[i].def, &payer);
    }
}

/* ---- what counts ---- */

static struct span *span_of(struct weir_replay_budgets *b, uint32_t number, int64_t at_us)
{
    struct counted *c = &b->budget.p[number];
    struct weir_budget def = shifted(&c->def, b->shift_us);
    struct weir_wall from = {0};
    struct weir_wall until = {0};
    weir_budget_span_at(&def, (struct weir_wall){at_us}, &from, &until);
    if (c->span != NO_SPAN && b->span.p[c->span].told.from.us == from.us) {
        return &b->span.p[c->span];
    }
    for (size_t i = 0; i < b->span.n; i++) {
        if (b->span.p[i].budget == number && b->span.p[i].told.from.us == from.us) {
            return &b->span.p[i]; /* the one before: a posting reaches over the end of its span */
        }
    }
    struct span s = {.budget = number};
    bool first = c->span == NO_SPAN;
    s.told = (struct weir_sim_budget_span){.cloud_only = c->def.cloud_only, .from = from, .until = until, .amount_micro = c->def.amount_micro,
                                           .without_micro = -1};
    snprintf(s.told.name, sizeof s.told.name, "%s", c->def.name);
    snprintf(s.told.scope, sizeof s.told.scope, "%s", scope_of(c));
    if (c->quota != NULL) {
        s.told.is_quota = true;
        s.told.limit = c->quota->limit;
        snprintf(s.told.counts, sizeof s.told.counts, "%s", c->quota->counts);
    } else {
        s.told.spent_micro = first ? c->given->spent_micro : 0;
    }
    c->span = (uint32_t)b->span.n;
    c->reached = 0;
    weir_vec_push(&b->span, s);
    return &b->span.p[b->span.n - 1];
}

/* Spreads what was posted over the budget's spans. */
static void count(struct weir_replay_budgets *b, uint32_t number, const struct weir_posting *posting)
{
    int64_t from = posting->from.us;
    do {
        struct span *s = span_of(b, number, from);
        int64_t to = posting->to.us < s->told.until.us ? posting->to.us : s->told.until.us;
        bool counts = from >= s->told.from.us && from < s->told.until.us;
        if (b->budget.p[number].def.span == WEIR_BUDGET_FIXED && !counts) {
            to = from < s->told.from.us && s->told.from.us < posting->to.us ? s->told.from.us : posting->to.us;
        } else {
            s->told.spent_micro += weir_posting_slice(posting, posting->amount_micro, from, to);
        }
        from = to;
    } while (from < posting->to.us);
}

void weir_replay_budgets_posted(struct weir_replay_budgets *b, const struct weir_posting *posting)
{
    struct weir_charged k;
    struct weir_payer_view payer;
    if (b == NULL || !weir_posting_charges(posting, &k) || k.is_cost || !weir_sim_world_payer(b->world, k.payer, &payer)) {
        return;
    }
    for (uint32_t i = 0; i < b->n_budgets; i++) {
        const struct weir_budget *def = &b->budget.p[i].def;
        if (weir_budget_counts(def, &payer) && (!def->cloud_only || k.lease.v != 0)) {
            count(b, i, posting);
        }
    }
}

/* ---- who waits ---- */

struct weir_wall weir_replay_budgets_next(const struct weir_replay_budgets *b)
{
    if (b == NULL || b->in_force < 0) {
        return (struct weir_wall){0};
    }
    int64_t next = b->looked_us + LOOK_US;
    for (size_t i = 0; i < b->budget.n; i++) {
        struct weir_budget def = shifted(&b->budget.p[i].def, b->shift_us);
        struct weir_wall from = {0};
        struct weir_wall until = {0};
        weir_budget_span_at(&def, (struct weir_wall){b->looked_us + 1}, &from, &until);
        if (until.us - 1 > b->looked_us && until.us - 1 < next) {
            next = until.us - 1; /* who still waits when the span ends? */
        }
    }
    return (struct weir_wall){next};
}

void weir_replay_budgets_look(struct weir_replay_budgets *b)
{
    int64_t now_us = weir_sim_world_now(b->world).us;
    weir_map_release(&b->blocked);
    for (uint32_t i = 0; i < b->n_budgets; i++) {
        struct weir_budget_view v = weir_sim_world_budget(b->world, i + 1);
        struct weir_sim_budget_span *s = &span_of(b, i, now_us)->told;
        unsigned news = v.reached & ~(unsigned)b->budget.p[i].reached;
        for (uint32_t k = 0; k < v.def.n_thresholds; k++) {
            if ((news >> k & 1u) != 0) {
                struct weir_sim_reached *r = &s->reached[s->n_reached++];
                snprintf(r->threshold, sizeof r->threshold, "%u:%s", (unsigned)v.def.threshold[k].percent,
                         weir_budget_action_name((enum weir_budget_action)v.def.threshold[k].action));
                r->at.us = now_us;
            }
        }
        b->budget.p[i].reached |= (uint8_t)news;
    }
    b->before_us = b->looked_us;
    b->looked_us = now_us;
}

void weir_replay_budgets_look_at(struct weir_replay_budgets *b, struct weir_job_id job, uint64_t kind, int64_t waits_since_us, uint32_t *mark)
{
    int64_t now_us = b->looked_us;
    uint64_t number = 0;
    if (!weir_map_get(&b->blocked, kind, &number)) {
        struct weir_sim_limit l = weir_sim_world_waits_for(b->world, job);
        number = l.quota != 0 ? b->n_budgets + l.quota : l.budget;
        weir_map_put(&b->blocked, kind, number);
    }
    if (number == 0) {
        return;
    }
    struct span *s = span_of(b, (uint32_t)number - 1, now_us);
    uint32_t span = (uint32_t)(s - b->span.p) + 1;
    int64_t since = b->before_us > waits_since_us ? b->before_us : waits_since_us;
    s->told.held_back += *mark != span;
    s->told.waited_h += (double)(now_us - since) / (double)WEIR_US_PER_HOUR;
    s->told.waiting += s->told.until.us - 1 == now_us;
    *mark = span;
}

bool weir_replay_budgets_never(struct weir_replay_budgets *b, uint32_t mark)
{
    if (b == NULL || mark == 0) {
        return false;
    }
    b->span.p[mark - 1].told.never++;
    return true;
}

/* ---- what it came to ---- */

static int by_budget(const void *a, const void *b)
{
    const struct span *x = a;
    const struct span *y = b;
    int order = (x->budget > y->budget) - (x->budget < y->budget);
    return order != 0 ? order : (x->told.from.us > y->told.from.us) - (x->told.from.us < y->told.from.us);
}

/* Spans in which only the run without budgets spent anything. */
static void add_unspent(struct weir_replay_budgets *b, uint32_t number, const struct weir_sim_budget_spans *without)
{
    for (size_t i = 0; i < without->n; i++) {
        const struct weir_sim_budget_span *w = &without->span[i];
        bool known = !weir_streq(w->name, b->budget.p[number].def.name);
        for (size_t k = 0; k < b->span.n && !known; k++) {
            known = b->span.p[k].budget == number && b->span.p[k].told.from.us == w->from.us;
        }
        if (!known) {
            struct span s = {.budget = number, .told = *w};
            s.told.spent_micro = 0;
            weir_vec_push(&b->span, s);
        }
    }
}

/* The work's own time, and no time where a span has no begin or end. */
static void unshift(struct weir_sim_budget_span *s, int64_t shift_us)
{
    s->from.us = s->from.us <= shift_us ? 0 : s->from.us - shift_us;
    s->until.us = s->until.us == WEIR_WALL_MAX.us ? 0 : s->until.us - shift_us;
    for (size_t i = 0; i < s->n_reached; i++) {
        s->reached[i].at.us -= shift_us;
    }
}

static bool is_empty(const struct weir_sim_budget_span *s)
{
    return s->spent_micro == 0 && s->without_micro <= 0 && s->held_back == 0;
}

struct weir_sim_budget_spans *weir_replay_budgets_take(struct weir_replay_budgets *b, size_t set, const struct weir_sim_budget_spans *without,
                                                       struct weir_sim_result *result)
{
    struct weir_sim_budget_spans *ret = weir_alloc(sizeof *ret);
    for (uint32_t i = 0; i < b->budget.n; i++) {
        const struct counted *c = &b->budget.p[i];
        if (c->set == set && without != NULL && c->quota == NULL) {
            add_unspent(b, i, without);
        }
        if (c->set == set && c->jobs == 0) {
            weir_sim_note(result, "%s '%s' counts nothing: no job of the work is of %s", c->quota != NULL ? "quota" : "budget", c->def.name, scope_of(c));
        }
    }
    if (b->span.n > 0) {
        qsort(b->span.p, b->span.n, sizeof *b->span.p, by_budget);
    }
    for (size_t i = 0; i < b->span.n; i++) {
        struct weir_sim_budget_span s = b->span.p[i].told;
        if (b->budget.p[b->span.p[i].budget].set != set) {
            continue;
        }
        if (without != NULL) {
            const struct weir_sim_budget_span *w = weir_sim_budget_spans_find(without, s.name, s.from);
            s.without_micro = s.is_quota ? -1 : w == NULL ? 0 : w->spent_micro;
            unshift(&s, b->shift_us);
        }
        if (without == NULL || !is_empty(&s)) {
            *weir_sim_budget_spans_add(ret) = s;
        }
    }
    return ret;
}
