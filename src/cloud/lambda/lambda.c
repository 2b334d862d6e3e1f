/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/checks.h"
#include "cloud/lambda/lambda.h"

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
    BOOT_BYTES_MAX = 64 << 10,
    NAME_BYTES_MAX = 64,
    GPUS_MAX = 64,
    VISIBLE_WITHIN_S = 30,
};

struct lambda {
    char ssh_key[64];
    char image[64]; /* family; "": Lambda's own */
    char file_system[64];
    char agent[256];
    char gpus[64];
    char *machine_key; /* for machines, to end themselves; NULL: none */
};

static const char *const keys[] = {WEIR_REST_KEYS, "ssh_key", "image", "file_system", "machine_key_file", "agent", "declare_gpus", NULL};
static const char *const key_env[] = {"LAMBDA_API_KEY", NULL};

static void lambda_close(struct weir_provider *p)
{
    struct lambda *own = p->own;
    if (own->machine_key != NULL) {
        explicit_bzero(own->machine_key, strlen(own->machine_key));
        free(own->machine_key);
    }
    free(own);
}

static int lambda_open(struct weir_provider *p, const json_t *section, struct weir_cloud_conf *cloud, struct weir_err *err)
{
    static const char where[] = "lambda";
    (void)cloud;
    struct lambda *own = weir_alloc(sizeof *own);
    *own = (struct lambda){.machine_key = NULL};
    int r = weir_section_text(section, where, "ssh_key", own->ssh_key, sizeof own->ssh_key, err);
    r = r != 0 ? r : weir_section_text(section, where, "image", own->image, sizeof own->image, err);
    r = r != 0 ? r : weir_section_text(section, where, "file_system", own->file_system, sizeof own->file_system, err);
    r = r != 0 ? r : weir_section_text(section, where, "agent", own->agent, sizeof own->agent, err);
    r = r != 0 ? r : weir_section_text(section, where, "declare_gpus", own->gpus, sizeof own->gpus, err);
    if (r == 0 && json_object_get(section, "machine_key_file") != NULL) {
        r = weir_section_secret(section, where, "machine_key", p->env, NULL, NULL, &own->machine_key, err);
    }
    if (r == 0 && own->ssh_key[0] == '\0') {
        r = weir_fail(err, -WEIR_ECONFIG,
                      "lambda.ssh_key: the name of an SSH key of the account is wanted, as Lambda launches nothing without one; the console shows "
                      "them under 'SSH keys'");
    }
    p->own = own;
    if (r != 0) {
        lambda_close(p);
    }
    return r;
}

static void lambda_opened(struct weir_provider *p)
{
    const struct lambda *own = p->own;
    if (own->machine_key != NULL) {
        weir_cloud_hide(p->cloud, own->machine_key);
    }
}

/* ---- what answers mean ---- */

static void lambda_classify(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)ctx;
    if (reply->status < 400 || reply->body.n == 0) {
        return;
    }
    json_t *body = json_loadb(reply->body.p, reply->body.n, 0, NULL);
    const json_t *error = json_object_get(body, "error");
    const char *code = weir_rest_text(error, "code");
    const char *suggestion = weir_rest_text(error, "suggestion");
    if (code[0] != '\0') {
        (void)snprintf(v->code, sizeof v->code, "%s", code);
        (void)snprintf(v->text, sizeof v->text, "%.120s%s%.100s", weir_rest_text(error, "message"), suggestion[0] != '\0' ? " " : "", suggestion);
        if (reply->status < 500 && reply->status != 429) {
            v->class = weir_streq(code, "instance-operations/launch/insufficient-capacity") ? WEIR_PROVIDER_NO_CAPACITY
                       : weir_streq(code, "global/quota-exceeded")                          ? WEIR_PROVIDER_QUOTA
                                                                                            : WEIR_PROVIDER_REFUSED;
        }
    }
    json_decref(body);
}

/* ---- machines ---- */

static void lambda_list(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    (void)page; /* there is one page only */
    q->what = "list instances";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/api/v1/instances", p->conf.endpoint);
}

