/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the EC2 driver share. */

#include "base/vec.h"
#include "cloud/call.h"
#include "cloud/credential.h"
#include "cloud/ec2/ec2.h"
#include "cloud/ec2/sigv4.h"
#include "cloud/ec2/xml.h"

#define EC2_NAME "aws"
#define EC2_VERSION "2016-11-15"
#define EC2_TAG_OWNER "weir-owner"
#define EC2_TAG_TOKEN "weir-token"
#define EC2_TAG_LEASE "weir-lease"

enum {
    EC2_REGIONS_MAX = 32,
    EC2_TYPES_MAX = 64,
    EC2_SUBNETS_MAX = 64,
    EC2_GROUPS_MAX = 5,
    EC2_NAME_SIZE = 128,
    EC2_IMAGE_SIZE = 256,
    EC2_PROFILE_SIZE = 128,
    EC2_SCOPE_SIZE = 64,
    EC2_QUOTAS = 5,
};

struct ec2_subnet {
    char zone[WEIR_REGION_SIZE];
    char id[EC2_NAME_SIZE];
};

struct ec2_image {
    char region[WEIR_REGION_SIZE]; /* "": any */
    char name[EC2_IMAGE_SIZE];     /* "ami-..." or "ssm:/..." */
};

struct ec2_conf {
    char endpoint[256];
    char region[EC2_REGIONS_MAX][WEIR_REGION_SIZE];
    size_t n_regions;
    char type[EC2_TYPES_MAX][WEIR_INSTANCE_TYPE_SIZE];
    size_t n_types;
    bool spot;
    bool on_demand;
    bool list_prices; /* on demand by the Price List Query API */
    bool has_profile;
    char profile[EC2_PROFILE_SIZE];
    char role_arn[256];
    char external_id[256];
    struct ec2_image image[EC2_REGIONS_MAX + 1];
    size_t n_images;
    struct ec2_subnet subnet[EC2_SUBNETS_MAX];
    size_t n_subnets;
    char group[EC2_GROUPS_MAX][EC2_NAME_SIZE];
    size_t n_groups;
    char instance_profile[EC2_NAME_SIZE];
    char key_name[256];
    bool public_ip;
    uint32_t volume_gb;
    char root_device[32];
    char agent[256];
    char before[8192];
    struct weir_dur prices_every;
    struct weir_dur price_max_age;
    uint32_t per_second;
    uint32_t page_size;
};

/* A limit in vCPUs. */
struct ec2_quota {
    char name[72];
    int64_t limit;       /* -1: the region has none */
    struct weir_wall at; /* 0: not known */
};

/* What is known of one region. */
struct ec2_region {
    char image[EC2_NAME_SIZE]; /* resolved */
    struct weir_wall image_at;
    WEIR_VEC(struct ec2_place) places; /* live spot prices */
    WEIR_VEC(struct ec2_type) types;   /* what is offered at all; empty: not known */
    struct weir_wall prices_at;        /* 0: none came yet */
    struct weir_wall types_at;
    struct weir_wall tried_at;
    WEIR_VEC(struct ec2_listed) listed; /* on-demand prices by the price list */
    struct weir_wall listed_at;         /* complete */
    struct weir_wall list_tried_at;
    bool listing; /* it is being read */
    struct ec2_quota quota[EC2_QUOTAS];
};
/* What a type costs on demand. */
struct ec2_listed {
    char type[WEIR_INSTANCE_TYPE_SIZE];
    int64_t micro_per_hour;
    char currency[WEIR_CURRENCY_SIZE]; /* as the list names it */
    struct weir_wall at;
};
struct ec2_place {
    char type[WEIR_INSTANCE_TYPE_SIZE];
    char zone[WEIR_REGION_SIZE];
    int64_t micro_per_hour;
    struct weir_wall since; /* of that price; 0: it is not told */
};
struct ec2_type {
    char name[WEIR_INSTANCE_TYPE_SIZE];
};

struct ec2_wait; /* an offers call that waits for prices */

struct weir_provider {
    const struct weir_provider_env *env;
    struct ec2_conf conf;
    struct weir_cloud *cloud;
    struct weir_credential *credential;
    struct weir_sigv4_key key; /* what signs */
    struct ec2_region region[EC2_REGIONS_MAX];
    WEIR_VEC(struct weir_offer) offers;
    struct ec2_wait *waits;
    unsigned refreshing; /* calls under way */
    bool prices_old;     /* they are to be asked for anew */
    bool price_failed;   /* the last prices did not come whole */
    char price_trouble[256]; /* what is the matter with them; "" */
    char list_trouble[256];  /* why the price list did not come; "" */
    char metadata_token[256];
    char no_keys[256]; /* what to say where none are found */
};

