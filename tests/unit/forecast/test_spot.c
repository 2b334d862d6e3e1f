/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "forecast/follow.h"
#include "forecast/spot.h"

#define MIN INT64_C(60000000)
#define H (60 * MIN)

static struct weir_spot_rule *rule_of(int64_t overhead_us)
{
    struct weir_spot_terms terms = {10 * MIN, overhead_us, 973100, 3060000, 70 * H};
    return weir_spot_rule_new(&terms);
}

/* Shows a market the same picture n times. */
static void see(const struct weir_spot_rule *rule, struct weir_spot_market *m, const char *up, int n)
{
    m->n_zones = strlen(up);
    for (int i = 0; i < n; i++) {
        weir_spot_observe(rule, m, up);
    }
}

static void decisions_follow_the_situation(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *up;
        int ticks; /* that it has been so */
        int64_t left_us;
        int64_t remaining_us;
        enum weir_spot_hold held;
        enum weir_spot_hold want;
    } rows[] = {
        {"much slack: wait", "0", 6, 10 * H, 60 * H, WEIR_SPOT_NONE, WEIR_SPOT_NONE},
        {"much slack: leave on-demand", "0", 6, 10 * H, 60 * H, WEIR_SPOT_ON_DEMAND, WEIR_SPOT_NONE},
        {"little slack: on-demand", "0", 6, 48 * H, 49 * H, WEIR_SPOT_NONE, WEIR_SPOT_ON_DEMAND},
        {"on-demand is kept without spot", "0", 6, 40 * H, 41 * H, WEIR_SPOT_ON_DEMAND, WEIR_SPOT_ON_DEMAND},
        {"spot that has lasted is taken", "1", 60, 40 * H, 44 * H, WEIR_SPOT_NONE, WEIR_SPOT_SPOT},
        {"and over on-demand", "1", 60, 40 * H, 44 * H, WEIR_SPOT_ON_DEMAND, WEIR_SPOT_SPOT},
        {"spot that works is kept at the end", "1", 6, 40 * H, 40 * H + MIN, WEIR_SPOT_SPOT, WEIR_SPOT_SPOT},
        {"the last chance is taken though spot is up", "1", 60, 40 * H, 40 * H + 12 * MIN, WEIR_SPOT_NONE, WEIR_SPOT_ON_DEMAND},
        {"too late already: what helps most", "1", 60, 40 * H, 39 * H, WEIR_SPOT_NONE, WEIR_SPOT_ON_DEMAND},
        {"no time at all", "0", 6, H, 0, WEIR_SPOT_NONE, WEIR_SPOT_ON_DEMAND},
        {"a deadline beyond the horizon", "0", 6, 100 * H, 1000 * H, WEIR_SPOT_NONE, WEIR_SPOT_NONE},
    };
    struct weir_spot_rule *rule = rule_of(3 * MIN);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_spot_market m = {0};
        see(rule, &m, rows[i].up, rows[i].ticks);
        struct weir_spot_state s = {rows[i].left_us, 0, rows[i].remaining_us, rows[i].held, 0};
        struct weir_spot_choice c = weir_spot_decide(rule, &m, &s);
        if (c.hold != rows[i].want) {
            print_error("%s: %d\n", rows[i].name, (int)c.hold);
            fail();
        }
    }
    weir_spot_rule_freep(&rule);
}

static void a_machine_that_still_starts_is_no_last_chance(void **state)
{
    (void)state;
    struct weir_spot_rule *rule = rule_of(6 * MIN);
    struct weir_spot_market m = {0};
    see(rule, &m, "1", 6);
    struct weir_spot_state s = {40 * H, 3 * MIN, 40 * H + 12 * MIN, WEIR_SPOT_SPOT, 0};
    assert_int_equal(weir_spot_decide(rule, &m, &s).hold, WEIR_SPOT_ON_DEMAND);
    weir_spot_rule_freep(&rule);
}

static void the_steadiest_zone_is_taken(void **state)
{
    (void)state;
    struct weir_spot_rule *rule = rule_of(3 * MIN);
    struct weir_spot_market m = {0};
    see(rule, &m, "0100", 30);
    see(rule, &m, "0111", 3);
    struct weir_spot_state s = {20 * H, 0, 30 * H, WEIR_SPOT_NONE, 0};
    struct weir_spot_choice c = weir_spot_decide(rule, &m, &s);
    assert_int_equal(c.hold, WEIR_SPOT_SPOT);
    assert_int_equal(c.zone, 1);
    /* One that is held is kept though another is steadier. */
    s.held = WEIR_SPOT_SPOT;
    s.zone = 3;
    c = weir_spot_decide(rule, &m, &s);
    assert_int_equal(c.hold, WEIR_SPOT_SPOT);
    assert_int_equal(c.zone, 3);
    weir_spot_rule_freep(&rule);
}

