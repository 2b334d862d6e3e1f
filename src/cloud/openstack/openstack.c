/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/checks.h"
#include "cloud/openstack/openstack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cloud/boot.h"
#include "cloud/openstack/openstack_priv.h"
#include "net/uri.h"

enum {
    USER_DATA_BYTES_MAX = 65535,                        /* in base64 */
    BOOT_BYTES_MAX = USER_DATA_BYTES_MAX / 4 * 3,
    VISIBLE_WITHIN_S = 30,
    SCHEDULING_S = 90, /* by then most for which there is no host have been told so */
    BOOT_EXPECTED_S = 120,
    PAGE_ITEMS = 500,
};

/* ---- life ---- */

static int openstack_open(struct weir_provider *p, const json_t *section, struct weir_cloud_conf *cloud, struct weir_err *err)
{
    struct openstack *o = weir_alloc(sizeof *o);
    int r = openstack_conf_read(o, p->env, p->conf.endpoint, section, err);
    if (r < 0) {
        free(o);
        return r;
    }
    o->credential = weir_credential_new(p->env->clock, weir_dur_s(300), openstack_token_fetch, p);
    cloud->credential = o->credential;
    cloud->sign = openstack_sign;
    cloud->base = openstack_base;
    cloud->ca_pem = o->ca_pem;
    p->own = o;
    return 0;
}

static void openstack_close(struct weir_provider *p)
{
    struct openstack *o = p->own;
    weir_credential_free(o->credential);
    openstack_token_forget(o);
    openstack_conf_release(o);
    free(o);
}

/* ---- what answers mean ---- */

static enum weir_provider_class class_of(const char *message)
{
    static const char *const no_capacity[] = {"no valid host", "not enough hosts", "maximum number of retries", "insufficient", "no available", NULL};
    if (strcasestr(message, "quota") != NULL) {
        return WEIR_PROVIDER_QUOTA;
    }
    for (const char *const *w = no_capacity; *w != NULL; w++) {
        if (strcasestr(message, *w) != NULL) {
            return WEIR_PROVIDER_NO_CAPACITY;
        }
    }
    return WEIR_PROVIDER_REFUSED;
}

/* {"forbidden": {"code": 403, "message": "..."}}, and Keystone's {"error": {"code": 401, "message": "..."}}. */
static void openstack_classify(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)ctx;
    if (reply->status < 400 || reply->body.n == 0) {
        return;
    }
    json_t *body = json_loadb(reply->body.p, reply->body.n, 0, NULL);
    void *first = json_object_iter(body);
    const char *word = first == NULL ? "" : json_object_iter_key(first);
    const char *message = first == NULL ? "" : weir_rest_text(json_object_iter_value(first), "message");
    (void)snprintf(v->code, sizeof v->code, "%.63s", word);
    if (message[0] != '\0') {
        (void)snprintf(v->text, sizeof v->text, "%.40s: %.200s", word, message);
    }
    if (reply->status == 403 || reply->status == 409 || reply->status == 413) {
        enum weir_provider_class class = class_of(message);
        v->class = class != WEIR_PROVIDER_REFUSED ? class : reply->status == 413 ? WEIR_PROVIDER_THROTTLED : v->class;
        if (reply->status == 409 && strcasestr(message, "task_state") != NULL) {
            v->class = WEIR_PROVIDER_THROTTLED; /* something else is being done to the server */
        }
        v->again = v->class == WEIR_PROVIDER_THROTTLED;
    }
    json_decref(body);
}

/* ---- machines ---- */

static void openstack_list(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    q->what = "list servers";
    q->method = "GET";
    weir_str_addf(&q->url, "/servers/detail?tags=weir-%s&sort_key=created_at&sort_dir=asc&limit=%d", p->env->owner, PAGE_ITEMS);
    if (page[0] != '\0') {
        weir_str_adds(&q->url, "&marker=");
        weir_uri_encode(&q->url, weir_sv_of(page));
    }
}

static bool is_id(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return n > 0 && n < OPENSTACK_ID_SIZE && s[n] == '\0';
}

