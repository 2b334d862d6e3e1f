/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Random histories of a core: who submits what, which nodes and offers come and go, and what money and quotas there are, by a seed. */

#include "base/prng.h"
#include "world.h"

enum { REQUESTS = 24 };

struct history {
    struct world w;
    struct weir_prng prng;
    struct weir_request request[REQUESTS];
    struct weir_core *twin; /* restored some steps ago; NULL: none */
    uint32_t twin_steps;
    bool expects; /* what is expected of jobs changes */
    bool policies; /* and so does what they may use; gangs begin and end at once too */
    struct weir_policy_rule rule[3];
    bool provider_quotas; /* providers tell what they allow */
    struct weir_provider_quota provider_quota[3];
    bool budgets; /* some are set, changed and removed, and what runs is charged */
    bool zones; /* offers and nodes have some, and most gangs want to be in one */
    struct weir_prng money; /* for all of that: histories without budgets are as they were */
    struct weir_budget budget;
    bool quotas; /* the same of quotas */
    bool shares;  /* and some of them lend and borrow */
    struct weir_quota quota;
    struct weir_charged charge[64];
};

/* What all histories share; before the first and after the last. */
void history_begin(void);
void history_end(void);

/* "PROGRAM [HISTORIES [FIRST-SEED]]": what is given; false where it is no such number. */
bool history_asked(int argc, char **argv, uint64_t *histories, uint64_t *first_seed);

/* Owned by the caller: history_free. */
struct history *history_new(uint64_t seed);
struct history *history_with_budgets(uint64_t seed);
struct history *history_with_zones(uint64_t seed);
struct history *history_with_quotas(uint64_t seed);
void history_free(struct history *h);

uint64_t history_below(struct history *h, uint64_t n);
/* Drawn apart, for what has to do with money. */
uint64_t history_money_below(struct history *h, uint64_t n);
uint16_t history_model(const char *name);

/* The next event; *spec is room for a node that joins, and is to live as long as the event. */
struct weir_event history_event(struct history *h, struct weir_node_spec *spec);
struct weir_event history_offers(struct history *h);
struct weir_event history_money_event(struct history *h);
/* Gives who submits the job. */
void history_name_payer(struct history *h, struct weir_event *ev);
