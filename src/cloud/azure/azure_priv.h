/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the Azure driver share. */

#include <jansson.h>

#include "base/vec.h"
#include "cloud/call.h"
#include "cloud/credential.h"

enum {
    AZURE_NAME_SIZE = 65, /* of a virtual machine */
    AZURE_ID_SIZE = 384,  /* of a resource */
    AZURE_URL_SIZE = 1024,
    AZURE_REGIONS_MAX = 32,
    AZURE_PATH_SIZE = 512,
};

#define AZURE_COMPUTE_VERSION "2024-07-01"

struct azure_region {
    char name[WEIR_REGION_SIZE];
    char subnet[AZURE_ID_SIZE];
    char security_group[AZURE_ID_SIZE]; /* "": none */
};

struct azure_conf {
    char subscription[64];
    char group[91];
    char tenant[64];
    char client_id[64];
    char *secret;                    /* of the client; NULL: by another way */
    char federated[AZURE_PATH_SIZE]; /* file of the workload identity's token; "": none. Without secret and file: managed identity. */
    struct azure_region region[AZURE_REGIONS_MAX];
    size_t n_regions;
    char image[AZURE_ID_SIZE]; /* "publisher:offer:sku:version", or a resource's id */
    char *ssh_key;             /* Azure makes no machine without one */
    char user[33];
    char identity[AZURE_ID_SIZE]; /* of the machine, so that it can remove itself; "": none */
    bool spot;
    bool public_ip;
    uint32_t disk_gib;
    struct weir_dur prices_age; /* they are fetched anew after this */
    uint32_t per_second;
    char endpoint[256];
    char login_endpoint[256];
    char prices_endpoint[256];
    char metadata_endpoint[256];
    char agent[AZURE_PATH_SIZE];
    char *before;
    char gpus[64];
};

/* A price of the feed. */
struct azure_price {
    char region[WEIR_REGION_SIZE];
    char size[WEIR_INSTANCE_TYPE_SIZE];
    bool spot;
    int64_t micro_per_hour;
};

struct azure_prices {
    WEIR_VEC(struct azure_price) row;  /* the last complete fetch */
    WEIR_VEC(struct azure_price) next; /* of the fetch under way */
    struct weir_wall fetched;          /* 0: never */
    struct weir_wall tried;
    size_t region; /* that is being fetched */
    unsigned pages;
    bool busy;
    WEIR_VEC(struct weir_offer) offers;
};

struct op;

struct weir_provider {
    const struct weir_provider_env *env;
    struct azure_conf conf;
    struct weir_cloud *cloud;
    struct weir_credential *credential;
    char *bearer;
    struct azure_prices prices;
    struct op *ops;  /* under way */
    struct azure_later *later;
};

/* ---- conf.c ---- */
int azure_conf_read(struct azure_conf *ret, const struct weir_provider_env *env, const json_t *section, struct weir_err *err);
void azure_conf_release(struct azure_conf *c);

/* ---- token.c ---- */
void azure_token_fetch(void *ctx, struct weir_credential *c);
void azure_token_forget(struct weir_provider *p);
/* "{authority}/{tenant}" and so on is not here: whoever signs has the token in p->bearer. */
int azure_sign(void *ctx, const struct weir_http_call *call, struct weir_wall now, struct weir_cloud_headers *h, const char **ret_bearer,
               struct weir_err *err);

/* ---- machine.c ---- */
/* The name that follows from the token: letters, digits and '-', at most 64. */
void azure_name(const char *token, char ret[static AZURE_NAME_SIZE]);
void azure_machine_url(const struct azure_conf *c, const char *name, const char *more, char ret[static AZURE_URL_SIZE]);
void azure_list_url(const struct azure_conf *c, char ret[static AZURE_URL_SIZE]);
/* The body of the PUT. Errors: -WEIR_EINVAL, -WEIR_ELIMIT, -WEIR_EUNSUPPORTED: the launch cannot be made so. */
int azure_machine_body(const struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_str *ret, struct weir_err *err);
/* A machine as Azure describes it. failure: why it could not be made ("" where it is not a failed one). */
bool azure_machine_read(const json_t *o, struct weir_instance *ret, char failure[static WEIR_CLOUD_CODE_SIZE], char owner[static WEIR_TOKEN_SIZE]);

/* ---- verdict.c ---- */
void azure_classify(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v);
/* The class of a failure that is told in a machine's state. */
enum weir_provider_class azure_class_of(const char *code, const char *text);

/* ---- prices.c ---- */
/* Reads one page; false where it is not one. *ret_next: the path of the next, "" at the end. */
bool azure_prices_read(struct weir_provider *p, struct weir_sv body, char *ret_next, size_t size);
bool azure_prices_are_old(const struct weir_provider *p);
void azure_prices_begin(struct weir_provider *p);
/* The path and query of a region's first page. */
void azure_prices_path(const struct azure_region *r, char *ret, size_t size);
/* All regions are there: they count from now on. */
void azure_prices_take(struct weir_provider *p);
void azure_prices_release(struct azure_prices *s);
/* Makes p->prices.offers of catalogue and prices. */
void azure_offers_make(struct weir_provider *p);
