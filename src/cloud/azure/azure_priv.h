/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the Azure driver share. It stands on cloud/rest.h: struct azure is what a provider's `own` points to. */

#include <jansson.h>

#include "base/vec.h"
#include "cloud/credential.h"
#include "cloud/rest.h"

enum {
    AZURE_ID_SIZE = 384, /* of a resource */
    AZURE_NETWORKS_MAX = 32,
    AZURE_PATH_SIZE = 512,
    AZURE_ZONES_MAX = 6,
};

#define AZURE_COMPUTE_VERSION "2024-07-01"
#define AZURE_SKUS_VERSION "2021-07-01"
/* Pages of prices besides links to more: the sizes of the next region, the first prices. */
#define AZURE_SIZES_PAGE "sizes"
#define AZURE_PRICES_PAGE "prices"

struct azure_network {
    char region[WEIR_REGION_SIZE];
    char subnet[AZURE_ID_SIZE];
    char security_group[AZURE_ID_SIZE]; /* "": none */
    bool knows_sizes; /* what can be had there was told whole */
};

/* A size that can be had in a region. */
struct azure_place {
    size_t network;
    char size[WEIR_INSTANCE_TYPE_SIZE];
    char zone[AZURE_ZONES_MAX][8];
    size_t n_zones; /* 0: Azure places it */
};

struct azure {
    char subscription[64];
    char group[91];
    char tenant[64];
    char client_id[64];
    char *secret;                    /* of the client; NULL: by another way */
    char federated[AZURE_PATH_SIZE]; /* file of the workload identity's token; "": none. Without secret and file: managed identity. */
    struct azure_network network[AZURE_NETWORKS_MAX];
    size_t n_networks;
    char image[AZURE_ID_SIZE]; /* "publisher:offer:sku:version", or a resource's id */
    char *ssh_key;             /* Azure makes no machine without one */
    char user[33];
    char identity[AZURE_ID_SIZE]; /* of the machine, so that it can remove itself; "": none */
    char currency[4]; /* of the list prices that are asked for */
    bool spot;
    bool public_ip;
    uint32_t disk_gib;
    char login_endpoint[256];
    char prices_endpoint[256];
    char metadata_endpoint[256];
    char agent[AZURE_PATH_SIZE];
    char *before;
    char gpus[64];
    WEIR_VEC(struct azure_place) places;
    bool asks_sizes;       /* they are asked for, not prices */
    size_t skus_network;   /* whose sizes are */
    size_t prices_network; /* whose prices are asked for */
    uint64_t prices_skip;  /* how many of them came */
    size_t quota_network;  /* whose quotas are asked for */
    struct weir_credential *credential;
    char *bearer; /* the access token that is valid now; NULL: none */
};

/* ---- conf.c ---- */
extern const char *const azure_keys[];
/* Errors: -WEIR_ECONFIG. */
int azure_conf_read(struct azure *ret, const struct weir_provider_env *env, const json_t *section, struct weir_err *err);
void azure_conf_release(struct azure *a);

/* ---- token.c: ctx is the provider ---- */
weir_credential_fetch_fn azure_token_fetch;
void azure_token_forget(struct azure *a);
weir_cloud_sign_fn azure_sign;

/* ---- machine.c ---- */
/* "{endpoint}/subscriptions/.../virtualMachines{name}?api-version=...{more}"; name "" or "/NAME". */
void azure_machine_url(const struct weir_provider *p, const char *name, const char *more, struct weir_str *ret);
/* The body of the PUT. Errors: -WEIR_EINVAL, -WEIR_ELIMIT, -WEIR_EUNSUPPORTED: the launch cannot be made so. */
int azure_machine_body(const struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_str *ret, struct weir_err *err);
/* A machine as Azure describes it; false where it is none. failure: why it could not be made; "" where it is not a failed one. */
bool azure_machine_read(const json_t *o, struct weir_rest_machine *ret, char failure[static WEIR_CLOUD_CODE_SIZE]);

/* ---- verdict.c ---- */
weir_cloud_classify_fn azure_classify;
/* The class of an error by its code and text; REFUSED where they say nothing else. */
enum weir_provider_class azure_class_of(const char *code, const char *text);

/* ---- check.c ---- */
void azure_check(struct weir_provider *p, unsigned step, struct weir_rest_request *q);
void azure_on_check(struct weir_provider *p, unsigned step, const struct weir_cloud_answer *answer, const json_t *body, struct weir_checks *k);

/* ---- quota.c ---- */
void azure_quota(struct weir_provider *p, const char *page, struct weir_rest_request *q);
int azure_on_quota(struct weir_provider *p, const json_t *body, struct weir_rest_quotas *l, struct weir_err *err);

/* ---- skus.c ---- */
void azure_skus(const struct weir_provider *p, const char *page, struct weir_rest_request *q);
int azure_on_skus(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err);
/* Goes on with the next region, or with prices. */
void azure_skus_next(struct weir_provider *p, struct weir_rest_offers *l);
/* Where sizes were asked for: goes on without those of that region. */
bool azure_skus_failed(struct weir_provider *p, struct weir_rest_offers *l);
/* NULL: it cannot be had there, or where *ret_known is false nobody knows. */
const struct azure_place *azure_place_of(const struct azure *a, const char *region, const char *size, bool *ret_known);

/* ---- prices.c ---- */
void azure_prices(struct weir_provider *p, const char *page, struct weir_rest_request *q);
int azure_on_prices(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err);
