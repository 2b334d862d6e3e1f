/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The driver of providers that rent machines by plain JSON calls and keep no idempotency key of ours or no tags: what
 * they have in common, once. A provider's own part says how its requests look and what its answers mean (struct weir_rest_ops); this
 * part keeps the promises of the contract in provider.h:
 *
 * - A machine is ours by its name: "weir-" and the token, which begins with the installation's id. Launching looks for the name
 *   first, and launches of one token go one after the other. Where two machines carry one name all the same, the older one
 *   is the token's, the others are listed without a token, so that the sweep ends them.
 * - One list of all our machines serves every describe and list that waits for it: providers allow few calls a minute.
 * - A machine that was seen, and then is missing from FLEET_MISSING_MAX complete lists in a row, is gone. Should a later list have it
 *   all the same, it is there again, so that the sweep ends it.
 * - A machine that was told to end is shown as on its way out for ASKED_HOLDS_S, then as what the provider says that it is.
 * - A machine that stands still but exists (it failed, it was stopped) costs and serves nobody: it is told to end whenever it is
 *   seen.
 */

#include "base/str.h"
#include "cloud/call.h"

struct json_t;

enum {
    WEIR_REST_NAME_SIZE = WEIR_TOKEN_SIZE + 8,
    WEIR_REST_URL_SIZE = 4096,
    WEIR_REST_PATH_SIZE = 512,
    WEIR_REST_REGIONS_MAX = 32,
    WEIR_REST_BODY_BYTES_MAX = 512 << 10,
    WEIR_REST_MACHINES_MAX = 10000,
};

/* A machine in an answer of the provider. */
struct weir_rest_machine {
    char id[WEIR_INSTANCE_ID_SIZE];
    char name[WEIR_REST_NAME_SIZE];
    enum weir_instance_state state;
    bool dead; /* exists, costs, does nothing: to be ended */
    struct weir_wall launched;
    struct weir_wall reclaim_at;
    bool reclaimed;
};

/* A request that the provider's part fills in. */
struct weir_rest_request {
    const char *what; /* for messages */
    const char *method;
    struct weir_str url;
    struct weir_str body; /* JSON; empty: none */
    bool open;            /* no credentials go with it */
    bool create_only;     /* "If-None-Match: *": a second one of the name is refused with 412 */
};

struct weir_checks;
struct weir_rest_list; /* what an answer to a list holds */
struct weir_rest_offers;
struct weir_rest_quotas;

/* What every driver of this kind reads from its section; see weir_rest_keys. */
struct weir_rest_conf {
    char endpoint[256];                 /* without a slash at the end */
    char region[WEIR_REST_REGIONS_MAX][WEIR_REGION_SIZE]; /* globs; none: all */
    size_t n_regions;
    struct weir_dur poll; /* shortest time between two lists */
    struct weir_dur prices_every;
    uint32_t gpus_max; /* of one machine; 0: any */
    uint32_t per_second; /* calls, on average */
};

/* What a key that was given little may lack the right to read. */
struct weir_rest_read {
    const char *permission; /* by the provider's name */
    const char *path;       /* after the endpoint, with a query; answered to who may read it */
    const char *use;        /* what weir reads there */
    bool is_needed;         /* else machines are rented without it */
};

/*
 * The provider's own part. Bodies are JSON objects that were read already; text in them is not to be trusted.
 * On failure of an on_ method the whole call has failed as UNKNOWN: what the answer says of machines cannot be known.
 */