static int read_machine(const json_t *instance, struct weir_rest_machine *m, struct weir_err *err)
{
    static const struct {
        const char *status;
        enum weir_instance_state state;
        bool dead;
        bool reclaimed;
    } rows[] = {
        {"booting", WEIR_INSTANCE_PENDING, false, false},   {"active", WEIR_INSTANCE_RUNNING, false, false},
        {"unhealthy", WEIR_INSTANCE_STOPPING, true, false}, {"terminating", WEIR_INSTANCE_STOPPING, false, false},
        {"terminated", WEIR_INSTANCE_GONE, false, false},   {"preempted", WEIR_INSTANCE_GONE, false, true},
    };
    const char *id = weir_rest_text(instance, "id");
    const char *name = weir_rest_text(instance, "name");
    const char *status = weir_rest_text(instance, "status");
    *m = (struct weir_rest_machine){.state = WEIR_INSTANCE_PENDING};
    if (id[0] == '\0' || strlen(id) >= sizeof m->id) {
        return weir_fail(err, -WEIR_EIO, "an instance without an id");
    }
    (void)snprintf(m->id, sizeof m->id, "%s", id);
    (void)snprintf(m->name, sizeof m->name, "%s", strlen(name) < sizeof m->name ? name : ""); /* a longer one is not ours */
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (weir_streq(rows[i].status, status)) {
            m->state = rows[i].state;
            m->dead = rows[i].dead;
            m->reclaimed = rows[i].reclaimed;
        }
    }
    return 0;
}

static int lambda_on_list(struct weir_provider *p, const json_t *body, struct weir_rest_list *l, struct weir_err *err)
{
    (void)p;
    json_t *data = json_object_get(body, "data");
    if (!json_is_array(data)) {
        return weir_fail(err, -WEIR_EIO, "a list of instances without 'data'");
    }
    int r = 0;
    for (size_t i = 0; i < json_array_size(data) && r == 0; i++) {
        struct weir_rest_machine m;
        r = read_machine(json_array_get(data, i), &m, err);
        r = r != 0 ? r : weir_rest_list_add(l, &m, err);
    }
    return r;
}

/* The machine looks itself up by its name: nothing tells it its id. The key goes to curl by its standard input, never on a command
 * line. Where the API cannot be reached for long it powers off all the same, and the broker's sweep does the rest. */
static void add_end(const struct weir_provider *p, const char *name, struct weir_str *ret)
{
    const struct lambda *own = p->own;
    weir_str_addf(ret,
                  "call() { printf 'header = \"Authorization: Bearer %%s\"\\n' \"$K\" | curl -fsS -m 60 -K - \"$@\"; }\n"
                  "K='%s'\n"
                  "U='%s/api/v1'\n"
                  "N='%s'\n"
                  "T=0\n"
                  "while [ $T -lt 30 ]; do\n"
                  "  I=$(call \"$U/instances\" | N=$N python3 -c 'import json, os, sys\n"
                  "for i in json.load(sys.stdin)[\"data\"]:\n"
                  "    if i.get(\"name\") == os.environ[\"N\"]:\n"
                  "        print(i[\"id\"])' | head -n 1)\n"
                  "  [ -n \"$I\" ] && call -o /dev/null -H 'Content-Type: application/json' -d \"{\\\"instance_ids\\\": [\\\"$I\\\"]}\" "
                  "\"$U/instance-operations/terminate\" && sleep 300\n"
                  "  T=$((T + 1))\n"
                  "  sleep 10\n"
                  "done\n"
                  "poweroff || systemctl poweroff || shutdown -h now\n",
                  own->machine_key, p->conf.endpoint, name);
}

static int add_boot(const struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_str *ret, struct weir_err *err)
{
    const struct lambda *own = p->own;
    WEIR_CLEANUP(weir_str_release) struct weir_str end = WEIR_STR_INIT(4096);
    if (own->machine_key != NULL && strpbrk(own->machine_key, "'\n\"\\") != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "the key of machine_key_file has characters that a boot script cannot hold");
    }
    if (own->machine_key != NULL) {
        add_end(p, name, &end);
    }
    struct weir_boot b = {.launch = l,
                          .env = p->env,
                          .pool = "lambda",
                          .end = end.n == 0 ? NULL : weir_str_cstr(&end),
                          .agent = own->agent[0] != '\0' ? own->agent : NULL,
                          .gpus = own->gpus[0] != '\0' ? own->gpus : NULL,
                          .bytes_max = BOOT_BYTES_MAX};
    return weir_boot_script(&b, ret, err);
}

static void kv_list(struct weir_json *j, const char *key, const char *value)
{
    weir_json_key(j, key);
    weir_json_array(j);
    weir_json_cstr(j, value);
    weir_json_end(j);
}

