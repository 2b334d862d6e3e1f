/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What rest.c, rest_fleet.c and rest_offers.c share. */

#include <uv.h>

#include "base/map.h"
#include "base/vec.h"
#include "cloud/rest.h"

enum {
    FLEET_MISSING_MAX = 2,   /* complete lists in a row */
    FLEET_GONE_MAX = 1000,   /* ended machines that are remembered */
    LIST_RESTARTS_MAX = 2,   /* of one list, where a page's token was refused */
    LIST_PAGES_MAX = 1000,
    MACHINE_PAGES_MAX = 200,
    OFFERS_MAX = 20000,      /* of one provider */
    FOLLOW_MS_MIN = 200,     /* between two looks at a launch that is not decided, doubling */
    FOLLOW_MS_MAX = 3200,
    FOLLOWS_MAX = 200,
    ABSENT_MAX = 3, /* looks that may miss a new machine */
    ASKED_HOLDS_S = 60, /* before a machine that was told to end, and runs on, is shown as running */
};

/* One machine of ours. */
struct rest_kept {
    struct weir_instance i; /* its token is the name's, whether or not an older machine has it */
    struct weir_mono made;  /* known to us since */
    uint32_t missing;       /* complete lists in a row without it */
    bool listed;            /* was in a list once, or could be ended */
    bool asked;             /* was told to end by us */
    struct weir_mono asked_at;
    struct weir_mono gone_at; /* it was taken to be gone */
    bool dead;
    bool told;              /* dead, and told to end since the last list */
    struct weir_wall missed_at;
};

struct weir_rest_list {
    struct weir_provider *p;
    WEIR_VEC(struct weir_rest_machine) machine;
    char next[WEIR_REST_URL_SIZE];
};

struct weir_rest_offers {
    struct weir_provider *p;
    WEIR_VEC(struct weir_offer) offer;
    struct weir_map ids; /* of those */
    char next[WEIR_REST_URL_SIZE];
    size_t n_refused;
    char refused[160]; /* the first of them, why */
    size_t n_unpriced;
    char no_rate[WEIR_CURRENCY_SIZE]; /* that these are in, of which no rate is in force */
    char trouble[256]; /* what did not come of them; "" */
};

enum rest_op_kind { REST_LAUNCH, REST_DESCRIBE, REST_LIST, REST_TERMINATE, REST_OFFERS };
enum rest_op_step {
    REST_LOOK,   /* waits for a list that began after it */
    REST_TURN,   /* waits for another launch of its token */
    REST_FIRST,  /* waits for what must be there before the call */
    REST_CALL,   /* waits for an answer */
    REST_FOLLOW, /* waits to look at its launch again */
    REST_PRICES, /* waits for prices */
};

struct rest_op {
    struct rest_op *next; /* in the order of their coming */
    struct weir_provider *p;
    enum rest_op_kind kind;
    enum rest_op_step step;
    weir_provider_fn *done;
    void *ctx;
    bool in_list; /* the list under way began after it */
    char token[WEIR_TOKEN_SIZE];
    char id[WEIR_INSTANCE_ID_SIZE];
    struct weir_rest_request first; /* launch: what must be there before it; no method: nothing */
    struct weir_rest_request q;     /* launch */
    uint64_t due_ms;
    unsigned firsts; /* what must be there before the launch: sent so often */
    unsigned follows;
    unsigned absent; /* looks that did not find what was made */
};

struct weir_rest_state {
    char prefix[WEIR_TOKEN_SIZE]; /* of every name of ours */
    uv_timer_t timer;
    uint64_t list_due_ms; /* not before */
    bool listing;
    struct weir_mono list_began; /* the one under way */
    char list_page[WEIR_REST_URL_SIZE]; /* that was asked for */
    unsigned restarts;
    unsigned pages;
    struct weir_rest_list list; /* the one under way */
    WEIR_VEC(struct rest_kept) kept;
    struct rest_op *ops;
    bool pricing;
    unsigned price_pages;
    struct weir_rest_offers pricing_list; /* under way */
    struct weir_rest_offers prices;       /* the last complete ones */
    bool has_prices;
    bool prices_old; /* they are to be asked for anew */
    struct weir_mono prices_at;
    WEIR_VEC(struct weir_instance) out; /* of the answer that is being given */
};

/* rest.c */
/* deadline_ms 0: as weir_cloud_send has it. done comes in any case, or drop. */
void rest_send(struct weir_provider *p, const struct weir_rest_request *q, enum weir_cloud_kind kind, unsigned deadline_ms, weir_cloud_fn *done,
               void (*drop)(void *ctx), void *ctx);
/* The JSON object of an answer that is OK, for the caller to free; NULL where it is none. An empty body is an empty object. */
struct json_t *rest_body_of(const struct weir_cloud_answer *a);

/* rest_fleet.c */
struct rest_kept *rest_find_token(const struct weir_provider *p, const char *token); /* the oldest that is not gone, else the youngest gone */
struct rest_kept *rest_find_id(struct weir_provider *p, const char *id);
/* Adds or brings up to date what an answer says of one machine. */
struct rest_kept *rest_keep(struct weir_provider *p, const struct weir_rest_machine *m);
/* A young machine, which the provider's answers may not know of yet. */
bool rest_is_unseen(const struct weir_provider *p, const struct rest_kept *k);
/* A complete list came: what is missing from it is on its way out. */
void rest_fleet_settle(struct weir_provider *p, const struct weir_rest_list *l);
/* What the contract's callers see of it. */
struct weir_instance rest_view(struct weir_provider *p, const struct rest_kept *k);

/* rest_offers.c */
void rest_offers_from_catalogue(struct weir_rest_offers *l);
void rest_offers_release(struct weir_rest_offers *l);
