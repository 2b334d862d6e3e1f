/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/vast/vast.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/money.h"
#include "base/parse.h"
#include "base/vec.h"
#include "cloud/boot.h"
#include "cloud/rest.h"
#include "cloud/section.h"

enum {
    DISK_GB = 50,
    HOURS_PER_MONTH = 30 * 24, /* Vast's own: storage is priced by the month */
    BOOT_BYTES_MAX = 96 << 10, /* what goes into one variable of the environment: less than Linux's 128 KiB */
    ASKS_MAX = 400,            /* of one answer */
    HOST_DAYS_MIN = 1,         /* that the host is still to be rented out */
    RELIABILITY_PPM = 950000,
    BID_OVER_PERCENT = 10,
    VISIBLE_WITHIN_S = 30,
};

/* What was asked for a host in the last search: the bid that wins it, which the offer's price has the disk's added to. */
struct vast_bid {
    uint64_t ask;
    int64_t micro_per_hour;
};

struct vast {
    char image[256];
    char agent[256]; /* an installed one in the image; "": from the broker */
    char gpus[64];   /* declared, for tests; "": as found */
    uint32_t disk_gb;
    uint32_t bid_over_percent;
    int64_t reliability_ppm;
    bool verified;
    bool spot;
    bool searches_bids; /* the search under way is for those */
    WEIR_VEC(struct vast_bid) bids;
    WEIR_VEC(struct vast_bid) next; /* of the search under way */
};

static const char *const keys[] = {WEIR_REST_KEYS, "image", "disk_gb", "spot", "bid_over_percent", "verified", "reliability", "agent", "declare_gpus",
                                   NULL};
static const char *const key_env[] = {"VAST_API_KEY", NULL};
static const char *const key_files[] = {"~/.config/vastai/vast_api_key", NULL};

static void vast_close(struct weir_provider *p)
{
    struct vast *own = p->own;
    weir_vec_release(&own->bids);
    weir_vec_release(&own->next);
    free(own);
}

static int vast_open(struct weir_provider *p, const json_t *section, struct weir_cloud_conf *cloud, struct weir_err *err)
{
    static const char where[] = "vast";
    (void)cloud;
    struct vast *own = weir_alloc(sizeof *own);
    *own = (struct vast){.disk_gb = DISK_GB, .bid_over_percent = BID_OVER_PERCENT, .reliability_ppm = RELIABILITY_PPM, .verified = true, .spot = true};
    int r = weir_section_text(section, where, "image", own->image, sizeof own->image, err);
    r = r != 0 ? r : weir_section_u32(section, where, "disk_gb", 10, 10000, &own->disk_gb, err);
    r = r != 0 ? r : weir_section_bool(section, where, "spot", &own->spot, err);
    r = r != 0 ? r : weir_section_u32(section, where, "bid_over_percent", 0, 400, &own->bid_over_percent, err);
    r = r != 0 ? r : weir_section_bool(section, where, "verified", &own->verified, err);
    r = r != 0 ? r : weir_section_decimal(section, where, "reliability", 6, 0, 1000000, &own->reliability_ppm, err);
    r = r != 0 ? r : weir_section_text(section, where, "agent", own->agent, sizeof own->agent, err);
    r = r != 0 ? r : weir_section_text(section, where, "declare_gpus", own->gpus, sizeof own->gpus, err);
    if (r == 0 && own->image[0] == '\0') {
        r = weir_fail(err, -WEIR_ECONFIG, "vast.image: a container image is wanted that has sh, base64, setsid, and curl or wget");
    }
    p->own = own;
    if (r != 0) {
        vast_close(p);
    }
    return r;
}

/* ---- what answers mean ---- */