/* The least slack, in minutes, at which on-demand is left for spot that has just come up. */
static int64_t boldness(struct weir_spot_rule *rule, const struct weir_spot_market *m)
{
    for (int64_t slack = 0; slack < 60 * 30; slack += 5) {
        struct weir_spot_state s = {20 * H, 0, 20 * H + slack * MIN, WEIR_SPOT_ON_DEMAND, 0};
        if (weir_spot_decide(rule, m, &s).hold == WEIR_SPOT_SPOT) {
            return slack;
        }
    }
    return INT64_MAX;
}

static void what_was_seen_changes_what_is_dared(void **state)
{
    (void)state;
    struct weir_spot_rule *rule = rule_of(6 * MIN);
    struct weir_spot_market steady = {0};
    struct weir_spot_market flicker = {0};
    for (int i = 0; i < 40; i++) {
        see(rule, &steady, "0", 3);
        see(rule, &steady, "1", i == 39 ? 1 : 100);
        see(rule, &flicker, "0", 3);
        see(rule, &flicker, "1", 1);
    }
    assert_true(boldness(rule, &steady) < boldness(rule, &flicker));
    weir_spot_rule_freep(&rule);
}

/* Launches of several ticks: what is left to do decides how well spot pays at the end, not whether it does before. */
static void a_steady_zone_pays_for_long_launches(void **state)
{
    (void)state;
    const int64_t tick_us = 195000000;
    struct weir_spot_terms terms = {tick_us, 12 * MIN, 973100, 3060000, 52 * H};
    struct weir_spot_rule *rule = weir_spot_rule_new(&terms);
    struct weir_spot_market m = {0};
    see(rule, &m, "1", 600);
    for (int64_t left = 60; left < 880; left++) {
        struct weir_spot_state s = {left * tick_us, 0, (left + 60) * tick_us, WEIR_SPOT_ON_DEMAND, 0};
        if (weir_spot_decide(rule, &m, &s).hold != WEIR_SPOT_SPOT) {
            print_error("on-demand is kept with %lld ticks left to do\n", (long long)left);
            fail();
        }
    }
    /* The launch alone would cost more than the rest on-demand. */
    struct weir_spot_state s = {tick_us, 0, 60 * tick_us, WEIR_SPOT_ON_DEMAND, 0};
    assert_int_equal(weir_spot_decide(rule, &m, &s).hold, WEIR_SPOT_ON_DEMAND);
    weir_spot_rule_freep(&rule);
}

/* One task on one zone that changes at random, with no guard but the rule's own. Is it done in time? */
static bool ends_in_time(struct weir_spot_rule *rule, const struct weir_spot_terms *t, struct weir_prng *prng,
                         int64_t left_us, int64_t ticks, uint64_t steadiness)
{
    struct weir_spot_market m = {.n_zones = 1};
    struct weir_spot_state s = {.left_us = left_us, .held = WEIR_SPOT_NONE};
    bool up = weir_prng_below(prng, 2) == 1;
    for (int64_t tick = 0; tick < ticks && s.left_us > 0; tick++) {
        up = weir_prng_below(prng, steadiness) == 0 ? !up : up;
        weir_spot_observe(rule, &m, up ? "1" : "0");
        if (s.held == WEIR_SPOT_SPOT && !up) {
            s.held = WEIR_SPOT_NONE;
            s.pending_us = 0;
        }
        s.remaining_us = (ticks - tick) * t->tick_us;
        struct weir_spot_choice c = weir_spot_decide(rule, &m, &s);
        assert_true(c.hold != WEIR_SPOT_SPOT || up);
        if (c.hold != s.held) {
            s.pending_us = c.hold == WEIR_SPOT_NONE ? 0 : t->overhead_us;
        }
        s.held = c.hold;
        if (c.hold != WEIR_SPOT_NONE) {
            int64_t burnt_us = s.pending_us < t->tick_us ? s.pending_us : t->tick_us;
            int64_t worked_us = t->tick_us - burnt_us;
            s.pending_us -= burnt_us;
            s.left_us -= worked_us < s.left_us ? worked_us : s.left_us;
        }
    }
    return s.left_us == 0;
}

static void the_rule_alone_is_never_late(void **state)
{
    (void)state;
    struct weir_prng prng = weir_prng_seed(21);
    static const int64_t tick_s[] = {60, 195, 600, 3600};
    for (int i = 0; i < 60; i++) {
        int64_t tick_us = tick_s[weir_prng_below(&prng, WEIR_ARRAY_LEN(tick_s))] * 1000000;
        struct weir_spot_terms t = {tick_us, (int64_t)weir_prng_below(&prng, 6 * (uint64_t)tick_us), 973100, 3060000,
                                    300 * tick_us};
        struct weir_spot_rule *rule = weir_spot_rule_new(&t);
        for (int k = 0; k < 60; k++) {
            int64_t left_us = (int64_t)weir_prng_below(&prng, 200 * (uint64_t)tick_us) + 1;
            /* From a deadline that can just be met, to one beyond the horizon. */
            int64_t ticks = (left_us + t.overhead_us - 1) / tick_us + 1 + (int64_t)weir_prng_below(&prng, 150);
            assert_true(ends_in_time(rule, &t, &prng, left_us, ticks, 1 + weir_prng_below(&prng, 40)));
        }
        weir_spot_rule_freep(&rule);
    }
}

