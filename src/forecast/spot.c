/* SPDX-License-Identifier: Apache-2.0 */

#include "spot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/*
 * The prior: changes expected in a spell of age t are 1.4 ((t + 10 min) / 20 min)^0.4, less that at 0. Spells of AWS zones in October
 * 2022 and in early 2023 both look so from ten minutes to a day, up and down alike; costs hardly move when a number does.
 */
#define SPELL_CHANGES 1.4
#define SPELL_OFFSET_US 600e6
#define SPELL_SCALE_US 1200e6
#define SPELL_POWER 0.4
#define PRIOR_CHANGES 8.0 /* how many changes the prior factor of 1 is worth */
#define FADE 0.8          /* of what is remembered, at each change */
#define FADE_TICK 0.999   /* of how often another zone was up, at each tick */
#define PRIOR_ELSEWHERE 4.0

enum {
    PHASES = 10, /* of a spell's age in ticks: 1, 2, 3-4, 5-8, ... */
    FIRST_AGE = 6, /* of a spell that was there when looking began */
    OTHER_PHASE = 4, /* that another zone's spell has, when one moves there */
    TICKS_MAX = 2048,
    NODES_MAX = 96,
    UP_STEPS = 9, /* values of the factors */
    DOWN_STEPS = 14,
    ELSEWHERE_STEPS = 5,
    ONE_STEP = 4, /* the step whose factor is 1 */
};
#define STEP 1.3

/* Thresholds of slack, in ticks, by ticks left and phase. */
struct plan {
    float up_spot_from_none[PHASES]; /* from here on, spot rather than on-demand */
    float up_wait_from_none[PHASES]; /* from here on, rather nothing */
    float up_spot_from_on_demand[PHASES];
    float up_wait_from_on_demand[PHASES];
    float down_wait_from_none[PHASES];
    float down_wait_from_on_demand[PHASES];
};

struct weir_spot_rule {
    struct weir_spot_terms terms;
    double overhead; /* ticks */
    double hazard[PHASES]; /* of a change at the next tick, factor 1 */
    double onward[PHASES]; /* of growing into the next phase */
    size_t n_ticks;
    size_t n_nodes;
    float node[NODES_MAX]; /* slack, ascending */
    /* Where slack - 1 and slack - overhead lie among the nodes. */
    struct weir_spot_shift {
        size_t first; /* node from which it is not negative */
        uint16_t low[NODES_MAX];
        float part[NODES_MAX];
    } tick_less, launch_less;
    struct plan *plans[UP_STEPS][DOWN_STEPS][ELSEWHERE_STEPS]; /* [n_ticks + 1] each; NULL: not made */
};

/* Values and expectations of one layer of the programme. */
enum {
    ON_SPOT, /* up, a productive spot machine held */
    UP_NONE,
    UP_ON_DEMAND,
    DOWN_NONE,
    DOWN_ON_DEMAND,
    SITUATIONS,
};
typedef float layer[SITUATIONS][PHASES][NODES_MAX];

static double age_low(int phase)
{
    return phase == 0 ? 0 : (double)(1 << (phase - 1));
}

static int phase_of(uint32_t age)
{
    int p = 0;
    while (p < PHASES - 1 && age > (uint32_t)1 << p) {
        p++;
    }
    return p;
}

static void set_shift(struct weir_spot_rule *r, struct weir_spot_shift *s, double by)
{
    s->first = r->n_nodes;
    size_t low = 0;
    for (size_t i = 0; i < r->n_nodes; i++) {
        double to = (double)r->node[i] - by;
        if (to < -1e-9) {
            continue;
        }
        s->first = i < s->first ? i : s->first;
        while (low + 2 < r->n_nodes && (double)r->node[low + 1] <= to) {
            low++;
        }
        s->low[i] = (uint16_t)low;
        double part = (to - (double)r->node[low]) / ((double)r->node[low + 1] - (double)r->node[low]);
        s->part[i] = (float)(part < 0 ? 0 : part > 1 ? 1 : part);
    }
}

