/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/digitalocean/digitalocean.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/rest.h"
#include "cloud/section.h"

enum {
    BOOT_BYTES_MAX = 64 << 10, /* of user data */
    VISIBLE_WITHIN_S = 30,
    ALLOCATION_S = 90, /* by then most that cannot be made have been told so */
    PAGE_ITEMS = 200,  /* the most that DigitalOcean gives */
    NAME_SIZE = 64,    /* of images, keys and networks */
    SSH_KEYS_MAX = 16,
};

struct digitalocean {
    char image[NAME_SIZE];     /* "": by the GPUs */
    char amd_image[NAME_SIZE];
    char ssh_key[SSH_KEYS_MAX][NAME_SIZE];
    size_t n_ssh_keys;
    json_t *vpcs; /* by region; NULL: the account's default */
    bool public_ip;
    struct weir_rest_boot boot;
};

static const char where[] = "digitalocean";
static const char *const keys[] = {WEIR_REST_KEYS, WEIR_REST_BOOT_KEYS, "image", "amd_image", "ssh_keys", "vpcs", "public_ip", NULL};
static const char *const key_env[] = {"DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN", NULL};
static const char *const key_files[] = {"~/.config/doctl/config.yaml", NULL};

/* ---- configuration ---- */

static bool is_word(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:.");
    return n > 0 && n < NAME_SIZE && s[n] == '\0';
}

static int read_image(const json_t *section, const char *key, char ret[static NAME_SIZE], struct weir_err *err)
{
    int r = weir_section_text(section, where, key, ret, NAME_SIZE, err);
    return r < 0 || ret[0] == '\0' || is_word(ret) ? r : weir_section_bad(err, where, key, "must be the slug or the number of an image");
}

static int read_vpcs(struct digitalocean *own, const json_t *section, struct weir_err *err)
{
    const json_t *vpcs = json_object_get(section, "vpcs");
    const char *region;
    json_t *id;
    if (vpcs != NULL && !json_is_object(vpcs)) {
        return weir_section_bad(err, where, "vpcs", "must be a mapping of regions to ids of VPC networks");
    }
    json_object_foreach((json_t *)(uintptr_t)vpcs, region, id)
    {
        if (!json_is_string(id) || !is_word(json_string_value(id))) {
            char key[96];
            (void)snprintf(key, sizeof key, "vpcs.%.64s", region);
            return weir_section_bad(err, where, key, "must be the id of a VPC network");
        }
    }
    own->vpcs = json_deep_copy(vpcs);
    return 0;
}

static void release(struct digitalocean *own)
{
    json_decref(own->vpcs);
    weir_rest_boot_release(&own->boot);
    free(own);
}

static int digitalocean_open(struct weir_provider *p, const json_t *section, struct weir_cloud_conf *cloud, struct weir_err *err)
{
    (void)cloud;
    struct digitalocean *own = weir_alloc(sizeof *own);
    *own = (struct digitalocean){.amd_image = "gpu-amd-base", .public_ip = true};
    int r = read_image(section, "image", own->image, err);
    r = r < 0 ? r : read_image(section, "amd_image", own->amd_image, err);
    r = r < 0 ? r : weir_section_names(section, where, "ssh_keys", own->ssh_key[0], sizeof own->ssh_key[0], SSH_KEYS_MAX, &own->n_ssh_keys, err);
    for (size_t i = 0; r == 0 && i < own->n_ssh_keys; i++) {
        r = is_word(own->ssh_key[i]) ? 0 : weir_section_bad(err, where, "ssh_keys", "must be numbers or fingerprints of the account's keys");
    }
    r = r < 0 ? r : weir_section_bool(section, where, "public_ip", &own->public_ip, err);
    r = r < 0 ? r : weir_rest_boot_read(&own->boot, section, where, err);
    r = r < 0 ? r : read_vpcs(own, section, err);
    if (r < 0) {
        release(own);
        return r;
    }
    p->own = own;
    return 0;
}

static void digitalocean_close(struct weir_provider *p)
{
    release(p->own);
}

/* ---- what answers mean ---- */