/* A refusal may come with status 200, and one that names a contract has made it all the same: that is for vast_on_launch. */
static void vast_classify(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)ctx;
    json_t *body = reply->status == 0 || reply->body.n == 0 ? NULL : json_loadb(reply->body.p, reply->body.n, 0, NULL);
    const char *code = weir_rest_text(body, "error");
    const char *text = weir_rest_text(body, "msg");
    bool refused = json_is_false(json_object_get(body, "success")) || reply->status >= 400;
    if (!refused || reply->status == 429 || reply->status >= 500) {
        json_decref(body);
        return;
    }
    if (json_is_integer(json_object_get(body, "new_contract"))) {
        *v = (struct weir_cloud_verdict){.class = WEIR_PROVIDER_OK};
        json_decref(body);
        return;
    }
    v->class = weir_streq(code, "no_such_ask") || reply->status == 404 || reply->status == 410 ? WEIR_PROVIDER_NO_CAPACITY
               : weir_streq(code, "insufficient_credit") || reply->status == 402               ? WEIR_PROVIDER_QUOTA
                                                                                               : WEIR_PROVIDER_REFUSED;
    (void)snprintf(v->code, sizeof v->code, "%s", code);
    (void)snprintf(v->text, sizeof v->text, "%.200s", text[0] != '\0' ? text : code[0] != '\0' ? code : "it was refused without a word");
    json_decref(body);
}

/* ---- machines ---- */

static void vast_list(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    (void)page; /* there is one page only */
    q->what = "list instances";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/api/v0/instances/", p->conf.endpoint);
}

/*
 * A container that was stopped, outbid, or whose host is away will not serve any more. One that restarts ("rebooting"), whose host has not been heard
 * of lately ("unknown"), or of which a word is told that is not known here, may well run on: its agent tells.
 */
static bool is_over(const char *status)
{
    static const char *const over[] = {"stopped", "frozen", "exited", "offline"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(over); i++) {
        if (weir_streq(status, over[i])) {
            return true;
        }
    }
    return false;
}

static int read_machine(const json_t *instance, struct weir_rest_machine *m, struct weir_err *err)
{
    const json_t *id = json_object_get(instance, "id");
    const char *label = weir_rest_text(instance, "label");
    const char *status = weir_rest_text(instance, "actual_status");
    double started = json_number_value(json_object_get(instance, "start_date"));
    *m = (struct weir_rest_machine){.state = WEIR_INSTANCE_PENDING};
    if (!json_is_integer(id) || json_integer_value(id) <= 0) {
        return weir_fail(err, -WEIR_EIO, "an instance without an id");
    }
    (void)snprintf(m->id, sizeof m->id, "%" PRId64, (int64_t)json_integer_value(id));
    (void)snprintf(m->name, sizeof m->name, "%s", strlen(label) < sizeof m->name ? label : ""); /* a longer one is not ours */
    m->launched.us = started > 0.0 && started < 1e11 ? (int64_t)(started * 1e6) : 0;
    bool comes = status[0] == '\0' || weir_streq(status, "loading") || weir_streq(status, "created");
    bool is_to_stop = weir_streq(weir_rest_text(instance, "intended_status"), "stopped");
    m->dead = is_to_stop || is_over(status);
    m->state = m->dead ? WEIR_INSTANCE_STOPPING : comes ? WEIR_INSTANCE_PENDING : WEIR_INSTANCE_RUNNING;
    return 0;
}

static int vast_on_list(struct weir_provider *p, const json_t *body, struct weir_rest_list *l, struct weir_err *err)
{
    (void)p;
    json_t *instances = json_object_get(body, "instances");
    if (!json_is_array(instances)) {
        return weir_fail(err, -WEIR_EIO, "a list of instances without 'instances'");
    }
    int r = 0;
    for (size_t i = 0; i < json_array_size(instances) && r == 0; i++) {
        struct weir_rest_machine m;
        r = read_machine(json_array_get(instances, i), &m, err);
        r = r != 0 ? r : weir_rest_list_add(l, &m, err);
    }
    return r;
}

/* The container's own way out: Vast gives each one its id and a key for itself. Should that fail, the broker's sweep sees to it. */
static int add_boot(const struct weir_provider *p, const struct weir_launch *l, struct weir_str *ret, struct weir_err *err)
{
    const struct vast *own = p->own;
    char url[512];
    WEIR_CLEANUP(weir_str_release) struct weir_str end = WEIR_STR_INIT(2048);
    (void)snprintf(url, sizeof url, "%s/api/v0/instances/$CONTAINER_ID/", p->conf.endpoint);
    weir_boot_delete(&end, "CONTAINER_API_KEY", url);
    struct weir_boot b = {.launch = l,
                          .env = p->env,
                          .pool = "vast",
                          .name = "$CONTAINER_ID",
                          .end = weir_str_cstr(&end),
                          .agent = own->agent[0] != '\0' ? own->agent : NULL,
                          .gpus = own->gpus[0] != '\0' ? own->gpus : NULL,
                          .bytes_max = BOOT_BYTES_MAX};
    return weir_boot_container(&b, ret, err);
}