struct weir_spot_rule *weir_spot_rule_new(const struct weir_spot_terms *terms)
{
    WEIR_ASSERT(terms->tick_us > 0 && terms->overhead_us >= 0 && terms->horizon_us > 0);
    WEIR_ASSERT(terms->spot_rate >= 0 && terms->on_demand_rate > 0 && terms->spot_rate <= terms->on_demand_rate);
    struct weir_spot_rule *r = weir_alloc(sizeof *r);
    r->terms = *terms;
    r->overhead = (double)terms->overhead_us / (double)terms->tick_us;
    int64_t ticks = terms->horizon_us / terms->tick_us;
    r->n_ticks = ticks > TICKS_MAX ? TICKS_MAX : ticks < 2 ? 2 : (size_t)ticks;
    double unit = (double)terms->tick_us / SPELL_SCALE_US;
    double offset = SPELL_OFFSET_US / SPELL_SCALE_US;
    for (int p = 0; p < PHASES; p++) {
        double low = age_low(p);
        double high = (double)(1 << p);
        double sum = pow(high * unit + offset, SPELL_POWER) - pow(low * unit + offset, SPELL_POWER);
        r->hazard[p] = SPELL_CHANGES * sum / (high - low);
        r->onward[p] = p == PHASES - 1 ? 0 : 1 / (high - low);
    }
    /* Fine where slack is short, then by an eighth. */
    for (double at = 0; r->n_nodes < NODES_MAX; at += at < 4 ? 0.25 : at / 8) {
        r->node[r->n_nodes++] = (float)at;
        if (at > (double)r->n_ticks) {
            break;
        }
    }
    set_shift(r, &r->tick_less, 1);
    set_shift(r, &r->launch_less, r->overhead);
    return r;
}

void weir_spot_rule_freep(struct weir_spot_rule **rule)
{
    if (*rule == NULL) {
        return;
    }
    for (int u = 0; u < UP_STEPS; u++) {
        for (int d = 0; d < DOWN_STEPS; d++) {
            for (int e = 0; e < ELSEWHERE_STEPS; e++) {
                free((*rule)->plans[u][d][e]);
            }
        }
    }
    free(*rule);
    *rule = NULL;
}

/* ---- the programme ---- */

struct odds {
    float change[2][PHASES]; /* of a change at the next tick: out of down, out of up */
    float elsewhere;         /* that another zone is up when one goes */
};

/* next[situation][phase] becomes what is to be expected behind a tick in which the machine of that situation was held. */
static void expect(const struct weir_spot_rule *r, const struct odds *odds, layer value, layer next)
{
    for (int p = 0; p < PHASES; p++) {
        float on = (float)r->onward[p];
        int older = p < PHASES - 1 ? p + 1 : p;
        float up = odds->change[1][p];
        float down = odds->change[0][p];
        float moved = up * odds->elsewhere;
        float lost = up - moved;
        for (size_t i = 0; i < r->n_nodes; i++) {
            float keep = 1 - up;
            next[ON_SPOT][p][i] = keep * (value[ON_SPOT][p][i] + on * (value[ON_SPOT][older][i] - value[ON_SPOT][p][i])) +
                                  lost * value[DOWN_NONE][0][i] + moved * value[UP_NONE][OTHER_PHASE][i];
            next[UP_NONE][p][i] = keep * (value[UP_NONE][p][i] + on * (value[UP_NONE][older][i] - value[UP_NONE][p][i])) +
                                  lost * value[DOWN_NONE][0][i] + moved * value[UP_NONE][OTHER_PHASE][i];
            next[UP_ON_DEMAND][p][i] =
                keep * (value[UP_ON_DEMAND][p][i] + on * (value[UP_ON_DEMAND][older][i] - value[UP_ON_DEMAND][p][i])) +
                lost * value[DOWN_ON_DEMAND][0][i] + moved * value[UP_ON_DEMAND][OTHER_PHASE][i];
            keep = 1 - down;
            next[DOWN_NONE][p][i] =
                keep * (value[DOWN_NONE][p][i] + on * (value[DOWN_NONE][older][i] - value[DOWN_NONE][p][i])) +
                down * value[UP_NONE][0][i];
            next[DOWN_ON_DEMAND][p][i] =
                keep * (value[DOWN_ON_DEMAND][p][i] + on * (value[DOWN_ON_DEMAND][older][i] - value[DOWN_ON_DEMAND][p][i])) +
                down * value[UP_ON_DEMAND][0][i];
        }
    }
}

#define NEVER 1e6F

/* What v says at the nodes moved down by the shift, plus cost; below node `first`: never. */
static void shifted(const struct weir_spot_rule *r, const struct weir_spot_shift *s, const float *v, float cost, size_t first,
                    float *ret)
{
    for (size_t i = 0; i < r->n_nodes; i++) {
        size_t low = s->low[i];
        ret[i] = cost + v[low] + s->part[i] * (v[low + 1] - v[low]);
    }
    for (size_t i = 0; i < first && i < r->n_nodes; i++) {
        ret[i] = NEVER;
    }
}

