/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is for rent and what is rented, inside the core: part of core_priv.h. Offers, the ranking of them and what refusals tell (offer.c);
 * leases (lease.c).
 */

#include "base/vec.h"
#include "core/arith.h"
#include "core/evidence.h"
#include "core/explain.h"
#include "core/model.h"

struct node;
struct payer;
struct shape;
struct type_fit;
struct weir_core;

/* An offer as one shape sees it, with all that is asked of it at a weighing: the list of offers is long, and cold. */
struct ranked_offer {
    uint64_t id;
    int64_t expires_us;
    uint32_t offer; /* index */
    uint32_t provider; /* index */
    uint8_t alternative;
    bool spot;
    bool reserved;
    int64_t rate_micro; /* per hour, of the task's part of all machines that it needs */
    int64_t run_us;
    int64_t boot_us;  /* as is expected by now */
    int64_t start_us; /* that and staging */
    int64_t fail_us;  /* launches that come to nothing before */
    int64_t fail_micro;
    uint32_t reclaim_ppm; /* per hour, as is expected by now */
    int64_t cost_micro; /* of all machines that one task needs, for one wave of tasks */
    int64_t boot_micro;
    int64_t egress_micro;
    int64_t reclaim_micro;
    int64_t lost_us; /* expected delay by reclaims */
};

/* Until its work is done there, besides the run. */
static inline int64_t ranked_delay_us(const struct ranked_offer *r)
{
    return weir_i64_add_sat(weir_i64_add_sat(r->start_us, r->fail_us), r->lost_us);
}

struct ranking {
    uint64_t version; /* of the offers */
    uint64_t learned; /* and of what is believed of them */
    struct ranked_offer *p;
    size_t n;
    bool whole; /* all that fit, not the best alone */
    /* of those that are looked at first, where nothing keeps any of them: */
    bool summed;
    bool has_reserved;
    int64_t delay_cost;   /* for which the next is known */
    int64_t least_micro;  /* total of the cheapest */
    int64_t expires_us;   /* when the first of their prices does */
};

enum {
    RANKINGS = 6,     /* for 1, 2, 4, 8, 16, 32 tasks that share a machine */
    RANKED_MAX = 64,  /* offers of a ranking, unless more are asked for */
    OFFER_QUOTAS_MAX = 4, /* more of a provider's quotas than count one machine anywhere */
};

struct lease {
    uint64_t id;
    struct node *node; /* NULL once it is gone */
    uint64_t node_id;
    uint8_t state;
    uint8_t refusal;
    bool reclaimed;
    bool changed;
    struct weir_offer offer; /* the quote at its launch */
    int64_t price_micro_per_hour; /* what it costs now */
    int64_t priced_us;    /* since then; 0: since its beginning */
    int64_t priced_micro; /* what it had cost by then, at earlier prices */
    uint32_t provider; /* index */
    struct weir_task_id task;
    struct payer *payer;
    int64_t held_micro;
    int64_t charged_micro;
    int64_t intent_us;
    int64_t confirmed_us;
    int64_t ready_us;
    int64_t reclaim_us;
    int64_t ending_us;
    int64_t ended_us;
    int64_t expires_us;
    int64_t boot_us;      /* what its offer is believed to take by now, and how often such are taken back per hour */
    uint32_t reclaim_ppm;
};

struct offer {
    struct weir_offer o;
    const struct weir_estimate *estimate; /* what is believed of it beyond what it says; never NULL */
    uint32_t provider; /* index */
    uint32_t leased;   /* reserved: of its machines, those that are leased */
    uint32_t n_quotas;
    uint32_t quota[OFFER_QUOTAS_MAX]; /* of its provider that count it: indexes */
};

/* What renting it costs besides what is paid anyway, an hour. */
static inline int64_t offer_marginal(const struct weir_offer *o)
{
    return o->market == WEIR_OFFER_RESERVED ? 0 : o->price_micro_per_hour;
}

