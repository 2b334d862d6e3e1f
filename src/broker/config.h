/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The broker's configuration: a YAML file (docs/guide/configuration.md). Everything has a default; an unknown
 * key is an error with a suggestion and a place.
 */

#include "api/role.h"
#include "alerts_book.h"
#include "base/err.h"
#include "bill/bill.h"
#include "bill/tariff.h"
#include "cloud/grid.h"
#include "core/core.h"
#include "spec/spec.h"

struct json_t;

enum { WEIR_CONFIG_POOLS_MAX = 64, WEIR_CONFIG_COMMITTED_MAX = 256, WEIR_CONFIG_PROVIDERS_MAX = 16, WEIR_CONFIG_ISSUERS_MAX = 8, WEIR_CONFIG_GRANTS_MAX = 256 };

/* What a kWh emits, by place and time, in micrograms of CO2e. */
struct weir_config_carbon {
    int64_t ug_per_kwh;     /* where nothing of the rest holds; below 0: not known */
    struct weir_grid *file; /* in its place, by the hour; NULL: not given; owned */
    struct weir_config_carbon_row {
        struct weir_tariff_row when; /* with the micrograms, where there is no file */
        char region[64];             /* a glob; "": any */
        struct weir_grid *file;      /* owned */
    } *row; /* the last that holds counts */
    size_t n;
};

struct weir_config_pool {
    char name[64];
    struct weir_owned_cost cost; /* its tariff: where no row of the table holds */
    struct weir_tariff tariff;
    struct weir_grid *prices; /* by the hour, where no row of the table holds; NULL: not given; owned */
    struct weir_config_carbon carbon;
    /* what was given; the rest is assumed, see weir_config_owned_cost */
    bool has_purchase;
    bool has_upkeep;
    bool has_idle_watts;
    bool has_busy_watts;
    bool has_pue;
};

struct weir_config_provider {
    char name[WEIR_PROVIDER_SIZE];
    struct json_t *section; /* owned */
};

/* What somebody of a group of the issuer's may do. */
struct weir_config_grant {
    char group[256];
    char project[WEIR_SPEC_NAME_MAX + 1]; /* "": in the installation; "*": in every project */
    enum weir_role role;
};

/* An OpenID Connect issuer whose tokens are taken. */
struct weir_config_oidc {
    char issuer[512]; /* as it stands in the tokens */
    char audience[256];
    char user_claim[128];
    char groups_claim[128];
    char client_id[256]; /* of the command line, for `weir login`; "": none */
    char ca_file[1024];  /* "": the system's authorities */
    char *ca_pem;        /* its text; NULL: none */
    enum weir_role role; /* of whom no group makes more; NONE: they are refused unless weir knows the user */
    struct weir_dur skew;
    struct weir_dur keep; /* how long its keys are used without it being reached */
    struct weir_config_grant *grant;
    size_t n_grants;
};

struct weir_config_access {
    struct weir_config_oidc *oidc;
    size_t n_oidc;
    bool host_needs_token; /* loopback is trusted no more than other addresses */
    struct weir_dur certificate_life; /* of agents; default 7 days */
};

enum {
    WEIR_CONFIG_RECEIVERS_MAX = 16,
    WEIR_CONFIG_ROUTES_MAX = 64,
    WEIR_CONFIG_ROUTE_NAMES_MAX = 32,
    WEIR_CONFIG_MAIL_TO_MAX = 16,
    WEIR_CONFIG_QUEUE_WAITS_MAX = 256,
};

enum weir_receiver_kind {
    WEIR_RECEIVER_WEBHOOK,
    WEIR_RECEIVER_SLACK,
    WEIR_RECEIVER_ALERTMANAGER,
    WEIR_RECEIVER_MAIL,
    WEIR_RECEIVER_KIND_MAX,
};
const char *weir_receiver_kind_name(enum weir_receiver_kind k);

/* Who is told of alerts. Strings are owned, NULL where not given. */
struct weir_config_receiver {
    char name[WEIR_ALERT_NAME_SIZE];
    enum weir_receiver_kind kind;
    char *url;    /* of a mail relay: smtp:// or smtps://; may be a secret itself */
    char *secret; /* signs what a webhook is sent; a mail relay's password */
    char *token;  /* bearer */
    char *ca_pem; /* trust exactly this authority */
    char *user;   /* at a mail relay */
    char *from;
    char *to[WEIR_CONFIG_MAIL_TO_MAX];
    size_t n_to;
    bool allow_plain; /* mail without TLS, to another host */
};