static void kv_units(struct weir_json *j, const char *key, int64_t micro)
{
    char text[WEIR_MONEY_SIZE];
    weir_json_key(j, key);
    weir_json_raw(j, weir_sv_of(weir_money_format(micro, text)));
}

static const struct vast_bid *find_bid(const struct vast *own, uint64_t ask)
{
    for (size_t i = 0; i < own->bids.n; i++) {
        if (own->bids.p[i].ask == ask) {
            return &own->bids.p[i];
        }
    }
    return NULL;
}

static int vast_launch(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q, struct weir_err *err)
{
    const struct vast *own = p->own;
    uint64_t ask;
    struct weir_sv zone = weir_sv_of(l->offer->zone);
    WEIR_CLEANUP(weir_str_release) struct weir_str boot = WEIR_STR_INIT(BOOT_BYTES_MAX);
    if (!weir_sv_starts(zone, WEIR_SV("ask-")) || weir_parse_u64((struct weir_sv){zone.p + 4, zone.n - 4}, 1, INT64_MAX, &ask, NULL) < 0) {
        return weir_fail(err, -WEIR_EINVAL, "'%s' is not an offer of a host", l->offer->zone);
    }
    const struct vast_bid *bid = l->offer->market == WEIR_OFFER_SPOT ? find_bid(own, ask) : NULL;
    if (l->offer->market == WEIR_OFFER_SPOT && bid == NULL) {
        return weir_fail(err, -WEIR_EUNAVAIL, "the host of %s is not on the market any more", l->offer->zone);
    }
    int r = add_boot(p, l, &boot, err);
    if (r < 0) {
        return r;
    }
    q->what = "rent a host";
    q->method = "PUT";
    weir_str_addf(&q->url, "%s/api/v0/asks/%" PRIu64 "/", p->conf.endpoint, ask);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "client_id", "me");
    weir_json_kv_cstr(&j, "image", own->image);
    weir_json_kv_u64(&j, "disk", own->disk_gb);
    weir_json_kv_cstr(&j, "label", name);
    weir_json_key(&j, "env");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "WEIR_BOOT", weir_str_cstr(&boot));
    weir_json_end(&j);
    weir_json_kv_cstr(&j, "runtype", "args");
    weir_json_key(&j, "args");
    weir_json_array(&j);
    weir_json_cstr(&j, "sh");
    weir_json_cstr(&j, "-c");
    weir_json_cstr(&j, WEIR_BOOT_COMMAND);
    weir_json_end(&j);
    if (bid != NULL) {
        kv_units(&j, "price", bid->micro_per_hour);
    }
    weir_json_end(&j);
    return 0;
}

static int vast_on_launch(struct weir_provider *p, const json_t *body, const char *name, struct weir_rest_machine *ret, struct weir_rest_request *q,
                          struct weir_cloud_verdict *v, struct weir_err *err)
{
    (void)p;
    (void)name;
    (void)q;
    const json_t *id = json_object_get(body, "new_contract");
    if (!json_is_integer(id) || json_integer_value(id) <= 0) {
        return weir_fail(err, -WEIR_EIO, "a new contract without its number");
    }
    (void)snprintf(ret->id, sizeof ret->id, "%" PRId64, (int64_t)json_integer_value(id));
    if (!json_is_true(json_object_get(body, "success"))) { /* it is there all the same, stopped, and bills its disk */
        ret->dead = true;
        v->class = WEIR_PROVIDER_NO_CAPACITY;
        (void)snprintf(v->text, sizeof v->text, "the container was made and did not start: %.120s", weir_rest_text(body, "msg"));
    }
    return 0;
}

static void vast_terminate(struct weir_provider *p, const char *id, struct weir_rest_request *q)
{
    q->what = "destroy instance";
    q->method = "DELETE";
    weir_str_addf(&q->url, "%s/api/v0/instances/%s/", p->conf.endpoint, id);
}