static int lambda_launch(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q,
                         struct weir_err *err)
{
    const struct lambda *own = p->own;
    WEIR_CLEANUP(weir_str_release) struct weir_str boot = WEIR_STR_INIT(BOOT_BYTES_MAX);
    if (strlen(name) > NAME_BYTES_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "the name '%s' is longer than Lambda takes", name);
    }
    int r = add_boot(p, l, name, &boot, err);
    if (r < 0) {
        return r;
    }
    q->what = "launch instance";
    q->method = "POST";
    weir_str_addf(&q->url, "%s/api/v1/instance-operations/launch", p->conf.endpoint);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "region_name", l->offer->region);
    weir_json_kv_cstr(&j, "instance_type_name", l->offer->instance_type);
    kv_list(&j, "ssh_key_names", own->ssh_key);
    if (own->file_system[0] != '\0') {
        kv_list(&j, "file_system_names", own->file_system);
    }
    weir_json_kv_u64(&j, "quantity", 1);
    weir_json_kv_cstr(&j, "name", name);
    if (own->image[0] != '\0') {
        weir_json_key(&j, "image");
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "family", own->image);
        weir_json_end(&j);
    }
    weir_json_kv_cstr(&j, "user_data", weir_str_cstr(&boot));
    weir_json_end(&j);
    return 0;
}

static int lambda_on_launch(struct weir_provider *p, const json_t *body, const char *name, struct weir_rest_machine *ret,
                            struct weir_rest_request *q, struct weir_cloud_verdict *v, struct weir_err *err)
{
    (void)p;
    (void)name;
    (void)q;
    (void)v;
    const char *id = json_string_value(json_array_get(json_object_get(json_object_get(body, "data"), "instance_ids"), 0));
    if (id == NULL || id[0] == '\0' || strlen(id) >= sizeof ret->id) {
        return weir_fail(err, -WEIR_EIO, "a launch without an instance's id");
    }
    (void)snprintf(ret->id, sizeof ret->id, "%s", id);
    return 0;
}

static void lambda_terminate(struct weir_provider *p, const char *id, struct weir_rest_request *q)
{
    q->what = "terminate instance";
    q->method = "POST";
    weir_str_addf(&q->url, "%s/api/v1/instance-operations/terminate", p->conf.endpoint);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    kv_list(&j, "instance_ids", id);
    weir_json_end(&j);
}

/* ---- prices ---- */

static void lambda_prices(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    (void)page;
    q->what = "list instance types";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/api/v1/instance-types", p->conf.endpoint);
}

/* "H100 (80 GB SXM5)", "A100 (40 GB PCIe)", "GH200 (96 GB)": the model, and its memory in MiB. */
static uint16_t read_gpu(const struct weir_provider *p, const char *text, uint32_t *ret_mem_mib)
{
    struct weir_sv rest = weir_sv_of(text);
    struct weir_sv base = weir_sv_trim(weir_sv_cut(&rest, '('));
    uint64_t gb = 0;
    char name[64];
    if (rest.p == NULL || weir_parse_u64(weir_sv_cut(&rest, ' '), 1, 4096, &gb, NULL) < 0 || base.n > 32) {
        return WEIR_GPU_MODEL_ANY;
    }
    *ret_mem_mib = (uint32_t)gb << 10;
    (void)snprintf(name, sizeof name, "%.*s%s", WEIR_SV_ARG(base), strstr(text, "PCIe") != NULL ? " PCIe" : "");
    return weir_rest_gpu_model(p, name, *ret_mem_mib);
}

/* A type: the catalogue knows which GPU it has, or else its description does. False where neither does. */
static bool read_type(const struct weir_provider *p, const json_t *type, struct weir_offer *ret)
{
    const char *name = weir_rest_text(type, "name");
    const json_t *specs = json_object_get(type, "specs");
    json_int_t gpus = json_integer_value(json_object_get(specs, "gpus"));
    json_int_t cpus = json_integer_value(json_object_get(specs, "vcpus"));
    json_int_t memory = json_integer_value(json_object_get(specs, "memory_gib"));
    const struct weir_offer *row = weir_rest_catalogue_type(p, name, WEIR_OFFER_ON_DEMAND);
    int64_t cents = weir_rest_price(type, "price_cents_per_hour");
    if (name[0] == '\0' || strlen(name) >= sizeof ret->instance_type || gpus < 1 || gpus > GPUS_MAX || cpus < 0 || cpus > 4096 || memory < 0 ||
        memory > 65536) {
        return false;
    }
    *ret = (struct weir_offer){.market = WEIR_OFFER_ON_DEMAND,
                               .gpus = (uint16_t)gpus,
                               .cpu_milli = (uint32_t)cpus * 1000,
                               .mem_mib = (uint64_t)memory << 10,
                               .price_micro_per_hour = cents < 0 ? 0 : cents / 100};
    (void)snprintf(ret->instance_type, sizeof ret->instance_type, "%s", name);
    (void)snprintf(ret->source, sizeof ret->source, "Lambda instance types (live)");
    if (row != NULL && row->gpus == ret->gpus) {
        ret->gpu_model = row->gpu_model;
        ret->gpu_mem_mib = row->gpu_mem_mib;
        return true;
    }
    ret->gpu_model = read_gpu(p, weir_rest_text(type, "gpu_description"), &ret->gpu_mem_mib);
    return ret->gpu_model != WEIR_GPU_MODEL_ANY;
}