/* Which alerts go to which receivers. */
struct weir_config_route {
    uint32_t conditions; /* a bit per condition; 0: all */
    bool critical_only;
    char project[WEIR_CONFIG_ROUTE_NAMES_MAX][WEIR_SPEC_NAME_MAX + 1]; /* globs; none: all, and what is nobody's */
    size_t n_projects;
    uint32_t receivers; /* a bit per receiver */
};

struct weir_config_alerts {
    struct weir_config_receiver receiver[WEIR_CONFIG_RECEIVERS_MAX];
    size_t n_receivers;
    struct weir_config_route *route; /* none: all goes to all */
    size_t n_routes;
    struct weir_config_queue_wait {
        char project[WEIR_SPEC_NAME_MAX + 1]; /* a glob; the first that matches counts */
        struct weir_dur objective;
    } *queue_wait;
    size_t n_queue_waits;
    uint32_t price_drift_percent; /* 0: is not looked at */
    uint32_t quota_percent;       /* the same of how much of a quota is taken */
    struct weir_dur run_out;      /* a budget that runs out sooner than this, and before its span ends */
    struct weir_dur group_wait;   /* what comes in so short a time goes in one message */
    struct weir_dur repeat;       /* what goes on is told again; 0: never */
    struct weir_dur keep;         /* what was resolved is shown for so long */
};

/* Addresses of one kind that begin alike. */
struct weir_net {
    bool is_v6;
    unsigned char address[16]; /* of IPv4 the first four */
    uint8_t prefix;
};

enum { WEIR_CONFIG_LINK_ROUTES_MAX = 32, WEIR_CONFIG_LINK_WORDS_MAX = 16, WEIR_CONFIG_LINK_DNS_MAX = 3, WEIR_CONFIG_LINK_DOMAINS_MAX = 8, WEIR_NET_SIZE = 52 };

/* How rented machines reach a broker in a private network: see docs/design/0015-link.md. */
struct weir_config_link {
    bool is_set;
    char interface[16];                                 /* of the gateway */
    char endpoint[280];                                 /* where machines reach it: host:port */
    char url[256];                                      /* of the broker, by the link */
    char public_key[48];                                /* of the gateway; "": it is asked */
    struct weir_net network;                            /* whose addresses machines get */
    struct weir_net route[WEIR_CONFIG_LINK_ROUTES_MAX]; /* what machines reach by the link, the broker included */
    size_t n_routes;
    char command[WEIR_CONFIG_LINK_WORDS_MAX][256]; /* that is called as `wg` is; default wg */
    size_t n_command;
    char direct[WEIR_CONFIG_PROVIDERS_MAX][WEIR_PROVIDER_SIZE]; /* whose machines reach the broker without */
    size_t n_direct;
    char dns[WEIR_CONFIG_LINK_DNS_MAX][WEIR_NET_SIZE]; /* addresses that are asked for names of the site */
    size_t n_dns;
    char domain[WEIR_CONFIG_LINK_DOMAINS_MAX][256]; /* those names; none: all */
    size_t n_domains;
    struct weir_dur keepalive;
    uint32_t mtu; /* 0: as the path has it */
};

/* "10.0.0.0/8" of a network. */
const char *weir_net_format(const struct weir_net *n, char buf[static WEIR_NET_SIZE]);
/* Name or address, without brackets, by which machines know the broker. */
void weir_config_link_host(const struct weir_config_link *k, char *ret, size_t size);