/* The same of one that is rented: reserved ones are paid for anyway. */
static inline int64_t lease_marginal(const struct lease *l)
{
    return l->offer.market == WEIR_OFFER_RESERVED ? 0 : l->price_micro_per_hour;
}

/* From launch to joined, as is believed. */
static inline int64_t offer_boot_us(const struct weir_offer *o, const struct weir_estimate *e)
{
    return max_i64(weir_i64_add_sat(o->boot_expected.us, e->late_us), 0);
}

/* What may be asked of a provider now. */
struct pace {
    uint32_t limit; /* launches that may be unanswered */
    bool mute;      /* it has owed an answer for so long that nobody should wait for it */
    int64_t closed_us;      /* it had nothing for several in a row: not before */
    int64_t closed_gang_us; /* the same, for many machines at once */
    int64_t shunned_us;     /* its machines came with other GPUs than it promised: none with GPUs before */
};

/*
 * Who rents machines out. How many it may be asked for at once grows as it makes them, and shrinks to one after a
 * refusal; counted from leases alone, so that a restored core counts the same.
 */
struct provider {
    char name[WEIR_PROVIDER_SIZE];
    uint32_t asked;  /* leases whose launch is not answered */
    uint32_t made;   /* live ones that were confirmed */
    int64_t made_us; /* when the last one was */
    int64_t good_us; /* when the last with GPUs joined, with what was promised */
    bool held;       /* something waits for its answers */
    struct pace pace;
};

/* Offers of one GPU model, or of none: a request passes by the models that it cannot use. */
struct offer_kind {
    uint16_t model; /* WEIR_GPU_MODEL_ANY: machines without GPUs */
    WEIR_VEC(uint32_t) offer; /* indexes */
};

struct scored_offer {
    int64_t score;
    int64_t price;
    uint64_t id;
    struct ranked_offer r;
};

/* Money that several reserved offers share: what the prices of its machines that are leased add up to. Counted from leases alone. */
struct plan_use {
    uint64_t plan;
    int64_t micro_per_hour;
};

/* Where a machine stands, or would: those of one place and kind are made of the same hardware. */
struct place_of_machines {
    uint32_t provider;
    char region[WEIR_REGION_SIZE];
    char zone[WEIR_REGION_SIZE]; /* "": any */
    uint16_t gpu_model;          /* WEIR_GPU_MODEL_ANY: none */
    uint8_t market;
};

struct offer_memory { /* of a lease that did not come to be; outlives the lists that providers send */
    uint64_t lease;
    uint64_t id; /* of the offer */
    struct place_of_machines place;
    struct weir_task_id task; /* for which it was */
    int64_t intent_us;
    int64_t at_us;
    int64_t until_us;
    uint8_t refusal;
    bool gangs_only; /* it stands for many machines at once only: the others of its gang were made, and are gone */
};

/* What is to be remembered of a lease beside its offer. */
struct refused {
    uint64_t lease;
    struct weir_task_id task;
    uint8_t refusal;
    int64_t intent_us;
    int64_t at_us;
    int64_t until_us;
};

/* A machine that was there, and is no more. */
struct lease_past {
    struct place_of_machines place;
    struct weir_task_id task;
    int64_t from_us;
    int64_t to_us;
};

/* What such a machine adds to what all cost an hour. */
static inline int64_t offer_spend(const struct weir_offer *o)
{
    return o->market == WEIR_OFFER_RESERVED ? 0 : o->price_micro_per_hour;
}

/* ---- lease.c ---- */

static inline bool lease_boots(const struct lease *l)
{
    return l->state == WEIR_LEASE_INTENT || l->state == WEIR_LEASE_BOOTING;
}