static void digitalocean_classify(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)ctx;
    if (reply->status < 400 || reply->body.n == 0) {
        return;
    }
    json_t *body = json_loadb(reply->body.p, reply->body.n, 0, NULL);
    const char *message = weir_rest_text(body, "message");
    (void)snprintf(v->code, sizeof v->code, "%.63s", weir_rest_text(body, "id"));
    if (message[0] != '\0') {
        (void)snprintf(v->text, sizeof v->text, "%.40s: %.200s", v->code, message);
    }
    bool may_be_any = reply->status == 422 || reply->status == 403; /* DigitalOcean has no codes for stock and limits */
    if (reply->status == 402 || (may_be_any && strcasestr(message, "limit") != NULL)) {
        v->class = WEIR_PROVIDER_QUOTA;
    } else if (may_be_any && strcasestr(message, "pending event") != NULL) {
        v->class = WEIR_PROVIDER_THROTTLED; /* something else is being done to the Droplet */
        v->again = true;
    } else if (reply->status == 422 && (strcasestr(message, "available") != NULL || strcasestr(message, "capacity") != NULL)) {
        v->class = WEIR_PROVIDER_NO_CAPACITY;
    }
    json_decref(body);
}

/* The number of the next page; 0 at the end. Only the number is taken: credentials go with the next call. */
static int next_page(const json_t *body, uint64_t *ret, struct weir_err *err)
{
    const char *next = weir_rest_text(json_object_get(json_object_get(body, "links"), "pages"), "next");
    const char *at = strstr(next, "?page=");
    at = at != NULL ? at : strstr(next, "&page=");
    *ret = 0;
    if (next[0] == '\0') {
        return 0;
    }
    struct weir_sv number = weir_sv_of(at == NULL ? "" : at + strlen("?page="));
    number.n = strspn(number.p, "0123456789");
    return weir_parse_u64(number, 2, 100000, ret, NULL) == 0 ? 0 : weir_fail(err, -WEIR_EIO, "the next page of a list has no number");
}

/* ---- machines ---- */

static void digitalocean_list(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    q->what = "list Droplets";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/v2/droplets?tag_name=weir-%s&per_page=%d&page=%s", p->conf.endpoint, p->env->owner, PAGE_ITEMS,
                  page[0] == '\0' ? "1" : page);
}

static bool read_droplet(const json_t *o, struct weir_rest_machine *m)
{
    static const struct {
        const char *status;
        enum weir_instance_state is;
        bool dead;
    } rows[] = {
        {"new", WEIR_INSTANCE_PENDING, false},
        {"active", WEIR_INSTANCE_RUNNING, false},
        {"off", WEIR_INSTANCE_STOPPING, true}, /* billed in full all the same */
        {"archive", WEIR_INSTANCE_STOPPING, true},
    };
    json_int_t id = json_integer_value(json_object_get(o, "id"));
    const char *name = weir_rest_text(o, "name");
    const char *status = weir_rest_text(o, "status");
    *m = (struct weir_rest_machine){.state = WEIR_INSTANCE_PENDING, .launched = weir_rest_time(o, "created_at")};
    if (id <= 0) {
        return false;
    }
    (void)snprintf(m->id, sizeof m->id, "%lld", (long long)id);
    (void)snprintf(m->name, sizeof m->name, "%s", strlen(name) < sizeof m->name ? name : ""); /* a longer one is not ours */
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (weir_streq(rows[i].status, status)) {
            m->state = rows[i].is;
            m->dead = rows[i].dead;
        }
    }
    return true;
}

static int digitalocean_on_list(struct weir_provider *p, const json_t *body, struct weir_rest_list *l, struct weir_err *err)
{
    (void)p;
    const json_t *droplets = json_object_get(body, "droplets");
    uint64_t next = 0;
    char page[32] = "";
    int r = json_is_array(droplets) ? next_page(body, &next, err) : weir_fail(err, -WEIR_EIO, "a list of Droplets without 'droplets'");
    for (size_t i = 0; r == 0 && i < json_array_size(droplets); i++) {
        struct weir_rest_machine m;
        r = read_droplet(json_array_get(droplets, i), &m) ? weir_rest_list_add(l, &m, err) : weir_fail(err, -WEIR_EIO, "a Droplet without an id");
    }
    if (next > 0) {
        (void)snprintf(page, sizeof page, "%" PRIu64, next);
    }
    return r < 0 ? r : weir_rest_list_next(l, page, err);
}

