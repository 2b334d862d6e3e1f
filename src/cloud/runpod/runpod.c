/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/runpod/runpod.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/boot.h"
#include "cloud/rest.h"
#include "cloud/section.h"

enum {
    DISK_GB = 50,
    BOOT_BYTES_MAX = 96 << 10, /* what goes into one variable of the environment: less than Linux's 128 KiB */
    VISIBLE_WITHIN_S = 30,
};

/* GPUs of one pod that are offered: RunPod takes any number up to the type's largest. */
static const uint32_t sizes[] = {1, 2, 4, 8};

struct runpod {
    char image[256];
    char volume[64]; /* of the network, mounted at /workspace; "": none */
    char agent[256]; /* an installed one in the image; "": from the broker */
    char gpus[64];   /* declared, for tests; "": as found */
    uint32_t disk_gb;
    bool community;
};

static const char *const keys[] = {WEIR_REST_KEYS, "image", "disk_gb", "community", "network_volume", "agent", "declare_gpus", NULL};
static const char *const key_env[] = {"RUNPOD_API_KEY", NULL};

static int runpod_open(struct weir_provider *p, const json_t *section, struct weir_cloud_conf *cloud, struct weir_err *err)
{
    (void)cloud;
    struct runpod *own = weir_alloc(sizeof *own);
    *own = (struct runpod){.disk_gb = DISK_GB, .image = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"};
    int r = weir_section_text(section, "runpod", "image", own->image, sizeof own->image, err);
    r = r != 0 ? r : weir_section_u32(section, "runpod", "disk_gb", 5, 10000, &own->disk_gb, err);
    r = r != 0 ? r : weir_section_bool(section, "runpod", "community", &own->community, err);
    r = r != 0 ? r : weir_section_text(section, "runpod", "network_volume", own->volume, sizeof own->volume, err);
    r = r != 0 ? r : weir_section_text(section, "runpod", "agent", own->agent, sizeof own->agent, err);
    r = r != 0 ? r : weir_section_text(section, "runpod", "declare_gpus", own->gpus, sizeof own->gpus, err);
    if (r != 0) {
        free(own);
        return r;
    }
    p->own = own;
    return 0;
}

static void runpod_close(struct weir_provider *p)
{
    free(p->own);
}

/* ---- what answers mean ---- */

static void runpod_classify(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)ctx;
    if (reply->status < 400 || reply->body.n == 0) {
        return;
    }
    json_t *body = json_loadb(reply->body.p, reply->body.n, 0, NULL);
    const char *detail = weir_rest_text(body, "detail");
    json_t *wrong = json_object_get(body, "errors");
    const char *first = json_string_value(json_array_get(wrong, 0));
    if (detail[0] != '\0') {
        (void)snprintf(v->text, sizeof v->text, "%.160s%s%.64s", detail, first != NULL ? ": " : "", first != NULL ? first : "");
    }
    json_decref(body);
    switch (reply->status) {
    case 400: /* RunPod says no more than this where nothing of the kind is free */
        v->class = WEIR_PROVIDER_NO_CAPACITY;
        break;
    case 402: /* the balance is used up */
        v->class = WEIR_PROVIDER_QUOTA;
        break;
    case 403: /* this account may not use that pool: others may do */
    case 401:
    case 404:
    case 409:
    case 422:
        v->class = WEIR_PROVIDER_REFUSED;
        break;
    default:
        break;
    }
}

/* ---- machines ---- */

static void runpod_list(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    (void)page; /* there is one page only */
    q->what = "list pods";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/v2/pods", p->conf.endpoint);
}