static size_t first_node(const struct weir_spot_rule *r, double slack)
{
    size_t i = 0;
    while (i < r->n_nodes && (double)r->node[i] < slack - 1e-6) {
        i++;
    }
    return i;
}

/* The least slack from which on `patient` costs no more than `eager`, among the nodes below `end`; never less than `guard`,
 * which is where patience begins to be allowed. */
static float threshold(const struct weir_spot_rule *r, const float *patient, const float *eager, size_t end, double guard)
{
    size_t i = end;
    while (i > 0 && patient[i - 1] <= eager[i - 1]) {
        i--;
    }
    if (i == 0) {
        return (float)guard;
    }
    if (i == end) {
        return NEVER;
    }
    if (patient[i - 1] >= NEVER) {
        double at = (double)r->node[i - 1] > guard ? (double)r->node[i - 1] : guard;
        return (float)at;
    }
    float above = eager[i] - patient[i];
    float below = patient[i - 1] - eager[i - 1];
    float at = r->node[i - 1] + (r->node[i] - r->node[i - 1]) * (below / (below + above));
    return (double)at < guard ? (float)guard : at;
}

/*
 * As threshold, for spot instead of on-demand. Where next to nothing is left to do, a launch takes longer than the rest on the machine
 * that runs, so spot need not be better at the upper end: of those slacks nothing is said here.
 */
static float spot_threshold(const struct weir_spot_rule *r, const float *spot, const float *on_demand, size_t end, double guard)
{
    while (end > 0 && spot[end - 1] > on_demand[end - 1]) {
        end--;
    }
    return end == 0 || spot[end - 1] >= NEVER ? NEVER : threshold(r, spot, on_demand, end, guard);
}

static float least(float a, float b)
{
    return a < b ? a : b;
}

/* One layer, n ticks before the deadline: values from the expectations behind a tick, and the thresholds. */
static void solve_layer(const struct weir_spot_rule *r, size_t n, layer next, layer value, struct plan *plan)
{
    float spot_cost = (float)((double)r->terms.spot_rate / (double)r->terms.on_demand_rate);
    float launch[NODES_MAX];
    float on_demand[NODES_MAX];
    float kept[NODES_MAX];
    float wait[NODES_MAX];
    float work[NODES_MAX];
    double wait_guard = 1 + r->overhead;
    double spot_guard = ceil(r->overhead) + r->overhead;
    spot_guard = spot_guard < wait_guard ? wait_guard : spot_guard;
    size_t wait_first = first_node(r, wait_guard);
    size_t spot_first = first_node(r, spot_guard);
    size_t end = first_node(r, (double)n); /* from here on nothing is left to do */
    for (int p = 0; p < PHASES; p++) {
        shifted(r, &r->launch_less, next[ON_SPOT][p], spot_cost, spot_first, launch);
        shifted(r, &r->launch_less, next[UP_ON_DEMAND][p], 1, r->launch_less.first, on_demand);
        shifted(r, &r->tick_less, next[UP_NONE][p], 0, wait_first, wait);
        for (size_t i = 0; i < r->n_nodes; i++) {
            kept[i] = 1 + next[UP_ON_DEMAND][p][i];
            value[ON_SPOT][p][i] = spot_cost + next[ON_SPOT][p][i];
            work[i] = least(launch[i], on_demand[i]);
            value[UP_NONE][p][i] = least(work[i], wait[i]);
        }
        plan->up_spot_from_none[p] = spot_threshold(r, launch, on_demand, end, spot_guard);
        plan->up_wait_from_none[p] = threshold(r, wait, work, end, wait_guard);
        for (size_t i = 0; i < r->n_nodes; i++) {
            work[i] = least(launch[i], kept[i]);
            value[UP_ON_DEMAND][p][i] = least(work[i], wait[i]);
        }
        plan->up_spot_from_on_demand[p] = spot_threshold(r, launch, kept, end, spot_guard);
        plan->up_wait_from_on_demand[p] = threshold(r, wait, work, end, wait_guard);
        shifted(r, &r->launch_less, next[DOWN_ON_DEMAND][p], 1, r->launch_less.first, on_demand);
        shifted(r, &r->tick_less, next[DOWN_NONE][p], 0, wait_first, wait);
        for (size_t i = 0; i < r->n_nodes; i++) {
            kept[i] = 1 + next[DOWN_ON_DEMAND][p][i];
            value[DOWN_NONE][p][i] = least(on_demand[i], wait[i]);
            value[DOWN_ON_DEMAND][p][i] = least(kept[i], wait[i]);
        }
        plan->down_wait_from_none[p] = threshold(r, wait, on_demand, end, wait_guard);
        plan->down_wait_from_on_demand[p] = threshold(r, wait, kept, end, wait_guard);
        for (int s = 0; s < SITUATIONS; s++) {
            memset(&value[s][p][end], 0, (r->n_nodes - end) * sizeof(float));
        }
    }
}