/* ---- prices ---- */

static void kv_filter(struct weir_json *j, const char *field, const char *op, int64_t value)
{
    weir_json_key(j, field);
    weir_json_object(j);
    weir_json_kv_i64(j, op, value);
    weir_json_end(j);
}

static void kv_is(struct weir_json *j, const char *field, bool value)
{
    weir_json_key(j, field);
    weir_json_object(j);
    weir_json_kv_bool(j, "eq", value);
    weir_json_end(j);
}

/* page "": on demand; "bid": interruptible. */
static void vast_prices(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    struct vast *own = p->own;
    own->searches_bids = page[0] != '\0';
    if (!own->searches_bids) {
        weir_vec_clear(&own->next);
    }
    q->what = "search offers";
    q->method = "POST";
    weir_str_addf(&q->url, "%s/api/v0/bundles/", p->conf.endpoint);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    kv_is(&j, "rentable", true);
    kv_is(&j, "external", false);
    if (own->verified) {
        kv_is(&j, "verified", true);
    }
    weir_json_key(&j, "reliability2");
    weir_json_object(&j);
    kv_units(&j, "gte", own->reliability_ppm);
    weir_json_end(&j);
    kv_filter(&j, "disk_space", "gte", own->disk_gb);
    kv_filter(&j, "duration", "gte", HOST_DAYS_MIN * INT64_C(86400));
    if (p->conf.gpus_max != 0) {
        kv_filter(&j, "num_gpus", "lte", p->conf.gpus_max);
    }
    weir_json_kv_cstr(&j, "type", own->searches_bids ? "bid" : "on-demand");
    weir_json_kv_u64(&j, "allocated_storage", own->disk_gb);
    weir_json_key(&j, "order");
    weir_json_raw(&j, WEIR_SV("[[\"dph_total\", \"asc\"]]"));
    weir_json_kv_u64(&j, "limit", ASKS_MAX);
    weir_json_end(&j);
}

/* "H100 SXM" by 8 is "8x_H100-SXM", as in the catalogue. */
static bool type_name(const char *gpu, uint32_t gpus, char *ret, size_t size)
{
    int n = snprintf(ret, size, "%ux_%s", (unsigned)gpus, gpu);
    for (char *c = ret; *c != '\0'; c++) {
        *c = *c == ' ' ? '-' : *c;
    }
    return n > 0 && (size_t)n < size && gpu[0] != '\0';
}

/* "Quebec, CA": the country. */
static void read_region(const json_t *ask, char *ret, size_t size)
{
    const char *place = weir_rest_text(ask, "geolocation");
    const char *comma = strrchr(place, ',');
    struct weir_sv country = weir_sv_trim(weir_sv_of(comma != NULL ? comma + 1 : place));
    (void)snprintf(ret, size, "%.*s", WEIR_SV_ARG(country));
    if (country.n == 0 || country.n >= size) {
        (void)snprintf(ret, size, "any");
    }
}

/* The share of the host that comes with its GPUs. */
static void read_host(const json_t *ask, struct weir_offer *o)
{
    double cores = json_number_value(json_object_get(ask, "cpu_cores"));
    double mine = json_number_value(json_object_get(ask, "cpu_cores_effective"));
    double memory_mb = json_number_value(json_object_get(ask, "cpu_ram"));
    if (cores >= 1.0 && cores <= 4096.0 && mine > 0.0 && mine <= cores && memory_mb > 0.0 && memory_mb < 1e9) {
        o->cpu_milli = (uint32_t)(mine * 1000.0);
        o->mem_mib = (uint64_t)(memory_mb * mine / cores);
    }
}