static bool read_server(const json_t *o, struct weir_rest_machine *m)
{
    static const struct {
        const char *status;
        enum weir_instance_state is;
        bool dead;
    } rows[] = {
        {"BUILD", WEIR_INSTANCE_PENDING, false},
        {"REBUILD", WEIR_INSTANCE_PENDING, false},
        {"ACTIVE", WEIR_INSTANCE_RUNNING, false},
        {"PASSWORD", WEIR_INSTANCE_RUNNING, false},
        {"REBOOT", WEIR_INSTANCE_RUNNING, false},
        {"HARD_REBOOT", WEIR_INSTANCE_RUNNING, false},
        {"MIGRATING", WEIR_INSTANCE_RUNNING, false},
        {"RESIZE", WEIR_INSTANCE_RUNNING, false},
        {"VERIFY_RESIZE", WEIR_INSTANCE_RUNNING, false},
        {"PAUSED", WEIR_INSTANCE_RUNNING, false}, /* by a person, who holds its GPUs */
        {"RESCUE", WEIR_INSTANCE_RUNNING, false},
        {"ERROR", WEIR_INSTANCE_STOPPING, true},
        {"SHUTOFF", WEIR_INSTANCE_STOPPING, true},
        {"SUSPENDED", WEIR_INSTANCE_STOPPING, true},
        {"SHELVED", WEIR_INSTANCE_STOPPING, true},
        {"SHELVED_OFFLOADED", WEIR_INSTANCE_STOPPING, true},
        {"DELETED", WEIR_INSTANCE_GONE, false},
        {"SOFT_DELETED", WEIR_INSTANCE_GONE, false},
    };
    const char *id = weir_rest_text(o, "id");
    const char *name = weir_rest_text(o, "name");
    const char *status = weir_rest_text(o, "status");
    *m = (struct weir_rest_machine){.state = WEIR_INSTANCE_PENDING, .launched = weir_rest_time(o, "created")};
    if (!is_id(id)) {
        return false;
    }
    (void)snprintf(m->id, sizeof m->id, "%s", id);
    (void)snprintf(m->name, sizeof m->name, "%s", strlen(name) < sizeof m->name ? name : ""); /* a longer one is not ours */
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (weir_streq(rows[i].status, status)) {
            m->state = rows[i].is;
            m->dead = rows[i].dead;
        }
    }
    if (m->state != WEIR_INSTANCE_GONE && weir_streq(weir_rest_text(o, "OS-EXT-STS:task_state"), "deleting")) {
        m->state = WEIR_INSTANCE_STOPPING;
        m->dead = false;
    }
    return true;
}

/* A list that has more says so by a link; where its next page begins is the id of its last item. "" at the end. */
static int next_marker(const json_t *body, const char *what, const char *links, char ret[static OPENSTACK_ID_SIZE], struct weir_err *err)
{
    const json_t *items = json_object_get(body, what);
    const json_t *link = json_object_get(body, links);
    bool more = false;
    ret[0] = '\0';
    if (!json_is_array(items)) {
        return weir_fail(err, -WEIR_EIO, "a list without '%s'", what);
    }
    for (size_t i = 0; i < json_array_size(link); i++) {
        more = more || weir_streq(weir_rest_text(json_array_get(link, i), "rel"), "next");
    }
    if (!more) {
        return 0;
    }
    const char *last = json_array_size(items) == 0 ? "" : weir_rest_text(json_array_get(items, json_array_size(items) - 1), "id");
    if (!is_id(last)) {
        return weir_fail(err, -WEIR_EIO, "a list that has more ends with nothing to go on from");
    }
    (void)snprintf(ret, OPENSTACK_ID_SIZE, "%s", last);
    return 0;
}

static int openstack_on_list(struct weir_provider *p, const json_t *body, struct weir_rest_list *l, struct weir_err *err)
{
    (void)p;
    char next[OPENSTACK_ID_SIZE];
    const json_t *servers = json_object_get(body, "servers");
    int r = next_marker(body, "servers", "servers_links", next, err);
    for (size_t i = 0; r == 0 && i < json_array_size(servers); i++) {
        struct weir_rest_machine m;
        r = read_server(json_array_get(servers, i), &m) ? weir_rest_list_add(l, &m, err) : weir_fail(err, -WEIR_EIO, "a server without an id");
    }
    return r < 0 ? r : weir_rest_list_next(l, next, err);
}

/* ---- launch ---- */

static void add_networks(const struct openstack *o, struct weir_json *j)
{
    weir_json_key(j, "networks");
    if (o->n_networks == 0) {
        weir_json_cstr(j, "auto");
        return;
    }
    weir_json_array(j);
    for (size_t i = 0; i < o->n_networks; i++) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "uuid", o->network[i]);
        weir_json_end(j);
    }
    weir_json_end(j);
}