struct lease *lease_new(struct weir_core *c, const struct weir_offer *o, struct weir_task_id task, struct payer *payer);
void lease_terminate(struct weir_core *c, struct lease *l);
/* More is held for it: it may live longer; one that is launched in this step no longer than that. */
void lease_cap(struct weir_core *c, struct lease *l);
/* The machine exists. */
void lease_confirm(struct weir_core *c, struct lease *l, int64_t at_us);
/* Ends a machine that joins with other GPUs than its offer promised, as one that failed. False: it is what was promised. */
bool lease_fell_short(struct weir_core *c, struct lease *l, const struct weir_node_spec *came);
/* Ends it as soon as nothing runs there any more. */
void lease_release(struct weir_core *c, struct lease *l);
void lease_look(struct weir_core *c, struct lease *l);
void lease_finish(struct weir_core *c, struct lease *l, enum weir_lease_state to, int64_t at_us, bool reclaimed);
/* Ends what nobody needs: leases that boot for nothing, or came up for a gang that is not to be had. False where there are none. */
bool leases_sweep(struct weir_core *c);
/* Records that a rented machine that has just become idle is not given back. */
void lease_say_kept(struct weir_core *c, const struct node *n);
void node_meter_open(struct weir_core *c, struct node *n, int64_t at_us);
void node_gone(struct weir_core *c, struct node *n, enum weir_reason reason, int64_t at_us);
/* The lease's offer was refused at a time, and is left alone until another. */
void offer_remember(struct weir_core *c, const struct weir_offer *o, const struct refused *r);
/* The same of a machine that was made, and given up for that reason. */
void offer_remember_given_up(struct weir_core *c, const struct weir_offer *o, struct refused r);
struct place_of_machines place_of(struct weir_core *c, const struct weir_offer *o);
/* Forgets the refusals that the machine explains: it took the room, or the quota, and is gone. What was refused to the others of its own gang
 * is not forgotten, for gangs. False where there are none. */
bool offers_forget(struct weir_core *c, const struct lease_past *was);
/* Counts the lease for its provider, where it is live. */
void lease_count(struct weir_core *c, struct lease *l, bool in);

/* ---- offer.c ---- */

/* What the plan's machines that are leased cost an hour. */
int64_t plan_used(const struct weir_core *c, uint64_t plan);
bool offer_is_sane(const struct weir_core *c, const struct weir_offer *o);
void offers_set(struct weir_core *c, const char *provider, const struct weir_offer *o, size_t n);
/* The best offers for the shape, by their cost; those that are busy too. The whole list where that is asked for. */
struct ranking *offers_rank(struct weir_core *c, struct shape *s, uint64_t n_sharing, bool whole);
void offers_release(struct weir_core *c);
/* Sums up those of the ranking that are looked at first, at such a value of waiting. */
void ranking_sum(struct ranking *k, int64_t delay_cost);
/* Expected delay by reclaims at such a rate: each costs what was not saved, and a new start. */
int64_t reclaim_loss_us(const struct weir_request *r, const struct weir_offer *o, uint32_t reclaim_ppm, int64_t run_us, int64_t start_us);
/* Verdict of one offer for a request, without its being busy: CHOSEN where it fits. */
enum weir_verdict offer_verdict(const struct weir_core *c, const struct weir_request *r, const struct weir_offer *o, struct type_fit *ret);
/* May it be had now? CHOSEN where it may, or as soon as launches under way are answered; else, where that is a matter of
 * time, *ret_until_us is when; US_NEVER: when a reserved machine is free again. */
enum weir_verdict offer_blocked(const struct weir_core *c, const struct ranked_offer *o, const struct weir_request *r, int64_t *ret_until_us);
/* Why it is left alone, if it is, and until when, by what was refused. zone: in which it would be asked for, the offer's own where it is for no gang in one zone. */
enum weir_verdict offer_remembered(const struct weir_core *c, const struct weir_offer *o, const char *zone, bool is_gang, int64_t *ret_until_us);
/* The provider's number, made where it is not known. */
uint32_t provider_get(struct weir_core *c, const char *name);
/* Brings the providers' paces up to date. To be called before offers are weighed. */
void paces_update(struct weir_core *c);
/* A provider's, worked out anew. */
struct pace pace_anew(const struct weir_core *c, uint32_t provider);
/* Must the launch wait for answers to those under way? */
bool offer_is_held(const struct weir_core *c, uint32_t provider, uint32_t nodes);