/* conf.c. Errors: -WEIR_ECONFIG. */
int ec2_conf_read(struct ec2_conf *ret, const struct json_t *section, const struct weir_provider_env *env, struct weir_err *err);
bool ec2_region_is_valid(const char *name);

/* credentials.c */
void ec2_credentials_fetch(void *provider, struct weir_credential *c);
/* The value of a key in a profile of the shared files; false where it is not there. */
bool ec2_profile_get(const struct weir_provider_env *env, const char *profile, const char *key, char *ret, size_t size);
/* Which profile is meant. */
const char *ec2_profile_name(const struct weir_provider_env *env, const struct ec2_conf *conf);

/* answer.c */
void ec2_classify(void *provider, const struct weir_http_reply *reply, struct weir_cloud_verdict *v);
/* An item of an instancesSet. region stands before its id. */
bool ec2_read_instance(const struct weir_xml *item, const char *region, struct weir_instance *ret);
const char *ec2_tag(const struct weir_xml *item, const char *key);
/* "2026-11-22T11:52:20.000Z"; 0 where it is none. */
struct weir_wall ec2_time(const char *text);

/* request.c: forms and their sending */
struct weir_str ec2_form(const char *action);
void ec2_form_add(struct weir_str *form, const char *key, const char *value);
void ec2_form_addf(struct weir_str *form, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Sends the form to EC2 in that region. deadline_ms 0: as weir_cloud_send has it. Errors: those of weir_cloud_send. */
int ec2_send(struct weir_provider *p, const char *region, const char *what, enum weir_cloud_kind kind, unsigned deadline_ms, const struct weir_str *form,
             weir_cloud_fn *done, void (*drop)(void *ctx), void *ctx);

/* China is a partition of its own: other hosts, other accounts, and prices in another currency. */
bool ec2_is_china(const char *region);
/* That of a region's spot prices, which do not name it; price lists do. */
const char *ec2_usual_currency(const char *region);
void ec2_url(const struct weir_provider *p, const char *service, const char *region, char *ret, size_t size);
int ec2_sign(void *provider, const struct weir_http_call *call, struct weir_wall now, struct weir_cloud_headers *h, const char **ret_bearer,
             struct weir_err *err);
/* The index of a configured region; -1. */
int ec2_region_index(const struct weir_provider *p, const char *name);

/* ec2.c: describe by token, with drop as weir_cloud_send has it. */
int ec2_find(struct weir_provider *p, const char *token, weir_provider_fn *done, void (*drop)(void *ctx), void *ctx);

/* launch.c */
int ec2_launch(struct weir_provider *p, const struct weir_launch *l, weir_provider_fn *done, void *ctx);
/* The form of a launch but for its image, its token and what the machine does first. */
void ec2_machine_form(const struct ec2_conf *c, const struct weir_launch *l, struct weir_str *form);
/* The configured image of a region: "ami-...", or "ssm:" and a parameter that holds its id. */
const char *ec2_image_of(const struct ec2_conf *c, const char *region);
/* Asks for that parameter. deadline_ms 0: as weir_cloud_send has it. Errors: those of weir_cloud_send. */
int ec2_ask_parameter(struct weir_provider *p, const char *region, const char *parameter, unsigned deadline_ms, weir_cloud_fn *done,
                      void (*drop)(void *ctx), void *ctx);
/* The id of an image in the answer; false where it holds none. */
bool ec2_read_parameter(const struct weir_cloud_answer *a, char ret[static EC2_NAME_SIZE]);

/* check.c */
int ec2_check(struct weir_provider *p, weir_check_fn *done, void *ctx);

/* offers.c */
int ec2_offers(struct weir_provider *p, weir_provider_fn *done, void *ctx);
void ec2_prices_anew(struct weir_provider *p);
int ec2_price_history(struct weir_provider *p, const struct weir_offer *offer, struct weir_wall from, weir_provider_fn *done, void *ctx);
bool ec2_type_is_wanted(const struct ec2_conf *c, const char *type);

/* quota.c */
int ec2_quota(struct weir_provider *p, weir_provider_fn *done, void *ctx);

/* pricelist.c: asks for what is old; never waits. */
void ec2_pricelist_refresh(struct weir_provider *p);
/* What the type costs on demand in the region of that index; NULL where it is not known, or too old. */
const struct ec2_listed *ec2_pricelist_find(const struct weir_provider *p, size_t region, const char *type);
void ec2_offers_free(struct weir_provider *p);