/* The image with the driver that goes with the GPUs; an image of the site's own may be given by its number. */
static void add_image(const struct digitalocean *own, const struct weir_offer *o, struct weir_json *j)
{
    bool is_amd = strncmp(o->instance_type, "gpu-mi", strlen("gpu-mi")) == 0;
    const char *image = is_amd ? own->amd_image : own->image[0] != '\0' ? own->image : o->gpus == 8 ? "gpu-h100x8-base" : "gpu-h100x1-base";
    uint64_t number;
    weir_json_key(j, "image");
    if (weir_parse_u64(weir_sv_of(image), 1, INT64_MAX, &number, NULL) == 0) {
        weir_json_u64(j, number);
    } else {
        weir_json_cstr(j, image);
    }
}

static int digitalocean_launch(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q,
                               struct weir_err *err)
{
    const struct digitalocean *own = p->own;
    const char *vpc = json_string_value(json_object_get(own->vpcs, l->offer->region));
    WEIR_CLEANUP(weir_str_release) struct weir_str script = {0};
    int r = weir_rest_boot_script(p, &own->boot, l, BOOT_BYTES_MAX, &script, err);
    if (r < 0) {
        return r;
    }
    q->what = "create Droplet";
    q->method = "POST";
    weir_str_addf(&q->url, "%s/v2/droplets", p->conf.endpoint);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "name", name);
    weir_json_kv_cstr(&j, "region", l->offer->region);
    weir_json_kv_cstr(&j, "size", l->offer->instance_type);
    add_image(own, l->offer, &j);
    weir_json_key(&j, "ssh_keys");
    weir_json_array(&j);
    for (size_t i = 0; i < own->n_ssh_keys; i++) {
        weir_json_cstr(&j, own->ssh_key[i]);
    }
    weir_json_end(&j);
    weir_json_key(&j, "tags");
    weir_json_array(&j);
    weir_json_cstr(&j, "weir");
    char tag[WEIR_REST_NAME_SIZE];
    (void)snprintf(tag, sizeof tag, "weir-%.60s", p->env->owner);
    weir_json_cstr(&j, tag);
    weir_json_end(&j);
    if (vpc != NULL) {
        weir_json_kv_cstr(&j, "vpc_uuid", vpc);
    }
    if (!own->public_ip) {
        weir_json_kv_bool(&j, "public_networking", false);
    }
    weir_json_kv_cstr(&j, "user_data", weir_str_cstr(&script));
    weir_json_end(&j);
    return 0;
}

/* What the first answer says of the action that makes the Droplet; 0: nothing. */
static json_int_t creating_action(const json_t *body)
{
    const json_t *actions = json_object_get(json_object_get(body, "links"), "actions");
    for (size_t i = 0; i < json_array_size(actions); i++) {
        const json_t *a = json_array_get(actions, i);
        if (weir_streq(weir_rest_text(a, "rel"), "create")) {
            return json_integer_value(json_object_get(a, "id"));
        }
    }
    return 0;
}

/* First the Droplet with the action that makes it, then that action until it has ended, or takes so long that it will do well. */
static int digitalocean_on_launch(struct weir_provider *p, const json_t *body, const char *name, struct weir_rest_machine *ret,
                                  struct weir_rest_request *q, struct weir_cloud_verdict *v, struct weir_err *err)
{
    (void)name;
    const json_t *action = json_object_get(body, "action");
    json_int_t id = creating_action(body);
    if (action != NULL) {
        const char *status = weir_rest_text(action, "status");
        json_int_t droplet = json_integer_value(json_object_get(action, "resource_id"));
        struct weir_wall started = weir_rest_time(action, "started_at");
        id = json_integer_value(json_object_get(action, "id"));
        *ret = (struct weir_rest_machine){.state = WEIR_INSTANCE_PENDING, .launched = started, .dead = weir_streq(status, "errored")};
        if (droplet <= 0 || id <= 0) {
            return weir_fail(err, -WEIR_EIO, "an action without an id, or without its Droplet");
        }
        (void)snprintf(ret->id, sizeof ret->id, "%lld", (long long)droplet);
        if (ret->dead) {
            v->class = WEIR_PROVIDER_NO_CAPACITY; /* the request was taken: there was no place for it */
            (void)snprintf(v->text, sizeof v->text, "the Droplet could not be made");
            return 0;
        }
        bool is_late = started.us != 0 && weir_wall_sub(weir_cloud_now(p->cloud), started).us > ALLOCATION_S * WEIR_US_PER_S;
        id = weir_streq(status, "in-progress") && !is_late ? id : 0;
    } else if (!read_droplet(json_object_get(body, "droplet"), ret)) {
        return weir_fail(err, -WEIR_EIO, "a new Droplet without an id");
    }
    if (id <= 0) {
        return 0;
    }
    q->what = "look at the new Droplet";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/v2/actions/%lld", p->conf.endpoint, (long long)id);
    return 1;
}