static void add_ask(struct weir_provider *p, const json_t *ask, struct weir_rest_offers *l)
{
    struct vast *own = p->own;
    bool is_bid = own->searches_bids;
    json_int_t id = json_integer_value(json_object_get(ask, "id"));
    json_int_t gpus = json_integer_value(json_object_get(ask, "num_gpus"));
    json_int_t mem_mib = json_integer_value(json_object_get(ask, "gpu_ram"));
    const char *gpu = weir_rest_text(ask, "gpu_name");
    int64_t base = weir_rest_price(ask, is_bid ? "min_bid" : "dph_base");
    int64_t disk = weir_rest_price(ask, "storage_cost");
    int64_t upload = weir_rest_price(ask, "inet_up_cost");
    if (id <= 0 || gpus < 1 || gpus > 64 || mem_mib < 1 || mem_mib > (4096 << 10) || disk < 0 || disk > 100 * INT64_C(1000000)) {
        return;
    }
    struct weir_offer o = {.market = is_bid ? WEIR_OFFER_SPOT : WEIR_OFFER_ON_DEMAND, .gpus = (uint16_t)gpus, .gpu_mem_mib = (uint32_t)mem_mib,
                           .gpu_model = weir_rest_gpu_model(p, gpu, (uint32_t)mem_mib), .source = "Vast.ai search (live)"};
    if (o.gpu_model == WEIR_GPU_MODEL_ANY || !type_name(gpu, o.gpus, o.instance_type, sizeof o.instance_type)) {
        return; /* a GPU that weir cannot compare yet */
    }
    int64_t bid = is_bid && base > 0 ? base + base * own->bid_over_percent / 100 : base;
    (void)snprintf(o.zone, sizeof o.zone, "ask-%" PRId64, (int64_t)id);
    read_region(ask, o.region, sizeof o.region);
    read_host(ask, &o);
    o.price_micro_per_hour = base <= 0 ? 0 : bid + disk * own->disk_gb / HOURS_PER_MONTH;
    o.egress_micro_per_gib = upload > 0 ? upload * 1074 / 1000 : 0; /* told per GB */
    if (is_bid) {
        weir_vec_push(&own->next, ((struct vast_bid){(uint64_t)id, bid}));
    }
    weir_rest_offers_add(l, &o);
}

static int vast_on_prices(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err)
{
    struct vast *own = p->own;
    json_t *offers = json_object_get(body, "offers");
    if (!json_is_array(offers)) {
        return weir_fail(err, -WEIR_EIO, "a search without 'offers'");
    }
    for (size_t i = 0; i < json_array_size(offers); i++) {
        add_ask(p, json_array_get(offers, i), l);
    }
    if (own->spot && !own->searches_bids) {
        weir_rest_offers_next(l, "bid");
        return 0;
    }
    weir_vec_clear(&own->bids);
    for (size_t i = 0; i < own->next.n; i++) {
        weir_vec_push(&own->bids, own->next.p[i]);
    }
    return 0;
}

/* ---- the tables ---- */

static const struct weir_rest_ops vast_rest = {
    .endpoint = "https://console.vast.ai",
    .currency = "USD",
    .key_env = key_env,
    .key_files = key_files,
    .keys = keys,
    .per_second = 1, /* it allows about two a second */
    .burst = 4,
    .poll = {5 * WEIR_US_PER_S},
    .prices_every = {120 * WEIR_US_PER_S},
    .open = vast_open,
    .close = vast_close,
    .list = vast_list,
    .on_list = vast_on_list,
    .launch = vast_launch,
    .on_launch = vast_on_launch,
    .terminate = vast_terminate,
    .prices = vast_prices,
    .on_prices = vast_on_prices,
    .classify = vast_classify,
    .rights = "instance_write: Vast.ai tells no key its permissions. A key without it lists machines, and is refused at the first launch",
    .absent_code = "no_such_instance",
};

static int vast_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf, struct weir_err *err)
{
    return weir_rest_open(ret, &vast_rest, &weir_vast_provider, env, conf, err);
}

const struct weir_provider_ops weir_vast_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "vast",
    /* an interruptible machine pays what was bid for it, whatever others bid later: it is paused then, and not dearer */
    .caps = WEIR_PROVIDER_SPOT | WEIR_PROVIDER_CONTAINERS,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .init = vast_init,
    .fini = weir_rest_fini,
    .offers = weir_rest_offers,
    .prices_anew = weir_rest_prices_anew,
    .launch = weir_rest_launch,
    .describe = weir_rest_describe,
    .list = weir_rest_list,
    .terminate = weir_rest_terminate,
    .check = weir_rest_check,
};