struct weir_rest_ops {
    const char *endpoint;         /* its own address */
    const char *const *key_env;   /* variables of the environment that may hold the key; NULL: the driver signs for itself */
    const char *const *key_files; /* files that may hold it */
    const char *key_member;       /* of a file that is a JSON object, or has lines "member: key"; NULL: files hold the key alone */
    const char *const *keys;      /* of the section, the common ones (WEIR_REST_KEYS) included; ends with NULL */
    unsigned per_second;          /* calls, on average */
    unsigned burst;
    struct weir_dur poll;
    struct weir_dur prices_every;
    const char *currency; /* of prices and traffic that on_prices gives, where an offer names none; NULL: the ledger's */
    /* Optional: reads the section's other keys into p->own, sets up signing. Errors: -WEIR_ECONFIG. */
    int (*open)(struct weir_provider *p, const struct json_t *section, struct weir_cloud_conf *cloud, struct weir_err *err);
    void (*opened)(struct weir_provider *p); /* p->cloud is there now; optional */
    void (*close)(struct weir_provider *p);  /* frees p->own; optional */
    /*
     * Optional: what the launch's request names and that is no machine, such as a script or the id of a type, must be made or asked for
     * before it; where q->method stays NULL there is nothing. Sent once the name was looked for, and again where its answer was lost:
     * a second one must do no harm. on_prepared completes the launch's request, or (1) has first sent once more, as it is then.
     * Errors: -WEIR_EUNAVAIL (as with launch); any other, to be tried again later.
     */
    int (*prepare)(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q, struct weir_err *err);
    int (*on_prepared)(struct weir_provider *p, const struct json_t *body, struct weir_rest_request *first, struct weir_rest_request *launch,
                       struct weir_err *err);
    void (*settled)(struct weir_provider *p); /* a complete list of machines came; optional */
    /* page "": the first. */
    void (*list)(struct weir_provider *p, const char *page, struct weir_rest_request *q);
    int (*on_list)(struct weir_provider *p, const struct json_t *body, struct weir_rest_list *l, struct weir_err *err);
    /* The machine's name is given. Errors: -WEIR_EUNAVAIL (that offer is not there any more: no capacity); any other, refused for what it says. */
    int (*launch)(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q, struct weir_err *err);
    /* 1: it is not known yet, q is to be sent next, after a moment. v: refused; where *ret then names a dead machine, it is ended. */
    int (*on_launch)(struct weir_provider *p, const struct json_t *body, const char *name, struct weir_rest_machine *ret,
                     struct weir_rest_request *q, struct weir_cloud_verdict *v, struct weir_err *err);
    /* id is one that a list or a launch gave. */
    void (*terminate)(struct weir_provider *p, const char *id, struct weir_rest_request *q);
    /* Prices. page "": the first. NULL: the catalogue's are all there is. */
    void (*prices)(struct weir_provider *p, const char *page, struct weir_rest_request *q);
    int (*on_prices)(struct weir_provider *p, const struct json_t *body, struct weir_rest_offers *o, struct weir_err *err);
    /* Optional: a page of prices did not come, or could not be read. True: it goes on without it, with the page that was named by
     * weir_rest_offers_next, and what was the matter is shown beside the offers. */
    bool (*on_prices_failed)(struct weir_provider *p, struct weir_rest_offers *o);
    /* Optional: what the account may have, and uses. page "": the first; others are of the driver's own making (weir_rest_quotas_next). */
    void (*quota)(struct weir_provider *p, const char *page, struct weir_rest_request *q);
    int (*on_quota)(struct weir_provider *p, const struct json_t *body, struct weir_rest_quotas *l, struct weir_err *err);
    /* Optional: a page did not come, or could not be read. True: what the others told stands, and the trouble is told with it. */
    bool (*on_quota_failed)(struct weir_provider *p, const char *page, struct weir_rest_quotas *l);
    /* Optional: what a look at the provider asks once its list was answered, from step 0 on, until q->method stays NULL. body: NULL where
     * the answer is not OK, or not a JSON object. */
    void (*check)(struct weir_provider *p, unsigned step, struct weir_rest_request *q);
    void (*on_check)(struct weir_provider *p, unsigned step, const struct weir_cloud_answer *a, const struct json_t *body, struct weir_checks *k);
    const struct weir_rest_read *reads; /* that a look tries, before what the driver asks; ends with an empty row; NULL: none */
    const char *rights; /* what a look cannot find out of the key's rights, and how it shows; NULL: nothing */
    /* Optional: the zone in which all machines of an offer are made that names none; "": it is open. */
    const char *(*zone)(const struct weir_provider *p, const struct weir_offer *o);
    weir_cloud_classify_fn *classify; /* ctx: the provider */
    const char *absent_code; /* the provider's word for "there is no such machine", where its status does not say so; NULL */
    bool native; /* the provider itself refuses a second machine of one name */
    uint32_t cpu_milli_each; /* of the host per GPU, where neither the provider nor the catalogue says; 0: none is promised */
    uint32_t mem_mib_each;
};