static void digitalocean_terminate(struct weir_provider *p, const char *id, struct weir_rest_request *q)
{
    q->what = "delete Droplet";
    q->method = "DELETE";
    weir_str_addf(&q->url, "%s/v2/droplets/%s", p->conf.endpoint, id);
}

/* ---- prices ---- */

static void digitalocean_prices(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    q->what = "list sizes";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/v2/sizes?per_page=%d&page=%s", p->conf.endpoint, PAGE_ITEMS, page[0] == '\0' ? "1" : page);
}

/* "nvidia_rtx6000_ada" -> "rtx6000 ada": the maker stands before the first '_'. */
static void gpu_name(const char *model, char *ret, size_t size)
{
    const char *rest = strchr(model, '_');
    (void)snprintf(ret, size, "%s", rest == NULL ? model : rest + 1);
    for (char *c = ret; *c != '\0'; c++) {
        *c = *c == '_' ? ' ' : *c;
    }
}

/* A size with GPUs as an offer without a region; false where it is none, or cannot be had. */
static bool read_size(const struct weir_provider *p, const json_t *size, struct weir_offer *ret)
{
    const json_t *gpu = json_object_get(size, "gpu_info");
    const json_t *vram = json_object_get(gpu, "vram");
    json_int_t gpus = json_integer_value(json_object_get(gpu, "count"));
    json_int_t gib = json_integer_value(json_object_get(vram, "amount")); /* of all its GPUs */
    json_int_t cores = json_integer_value(json_object_get(size, "vcpus"));
    json_int_t mib = json_integer_value(json_object_get(size, "memory"));
    const char *slug = weir_rest_text(size, "slug");
    char name[64];
    if (gpus < 1 || gpus > 32 || gib < gpus || gib > 65536 || cores < 1 || cores > 4096 || mib < 1 || mib > (64 << 20) ||
        !is_word(slug) || strlen(slug) >= sizeof ret->instance_type || !json_is_true(json_object_get(size, "available"))) {
        return false;
    }
    gpu_name(weir_rest_text(gpu, "model"), name, sizeof name);
    *ret = (struct weir_offer){.market = WEIR_OFFER_ON_DEMAND,
                               .source = "DigitalOcean sizes (live)",
                               .gpus = (uint16_t)gpus,
                               .gpu_mem_mib = (uint32_t)((gib << 10) / gpus),
                               .cpu_milli = (uint32_t)cores * 1000,
                               .mem_mib = (uint64_t)mib,
                               .price_micro_per_hour = weir_rest_price(size, "price_hourly")};
    (void)snprintf(ret->instance_type, sizeof ret->instance_type, "%s", slug);
    ret->gpu_model = weir_rest_gpu_model(p, name, ret->gpu_mem_mib);
    return ret->gpu_model != WEIR_GPU_MODEL_ANY; /* else a GPU that weir cannot compare yet */
}