static bool read_pod(const json_t *pod, struct weir_rest_machine *m)
{
    static const struct {
        const char *status;
        enum weir_instance_state state;
        bool dead;
    } rows[] = {
        {"PROVISIONING", WEIR_INSTANCE_PENDING, false}, {"STARTING", WEIR_INSTANCE_PENDING, false}, {"RUNNING", WEIR_INSTANCE_RUNNING, false},
        {"EXITED", WEIR_INSTANCE_STOPPING, true},       {"ERROR", WEIR_INSTANCE_STOPPING, true},    {"TERMINATED", WEIR_INSTANCE_GONE, false},
    };
    const char *status = weir_rest_text(pod, "status");
    const char *id = weir_rest_text(pod, "id");
    const char *name = weir_rest_text(pod, "name");
    *m = (struct weir_rest_machine){.state = WEIR_INSTANCE_PENDING, .launched = weir_rest_time(pod, "createdAt")};
    if (id[0] == '\0' || strlen(id) >= sizeof m->id) {
        return false;
    }
    (void)snprintf(m->id, sizeof m->id, "%s", id);
    (void)snprintf(m->name, sizeof m->name, "%s", strlen(name) < sizeof m->name ? name : ""); /* a longer one is not ours */
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (weir_streq(rows[i].status, status)) {
            m->state = rows[i].state;
            m->dead = rows[i].dead;
        }
    }
    return true;
}

static int runpod_on_list(struct weir_provider *p, const json_t *body, struct weir_rest_list *l, struct weir_err *err)
{
    (void)p;
    json_t *pods = json_object_get(body, "pods");
    if (!json_is_array(pods)) {
        return weir_fail(err, -WEIR_EIO, "a list of pods without 'pods'");
    }
    for (size_t i = 0; i < json_array_size(pods); i++) {
        struct weir_rest_machine m;
        int r = read_pod(json_array_get(pods, i), &m) ? weir_rest_list_add(l, &m, err) : weir_fail(err, -WEIR_EIO, "a pod without an id");
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* "4x_A100-SXM4-80GB" and "4x_RTX_4090_COMMUNITY": how many, RunPod's id without the maker's name, and whose host. */
static bool type_name(const char *id, uint32_t gpus, bool community, char *ret, size_t size)
{
    const char *maker = "NVIDIA ";
    const char *rest = strncmp(id, maker, strlen(maker)) == 0 ? id + strlen(maker) : id;
    int n = snprintf(ret, size, "%ux_%s%s", gpus, rest, community ? "_COMMUNITY" : "");
    for (char *c = ret; *c != '\0'; c++) {
        *c = *c == ' ' ? '_' : *c;
    }
    return n > 0 && (size_t)n < size && strchr(id, '_') == NULL;
}

/* The reverse. False where the name is not one of ours. */
static bool read_type(const char *type, char *ret_id, size_t size, uint32_t *ret_gpus, bool *ret_community)
{
    struct weir_sv rest = weir_sv_of(type);
    struct weir_sv count = weir_sv_cut(&rest, 'x');
    uint64_t gpus;
    if (weir_parse_u64(count, 1, 64, &gpus, NULL) < 0 || rest.n < 2 || rest.p[0] != '_') {
        return false;
    }
    rest = (struct weir_sv){rest.p + 1, rest.n - 1};
    struct weir_sv tail = WEIR_SV("_COMMUNITY");
    *ret_community = rest.n > tail.n && memcmp(rest.p + rest.n - tail.n, tail.p, tail.n) == 0;
    rest.n -= *ret_community ? tail.n : 0;
    bool named = weir_sv_starts(rest, WEIR_SV("AMD_")) || weir_sv_starts(rest, WEIR_SV("Tesla_"));
    int n = snprintf(ret_id, size, "%s%.*s", named ? "" : "NVIDIA ", WEIR_SV_ARG(rest));
    for (char *c = ret_id; *c != '\0'; c++) {
        *c = *c == '_' ? ' ' : *c;
    }
    *ret_gpus = (uint32_t)gpus;
    return n > 0 && (size_t)n < size;
}

/* The pod's own way out: RunPod gives each pod a key that may end it. Should that fail, the broker's sweep sees to it. */
static int add_boot(struct weir_provider *p, const struct weir_launch *l, struct weir_str *ret, struct weir_err *err)
{
    const struct runpod *own = p->own;
    struct weir_str end = WEIR_STR_INIT(1024);
    char url[512];
    (void)snprintf(url, sizeof url, "%s/v2/pods/$RUNPOD_POD_ID", p->conf.endpoint);
    weir_boot_delete(&end, "RUNPOD_API_KEY", url);
    struct weir_boot b = {.launch = l, .env = p->env, .pool = "runpod", .name = "$RUNPOD_POD_ID", .end = weir_str_cstr(&end),
                          .agent = own->agent[0] != '\0' ? own->agent : NULL, .gpus = own->gpus[0] != '\0' ? own->gpus : NULL,
                          .bytes_max = BOOT_BYTES_MAX};
    int r = weir_boot_container(&b, ret, err);
    weir_str_release(&end);
    return r;
}

static int runpod_launch(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q,
                         struct weir_err *err)
{
    const struct runpod *own = p->own;
    char gpu[96];
    uint32_t gpus;
    bool community;
    struct weir_str boot = WEIR_STR_INIT(BOOT_BYTES_MAX);
    if (!read_type(l->offer->instance_type, gpu, sizeof gpu, &gpus, &community)) {
        return weir_fail(err, -WEIR_EINVAL, "'%s' is not a type of pod", l->offer->instance_type);
    }
    int r = add_boot(p, l, &boot, err);
    if (r < 0) {
        weir_str_release(&boot);
        return r;
    }
    q->what = "create pod";
    q->method = "POST";
    weir_str_addf(&q->url, "%s/v2/pods", p->conf.endpoint);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "name", name);
    weir_json_kv_cstr(&j, "image", own->image);
    weir_json_key(&j, "gpu");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "id", gpu);
    weir_json_kv_u64(&j, "count", gpus);
    weir_json_end(&j);
    weir_json_kv_cstr(&j, "cloud", community ? "COMMUNITY" : "SECURE");
    if (!weir_streq(l->offer->region, "any")) {
        weir_json_key(&j, "dataCenterIds");
        weir_json_array(&j);
        weir_json_cstr(&j, l->offer->region);
        weir_json_end(&j);
    }
    weir_json_kv_u64(&j, "disk", own->disk_gb);
    if (own->volume[0] != '\0') {
        weir_json_key(&j, "mounts");
        weir_json_object(&j);
        weir_json_key(&j, "network");
        weir_json_array(&j);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "volumeId", own->volume);
        weir_json_kv_cstr(&j, "path", "/workspace");
        weir_json_end(&j);
        weir_json_end(&j);
        weir_json_end(&j);
    }
    weir_json_key(&j, "env");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "WEIR_BOOT", weir_str_cstr(&boot));
    weir_json_end(&j);
    weir_json_kv_cstr(&j, "args", "sh -c '" WEIR_BOOT_COMMAND "'");
    weir_json_end(&j);
    weir_str_release(&boot);
    return 0;
}