static double factor_of(int step)
{
    return pow(STEP, step - ONE_STEP);
}

static int step_of(double factor, int steps)
{
    double at = log(factor) / log(STEP) + ONE_STEP + 0.5;
    return at < 0 ? 0 : at >= steps ? steps - 1 : (int)at;
}

static struct plan *make_plan(const struct weir_spot_rule *r, int up, int down, int elsewhere)
{
    struct odds odds = {.elsewhere = (float)elsewhere / (ELSEWHERE_STEPS - 1)};
    for (int p = 0; p < PHASES; p++) {
        odds.change[0][p] = (float)(1 - exp(-r->hazard[p] * factor_of(down)));
        odds.change[1][p] = (float)(1 - exp(-r->hazard[p] * factor_of(up)));
    }
    struct plan *plan = weir_calloc(r->n_ticks + 1, sizeof *plan);
    WEIR_CLEANUP(weir_freep) layer *layers = weir_calloc(2, sizeof *layers);
    for (size_t n = 1; n <= r->n_ticks; n++) {
        expect(r, &odds, layers[0], layers[1]);
        solve_layer(r, n, layers[1], layers[0], &plan[n]);
    }
    return plan;
}

/* ---- learning ---- */

void weir_spot_observe(const struct weir_spot_rule *rule, struct weir_spot_market *m, const char *up)
{
    WEIR_ASSERT(m->n_zones <= WEIR_SPOT_ZONES_MAX);
    size_t n_up = 0;
    for (size_t i = 0; i < m->n_zones; i++) {
        struct weir_spot_zone *z = &m->zone[i];
        bool is_up = up[i] == '1';
        n_up += is_up ? 1 : 0;
        if (m->n_ticks == 0) {
            z->up = is_up;
            z->age = FIRST_AGE;
            continue;
        }
        z->expected[z->up] += rule->hazard[phase_of(z->age)];
        if (z->up == is_up) {
            z->age += z->age < UINT32_MAX ? 1 : 0;
            continue;
        }
        z->changes[z->up] = (z->changes[z->up] + 1) * FADE;
        z->expected[z->up] *= FADE;
        z->up = is_up;
        z->age = 1;
    }
    m->n_ticks++;
    size_t n_down = m->n_zones - n_up;
    m->down = m->down * FADE_TICK + (double)n_down;
    m->elsewhere = m->elsewhere * FADE_TICK + (n_up > 0 ? (double)n_down : 0);
}

/* The hazard of a change at the next tick. */
static double hazard_now(const struct weir_spot_rule *r, const struct weir_spot_zone *z)
{
    double factor = (PRIOR_CHANGES + z->changes[z->up]) / (PRIOR_CHANGES + z->expected[z->up]);
    return factor * r->hazard[phase_of(z->age)];
}

/* ---- deciding ---- */

static struct plan *plan_of(struct weir_spot_rule *r, int up, int down, int elsewhere)
{
    struct plan **plan = &r->plans[up][down][elsewhere];
    if (*plan == NULL) {
        *plan = make_plan(r, up, down, elsewhere);
    }
    return *plan;
}

/* What a task sees of the market: the zone to be in, or how soon one may come up. */
struct outlook {
    bool up;
    uint32_t zone; /* the steadiest that is up */
    int phase;
    int up_step;
    int down_step;
    int elsewhere_step;
};