static void add_disk(const struct openstack *o, struct weir_json *j)
{
    if (o->volume_gb == 0) {
        weir_json_kv_cstr(j, "imageRef", o->image);
        return;
    }
    weir_json_key(j, "block_device_mapping_v2");
    weir_json_array(j);
    weir_json_object(j);
    weir_json_kv_u64(j, "boot_index", 0);
    weir_json_kv_cstr(j, "uuid", o->image);
    weir_json_kv_cstr(j, "source_type", "image");
    weir_json_kv_cstr(j, "destination_type", "volume");
    weir_json_kv_u64(j, "volume_size", o->volume_gb);
    weir_json_kv_bool(j, "delete_on_termination", true); /* nothing of it is left when the server is gone */
    weir_json_end(j);
    weir_json_end(j);
}

static void add_marks(const struct weir_provider *p, const struct openstack *o, struct weir_json *j)
{
    char tag[WEIR_REST_NAME_SIZE];
    (void)snprintf(tag, sizeof tag, "weir-%.60s", p->env->owner);
    weir_json_key(j, "tags");
    weir_json_array(j);
    weir_json_cstr(j, "weir");
    weir_json_cstr(j, tag);
    weir_json_end(j);
    if (o->n_groups > 0) {
        weir_json_key(j, "security_groups");
        weir_json_array(j);
        for (size_t i = 0; i < o->n_groups; i++) {
            weir_json_object(j);
            weir_json_kv_cstr(j, "name", o->group[i]);
            weir_json_end(j);
        }
        weir_json_end(j);
    }
}

static struct openstack_flavor *find_flavor(const struct openstack *o, const char *name)
{
    for (size_t i = 0; i < o->flavor.n; i++) {
        if (weir_streq(o->flavor.p[i].name, name)) {
            return &o->flavor.p[i];
        }
    }
    return NULL;
}

static void openstack_prices(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    (void)p;
    q->what = "list flavors";
    q->method = "GET";
    weir_str_addf(&q->url, "/flavors/detail?limit=%d", PAGE_ITEMS);
    if (page[0] != '\0') {
        weir_str_adds(&q->url, "&marker=");
        weir_uri_encode(&q->url, weir_sv_of(page));
    }
}

/* A server names its flavor by an id, which the first list of prices tells. A launch that comes before that asks for it. */
static int openstack_prepare(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q, struct weir_err *err)
{
    (void)name;
    const struct openstack_flavor *f = find_flavor(p->own, l->offer->instance_type);
    if (f == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "the flavor '%s' is not one of the configuration", l->offer->instance_type);
    }
    if (f->id[0] == '\0') {
        openstack_prices(p, "", q);
    }
    return 0;
}

static int openstack_on_prepared(struct weir_provider *p, const json_t *body, struct weir_rest_request *first, struct weir_rest_request *launch,
                                 struct weir_err *err)
{
    char next[OPENSTACK_ID_SIZE];
    char wanted[WEIR_INSTANCE_TYPE_SIZE];
    const json_t *flavors = json_object_get(body, "flavors");
    int r = next_marker(body, "flavors", "flavors_links", next, err);
    json_t *request = json_loads(weir_str_cstr(&launch->body), 0, NULL);
    (void)snprintf(wanted, sizeof wanted, "%s", weir_rest_text(json_object_get(request, "server"), "flavorRef"));
    json_decref(request);
    for (size_t i = 0; r == 0 && i < json_array_size(flavors); i++) {
        const json_t *f = json_array_get(flavors, i);
        if (weir_streq(weir_rest_text(f, "name"), wanted) && is_id(weir_rest_text(f, "id"))) {
            weir_rest_body_set(launch, "server", "flavorRef", weir_rest_text(f, "id"));
            return 0;
        }
    }
    if (r == 0 && next[0] == '\0') {
        return weir_fail(err, -WEIR_EUNAVAIL, "the cloud has no flavor '%s'", wanted);
    }
    weir_str_clear(&first->url);
    openstack_prices(p, next, first);
    return r < 0 ? r : 1;
}

static int openstack_launch(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q, struct weir_err *err)
{
    const struct openstack *o = p->own;
    const struct openstack_flavor *f = find_flavor(p->own, l->offer->instance_type);
    WEIR_CLEANUP(weir_str_release) struct weir_str script = {0};
    WEIR_CLEANUP(weir_str_release) struct weir_str encoded = WEIR_STR_INIT(2 * USER_DATA_BYTES_MAX);
    int r = weir_rest_boot_script(p, &o->boot, l, BOOT_BYTES_MAX, &script, err);
    if (r < 0) {
        return r;
    }
    weir_base64(&encoded, weir_str_sv(&script));
    q->what = "create server";
    q->method = "POST";
    weir_str_adds(&q->url, "/servers");
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    weir_json_key(&j, "server");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "name", name);
    weir_json_kv_cstr(&j, "flavorRef", f->id[0] != '\0' ? f->id : f->name); /* on_prepared has the id where it is not known */
    add_disk(o, &j);
    add_networks(o, &j);
    add_marks(p, o, &j);
    if (o->key_name[0] != '\0') {
        weir_json_kv_cstr(&j, "key_name", o->key_name);
    }
    if (o->zone[0] != '\0') {
        weir_json_kv_cstr(&j, "availability_zone", o->zone);
    }
    if (o->config_drive) {
        weir_json_kv_bool(&j, "config_drive", true);
    }
    weir_json_kv_cstr(&j, "user_data", weir_str_cstr(&encoded));
    weir_json_end(&j);
    weir_json_end(&j);
    return 0;
}

