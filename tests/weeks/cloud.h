/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Clouds in virtual time, behind the provider contract: a call takes a while to arrive and its answer a while to come back, either may be
 * lost, and what was sent arrives though the broker that sent it is dead by then. Machines boot, are taken back, end themselves when their
 * lease is over, and are seen late. The cloud keeps its own books: what it made, for which token, from when to when.
 */

#include "base/prng.h"
#include "base/vec.h"
#include "cloud/provider.h"

enum { CLOUDS = 2, OFFERS_EACH = 2 };

/* A run on a machine, as its agent knows it. */
struct held_run {
    struct weir_run_id run;
    uint32_t rank;
    int64_t begun_us;
    int64_t end_us;       /* it ends by itself then */
    enum weir_reason reason;
    bool is_there;        /* else the slot is free */
    bool owes_start;      /* until that is committed */
    bool owes_end;
    bool told_start;      /* in this turn */
    bool told_end;
};

struct machine {
    char id[32];
    char token[WEIR_TOKEN_SIZE];
    uint32_t offer; /* of its cloud */
    uint64_t lease;
    uint64_t node; /* as its agent has joined; 0: it has not */
    int64_t launched_us;
    int64_t visible_us;
    int64_t ready_us;   /* its agent is there; INT64_MAX: never comes */
    int64_t expires_us; /* it ends itself */
    int64_t notice_us;  /* INT64_MAX: is not taken back */
    int64_t reclaim_us;
    int64_t stop_us; /* it was told to end, and is gone then; INT64_MAX: was not */
    int64_t ended_us; /* 0: runs */
    bool reclaimed;
    /* its agent */
    int64_t join_us; /* when it is connected to the broker that is up; INT64_MAX: not */
    bool joined;
    bool noticed;
    bool too_late; /* a run was ordered to it after its end */
    struct held_run run;
};

/* What an offer costs from then on. */
struct cost_step {
    int64_t since_us;
    int64_t micro_per_hour;
};

struct cloud_call;
struct cloud {
    const char *name;
    struct weir_provider_ops ops;
    struct weir_offer offer[OFFERS_EACH];
    int64_t stock_until_us[OFFERS_EACH];
    bool out[OFFERS_EACH];
    WEIR_VEC(struct cost_step) price[OFFERS_EACH]; /* from the week's begin on */
    int64_t moves_us[OFFERS_EACH];                  /* its price does so next; INT64_MAX: never */
    bool forgets; /* what is gone is not shown any more, nor what prices were */
    WEIR_VEC(struct machine) machine;
    size_t first; /* those before it are gone */
    struct cloud_call *calls;
    uint64_t epoch; /* of the broker that calls */
    uint64_t last_id;
};

/* How often things go wrong, and what did. */
struct weather {
    struct weir_prng prng;
    bool is_fair; /* nothing goes wrong any more */
    uint64_t calls, lost, refused, launches, boots_failed, reclaims, expiries, repeats, doubles, moves;
};

bool chance(struct weather *w, uint32_t per_mille);
int64_t span(struct weather *w, int64_t lo_ms, int64_t hi_ms); /* in microseconds */

void cloud_open(struct cloud *c, uint32_t number, struct weather *w, struct weir_gpu_table *gpus, int64_t now_us);
void cloud_close(struct cloud *c);
/* Is a call under way that makes or ends a machine? */
bool cloud_is_asked(const struct cloud *c);
/* The broker that calls is dead: its answers go nowhere. */
void cloud_hang_up(struct cloud *c);
/* When something happens next; INT64_MAX: nothing. */
int64_t cloud_next(const struct cloud *c);
/* All that is due until now. Answers are given from here. */
void cloud_advance(struct cloud *c, int64_t now_us);
/* What its ops are called with. */
struct weir_provider *cloud_handle(uint32_t number);