static struct outlook look(const struct weir_spot_rule *r, const struct weir_spot_market *m, uint32_t at)
{
    struct outlook o = {.zone = at};
    double least_hazard = 0;
    double any_hazard = 0;
    uint32_t youngest = UINT32_MAX;
    double up_factor = 0;
    double down_factor = 0;
    for (size_t i = 0; i < m->n_zones; i++) {
        const struct weir_spot_zone *z = &m->zone[i];
        double hazard = hazard_now(r, z);
        up_factor += (PRIOR_CHANGES + z->changes[1]) / (PRIOR_CHANGES + z->expected[1]);
        down_factor += (PRIOR_CHANGES + z->changes[0]) / (PRIOR_CHANGES + z->expected[0]);
        if (z->up) {
            if (!o.up || hazard < least_hazard) {
                least_hazard = hazard;
                o.zone = (uint32_t)i;
            }
            o.up = true;
        } else {
            any_hazard += hazard;
            youngest = z->age < youngest ? z->age : youngest;
        }
    }
    if (o.up) {
        o.phase = phase_of(m->zone[o.zone].age);
        o.up_step = step_of(least_hazard / r->hazard[o.phase], UP_STEPS);
        o.down_step = step_of(down_factor, DOWN_STEPS);
    } else {
        o.phase = phase_of(youngest);
        o.up_step = step_of(up_factor / (double)m->n_zones, UP_STEPS);
        o.down_step = step_of(any_hazard / r->hazard[o.phase], DOWN_STEPS);
    }
    if (m->n_zones > 1) {
        double share = (PRIOR_ELSEWHERE / 2 + m->elsewhere) / (PRIOR_ELSEWHERE + m->down);
        o.elsewhere_step = (int)(share * (ELSEWHERE_STEPS - 1) + 0.5);
    }
    return o;
}

/* Could a spot machine that is never lost end the task for less than the on-demand machine that runs? */
static bool spot_may_pay(const struct weir_spot_terms *t, const struct weir_spot_state *s)
{
    double spot_ticks = ceil(((double)s->left_us + (double)t->overhead_us) / (double)t->tick_us);
    double on_demand_ticks = ceil(((double)s->left_us + (double)s->pending_us) / (double)t->tick_us);
    return spot_ticks * (double)t->spot_rate < on_demand_ticks * (double)t->on_demand_rate;
}

struct weir_spot_choice weir_spot_decide(struct weir_spot_rule *rule, const struct weir_spot_market *m,
                                         const struct weir_spot_state *s)
{
    const struct weir_spot_terms *t = &rule->terms;
    struct weir_spot_choice keep = {s->held, s->zone};
    struct weir_spot_choice on_demand = {WEIR_SPOT_ON_DEMAND, s->zone};
    struct weir_spot_choice none = {WEIR_SPOT_NONE, s->zone};
    WEIR_ASSERT(s->left_us >= 0 && m->n_zones > 0 && s->zone < m->n_zones);
    int64_t left = s->remaining_us <= 0 ? 0 : s->remaining_us / t->tick_us;
    int64_t work_us = s->left_us + t->overhead_us;
    int64_t needed = work_us == 0 ? 0 : (work_us - 1) / t->tick_us + 1;
    if (needed >= left) {
        /* The last chance: a machine that works is kept, a spot machine too; anything else has to be on-demand. */
        return s->held == WEIR_SPOT_SPOT && s->pending_us == 0 ? keep : on_demand;
    }
    if (s->held == WEIR_SPOT_SPOT && m->zone[s->zone].up) {
        return keep;
    }
    bool running = s->held == WEIR_SPOT_ON_DEMAND;
    if (running && !spot_may_pay(t, s)) {
        return keep;
    }
    struct outlook o = look(rule, m, s->zone);
    const struct plan *plans = plan_of(rule, o.up_step, o.down_step, o.elsewhere_step);
    const struct plan *plan = &plans[left > (int64_t)rule->n_ticks ? rule->n_ticks : (size_t)left];
    float slack = (float)((double)left - (double)(s->left_us + s->pending_us) / (double)t->tick_us);
    if (!o.up) {
        float wait = running ? plan->down_wait_from_on_demand[o.phase] : plan->down_wait_from_none[o.phase];
        return slack >= wait ? none : on_demand;
    }
    float wait = running ? plan->up_wait_from_on_demand[o.phase] : plan->up_wait_from_none[o.phase];
    float spot = running ? plan->up_spot_from_on_demand[o.phase] : plan->up_spot_from_none[o.phase];
    if (slack >= wait) {
        return none;
    }
    return slack >= spot ? (struct weir_spot_choice){WEIR_SPOT_SPOT, o.zone} : on_demand;
}