static int lambda_on_prices(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err)
{
    const char *key;
    json_t *entry;
    json_t *data = json_object_get(body, "data");
    if (!json_is_object(data)) {
        return weir_fail(err, -WEIR_EIO, "a list of instance types without 'data'");
    }
    json_object_foreach(data, key, entry)
    {
        struct weir_offer o;
        size_t i;
        json_t *region;
        if (!read_type(p, json_object_get(entry, "instance_type"), &o)) {
            continue; /* one that weir cannot compare yet */
        }
        json_array_foreach(json_object_get(entry, "regions_with_capacity_available"), i, region)
        {
            const char *name = weir_rest_text(region, "name");
            if (name[0] != '\0' && strlen(name) < sizeof o.region) {
                (void)snprintf(o.region, sizeof o.region, "%s", name);
                weir_rest_offers_add(l, &o);
            }
        }
    }
    return 0;
}

/* ---- the tables ---- */

/* ---- looks ---- */

/* Its keys have no scopes: who may list may launch. What a launch names must be there. */
static void lambda_check(struct weir_provider *p, unsigned step, struct weir_rest_request *q)
{
    if (step == 0) {
        q->what = "list SSH keys";
        q->method = "GET";
        weir_str_addf(&q->url, "%s/api/v1/ssh-keys", p->conf.endpoint);
    }
}

static void lambda_on_check(struct weir_provider *p, unsigned step, const struct weir_cloud_answer *a, const json_t *body, struct weir_checks *k)
{
    const struct lambda *own = p->own;
    const json_t *list = json_object_get(body, "data");
    (void)step;
    if (!json_is_array(list)) {
        weir_checks_add(k, "ssh_key", WEIR_CHECK_WARNING, "ask again in a minute", "the account's SSH keys could not be asked for: %s",
                        a->text[0] != '\0' ? a->text : "the answer is not a list of them");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (weir_streq(weir_rest_text(json_array_get(list, i), "name"), own->ssh_key)) {
            weir_checks_add(k, "permissions", WEIR_CHECK_OK, NULL, "Lambda's keys have no scopes: one that may list may make and end machines");
            weir_checks_add(k, "ssh_key", WEIR_CHECK_OK, NULL, "the account has '%s'", own->ssh_key);
            return;
        }
    }
    weir_checks_add(k, "ssh_key", WEIR_CHECK_FAILED, "give 'ssh_key' of providers.lambda the name of one that the console shows under SSH keys, or add it there",
                    "the account has no SSH key '%s': every launch would be refused", own->ssh_key);
}

static const struct weir_rest_ops lambda_rest = {
    .endpoint = "https://cloud.lambda.ai",
    .currency = "USD",
    .key_env = key_env,
    .keys = keys,
    .per_second = 1,
    .burst = 1, /* its limit is one a second, and launches are allowed five a minute */
    .poll = {10 * WEIR_US_PER_S},
    .prices_every = {120 * WEIR_US_PER_S},
    .open = lambda_open,
    .opened = lambda_opened,
    .close = lambda_close,
    .list = lambda_list,
    .on_list = lambda_on_list,
    .launch = lambda_launch,
    .on_launch = lambda_on_launch,
    .terminate = lambda_terminate,
    .prices = lambda_prices,
    .on_prices = lambda_on_prices,
    .zone = weir_rest_zone_is_region,
    .check = lambda_check,
    .on_check = lambda_on_check,
    .classify = lambda_classify,
    .absent_code = "global/object-does-not-exist",
};

static int lambda_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf, struct weir_err *err)
{
    return weir_rest_open(ret, &lambda_rest, &weir_lambda_provider, env, conf, err);
}

const struct weir_provider_ops weir_lambda_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "lambda",
    .caps = 0,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .init = lambda_init,
    .fini = weir_rest_fini,
    .offers = weir_rest_offers,
    .prices_anew = weir_rest_prices_anew,
    .launch = weir_rest_launch,
    .describe = weir_rest_describe,
    .list = weir_rest_list,
    .terminate = weir_rest_terminate,
    .check = weir_rest_check,
};