/* The first answer has an id and no more; whether there is a host shows in the server itself. */
static int openstack_on_launch(struct weir_provider *p, const json_t *body, const char *name, struct weir_rest_machine *ret,
                               struct weir_rest_request *q, struct weir_cloud_verdict *v, struct weir_err *err)
{
    (void)name;
    const json_t *server = json_object_get(body, "server");
    if (!read_server(server, ret)) {
        return weir_fail(err, -WEIR_EIO, "a new server without an id");
    }
    if (weir_streq(weir_rest_text(server, "status"), "ERROR")) {
        const char *why = weir_rest_text(json_object_get(server, "fault"), "message");
        enum weir_provider_class class = class_of(why);
        v->class = class == WEIR_PROVIDER_REFUSED ? WEIR_PROVIDER_NO_CAPACITY : class; /* the request was taken: it is this server that failed */
        (void)snprintf(v->text, sizeof v->text, "the server could not be made: %.180s", why);
        return 0;
    }
    int64_t age_us = weir_wall_sub(weir_cloud_now(p->cloud), ret->launched).us;
    if (ret->state != WEIR_INSTANCE_PENDING || (ret->launched.us != 0 && age_us > SCHEDULING_S * WEIR_US_PER_S)) {
        return 0;
    }
    q->what = "look at the new server";
    q->method = "GET";
    weir_str_addf(&q->url, "/servers/%s", ret->id);
    return 1;
}

static void openstack_terminate(struct weir_provider *p, const char *id, struct weir_rest_request *q)
{
    (void)p;
    q->what = "delete server";
    q->method = "DELETE";
    weir_str_addf(&q->url, "/servers/%s", id);
}

/* ---- offers: the cloud's flavors that the configuration has a price for ---- */

static void add_flavor(const struct openstack *o, struct openstack_flavor *f, const json_t *flavor, struct weir_rest_offers *l)
{
    json_int_t cores = json_integer_value(json_object_get(flavor, "vcpus"));
    json_int_t mib = json_integer_value(json_object_get(flavor, "ram"));
    const char *id = weir_rest_text(flavor, "id");
    if (!is_id(id) || cores < 1 || cores > 4096 || mib < 1 || mib > (64 << 20) || json_is_true(json_object_get(flavor, "OS-FLV-DISABLED:disabled"))) {
        return;
    }
    struct weir_offer offer = {.market = WEIR_OFFER_ON_DEMAND,
                               .source = "configuration",
                               .gpu_model = f->gpu_model,
                               .gpus = f->gpus,
                               .gpu_mem_mib = f->gpu_mem_mib,
                               .cpu_milli = (uint32_t)cores * 1000,
                               .mem_mib = (uint64_t)mib,
                               .price_micro_per_hour = f->price_micro_per_hour,
                               .boot_expected = weir_dur_s(BOOT_EXPECTED_S)};
    memcpy(offer.currency, o->currency, sizeof offer.currency);
    (void)snprintf(f->id, sizeof f->id, "%s", id);
    (void)snprintf(offer.instance_type, sizeof offer.instance_type, "%s", f->name);
    (void)snprintf(offer.region, sizeof offer.region, "%s", o->region);
    weir_rest_offers_add(l, &offer);
}

static int openstack_on_prices(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err)
{
    struct openstack *o = p->own;
    char next[OPENSTACK_ID_SIZE];
    const json_t *flavors = json_object_get(body, "flavors");
    int r = next_marker(body, "flavors", "flavors_links", next, err);
    for (size_t i = 0; r == 0 && i < json_array_size(flavors); i++) {
        const json_t *flavor = json_array_get(flavors, i);
        struct openstack_flavor *f = find_flavor(o, weir_rest_text(flavor, "name"));
        if (f != NULL) {
            add_flavor(o, f, flavor, l);
        }
    }
    if (r == 0 && next[0] != '\0') {
        weir_rest_offers_next(l, next);
    }
    return r;
}