static int digitalocean_on_prices(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err)
{
    const json_t *sizes = json_object_get(body, "sizes");
    uint64_t next = 0;
    int r = json_is_array(sizes) ? next_page(body, &next, err) : weir_fail(err, -WEIR_EIO, "a list of sizes without 'sizes'");
    for (size_t i = 0; r == 0 && i < json_array_size(sizes); i++) {
        struct weir_offer o;
        const json_t *size = json_array_get(sizes, i);
        const json_t *regions = read_size(p, size, &o) ? json_object_get(size, "regions") : NULL;
        for (size_t k = 0; k < json_array_size(regions); k++) {
            const char *region = json_string_value(json_array_get(regions, k));
            if (region != NULL && is_word(region) && strlen(region) < sizeof o.region) {
                (void)snprintf(o.region, sizeof o.region, "%s", region);
                weir_rest_offers_add(l, &o);
            }
        }
    }
    if (r == 0 && next > 0) {
        char page[32];
        (void)snprintf(page, sizeof page, "%" PRIu64, next);
        weir_rest_offers_next(l, page);
    }
    return r;
}

/* ---- the quota: Droplets of the account; how many there are, the list's total says ---- */

static const char droplets_page[] = "droplets";

static void digitalocean_quota(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    bool is_total = weir_streq(page, droplets_page);
    q->what = is_total ? "count Droplets" : "get account";
    q->method = "GET";
    weir_str_addf(&q->url, "%s%s", p->conf.endpoint, is_total ? "/v2/droplets?per_page=1&page=1" : "/v2/account");
}

static int digitalocean_on_quota(struct weir_provider *p, const json_t *body, struct weir_rest_quotas *l, struct weir_err *err)
{
    static const char name[] = "Droplet limit";
    (void)p;
    const json_t *account = json_object_get(body, "account");
    struct weir_provider_quota *known = weir_rest_quotas_find(l, "", name);
    if (known != NULL) {
        int64_t total = weir_rest_count(json_object_get(body, "meta"), "total");
        known->used = total;
        return total >= 0 ? 0 : weir_fail(err, -WEIR_EIO, "a list of Droplets without their total");
    }
    struct weir_provider_quota q = {.unit = WEIR_QUOTA_UNIT_MACHINES, .limit = weir_rest_count(account, "droplet_limit")};
    if (q.limit < 0) {
        return weir_fail(err, -WEIR_EIO, "an account without 'droplet_limit'");
    }
    (void)snprintf(q.name, sizeof q.name, "%s", name);
    weir_rest_quotas_add(l, &q);
    weir_rest_quotas_next(l, droplets_page);
    return 0;
}

/* ---- the tables ---- */

/* A token with droplet:create has image:read and actions:read, as the console adds them (DigitalOcean, "droplet:create", Required Scopes). */
static const struct weir_rest_read reads[] = {
    {"image:read", "/v2/images?type=distribution&per_page=1", "images, as all who have droplet:create", true},
    {"actions:read", "/v2/actions?per_page=1", "how far a launch has come, as all who have droplet:create", true},
    {"sizes:read", "/v2/sizes?per_page=1", "prices", true},
    {"account:read", "/v2/account", "the limit of Droplets", false},
    {0},
};

static const struct weir_rest_ops digitalocean_rest = {
    .endpoint = "https://api.digitalocean.com",
    .currency = "USD",
    .key_env = key_env,
    .key_files = key_files,
    .key_member = "access-token",
    .keys = keys,
    .per_second = 1, /* its limits are 5,000 an hour and 250 a minute */
    .burst = 60,
    .poll = {5 * WEIR_US_PER_S},
    .prices_every = {600 * WEIR_US_PER_S},
    .open = digitalocean_open,
    .close = digitalocean_close,
    .list = digitalocean_list,
    .on_list = digitalocean_on_list,
    .launch = digitalocean_launch,
    .on_launch = digitalocean_on_launch,
    .terminate = digitalocean_terminate,
    .prices = digitalocean_prices,
    .on_prices = digitalocean_on_prices,
    .quota = digitalocean_quota,
    .on_quota = digitalocean_on_quota,
    .reads = reads,
    .rights = "droplet:create, droplet:delete and tag:create: DigitalOcean tells nobody the scopes of a token. The first launch shows what is missing",
    .zone = weir_rest_zone_is_region,
    .classify = digitalocean_classify,
};

static int digitalocean_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf, struct weir_err *err)
{
    return weir_rest_open(ret, &digitalocean_rest, &weir_digitalocean_provider, env, conf, err);
}

const struct weir_provider_ops weir_digitalocean_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "digitalocean",
    .caps = 0,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .quota_remedy = "ask for a higher limit in the control panel's settings of the team",
    .init = digitalocean_init,
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