/* Shared by the drivers of this kind. */
struct weir_provider {
    const struct weir_provider_env *env;
    const struct weir_rest_ops *ops;
    const struct weir_provider_ops *contract;
    struct weir_cloud *cloud;
    struct weir_rest_conf conf;
    void *own; /* whatever else the driver keeps */
    struct weir_rest_state *state;
};

/* For the driver's init: reads the section and sets up. Errors: -WEIR_ECONFIG. */
int weir_rest_open(struct weir_provider **ret, const struct weir_rest_ops *ops, const struct weir_provider_ops *contract,
                   const struct weir_provider_env *env, const struct json_t *section, struct weir_err *err);

#define WEIR_REST_KEYS "endpoint", "api_key_file", "regions", "poll", "prices_every", "max_gpus", "calls_per_second"

/* What machines that boot by a script are told, for drivers whose section has these keys too. */
#define WEIR_REST_BOOT_KEYS "agent", "before", "declare_gpus"
struct weir_rest_boot {
    char agent[256]; /* an installed one in the image; "": from the broker */
    char *before;    /* the site's own commands; NULL: none */
    char gpus[64];   /* declared, for tests; "": as found */
};
/* Errors: -WEIR_ECONFIG; nothing is to be released then. */
int weir_rest_boot_read(struct weir_rest_boot *ret, const struct json_t *section, const char *where, struct weir_err *err);
void weir_rest_boot_release(struct weir_rest_boot *b);
/* The script of a machine that powers itself off at the end of its lease. Errors: as weir_boot_script. ret's content is replaced. */
int weir_rest_boot_script(const struct weir_provider *p, const struct weir_rest_boot *b, const struct weir_launch *l, size_t bytes_max,
                          struct weir_str *ret, struct weir_err *err);

/* The methods of the contract, for the driver's struct weir_provider_ops. */
void weir_rest_fini(struct weir_provider *p);
int weir_rest_offers(struct weir_provider *p, weir_provider_fn *done, void *ctx);
void weir_rest_prices_anew(struct weir_provider *p);
int weir_rest_quota(struct weir_provider *p, weir_provider_fn *done, void *ctx);
int weir_rest_launch(struct weir_provider *p, const struct weir_launch *l, weir_provider_fn *done, void *ctx);
int weir_rest_describe(struct weir_provider *p, const char *token, const char *instance_id, weir_provider_fn *done, void *ctx);
int weir_rest_list(struct weir_provider *p, const char *page, weir_provider_fn *done, void *ctx);
int weir_rest_terminate(struct weir_provider *p, const char *instance_id, weir_provider_fn *done, void *ctx);
int weir_rest_check(struct weir_provider *p, weir_check_fn *done, void *ctx);

/* ---- for the providers' own parts ---- */