/* ---- quotas: the project's, in the region that the token is for ---- */

static void openstack_quota(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    (void)p;
    (void)page;
    q->what = "show limits";
    q->method = "GET";
    weir_str_adds(&q->url, "/limits");
}

static int openstack_on_quota(struct weir_provider *p, const json_t *body, struct weir_rest_quotas *l, struct weir_err *err)
{
    static const struct {
        const char *limit;
        const char *used;
        const char *name;
        enum weir_quota_unit unit;
    } rows[] = {
        {"maxTotalCores", "totalCoresUsed", "cores", WEIR_QUOTA_UNIT_CORES},
        {"maxTotalInstances", "totalInstancesUsed", "instances", WEIR_QUOTA_UNIT_MACHINES},
        {"maxTotalRAMSize", "totalRAMUsed", "ram", WEIR_QUOTA_UNIT_MEM_MIB},
    };
    const struct openstack *o = p->own;
    const json_t *absolute = json_object_get(json_object_get(body, "limits"), "absolute");
    if (!json_is_object(absolute)) {
        return weir_fail(err, -WEIR_EIO, "limits without 'absolute'");
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        /* -1 is no limit, and is no quota */
        struct weir_provider_quota q = {.unit = (uint8_t)rows[i].unit, .limit = weir_rest_count(absolute, rows[i].limit),
                                        .used = weir_rest_count(absolute, rows[i].used)};
        (void)snprintf(q.name, sizeof q.name, "%s", rows[i].name);
        (void)snprintf(q.region, sizeof q.region, "%s", o->region);
        weir_rest_quotas_add(l, &q);
    }
    return 0;
}

/* ---- looks ---- */

/* What a role may do is the cloud's own policy, which no call tells; by the usual one 'reader' looks on and 'member' rents. */
static void openstack_check(struct weir_provider *p, unsigned step, struct weir_rest_request *q)
{
    if (step == 0) {
        openstack_quota(p, "", q);
    }
}

static void openstack_on_check(struct weir_provider *p, unsigned step, const struct weir_cloud_answer *a, const json_t *body, struct weir_checks *k)
{
    const struct openstack *own = p->own;
    (void)step;
    (void)body;
    if (a->status == 403) {
        weir_checks_add(k, "permissions", WEIR_CHECK_WARNING, "give the user a role that may read the project's limits", "limits may not be read, so that no quota is known: %s",
                        a->text);
    }
    if (own->roles[0] == '\0') {
        return;
    }
    if (weir_streq(own->roles, "reader")) {
        weir_checks_add(k, "permissions", WEIR_CHECK_FAILED, "openstack role add --project PROJECT --user USER member",
                        "the token's only role is 'reader', which by Nova's policy may make no server");
    } else {
        weir_checks_add(k, "permissions", WEIR_CHECK_OK, NULL, "the token's roles: %s", own->roles);
    }
}

/* ---- the tables ---- */

static const char *openstack_zone(const struct weir_provider *p, const struct weir_offer *o)
{
    const struct openstack *own = p->own;
    (void)o;
    return own->zone;
}

static const struct weir_rest_ops openstack_rest = {
    .endpoint = "", /* Keystone's: every cloud has its own */
    .keys = openstack_keys,
    .per_second = 5,
    .burst = 20,
    .poll = {5 * WEIR_US_PER_S},
    .prices_every = {600 * WEIR_US_PER_S},
    .open = openstack_open,
    .close = openstack_close,
    .prepare = openstack_prepare,
    .on_prepared = openstack_on_prepared,
    .list = openstack_list,
    .on_list = openstack_on_list,
    .launch = openstack_launch,
    .on_launch = openstack_on_launch,
    .terminate = openstack_terminate,
    .prices = openstack_prices,
    .on_prices = openstack_on_prices,
    .quota = openstack_quota,
    .on_quota = openstack_on_quota,
    .check = openstack_check,
    .on_check = openstack_on_check,
    .rights = "whether the cloud's policy lets the token's roles make and delete servers: no call tells. The first launch shows it",
    .zone = openstack_zone,
    .classify = openstack_classify,
};

static int openstack_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf, struct weir_err *err)
{
    return weir_rest_open(ret, &openstack_rest, &weir_openstack_provider, env, conf, err);
}

const struct weir_provider_ops weir_openstack_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "openstack",
    .caps = 0,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .quota_remedy = "ask the cloud's operator for more ('openstack quota show' says what there is)",
    .init = openstack_init,
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