static void the_same_is_decided_twice(void **state)
{
    (void)state;
    struct weir_prng prng = weir_prng_seed(5);
    struct weir_spot_rule *a = rule_of(12 * MIN);
    struct weir_spot_rule *b = rule_of(12 * MIN);
    struct weir_spot_market m = {.n_zones = 3};
    for (int i = 0; i < 300; i++) {
        char up[4] = "000";
        for (int z = 0; z < 3; z++) {
            up[z] = weir_prng_below(&prng, 4) == 0 ? '1' : '0';
        }
        weir_spot_observe(a, &m, up);
        struct weir_spot_state s = {(int64_t)weir_prng_below(&prng, 40) * H, 0, 45 * H, WEIR_SPOT_NONE, 0};
        struct weir_spot_choice x = weir_spot_decide(a, &m, &s);
        struct weir_spot_choice y = weir_spot_decide(b, &m, &s);
        assert_int_equal(x.hold, y.hold);
        assert_int_equal(x.zone, y.zone);
        assert_true(x.hold != WEIR_SPOT_SPOT || up[x.zone] == '1');
    }
    weir_spot_rule_freep(&a);
    weir_spot_rule_freep(&b);
}

/* ---- following prices ---- */

enum { PLACES = 3, STEPS = 7 };

static int64_t best_from(struct weir_follow_place place[STEPS][PLACES], int step, int at)
{
    if (step == STEPS) {
        return 0;
    }
    int64_t least = INT64_MAX;
    for (int to = 0; to < PLACES; to++) {
        int64_t move = at < 0 || to == at ? 0 : place[step][to].move;
        int64_t cost = move + place[step][to].rate * 10 + best_from(place, step + 1, to);
        least = cost < least ? cost : least;
    }
    return least;
}

static void work_functions_are_the_best_in_hindsight(void **state)
{
    (void)state;
    struct weir_prng prng = weir_prng_seed(3);
    for (int i = 0; i < 200; i++) {
        struct weir_follow_place place[STEPS][PLACES];
        struct weir_follow f = {0};
        int64_t paid = 0;
        for (int s = 0; s < STEPS; s++) {
            for (int p = 0; p < PLACES; p++) {
                place[s][p] = (struct weir_follow_place){(int64_t)weir_prng_below(&prng, 9) + 1, 25};
            }
            size_t was = f.at;
            size_t at = s == 0 ? f.at : weir_follow_decide(&f, place[s], PLACES);
            paid += (at != was ? place[s][at].move : 0) + place[s][at].rate * 10;
            weir_follow_pass(&f, place[s], PLACES, 10);
        }
        int64_t best = weir_follow_best(&f, PLACES);
        assert_int_equal(best, best_from(place, 0, -1));
        assert_true(paid >= best);
        /* 2 n - 1 times, and what a first move may cost. */
        assert_true(paid <= (2 * PLACES - 1) * best + 25);
    }
}

static void a_dear_place_is_left_in_the_end(void **state)
{
    (void)state;
    struct weir_follow f = {.at = 0};
    struct weir_follow_place place[2] = {{10, 100}, {9, 90}};
    int moved_after = -1;
    for (int i = 0; i < 500 && moved_after < 0; i++) {
        weir_follow_pass(&f, place, 2, 1);
        moved_after = weir_follow_decide(&f, place, 2) == 1 ? i : -1;
    }
    assert_in_range(moved_after, 50, 100);
    struct weir_follow_place unknown[2] = {{10, 100}, {-1, 0}};
    struct weir_follow g = {.at = 0};
    weir_follow_pass(&g, unknown, 2, 1000);
    assert_int_equal(weir_follow_decide(&g, unknown, 2), 0);
    assert_int_equal(weir_follow_best(&g, 2), 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions_follow_the_situation),
        cmocka_unit_test(a_machine_that_still_starts_is_no_last_chance),
        cmocka_unit_test(the_steadiest_zone_is_taken),
        cmocka_unit_test(what_was_seen_changes_what_is_dared),
        cmocka_unit_test(a_steady_zone_pays_for_long_launches),
        cmocka_unit_test(the_rule_alone_is_never_late),
        cmocka_unit_test(the_same_is_decided_twice),
        cmocka_unit_test(work_functions_are_the_best_in_hindsight),
        cmocka_unit_test(a_dear_place_is_left_in_the_end),
    };
    return cmocka_run_group_tests_name("forecast spot", tests, NULL, NULL);
}