/* Adds a machine of a list; one whose name is not ours is passed over. Errors: -WEIR_ELIMIT. */
int weir_rest_list_add(struct weir_rest_list *l, const struct weir_rest_machine *m, struct weir_err *err);
/* There is a further page; "" does nothing. Errors: -WEIR_ELIMIT (its name is too long): then the list is not complete and must fail. */
int weir_rest_list_next(struct weir_rest_list *l, const char *page, struct weir_err *err);
/* The same of prices; page is one of the driver's own making. */
void weir_rest_offers_next(struct weir_rest_offers *l, const char *page);
/* Takes an offer: fills in provider, id, times and what the catalogue knows of the provider, and refuses a price that is not plausible.
 * o needs region, instance_type, market, gpu_model, gpus, gpu_mem_mib, price and source; as_of and expires where the price is not of now;
 * what it says of cores, memory and traffic stands. */
void weir_rest_offers_add(struct weir_rest_offers *l, const struct weir_offer *o);
/* A price that was told is in a currency of which no rate is in force. */
void weir_rest_offers_unpriced(struct weir_rest_offers *l, const char *currency);
/* For ops->zone of a provider whose regions are one place each. */
const char *weir_rest_zone_is_region(const struct weir_provider *p, const struct weir_offer *o);
/* A price that was told is not taken: text says which and why. The first is shown to people. */
void weir_rest_offers_refuse(struct weir_rest_offers *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Takes a quota; what is negative is none, and left out. */
void weir_rest_quotas_add(struct weir_rest_quotas *l, const struct weir_provider_quota *q);
void weir_rest_quotas_next(struct weir_rest_quotas *l, const char *page);
/* What is taken from now on can be left out again: see weir_rest_quotas_back. */
void weir_rest_quotas_mark(struct weir_rest_quotas *l);
/* Those that were taken since the mark; borrowed until the next is taken. */
struct weir_provider_quota *weir_rest_quotas_marked(struct weir_rest_quotas *l, size_t *ret_n);
void weir_rest_quotas_back(struct weir_rest_quotas *l);
/* One that a page before told, to be completed; NULL: there is none of that name and region. Borrowed until the next is added. */
struct weir_provider_quota *weir_rest_quotas_find(struct weir_rest_quotas *l, const char *region, const char *name);
/* An integer at key, which may be written as 16.0; -1 where it is none, or negative, or too large. */
int64_t weir_rest_count(const struct json_t *object, const char *key);
/* Is a price within what may be of another? */
bool weir_rest_is_near(int64_t price_micro, int64_t list_micro);
/* The offers that the catalogue has of this provider; NULL and 0 where it has none. */
const struct weir_offer *weir_rest_catalogue(const struct weir_provider *p, size_t *ret_n);
/* The catalogue's row of a type of machine, of the market where it has one; NULL where it has none of that name. */
const struct weir_offer *weir_rest_catalogue_type(const struct weir_provider *p, const char *type, uint8_t market);
/* The model of a GPU by a provider's name for it, which may leave its memory out ("A100 SXM4") or tell its slot ("A100 PCIE"), and its memory.
 * WEIR_GPU_MODEL_ANY where it is none that weir can compare. */
uint16_t weir_rest_gpu_model(const struct weir_provider *p, const char *name, uint32_t mem_mib);
/* True where the configuration wants offers of this region. */
bool weir_rest_region_is_wanted(const struct weir_provider *p, const char *region);
/* Puts a text at key into the request's body, or into the object that is at `into` in it. */
void weir_rest_body_set(struct weir_rest_request *q, const char *into, const char *key, const char *text);
/* Is it the name of a machine that this broker makes? */
bool weir_rest_is_ours(const struct weir_provider *p, const char *name);
/* Is there a machine of that name that is not gone, or a launch of it under way? */
bool weir_rest_is_needed(const struct weir_provider *p, const char *name);
/* The text at key, "" where it is none. */
const char *weir_rest_text(const struct json_t *object, const char *key);
/* A number of the currency's units at key, in micro-units; -1 where it is none, or negative, or too large. */
int64_t weir_rest_price(const struct json_t *object, const char *key);
/* Reads an RFC 3339 time; 0 where it is none. */
struct weir_wall weir_rest_time(const struct json_t *object, const char *key);
