/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/azure/azure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/azure/azure_priv.h"

enum {
    VISIBLE_WITHIN_S = 60,
    ALLOCATION_S = 90, /* by then most that cannot be allocated have been told so */
};

/* ---- life ---- */

static int azure_open(struct weir_provider *p, const json_t *section, struct weir_cloud_conf *cloud, struct weir_err *err)
{
    struct azure *a = weir_alloc(sizeof *a);
    int r = azure_conf_read(a, p->env, section, err);
    if (r < 0) {
        free(a);
        return r;
    }
    a->credential = weir_credential_new(p->env->clock, weir_dur_s(300), azure_token_fetch, p);
    cloud->credential = a->credential;
    cloud->sign = azure_sign;
    p->own = a;
    return 0;
}

static void azure_close(struct weir_provider *p)
{
    struct azure *a = p->own;
    weir_credential_free(a->credential);
    azure_token_forget(a);
    azure_conf_release(a);
    weir_vec_release(&a->places);
    free(a);
}

/* ---- machines ---- */

static void azure_list(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    q->what = "list machines";
    q->method = "GET";
    if (page[0] == '\0') {
        azure_machine_url(p, "", "", &q->url);
    } else {
        weir_str_adds(&q->url, page);
    }
}

static int azure_on_list(struct weir_provider *p, const json_t *body, struct weir_rest_list *l, struct weir_err *err)
{
    const json_t *value = json_object_get(body, "value");
    const char *next = weir_rest_text(body, "nextLink");
    size_t n = strlen(p->conf.endpoint);
    if (!json_is_array(value)) {
        return weir_fail(err, -WEIR_EIO, "a list of machines without 'value'");
    }
    /* Credentials go with the next page: only ever to where they belong. */
    if (next[0] != '\0' && (strncmp(next, p->conf.endpoint, n) != 0 || next[n] != '/')) {
        return weir_fail(err, -WEIR_EIO, "the next page of the list is not at %s", p->conf.endpoint);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct weir_rest_machine m;
        char failure[WEIR_CLOUD_CODE_SIZE];
        int r = azure_machine_read(json_array_get(value, i), &m, failure) ? weir_rest_list_add(l, &m, err)
                                                                         : weir_fail(err, -WEIR_EIO, "a machine without name or properties");
        if (r < 0) {
            return r;
        }
    }
    return weir_rest_list_next(l, next, err);
}

static int azure_launch(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q, struct weir_err *err)
{
    char path[WEIR_REST_NAME_SIZE + 1];
    (void)snprintf(path, sizeof path, "/%s", name);
    q->what = "create machine";
    q->method = "PUT";
    q->create_only = true;
    azure_machine_url(p, path, "", &q->url);
    return azure_machine_body(p, l, name, &q->body, err);
}

/* The first answer says that it was taken, or (412, an empty object or an error) that it is there from an earlier try. Whether it can be
 * allocated shows in the machine itself, often within a minute. */
static int azure_on_launch(struct weir_provider *p, const json_t *body, const char *name, struct weir_rest_machine *ret, struct weir_rest_request *q,
                           struct weir_cloud_verdict *v, struct weir_err *err)
{
    (void)err;
    char failure[WEIR_CLOUD_CODE_SIZE];
    bool known = azure_machine_read(body, ret, failure);
    if (known && failure[0] != '\0') {
        enum weir_provider_class class = azure_class_of(failure, "");
        v->class = class == WEIR_PROVIDER_REFUSED ? WEIR_PROVIDER_NO_CAPACITY : class; /* the request was taken: it is this machine that failed */
        (void)snprintf(v->text, sizeof v->text, "the machine could not be made: %s", failure);
        return 0;
    }
    int64_t age_us = weir_wall_sub(weir_cloud_now(p->cloud), ret->launched).us;
    if (known && (ret->state != WEIR_INSTANCE_PENDING || (ret->launched.us != 0 && age_us > ALLOCATION_S * WEIR_US_PER_S))) {
        return 0;
    }
    char path[WEIR_REST_NAME_SIZE + 1];
    (void)snprintf(path, sizeof path, "/%s", name);
    q->what = "look at the new machine";
    q->method = "GET";
    azure_machine_url(p, path, "&$expand=instanceView", &q->url);
    return 1;
}

static void azure_terminate(struct weir_provider *p, const char *id, struct weir_rest_request *q)
{
    char path[WEIR_INSTANCE_ID_SIZE + 1];
    (void)snprintf(path, sizeof path, "/%s", id);
    q->what = "delete machine";
    q->method = "DELETE";
    azure_machine_url(p, path, "&forceDeletion=true", &q->url);
}

/* ---- the tables ---- */

static const struct weir_rest_ops azure_rest = {
    .endpoint = "https://management.azure.com",
    .keys = azure_keys,
    .per_second = 5,
    .burst = 20,
    .poll = {5 * WEIR_US_PER_S},
    .prices_every = {WEIR_US_PER_HOUR},
    .open = azure_open,
    .close = azure_close,
    .list = azure_list,
    .on_list = azure_on_list,
    .launch = azure_launch,
    .on_launch = azure_on_launch,
    .terminate = azure_terminate,
    .prices = azure_prices,
    .on_prices = azure_on_prices,
    .on_prices_failed = azure_skus_failed,
    .quota = azure_quota,
    .on_quota = azure_on_quota,
    .check = azure_check,
    .on_check = azure_on_check,
    .classify = azure_classify,
    .native = true,
};

static int azure_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf, struct weir_err *err)
{
    return weir_rest_open(ret, &azure_rest, &weir_azure_provider, env, conf, err);
}

const struct weir_provider_ops weir_azure_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "azure",
    /* a Spot VM pays the price of the time, by region and size; without a maxPrice of its own at most that on demand: Use Azure Spot VMs */
    .caps = WEIR_PROVIDER_SPOT | WEIR_PROVIDER_TOKEN_NATIVE | WEIR_PROVIDER_SPOT_MOVES,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .quota_remedy = "ask for more on the portal's page Quotas, Compute",
    .init = azure_init,
    .fini = weir_rest_fini,
    .offers = weir_rest_offers,
    .prices_anew = weir_rest_prices_anew,
    .quota = weir_rest_quota,
    .launch = weir_rest_launch,
    .describe = weir_rest_describe,
    .list = weir_rest_list,
    .terminate = weir_rest_terminate,
    .check = weir_rest_check,
};