struct weir_config {
    char listen[128];
    char public_url[256]; /* what agents elsewhere use; "": from listen */
    char currency[4];
    char **names;         /* extra names in the server's certificate; NULL-terminated, may be NULL */
    struct weir_core_conf core; /* gpus is not set */
    struct weir_config_pool pool[WEIR_CONFIG_POOLS_MAX];
    size_t n_pools;
    struct weir_config_provider provider[WEIR_CONFIG_PROVIDERS_MAX];
    size_t n_providers;
    struct weir_config_committed {
        char provider[WEIR_PROVIDER_SIZE];
        char instance_type[WEIR_INSTANCE_TYPE_SIZE];
        char region[WEIR_REGION_SIZE];
        char zone[WEIR_REGION_SIZE]; /* "": any */
        uint32_t machines;           /* that are paid for */
        int64_t price_micro_per_hour; /* what each costs, used or not; 0: as on demand */
        struct weir_wall from;        /* its term; 0: since ever */
        struct weir_wall until;       /* WEIR_WALL_MAX: for ever */
        uint32_t line;                /* of the file, where it begins */
        char name[48];                /* of the commitment; "": it has none */
        char reservation[WEIR_RESERVATION_SIZE]; /* that its machines have to name; "": none */
        bool bound;                   /* its machines end with it */
        uint64_t plan;                /* of one plan that covers several: the same number; 0: of none */
        int64_t plan_micro_per_hour;  /* what it pays for all of them */
    } committed[WEIR_CONFIG_COMMITTED_MAX];
    size_t n_committed;
    struct weir_dur node_silence; /* without a word from its agent, a node is lost; default 60 s */
    uint64_t log_bytes_max;       /* per run */
    struct weir_dur ledger_check; /* the ledger is proven so often; default 24 h */
    struct weir_config_retention {
        struct weir_dur events;
        struct weir_dur explains;
        struct weir_dur logs; /* after the last byte, of ended jobs */
        struct weir_dur audit;
    } retention;
    struct weir_config_import {
        char provider[WEIR_PROVIDER_SIZE];
        char file[1024]; /* in the columns of SkyPilot's catalogue; its prices are as old as the file */
    } import[WEIR_CONFIG_PROVIDERS_MAX];
    size_t n_imports;
    struct weir_config_alerts alerts;
    char catalogue_dir[4096];     /* "": the built-in one */
    char agent_programs[4096];    /* directory of weir-x86_64 and weir-aarch64 for rented machines; "": the broker's own program */
    struct weir_config_tls {
        char cert[1024]; /* PEM files of a certificate that others gave; "": weir makes its own */
        char key[1024];
        char ca[1024]; /* authority of that certificate, for machines that are rented; "": the system's */
    } tls;
    struct weir_config_access access;
    struct weir_config_link link;
};

/* path NULL: all defaults. Errors: -WEIR_ECONFIG with file, line and key; -WEIR_ENOTFOUND. */
int weir_config_load(struct weir_config **ret, const char *path, struct weir_err *err);

/* The same from text; name is what errors call the file. text.p NULL: all defaults. Errors: -WEIR_ECONFIG. */
int weir_config_parse(struct weir_config **ret, struct weir_sv text, const char *name, struct weir_err *err);
void weir_config_free(struct weir_config *c);
/* No receivers. */
struct weir_config_alerts weir_config_alerts_default(void);

/* What assumptions are made from. */
struct weir_config_market {
    int64_t rent_micro; /* cheapest on-demand rent per GPU-hour of the node's model; 0: not known */
    int64_t usd_nano;   /* what a USD is in the ledger's currency, in billionths; 0: not known */
};

/*
 * What a node of the pool costs from at on, until *ret_until (WEIR_WALL_MAX: for ever). Where no purchase price is configured, one is assumed from the market:
 * its rent for one year per GPU, and a flat sum for the host; life four years, residual one tenth. So is a tariff. What is assumed in USD counts at its rate,
 * and is nothing where there is none. Assumptions are shown as such.
 */
struct weir_owned_cost weir_config_owned_cost(const struct weir_config *c,
                                              const char *pool,
                                              const struct weir_node_spec *node,
                                              const struct weir_gpu_table *gpus,
                                              const struct weir_config_market *market,
                                              struct weir_wall at,
                                              struct weir_wall *ret_until);
/*
 * The same of what is known of a rented machine: its power, from the table of GPU models unless it is configured, and the carbon of its region.
 * Watts are 0 where nobody knows them.
 */
struct weir_owned_cost weir_config_rented_cost(const struct weir_config *c,
                                               const char *pool,
                                               const struct weir_node_spec *node,
                                               const struct weir_gpu_table *gpus,
                                               struct weir_wall at,
                                               struct weir_wall *ret_until);