static int runpod_on_launch(struct weir_provider *p, const json_t *body, const char *name, struct weir_rest_machine *ret,
                            struct weir_rest_request *q, struct weir_cloud_verdict *v, struct weir_err *err)
{
    (void)p;
    (void)name;
    (void)q;
    (void)v;
    return read_pod(body, ret) ? 0 : weir_fail(err, -WEIR_EIO, "a new pod without an id");
}

static void runpod_terminate(struct weir_provider *p, const char *id, struct weir_rest_request *q)
{
    q->what = "delete pod";
    q->method = "DELETE";
    weir_str_addf(&q->url, "%s/v2/pods/%s", p->conf.endpoint, id);
}

/* ---- prices ---- */

static void runpod_prices(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    (void)page;
    q->what = "list GPU prices";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/v2/catalog/gpus?include=AVAILABILITY&product=POD", p->conf.endpoint);
}

static void add_size(struct weir_rest_offers *l, const json_t *gpu, struct weir_offer o, uint32_t gpus, bool community)
{
    const char *where = community ? "community" : "secure";
    int64_t each = weir_rest_price(json_object_get(gpu, "price"), where);
    if (each <= 0 || gpus > json_integer_value(json_object_get(json_object_get(gpu, "maxCount"), where)) ||
        !type_name(weir_rest_text(gpu, "id"), gpus, community, o.instance_type, sizeof o.instance_type)) {
        return;
    }
    o.gpus = (uint16_t)gpus;
    o.price_micro_per_hour = each * gpus;
    (void)snprintf(o.region, sizeof o.region, "any");
    if (community) {
        weir_rest_offers_add(l, &o);
        return;
    }
    json_t *centers = json_object_get(gpu, "dataCenters");
    for (size_t i = 0; i < json_array_size(centers); i++) {
        const json_t *c = json_array_get(centers, i);
        const char *id = weir_rest_text(c, "id");
        if (id[0] != '\0' && strlen(id) < sizeof o.region && !weir_streq(weir_rest_text(c, "availability"), "NONE")) {
            (void)snprintf(o.region, sizeof o.region, "%s", id);
            weir_rest_offers_add(l, &o);
        }
    }
}

