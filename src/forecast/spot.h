/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * When to hold a spot machine, an on-demand one, or none, for a task that has to end by its deadline. Pure; doubles inside,
 * integers at the border.
 *
 * What is known of spot is what was seen, tick by tick: in which zones a machine could be had. How long a zone stays up or
 * down is taken to follow a hazard that falls with age: a spell that has lasted is likely to last. A factor on it is learned for each zone and
 * direction, from a prior, and old changes are forgotten.
 *
 * Under that model a dynamic programme over (ticks left, slack, age of the spell, what is held) gives the action of least
 * expected cost to the end. It is kept as thresholds of slack, one programme for each coarse value of the factors, made when it is
 * first needed; a decision is then a look into a table. Whatever the programme says, a decision never gives up the last chance to
 * end in time on-demand.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WEIR_SPOT_ZONES_MAX = 64 };

enum weir_spot_hold {
    WEIR_SPOT_NONE,
    WEIR_SPOT_SPOT,
    WEIR_SPOT_ON_DEMAND,
    _WEIR_SPOT_HOLD_MAX,
};

/* What was seen of one zone. */
struct weir_spot_zone {
    bool up;
    uint32_t age;       /* of the spell, in ticks */
    double changes[2];  /* out of down, out of up; old ones fade */
    double expected[2]; /* changes that the model without its factor expected in the same time */
};

/* What was seen of all zones that a task may use. Zeroed before the first tick. */
struct weir_spot_market {
    size_t n_zones;
    uint64_t n_ticks;
    struct weir_spot_zone zone[WEIR_SPOT_ZONES_MAX];
    double down;      /* ticks at which a zone was down, over all zones; old ones fade */
    double elsewhere; /* those at which another was up */
};

/* Terms under which a rule holds. */
struct weir_spot_terms {
    int64_t tick_us;        /* between decisions; a machine is billed for whole ones */
    int64_t overhead_us;    /* that each launch burns before work goes on */
    int64_t spot_rate;      /* money an hour, in any unit; not more than on_demand_rate */
    int64_t on_demand_rate; /* > 0 */
    int64_t horizon_us;     /* the longest time to a deadline that will be asked about; what is beyond is treated as this */
};

struct weir_spot_rule;

/* Borrows nothing. Freed with weir_spot_rule_freep. */
struct weir_spot_rule *weir_spot_rule_new(const struct weir_spot_terms *terms);
void weir_spot_rule_freep(struct weir_spot_rule **rule);

/* Takes in which of the market's zones are up at this tick, one character each, '1': up. */
void weir_spot_observe(const struct weir_spot_rule *rule, struct weir_spot_market *m, const char *up);

struct weir_spot_state {
    int64_t left_us;      /* work to do, from the last checkpoint */
    int64_t pending_us;   /* overhead that the machine held must still burn */
    int64_t remaining_us; /* time to the deadline */
    enum weir_spot_hold held; /* none where a spot machine has just been lost */
    uint32_t zone;            /* in which */
};

struct weir_spot_choice {
    enum weir_spot_hold hold;
    uint32_t zone; /* as held, unless spot is launched */
};

/* What to hold until the next tick; m has seen this one. */
struct weir_spot_choice weir_spot_decide(struct weir_spot_rule *rule, const struct weir_spot_market *m,
                                         const struct weir_spot_state *s);
