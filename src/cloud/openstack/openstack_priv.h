/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the OpenStack driver share. It stands on cloud/rest.h: struct openstack is what a provider's `own` points to. */

#include <jansson.h>

#include "base/vec.h"
#include "cloud/credential.h"
#include "cloud/rest.h"

enum {
    OPENSTACK_NAME_SIZE = 256, /* of users, projects and domains */
    OPENSTACK_URL_SIZE = 512,
    OPENSTACK_ID_SIZE = 64,
    OPENSTACK_NETWORKS_MAX = 8,
    OPENSTACK_GROUPS_MAX = 8,
};

/* A flavor that the configuration names. */
struct openstack_flavor {
    char name[WEIR_INSTANCE_TYPE_SIZE];
    char id[OPENSTACK_ID_SIZE]; /* as the cloud has it; "": not known yet */
    uint16_t gpu_model;
    uint16_t gpus;
    uint32_t gpu_mem_mib;
    int64_t price_micro_per_hour;
};

/* Who we are; "": not given. The names are those of clouds.yaml. */
struct openstack_auth {
    char auth_url[OPENSTACK_URL_SIZE];
    char username[OPENSTACK_NAME_SIZE];
    char user_id[OPENSTACK_NAME_SIZE];
    char user_domain_name[OPENSTACK_NAME_SIZE];
    char user_domain_id[OPENSTACK_NAME_SIZE];
    char project_name[OPENSTACK_NAME_SIZE];
    char project_id[OPENSTACK_NAME_SIZE];
    char project_domain_name[OPENSTACK_NAME_SIZE];
    char project_domain_id[OPENSTACK_NAME_SIZE];
    char application_credential_id[OPENSTACK_NAME_SIZE];
    char application_credential_name[OPENSTACK_NAME_SIZE];
    char region_name[WEIR_REGION_SIZE];
    char interface[16];
    char cacert[OPENSTACK_URL_SIZE];
    char *password;                      /* NULL: none */
    char *application_credential_secret; /* NULL: none */
};

struct openstack {
    struct openstack_auth auth;
    char *ca_pem; /* NULL: the system's */
    char image[OPENSTACK_ID_SIZE];
    char network[OPENSTACK_NETWORKS_MAX][OPENSTACK_ID_SIZE];
    size_t n_networks; /* 0: "auto" */
    char group[OPENSTACK_GROUPS_MAX][OPENSTACK_ID_SIZE];
    size_t n_groups;
    char key_name[OPENSTACK_ID_SIZE];
    char zone[WEIR_REGION_SIZE];
    uint32_t volume_gb; /* 0: on the flavor's own disk */
    bool config_drive;
    struct weir_rest_boot boot;
    char currency[4]; /* of the flavors' prices; "": the ledger's */
    WEIR_VEC(struct openstack_flavor) flavor;
    /* with the token */
    struct weir_credential *credential;
    char *token; /* NULL: none */
    char compute[OPENSTACK_URL_SIZE];
    char region[WEIR_REGION_SIZE];
    char roles[256]; /* by name, after commas; "": it did not tell them */
};

/* ---- conf.c ---- */
extern const char *const openstack_keys[];
/* endpoint: the section's own; "": another source has it. Errors: -WEIR_ECONFIG. */
int openstack_conf_read(struct openstack *ret, const struct weir_provider_env *env, const char *endpoint, const json_t *section,
                        struct weir_err *err);
void openstack_conf_release(struct openstack *o);

/* ---- token.c: ctx is the provider ---- */
weir_credential_fetch_fn openstack_token_fetch;
void openstack_token_forget(struct openstack *o);
weir_cloud_sign_fn openstack_sign;
/* Where Nova is, as the token's catalog says. */
const char *openstack_base(void *ctx);
/* Reads the answer with a token: where Nova is, and for how long the token is good. Errors: -WEIR_EIO, -WEIR_ECONFIG. */
int openstack_token_read(struct openstack *o, const json_t *body, struct weir_dur *ret_life, struct weir_err *err);