static int runpod_on_prices(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err)
{
    const struct runpod *own = p->own;
    json_t *gpus = json_object_get(body, "gpus");
    if (!json_is_array(gpus)) {
        return weir_fail(err, -WEIR_EIO, "a list of GPUs without 'gpus'");
    }
    for (size_t i = 0; i < json_array_size(gpus); i++) {
        const json_t *gpu = json_array_get(gpus, i);
        json_int_t memory_gb = json_integer_value(json_object_get(gpu, "memory"));
        struct weir_offer o = {.market = WEIR_OFFER_ON_DEMAND, .source = "RunPod catalogue (live)",
                               .gpu_model = weir_gpu_table_find(p->env->gpus, weir_sv_of(weir_rest_text(gpu, "id")))};
        if (o.gpu_model == WEIR_GPU_MODEL_ANY || memory_gb <= 0 || memory_gb > 4096) {
            continue; /* a GPU that weir cannot compare yet */
        }
        o.gpu_mem_mib = (uint32_t)memory_gb << 10;
        for (size_t k = 0; k < WEIR_ARRAY_LEN(sizes); k++) {
            add_size(l, gpu, o, sizes[k], false);
            if (own->community) {
                add_size(l, gpu, o, sizes[k], true);
            }
        }
    }
    return 0;
}

/* ---- the tables ---- */

/* A region is a data centre, but for the community's machines, which may be anywhere. */
static const char *runpod_zone(const struct weir_provider *p, const struct weir_offer *o)
{
    (void)p;
    return weir_streq(o->region, "any") ? "" : o->region;
}

static const struct weir_rest_read reads[] = {
    {"read access to the catalogue", "/v2/catalog/gpus?product=POD", "prices and stock", true},
    {0},
};

static const struct weir_rest_ops runpod_rest = {
    .endpoint = "https://api.runpod.io",
    .currency = "USD",
    .key_env = key_env,
    .keys = keys,
    .per_second = 1, /* its limit is 60 a minute */
    .burst = 20,
    .poll = {6 * WEIR_US_PER_S},
    .prices_every = {300 * WEIR_US_PER_S},
    .open = runpod_open,
    .close = runpod_close,
    .list = runpod_list,
    .on_list = runpod_on_list,
    .launch = runpod_launch,
    .on_launch = runpod_on_launch,
    .terminate = runpod_terminate,
    .prices = runpod_prices,
    .on_prices = runpod_on_prices,
    .zone = runpod_zone,
    .reads = reads,
    .rights = "write access to pods: RunPod tells no key its scopes. A key without it is refused (403) at the first launch",
    .classify = runpod_classify,
    .cpu_milli_each = 4000, /* RunPod's list of prices does not say */
    .mem_mib_each = 16 << 10,
};

static int runpod_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf, struct weir_err *err)
{
    return weir_rest_open(ret, &runpod_rest, &weir_runpod_provider, env, conf, err);
}

const struct weir_provider_ops weir_runpod_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "runpod",
    .caps = WEIR_PROVIDER_CONTAINERS,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .init = runpod_init,
    .fini = weir_rest_fini,
    .offers = weir_rest_offers,
    .prices_anew = weir_rest_prices_anew,
    .launch = weir_rest_launch,
    .describe = weir_rest_describe,
    .list = weir_rest_list,
    .terminate = weir_rest_terminate,
    .check = weir_rest_check,
};
